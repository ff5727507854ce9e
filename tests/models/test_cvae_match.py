"""Shifts that bring the means of drawn cells to those of training cells, and leave rare counts."""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace

import numpy as np
from scipy import sparse

from scgx.learn.conditions import Conditions
from scgx.learn.generative import CountBatch
from scgx.models._cvae_match import matched

RNG = np.random.default_rng(0)
LEVELS = (("a", "b", "c"), ("x", "y"))


class Cells:
    """Training cells of two conditions, each of which moves genes."""

    def __init__(self, n: int = 1_200, genes: int = 30) -> None:
        self.codes = np.column_stack([RNG.integers(0, 3, n), RNG.integers(0, 2, n)])
        first, second = RNG.normal(0, 1, (3, genes)), RNG.normal(0, 0.5, (2, genes))
        log = first[self.codes[:, 0]] + second[self.codes[:, 1]]
        self.counts = RNG.poisson(200 * softmax(log)).astype(np.float32)
        self.counts[:, -1] = 0
        self.counts[0, -1] = 1  # one count in all
        self.columns = np.arange(genes)
        self.train = np.arange(n)
        seen, counts = np.unique(self.codes, axis=0, return_counts=True)
        self.conditions = Conditions(("type", "state"), LEVELS, seen, counts)

    def blocks(self, rows: np.ndarray) -> Iterator[CountBatch]:
        for some in np.array_split(rows, 3):
            yield CountBatch(some, sparse.csr_array(self.counts[some]), self.codes[some])


def softmax(log: np.ndarray) -> np.ndarray:
    share = np.exp(log)
    return share / share.sum(axis=1, keepdims=True)


def expect(weights: Mapping[str, np.ndarray], codes: np.ndarray, rng: object) -> np.ndarray:
    return 200 * softmax(sum(weights[f"decode_shift.each.{i}.weight"][codes[:, i]] for i in (0, 1)))


def test_drawn_cells_of_every_level_have_the_mean_of_training_cells() -> None:
    cells = Cells()
    blank = {
        f"decode_shift.each.{i}.weight": np.zeros((n, 30), np.float32) for i, n in ((0, 3), (1, 2))
    }
    kept = SimpleNamespace(**{name: value.copy() for name, value in blank.items()})
    made = matched(cells, blank, expect, lean=1.0, seed=0)  # type: ignore[arg-type]
    assert all(np.array_equal(value, getattr(kept, name)) for name, value in blank.items())
    found = expect(made, cells.codes, None)
    for column, levels in enumerate(LEVELS):
        for code in range(len(levels)):
            mine = cells.codes[:, column] == code
            have, drawn = (np.log(x[mine][:, :-1].mean(axis=0)) for x in (cells.counts, found))
            assert np.abs(have - drawn).max() < 0.12
    again = matched(cells, blank, expect, lean=1.0, seed=0)  # type: ignore[arg-type]
    assert all(np.array_equal(made[name], again[name]) for name in made)


def test_what_has_few_counts_is_hardly_moved() -> None:
    cells = Cells()
    blank = {
        f"decode_shift.each.{i}.weight": np.zeros((n, 30), np.float32) for i, n in ((0, 3), (1, 2))
    }
    much = matched(cells, blank, expect, lean=1e6, seed=0)  # type: ignore[arg-type]
    assert max(np.abs(value).max() for value in much.values()) < 0.05
