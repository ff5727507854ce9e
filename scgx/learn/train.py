"""Fit a model to cells: roles to columns, split to rows, units to units, and an artifact out of it."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from scgx import __version__, registry
from scgx.errors import DataError, InputError, ScgxError, UsageError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame
from scgx.h5ad.measured import measured_of
from scgx.h5ad.names import hash_names
from scgx.learn import artifact, config
from scgx.learn.convert import Missing, totals_of
from scgx.learn.data import Side, TrainingData
from scgx.learn.model import Model, joins, kind_of, parts_for
from scgx.learn.parts import Parts, for_training
from scgx.learn.places import features_at, find, table_of
from scgx.progress import Report, say


@dataclass(frozen=True)
class Roles:
    """What is predicted from what, and how target values are taken."""

    source: str
    target: str
    units: str | None = None  # of gene-valued modalities, in place of log1p-cp10k
    targets: tuple[str, ...] = ()  # fit these features only
    na: float | None = None  # weight of a missing target value; None refuses them
    source_at: str | None = None  # a matrix beside X that holds it: layers/NAME, obsm/KEY
    target_at: str | None = None


@dataclass(frozen=True)
class Fitted:
    """A trained model, and what its artifact says about it."""

    model: Model
    header: artifact.Header
    summary: dict[str, np.ndarray]

    def write(self, path: Path) -> None:
        """Write the artifact."""
        artifact.write(path, self.header, self.summary, self.model.save())

    def held(self) -> artifact.Artifact:
        """The artifact in memory, for use at once."""
        return artifact.held(self.header, self.summary, self.model.save())


def fit(
    name: str, cells: Cells, roles: Roles, settings: object, *, seed: int, report: Report
) -> Fitted:
    """Fit the model `name` on the training rows of `cells`."""
    module = registry.load("models", name)
    check_direction(name, module.FROM, module.TO, roles)
    cells.require_unique("obs")
    parts = for_training(cells, seed)
    data = gather(cells, roles, parts, shared=joins(module))
    say(
        f"{name}: {len(data.inputs):,} {roles.source} to {len(data.outputs):,} {roles.target} features,"
        f" {len(parts.train):,} cells train, {len(parts.val):,} validate"
    )
    _check_values(data)
    _check_learnable(name, data)
    model = module.Model.fit(data, settings, seed=seed, report=report)
    return Fitted(
        model,
        _header(name, cells, roles, (parts, data), settings, seed, report),
        _summary(data) | (_summary_back(data) if joins(module) else {}),
    )


def check_direction(name: str, source: set[str], target: set[str], roles: Roles) -> None:
    """Refuse a pair of modalities that the model does not do."""
    if roles.source == roles.target:
        raise UsageError(f"--from and --to are both {roles.source}")
    if not target:
        words, fix = _OTHERWISE[kind_of(registry.load("models", name), labels=True)]
        raise UsageError(f"model {name!r} {words} and predicts no modality", fix=fix)
    if roles.source not in source or roles.target not in target:
        can = f"{'|'.join(sorted(source))} to {'|'.join(sorted(target))}"
        raise DataError(
            f"model {name!r} does not predict {roles.target} from {roles.source}",
            fix=f"it does {can}",
        )


_OTHERWISE = {
    "embedding": ("embeds cells", "scgx embed; and train without --to"),
    "generation": ("generates cells", "name the column of classes with --label"),
    "response": ("answers perturbations", "train without --to"),
    "labels": ("learns labels", "name their column with --label"),
}


def gather(cells: Cells, roles: Roles, parts: Parts, *, shared: bool = False) -> TrainingData:
    """The two sides of the file as batches; `shared`: targets are looked at as inputs are."""
    asked = roles.na is not None
    missing = Missing(True) if asked else Missing(mend="--na mask leaves missing values out")
    sides = []
    for modality, at in ((roles.source, roles.source_at), (roles.target, roles.target_at)):
        genes = modality in ("rna", "activity")
        place = find(cells, modality, at, roles.units if genes else None, missing=missing)
        assert place.conversion is not None
        say(place.conversion.words)
        columns = place.columns
        if modality == roles.target and roles.targets:
            columns = columns[_named(table_of(cells, place.key, columns), roles.targets)]
        if (shared or modality == roles.source) and place.in_var:
            columns = measured_by_all(cells, columns, parts, modality)
        features = features_at(cells, place.key, columns, modality)
        if len(np.unique(features.names.astype(str))) < len(features):
            cells.require_unique("var")
        sides.append(Side(features, columns, place.conversion))
    return TrainingData(
        cells, (sides[0], sides[1]), (parts.train, parts.val), groups=parts.groups, na=roles.na
    )


def measured_by_all(cells: Cells, columns: np.ndarray, parts: Parts, modality: str) -> np.ndarray:
    """The columns that every dataset of the train and val rows measured: inputs cannot be weighed,
    and absence is no zero.
    """
    measured = measured_of(cells)
    if measured is None:
        return columns
    used = np.unique(measured.codes[np.concatenate([parts.train, parts.val])])
    shared = columns[measured.mask[columns][:, used].all(axis=1)]
    if not len(shared):
        raise DataError(
            f"no {modality} feature was measured by all {len(used)} datasets",
            fix="train on datasets that share features",
            file=cells.name,
        )
    if len(shared) < len(columns):
        say(
            f"{len(shared):,} of {len(columns):,} {modality} features were measured by all datasets"
        )
    return shared


def _named(frame: Frame, wanted: Sequence[str]) -> np.ndarray:
    """Rows of a table of features whose name or gene_name is wanted, as a mask."""
    symbols = frame.strings("gene_name") if "gene_name" in frame else frame.index
    chosen = set(wanted)
    mask = np.array([n in chosen or s in chosen for n, s in zip(frame.index, symbols)], dtype=bool)
    known = set(frame.index) | set(symbols)
    missing = [name for name in wanted if name not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} targets are not in the file, {missing[0]!r} first"
        )
    return mask


def _check_values(data: TrainingData) -> None:
    """Read one small block, so that wrong values are refused before anything is fitted."""
    rows = data.train[:256]
    data.x(rows)
    data.y(rows)


def _check_learnable(name: str, data: TrainingData) -> None:
    """Refuse to learn from fewer than two cells, or where no training cell differs in any target."""
    if name in ("mean", "group-mean"):
        return
    if len(data.train) < 2:
        raise DataError(
            f"{len(data.train)} cell to train on, and {name} needs 2",
            fix="more cells, or scgx split",
        )
    step = 4096
    for side, values in (("input", data.x), ("target", data.y)):
        first = values(data.train[:1])
        blocks = (data.train[i : i + step] for i in range(0, len(data.train), step))
        if not any((values(rows) - first[[0] * len(rows)]).count_nonzero() for rows in blocks):
            raise DataError(
                f"no {side} feature varies over {len(data.train):,} training cells: {name} can"
                " learn nothing",
                fix="scgx info shows what the file has",
            )


def _summary_back(data: TrainingData) -> dict[str, np.ndarray]:
    """Mean and variance of the inputs, for a model that can predict them."""
    total, squares = np.zeros(len(data.inputs)), np.zeros(len(data.inputs))
    for start in range(0, len(data.train), 4096):
        block = data.x(data.train[start : start + 4096])
        total += np.asarray(block.sum(axis=0), dtype=np.float64).ravel()
        squares += np.asarray(block.multiply(block).sum(axis=0), dtype=np.float64).ravel()
    mean = total / len(data.train)
    var = np.maximum(squares / len(data.train) - mean**2, 0)
    return {"back_mean": mean.astype(np.float32), "back_var": var.astype(np.float32)}


def _summary(data: TrainingData) -> dict[str, np.ndarray]:
    """What outputs carry on for `score`: who trained, and the mean and variance of the targets."""
    width = len(data.outputs)
    total, squares, n = np.zeros(width), np.zeros(width), np.zeros(width)
    for start in range(0, len(data.train), 4096):
        rows = data.train[start : start + 4096]
        block, weight = data.y(rows), data.weight(rows)
        block = block if weight is None else sparse.csr_array(block.multiply(weight > 0))
        total += np.asarray(block.sum(axis=0), dtype=np.float64).ravel()
        squares += np.asarray(block.multiply(block).sum(axis=0), dtype=np.float64).ravel()
        n += len(rows) if weight is None else (weight > 0).sum(axis=0)
    n = np.maximum(n, 1)
    mean = total / n
    names = data.obs.index[data.train]
    return {
        "train_cells": np.sort(hash_names(names)),
        "train_mean": mean.astype(np.float32),
        "train_var": np.maximum(squares / n - mean**2, 0).astype(np.float32),
    }


def _header(
    name: str,
    cells: Cells,
    roles: Roles,
    fitted: tuple[Parts, TrainingData],
    settings: object,
    seed: int,
    report: Report,
) -> artifact.Header:
    parts, data = fitted
    return artifact.Header(
        model=name,
        task="modality",
        config=config.to_json(settings),
        inputs=feature_table(cells, data.source, roles.source_at),
        outputs=feature_table(cells, data.target, roles.target_at),
        version=__version__,
        seed=seed,
        genome=str(cells.scgx.get("genome", "")),
        split=parts.id,
        trained_on={"train": len(parts.train), "val": len(parts.val)},
        totals=totals_word(cells, roles.source),
        history=history.chain([cells], seed),
        records=artifact.timeless(report.records),
        target_totals=_totals_of_targets(cells, roles)
        if joins(registry.load("models", name))
        else "",
    )


def _totals_of_targets(cells: Cells, roles: Roles) -> str:
    word = totals_word(cells, roles.target)
    return "whole" if roles.targets and word == "sum" else word


def totals_word(cells: Cells, modality: str) -> str:
    """Where depth comes from, as the header says it: "obs", or "sum" over the features."""
    return "sum" if totals_of(cells, modality) is None else "obs"


def feature_table(cells: Cells, side: Side, at: str | None) -> artifact.Table:
    """A side of a file as the artifact keeps it: names, places, symbols, units."""
    features = side.features
    frame = table_of(cells, side.conversion.key, side.columns)
    symbols = frame.strings("gene_name").tolist() if "gene_name" in frame else []
    return artifact.Table(
        modality=features.modality,
        units=side.conversion.want,
        names=features.names.tolist(),
        chrom=features.chrom.tolist(),
        start=features.start.tolist(),
        end=features.end.tolist(),
        strand=features.strand.tolist(),
        tss=features.tss.tolist(),
        gene_name=symbols,
        at=at or "",
    )


def restore(found: artifact.Artifact) -> Model:
    """The model inside an artifact; the one place that goes from a header to a class."""
    header = found.header
    if header.model not in registry.names("models"):
        what = f"is a {header.model!r} model, which this scgx does not have"
        raise InputError(what, fix="update scgx", file=found.name)
    module = importlib.import_module(f"scgx.models.{header.model.replace('-', '_')}")
    kind = parts_for(module, labels=header.task == "labels")
    try:
        made = config.from_json(kind.config, header.config)
        return kind.model.restore(made, found.members)
    except ScgxError as error:
        error.file = error.file or found.name
        raise
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        what = f"its members do not make a {header.model}: {error}"
        raise InputError(what, fix="train it again", file=found.name) from error
