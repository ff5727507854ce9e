"""Metrics of responses keep to their definitions; what says nothing scores what nothing is worth."""

import numpy as np
import pytest
from scipy import stats

from scgx.metrics._ranksum import Contrast, contrast, rank_sum
from scgx.metrics._response import INDEPENDENT, SHARED, Case, Cellwise, Design, Units, correlation
from scgx.tasks._evaluate import metric

N, GENES = 7, 30
NONE = np.zeros(0, dtype=np.int64)


def design(seed: int = 0, *, own: int | None = None) -> Design:
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(N, GENES))
    targets = tuple(NONE if own is None else np.array([own]) for _ in range(N))
    panel = np.zeros(GENES, dtype=bool)
    if own is not None:
        panel[own] = True
    mean = np.tile(truth.mean(axis=0), (N, 1))
    weights = rng.multinomial(N, np.full(N, 1 / N), size=200).astype(float)
    return Design(
        truth, truth + rng.normal(0, 0.1, GENES), mean, targets, panel, np.arange(10), weights
    )


def scored(name: str, guess: np.ndarray, given: Design, variant: str = ""):
    one = metric(name)(given)
    for unit in range(N):
        one.update(Case(unit, guess[unit], guess[unit], np.arange(5)))
    return one.result(variant) if variant else one.result()


def test_the_truth_as_its_own_guess_is_best() -> None:
    given = design()
    for name in ("pearson_delta", "pds", "centroid_accuracy"):
        assert scored(name, given.truth, given).value == pytest.approx(1)
    for name in ("l2_top1000", "mse_delta"):
        assert scored(name, given.truth, given).value == 0
    assert scored("pearson_delta", given.shared, given, SHARED).value == pytest.approx(1)
    assert scored("pearson_delta_pertmean", given.shared, given).value == pytest.approx(1)


def test_the_mean_perturbation_has_nothing_beyond_itself() -> None:
    found = scored("pearson_delta_pertmean", design().mean, design())
    assert found.value == 0 and found.n_degenerate == N
    rounded = design().mean + 1e-8 * np.random.default_rng(0).normal(size=(N, GENES))
    assert scored("pearson_delta_pertmean", rounded, design()).value == 0


def test_one_guess_for_all_is_no_information() -> None:
    given = design()
    for guess in (np.zeros((N, GENES)), np.tile(given.truth[2], (N, 1)), given.mean):
        assert scored("pds", guess, given).value == pytest.approx(0.5, abs=1e-12)
    assert scored("centroid_accuracy", given.mean, given).value == pytest.approx(0.5, abs=1e-12)
    assert scored("pearson_delta", np.zeros((N, GENES)), given).value == 0


def test_discrimination_is_one_less_the_mid_rank() -> None:
    given = design()
    guess = given.truth + np.random.default_rng(1).normal(0, 2, (N, GENES))
    near = 1 - (guess @ given.truth.T) / np.outer(
        np.linalg.norm(guess, axis=1), np.linalg.norm(given.truth, axis=1)
    )
    ranks = [stats.rankdata(near[i])[i] - 1 for i in range(N)]
    assert scored("pds", guess, given).value == pytest.approx(1 - np.mean(ranks) / (N - 1))


def test_a_target_is_no_gene_that_is_judged_by() -> None:
    given = design(own=3)
    wrong = given.truth.copy()
    wrong[:, 3] = 1e6
    for name in ("pearson_delta", "pds", "centroid_accuracy"):
        assert scored(name, wrong, given).value == pytest.approx(1)
    for name in ("l2_top1000", "mse_delta"):
        assert scored(name, wrong, given).value == 0


def test_errors_are_those_of_the_genes_asked_for() -> None:
    given = design()
    off = given.truth + 1.0
    assert scored("l2_top1000", off, given).value == pytest.approx(np.sqrt(10))
    assert scored("mse_delta", off, given).value == pytest.approx(1)
    few = given.truth.copy()
    few[:, 5:] = 0
    assert scored("pearson_delta", few, given, f"{INDEPENDENT},de20").value == pytest.approx(1)


def test_draws_are_means_over_drawn_perturbations() -> None:
    given = design()
    units = Units(given)
    for unit in range(N - 1):  # one is not defined
        units.set(unit, float(unit))
    found = units.result()
    assert found.n == N - 1 and found.value == pytest.approx(2.5)
    kept = given.weights[:, : N - 1]
    np.testing.assert_allclose(found.draws, kept @ np.arange(N - 1.0) / kept.sum(axis=1))
    assert Units(given).result().value is None


def test_r_is_zero_and_counted_without_variance() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=20), rng.normal(size=20)
    assert correlation(x, y)[0] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert correlation(x, np.full(20, 3.0)) == (0.0, True)
    assert np.isnan(correlation(x[:2], y[:2])[0])


def test_the_rank_sum_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.poisson(1.0, (30, 6)).astype(float), rng.poisson(1.4, (50, 6)).astype(float)
    found = rank_sum(x, y)
    for gene in range(6):
        expected = stats.mannwhitneyu(
            x[:, gene], y[:, gene], use_continuity=False, method="asymptotic"
        )
        assert 2 * stats.norm.sf(abs(found[gene])) == pytest.approx(expected.pvalue, rel=1e-9)
    assert rank_sum(np.ones((4, 1)), np.ones((5, 1))) == 0


def test_a_gene_that_controls_do_not_express_is_not_tested() -> None:
    rng = np.random.default_rng(0)
    controls = np.log1p(rng.poisson(2.0, (60, 4)).astype(float))
    cells = np.log1p(rng.poisson([2.0, 9.0, 2.0, 9.0], (60, 4)).astype(float))
    controls[:, 3] = 0
    found = contrast(cells, controls, np.array([0]))
    assert found.sure.tolist() == [False, True, False, False]
    assert found.change[3] == 0 and found.change[0] == 0
    fold = np.expm1(cells[:, 1]).mean() / np.expm1(controls[:, 1]).mean()
    assert found.change[1] == pytest.approx(np.log2(fold))
    assert found.ordered().tolist() == [1]


def cellwise(real: Contrast, guess: Contrast, x: np.ndarray, y: np.ndarray) -> Cellwise:
    return Cellwise(1.0, real, guess, x, y)


def of(change: list[float], sure: list[bool]) -> Contrast:
    return Contrast(np.array(change), np.array(change), np.array(sure))


def test_overlap_and_direction_are_of_significant_genes() -> None:
    real = of([5, -4, 3, 0.1], [True, True, True, False])
    guess = of([4, 4, 0, 9], [True, True, False, True])
    points = np.random.default_rng(0).normal(size=(30, 2))
    given = design()
    case = Case(0, given.truth[0], given.truth[0], None, (cellwise(real, guess, points, points),))
    overlap, direction = metric("de_overlap")(given), metric("de_direction")(given)
    overlap.update(case)
    direction.update(case)
    assert overlap.result("20").value == pytest.approx(2 / 3)  # 0 and 1 of the top 3: 3, 0, 1
    assert direction.result().value == pytest.approx((1 + 0 + 0.5) / 3)


def test_without_significant_genes_overlap_is_zero_and_counted() -> None:
    nothing = of([0, 0, 0, 0], [False] * 4)
    points = np.random.default_rng(0).normal(size=(30, 2))
    given = design()
    case = Case(
        0, given.truth[0], given.truth[0], None, (cellwise(nothing, nothing, points, points),)
    )
    for name in ("de_overlap", "de_direction"):
        one = metric(name)(given)
        one.update(case)
        assert one.result().value == 0 and one.result().n_degenerate == 1


def test_distances_of_cells_see_what_means_do_not() -> None:
    rng = np.random.default_rng(0)
    same, wide = rng.normal(size=(2, 200, 3)) * np.array([1.0, 3.0])[:, None, None]
    real, given = rng.normal(size=(200, 3)), design()
    given = Design(**{**vars(given), "scale": 2.0})
    nothing = of([0], [False])
    for name in ("energy_perturbed", "mmd2_perturbed"):
        near, far = metric(name)(given), metric(name)(given)
        for one, points in ((near, same), (far, wide)):
            one.update(
                Case(0, given.truth[0], given.truth[0], None,
                     (cellwise(nothing, nothing, real, points),))
            )  # fmt: skip
        assert abs(near.result().value) < 0.05 < far.result().value
