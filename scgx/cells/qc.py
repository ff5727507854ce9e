"""Which cells and features stay: flags, labels and conditions first, then numbers, then fitted bounds.

What is fitted is fitted on the training cells that came so far, so that no outlier of a kind that is
dropped anyway moves a bound. Bounds per label drop training cells alone: a test cell that was dropped
because of its label would make the test easier, so others meet the bounds of all.
"""

import re
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from scgx.cells.bounds import Bound, Limit
from scgx.cells.sample import mask, missing
from scgx.cells.where import Wish, conditions
from scgx.errors import DataError
from scgx.h5ad.frame import Frame
from scgx.registry import suggest

Array: TypeAlias = np.ndarray

FEWEST = 20  # training cells of a label that may have bounds of their own
_NOTHING = {"", "nan", "na", "n/a", "none", "null", "<na>"}
_YES = {
    "true",
    "t",
    "yes",
    "y",
    "1",
    "1.0",
    "doublet",
    "doublets",
    "dbl",
    "multiplet",
    "multiplets",
}
_NO = {"false", "f", "no", "n", "0", "0.0", "singlet", "singlets", "sng", "negative"}
_OPEN = {"ambiguous", "amb", "unassigned", "unknown", *_NOTHING}


@dataclass(frozen=True)
class Request:
    """What is asked of cells."""

    limits: tuple[Limit, ...] = ()
    keep: tuple[Wish, ...] = ()
    doublets: str | None = None  # a column of flags
    label: str | None = None  # the column of --drop-label and --drop-unlabelled
    drop_label: tuple[str, ...] = ()
    drop_unlabelled: bool = False
    per: str | None = None  # a column within whose levels bounds are fitted


class Fall(NamedTuple):
    """The cells that one filter drops, bool (n,), and its bound in words."""

    filter: str
    bound: str
    rows: Array


class Fitted(NamedTuple):
    """The bounds in force, by metric and side: for all cells, and for training cells of a label."""

    pooled: dict[str, dict[str, float]]
    per_label: dict[str, dict[str, dict[str, float]]]


class Verdict(NamedTuple):
    """What fell to what, which cells stay (bool (n,)), which ones bounds were fitted on (int64), the
    bounds, and what is to be said.
    """

    falls: list[Fall]
    keep: Array
    fit_on: Array
    fitted: Fitted
    notes: list[str]


def judge(obs: Frame, metrics: dict[str, Array], train: Array, request: Request) -> Verdict:
    """Apply a request to cells; `train` (n,) is true for those that bounds are fitted on.

    DataError for columns that are not there, and metrics that nobody can know.
    """
    notes: list[str] = []
    falls = [*_by_words(obs, request, notes)]
    values = [limit for limit in request.limits if _part(limit, fitted=False)]
    fits = [limit for limit in request.limits if limit.fitted]
    bounds = Fitted({}, {})
    for limit in values:
        edge = _tightest(limit, [bound.amount for bound in _part(limit, fitted=False)])
        bounds.pooled.setdefault(limit.metric, {})[limit.side] = edge
        metric = _metric(metrics, limit, notes)
        falls.append(Fall(limit.option, f"{edge:g}", _beyond(metric, limit.side, edge)))
    keep = _left(falls, len(obs))
    labels = _labels(obs, request.per) if request.per else None
    fit_on = keep & train
    if fits and not fit_on.any():
        raise DataError("no training cell is left to fit bounds on", fix="loosen what comes before")
    for limit in fits:
        metric = _metric(metrics, limit, notes)
        falls.append(_fit(metric, fit_on, train, limit, labels, bounds))
    if fits and labels is not None:
        notes += _too_few(labels[fit_on], request.per or "")
    return Verdict(falls, _left(falls, len(obs)), np.flatnonzero(fit_on), bounds, notes)


def table(verdict: Verdict, parts: Array | None) -> tuple[list[str], list[list[object]]]:
    """Columns and rows: by filter how many cells fall to it, to it alone, and in each part."""
    names = [] if parts is None else [p for p in ("train", "val", "test") if np.any(parts == p)]
    columns = ["filter", "bound", "cells", "alone", *names]
    times = np.zeros(len(verdict.keep), dtype=np.int64)
    for fall in verdict.falls:
        times += fall.rows
    rows: list[list[object]] = []
    for fall in verdict.falls:
        alone = int((fall.rows & (times == 1)).sum())
        rows.append(
            [fall.filter, fall.bound, int(fall.rows.sum()), alone, *_split(fall.rows, parts, names)]
        )
    for word, chosen in (("dropped", ~verdict.keep), ("kept", verdict.keep)):
        rows.append([word, "", int(chosen.sum()), "", *_split(chosen, parts, names)])
    return columns, rows


def _split(rows: Array, parts: Array | None, names: list[str]) -> list[int]:
    return [int((rows & (parts == name)).sum()) for name in names]


def _by_words(obs: Frame, request: Request, notes: list[str]) -> list[Fall]:
    """Conditions, doublets, labels."""
    falls = []
    for wish in request.keep:
        met = mask(obs, wish)
        if not met.any():
            raise DataError(f"no cell meets {wish}")
        for column in dict.fromkeys(part.column for part in conditions(wish)):
            if absent := missing(obs, column):
                notes.append(f"{absent:,} cells have no {column}")
        falls.append(Fall("--keep", str(wish), ~met))
    if request.doublets is not None:
        falls.append(
            Fall("--drop-doublets", request.doublets, doublets(obs, request.doublets, notes))
        )
    if request.label is None:
        return falls
    labels = _labels(obs, request.label)
    unlabelled = np.array([label is None for label in labels], dtype=bool)
    if request.drop_unlabelled:
        falls.append(Fall("--drop-unlabelled", request.label, unlabelled))
    elif unlabelled.any():
        count = int(unlabelled.sum())
        notes.append(f"{count:,} cells have no {request.label} and stay (--drop-unlabelled)")
    for pattern in request.drop_label:
        rule = re.compile(pattern)
        found = {label for label in set(labels) if label is not None and rule.search(label)}
        if not found:
            notes.append(f"--drop-label {pattern!r} matches no {request.label}")
        rows = np.array([label in found for label in labels], dtype=bool)
        falls.append(Fall("--drop-label", pattern, rows))
    return falls


def doublets(obs: Frame, column: str, notes: list[str]) -> Array:
    """Which cells are flagged as doublets, bool (n,), by booleans, 0 and 1, or the words of tools.

    DataError for scores and for words that nobody knows.
    """
    words = [("" if w is None else w.strip().lower()) for w in _strings(obs, column)]
    strange = sorted(set(words) - _YES - _NO - _OPEN)
    if strange:
        shown = ", ".join(map(repr, strange[:3]))
        fix = f'--keep "{column} < 0.25" for scores; flags are true, false, doublet, singlet, 1, 0'
        raise DataError(f"obs[{column!r}] holds {shown}, which is no doublet flag", fix=fix)
    if count := sum(word in _OPEN for word in words):
        notes.append(f"{count:,} cells have no verdict in {column} and stay")
    return np.array([word in _YES for word in words], dtype=bool)


def _labels(obs: Frame, column: str) -> Array:
    """Labels without blanks at their ends, None where missing, object (n,)."""
    known: dict[str | None, str | None] = {None: None}
    words = _strings(obs, column)
    for word in set(words) - {None}:
        bare = word.strip()
        known[word] = None if bare.lower() in _NOTHING else bare
    return np.array([known[word] for word in words], dtype=object)


def _strings(obs: Frame, column: str) -> Array:
    if column not in obs:
        raise DataError(f"no column {column!r} in obs", fix=suggest(column, list(obs.columns)))
    return obs.strings(column)


def _left(falls: list[Fall], n: int) -> Array:
    keep = np.ones(n, dtype=bool)
    for fall in falls:
        keep &= ~fall.rows
    return keep


def _metric(metrics: dict[str, Array], limit: Limit, notes: list[str]) -> Array:
    """Values of a metric; a cell without one stays, which is said."""
    if limit.metric not in metrics:
        what = f"{limit.option} needs {limit.metric}, which is not in the file"
        mt = "genes on chrM or named MT-, or obs['pct_counts_mt']"
        fix = mt if limit.metric.startswith("pct_") else f"a column obs[{limit.metric!r}] would do"
        raise DataError(what, fix=fix)
    values = metrics[limit.metric]
    if absent := int(np.isnan(values).sum()):
        notes.append(f"{absent:,} cells have no {limit.metric} and stay")
    return values


def _part(limit: Limit, *, fitted: bool) -> list[Bound]:
    return [bound for bound in limit.bounds if (bound.kind != "value") == fitted]


def _tightest(limit: Limit, edges: list[float]) -> float:
    return max(edges) if limit.side == "min" else min(edges)


def _beyond(values: Array, side: str, edge: float | Array) -> Array:
    return values < edge if side == "min" else values > edge  # never true of NaN


def edge_of(values: Array, bound: Bound, side: str) -> float:
    """Where a fitted bound lies for these values (no NaN among them, one at least)."""
    sign = -1.0 if side == "min" else 1.0
    if bound.kind == "q":
        return float(np.quantile(values, bound.amount / 100))
    if bound.kind == "mad":
        middle = np.median(values)
        return float(middle + sign * bound.amount * np.median(np.abs(values - middle)))
    low, high = np.quantile(values, [0.25, 0.75])
    return float((low if side == "min" else high) + sign * bound.amount * (high - low))


def _fit(
    metric: Array, fit_on: Array, train: Array, limit: Limit, labels: Array | None, bounds: Fitted
) -> Fall:
    """The cells beyond the fitted bounds of one limit; notes the bounds in `bounds`."""
    wanted = _part(limit, fitted=True)
    words = ",".join(map(str, wanted))
    known = fit_on & ~np.isnan(metric)
    if not known.any():
        raise DataError(f"no training cell has {limit.metric}", fix=f"leave {limit.option} out")

    def edge(values: Array) -> float:
        return _tightest(limit, [edge_of(values, bound, limit.side) for bound in wanted])

    pooled = edge(metric[known])
    here = bounds.pooled.setdefault(limit.metric, {})
    here[limit.side] = _tightest(
        limit, [pooled, *([here[limit.side]] if limit.side in here else [])]
    )
    edges = np.full(len(metric), pooled)
    said = f"{words}: {pooled:g}"
    if labels is not None:
        levels = _levels(labels[known])
        for level in levels:
            own = edge(metric[known & (labels == level)])
            edges[train & (labels == level)] = own
            sides = bounds.per_label.setdefault(level, {}).setdefault(limit.metric, {})
            sides[limit.side] = own
        said += f", or of {len(levels):,} labels"
    return Fall(limit.option, said, _beyond(metric, limit.side, edges))


def _levels(labels: Array) -> list[str]:
    """The labels with enough cells for bounds of their own, sorted."""
    names, counts = np.unique(
        labels[[x is not None for x in labels]].astype(str), return_counts=True
    )
    return names[counts >= FEWEST].tolist()


def _too_few(labels: Array, column: str) -> list[str]:
    known = {label for label in labels if label is not None}
    few = sorted(known - set(_levels(labels)))
    if not few:
        return []
    shown = ", ".join(few[:4]) + (f" and {len(few) - 4} more" if few[4:] else "")
    return [f"{column} with under {FEWEST} training cells meet the pooled bounds: {shown}"]
