"""What a random split claims too much is the score of knowing the donor."""

from types import SimpleNamespace

import numpy as np
import pytest

from scgx.errors import DataError
from scgx.h5ad.frame import Frame
from scgx.tasks._answers import Held
from scgx.tasks._leaks import leaks

CLASSES = ("a", "b")


def study(donors: int = 10, each: int = 40) -> SimpleNamespace:
    """Cells of two classes; the last two donors test."""
    donor = np.repeat(np.arange(donors), each)
    words = np.array(CLASSES, dtype=object)[np.random.default_rng(0).integers(0, 2, len(donor))]
    words[::50] = None
    parts = np.where(donor < donors - 2, "train", "test").astype(object)
    obs = Frame(np.array([f"c{i}" for i in range(len(donor))], dtype=object))
    obs = obs.with_column("type", words).with_column("split", parts)
    return SimpleNamespace(obs=obs, name="cells", donor=donor, words=words, parts=parts)


def knows_donors(cells: SimpleNamespace, asked: list[np.ndarray]):
    """A model that names each cell of a donor that trained, and calls all others a."""

    def fitted(name: str, rows: np.ndarray, column: str, *, parts: np.ndarray) -> Held:
        asked.append(parts)
        seen = np.isin(cells.donor[rows], cells.donor[parts == "train"])
        codes = np.where(seen & (cells.words[rows] == "b"), 1, 0)
        return Held(CLASSES, np.eye(2)[codes])

    return fitted


def test_a_model_that_knows_donors_is_found_out() -> None:
    cells, asked = study(), []
    rows = np.flatnonzero((cells.parts == "test") & np.not_equal(cells.words, None))
    table, told = leaks(
        cells, "type", "donor", rows, fitted=knows_donors(cells, asked), seed=0
    )  # fmt: skip
    found = {line[0]: line[1:] for line in table.rows}
    grouped = float(np.mean(cells.words[rows] == "a"))
    assert found["accuracy"] == (pytest.approx(grouped), 1.0, pytest.approx(1 - grouped))
    assert "knowing the donor" in told and "report the former" in told
    split, dealt = asked
    np.testing.assert_array_equal(split, cells.parts)
    known = np.not_equal(cells.words, None)
    for part in ("train", "test"):
        assert (dealt[known] == part).sum() == (cells.parts[known] == part).sum()


def test_a_model_that_knows_none_is_not_flattered() -> None:
    cells = study()
    rows = np.flatnonzero((cells.parts == "test") & np.not_equal(cells.words, None))

    def fitted(name, rows, column, *, parts):
        return Held(CLASSES, np.eye(2)[(cells.words[rows] == "b").astype(int)])

    table, told = leaks(cells, "type", "donor", rows, fitted=fitted, seed=0)
    assert all(line[3] == 0 for line in table.rows)
    assert "would not flatter" in told


def test_without_groups_there_is_nothing_to_compare() -> None:
    with pytest.raises(DataError, match="random split with one that keeps groups"):
        leaks(study(), "type", "", np.arange(3), fitted=lambda *a, **k: None, seed=0)
