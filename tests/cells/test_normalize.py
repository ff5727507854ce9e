"""The pure core of `normalize`: units, block by block, the same for every storage."""

import numpy as np
import pytest
import scipy.sparse as sp

from scgx.cells import normalize
from scgx.errors import DataError


@pytest.fixture
def counts() -> np.ndarray:
    generator = np.random.default_rng(0)
    values = generator.poisson(0.6, (40, 30)).astype(np.float32)
    values[7] = 0
    values[:, 3] = 0
    return values


def with_explicit_zeros(dense: np.ndarray) -> sp.csr_array:
    """Every value stored, zeros too."""
    n, m = dense.shape
    indptr = np.arange(0, n * m + 1, m)
    indices = np.tile(np.arange(m), n)
    return sp.csr_array((dense.ravel().copy(), indices, indptr), shape=(n, m))


def weights(counts: np.ndarray) -> np.ndarray:
    return normalize.idf(normalize.document_frequency(counts[:20]), 20)


METHODS = {
    "log1p": lambda block, counts: normalize.log1p_cp10k(block),
    "tfidf": lambda block, counts: normalize.tfidf(block, weights(counts)),
    "binary": lambda block, counts: normalize.binary(block),
    "clr": lambda block, counts: normalize.clr(block),
    "linear": lambda block, counts: normalize.linear_from_log1p(block),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint16])
def test_storage_dtype_and_block_size_change_no_bit(name, dtype, counts):
    method = METHODS[name]
    dense = method(counts.astype(dtype), counts)
    assert dense.dtype == np.float32
    sparse = method(sp.csr_array(counts.astype(dtype)), counts)
    explicit = method(with_explicit_zeros(counts.astype(dtype)), counts)
    assert sparse.dtype == np.float32
    assert np.array_equal(sparse.toarray(), dense)
    assert np.array_equal(explicit.toarray(), dense)
    assert explicit.nnz == np.count_nonzero(explicit.data) == sparse.nnz
    parts = [method(sp.csr_array(counts.astype(dtype))[i : i + 7], counts) for i in range(0, 40, 7)]
    assert np.array_equal(sp.vstack(parts).toarray(), dense)


def test_log1p_is_ln_of_one_plus_counts_per_ten_thousand(counts):
    filled = counts[counts.sum(axis=1) > 0].astype(np.float64)
    want = np.log1p(filled / filled.sum(axis=1, keepdims=True) * 1e4)
    np.testing.assert_allclose(normalize.log1p_cp10k(filled), want, rtol=1e-6)
    assert not normalize.log1p_cp10k(counts)[7].any()


def test_log1p_divides_by_the_totals_given(counts):
    totals = counts.sum(axis=1) * 3.0
    want = normalize.log1p_cp10k(counts.astype(np.float64) / 3, counts.sum(axis=1))
    np.testing.assert_allclose(normalize.log1p_cp10k(counts, totals), want, rtol=1e-6)


def test_log1p_of_cpm_is_log1p_of_its_counts(counts):
    filled = counts[counts.sum(axis=1) > 0]
    cpm = filled / filled.sum(axis=1, keepdims=True, dtype=np.float64) * 1e6
    got = normalize.log1p_cp10k(cpm)
    np.testing.assert_allclose(got, normalize.log1p_cp10k(filled), rtol=1e-6)


def test_a_cell_with_values_and_no_total_is_refused(counts):
    totals = counts.sum(axis=1).astype(np.float64)
    totals[[2, 3]] = [0, np.nan]
    with pytest.raises(DataError, match="2 cells have values and a total"):
        normalize.log1p_cp10k(sp.csr_array(counts), totals)


def test_tfidf_is_the_same_from_counts_and_from_presence(counts):
    from_counts = normalize.tfidf(counts, weights(counts))
    assert np.array_equal(from_counts, normalize.tfidf(normalize.binary(counts), weights(counts)))
    presence = (counts > 0).astype(np.float64)
    present = presence.sum(axis=1, keepdims=True)
    want = np.log1p(presence / np.maximum(present, 1) * weights(counts) * 1e4)
    np.testing.assert_allclose(from_counts, want, rtol=1e-6)


def test_idf_is_zero_for_a_feature_that_no_training_cell_has(counts):
    assert weights(counts)[3] == 0
    assert weights(counts)[0] == 20 / np.count_nonzero(counts[:20, 0])
    explicit = normalize.document_frequency(with_explicit_zeros(counts))
    assert np.array_equal(explicit, np.count_nonzero(counts, axis=0))


def test_clr_is_the_seurat_form(counts):
    want = np.log1p(counts / np.exp(np.log1p(counts.astype(float)).mean(axis=1, keepdims=True)))
    np.testing.assert_allclose(normalize.clr(counts), want, rtol=1e-5)


def test_counts_come_back_from_their_logarithm():
    counts = np.array([[0, 1, 2, 900], [3, 0, 70_000, 12]], dtype=np.float64)
    logged = np.log1p(counts).astype(np.float32)
    assert np.array_equal(normalize.counts_from_log1p(logged), counts)
    seven_digits = np.round(np.log1p(counts[:, :3]), 7)
    assert np.array_equal(normalize.counts_from_log1p(seven_digits), counts[:, :3])
    assert np.array_equal(normalize.counts_from_log1p(sp.csr_array(logged)).toarray(), counts)


def test_counts_are_not_made_up_from_other_values(counts):
    with pytest.raises(DataError, match="no logarithm of one plus a whole number"):
        normalize.counts_from_log1p(normalize.log1p_cp10k(counts))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("bad", "words"), [(-1.0, "below zero"), (np.nan, "missing"), (np.inf, "inf")]
)
def test_negative_and_missing_values_are_refused_with_their_number(name, bad, words, counts):
    counts[5, 5] = bad
    with pytest.raises(DataError, match=f"1 values are .*{words}"):
        METHODS[name](sp.csr_array(counts), np.abs(np.nan_to_num(counts)))


def test_only_the_named_columns_change(counts):
    columns = np.arange(30) % 2 == 0
    dense = normalize.only(counts, columns, normalize.log1p_cp10k)
    assert np.array_equal(dense[:, ~columns], counts[:, ~columns])
    assert np.array_equal(dense[:, columns], normalize.log1p_cp10k(counts[:, columns]))
    sparse = normalize.only(sp.csr_array(counts), columns, normalize.log1p_cp10k)
    assert np.array_equal(sparse.toarray(), dense)


def test_scaled_values_are_named():
    assert "CPM or TPM" in normalize.scaled_name(np.full(9, 1e6))
    assert "CP10k" in normalize.scaled_name(np.full(9, 1e4))
    assert "not whole" in normalize.scaled_name(np.array([3.0, 900.0]))


def test_counts_are_told_from_other_values(counts):
    assert normalize.are_counts(counts)
    assert normalize.are_counts(sp.csr_array(counts.astype(np.int32)))
    assert not normalize.are_counts(counts * 0.3)
    assert not normalize.are_counts(-counts)
