"""One run of quality control over a file: measure, judge, count again what stays, write."""

import json
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from scgx.cells import qc
from scgx.cells.bounds import Limit
from scgx.cells.counted import main_modality
from scgx.cells.tally import MT, NAMES, Metrics, Tally, feature_columns, measure, tallied
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import present
from scgx.h5ad.fitted import Rows, record, training_rows
from scgx.h5ad.frame import Frame
from scgx.h5ad.rows import WRITTEN, select_rows
from scgx.h5ad.select import select_columns, select_var
from scgx.h5ad.writer import Writer

Array: TypeAlias = np.ndarray


class Panel(NamedTuple):
    """A metric to be drawn: values of training cells and of others, and bounds."""

    name: str
    train: Array
    other: Array
    edges: tuple[float, ...]


@dataclass(frozen=True)
class Cleaning:
    """What is to be written and said."""

    obs: Frame  # of all cells, with their metrics
    var: Frame  # of all features, with theirs over the cells that stay
    rows: Array  # what stays, int64
    features: Array
    totals: dict[str, Array]  # by modality: what was counted in a cell before features went
    records: dict[str, str]  # by place below uns["scgx"]
    columns: list[str]  # of the table: what fell to what
    table: list[list[object]]
    facts: dict[str, object]
    panels: list[Panel]
    notes: list[str]


def clean(
    cells: Cells, request: qc.Request, min_cells: int | None, of: tuple[str | None, str | None],
    memory: int,
) -> Cleaning:  # fmt: skip
    """Measure and judge the cells, then the features; `of` is the modality and the layer meant."""
    modality, layer = of
    main = main_modality(cells, modality) if modality or "rna" in present(cells.var) else ""
    kinds = [kind for kind in present(cells.var) if kind in NAMES]
    kinds = [main] if modality else kinds
    main = main or (kinds[0] if kinds else "")
    rows = training_rows(cells)
    train = np.zeros(cells.n_obs, dtype=bool)
    train[rows.rows] = True
    metrics = measure(cells, kinds, np.where(train, 0, 1), layer, memory)
    request = replace(request, limits=tuple(_named(limit, main) for limit in request.limits))
    obs = cells.obs
    for name, values in metrics.values.items():
        obs = obs.with_column(name, values if name.startswith(("pct", "total")) else _whole(values))
    verdict = qc.judge(obs, metrics.values, train, request)
    kept = np.flatnonzero(verdict.keep)
    if not len(kept):
        falls = ", ".join(f"{f.filter} drops {int(f.rows.sum()):,}" for f in verdict.falls)
        raise DataError(f"no cell is left ({falls})", fix="loosen a bound", file=cells.name)
    tallies = _again(cells, metrics, verdict.keep, train, memory)
    features, lines = _features(cells, tallies, min_cells)
    parts = obs.strings("split") if "split" in obs else None
    columns, table = qc.table(verdict, parts)
    fits = any(limit.fitted for limit in request.limits)
    records = _records(cells, rows, fits, min_cells is not None, verdict)
    facts = _facts(cells, columns, table, verdict, lines, len(features))
    totals = {} if len(features) == cells.n_var else _totals(cells, metrics)
    notes = [*dict.fromkeys([*metrics.notes, *verdict.notes])]
    fit_on = rows._replace(rows=verdict.fit_on)
    notes += [f"bounds fitted on {fit_on}"] if fits else []
    notes += [f"kept {len(kept):,} of {cells.n_obs:,} cells", *lines]
    var = cells.var
    for name, values in feature_columns(cells, tallies).items():
        var = var.with_column(name, values)
    panels = _panels(metrics, train, verdict)
    return Cleaning(
        obs, var, kept, features, totals, records, columns, table, facts, panels, notes
    )  # fmt: skip


def write(cells: Cells, out: Writer, made: Cleaning) -> list[str]:
    """Write what stays; returns the names of what no rows can be taken of, which is left out."""
    some_rows, some_columns = len(made.rows) < cells.n_obs, len(made.features) < cells.n_var
    obs, lost = made.obs, []
    for kind, values in made.totals.items():
        obs = obs.with_column(f"total_counts_{kind}", values)
    if some_rows:
        lost = select_rows(cells, out, made.rows, made.features if some_columns else None)
    out.frame("obs", obs.take(made.rows) if some_rows else obs)
    if some_columns and some_rows:
        select_var(cells, out, made.features, var=made.var)
    elif some_columns:
        select_columns(cells, out, made.features, var=made.var)
    else:
        out.frame("var", made.var)
    skip = (*(WRITTEN if some_rows else ()), *(("varm", "varp") if some_columns else ()))
    out.copy_rest(cells, skip=skip)
    for place, text in made.records.items():
        out.uns(f"scgx/{place}", text)
    return lost


def _named(limit: Limit, main: str) -> Limit:
    """The limit of a metric as obs calls it: `main counts` is total_counts of the main modality."""
    of, what = limit.metric.split()
    if what == "pct-mt":
        return limit._replace(metric=MT)
    kind = main if of == "main" else of
    if kind == "atac" and what == "genes":
        raise DataError(f"{limit.option}: there are no genes, only peaks", fix="--min-peaks")
    names = NAMES.get(kind, NAMES["rna"])
    return limit._replace(metric=names.total if what.endswith("counts") else names.seen)


def _whole(values: Array) -> Array:
    """Numbers of features as integers, unless one is missing."""
    return values if np.isnan(values).any() else values.astype(np.int64)


def _again(
    cells: Cells, metrics: Metrics, keep: Array, train: Array, memory: int
) -> dict[str, Tally]:
    """The tallies over what stays: group 0 trains, group 1 does not."""
    if keep.all():
        return metrics.tallies
    groups = np.where(keep, np.where(train, 0, 1), -1)
    return {
        kind: tallied(
            cells, tally.source, groups, np.zeros(len(tally.source.columns), bool), memory
        )
        for kind, tally in metrics.tallies.items()
    }


def _features(
    cells: Cells, tallies: dict[str, Tally], min_cells: int | None
) -> tuple[Array, list[str]]:
    """The features that stay, and what is said of them."""
    keep = np.ones(cells.n_var, dtype=bool)
    if min_cells is None:
        return np.arange(cells.n_var), []
    if not tallies:
        raise DataError("--min-cells needs counts", fix="leave it out", file=cells.name)
    lines = []
    where = "training cells" if "split" in cells.obs else "cells"
    for kind, tally in tallies.items():
        here = tally.cells[0] >= min_cells
        keep[tally.source.columns] = here
        word = NAMES[kind].plural
        lines.append(
            f"kept {int(here.sum()):,} of {len(here):,} {word}, seen in {min_cells:,} {where}"
        )
    if not keep.any():
        raise DataError(f"no feature is seen in {min_cells:,} {where}", file=cells.name)
    return np.flatnonzero(keep), lines


def _totals(cells: Cells, metrics: Metrics) -> dict[str, Array]:
    """What normalisation divides by once features are gone, where obs lacks it."""
    return {
        kind: tally.total
        for kind, tally in metrics.tallies.items()
        if f"total_counts_{kind}" not in cells.obs
    }


def _records(
    cells: Cells, rows: Rows, fits: bool, by_cells: bool, verdict: qc.Verdict
) -> dict[str, str]:
    """What is kept in uns["scgx"] of a run: the bounds, and on which rows they were fitted."""
    made = {"qc": json.dumps(verdict.fitted._asdict(), sort_keys=True)}
    if fits:
        made["fitted/bounds/qc"] = record(cells, "qc", rows._replace(rows=verdict.fit_on))
    if by_cells:
        made["fitted/features/qc"] = record(cells, "qc --min-cells", rows)
    return made


def _facts(
    cells: Cells, columns: list[str], table: list[list[object]], verdict: qc.Verdict,
    lines: list[str], n_features: int,
) -> dict[str, object]:  # fmt: skip
    """The same as one JSON object."""
    return {
        "file": cells.name,
        "cells": {"before": cells.n_obs, "after": int(verdict.keep.sum())},
        "features": {"before": cells.n_var, "after": n_features, "said": lines},
        "filters": [dict(zip(columns, row, strict=True)) for row in table[:-2]],
        "bounds": verdict.fitted.pooled,
        "bounds_per_label": verdict.fitted.per_label,
    }


def _panels(metrics: Metrics, train: Array, verdict: qc.Verdict) -> list[Panel]:
    """A picture of every metric, with the bounds of all cells."""
    return [
        Panel(
            name, values[train], values[~train], tuple(verdict.fitted.pooled.get(name, {}).values())
        )
        for name, values in metrics.values.items()
        if name != "total_counts_mt"
    ]
