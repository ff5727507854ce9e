"""Which cells are taken: those that meet conditions on obs, and of them some at random.

Draws go by a hash of seed and name: the same cells come whatever the order of the rows, and those of a
smaller draw are among those of a larger one. The hash is not the one that `split` deals by: a sample
of split cells keeps the shares of its parts.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from scgx.cells.where import Condition, Negation, Wish
from scgx.errors import DataError
from scgx.h5ad.frame import Categorical, Column, Frame, Nullable
from scgx.h5ad.names import hash_names
from scgx.registry import suggest

Array: TypeAlias = np.ndarray


def mask(obs: Frame, wish: Wish) -> Array:
    """Which rows meet a wish, bool (n,); a missing value never does, nor does it meet `not`.

    DataError where there is no such column, no such level, or where numbers are asked of words.
    """
    return _truth(obs, wish)[0]


def _truth(obs: Frame, wish: Wish) -> tuple[Array, Array]:
    """Of which rows it is true, and of which it is false; of others nobody knows."""
    if isinstance(wish, Condition):
        return _compared(obs, wish)
    if isinstance(wish, Negation):
        return _truth(obs, wish.part)[::-1]
    parts = [_truth(obs, part) for part in wish.parts]
    both, any_ = np.logical_and.reduce, np.logical_or.reduce
    yes, no = (both, any_) if wish.word == "and" else (any_, both)
    return yes([part[0] for part in parts]), no([part[1] for part in parts])


def _compared(obs: Frame, condition: Condition) -> tuple[Array, Array]:
    """The same of one comparison."""
    name = condition.column
    if name not in obs:
        raise DataError(f"no column {name!r} in obs", fix=suggest(name, list(obs.columns)))
    kind = _dtype(obs[name])
    if condition.sign[0] in "<>":
        met = _ordered(obs, condition, kind)
        return met, ~met & ~np.isnan(obs.numbers(name))
    if kind.kind in "iuf":
        values = obs.numbers(name)
        found = np.isin(values, [_as_number(word, condition, kind) for word in condition.values])
        known = ~np.isnan(values)
    else:
        words = obs.strings(name)
        known = np.array([word is not None for word in words], dtype=bool)
        wanted = set(_levels(obs[name], words[known], condition))
        found = np.array([word in wanted for word in words], dtype=bool)
    met = found if condition.sign == "=" else ~found
    return known & met, known & ~met


def missing(obs: Frame, column: str) -> int:
    """How many rows have no value."""
    if _dtype(obs[column]).kind in "iuf":
        return int(np.isnan(obs.numbers(column)).sum())
    return sum(word is None for word in obs.strings(column))


def labels(obs: Frame, column: str) -> Array:
    """The levels of a column as str (n,), None where missing; DataError without such a column."""
    if column not in obs:
        raise DataError(f"no column {column!r} in obs", fix=suggest(column, list(obs.columns)))
    return obs.strings(column)


def draw(names: Array, n: int, *, seed: int, groups: Array | None = None) -> Array:
    """Rows of `n` of the cells named (n_cells,), ascending int64; all where there are no more.

    With `groups` (n_cells,), labels or None, each gets its share of `n`: what is left after rounding
    down goes to the largest remainders.
    """
    codes, count = _codes(groups, len(names))
    sizes = np.bincount(codes, minlength=count)
    due = sizes * (min(n, len(names)) / max(1, len(names)))
    quota = np.floor(due + 1e-9).astype(np.int64)
    left = min(n, len(names)) - int(quota.sum())
    quota[np.argsort(quota - due, kind="stable")[:left]] += 1
    return _lowest(names, codes, quota, seed)


def draw_each(names: Array, n: int, groups: Array, *, seed: int) -> Array:
    """Rows of at most `n` cells of every group (None is one of its own), ascending int64."""
    codes, count = _codes(groups, len(names))
    return _lowest(names, codes, np.full(count, n), seed)


def share(fraction: float, total: int) -> int:
    """A fraction of so many cells, one at least."""
    return min(total, max(1, int(fraction * total + 0.5)))


def _lowest(names: Array, codes: Array, quota: Array, seed: int) -> Array:
    """The first cells of every group in the order of their hashes."""
    ranks = hash_names(f"sample\0{seed}\0{name}" for name in names)
    order = np.lexsort((ranks, codes))  # stable: cells of one name go by place
    sizes = np.bincount(codes, minlength=len(quota))
    starts = np.cumsum(sizes) - sizes
    place = np.arange(len(names)) - starts[codes[order]]
    return np.sort(order[place < quota[codes[order]]]).astype(np.int64)


def _codes(groups: Array | None, n: int) -> tuple[Array, int]:
    """Groups as integers in the order of their names, None last; and how many there are."""
    if groups is None:
        return np.zeros(n, dtype=np.int64), 1
    known = sorted(set(groups.tolist()), key=lambda word: (word is None, word))
    number = {word: code for code, word in enumerate(known)}
    return np.array([number[word] for word in groups.tolist()], dtype=np.int64), len(known)


def _dtype(column: Column) -> np.dtype:
    """The kind of what a column holds; a categorical of numbers holds numbers."""
    if isinstance(column, Categorical):
        return column.categories.dtype
    return column.values.dtype if isinstance(column, Nullable) else column.dtype


def _ordered(obs: Frame, condition: Condition, kind: np.dtype) -> Array:
    """A comparison of numbers; words that are numbers will do."""
    try:
        values = obs.numbers(condition.column)
    except DataError:
        fix = f"{condition.column}=VALUE picks levels"
        raise DataError(f"column {condition.column!r} holds words", fix=fix) from None
    bound = _as_number(condition.value, condition, kind)
    compare = {
        "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
    }[condition.sign]  # fmt: skip
    return compare(values, bound)  # never true of NaN


def _as_number(word: str, condition: Condition, kind: np.dtype) -> float:
    """The number as precise as the column: 0.1 in float32 is not 0.1 in float64."""
    try:
        number = float(word)
    except ValueError:
        raise DataError(f"column {condition.column!r} holds numbers, {word!r} is none") from None
    return float(kind.type(number)) if kind.kind == "f" else number


def _levels(column: Column, words: Array, condition: Condition) -> Sequence[str]:
    """The levels meant, each of which must be one; `true` is True where there are booleans."""
    known = set(words.tolist())
    if isinstance(column, Categorical):
        known |= {str(category) for category in column.categories}
    if condition.options is None and condition.value in known:
        return [condition.value]
    wanted = condition.values
    if _dtype(column).kind == "b":
        wanted = [word.capitalize() for word in wanted]
        known |= {"True", "False"}
    for word in wanted:
        if word not in known:
            raise DataError(
                f"no cell has {condition.column} {word!r}", fix=suggest(word, sorted(known))
            )
    return wanted
