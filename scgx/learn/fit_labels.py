"""Fit a classifier: a column of obs to classes, training rows to features; an artifact comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np

from scgx import __version__, registry
from scgx.cells import coordinates
from scgx.errors import DataError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.h5ad.names import hash_names
from scgx.learn import artifact, calibration, config, conformal, novelty
from scgx.learn.augment import Augment
from scgx.learn.convert import choose
from scgx.learn.labels import Classes, LabelledData, classes_of, read_map
from scgx.learn.model import Classifies, Model, parts_for
from scgx.learn.other_panel import within
from scgx.learn.panel import Lens, Names, Panel, doubled
from scgx.learn.parts import Parts, for_training
from scgx.learn.selection import fold_of
from scgx.learn.train import Fitted, measured_by_all
from scgx.learn.variable import choose_features, main_modality, moments
from scgx.progress import Report, say, warn

ROWS = 4_096
AT_USE = 512


@dataclass(frozen=True)
class LabelRoles:
    """What is classified by what, and which cells and features teach it."""

    column: str
    source: str | None = None  # modality; rna where the file has it
    balance: bool = True  # every class weighs the same
    least: int = 10  # training cells that a class must have
    coarse: Path | None = None  # a map of fine to coarse classes
    features: str | None = None  # N most variable, `marked`, or a file of names; all that vary
    panel: Path | None = None  # cells, or names: only their features, for depth as well
    augment: int = 0  # copies of each training cell, as other studies would have seen it
    hidden: float = 0.0  # share of the features that such a study may lack


def fit(
    name: str, cells: Cells, roles: LabelRoles, settings: object, *, seed: int, report: Report
) -> Fitted:
    """Fit the classifier `name` on the labelled training rows of `cells`, and calibrate it."""
    cells.require_unique("obs")
    module = registry.load("models", name)
    modality = roles.source or main_modality(cells)
    if modality not in module.LABELS:
        able = ", ".join(sorted(module.LABELS))
        raise DataError(f"model {name!r} learns no labels from {modality}", fix=f"from {able}")
    data, parts = gather(cells, _told(roles, modality, module), seed=seed)
    coarse = read_map(roles.coarse, data.classes) if roles.coarse is not None else {}
    kind = data.lens.panel.modality
    say(
        f"{name}: {len(data.inputs):,} {kind} features to {len(data.classes):,} classes of"
        f" {roles.column}, {len(data.cells_train):,} cells train, {len(data.val):,} validate"
    )
    if data.augment.copies:
        say(f"{data.augment.copies} augmented copies of each training cell: thinner, fewer genes")
    model = parts_for(module, labels=True).model.fit(data, settings, seed=seed, report=report)
    scores = scores_of(model, data, data.val)
    labels, bars = _calibrated(scores, data, coarse)
    if kind in coordinates.GENES:
        bars |= _usual(scores, data, labels.temperature)
    head = _header(name, cells, data, parts, labels, config.to_json(settings), seed, report)
    return Fitted(model, head, _summary(data) | bars)


def _told(roles: LabelRoles, modality: str, module: ModuleType) -> LabelRoles:
    """The roles, with the genes that copies lack: as the model can bear, none if the panel is known."""
    hidden = getattr(module, "HIDDEN", 0.0) if roles.panel is None else 0.0
    return replace(roles, source=modality, hidden=hidden)


def gather(cells: Cells, roles: LabelRoles, *, seed: int) -> tuple[LabelledData, Parts]:
    """Labelled rows of the split as training data, with validation rows in any case."""
    modality = roles.source or main_modality(cells)
    parts = for_training(cells, seed)
    labels = classes_of(cells.obs, roles.column, parts.train, least=roles.least, name=cells.name)
    train, val = (rows[labels.codes[rows] >= 0] for rows in (parts.train, parts.val))
    if not len(val):
        groups = None if parts.groups is None else parts.groups[train]
        held = _held_out(labels.codes[train], _tenth(groups, len(train), seed=seed))
        train, val = train[~held], train[held]
        say(f"no validation rows: {len(val):,} of the training rows validate")
    counts = np.bincount(labels.codes[train], minlength=len(labels.names))
    labels = Classes(labels.column, labels.names, labels.codes, counts)
    columns = measured_by_all(cells, columns_of(cells, modality), parts, modality)
    if roles.panel is not None:
        columns = within(cells, columns, modality, Path(roles.panel))
    lens = _lens(cells, modality, columns, train, roles.features)
    data = LabelledData(
        cells,
        lens,
        labels,
        (train, val),
        groups=parts.groups,
        balance=roles.balance,
        augment=Augment(roles.augment, seed, hidden=roles.hidden),
    )
    return data, parts


def _tenth(groups: np.ndarray | None, n: int, *, seed: int) -> np.ndarray:
    """Which of n rows validate: whole groups, a tenth of the rows at most, or the smallest fold."""
    fold = fold_of(groups, n, seed=seed, most=10)
    size = np.bincount(fold)
    within = np.where(size <= n // 10 + 1, size, 0)
    return fold == (within.argmax() if within.any() else size.argmin())


def _held_out(codes: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The rows held out, but for those of classes that would lose all their training rows."""
    left = np.bincount(codes[~held], minlength=codes.max(initial=0) + 1)
    return held & (left[codes] > 0)


def _lens(
    cells: Cells, modality: str, columns: np.ndarray, train: np.ndarray, features: str | None
) -> Lens:
    """Units, depth and the choice of features, all of it from the training rows."""
    conversion = choose(cells, modality)
    genes = modality in coordinates.GENES
    depth = "" if not genes else f", depth from the {len(columns):,} features here"
    say(conversion.words + depth)
    every = np.arange(len(columns))
    names = Names.of(cells.var.take(columns))
    if twice := doubled(names):
        warn(
            f"{len(twice):,} features share their name with another, {twice[0]!r} first: in other"
            " files they will not be found"
        )
    share = np.full(len(columns), 1 / len(columns))
    lens = Lens(conversion, Panel(modality, names, every, share), columns)
    share, variance = moments(cells, lens, train)
    if not (variance > 0).any():
        raise DataError(
            f"no {modality} feature varies over {len(train):,} training cells", file=cells.name
        )
    chosen = choose_features(cells, columns, names, variance, features)
    return Lens(conversion, Panel(modality, names, chosen, share), columns)


def scores_of(model: Model, data: LabelledData, rows: np.ndarray) -> np.ndarray:
    """Scores float32 (len(rows), classes) of a classifier on rows of its own data."""
    if not isinstance(model, Classifies):
        raise DataError("this model never classifies")
    parts = [rows[i : i + AT_USE] for i in range(0, len(rows), AT_USE)]
    made = [model.scores(data.block(part)) for part in parts]
    return np.concatenate(made) if made else np.zeros((0, len(data.classes)), np.float32)


def _calibrated(
    scores: np.ndarray, data: LabelledData, coarse: dict[str, str]
) -> tuple[artifact.Labels, dict[str, np.ndarray]]:
    """The temperature and how far to believe it; and how probable the true classes then are.

    `scores` (validation cells, classes) are those of the model.
    """
    codes = data.y(data.val)
    found = calibration.temperature(scores, codes)
    before = calibration.reliability(calibration.softmax(scores), codes)
    after = calibration.reliability(calibration.softmax(scores, found), codes)
    if len(codes):
        say(
            f"validation: accuracy {after.accuracy:.3f}; calibration error {before.ece:.3f},"
            f" {after.ece:.3f} at temperature {found:.2f}"
        )
    labels = artifact.Labels(
        column=data.labels.column,
        counts=data.counts.tolist(),
        coarse={name: coarse[name] for name in data.classes} if coarse else {},
        temperature=found,
        before=before._asdict(),
        after=after._asdict(),
    )
    probability = calibration.softmax(scores, found)
    bars = {conformal.FINE: conformal.scores(probability, codes)}
    if coarse:
        names = sorted(set(labels.coarse.values()))
        into = np.array([names.index(labels.coarse[name]) for name in data.classes])
        summed = probability @ np.eye(len(names))[into]
        bars[conformal.COARSE] = conformal.scores(summed, into[codes])
    return labels, bars


def _usual(scores: np.ndarray, data: LabelledData, temperature: float) -> dict[str, np.ndarray]:
    """Profiles of the classes, and how far validation cells are from them; empty for too few."""
    train = (data.cells_train[i : i + ROWS] for i in range(0, len(data.cells_train), ROWS))
    probability = calibration.softmax(scores, temperature)
    parts = [slice(i, i + AT_USE) for i in range(0, len(scores), AT_USE)]
    found = novelty.fit(
        ((data.x(rows), data.y(rows)) for rows in train),
        ((data.x(data.val[part]), probability[part]) for part in parts),
        (len(data.classes), len(data.inputs)),
    )
    return {} if found is None else found.save()


def _summary(data: LabelledData) -> dict[str, np.ndarray]:
    panel = data.lens.panel
    return {
        "train_cells": np.sort(hash_names(data.obs.index[data.cells_train])),
        "chosen": panel.chosen.astype(np.int64),
        "share": panel.share.astype(np.float64),
    }


def _header(
    name: str,
    cells: Cells,
    data: LabelledData,
    parts: Parts,
    labels: artifact.Labels,
    settings: dict[str, object],
    seed: int,
    report: Report,
) -> artifact.Header:
    panel = data.lens.panel
    inputs = artifact.Table(
        modality=panel.modality,
        units=data.lens.conversion.want,
        names=panel.names.names.tolist(),
        gene_name=_known(panel.names.symbols),
        gene_id=_known(panel.names.ids),
    )
    return artifact.Header(
        model=name,
        task="labels",
        config=settings,
        inputs=inputs,
        outputs=artifact.Table("label", "probability", list(data.classes)),
        version=__version__,
        seed=seed,
        genome=str(cells.scgx.get("genome", "")),
        split=parts.id,
        trained_on={"train": len(data.cells_train), "val": len(data.val)},
        totals="sum",
        history=history.chain([cells], seed),
        records=artifact.timeless(report.records),
        labels=labels,
    )


def _known(names: np.ndarray) -> list[str | None]:
    """Other names of the features; empty where there are none."""
    found: list[str | None] = names.tolist()
    return found if any(found) else []
