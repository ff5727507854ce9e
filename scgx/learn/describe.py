"""What a file is, for `info`, `log` and `check`: cells or a model, told apart by their first bytes."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scgx.errors import InputError, MachineError, ScgxError, UnsafeError
from scgx.h5ad import history, sniff, streams, trailer
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, modalities, present
from scgx.h5ad.frame import Categorical, Frame, Nullable
from scgx.h5ad.isotypes import isotype_controls
from scgx.h5ad.reader import open_cells
from scgx.h5ad.scan import scan
from scgx.h5ad.trailer import Verdict
from scgx.h5ad.units import units_of
from scgx.learn import artifact
from scgx.learn.parts import PARTS, describe

Rows = list[list[str]]


@dataclass(frozen=True)
class Summary:
    """Facts for programs, and tables (title, columns, rows) for people."""

    facts: dict[str, object]
    tables: list[tuple[str, list[str], Rows]]


def is_model(path: Path) -> bool:
    """A zip with our header in it?"""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(200).find(artifact.HEADER.encode()) == 30


def records_of(path: Path, name: str) -> list[dict[str, object]]:
    """The history of cells or of a model."""
    if is_model(path):
        return [json.loads(line) for line in artifact.read(path, name).header.history]
    with open_cells(path, name=name) as cells:
        return history.records(cells)


def verdict_of(name: str) -> Verdict:
    """Whole, truncated, corrupt or unsigned; `kind` for what is neither cells nor a model."""
    path = Path(name)
    if name != "-" and not path.exists():
        return Verdict("missing", "no such file")
    if name != "-" and path.is_dir():
        return _folder(path, name)
    if name != "-" and path.is_file():
        return _verdict(path, name)
    try:
        with streams.source(name) as src:
            return _verdict(src.path, src.name)
    except InputError as error:
        return _refused(error)
    except OSError as error:
        return Verdict("missing", str(error.strerror).lower())


def _verdict(path: Path, name: str) -> Verdict:
    try:
        with open(path, "rb") as file:
            head = file.read(520)
        if not head:
            return Verdict("kind", "is empty")
        if head.startswith(b"PK"):
            if not zipfile.is_zipfile(path):
                return Verdict("truncated", "a zip without its end")
            if _holds_zarr(path):
                return _zarr_zip(path, name)
            found = artifact.read(path, name)
            return Verdict("whole", f"model {found.header.model}, every member as written")
        if head.startswith(b"\x1f\x8b"):
            return _read_through(path, name)
        if not head.startswith(b"\x89HDF") and head[512:516] != b"\x89HDF":
            return Verdict("kind", "no HDF5 file and no model")
        verdict = trailer.verify(path)
        if verdict.state == "unsigned":
            return _read_through(path, name)
        return verdict
    except OSError as error:
        return Verdict("missing", str(error.strerror).lower())
    except InputError as error:
        return _refused(error)
    except UnsafeError as error:
        return Verdict("kind", error.what)


def _holds_zarr(path: Path) -> bool:
    with zipfile.ZipFile(path) as store:
        names = {member.rsplit("/", 1)[-1] for member in store.namelist()}
    return bool(names & {".zgroup", ".zattrs", "zarr.json"})


def _zarr_zip(path: Path, name: str) -> Verdict:
    """A zarr store in a zip, whose members carry checksums; read through as well."""
    with zipfile.ZipFile(path) as store:
        try:
            bad = store.testzip()
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
            return Verdict("corrupt", f"a zarr store in a zip: {str(error).lower()[:80]}")
    if bad is not None:
        return Verdict(
            "corrupt", f"a zarr store in a zip, and the checksum of {bad} does not agree"
        )
    verdict = _read_through(path, name)
    if verdict.state != "unsigned":  # as it was written, and yet nothing that can be read
        return Verdict("kind" if verdict.state == "corrupt" else verdict.state, verdict.detail)
    return Verdict(
        "whole", "a zarr store in a zip; every checksum agrees, everything could be read"
    )


def _folder(path: Path, name: str) -> Verdict:
    """A zarr store is read through, any other folder is of no kind."""
    try:
        sniff.kind(path, name)
    except InputError as error:
        return Verdict("kind", error.what)
    return _read_through(path, name)


def _refused(error: InputError) -> Verdict:
    state = "corrupt"
    if error.what.startswith("truncated"):
        state = "truncated"
    elif error.what.endswith(("is empty", "no h5ad", "not h5ad", "but zeros")):
        state = "kind"
    return Verdict(state, error.what.removeprefix(f"{state}: "))


def _read_through(path: Path, name: str) -> Verdict:
    """A file of somebody else: everything is read, and the invariants of X checked."""
    try:
        with open_cells(path, name=name) as cells:
            cells.obs, cells.var  # noqa: B018 - reading them is the check
            for _block in cells.blocks("X") if cells.has("X") else ():
                pass
            scan(cells.h5)
    except InputError as error:
        return _refused(error)
    except MachineError as error:
        return Verdict("missing", error.what)
    except ScgxError as error:
        return Verdict("kind", error.what)
    return Verdict("unsigned", "no trailer; everything in it could be read")


def summary_of(path: Path, name: str, genome_10x: str | None = None) -> Summary:
    """What `scgx info` shows."""
    if is_model(path):
        return _model(artifact.read(path, name))
    with open_cells(path, name=name, genome_10x=genome_10x) as cells:
        return _cells(cells)


def _cells(cells: Cells) -> Summary:
    facts: dict[str, object] = {"file": cells.name, "cells": cells.n_obs, "features": cells.n_var}
    matrices = _matrices(cells)
    facts["matrices"] = matrices
    facts["chromosomes"] = chroms = _chromosomes(cells)
    facts["obs"] = columns = _columns(cells.obs)
    facts["var"] = list(cells.var.columns)
    controls = cells.var_names[isotype_controls(cells.var)].tolist()
    facts["isotype_controls"] = controls
    facts["split"] = split = _split(cells)
    facts["genome"] = str(cells.scgx.get("genome", ""))
    facts["obsm"], facts["layers"] = cells.keys("obsm"), cells.keys("layers")
    facts["history"] = history.records(cells)
    top = [
        ["cells x features", f"{cells.n_obs:,} x {cells.n_var:,}"],
        ["genome", str(facts["genome"]) or "not said"],
        ["chromosomes", ", ".join(f"{c} {n:,}" for c, n in chroms.items()) or "none"],
    ]
    if controls:
        top.append(["isotype controls", ", ".join(controls)])
    if split:
        top.append(["split", str(split.pop("words"))])
    if cells.keys("obsm"):
        top.append(["obsm", ", ".join(cells.keys("obsm"))])
    commands = [str(record["command"]) for record in history.records(cells)]
    top.append(["history", "; ".join(commands) if commands else "none"])
    tables: list[tuple[str, list[str], Rows]] = [(cells.name, ["what", "value"], top)]
    rows = [[m["matrix"], m["modality"], m["units"], m["features"], m["kind"]] for m in matrices]
    headings = ["matrix", "modality", "units", "features", "stored as"]
    tables.append(("matrices", headings, [list(map(str, row)) for row in rows]))
    if columns:
        shown = [[c["name"], c["kind"], c["values"]] for c in columns]
        tables.append(("obs", ["column", "kind", "values"], [list(map(str, r)) for r in shown]))
    return Summary(facts, tables)


def _matrices(cells: Cells) -> list[dict[str, object]]:
    keys = ["X"] if cells.has("X") else []
    found: list[dict[str, object]] = []
    for key in [*keys, *(f"layers/{name}" for name in cells.keys("layers"))]:
        matrix = cells.matrix(key)
        for modality in present(cells.var):
            known = modality in ("rna", "atac", "adt", "activity")
            n = (
                len(columns_of(cells, modality))
                if known
                else int((modalities(cells.var) == modality).sum())
            )
            found.append(
                {
                    "matrix": key,
                    "modality": modality,
                    "units": units_of(cells, key, modality) if known and n else "unknown",
                    "features": f"{n:,}",
                    "kind": f"{matrix.kind} {matrix.dtype}",
                }
            )
    return found


def _chromosomes(cells: Cells) -> dict[str, int]:
    if "chrom" not in cells.var:
        return {}
    counts = Counter(str(c) for c in cells.var.strings("chrom") if c)
    main = sorted(counts, key=lambda c: (len(c) > 5, len(c), c))
    return {c: counts[c] for c in main[:30]}


def _columns(frame: Frame) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for name, column in frame.columns.items():
        if isinstance(column, Categorical) or (
            isinstance(column, np.ndarray) and column.dtype.kind == "O"
        ):
            counts = Counter(w for w in frame.strings(name) if w is not None)
            levels = ", ".join(f"{w} {n:,}" for w, n in counts.most_common(6))
            more = f", ... {len(counts) - 6} more" if len(counts) > 6 else ""
            facts: dict[str, object] = {"kind": f"{len(counts)} levels", "values": levels + more}
        else:
            values = column.values if isinstance(column, Nullable) else np.asarray(column)
            if values.dtype.kind == "b":
                found.append({"name": name, "kind": "bool", "values": _booleans(column)})
                continue
            numbers = values.astype(np.float64)
            finite = numbers[np.isfinite(numbers)]
            low, high = (finite.min(), finite.max()) if len(finite) else (np.nan, np.nan)
            facts = {"kind": str(values.dtype), "values": f"{low:g} .. {high:g}"}
        found.append({"name": name, **facts})
    return found


def _booleans(column: np.ndarray | Nullable) -> str:
    known = column.values[~column.mask] if isinstance(column, Nullable) else column
    true = int(np.count_nonzero(known))
    missing = len(column.values) - len(known) if isinstance(column, Nullable) else 0
    words = f"true {true:,}, false {len(known) - true:,}"
    return words + (f", missing {missing:,}" if missing else "")


def _split(cells: Cells) -> dict[str, object]:
    if "split" not in cells.obs:
        return {}
    counts = Counter(cells.obs.strings("split").tolist())
    about = describe(cells)
    shares = ", ".join(f"{part} {counts[part]:,}" for part in PARTS if counts[part])
    by = f" by {about['by']}" if about.get("by") else ""
    return {**about, "cells": {p: counts[p] for p in PARTS}, "words": f"{shares} cells{by}"}


def _model(found: artifact.Artifact) -> Summary:
    header = found.header
    facts: dict[str, object] = {
        "model": header.model,
        "id": found.id,
        "task": header.task,
        "config": header.config,
        "from": {"modality": header.inputs.modality, "features": len(header.inputs.names)},
        "to": {"modality": header.outputs.modality, "features": len(header.outputs.names)},
        "units": {"in": header.inputs.units, "out": header.outputs.units},
        "genome": header.genome,
        "split": header.split,
        "trained_on": header.trained_on,
        "seed": header.seed,
        "bytes": sum(map(len, found.members.values())),
    }
    if header.labels is not None:
        facts["labels"] = asdict(header.labels) | {"classes": header.outputs.names}
    if header.conditions:
        facts["conditions"] = [asdict(told) for told in header.conditions]
    if header.response is not None:
        facts["response"] = asdict(header.response)
    rows = [
        ["model", f"{header.model} ({found.id}), scgx {header.version}, seed {header.seed}"],
        [
            "from",
            f"{len(header.inputs.names):,} {header.inputs.modality} features, {header.inputs.units}",
        ],
        *_outputs(header),
        ["genome", header.genome or "not said"],
        ["trained on", ", ".join(f"{n:,} {part}" for part, n in header.trained_on.items())],
    ]
    if header.records:  # a model that is solved and not trained has no epochs
        rows.append(["epochs", str(len(header.records))])
    knobs = [[key, str(value)] for key, value in header.config.items()]
    return Summary(
        facts, [("model", ["what", "value"], rows), ("settings", ["knob", "value"], knobs)]
    )


def _outputs(header: artifact.Header) -> Rows:
    """What a model gives: features of a modality, or classes and how far they can be believed."""
    names, labels = header.outputs.names, header.labels
    if labels is None:
        given = f"{len(names):,} {header.outputs.modality} features, {header.outputs.units}"
        told = []
        for about in header.conditions:
            words = _commonest(dict(zip(about.levels, about.counts)))
            told.append(["condition", f"{about.column}: {words}"])
        return [["to", given], *told, *(_screen(header.response) if header.response else [])]
    order = sorted(range(len(names)), key=lambda i: -labels.counts[i])
    listed = ", ".join(f"{names[i]} {labels.counts[i]:,}" for i in order[:12])
    more = f", {len(names) - 12} more" if len(names) > 12 else ""
    rows = [["to", f"{len(names):,} classes of {labels.column}"], ["classes", listed + more]]
    if labels.coarse:
        rows.append(["coarse", ", ".join(sorted(set(labels.coarse.values())))])
    if labels.after.get("n"):
        before, after = labels.before, labels.after
        words = f"accuracy {after['accuracy']:.3f} on {after['n']:,.0f} validation cells; "
        words += f"calibration error {before['ece']:.3f}, {after['ece']:.3f} at temperature "
        rows.append(["calibration", f"{words}{labels.temperature:.2f}"])
    return rows


def _screen(told: artifact.Screened) -> Rows:
    """What a model of responses was shown: perturbations, and the controls beside them."""
    agree = ", ".join(told.covariates)
    within = f" in {len(told.strata):,} strata ({agree})" if agree else ""
    named = f" {told.control}" if told.control else ""
    return [
        ["perturbations", f"{len(told.counts):,} of {told.column}: {_commonest(told.counts)}"],
        ["controls", f"{told.controls:,} cells{named}{within}"],
    ]


def _commonest(counts: Mapping[str, int]) -> str:
    """Levels with their numbers, the twelve commonest."""
    most = sorted(counts.items(), key=lambda level: -level[1])
    more = f", {len(most) - 12:,} more" if len(most) > 12 else ""
    return ", ".join(f"{name} {n:,}" for name, n in most[:12]) + more
