"""Fit a generator: counts of chosen features, a label and further conditions; an artifact comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scgx import __version__, registry
from scgx.errors import DataError, UsageError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of
from scgx.h5ad.names import hash_names
from scgx.learn import artifact, conditions, config
from scgx.learn.convert import Conversion, choose
from scgx.learn.generative import GenerativeData
from scgx.learn.labels import classes_of
from scgx.learn.model import parts_for
from scgx.learn.panel import Lens, Names, Panel
from scgx.learn.parts import Parts, for_training
from scgx.learn.train import Fitted, measured_by_all
from scgx.learn.variable import choose_features, main_modality, moments
from scgx.progress import Report, say

FEATURES = "2000"


@dataclass(frozen=True)
class GeneratorRoles:
    """What cells are generated for, and from which cells and features that is learned."""

    label: str
    conditions: tuple[str, ...] = ()  # further columns of obs
    source: str | None = None  # modality; rna where the file has it
    features: str = FEATURES  # N most variable, `marked`, or a file of names
    least: int = 10  # training cells that a class must have
    balance: bool = False  # show every class equally often


def fit(
    name: str, cells: Cells, roles: GeneratorRoles, settings: object, *, seed: int, report: Report
) -> Fitted:
    """Fit the generator `name` on the training rows of `cells`."""
    module = registry.load("models", name)
    modality = roles.source or main_modality(cells)
    if modality not in module.GENERATES:
        able = ", ".join(sorted(module.GENERATES))
        raise DataError(f"model {name!r} generates no {modality}", fix=f"it does {able}")
    data, parts = gather(cells, roles, modality, seed=seed)
    about = data.conditions
    told = " x ".join(
        f"{n:,} of {column}" for column, n in zip(about.columns, about.sizes, strict=True)
    )
    say(
        f"{name}: {len(data.columns):,} {modality} features, {told},"
        f" {len(data.train):,} cells train, {len(data.val):,} validate"
    )
    model = parts_for(module, labels=False).model.fit(data, settings, seed=seed, report=report)
    head = _header(name, cells, data, parts, config.to_json(settings), seed, report)
    return Fitted(model, head, _summary(data))


def gather(
    cells: Cells, roles: GeneratorRoles, modality: str, *, seed: int
) -> tuple[GenerativeData, Parts]:
    """Rows of the split that have all conditions, and the features chosen on those that train."""
    cells.require_unique("obs")
    cells.require_unique("var")
    columns = (roles.label, *roles.conditions)
    if len(set(columns)) < len(columns):
        raise UsageError("--label and --condition name a column twice")
    parts = for_training(cells, seed)
    known = classes_of(cells.obs, roles.label, parts.train, least=roles.least, name=cells.name)
    labelled = parts.train[known.codes[parts.train] >= 0]
    about = conditions.fit(cells.obs, columns, labelled, known.names)
    whole = np.all(about.codes(cells.obs) >= 0, axis=1)
    train, val = (rows[whole[rows]] for rows in (parts.train, parts.val))
    if without := len(labelled) - len(train):
        say(f"{without:,} of {len(labelled):,} labelled training cells lack a condition: left out")
    if len(train) < 2:
        raise DataError("fewer than 2 training cells have all conditions", file=cells.name)
    left = np.bincount(about.codes(cells.obs)[train, 0], minlength=len(known.names))
    if not left.all():
        empty = known.names[int(left.argmin())]
        raise DataError(f"no training cell of {empty!r} has all conditions", file=cells.name)
    conversion = choose(cells, modality, "counts")
    say(conversion.words)
    measured = measured_by_all(cells, columns_of(cells, modality), parts, modality)
    chosen = _features(cells, conversion, measured, train, roles.features)
    place = (conversion, chosen)
    data = GenerativeData(
        cells, place, about, (train, val), groups=parts.groups, balance=roles.balance
    )
    return data, parts


def _features(
    cells: Cells, conversion: Conversion, columns: np.ndarray, train: np.ndarray, wish: str
) -> np.ndarray:
    """Columns of the features that are generated, by what varies over the training rows."""
    names = Names.of(cells.var.take(columns))
    every = np.arange(len(columns))
    share = np.full(len(columns), 1 / len(columns))
    lens = Lens(conversion, Panel(conversion.modality, names, every, share), columns)
    _share, variance = moments(cells, lens, train)
    if not (variance > 0).any():
        raise DataError(
            f"no {conversion.modality} feature varies over {len(train):,} training cells",
            file=cells.name,
        )
    return columns[choose_features(cells, columns, names, variance, wish)]


def _summary(data: GenerativeData) -> dict[str, np.ndarray]:
    """Who trained, what the mean cell is, and which conditions were seen together."""
    total = np.zeros(len(data.columns))
    for block in data.blocks(data.train):
        total += np.asarray(block.x.sum(axis=0), np.float64).ravel()
    return {
        "train_cells": np.sort(hash_names(data.obs.index[data.train])),
        "train_mean": (total / len(data.train)).astype(np.float32),
        "seen": data.conditions.seen,
        "seen_counts": data.conditions.counts,
    }


def _header(
    name: str,
    cells: Cells,
    data: GenerativeData,
    parts: Parts,
    settings: dict[str, object],
    seed: int,
    report: Report,
) -> artifact.Header:
    features, frame = data.features, cells.var.take(data.columns)
    symbols = frame.strings("gene_name").tolist() if "gene_name" in frame else []
    table = artifact.Table(
        modality=features.modality,
        units="counts",
        names=features.names.tolist(),
        chrom=features.chrom.tolist(),
        start=features.start.tolist(),
        end=features.end.tolist(),
        strand=features.strand.tolist(),
        tss=features.tss.tolist(),
        gene_name=symbols,
    )
    about = data.conditions
    told = [
        artifact.Condition(column, list(levels), np.bincount(
            about.seen[:, i], weights=about.counts, minlength=len(levels)).astype(int).tolist())
        for i, (column, levels) in enumerate(zip(about.columns, about.levels, strict=True))
    ]  # fmt: skip
    return artifact.Header(
        model=name,
        task="generation",
        config=settings,
        inputs=table,
        outputs=table,
        version=__version__,
        seed=seed,
        genome=str(cells.scgx.get("genome", "")),
        split=parts.id,
        trained_on={"train": len(data.train), "val": len(data.val)},
        totals="sum",
        history=history.chain([cells], seed),
        records=artifact.timeless(report.records),
        conditions=told,
    )
