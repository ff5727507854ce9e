"""Which cells are compared: some of each class, whatever their order, as many on either side."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError
from scgx.metrics._sets import CellSet, Design, Space
from scgx.tasks import _sampled
from scgx.tasks._likeness import MOST, Bench, ceiling, keys, results
from scgx.tasks._sampled import cell_set, draw, matched, placed, some_of
from scgx.tasks._scores import goodness
from scgx.tasks._teaching import levels_of

CLASSES = ("a", "b", "c")


def cells(seed: int, n: int) -> CellSet:
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    level = np.random.default_rng(9).gamma(1.0, 3.0, (3, 30))
    return cell_set(sparse.csr_array(rng.poisson(level[codes]).astype(np.float32)), codes)


def bench(*, halves: bool) -> Bench:
    train, test, other = cells(0, 150), cells(1, 90), cells(2, 90)
    space = Space.fit(train.log)
    train, test, other = (one.within(space) for one in (train, test, other))
    return Bench(Design(train, frozenset()), test, other, CLASSES, halves, 0)


def test_some_of_each_class_are_the_same_cells_in_any_order() -> None:
    names = np.array([f"n{i}" for i in range(50)], dtype=object)
    codes = np.arange(50) % 4 - 1
    mixed = np.random.default_rng(0).permutation(50)
    chosen = some_of(names, codes, 5, seed=3)
    again = some_of(names[mixed], codes[mixed], 5, seed=3)
    assert names[chosen].tolist() == names[mixed][again].tolist()
    assert np.bincount(codes[chosen]).tolist() == [5, 5, 5]
    assert len(some_of(names, np.full(50, -1), 5, seed=3)) == 0
    assert some_of(names, codes, 5, seed=4).tolist() != chosen.tolist()


def test_either_side_has_as_many_cells_of_each_class() -> None:
    left, right = cells(0, 30), cells(1, 12)
    sizes = matched(np.array([100, 100, 2]), left, right, most=MOST)
    assert sizes.tolist() == [4, 4, 2]
    rng = np.random.default_rng(0)
    assert np.bincount(draw(left, sizes, rng).codes).tolist() == [4, 4, 2]


def test_too_many_cells_are_scaled_down_and_no_class_is_lost() -> None:
    side = cells(0, 3_000)
    sizes = matched(np.array([1000, 1000, 3]), side, most=300)
    assert sizes.sum() <= 303 and sizes.min() >= 1


def test_genes_that_a_model_left_out_are_zero() -> None:
    block = sparse.csr_array(np.array([[1, 2], [0, 3]], dtype=np.int32))
    found = placed([block, block], np.array([3, 0]), 4)
    np.testing.assert_array_equal(found.toarray()[:2], [[2, 0, 0, 1], [3, 0, 0, 0]])
    assert found.shape == (4, 4) and found.has_sorted_indices


@pytest.mark.parametrize("halves", [False, True])
def test_real_against_real_is_the_ceiling(halves: bool) -> None:
    one = bench(halves=halves)
    found = ceiling(one)
    assert abs(found["rf_auroc@genes"].mean - 0.5) < 0.25
    assert abs(found["dcr_ratio"].mean - 1) < 0.15
    sizes = {len(pair.real) for pair in one.ceiling()}
    assert sizes == ({45} if halves else {90})


def test_pairs_have_as_many_of_real_made_and_training_cells() -> None:
    for pair in bench(halves=False).pairs(cells(4, 60).within(bench(halves=False).real.space)):
        assert len(pair.real) == len(pair.fake) == len(pair.members) == 60
        np.testing.assert_array_equal(pair.real.codes, pair.fake.codes)


def test_a_metric_with_variants_has_a_result_for_each() -> None:
    one = bench(halves=False)
    found = results(one.design, one.pairs(one.other), ("energy", "mean_r"))
    assert set(found) == {*keys("energy"), *keys("mean_r")} == {"energy@50", "energy@10", "mean_r"}


def test_what_is_near_its_best_value_is_good() -> None:
    assert goodness(0.5, "near 0.5") > goodness(0.6, "near 0.5") == goodness(0.4, "near 0.5")
    assert goodness(2, "higher") == 2 and goodness(2, "lower") == -2


def test_coarse_classes_come_from_the_map() -> None:
    fine, coarse = levels_of(CLASSES, {"a": "x", "b": "y", "c": "x", "other": "z"})
    assert fine.classes == CLASSES and coarse.classes == ("x", "y")
    assert coarse.into.tolist() == [0, 1, 0]
    assert coarse.key("tstr", "logistic") == "tstr@logistic,coarse"


def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path) -> None:
    class Wide:
        nnz = 10**12

    class Huge:
        n_obs, n_var = 10**6, 10**5

        def matrix(self, key: str) -> Wide:
            return Wide()

    source = _sampled.Source(Huge(), "X", np.arange(2_000))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="so many cells"):
        _sampled.check_room([(source, 500_000)], 1 << 30)
    _sampled.check_room([(source, 10)], 1 << 30)


def test_cells_keep_their_space_when_some_are_taken() -> None:
    side = bench(halves=False).real
    some = side.take(np.array([3, 1]))
    np.testing.assert_allclose(some.components, side.components[[3, 1]], atol=1e-9)
    with pytest.raises(ValueError, match="no space"):
        _ = replace(side, space=None).components
