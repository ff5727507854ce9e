"""Tables of different cells one below the other, and tables of the same features merged to one.

Columns of cells are the union: what a file does not say of its cells is missing, not lost. Of columns
of features, the union too, unless two files say different things of the same feature: means and counts
over the cells of one file are true of that file alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.h5ad.frame import Categorical, Column, Frame, Nullable, categorical

Array = np.ndarray
_PLACES = ("chrom", "start", "end", "strand", "tss")


class Appended(NamedTuple):
    """The table, the columns that some file lacks, and those whose kinds differ (now text)."""

    frame: Frame
    partial: list[str]
    mixed: list[str]


def append(frames: Sequence[Frame], index: Array) -> Appended:
    """Rows of all frames in order, under a new index; columns in order of appearance."""
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    columns: dict[str, Column] = {}
    mixed = []
    for name in names:
        parts = [frame.columns.get(name) for frame in frames]
        known = [part for part in parts if part is not None]
        sizes = [len(frame) for frame in frames]
        if all(isinstance(part, Categorical) for part in known):
            columns[name] = _categories(parts, sizes)
        elif not any(_is_text(part) for part in known):
            columns[name] = _numbers(parts, sizes)
        else:
            if not all(_is_text(part) for part in known):
                mixed.append(name)
            columns[name] = _words(frames, name, [isinstance(p, Categorical) for p in known])
    partial = [name for name in names if any(name not in frame for frame in frames)]
    return Appended(Frame(index, columns, frames[0].index_name), partial, mixed)


def merge_features(frames: Sequence[Frame], lookups: Sequence[Array], index: Array) -> Appended:
    """One table of features: `lookups` say where each file's features go (-1 nowhere).

    Where files disagree the column is left out (and named in `mixed`), but for places, where the
    first file counts: assemblies were compared before.
    """
    names = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    columns: dict[str, Column] = {}
    mixed, partial = [], []
    for name in names:
        words = np.full(len(index), None, dtype=object)
        agreed = True
        for frame, lookup in zip(frames, lookups, strict=True):
            kept = np.flatnonzero(lookup >= 0)
            if name not in frame or not len(kept):
                continue
            said, at = frame.strings(name)[kept], lookup[kept]
            both = [a is not None and b is not None and a != b for a, b in zip(words[at], said)]
            agreed = agreed and not any(both)
            empty = np.array([word is None for word in words[at]], dtype=bool)
            words[at[empty]] = said[empty]
        if not agreed and name not in _PLACES:
            mixed.append(name)
            continue
        if any(word is None for word in words):
            partial.append(name)
        columns[name] = _typed(words, [frame[name] for frame in frames if name in frame], name)
    return Appended(Frame(index, columns, frames[0].index_name), partial, mixed)


def _typed(words: Array, columns: Sequence[Column], name: str) -> Column:
    """Words back as what the columns were: categories, text, truth values or numbers."""
    missing = np.array([word is None for word in words], dtype=bool)
    if any(_is_text(column) for column in columns):
        return categorical(words) if isinstance(columns[0], Categorical) else words
    kinds = [c.values.dtype if isinstance(c, Nullable) else np.asarray(c).dtype for c in columns]
    dtype = np.result_type(*kinds)
    if dtype.kind == "b":
        values = np.array([word == "True" for word in words], dtype=bool)
        return Nullable(values, missing) if missing.any() else values
    if missing.any() and dtype.kind in "iu" and name in _PLACES:
        words, missing = np.where(missing, "-1", words), np.zeros(len(words), bool)
    if missing.any():
        return np.array([np.nan if word is None else float(word) for word in words])
    return np.array([int(w) if dtype.kind in "iu" else float(w) for w in words]).astype(dtype)


def _categories(parts: Sequence[Column | None], sizes: Sequence[int]) -> Categorical:
    """One list of categories: the first where all have the same, else all of them, d2 before d10."""
    known = [part for part in parts if isinstance(part, Categorical)]
    lists = [list(map(str, part.categories)) for part in known]
    same = all(words == lists[0] for words in lists)
    union = lists[0] if same else sorted({w for words in lists for w in words}, key=_natural)
    place = {word: code for code, word in enumerate(union)}
    small = np.int8 if len(union) < 128 else np.int16 if len(union) < 32768 else np.int32
    codes = []
    for part, size in zip(parts, sizes, strict=True):
        if not isinstance(part, Categorical):
            codes.append(np.full(size, -1, dtype=small))
            continue
        new = np.array([place[str(word)] for word in part.categories] + [-1], dtype=small)
        codes.append(new[part.codes])
    ordered = same and all(part.ordered for part in known)
    words = known[0].categories if same else np.array(union, dtype=object)
    return Categorical(np.concatenate(codes), words, ordered)


def _numbers(parts: Sequence[Column | None], sizes: Sequence[int]) -> Column:
    """Numbers and truth values in the type that holds them all; missing ones masked or NaN."""
    known = [part for part in parts if part is not None]
    kinds = [p.values.dtype if isinstance(p, Nullable) else np.asarray(p).dtype for p in known]
    dtype = np.result_type(*kinds)
    masked = any(isinstance(part, Nullable) for part in known)
    gaps = len(known) < len(parts)
    values, masks = [], []
    for part, size in zip(parts, sizes, strict=True):
        own = part.values if isinstance(part, Nullable) else part
        values.append(np.zeros(size, dtype) if own is None else np.asarray(own).astype(dtype))
        mask = part.mask if isinstance(part, Nullable) else np.full(size, part is None)
        masks.append(np.asarray(mask, dtype=bool))
    whole, missing = np.concatenate(values), np.concatenate(masks)
    if masked or (gaps and dtype.kind == "b"):
        return Nullable(whole, missing)
    if not gaps:
        return whole
    floating = dtype if dtype.kind == "f" else np.dtype(np.float64)
    return np.where(missing, floating.type(np.nan), whole.astype(floating))


def _words(frames: Sequence[Frame], name: str, coded: Sequence[bool]) -> Column:
    nothing = np.full(max(map(len, frames), default=0), None, dtype=object)
    parts = [f.strings(name) if name in f else nothing[: len(f)] for f in frames]
    words = np.concatenate(parts)
    return categorical(words) if all(coded) else words


def _natural(word: str) -> list[tuple[bool, int, str]]:
    """What sorts `d2` before `d10`."""
    parts = re.split(r"(\d+)", word)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part]


def _is_text(part: Column | None) -> bool:
    if isinstance(part, Categorical):
        return True
    values = part.values if isinstance(part, Nullable) else np.asarray(part)
    return values.dtype.kind not in "iufb"
