"""Which cells train, which tune and which test: by group, with strata, and by name alone.

A group (donor, batch, perturbation) goes to one part as a whole, since cells of one donor resemble
each other and a model that has seen some of them is not tested by the rest. Groups are taken in the
order of a hash of seed and name, never of appearance, so that shuffling the rows moves no cell.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import xxhash

from scgx.errors import DataError, UsageError
from scgx.h5ad.names import hash_names
from scgx.registry import suggest

Array: TypeAlias = np.ndarray

PARTS = ("train", "val", "test")
_TRIES = 20  # orders of the groups that are tried; the one with the best shares is kept
_WORDS = {
    **dict.fromkeys(("train", "training", "true"), 0),
    **dict.fromkeys(("val", "valid", "validation", "dev", "tune"), 1),
    **dict.fromkeys(("test", "testing", "heldout", "held-out", "holdout", "false"), 2),
}


class Fractions(NamedTuple):
    """Shares of the cells; they sum to one and each may be zero."""

    train: float
    val: float
    test: float


def parse_fractions(text: str) -> Fractions:
    """`0.7,0.1,0.2` (train, val, test); a UsageError unless there are three that sum to one."""
    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--fractions {text!r} are no numbers", fix="0.7,0.1,0.2") from None
    if len(shares) != 3:
        fix = "write train,val,test as 0.7,0.1,0.2; a share may be 0"
        raise UsageError(f"--fractions has {len(shares)} shares, not three", fix=fix)
    if not all(0 <= share <= 1 for share in shares) or abs(sum(shares) - 1) > 1e-6:
        raise UsageError(f"--fractions {text} do not sum to 1", fix="for example 0.7,0.1,0.2")
    return Fractions(*shares)


def by_group(
    groups: Array,
    fractions: Fractions,
    *,
    seed: int,
    strata: Array | None = None,
    fixed: Mapping[str, int] | None = None,
) -> Array:
    """The part (0 train, 1 val, 2 test) of every cell, int8 (n,), whole groups together.

    `groups` (n,) and `strata` (n,) are labels as str; `fixed` names groups whose part is settled.
    What is free is dealt, group by group, to the part where it brings the numbers of cells of each
    stratum nearest to the fractions. DataError where there are fewer groups than parts.
    """
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    counts = _crossed(codes, strata, len(names))
    settled = fixed or {}
    parts = np.array([settled.get(name, -1) for name in names], dtype=np.int8)
    free = np.flatnonzero(parts < 0)
    wanted = [part for part in range(3) if fractions[part] > 0]
    if free.size:
        short = [part for part in wanted if not np.any(parts == part)]
        if len(short) > free.size:
            raise DataError(
                f"{_number(len(short), 'part')} cannot be made of {_number(free.size, 'group')}"
                f" ({_few(names[free])})",
                fix="give a share of 0 to a part, or split without --by",
            )
        tries = [
            _deal(names, counts, parts, fractions, _order(names, free, seed, attempt))
            for attempt in range(max(1, min(_TRIES, 20_000 // free.size)))
        ]
        parts = min(tries, key=lambda dealt: _distance(counts, dealt, fractions))
    return parts[codes]


def by_cell(names: Array, fractions: Fractions, *, seed: int, strata: Array | None = None) -> Array:
    """The part of every cell, int8 (n,), cell by cell; each stratum (n,) keeps the fractions.

    DataError where there are fewer cells than parts.
    """
    wanted = np.array([fractions[part] > 0 for part in range(3)])
    if len(names) < wanted.sum():
        raise DataError(f"{wanted.sum()} parts cannot be made of {_number(len(names), 'cell')}")
    ranks = hash_names(f"{seed}\0{name}" for name in names)
    labels = np.zeros(len(names), int) if strata is None else _codes(strata)
    order = np.lexsort((names.astype(str), ranks, labels))
    parts = np.empty(len(names), dtype=np.int8)
    done = np.zeros(3)
    start = 0
    for size in np.bincount(labels):
        quota = np.floor(np.array(fractions) * size + 1e-9).astype(int)
        for _ in range(size - quota.sum()):
            due = np.array(fractions) * (start + size) - done - quota
            quota[int(np.argmax(np.where(wanted, due, -np.inf)))] += 1
        parts[order[start : start + size]] = np.repeat(np.arange(3, dtype=np.int8), quota)
        done += quota
        start += size
    return _none_empty(parts, order, wanted)


def from_labels(values: Sequence[str | None], *, true_is: int = 0) -> Array:
    """Parts (n,) out of a column of `train`, `val`, `test` or of booleans (`true_is` 0: train).

    Also understood: training, valid, validation, dev, testing, heldout, holdout, True, False.
    """
    words = dict(_WORDS, true=true_is, false=0 if true_is == 2 else 2)
    known = {value: words.get("" if value is None else value.lower(), -1) for value in set(values)}
    odd = sorted(str(value) for value, part in known.items() if part < 0 and value is not None)
    if odd:
        raise DataError(f"{_few(odd)} is no part of a split", fix="train, val, test, or booleans")
    if None in known:
        missing = sum(value is None for value in values)
        raise DataError(f"{missing:,} cells have no value", fix="give every cell a part")
    return np.array([known[value] for value in values], dtype=np.int8)


def settle(named: Mapping[int, Sequence[str]], groups: Array) -> dict[str, int]:
    """Part by group for the groups named outright; unknown and repeated names are refused."""
    known = sorted(set(groups.astype(str).tolist()))
    settled: dict[str, int] = {}
    for part, names in named.items():
        for name in names:
            if name not in known:
                near = suggest(name, known) if len(known) < 200 else f"such as {_few(known)}"
                raise DataError(f"no group is called {name!r}", fix=near)
            if settled.get(name, part) != part:
                raise UsageError(
                    f"group {name!r} is named for {PARTS[settled[name]]} and {PARTS[part]}"
                )
            settled[name] = part
    return settled


def torn(groups: Array, parts: Array) -> list[str]:
    """The groups (n,) that have cells in more than one part, sorted."""
    pairs = {(str(group), int(part)) for group, part in zip(groups, parts, strict=True)}
    seen: dict[str, int] = {}
    for group, _part in pairs:
        seen[group] = seen.get(group, 0) + 1
    return sorted(group for group, times in seen.items() if times > 1)


def identity(names: Array, parts: Array) -> str:
    """A hash of who is in which part, the same in any order of the cells."""
    pairs = hash_names(f"{name}\0{PARTS[part]}" for name, part in zip(names, parts, strict=True))
    return xxhash.xxh3_64_hexdigest(np.sort(pairs).astype("<u8").tobytes())


def _order(names: Array, free: Array, seed: int, attempt: int) -> Array:
    ranks = hash_names(f"{seed}\0{attempt}\0{name}" for name in names[free])
    return free[np.lexsort((names[free], ranks))]


def _deal(names: Array, counts: Array, parts: Array, fractions: Fractions, order: Array) -> Array:
    """Deal the free groups in one order; a part that would stay empty gets one of the last."""
    dealt = parts.copy()
    total = counts.sum(axis=0)
    target = np.outer(fractions, total)
    filled = np.array([counts[dealt == part].sum(axis=0) for part in range(3)], dtype=float)
    weight = 1.0 / np.maximum(total, 1)
    empty = [p for p in range(3) if fractions[p] > 0 and not np.any(dealt == p)]
    allowed = [p for p in range(3) if fractions[p] > 0]
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        choices = empty if left <= len(empty) else allowed
        gain = [
            float(((2 * (target[p] - filled[p]) - counts[group]) * counts[group] * weight).sum())
            for p in choices
        ]
        part = choices[int(np.argmax(gain))]
        dealt[group] = part
        filled[part] += counts[group]
        if part in empty:
            empty.remove(part)
    return dealt


def _distance(counts: Array, parts: Array, fractions: Fractions) -> float:
    """How far the cells of each stratum are from the fractions, squared, per cell."""
    total = counts.sum(axis=0)
    filled = np.array([counts[parts == part].sum(axis=0) for part in range(3)], dtype=float)
    return float((((filled - np.outer(fractions, total)) ** 2) / np.maximum(total, 1)).sum())


def _crossed(codes: Array, strata: Array | None, n_groups: int) -> Array:
    """Numbers of cells, (groups, strata)."""
    if strata is None:
        return np.bincount(codes, minlength=n_groups)[:, None].astype(float)
    labels = _codes(strata)
    width = int(labels.max()) + 1 if labels.size else 1
    table = np.bincount(codes * width + labels, minlength=n_groups * width)
    return table.reshape(n_groups, width).astype(float)


def _codes(labels: Array) -> Array:
    """Labels (None is one of its own) as integers in sorted order."""
    words = np.array(["\0" if label is None else str(label) for label in labels], dtype=str)
    return np.unique(words, return_inverse=True)[1]


def _none_empty(parts: Array, order: Array, wanted: Array) -> Array:
    """A part that has a share and got no cell takes the last one of the largest part."""
    for part in np.flatnonzero(wanted):
        if not np.any(parts == part):
            largest = int(np.argmax(np.bincount(parts, minlength=3)))
            parts[order[parts[order] == largest][-1]] = part
    return parts


def _number(count: int, word: str) -> str:
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def _few(names: Sequence[str] | Array) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:3])
    return shown + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
