"""Which cells are asked for: how many of which conditions, as one row of codes for each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scgx.errors import DataError, InputError, UsageError
from scgx.h5ad.cells import Cells
from scgx.learn.artifact import Artifact
from scgx.learn.conditions import Conditions
from scgx.progress import say, warn

MEMORY_PER_CELL = 150  # bytes that names and codes of a cell take until they are written
MOST = 1e15  # of a weight: sums of many are still numbers


@dataclass(frozen=True)
class Wanted:
    """Cells of each class, or cells in all; `fixed` are conditions as COLUMN=VALUE."""

    per_class: int | None = None
    n: int | None = None
    fixed: tuple[tuple[str, str], ...] = ()
    memory: int | None = None  # bytes; more cells than names and conditions fit for are refused


def parse_conditions(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """COLUMN=VALUE, several times; UsageError for other words, or a column twice."""
    pairs: list[tuple[str, str]] = []
    for word in words:
        column, equals, value = word.partition("=")
        if not (column and equals and value):
            raise UsageError(f"--condition {word!r} is not COLUMN=VALUE")
        if column in dict(pairs):
            raise UsageError(f"--condition names {column!r} twice")
        pairs.append((column, value))
    return tuple(pairs)


def conditions_of(found: Artifact) -> Conditions:
    """What a generator was told; DataError where the model is none."""
    told = found.header.conditions
    if found.header.task != "generation" or not told:
        raise DataError(
            f"is a model of {found.header.task} and generates no cells",
            fix="scgx train cvae CELLS --label COLUMN makes one",
            file=found.name,
        )
    seen, counts = found.summary.get("seen"), found.summary.get("seen_counts")
    if seen is None or counts is None or seen.ndim != 2 or seen.shape != (len(counts), len(told)):
        raise InputError("its conditions are damaged", fix="train it again", file=found.name)
    levels = tuple(tuple(about.levels) for about in told)
    return Conditions(tuple(about.column for about in told), levels, seen, counts)


def by_number(about: Conditions, wish: Wanted) -> np.ndarray:
    """Codes int64 (cells, columns): other conditions than the label as they go with it in training."""
    fixed = _fixed(about, wish)
    labels = [fixed[0]] if 0 in fixed else list(range(about.sizes[0]))
    require_memory(wish.n or (wish.per_class or 0) * len(labels), wish.memory)
    if wish.n is not None:
        codes, counts = _seen(about, fixed, labels)
        return about.allot(wish.n, codes, counts)
    parts = [_seen(about, fixed, [label]) for label in labels]
    return np.concatenate([about.allot(wish.per_class or 0, *part) for part in parts])


def _fixed(about: Conditions, wish: Wanted) -> dict[int, int]:
    return {about.place(column): about.code(column, value) for column, value in wish.fixed}


def _seen(
    about: Conditions, fixed: dict[int, int], labels: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Combinations of some labels and how often they were seen; what is fixed is put into them."""
    mine = np.isin(about.seen[:, 0], labels)
    meets = mine.copy()
    for column, code in fixed.items():
        meets &= about.seen[:, column] == code
    chosen = meets if meets.any() else mine
    codes = about.seen[chosen].copy()
    for column, code in fixed.items():
        codes[:, column] = code
    return codes, about.counts[chosen]


def like(about: Conditions, cells: Cells, wish: Wanted) -> np.ndarray:
    """A row of codes for each cell of a file that has all conditions."""
    fixed = _fixed(about, wish)
    lacking = [
        c for i, c in enumerate(about.columns) if i not in fixed and c not in cells.obs.columns
    ]
    if lacking:
        known = ", ".join(list(cells.obs.columns)[:8])
        raise DataError(f"obs has no {lacking[0]!r}, a condition of the model", fix=f"it has {known}",
                        file=cells.name)  # fmt: skip
    codes = np.full((cells.n_obs, len(about.columns)), -1, np.int64)
    for i, (column, levels) in enumerate(zip(about.columns, about.levels, strict=True)):
        if i in fixed:
            codes[:, i] = fixed[i]
            continue
        words = cells.obs.strings(column)
        known_codes = {level: code for code, level in enumerate(levels)}
        codes[:, i] = [known_codes.get(word, -1) for word in words]
        strange = {w for w, code in zip(words, codes[:, i]) if code < 0 and w is not None}
        if strange:
            n = int(sum(word in strange for word in words))
            warn(f"{n:,} cells of a {column} that the model does not know are left out:"
                 f" {', '.join(sorted(strange)[:5])}")  # fmt: skip
    whole = np.all(codes >= 0, axis=1)
    if not whole.any():
        raise DataError("no cell has conditions that the model knows", file=cells.name)
    if without := int((~whole).sum()):
        say(f"{without:,} of {len(whole):,} cells lack a condition: left out")
    return codes[whole]


def switched(about: Conditions, codes: np.ndarray, wish: Wanted) -> np.ndarray:
    """The same rows of codes with what is fixed put into them."""
    made = codes.copy()
    for column, code in _fixed(about, wish).items():
        made[:, column] = code
    return made


def from_table(about: Conditions, path: Path, wish: Wanted) -> np.ndarray:
    """A table: conditions as columns, and how many cells of each, or with --n what each weighs."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError("no such file", file=str(path)) from None
    except IsADirectoryError:
        raise InputError("is a folder and no table", file=str(path)) from None
    except UnicodeDecodeError:
        raise InputError(
            "is no text", fix="columns with tabs between them", file=str(path)
        ) from None
    rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
    fixed = _fixed(about, wish)
    if len(rows) < 2 or any(len(row) != len(rows[0]) for row in rows):
        fix = f"{about.columns[0]}<TAB>weight, and a line for each class"
        raise InputError("is no table with a heading", fix=fix, file=str(path))
    *columns, last = rows[0]
    if last not in ("weight", "n"):
        raise InputError(
            f"its last column is {last!r}", fix="weight, or n for cells", file=str(path)
        )
    places = [about.place(column) for column in columns]
    _require_once(about, places, fixed, path)
    missing = set(range(len(about.columns))) - set(places) - set(fixed)
    parts, weights = [], []
    for row in rows[1:]:
        given = dict(fixed)
        given.update({p: about.code(about.columns[p], word) for p, word in zip(places, row)})
        labels = [given[0]] if 0 in given else list(range(about.sizes[0]))
        codes, counts = _seen(about, given, labels)
        weight = _weight(row[-1], path)
        parts.append(codes if missing else codes[:1])
        weights.append(weight * (counts / counts.sum() if missing else np.ones(1)))
    weight_of = np.concatenate(weights)
    total = float(weight_of.sum())
    if total <= 0:
        raise InputError("its weights are all zero", file=str(path))
    if wish.n is None and any(float(row[-1]) % 1 for row in rows[1:]):
        raise UsageError("the weights are no numbers of cells", fix="say how many with --n")
    require_memory(wish.n or round(total), wish.memory)
    return about.allot(wish.n or round(total), np.concatenate(parts), weight_of)


def _require_once(about: Conditions, places: list[int], fixed: dict[int, int], path: Path) -> None:
    """Refuse a condition that is said twice: by two columns, or by a column and --condition."""
    for place in places:
        column = about.columns[place]
        if places.count(place) > 1:
            raise InputError(f"has two columns {column!r}", file=str(path))
        if place in fixed:
            raise UsageError(
                f"--weights and --condition both say {column!r}", fix="leave it out of one of them"
            )


def _weight(word: str, path: Path) -> float:
    try:
        weight = float(word)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= MOST:
        raise InputError(f"a weight is {word!r}", fix="numbers from 0 to 1e15", file=str(path))
    return weight


def tell_unseen(about: Conditions, codes: np.ndarray) -> np.ndarray:
    """Which cells are of combinations that no training cell had, bool (n,); says so."""
    unseen = about.combination(codes) < 0
    if unseen.any():
        kinds = np.unique(codes[unseen], axis=0)
        words = [about.levels[i][code] for i, code in enumerate(kinds[0])]
        warn(
            f"{int(unseen.sum()):,} cells are of {len(kinds):,} combinations that no training cell"
            f" had ({' x '.join(words)} first): obs['scgx_unseen'] marks them"
        )
    return unseen


def require_memory(n: int, memory: int | None) -> None:
    """Refuse more cells than names and conditions fit for."""
    if memory is not None and n * MEMORY_PER_CELL > memory:
        most = memory // MEMORY_PER_CELL
        raise DataError(
            f"names and conditions of {n:,} cells do not fit in --memory",
            fix=f"{most:,} at a time, with another --seed each",
        )
