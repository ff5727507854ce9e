"""Canonical correlation on cells whose two sides share a hidden state; suites: tests/conformance."""

import numpy as np
import pytest
from scipy import sparse

from scgx.learn.block import CellBlock
from scgx.learn.canonical import Canonical
from scgx.models.cca import Config, Model
from scgx.progress import Report

SETTINGS = Config(gamma=0.7, second_penalty=1.0, penalty=4.0)


def two_sides(n: int, seed: int) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Peaks that are open or not and genes, both ruled by five hidden numbers."""
    rules = np.random.default_rng(0).standard_normal((5, 360))
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((n, 5))
    level = hidden @ rules
    peaks = rng.random((n, 300)) < 1 / (1 + np.exp(2 - level[:, :300]))
    genes = rng.poisson(np.exp(0.7 * level[:, 300:]))
    return (
        sparse.csr_array(peaks, dtype=np.float32),
        sparse.csr_array(np.log1p(genes), dtype=np.float32),
    )


def block(x: sparse.csr_array, data: object) -> CellBlock:
    n, width = x.shape
    return CellBlock(x, data.obs, np.ones(n), np.ones(width, bool))  # type: ignore[attr-defined]


def fitted(paired) -> tuple[object, Model]:
    peaks, genes = two_sides(600, 1)
    rows = np.arange(600)
    data = paired().but(
        values=peaks, targets=genes, train=rows, val=rows[:0],
        groups=np.array([f"B{i % 6}" for i in rows], dtype=object),
    )  # fmt: skip
    return data, Model.fit(data, SETTINGS, seed=0, report=Report())


def test_cells_of_either_side_lie_near_themselves(paired):
    data, model = fitted(paired)
    peaks, genes = two_sides(200, 2)
    left = model.embed_pair(block(peaks, data), None)
    right = model.embed_pair(None, block(genes, data))
    both = model.embed_pair(block(peaks, data), block(genes, data))
    for place in (left, right, both):
        np.testing.assert_allclose((place**2).sum(axis=1), 1, rtol=1e-5)
    near = left @ right.T
    own = np.diag(near)
    further = (near > own[:, None]).mean(axis=1)
    assert further.mean() < 0.1
    assert ((both * left).sum(axis=1) > own).mean() > 0.9


def test_it_is_restored_bit_for_bit(paired):
    data, model = fitted(paired)
    again = Model.restore(SETTINGS, model.save())
    peaks, genes = two_sides(50, 3)
    np.testing.assert_array_equal(
        again.embed_pair(block(peaks, data), None), model.embed_pair(block(peaks, data), None)
    )
    np.testing.assert_array_equal(
        again.predict_back(block(genes, data)), model.predict_back(block(genes, data))
    )


def test_both_directions_are_foreseen(paired):
    data, model = fitted(paired)
    peaks, genes = two_sides(300, 4)

    def r(truth: np.ndarray, guess: np.ndarray) -> float:
        pairs = zip(truth.T, guess.T, strict=True)
        return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]))

    assert r(genes.toarray(), model.predict(block(peaks, data))) > 0.4
    assert r(peaks.toarray(), model.predict_back(block(genes, data))) > 0.25


def test_of_independent_views_nothing_is_shared():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5_000, 4)), rng.standard_normal((5_000, 6))
    b[:, 0] += 3 * a[:, 1]
    found = Canonical.fit(a, b, dimensions=9, shrinkage=0)
    assert found.rho.shape == (4,)
    np.testing.assert_allclose(found.rho[0], 3 / np.sqrt(10), atol=0.01)
    assert (found.rho[1:] < 0.1).all()
    first, second = found.first(a), found.second(b)
    np.testing.assert_allclose(np.cov(first.T), np.eye(4), atol=0.01)
    np.testing.assert_allclose(np.diag(first.T @ second) / len(a), found.rho, atol=0.01)


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("adt", "rna"), ("rna", "atac")])
def test_any_pair_of_sides_meets_whichever_is_named_first(paired, source, target):
    data = paired(source, target)
    rows = np.concatenate([data.train, data.val])
    data = data.but(train=rows, val=rows[:0])
    model = Model.fit(data, SETTINGS, seed=0, report=Report())
    one, other = data.x(data.test), data.y(data.test)
    left = model.embed_pair(block(one, data), None)
    right = model.embed_pair(None, block(other, data))
    near = left @ right.T
    assert (near > np.diag(near)[:, None]).mean() < 0.3
    assert model.predict(block(one, data)).shape == other.shape
    assert model.predict_back(block(other, data)).shape == one.shape


def test_absent_features_of_the_seen_side_count_as_never_seen(paired):
    data, model = fitted(paired)
    _peaks, genes = two_sides(100, 5)
    present = np.arange(60) % 5 > 0
    known = sparse.csr_array(genes.multiply(present), dtype=np.float32)
    whole = block(genes, data)
    part = CellBlock(known, data.obs, np.ones(100), present)
    blind = CellBlock(known, data.obs, np.ones(100), np.ones(60, bool))
    full, masked, zeros = (model.embed_pair(None, each) for each in (whole, part, blind))
    assert (full * masked).sum(axis=1).mean() > (full * zeros).sum(axis=1).mean()
