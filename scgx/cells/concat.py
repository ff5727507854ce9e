"""The stacking of datasets as a whole: planned from what the files hold, then written.

A gene that a dataset did not measure is absent there, which is not zero; so the plan keeps, beside the
columns of the output, who measured each of them. Sums over a whole cell (`total_counts_*`) travel on
only where they are sums over the same genes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.cells import genes as naming
from scgx.cells.concat_columns import columns_of, var_of, with_peaks
from scgx.cells.concat_obs import labels_of, obs_of
from scgx.cells.concat_parts import Array, Columns, Dataset, Options, listed
from scgx.cells.label_map import LabelMap
from scgx.cells.paired import one_genome
from scgx.cells.recipe import UNIT, unit_of
from scgx.errors import DataError, UsageError
from scgx.h5ad import pile
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import present
from scgx.h5ad.frame import Frame
from scgx.h5ad.measured import PLACE, Measured, table_of, write_measured
from scgx.h5ad.pile import Share, Target
from scgx.h5ad.writer import Writer

_SUFFIXES = re.compile(r"\.(h5ad|h5mu|h5|zarr|loom|gz|zip)(\.gz)?$")


class Plan(NamedTuple):
    """All that is decided before anything is written, and what to say and to warn of."""

    datasets: list[Dataset]
    columns: Columns
    obs: Frame
    var: Frame
    matrices: dict[str, list[str]]
    units: dict[str, dict[str, str]]
    measured: Measured
    split: str | None
    rules: LabelMap
    said: list[str]
    warned: list[str]


def names_of(files: Sequence[str], given: str | None) -> tuple[str, ...]:
    """What the datasets are called: as given, else as their files, with the folder where that alone
    tells them apart.
    """
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        if len(names) != len(files) or not all(names):
            raise UsageError(f"--names has {len(names)} names for {len(files)} files")
    else:
        paths = [Path(file) for file in files]
        names = [_SUFFIXES.sub("", path.name) for path in paths]
        if len(set(names)) < len(names):
            names = [
                f"{path.parent.name}/{n}".strip("/") for path, n in zip(paths, names, strict=True)
            ]
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise UsageError(f"two datasets are called {repeated[0]!r}", fix="--names a,b")
    return tuple(names)


def plan(files: Sequence[Cells], options: Options) -> Plan:
    """Name, match and map. DataError where nothing is shared, units differ, or --strict is not met."""
    one_genome(files)
    said: list[str] = []
    warned: list[str] = []
    labels, doubts = labels_of(files, options)
    warned += doubts
    if doubts and options.strict:
        raise DataError(f"{doubts[0]} (--strict)", fix="complete the map, or leave out --strict")
    tables = [cells.var for cells in files]
    names = [cells.name for cells in files]
    named = naming.harmonise(tables, names, options.annotation, ignore_case=options.ignore_case)
    if options.peaks is not None:
        named = with_peaks(files, named, options.peaks)
    before = [
        _inside(cells, name, options) for cells, name in zip(files, options.names, strict=True)
    ]
    columns = columns_of(named, [mask for _names, _codes, mask in before], options)
    datasets = []
    for cells, name, own, mapped, lookup, inner in zip(
        files, options.names, named, labels, columns.lookups, before, strict=True
    ):
        rows = (
            None if mapped is None or not mapped.dropped.any() else np.flatnonzero(~mapped.dropped)
        )
        share = Share(cells, rows, lookup)
        if not share.n_rows:
            raise DataError("has no cell left", fix="see --label-map", file=cells.name)
        datasets.append(Dataset(cells, name, own, mapped, share, *inner))
    said += [_said_of(dataset, options) for dataset in datasets]
    measured = _measured(datasets, columns, options)
    obs, notes = obs_of(datasets, columns, measured, options)
    said += notes
    split = _split(files)
    if "split" in obs and split is None:
        obs = obs.without(["split"])
        warned.append("the files do not share one split: obs['split'] is left out (scgx split)")
    merged = var_of(files, named, columns, options)
    said += listed("var columns that differ are left out", merged.mixed)
    matrices, lost = _matrices(files)
    said += listed("layers that not every file has are left out", lost)
    units = {key: _units(files, key, keys) for key, keys in matrices.items()}
    return Plan(
        datasets,
        columns,
        obs,
        merged.frame,
        matrices,
        units,
        measured,
        split,
        options.rules,
        said,
        warned,
    )


def summary(made: Plan) -> str:
    """The output in a line."""
    n, sets = len(made.columns.names), len(made.measured.datasets)
    whole = int(made.measured.mask.all(axis=1).sum())
    cells = f"{len(made.obs):,} cells x {n:,} features of {sets} datasets"
    if whole == n:
        return f"{cells}, all measured by each"
    return f"{cells}, {whole:,} measured by each: see varm['{PLACE}']"


def write(out: Writer, made: Plan, memory: int) -> list[str]:
    """Write all but history; returns what to say of what was left out."""
    shares = [dataset.share for dataset in made.datasets]
    out.frame("obs", made.obs)
    out.frame("var", made.var)
    for key, keys in made.matrices.items():
        peaks = made.units[key].get("atac") == "binary"
        presence = (made.columns.kinds == "atac") & peaks
        target = Target(key, len(made.columns.names), presence)
        pile.write_matrix(out, target, shares, keys, memory)
    lost = pile.write_obsm(out, shares)
    lost += pile.write_uns(out, shares)
    write_measured(out, made.measured)
    genomes = [cells.scgx["genome"] for cells in _cells(made) if "genome" in cells.scgx]
    if genomes:
        out.uns("scgx/genome", str(genomes[0]))
    if made.split is not None:
        out.uns("scgx/split", made.split)
    return listed("left out, since it cannot be stacked", list(dict.fromkeys(lost)))


def units_of_layers(made: Plan) -> dict[str, dict[str, str]]:
    """The units to record, by layer and modality."""
    return {key.removeprefix("layers/"): words for key, words in made.units.items()}


def _cells(made: Plan) -> list[Cells]:
    return [dataset.cells for dataset in made.datasets]


def _inside(cells: Cells, name: str, options: Options) -> tuple[Array, Array, Array]:
    """The datasets that a file consists of, of which one each cell is, and what each measured."""
    before = table_of(cells)
    if before is not None and before.key == options.key:
        return before.datasets, before.codes, before.mask
    if before is not None and not before.mask.all():
        raise DataError(
            f"was stacked by obs[{before.key!r}]",
            fix=f"--dataset-key {before.key}",
            file=cells.name,
        )
    if options.key in cells.obs:
        raise DataError(
            f"obs has a column {options.key!r} already",
            fix="--dataset-key names another",
            file=cells.name,
        )
    every = np.ones((cells.n_var, 1), dtype=bool)
    return np.array([name], dtype=object), np.zeros(cells.n_obs, dtype=np.int64), every


def _measured(datasets: Sequence[Dataset], columns: Columns, options: Options) -> Measured:
    names = np.concatenate([dataset.inside for dataset in datasets])
    repeated = [name for name in names if list(names).count(name) > 1]
    if repeated:
        raise DataError(
            f"two datasets are called {repeated[0]!r}", fix="--names a,b gives them names"
        )
    mask = np.zeros((len(columns.names), len(names)), dtype=bool)
    codes, done = [], 0
    for dataset in datasets:
        kept = np.flatnonzero(dataset.share.lookup >= 0)
        for j in range(len(dataset.inside)):
            own = kept[dataset.mask[kept, j]]
            mask[dataset.share.lookup[own], done + j] = True
        rows = slice(None) if dataset.share.rows is None else dataset.share.rows
        codes.append(dataset.codes[rows] + done)
        done += len(dataset.inside)
    return Measured(mask, names, np.concatenate(codes), options.key)


def _split(files: Sequence[Cells]) -> str | None:
    """The description of the split that all files share; None where they do not."""
    found = [cells.scgx.get("split") for cells in files]
    if not isinstance(found[0], str) or any(other != found[0] for other in found):
        return None
    json.loads(found[0])
    return found[0] if all("split" in cells.obs for cells in files) else None


def _matrices(files: Sequence[Cells]) -> tuple[dict[str, list[str]], list[str]]:
    """X and the layers that every file has, by their place in the output; and the layers left out."""
    for cells in files:
        if not cells.has("X"):
            raise DataError("has no X", fix="scgx normalize --method counts", file=cells.name)
    names = dict.fromkeys(name for cells in files for name in cells.keys("layers"))
    shared = [name for name in names if all(name in cells.keys("layers") for cells in files)]
    made = {key: [key] * len(files) for key in ["X", *(f"layers/{name}" for name in shared)]}
    lost = [name for name in names if name not in shared]
    if "counts" in lost:  # a file that was never normalised has its counts in X
        keys = ["layers/counts" if "counts" in c.keys("layers") else "X" for c in files]
        found: dict[str, set[str]] = {}
        for cells, key in zip(files, keys):
            for kind in present(cells.var):
                found.setdefault(kind, set()).add(unit_of(cells, key, kind))
        if all(units in ({"counts"}, {"binary"}) for units in found.values()):
            made["layers/counts"] = keys
            lost.remove("counts")
    return made, lost


def _units(files: Sequence[Cells], key: str, keys: Sequence[str]) -> dict[str, str]:
    """The unit of each modality of a matrix; DataError where it differs between files."""
    units: dict[str, tuple[str, str]] = {}
    for cells, own in zip(files, keys, strict=True):
        for kind in present(cells.var):
            unit = unit_of(cells, own, kind)
            first, name = units.setdefault(kind, (unit, cells.name))
            if first != unit:
                where = key.removeprefix("layers/")
                raise DataError(
                    f"{where} of {kind} is {unit}, and {first} in {Path(name).name}",
                    fix=_same_units(kind, {first: name, unit: cells.name}),
                    file=cells.name,
                )
    return {kind: unit for kind, (unit, _name) in units.items()}


def _same_units(kind: str, files: dict[str, str]) -> str:
    """The command for the file of counts, which become anything; other units only become counts."""
    others = [unit for unit in files if unit != "counts"]
    method = (
        {unit: word for word, unit in UNIT.items()}.get(others[0]) if len(others) == 1 else None
    )
    if method is None:
        return "first scgx normalize --method counts, for each"
    name = Path(files["counts"]).name
    return f"first scgx normalize --method {method} --modality {kind} {name}"


def _said_of(dataset: Dataset, options: Options) -> str:
    """A line on what became of one file."""
    cells, lookup = dataset.cells, dataset.share.lookup
    lost = int((lookup < 0).sum())
    gone = cells.n_obs - dataset.share.n_rows
    by = {how: dataset.named.count(how) for how in dict.fromkeys(dataset.named.how)}
    ways = [f"{n:,} by {how}" for how, n in by.items() if n and how in ("id", "symbol")]
    odd = [
        f"{n:,} {how}" for how, n in by.items() if n and how not in ("id", "symbol", "as written")
    ]
    named = f" ({', '.join([*ways, *odd])})" if ways or odd else ""
    line = f"{dataset.name}: {dataset.share.n_rows:,} cells"
    line += f" ({gone:,} dropped by their label)" if gone else ""
    line += f", {cells.n_var:,} features{named}: {cells.n_var - lost:,} kept, {lost:,} lost"
    return line
