"""Metrics of matching against their definitions, spelled out, and the values they must have."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from scgx import registry
from scgx.metrics._matching import Design, Labels, Match

PLACED = ("foscttm", "foscttm-strict", "mrr")


def value(name: str, match: Match, variant: str = "", classes: tuple[str, ...] = ()) -> float:
    metric = registry.load("metrics", name).Metric(Design.plain(classes))
    metric.update(match)
    result = metric.result(variant) if variant else metric.result()
    assert result.value is not None
    return result.value


def of(weights: np.ndarray, places=None, **more: object) -> Match:
    stored = sparse.csr_array(weights)
    return Match(stored, np.zeros(len(weights), int), 0.0, places, **more)


def drawn(n: int = 60, m: int = 60, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weights = rng.random((n, m)) * (rng.random((n, m)) < 0.4)
    weights[:, :n] += np.eye(n) * rng.random((n, 1))
    return weights / weights.sum(axis=1, keepdims=True)


def two_places(n: int = 60, m: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    cells = rng.standard_normal((max(n, m), 4))
    return cells[:n], cells[:m] + rng.standard_normal((m, 4))


def test_the_truth_is_perfect() -> None:
    match = of(np.eye(40))
    assert value("match-probability", match) == 1
    assert value("foscttm", match) == 0
    assert value("pairing-auroc", match) == 1
    assert value("pairing-aupr", match) == pytest.approx(1)
    assert value("recall-at-k", match, "1") == 1
    assert value("mrr", match) == 1


def test_a_constant_embedding_is_at_chance_and_not_perfect() -> None:
    rng = np.random.default_rng(0)
    place = rng.standard_normal(7)
    match = of(np.eye(600), (np.tile(place, (600, 1)), np.tile(place, (600, 1))))
    assert value("foscttm", match) == 0.5
    assert value("foscttm-strict", match) == 0
    assert value("recall-at-k", match, "10") == pytest.approx(10 / 600)
    assert value("mrr", match) == pytest.approx(1 / 300.5)


def test_constant_weights_are_at_chance() -> None:
    match = Match(sparse.csr_array((50, 50)), np.zeros(50, int), 1 / 50)
    assert value("match-probability", match) == pytest.approx(1 / 50)
    assert value("foscttm", match) == 0.5
    assert value("pairing-auroc", match) == 0.5
    assert value("pairing-aupr", match) == pytest.approx(1 / 50)


@pytest.mark.parametrize("m", [60, 75])
def test_foscttm_is_what_it_says(m: int) -> None:
    left, right = two_places(m=m)
    far = np.sqrt(((left[:, None] - right) ** 2).sum(axis=2))
    own = np.diag(far)
    rows = (far < own[:, None]).sum(axis=1) / (m - 1)
    columns = (far[:, :60] < own).sum(axis=0) / 59
    match = of(drawn(m=m), (left, right))
    assert value("foscttm", match) == pytest.approx((rows.mean() + columns.mean()) / 2)
    strict = ((far < own[:, None]).mean() + (far[:, :60] < own).mean()) / 2
    assert value("foscttm-strict", match) == pytest.approx(strict)
    ranks = 1 + (far < own[:, None]).sum(axis=1), 1 + (far[:, :60] < own).sum(axis=0)
    assert value("mrr", match) == pytest.approx(np.mean([1 / ranks[0], 1 / ranks[1]]))
    for k in (1, 10):
        expected = np.mean([ranks[0] <= k, ranks[1] <= k])
        assert value("recall-at-k", match, str(k)) == pytest.approx(expected)


def test_ties_of_weights_count_half() -> None:
    weights = np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 0.5, 0.5]])
    far = -weights
    own = np.diag(far)
    off = ~np.eye(3, dtype=bool)
    rows = ((far < own[:, None]) + 0.5 * (far == own[:, None]))[off].sum() / 6
    columns = ((far < own) + 0.5 * (far == own))[off].sum() / 6
    assert value("foscttm", of(weights)) == pytest.approx((rows + columns) / 2)


def test_pairs_are_ranked_with_midranks() -> None:
    weights = np.round(drawn(), 2)
    expected = roc_auc_score(np.eye(60).ravel(), weights.ravel())
    assert value("pairing-auroc", of(weights)) == pytest.approx(expected)


def test_precision_and_recall_of_distinct_weights_is_their_curve() -> None:
    weights = np.random.default_rng(1).random((30, 30))
    order = np.argsort(-weights.ravel())
    hits = np.cumsum(np.eye(30).ravel()[order])
    trapezoid, before = 0.0, 0.0
    for seen, got in enumerate(hits, start=1):
        if got > before:
            steps = np.linspace(before, got, 2001)
            trapezoid += np.trapezoid((steps) / np.maximum(seen - got + steps, 1e-9), steps) / 30
        before = got
    assert value("pairing-aupr", of(weights)) == pytest.approx(trapezoid, rel=1e-3)


def test_an_empty_row_is_counted_and_no_nan() -> None:
    weights = drawn()
    weights[7] = 0
    match = of(weights)
    metric = registry.load("metrics", "match-probability").Metric(Design.plain())
    metric.update(match)
    assert metric.result().n_degenerate == 1
    assert metric.result().value == pytest.approx(np.diag(weights).sum() / 60)
    for name in (*PLACED, "pairing-auroc", "pairing-aupr"):
        assert np.isfinite(value(name, match))


def test_within_groups_only_those_cells_are_candidates() -> None:
    left, right = two_places()
    groups = np.arange(60) % 3
    match = of(np.eye(60), (left, right), groups=(groups, groups))
    parts = [
        value("foscttm", of(np.eye(20), (left[groups == g], right[groups == g]))) for g in range(3)
    ]
    assert value("foscttm", match) == pytest.approx(np.mean(parts))


def test_labels_are_those_of_the_nearest() -> None:
    left, right = two_places()
    kinds = np.random.default_rng(2).integers(0, 3, 60)
    taken = kinds[((left[:, None] - right) ** 2).sum(axis=2).argmin(axis=1)]
    match = of(np.eye(60), (left, right), labels=Labels(kinds, kinds))
    assert value("label-transfer-accuracy", match) == pytest.approx((taken == kinds).mean())
    expected = f1_score(kinds, taken, average="macro")
    found = value("label-transfer-f1", match, classes=("a", "b", "c"))
    assert found == pytest.approx(expected)


def test_draws_of_the_bootstrap_weigh_parts() -> None:
    weights, parts = drawn(), np.arange(60) % 4
    design = Design(np.array([[1.0, 1, 1, 1], [4, 0, 0, 0]]))
    match = Match(sparse.csr_array(weights), parts)
    metric = registry.load("metrics", "match-probability").Metric(design)
    metric.update(match)
    own = np.diag(weights)
    np.testing.assert_allclose(metric.result().draws, [own.mean(), own[parts == 0].mean()])


def glue_alignment(x: np.ndarray, y: np.ndarray) -> float:
    """The code of scglue.metrics.seurat_alignment_score for sides of one size, without its draws."""
    k = max(round(len(x) * 0.01), 1)
    near = NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x, return_distance=False)
    same = (y[near[:, 1:]] == y[:, None]).sum(axis=1).mean()
    return min((k - same) * 2 / k, 1)


@pytest.mark.parametrize("gap", [0.0, 0.5, 3.0])
def test_seurat_alignment_is_that_of_glue(gap: float) -> None:
    left, right = two_places(n=200, m=200)
    match = of(np.eye(200), (left, right + gap))
    expected = glue_alignment(np.vstack([left, right + gap]), np.repeat([0, 1], 200))
    assert value("seurat-alignment", match) == pytest.approx(expected)


def test_seurat_alignment_of_a_constant_is_that_of_chance_and_apart_is_none() -> None:
    same = np.ones((300, 3))
    assert value("seurat-alignment", of(np.eye(300), (same, same))) == pytest.approx(1, abs=0.01)
    assert value("seurat-alignment", of(np.eye(300), (same, same + 1))) == 0


def test_seurat_alignment_draws_sides_of_one_size_and_needs_a_space() -> None:
    left, right = two_places(n=150, m=400)
    rng = np.random.default_rng(0)
    match = of(np.eye(150, 400), (left, rng.permutation(right)))
    assert 0.3 < value("seurat-alignment", match) <= 1
    metric = registry.load("metrics", "seurat-alignment").Metric(Design.plain())
    metric.update(of(np.eye(20)))
    assert metric.result().value is None
    assert metric.result().note == "no common space"


def test_seurat_alignment_is_of_the_common_space_alone() -> None:
    left, right = two_places(n=200, m=200)
    freed = [np.column_stack([left, np.full(200, 9.0)]), np.column_stack([right, np.zeros(200)])]
    assert value("seurat-alignment", of(np.eye(200), tuple(freed))) == 0
    whole = value("seurat-alignment", of(np.eye(200), (left, right)))
    assert value("seurat-alignment", of(np.eye(200), tuple(freed), space=4)) == whole > 0.5
