"""Strata: which controls a perturbed cell is compared with."""

import numpy as np
import pytest

from scgx.cells.perturbations import screen_of
from scgx.errors import DataError
from scgx.h5ad.frame import Frame, categorical
from scgx.learn.strata import detect, strata_of, unmatched


def _obs() -> Frame:
    frame = Frame(np.array([f"c{i}" for i in range(8)], dtype=object))
    columns = {
        "perturbation": ["A", "control"] * 4,
        "cell_type": ["T", "T", "B", "B"] * 2,
        "batch": ["1", "2"] * 4,
        "donor": ["d", "d", "d", "d", None, "d", "e", "e"],
    }
    for name, words in columns.items():
        frame = frame.with_column(name, categorical(words))
    return frame


def test_columns_are_found_where_every_level_has_controls() -> None:
    obs = _obs()
    assert detect(obs, screen_of(obs), np.arange(8)) == ("cell_type", "donor")


def test_strata_are_all_combinations_that_were_seen() -> None:
    strata = strata_of(_obs(), ("cell_type", "donor"), np.arange(8))
    assert strata.levels == (("B", "d"), ("B", "e"), ("T", "d"))
    assert strata.codes(_obs()).tolist() == [2, 2, 0, 0, -1, 2, 1, 1]
    assert strata.named(1) == "B, e"


def test_without_columns_all_cells_compare() -> None:
    strata = strata_of(_obs(), (), np.arange(8))
    assert strata.codes(_obs()).tolist() == [0] * 8


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="did you mean 'batch'"):
        strata_of(_obs(), ("bach",), np.arange(8))


def test_columns_that_cannot_be_matched_are_named() -> None:
    obs = _obs()
    notes = unmatched(obs, screen_of(obs), np.arange(8), ("cell_type", "donor"))
    assert len(notes) == 1 and "batch: 1 of 1 levels have none, such as '1'" in notes[0]
