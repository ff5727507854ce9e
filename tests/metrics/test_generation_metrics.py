"""Metrics of synthetic cells keep to their definitions, and see copies, noise and faint classes."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

from scgx.cells.normalize import log1p_cp10k
from scgx.metrics import _sets
from scgx.metrics._forest import auroc
from scgx.metrics._marked import contrast
from scgx.metrics._sets import CellSet, Design, Pair, Space
from scgx.metrics.energy import energy
from scgx.metrics.mmd2 import mmd2
from scgx.tasks._evaluate import metric

GENES, CLASSES = 80, 3


def cells(rng: np.random.Generator, n: int, spread: float = 1.0) -> CellSet:
    """Three classes with genes that go together in a hidden factor, and differing depth."""
    level = np.random.default_rng(5).gamma(1.0, 3.0, (CLASSES, GENES))
    level = level.mean(axis=0) + spread * (level - level.mean(axis=0))
    loads = np.random.default_rng(6).normal(0, 0.4, GENES)
    codes = np.arange(n) % CLASSES
    factor = np.exp(np.outer(rng.normal(size=n), loads)) * rng.gamma(6, 1 / 6, n)[:, None]
    counts = sparse.csr_array(rng.poisson(level[codes] * factor).astype(np.float32))
    return CellSet(counts, sparse.csr_array(log1p_cp10k(counts)), codes)


@pytest.fixture(scope="module")
def bench() -> tuple[Design, CellSet, CellSet]:
    rng = np.random.default_rng(0)
    train, test, fresh = (cells(rng, 240) for _ in range(3))
    space = Space.fit(train.log)
    train, test, fresh = (one.within(space) for one in (train, test, fresh))
    return Design(train, frozenset(train.digests())), test, fresh


def value(design: Design, real: CellSet, fake: CellSet, name: str, variant: str = "") -> float:
    one = metric(name)(design)
    one.update(Pair(real, fake, design.train))
    found = (one.result(variant) if variant else one.result()).value
    assert found is not None
    return found


def test_the_space_is_that_of_a_principal_component_analysis(bench) -> None:
    train = bench[0].train
    x = train.log.toarray().astype(np.float64)
    _, _, axes = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    expected = (x - x.mean(axis=0)) @ axes[: _sets.COMPONENTS].T
    np.testing.assert_allclose(
        np.abs(train.components[:, :20]), np.abs(expected[:, :20]), atol=1e-3
    )
    assert set(train.space.variable[:10]) == set(np.argsort(-x.var(axis=0))[:10])


def test_energy_is_its_definition_and_zero_for_equal_spreads() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), rng.normal(0.5, 1, (30, 3))
    inside = cdist(x, x).sum() / (40 * 39) + cdist(y, y).sum() / (30 * 29)
    assert energy(x, y) == pytest.approx(2 * cdist(x, y).mean() - inside, abs=1e-5)
    wide = rng.normal(0, 2, (2_000, 3))
    assert energy(rng.normal(size=(2_000, 3)), wide) > 0.1
    assert np.isnan(energy(x[:1], y))


def test_mmd_is_its_definition() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 3)), rng.normal(0.5, 1, (30, 3))

    def kernel(a, b):
        return sum(np.exp(-(cdist(a, b) ** 2) / (2 * (s * 1.5) ** 2)) for s in (0.25, 0.5, 1, 2, 4))

    left = (kernel(x, x).sum() - 5 * 40) / (40 * 39)
    right = (kernel(y, y).sum() - 5 * 30) / (30 * 29)
    assert mmd2(x, y, 1.5) == pytest.approx(left + right - 2 * kernel(x, y).mean(), abs=1e-6)
    assert np.isnan(mmd2(x, y, 0.0))


def test_fresh_real_cells_look_real(bench) -> None:
    design, test, fresh = bench
    assert abs(value(design, test, fresh, "rf_auroc", "genes") - 0.5) < 0.12
    assert abs(value(design, test, fresh, "energy", "10")) < 0.1
    assert abs(value(design, test, fresh, "dcr_ratio") - 1) < 0.1
    assert abs(value(design, test, fresh, "dcr_share") - 0.5) < 0.15
    assert abs(value(design, test, fresh, "mia_auroc") - 0.5) < 0.15
    assert value(design, test, fresh, "dup_rate") == 0
    assert value(design, test, fresh, "mean_r") > 0.98
    assert value(design, test, fresh, "var_r") > 0.7
    assert value(design, test, fresh, "zero_r") > 0.95
    assert value(design, test, fresh, "libsize_ks") < 0.15
    assert 0.8 < value(design, test, fresh, "de_slope") < 1.1
    assert value(design, test, fresh, "marker_overlap") > 0.7


def test_copies_of_training_cells_are_seen(bench) -> None:
    design, test, _ = bench
    assert value(design, test, design.train, "dcr_ratio") < 1e-3
    assert value(design, test, design.train, "dcr_share") > 0.95
    assert value(design, test, design.train, "dup_rate") == 1
    assert value(design, test, design.train, "mia_auroc") > 0.95


def test_genes_that_are_drawn_alone_lose_their_correlations(bench) -> None:
    design, test, fresh = bench
    rng = np.random.default_rng(3)
    mixed = fresh.counts.toarray()
    for code in range(CLASSES):
        rows = np.flatnonzero(fresh.codes == code)
        for gene in range(GENES):
            mixed[rows, gene] = mixed[rng.permutation(rows), gene]
    counts = sparse.csr_array(mixed)
    alone = CellSet(counts, sparse.csr_array(log1p_cp10k(counts)), fresh.codes, fresh.space)
    found = [value(design, test, one, "corr_diff") for one in (fresh, alone)]
    assert found[1] > 1.2 * found[0]
    assert value(design, test, alone, "rf_auroc", "components") > 0.6
    assert value(design, test, alone, "libsize_ks") > 0.2


def test_washed_out_classes_have_a_slope_under_one(bench) -> None:
    design, test, fresh = bench
    faint = cells(np.random.default_rng(4), 240, spread=0.5).within(design.train.space)
    assert value(design, test, faint, "de_slope") < 0.75
    assert value(design, test, faint, "de_slope") < value(design, test, fresh, "de_slope")
    assert value(design, test, faint, "de_spearman") > 0.8


def test_the_contrast_is_that_of_welch(bench) -> None:
    from scipy import stats

    test = bench[1]
    inside = test.codes == 0
    x = test.log.toarray()
    t, p = stats.ttest_ind(x[inside], x[~inside], equal_var=False)
    found = contrast(test, inside)
    np.testing.assert_allclose(found.t, t, rtol=1e-3, atol=1e-3)
    sure = stats.false_discovery_control(p) <= 0.05
    assert (found.sure == sure).mean() > 0.97


def test_ties_of_a_curve_count_half() -> None:
    assert auroc(np.array([1.0, 1, 1, 1]), np.array([True, False, True, False])) == 0.5
    assert auroc(np.array([2.0, 1, 3, 0]), np.array([True, False, True, False])) == 1
    assert np.isnan(auroc(np.array([1.0]), np.array([True])))


def test_genes_that_never_vary_do_no_harm(bench) -> None:
    design, test, _ = bench
    counts = sparse.csr_array(np.ones((240, GENES), dtype=np.float32))
    flat = CellSet(counts, sparse.csr_array(log1p_cp10k(counts)), test.codes, test.space)
    for name in ("mean_r", "zero_r", "corr_diff", "de_slope", "libsize_ks", "dcr_ratio"):
        assert np.isfinite(value(design, test, flat, name))
    one = metric("var_r")(design)
    one.update(Pair(test, flat, design.train))
    assert one.result().value is None
