"""Which row of one table is which cell of another, and how two tables of cells become one.

Cells pair by name, never by position (unless the caller asks). Names of one cell differ between
files by what programs add to a barcode: `-1` of Cell Ranger, `-s1d1` of a concatenation, `sample#`
of ArchR, `sample_` of Seurat. Exact names come first; a looser rule is used only where it stays
unique on both sides, and where what it leaves out maps one to one (`s1#` is always `-s1`).
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.frame import Categorical, Column, Frame, Nullable

Array: TypeAlias = np.ndarray

_TRAILING = re.compile(r"-\d+$")
_BARCODE = re.compile(r"(?<![A-Za-z])[ACGTN]{10,}(?![A-Za-z])")
PREFIXES = {"rna": "GEX_", "atac": "ATAC_", "adt": "ADT_", "activity": "ACTIVITY_"}


class Pairing(NamedTuple):
    """Rows of two tables that are the same cell, in the order of the first; and by which rule."""

    first: Array  # int64 (kept,), ascending
    second: Array  # int64 (kept,)
    rule: str


def pair(first: Array, second: Array, *, by_position: bool = False) -> Pairing:
    """Pair two arrays of cell names, each without repeats.

    The first rule that pairs half of the smaller table is taken, else the one that pairs most.
    `by_position` allows rows to pair in order where no name does and the numbers agree. DataError
    where nothing pairs.
    """
    for names in (first, second):
        refuse_repeats(names, "cell")
    found = [matched for rule in _RULES if (matched := _match(first, second, rule)) is not None]
    half = min(len(first), len(second)) / 2
    best = max(found, key=lambda matched: (len(matched.first) >= half, len(matched.first)))
    enough = [matched for matched in found if len(matched.first) >= half]
    best = enough[0] if enough else best
    if len(best.first):
        return best
    if by_position and len(first) == len(second):
        rows = np.arange(len(first))
        return Pairing(rows, rows, "by position, as asked")
    if by_position:
        raise DataError(f"{len(first):,} and {len(second):,} cells do not pair by position")
    raise DataError(
        f"no cell name is in both, such as {_few(first, 1)} and {_few(second, 1)}",
        fix="rename the cells, or --allow-positional where the rows are known to agree",
    )


class _Rule(NamedTuple):
    words: str
    key: Callable[[str], tuple[str, str]]  # name -> what has to agree, what is left out


def _without_suffix(name: str) -> tuple[str, str]:
    short = _TRAILING.sub("", name)
    return short, name[len(short) :]


def _barcode(name: str) -> tuple[str, str]:
    found = _BARCODE.findall(name)
    if len(found) != 1:
        return name, ""
    return found[0], _TRAILING.sub("", name.replace(found[0], "*"))


_RULES = (
    _Rule("by exact name", lambda name: (name, "")),
    _Rule("by name without the trailing -<number>", _without_suffix),
    _Rule("by barcode alone, unique in both files", _barcode),
)


def _match(first: Array, second: Array, rule: _Rule) -> Pairing | None:
    """Pairs under one rule; None where it is ambiguous, or pairs a sample with two others."""
    left = [rule.key(name) for name in first]
    right = [rule.key(name) for name in second]
    place = {key: row for row, (key, _rest) in enumerate(right)}
    if len(place) < len(right) or len({key for key, _rest in left}) < len(left):
        return None
    pairs = [(row, place[key]) for row, (key, _rest) in enumerate(left) if key in place]
    rests = {(left[a][1], right[b][1]) for a, b in pairs if left[a][1] and right[b][1]}
    if len({a for a, _b in rests}) < len(rests) or len({b for _a, b in rests}) < len(rests):
        return None
    rows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Pairing(rows[:, 0], rows[:, 1], rule.words)


class Merged(NamedTuple):
    """One table out of several, and the columns whose values differed."""

    frame: Frame
    conflicts: list[str]


def merge_obs(frames: Sequence[Frame], prefixes: Sequence[str]) -> Merged:
    """Put columns side by side; rows of all frames are the same cells, named as in the first.

    A column that several have is kept once where its values are equal, and under the prefix of each
    where they differ; an empty prefix leaves a name as it is.
    """
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    columns: dict[str, Column] = {}
    conflicts = []
    taken = set(names)
    for name in names:
        having = [i for i, frame in enumerate(frames) if name in frame]
        column = frames[having[0]][name]
        if all(same(frames[having[0]], frames[i], name) for i in having[1:]):
            columns[name] = column
            continue
        conflicts.append(name)
        for i in having:
            fresh = prefixes[i] + name
            while (prefixes[i] and fresh in taken) or fresh in columns:
                fresh += "_"
            columns[fresh] = frames[i][name]
    first = frames[0]
    return Merged(Frame(first.index, columns, first.index_name), conflicts)


def same(one: Frame, other: Frame, name: str) -> bool:
    """True when a column says the same in both frames, whatever its encoding."""
    if _is_number(one[name]) and _is_number(other[name]):
        return np.array_equal(one.numbers(name), other.numbers(name), equal_nan=True)
    return bool(np.array_equal(one.strings(name), other.strings(name)))


def unique_features(names: Sequence[Array], modalities: Sequence[str]) -> list[Array]:
    """Feature names (one array per table) that are unique over all tables.

    A table that shares a name with an earlier one has its modality appended to all of its names
    (`ENSG00000139618:activity`), so that a panel is called the same whatever it was joined to.
    Repeats within one table are the caller's to settle.
    """
    taken: set[str] = set()
    unique = []
    for own, modality in zip(names, modalities, strict=True):
        fresh = own
        if not taken.isdisjoint(own):
            fresh = np.array([f"{name}:{modality}" for name in own], dtype=object)
            if not taken.isdisjoint(fresh):
                raise DataError(f"names of {modality} features clash even as {_few(fresh, 1)}")
        taken.update(fresh)
        unique.append(fresh)
    return unique


def shared_genes(identifiers: Sequence[Array]) -> list[Array]:
    """For each table, the columns (int64, ascending) whose gene every table has; versions ignored.

    DataError where no gene is in all.
    """
    bare = [[re.sub(r"^(ENS\w*\d)\.\d+$", r"\1", str(name)) for name in own] for own in identifiers]
    common = set(bare[0]).intersection(*bare[1:])
    if not common:
        raise DataError(
            f"no gene is in both, such as {_few(identifiers[0], 1)} and {_few(identifiers[-1], 1)}",
            fix="both need the same kind of gene id",
        )
    return [np.flatnonzero([name in common for name in own]) for own in bare]


def align_rows(frame: Frame, rows: Array) -> Frame:
    """Rows of a metadata table in the order given, where row -1 is a cell that it lacks.

    Missing numbers become NaN, missing words become missing categories, missing truths masked.
    """
    absent = rows < 0
    found = frame.take(np.where(absent, 0, rows)) if len(frame) else frame
    columns: dict[str, Column] = {}
    for name, column in found.columns.items():
        columns[name] = _blank(column, absent) if absent.any() else column
    return Frame(found.index, columns, frame.index_name)


def refuse_repeats(names: Array, what: str) -> None:
    """DataError with the first three names that occur more than once."""
    if len(set(names)) == len(names):
        return
    values, counts = np.unique(names.astype(str), return_counts=True)
    repeated = values[counts > 1]
    raise DataError(
        f"{len(repeated):,} {what} names occur more than once: {_few(repeated, 3)}",
        fix="names must be unique to pair by",
    )


def _blank(column: Column, absent: Array) -> Column:
    if isinstance(column, Categorical):
        return column._replace(codes=np.where(absent, -1, column.codes).astype(column.codes.dtype))
    if isinstance(column, Nullable):
        return Nullable(column.values, column.mask | absent)
    if column.dtype.kind == "b":
        return Nullable(column, absent)
    if column.dtype.kind in "iuf":
        return np.where(absent, np.nan, column.astype(np.float64))
    words = column.astype(object)
    words[absent] = None
    return words


def _is_number(column: Column) -> bool:
    if isinstance(column, Categorical):
        return False
    values = column.values if isinstance(column, Nullable) else column
    return values.dtype.kind in "iufb"


def _few(names: Sequence[str] | Array, count: int) -> str:
    shown = ", ".join(repr(str(name)) for name in names[:count])
    return shown + (" ..." if len(names) > count > 1 else "") if len(names) else "none"
