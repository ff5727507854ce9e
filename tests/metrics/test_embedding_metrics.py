"""Metrics of embeddings: what scIB 1.1.7 says of the same cells, and what has to hold of any."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_samples

from scgx import registry
from scgx.metrics._communities import ari, nmi, table
from scgx.metrics._cycle import explained_by, principal
from scgx.metrics._diffusion import diffusion_map, fuzzy, pseudotime
from scgx.metrics._places import Design, Places, silhouettes

ALL = (
    "nmi", "ari", "asw_label", "asw_batch", "graph_conn", "knn_purity", "cc_cons", "ti_cons_batch",
)  # fmt: skip
DESIGN = Design(np.random.default_rng(0).multinomial(10, np.full(10, 0.1), 50).astype(float))


def cells(n: int = 240, seed: int = 7) -> Places:
    """Four types, three batches, a trajectory, a cell cycle, and expression before."""
    rng = np.random.default_rng(seed)
    types, batches = np.arange(n) % 4, (np.arange(n) // 4) % 3
    time = rng.random(n)
    x = rng.normal(size=(n, 6)) * 0.5
    x[:, 0] += 3 * (types == 1)
    x[:, 1] += 3 * (types == 2)
    x[:, 2] += 4 * time * (types != 1)
    x[:, 3] += 0.6 * batches
    cycle = np.column_stack(
        [x[:, 4] + rng.normal(size=n) * 0.2, x[:, 2] + rng.normal(size=n) * 0.5]
    )
    order = np.where(types == 3, np.nan, time)
    log = np.maximum(x @ rng.normal(size=(6, 30)) + rng.normal(size=(n, 30)), 0)
    before = {
        code: explained_by(principal(log[batches == code]), cycle[batches == code])
        for code in range(3)
    }
    return Places(x, types, batches, np.arange(n) % 10, cycle, before, (order,))


def score(places: Places, key: str):
    made = registry.load("metrics", key.replace("_", "-")).Metric(DESIGN)
    made.update(places)
    return made.result()


SCIB = {  # scib 1.1.7, scanpy 1.11.5 with louvain 0.8.2, on the cells above
    "nmi": 0.8382645996, "ari": 0.6981125958, "asw_label": 0.6175589263, "asw_batch": 0.9015962,
    "graph_conn": 1.0, "cc_cons": 0.9462406, "ti_cons_batch": 0.5857830879,
}  # fmt: skip


@pytest.mark.parametrize("key", SCIB)
def test_it_says_what_scib_says(key: str) -> None:
    assert score(cells(), key).value == pytest.approx(SCIB[key], abs=1e-6)


@pytest.mark.parametrize("key", ALL)
def test_neither_shift_nor_rotation_nor_one_scale_changes_it(key: str) -> None:
    places = cells()
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    other = replace(places, vectors=7 * (places.vectors @ turn) + 100)
    assert score(other, key).value == pytest.approx(score(places, key).value, abs=1e-6)


def test_a_constant_embedding_mixes_perfectly_and_tells_nothing() -> None:
    places = replace(cells(), vectors=np.zeros((240, 3)))
    assert score(places, "asw_batch").value == 1
    assert score(places, "asw_label").value == 0.5
    assert score(places, "nmi").value < 0.15 and abs(score(places, "ari").value) < 0.02
    assert score(places, "knn_purity").value == pytest.approx(0.25, abs=0.05)
    assert score(places, "cc_cons").value is None
    assert np.isfinite(score(places, "ti_cons_batch").value)


def test_random_numbers_tell_nothing_and_mix_well() -> None:
    noise = np.random.default_rng(0).normal(size=(240, 6))
    places = replace(cells(), vectors=noise)
    assert abs(score(places, "ari").value) < 0.05
    assert score(places, "asw_batch").value > 0.93
    assert score(places, "ti_cons_batch").value == pytest.approx(0.5, abs=0.15)
    assert score(places, "cc_cons").value < 0.3


def test_types_that_lie_apart_are_perfect() -> None:
    places = cells()
    apart = np.eye(4)[places.types] * 100 + np.random.default_rng(0).normal(size=(240, 4)) * 0.1
    places = replace(places, vectors=apart)
    for key in ("nmi", "ari", "knn_purity", "graph_conn"):
        assert score(places, key).value == pytest.approx(1)
    assert score(places, "asw_label").value > 0.99


def test_what_is_not_known_is_no_number() -> None:
    places = replace(cells(), batches=None, cycle=None, before=None, orders=())
    for key in ("asw_batch", "cc_cons", "ti_cons_batch"):
        result = score(places, key)
        assert result.value is None and result.note
    assert score(replace(places, types=np.zeros(240, int)), "asw_label").value is None


def test_draws_lie_around_the_value() -> None:
    for key in ("asw_label", "asw_batch", "knn_purity", "nmi", "ari"):
        result = score(cells(), key)
        assert len(result.draws) == 50
        low, high = np.percentile(result.draws, [1, 99])
        assert low <= result.value <= high + 0.02


def test_agreement_and_silhouettes_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    a, b, x = rng.integers(0, 5, 90), rng.integers(0, 3, 90), rng.normal(size=(90, 4))
    assert nmi(table(a, b)) == pytest.approx(normalized_mutual_info_score(a, b))
    assert ari(table(a, b)) == pytest.approx(adjusted_rand_score(a, b))
    a[7] = 9  # alone
    np.testing.assert_allclose(silhouettes(x, a), silhouette_samples(x, a), atol=1e-9)


def test_neighbours_are_exact_and_ties_make_no_hubs() -> None:
    places = cells()
    far = np.sqrt(((places.vectors[:, None] - places.vectors[None]) ** 2).sum(axis=2))
    np.fill_diagonal(far, np.inf)
    np.testing.assert_array_equal(places.near.rows, np.argsort(far, axis=1)[:, :14])
    same = replace(places, vectors=np.zeros((240, 2)))
    counts = np.bincount(same.near.rows.ravel(), minlength=240)
    assert counts.max() < 40 and (np.diff(np.sort(same.near.rows, axis=1)) > 0).all()
    few = Places(np.arange(5.0)[:, None], np.arange(5) % 2, None, np.zeros(5, int))
    assert few.near.rows.shape == (5, 4)


def test_time_runs_along_a_line() -> None:
    x = np.column_stack([np.arange(200.0), np.zeros(200)])
    places = Places(x, np.zeros(200, int), None, np.zeros(200, int))
    found = pseudotime(*diffusion_map(fuzzy(places.near)), root=0)
    assert found[0] == 0 and found.max() == 1
    assert np.corrcoef(np.argsort(np.argsort(found)), np.arange(200))[0, 1] > 0.99
