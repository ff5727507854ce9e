"""Columns of a block moved to their place in a wider matrix."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from scgx.h5ad.pile import place


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 8), st.booleans())
def test_moving_columns_is_a_product_with_a_matrix_of_ones(seed, width, target, merges):
    draw = np.random.default_rng(seed)
    block = draw.poisson(0.7, (5, width)).astype(np.float32)
    if merges:
        lookup = draw.integers(-1, target, width)
    else:
        lookup = np.full(width, -1)
        some = draw.permutation(width)[: min(width, target)]
        lookup[some] = draw.permutation(target)[: len(some)]
    ones = np.zeros((width, target))
    for column, to in enumerate(lookup):
        if to >= 0:
            ones[column, to] = 1
    wanted = block @ ones
    moved = place(sparse.csr_array(block), lookup, target, np.dtype(np.float32))
    np.testing.assert_array_equal(moved.toarray(), wanted)
    assert moved.has_canonical_format
    np.testing.assert_array_equal(place(block, lookup, target, np.dtype(np.float32)), wanted)
