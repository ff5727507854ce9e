"""Means, halves and the ridge of a score of responses, against what they stand for."""

from pathlib import Path

import numpy as np
import pytest
from support.screens import effects, predicted, screen

import scgx
from scgx import progress
from scgx.cells.perturbations import Perturbation
from scgx.errors import DataError
from scgx.h5ad.reader import open_cells
from scgx.metrics._ranksum import contrast
from scgx.tasks import perturbation
from scgx.tasks._centroids import Log
from scgx.tasks._request import Request
from scgx.tasks._response_baselines import _design, _left_out, _normal, baselines
from scgx.tasks._responses import HALVINGS, measure
from scgx.tasks._screened import ground

SINGLES = effects([f"A{i}" for i in range(6)])


@pytest.fixture
def summed(tmp_path: Path):
    truth = screen(SINGLES, ["A4", "A5"], cells=11, noise=0.3)
    truth.write(tmp_path / "t.h5ad")
    predicted(truth, {"A4": SINGLES["A4"]}).write(tmp_path / "g.h5ad")
    with open_cells(tmp_path / "t.h5ad") as t, open_cells(tmp_path / "g.h5ad") as g:
        ask = Request(truth=t, guesses=[g])
        here = ground(ask)
        log = Log.truth(t, here.columns, np.union1d(here.train, here.test), None)
        yield truth, here, log, measure(log, here, 1 << 30, answers=7)


def test_means_are_those_of_the_cells(summed) -> None:
    truth, here, _, measured = summed
    order = np.argsort([int(g[1:]) for g in here.genes])
    assert here.labels == ["A4", "A5"]
    for row, label in enumerate(here.labels):
        np.testing.assert_allclose(measured.test[row][order], truth.mean(label, "test"), rtol=1e-5)
    pairs = ((measured.test_control, "test"), (measured.train_control, "train"))
    for values, part in pairs:
        np.testing.assert_allclose(values[0][order], truth.mean("control", part), rtol=1e-5)
    assert [here.screen.conditions[c].label for c in measured.code] == ["A0", "A1", "A2", "A3"]
    assert measured.cells.tolist() == [11] * 4


def test_halves_have_no_cell_in_common_and_leave_none_out(summed) -> None:
    _, here, _, measured = summed
    sides = set()
    for turn in range(HALVINGS):
        halves = measured.halves(turn)
        first = measured.side(turn, here.test)
        codes = here.screen.codes[here.test]
        for row, one in enumerate(here.units):
            inside = codes == here.screen.conditions.index(one)
            n = int(first[inside].sum())
            assert n == 6  # of 11
            whole = (n * halves.first[row] + (11 - n) * halves.second[row]) / 11
            np.testing.assert_allclose(whole, measured.test[row], rtol=1e-4)
        sides.add(first.tobytes())
    assert len(sides) == HALVINGS


def test_what_does_not_fit_is_refused_with_the_estimate(summed) -> None:
    _, here, log, _ = summed
    with pytest.raises(DataError, match="need .* GB"):
        measure(log, here, 1000, answers=7)


def test_leaving_a_condition_out_is_fitting_without_it() -> None:
    rng = np.random.default_rng(0)
    place = {f"T{i}": i for i in range(5)}
    of = [Perturbation(), Perturbation(), Perturbation(("T0",), (1.0,)), Perturbation(("T0",), (1.0,)),
          Perturbation(("T0", "T1"), (1.0, 1.0)), Perturbation(("T1", "T2"), (1.0, 2.0))]  # fmt: skip
    codes, strata = np.array([0, 0, 1, 1, 2, 3]), [0, 1, 0, 1, 1, 0]
    rows = np.stack([_design(place, 2, one, s) for one, s in zip(of, strata, strict=True)])
    whole = np.hstack([np.eye(2)[strata], rows])
    y, weight = rng.normal(size=(6, 4)), rng.integers(5, 20, 6).astype(float)
    expected = 0.0
    for code in (1, 2, 3):
        kept = codes != code
        some, w = whole[kept], weight[kept]
        fitted = np.linalg.solve(_normal(some, w, 2, 3.0), (some * w[:, None]).T @ y[kept])
        gap = y[~kept] - whole[~kept] @ fitted
        expected += (weight[~kept, None] * gap**2).sum()
    assert _left_out(whole, y, weight, 2, 3.0, codes) == pytest.approx(expected, rel=1e-6)


def test_a_baseline_without_an_answer_is_the_mean_and_says_so(summed) -> None:
    _, here, _, measured = summed
    found = {answer.name: answer for answer in baselines(here, measured)}
    for name in ("additive", "one-hot-ridge", "matching-mean"):
        assert not found[name].own.any()
        np.testing.assert_array_equal(found[name].change, found["perturbed-mean"].change)
    assert found["no-change"].coverage(here.groups.weight, 2) == 1
    assert found["additive"].coverage(here.groups.weight, 2) == 0


def test_where_cells_are_few_it_is_said_why_and_the_picture_shows_the_replicate_of_the_table(
    tmp_path: Path,
) -> None:
    """Six strata of few cells: a replicate within them is noise, all of them together are not."""
    truth = screen(SINGLES, ["A4", "A5"], cells=36, noise=0.8)
    six = np.arange(len(truth.label)) // 2 % 6
    lines = np.array([f"L{i}" for i in six], dtype=object)
    truth.more["line"] = lines
    truth.write(tmp_path / "t.h5ad")
    predicted(truth, {k: SINGLES[k] for k in ("A4", "A5")}, covariates=["line"]).write(
        tmp_path / "g.h5ad"
    )
    with open_cells(tmp_path / "t.h5ad") as t, open_cells(tmp_path / "g.h5ad") as g:
        found = perturbation.score(
            Request(truth=t, guesses=[g], picture=True, say=progress.say, warn=progress.warn)
        )
    few = "no tests of genes or distances of cells for 2 of 2 perturbations"
    assert any(
        note.startswith(few) and "20 test cells in any stratum" in note for note in found.notes
    )
    assert found.picture is not None
    shown = found.picture.r["replicate"]
    assert shown.mean() == pytest.approx(found.replicate[perturbation.HEADLINE].mean, abs=1e-6)


def test_a_fold_change_that_rounding_makes_is_none() -> None:
    """What changes nothing has half of the directions, though float32 was between."""
    cells = np.random.default_rng(0).uniform(0.5, 5, (30, 20))
    found = contrast(cells.astype(np.float32), cells, np.zeros(0, np.int64))
    assert not found.change.any()
    more = contrast(cells + 0.001, cells, np.zeros(0, np.int64))
    assert (more.change > 0).all()


def test_cells_that_are_all_alike_are_one_point(tmp_path: Path) -> None:
    flat = screen({name: 0 * change for name, change in SINGLES.items()}, ["A4", "A5"], noise=0)
    flat.X[:] = 0
    flat.write(tmp_path / "t.h5ad")
    predicted(flat, {"A4": SINGLES["A4"]}).write(tmp_path / "g.h5ad")
    with open_cells(tmp_path / "t.h5ad") as t, open_cells(tmp_path / "g.h5ad") as g:
        found = perturbation.score(
            Request(truth=t, guesses=[g], say=progress.say, warn=progress.warn)
        )
    assert "cannot be scored" in found.verdicts[0].sentence
    with pytest.raises(DataError, match="all genes are 0"):
        scgx.train("no-change", str(tmp_path / "t.h5ad"), str(tmp_path / "m.scgx"))
