"""Each metric against scipy, and the rules that hold for all of them."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from scgx import registry
from scgx.metrics._panel import Design, Panel
from scgx.metrics._ranks import midranks
from scgx.metrics.ap_peak import average_precision

NAMES = [
    name
    for name in registry.names("metrics")
    if not hasattr(registry.load("metrics", name).Metric, "task")  # of another task: other cells
]


def cells(seed: int = 0, n: int = 80, width: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.log1p(rng.negative_binomial(1, 0.5, (n, width))).astype(np.float32)
    truth[:, 0] = 0
    guess = (0.3 * truth + rng.normal(0.5, 0.2, truth.shape)).astype(np.float32)
    guess[:, 1] = 0.25
    return truth, guess


def score(name, truth, guess, design=None, step=5):
    design = design or Design.plain(*truth.shape)
    metric = registry.load("metrics", name).Metric(design)
    for start in range(0, truth.shape[1], step):
        columns = slice(start, min(start + step, truth.shape[1]))
        metric.update(Panel.of(truth[:, columns], guess[:, columns], columns, design))
    return metric.result()


def full_design(truth: np.ndarray, draws: int = 50) -> Design:
    n, width = truth.shape
    rng = np.random.default_rng(1)
    weights = rng.multinomial(8, np.full(8, 1 / 8), size=draws).astype(float)
    variable = np.zeros(width, dtype=bool)
    variable[: width // 2] = True
    return Design(
        width, np.arange(n) % 8, weights, np.arange(n) % 3, ("a", "b", "c"), variable,
        truth.mean(axis=0), np.zeros(width),
    )  # fmt: skip


def reference_mean(function, truth, guess):
    values = []
    for g in range(truth.shape[1]):
        flat = np.ptp(truth[:, g]) == 0 or np.ptp(guess[:, g]) == 0
        values.append(0.0 if flat else function(truth[:, g], guess[:, g]))
    return np.mean(values)


def test_correlations_per_feature_equal_scipy_with_degenerate_features_as_zero():
    truth, guess = (x.astype(np.float64) for x in cells())
    pearson = score("pearson-per-feature", truth, guess)
    spearman = score("spearman-per-feature", truth, guess)
    expected = reference_mean(lambda t, p: stats.pearsonr(t, p).statistic, truth, guess)
    assert pearson.value == pytest.approx(expected, rel=1e-10)
    assert pearson.n_degenerate == spearman.n_degenerate == 2
    expected = reference_mean(lambda t, p: stats.spearmanr(t, p).statistic, truth, guess)
    assert spearman.value == pytest.approx(expected, rel=1e-10)


def test_errors_and_r2_equal_their_definitions():
    truth, guess = (x.astype(np.float64) for x in cells())
    gap = truth - guess
    assert score("mse", truth, guess).value == pytest.approx((gap**2).mean())
    assert score("rmse", truth, guess).value == pytest.approx(np.sqrt((gap**2).mean()))
    assert score("mae", truth, guess).value == pytest.approx(np.abs(gap).mean())
    varies = truth[:, 1:]
    share = 1 - (gap**2)[:, 1:].sum(0) / ((varies - varies.mean(0)) ** 2).sum(0)
    assert score("r2-feature", truth, guess).value == pytest.approx(share.mean())
    centre = np.full(truth.shape[1], 0.7)
    design = Design(truth.shape[1], np.zeros(len(truth), int), np.zeros((0, 1)), train_mean=centre)
    share = 1 - (gap**2)[:, 1:].sum(0) / ((varies - 0.7) ** 2).sum(0)
    result = score("r2-oos", truth, guess, design)
    assert result.value == pytest.approx(share.mean())
    assert result.n_degenerate == 1


def test_errors_count_the_values_that_they_are_means_of():
    truth, guess = cells()
    for name in ("mse", "rmse", "mae", "overall-pearson"):
        assert score(name, truth, guess).n == truth.size


def test_correlations_per_cell_and_overall_equal_scipy():
    truth, guess = (x.astype(np.float64) for x in cells())
    expected = reference_mean(lambda t, p: stats.pearsonr(t, p).statistic, truth.T, guess.T)
    assert score("pearson-per-cell", truth, guess).value == pytest.approx(expected)
    expected = stats.pearsonr(truth.ravel(), guess.ravel()).statistic
    assert score("overall-pearson", truth, guess).value == pytest.approx(expected)


def test_within_type_is_the_mean_over_types_then_features():
    truth, guess = (x.astype(np.float64) for x in cells(n=90))
    design = full_design(truth)
    expected = np.mean(
        [
            reference_mean(
                lambda t, p: stats.pearsonr(t, p).statistic, truth[i::3], guess[i::3]
            )
            for i in range(3)
        ]
    )  # fmt: skip
    assert score("pearson-within-type", truth, guess, design).value == pytest.approx(expected)


def test_pseudobulk_correlates_the_means_of_types():
    truth, guess = (x.astype(np.float64) for x in cells(n=90))
    design = full_design(truth)
    means = [np.stack([x[i::3].mean(0) for i in range(3)]) for x in (truth, guess)]
    guess_means = means[1].copy()
    guess_means[:, 1] = 0
    expected = reference_mean(lambda t, p: stats.pearsonr(t, p).statistic, means[0], guess_means)
    assert score("pearson-pseudobulk", truth, guess, design).value == pytest.approx(expected)
    expected = reference_mean(lambda t, p: stats.pearsonr(t, p).statistic, means[0].T, means[1].T)
    result = score("pearson-pseudobulk-profile", truth, guess, design)
    assert result.value == pytest.approx(expected)


def test_peak_metrics_equal_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(3)
    truth = (rng.random((60, 6)) < 0.3).astype(float)
    truth[:, 2] = 1
    guess = np.round(truth * 0.3 + rng.random(truth.shape), 1)
    use = [0, 1, 3, 4, 5]
    auroc, ap = score("auroc-peak", truth, guess), score("ap-peak", truth, guess)
    assert auroc.n_degenerate == ap.n_degenerate == 1
    assert auroc.value == pytest.approx(
        np.mean([roc_auc_score(truth[:, g], guess[:, g]) for g in use])
    )
    assert ap.value == pytest.approx(
        np.mean([average_precision_score(truth[:, g], guess[:, g]) for g in use])
    )
    assert average_precision(truth[:, 0] > 0, np.zeros(60)) == pytest.approx(truth[:, 0].mean())


def test_frac_above_counts_features_better_than_the_rival():
    truth, guess = cells()
    design = full_design(truth)
    r = score("pearson-per-feature", truth, guess, design).features
    assert score("frac-above", truth, guess, design).value == np.mean(r > 0)


def test_a_perfect_guess_scores_no_error_and_full_correlation_but_for_constants():
    truth, _ = cells()
    design = full_design(truth)
    for name in NAMES:
        result = score(name, truth, truth, design)
        if registry.load("metrics", name).Metric.direction < 0:
            assert result.value == pytest.approx(0, abs=1e-7)
        elif name in ("pearson-per-feature", "spearman-per-feature", "pearson-within-type"):
            assert result.value == pytest.approx(11 / 12, abs=1e-9)
        elif name not in ("frac-above", "pearson-pseudobulk"):
            assert result.value == pytest.approx(1)


def test_the_train_mean_scores_zero_in_the_headline_and_in_r2_oos():
    truth, _ = cells()
    design = full_design(truth)
    guess = np.tile(truth.mean(axis=0), (len(truth), 1))
    result = score("pearson-per-feature", truth, guess, design)
    assert result.value == 0
    assert result.n_degenerate == 12
    assert np.all(result.draws == 0)
    assert score("r2-oos", truth, guess, design).value == 0


def test_a_constant_with_float32_noise_is_still_constant():
    truth, _ = cells()
    noise = np.random.default_rng(0).choice([0, 1], truth.shape)
    guess = np.float32(0.3) + noise.astype(np.float32) * np.spacing(np.float32(0.3))
    assert score("pearson-per-feature", truth, guess).value == 0


@pytest.mark.parametrize("name", NAMES)
class TestEveryMetric:
    def test_it_says_what_it_is(self, name):
        metric = registry.load("metrics", name).Metric
        assert metric.id == name.replace("-", "_")
        assert metric.direction in (1, -1)
        assert len(metric.definition) > 20
        assert isinstance(metric.gene_sets, bool)
        assert inspect.getdoc(metric)

    def test_order_of_cells_and_features_and_panels_changes_nothing(self, name):
        truth, guess = cells()
        design = full_design(truth)
        rng = np.random.default_rng(5)
        rows, columns = rng.permutation(len(truth)), rng.permutation(truth.shape[1])
        moved = Design(
            design.n_features, design.parts[rows], design.weights, design.types[rows],
            design.type_names, design.variable[columns], design.train_mean[columns],
            design.rival[columns],
        )  # fmt: skip
        one = score(name, truth, guess, design)
        shuffled = [x[rows][:, columns] for x in (truth, guess)]
        other = score(name, *shuffled, moved, step=7)
        assert one.value == pytest.approx(other.value, rel=1e-9)
        assert one.n_degenerate == other.n_degenerate
        np.testing.assert_allclose(one.draws, other.draws, rtol=1e-8, atol=1e-12)

    def test_draws_that_take_every_part_once_equal_the_value(self, name):
        truth, guess = cells(n=90)
        base = full_design(truth)
        design = Design(
            base.n_features, base.parts, np.ones((1, 8)), base.types, base.type_names,
            base.variable, base.train_mean, base.rival,
        )  # fmt: skip
        result = score(name, truth, guess, design)
        if len(result.draws):
            assert result.draws[0] == pytest.approx(result.value, rel=1e-6)

    def test_nothing_is_nan_when_everything_is_constant(self, name):
        truth = np.zeros((40, 4), dtype=np.float32)
        result = score(name, truth, truth + np.float32(0.1), full_design(truth))
        assert result.value is None or np.isfinite(result.value)
        assert np.isfinite(result.draws).all()


def test_draws_equal_resampled_cells():
    truth, guess = (x.astype(np.float64) for x in cells())
    design = full_design(truth, draws=3)
    for name in ("pearson-per-feature", "mse", "rmse", "mae", "overall-pearson"):
        result = score(name, truth, guess, design)
        for weight, draw in zip(design.weights, result.draws, strict=True):
            rows = np.concatenate(
                [
                    np.flatnonzero(design.parts == part).repeat(int(w))
                    for part, w in enumerate(weight)
                ]
            )
            assert draw == pytest.approx(score(name, truth[rows], guess[rows]).value, rel=1e-9)


def test_the_interval_of_r2_feature_covers_its_value_where_the_guess_is_nearly_the_mean():
    rng = np.random.default_rng(0)
    truth = np.log1p(rng.poisson(1.0, (400, 60)))
    guess = np.tile(truth.mean(axis=0) + rng.normal(0, 0.02, 60), (400, 1))
    weights = rng.multinomial(100, np.full(100, 0.01), size=1000).astype(float)
    design = Design(60, np.arange(400) % 100, weights)
    result = score("r2-feature", truth, guess, design)
    low, high = np.percentile(result.draws, [2.5, 97.5])
    assert low < result.value < high


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 6), st.floats(0, 1))
def test_midranks_equal_scipy(seed, n, width, density):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 4, (n, width)) * (rng.random((n, width)) < density)
    expected = stats.rankdata(values, axis=0)
    np.testing.assert_array_equal(midranks(values.astype(float)), expected)
    np.testing.assert_array_equal(midranks(values - 1.0), stats.rankdata(values, axis=0))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 30), st.integers(1, 5))
def test_float32_and_sparse_truth_score_as_float64_and_dense(seed, n, width):
    rng = np.random.default_rng(seed)
    truth = np.log1p(rng.poisson(1.0, (n, width)))
    guess = rng.normal(size=(n, width))
    stored = sparse.csr_array(truth.astype(np.float32)).toarray()
    for name in ("pearson-per-feature", "spearman-per-feature", "rmse", "r2-feature"):
        one, other = score(name, truth, guess), score(name, stored, guess.astype(np.float32))
        if one.value is None:
            assert other.value is None
        else:
            assert one.value == pytest.approx(other.value, rel=1e-4, abs=1e-5)
