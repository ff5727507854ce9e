"""Self-training on the cells that are asked about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import sparse

from scgx.learn.adapt import adapted, teachers

CLASSES, GENES = 3, 60


def study(n: int, seed: int) -> tuple[sparse.csr_array, np.ndarray]:
    """Log counts of cells of three clear kinds, the last one rare."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(CLASSES, n, p=[0.6, 0.35, 0.05])
    means = np.random.default_rng(99).gamma(0.5, 2, (CLASSES, GENES))
    return sparse.csr_array(np.log1p(rng.poisson(means[kind])).astype(np.float32)), kind


def blocks(x: sparse.csr_array, size: int) -> Callable[[np.ndarray], Iterator[sparse.csr_array]]:
    return lambda rows: (x[rows[i : i + size]] for i in range(0, len(rows), size))


def doubtful(kind: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities of a model that errs in a third of the cells, and is then less sure."""
    rng = np.random.default_rng(seed)
    named = np.where(rng.random(len(kind)) < 0.35, rng.integers(0, CLASSES, len(kind)), kind)
    sure = np.where(
        named == kind, rng.uniform(0.5, 0.9, len(kind)), rng.uniform(0.4, 0.6, len(kind))
    )
    made = np.repeat(((1 - sure) / (CLASSES - 1))[:, None], CLASSES, axis=1)
    made[np.arange(len(kind)), named] = sure
    return made.astype(np.float32)


def test_cells_of_one_cloud_mend_each_others_names():
    x, kind = study(900, 0)
    before = doubtful(kind, 1)
    after = adapted(before, blocks(x, 512), modality="rna")
    assert (before.argmax(axis=1) == kind).mean() < 0.8
    assert (after.argmax(axis=1) == kind).mean() > 0.97
    rare = kind == 2
    assert (after.argmax(axis=1)[rare] == 2).mean() > 0.9
    np.testing.assert_allclose(after.sum(axis=1), 1, rtol=1e-5)


def test_the_same_cells_get_the_same_answer_in_blocks_of_any_size():
    x, kind = study(400, 0)
    before = doubtful(kind, 1)
    first = adapted(before, blocks(x, 512), modality="rna")
    np.testing.assert_array_equal(first, adapted(before, blocks(x, 7), modality="rna"))


@pytest.mark.parametrize("n", [0, 1, 49])
def test_few_cells_keep_the_answer_of_the_model(n: int):
    x, kind = study(49, 0)
    before = doubtful(kind, 1)[:n]
    np.testing.assert_array_equal(adapted(before, blocks(x[:n], 512), modality="rna"), before)


def test_cells_of_one_class_and_cells_without_counts_keep_it_too():
    x, kind = study(200, 0)
    one = np.tile(np.array([[0.8, 0.1, 0.1]], np.float32), (200, 1))
    np.testing.assert_array_equal(adapted(one, blocks(x, 512), modality="rna"), one)
    before, empty = doubtful(kind, 1), sparse.csr_array(x.shape, dtype=np.float32)
    np.testing.assert_array_equal(adapted(before, blocks(empty, 512), modality="rna"), before)


def test_teachers_are_the_surest_half_of_each_class_and_ten_at_least():
    probability = np.full((115, 2), 0.5, np.float32)
    probability[:100, 0] = np.linspace(0.5, 1, 100)
    probability[100:, 1] = np.linspace(0.6, 1, 15)
    chosen = teachers(probability, np.r_[np.zeros(100, int), np.ones(15, int)])
    assert chosen.tolist() == [*range(50, 100), *range(105, 115)]
