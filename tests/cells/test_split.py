"""The pure core of `split`: whole groups, kept strata, no dependence on order."""

import numpy as np
import pytest

from scgx.cells import split
from scgx.cells.split import Fractions
from scgx.errors import DataError, UsageError

SHARES = Fractions(0.7, 0.1, 0.2)


def cells(sizes: dict[str, int]) -> np.ndarray:
    return np.repeat(np.array(list(sizes), dtype=object), list(sizes.values()))


def shares(parts: np.ndarray) -> np.ndarray:
    return np.bincount(parts, minlength=3) / len(parts)


@pytest.fixture
def donors() -> np.ndarray:
    sizes = np.random.default_rng(0).integers(50, 200, 24)
    return cells({f"d{i}": int(size) for i, size in enumerate(sizes)})


def test_no_group_is_torn_and_shares_are_near(donors):
    parts = split.by_group(donors, SHARES, seed=0)
    assert split.torn(donors, parts) == []
    np.testing.assert_allclose(shares(parts), SHARES, atol=0.04)


def test_the_order_of_the_cells_moves_nobody(donors):
    parts = split.by_group(donors, SHARES, seed=3)
    shuffled = np.random.default_rng(1).permutation(len(donors))
    assert np.array_equal(split.by_group(donors[shuffled], SHARES, seed=3), parts[shuffled])
    names = np.array([f"c{i}" for i in range(len(donors))], dtype=object)
    alone = split.by_cell(names, SHARES, seed=3, strata=donors)
    again = split.by_cell(names[shuffled], SHARES, seed=3, strata=donors[shuffled])
    assert np.array_equal(again, alone[shuffled])
    assert split.identity(names, parts) == split.identity(names[shuffled], parts[shuffled])


def test_another_seed_is_another_split(donors):
    seen = {split.by_group(donors, SHARES, seed=seed).tobytes() for seed in range(5)}
    assert len(seen) == 5


def test_groups_and_strata_together_keep_the_strata(donors):
    generator = np.random.default_rng(2)
    sick = {donor: generator.random() < 0.3 for donor in set(donors)}
    strata = np.array(["sick" if sick[donor] else "well" for donor in donors], dtype=object)
    parts = split.by_group(donors, SHARES, seed=0, strata=strata)
    assert split.torn(donors, parts) == []
    for stratum in ("sick", "well"):
        np.testing.assert_allclose(shares(parts[strata == stratum]), SHARES, atol=0.12)


def test_cells_keep_the_fractions_to_the_cell():
    names = np.array([f"c{i}" for i in range(1000)], dtype=object)
    strata = np.array([["a", "b", None][min(i % 7, 2)] for i in range(1000)], dtype=object)
    parts = split.by_cell(names, SHARES, seed=0, strata=strata)
    assert np.bincount(parts).tolist() == [700, 100, 200]
    for stratum in ("a", "b", None):
        mine = parts[[s == stratum for s in strata]]
        assert np.all(np.abs(np.bincount(mine, minlength=3) - len(mine) * np.array(SHARES)) <= 2)


def test_many_classes_of_one_cell_still_give_the_shares():
    names = np.array([f"c{i}" for i in range(100)], dtype=object)
    assert np.bincount(split.by_cell(names, SHARES, seed=0, strata=names)).tolist() == [70, 10, 20]


def test_a_share_of_zero_makes_no_part(donors):
    assert set(split.by_group(donors, Fractions(0.8, 0.0, 0.2), seed=0)) == {0, 2}
    assert set(split.by_cell(donors, Fractions(0.5, 0.5, 0.0), seed=0)) == {0, 1}


def test_every_part_gets_a_group_even_when_groups_are_few():
    groups = cells({"big": 1000, "small": 10, "tiny": 3})
    parts = split.by_group(groups, SHARES, seed=0)
    assert set(parts) == {0, 1, 2}
    assert len(split.torn(groups, parts)) == 0


def test_three_parts_from_two_groups_are_refused():
    with pytest.raises(DataError, match="3 parts cannot be made of 2 groups"):
        split.by_group(cells({"a": 5, "b": 5}), SHARES, seed=0)
    with pytest.raises(DataError, match="3 parts cannot be made of 2 cells"):
        split.by_cell(np.array(["a", "b"], dtype=object), SHARES, seed=0)


def test_named_groups_go_where_they_are_named(donors):
    fixed = split.settle({2: ["d1", "d2"], 1: ["d7"]}, donors)
    parts = split.by_group(donors, Fractions(1, 0, 0), seed=0, fixed=fixed)
    assert set(donors[parts == 2]) == {"d1", "d2"}
    assert set(donors[parts == 1]) == {"d7"}


def test_unknown_and_doubly_named_groups_are_refused(donors):
    with pytest.raises(DataError, match=r"no group is called 'd99'.*did you mean"):
        split.settle({2: ["d99"]}, donors)
    with pytest.raises(UsageError, match="named for test and val"):
        split.settle({2: ["d1"], 1: ["d1"]}, donors)


def test_a_column_of_words_or_booleans_is_a_split():
    words = ["train", "Validation", "TEST", "holdout"]
    assert split.from_labels(words).tolist() == [0, 1, 2, 2]
    assert split.from_labels(["True", "False"]).tolist() == [0, 2]
    assert split.from_labels(["True", "False"], true_is=2).tolist() == [2, 0]
    with pytest.raises(DataError, match="'s1d1' is no part"):
        split.from_labels(["train", "s1d1"])
    with pytest.raises(DataError, match="1 cells have no value"):
        split.from_labels(["train", None])


def test_torn_groups_are_found():
    groups = np.array(["a", "a", "b"], dtype=object)
    assert split.torn(groups, np.array([0, 2, 1])) == ["a"]


@pytest.mark.parametrize("text", ["0.7,0.1,0.1", "0.8,0.2", "a,b,c", "1.5,-0.5,0", "nan,0,1"])
def test_fractions_that_are_none_are_usage_errors(text):
    with pytest.raises(UsageError):
        split.parse_fractions(text)
