"""Strata: what a control has to share with a perturbed cell to be compared with it.

A T cell that lost a gene differs from a control B cell in more than that gene; so does a cell of
another batch. Perturbed cells are compared with controls of their own stratum: all that agree with
them in some columns of obs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.cells.perturbations import STRATA, Screen
from scgx.errors import DataError
from scgx.h5ad.frame import Frame
from scgx.registry import suggest


class Strata(NamedTuple):
    """The columns, and every combination of their levels that was seen, in sorted order."""

    columns: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]

    def codes(self, obs: Frame) -> np.ndarray:
        """The stratum of every row, int64 (n,); -1 for one never seen, or an empty value."""
        if not self.columns:
            return np.zeros(len(obs), dtype=np.int64)
        known: dict[tuple[str | None, ...], int] = {key: i for i, key in enumerate(self.levels)}
        return np.array([known.get(key, -1) for key in _keys(obs, self.columns)], dtype=np.int64)

    def named(self, code: int) -> str:
        """A stratum in words."""
        return ", ".join(self.levels[code]) if self.columns else "all cells"


def strata_of(obs: Frame, columns: Sequence[str], rows: np.ndarray) -> Strata:
    """The strata of some rows; DataError where a column is not there."""
    for column in columns:
        if column not in obs:
            near = suggest(column, list(obs.columns))
            raise DataError(f"obs has no column {column!r} to match controls by", fix=near)
    if not columns:
        return Strata((), ((),))
    whole = {key for key in _keys(obs.take(rows), columns) if None not in key}
    return Strata(tuple(columns), tuple(sorted(tuple(map(str, key)) for key in whole)))


def detect(obs: Frame, screen: Screen, rows: np.ndarray) -> tuple[str, ...]:
    """Known columns with several levels among `rows`, all of which have controls."""
    control = screen.control[rows]
    perturbed = screen.codes[rows] > 0
    found = []
    for column in STRATA:
        if column not in obs or column == screen.column:
            continue
        words = obs.strings(column)[rows]
        levels = {word for word in words[perturbed] if word is not None}
        if len(levels) > 1 and levels <= set(words[control]):
            found.append(column)
    return tuple(found)


def unmatched(obs: Frame, screen: Screen, rows: np.ndarray, columns: Sequence[str]) -> list[str]:
    """Words about known columns that `detect` did not take since controls of some levels lack."""
    control = screen.control[rows]
    perturbed = screen.codes[rows] > 0
    notes = []
    for column in STRATA:
        if column not in obs or column == screen.column or column in columns:
            continue
        words = obs.strings(column)[rows]
        levels = {word for word in words[perturbed] if word is not None}
        if bare := sorted(levels - set(words[control])):
            notes.append(
                f"controls do not agree in {column}: {len(bare):,} of {len(levels):,} levels have none,"
                f" such as {bare[0]!r} (--covariate {column} leaves their cells out)"
            )
    return notes


def _keys(obs: Frame, columns: Sequence[str]) -> list[tuple[str | None, ...]]:
    return list(zip(*(obs.strings(column).tolist() for column in columns)))
