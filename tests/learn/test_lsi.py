"""LSI: weights from training rows, unit rows, and an SVD that equals the exact one."""

import numpy as np
import pytest
from scipy import sparse

from scgx.learn.lsi import (
    Lsi,
    column_deviation,
    column_mean,
    inverse_frequency,
    truncated_svd,
    unit_rows,
)


@pytest.fixture
def peaks():
    rng = np.random.default_rng(1)
    dense = (rng.random((60, 30)) < 0.2).astype(np.float32)
    dense[:, 7] = 0
    dense[5] = 0
    return sparse.csr_array(dense)


def test_column_statistics_equal_numpy(peaks):
    dense = peaks.toarray() * 3.5
    x = sparse.csr_array(dense)
    np.testing.assert_allclose(column_mean(x), dense.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(column_deviation(x), dense.std(axis=0), rtol=1e-5, atol=1e-6)


def test_a_peak_that_is_never_open_weighs_nothing_and_a_rare_one_more(peaks):
    idf = inverse_frequency(peaks)
    df = peaks.toarray().sum(axis=0)
    assert idf[7] == 0
    assert idf[df > 0].argmax() == df[df > 0].argmin()


def test_rows_have_unit_length_and_empty_rows_stay_empty(peaks):
    rows = unit_rows(peaks, inverse_frequency(peaks))
    length = np.linalg.norm(rows.toarray(), axis=1)
    assert length[5] == 0
    np.testing.assert_allclose(np.delete(length, 5), 1, rtol=1e-6)


def test_svd_equals_the_exact_one_of_the_centred_matrix(peaks):
    x = sparse.csr_array(peaks.toarray() @ np.diag(np.linspace(0.1, 3, 30)).astype(np.float32))
    centre = column_mean(x)
    svd = truncated_svd(x, 4, centre=centre, seed=0)
    _, values, right = np.linalg.svd(x.toarray() - centre, full_matrices=False)
    np.testing.assert_allclose(svd.values, values[:4], rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(svd.axes * right[:4].T, axis=0)), 1, atol=1e-2)


def test_rank_is_at_most_the_shape_and_signs_are_fixed(peaks):
    svd = truncated_svd(peaks, 500, centre=np.zeros(30, np.float32), seed=0)
    assert svd.axes.shape[1] <= 30
    largest = np.abs(svd.axes).argmax(axis=0)
    assert (svd.axes[largest, np.arange(svd.axes.shape[1])] > 0).all()


def test_the_same_seed_gives_the_same_bytes(peaks):
    first, second = (Lsi.fit(peaks, modality="atac", rank=5, seed=3) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_missing_peaks_are_renormalised(peaks):
    lsi = Lsi.fit(peaks, modality="atac", rank=5, seed=0)
    some = peaks.toarray()
    some[:, ::2] = 0
    shown = unit_rows(sparse.csr_array(some), lsi.weight)
    length = np.linalg.norm(shown.toarray(), axis=1)
    np.testing.assert_allclose(length[length > 0], 1, rtol=1e-6)


def test_absent_genes_count_as_their_mean(peaks):
    lsi = Lsi.fit(peaks, modality="rna", rank=5, seed=0)
    present = np.ones(30, bool)
    present[:15] = False
    seen = sparse.csr_array(peaks.toarray() * present)
    filled = np.where(present, peaks.toarray(), lsi.centre)
    expected = (filled - lsi.centre) @ lsi.axes
    np.testing.assert_allclose(lsi.transform(seen, present), expected, atol=1e-5)


def test_a_cells_components_do_not_depend_on_its_place_in_a_block(peaks):
    lsi = Lsi.fit(peaks, modality="atac", rank=5, seed=0)
    order = np.random.default_rng(0).permutation(60)
    there = lsi.transform(peaks[order])
    assert (there == lsi.transform(peaks)[order]).all()
