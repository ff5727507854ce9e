"""Labelled cells: which of them teach, what they weigh, and that memory changes nothing."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError, InputError
from scgx.h5ad import writer
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells
from scgx.learn.fit_labels import LabelRoles, _tenth, gather
from scgx.learn.labels import classes_of, read_map
from scgx.models import logistic
from scgx.progress import Report

N, GENES = 300, 40


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Three types of unlike sizes, of which some cells have no label; split in three parts."""
    rng = np.random.default_rng(0)
    kind = rng.choice(3, N, p=[0.6, 0.3, 0.1])
    rates = rng.gamma(0.5, 2, (3, GENES))
    counts = rng.poisson(rates[kind]).astype(np.float32)
    words = np.array(["b", "nk", "t"], object)[kind]
    words[:7] = None
    part = np.array(["train", "train", "val", "test"], object)[np.arange(N) % 4]
    path = tmp_path / "cells.h5ad"
    obs = Frame(
        np.array([f"c{i}" for i in range(N)], object),
        {"type": categorical(words), "split": categorical(part)},
    )
    with writer.create(path) as out:
        out.frame("obs", obs)
        out.frame("var", Frame(np.array([f"g{i}" for i in range(GENES)], object)))
        with out.matrix("X", GENES, np.float32) as append:
            append(sparse.csr_array(counts))
    return path


def test_only_labelled_rows_of_train_and_val_are_taken(cells: Path) -> None:
    with open_cells(cells) as opened:
        data, parts = gather(opened, LabelRoles("type", "rna", least=3), seed=0)
        words = opened.obs.strings("type")
        assert set(data.train) == {i for i in parts.train if words[i] is not None}
        assert set(data.val) == {i for i in parts.val if words[i] is not None}
        assert data.classes == ("b", "nk", "t")
        assert data.counts.tolist() == np.bincount(data.y(data.train)).tolist()


def test_balance_makes_every_class_weigh_the_same(cells: Path) -> None:
    with open_cells(cells) as opened:
        for balance in (True, False):
            roles = LabelRoles("type", "rna", balance=balance, least=3)
            data, _ = gather(opened, roles, seed=0)
            weight = data.weight(data.train)
            assert weight.mean() == pytest.approx(1)
            sums = np.bincount(data.y(data.train), weights=weight)
            assert bool(np.ptp(sums) < 1e-3) is balance


def test_test_rows_teach_nothing(cells: Path, tmp_path: Path) -> None:
    """Labels and values of test rows are drawn anew; the model stays as it is, bit for bit."""
    made = []
    other = tmp_path / "other.h5ad"
    with open_cells(cells) as opened, writer.create(other) as out:
        test = opened.obs.strings("split") == "test"
        words = opened.obs.strings("type")
        words[test] = "t"
        out.frame("obs", opened.obs.with_column("type", categorical(words)))
        out.frame("var", opened.var)
        X = next(opened.blocks()).X.toarray()
        X[test] = np.random.default_rng(5).poisson(9, (test.sum(), GENES))
        with out.matrix("X", GENES, np.float32) as append:
            append(sparse.csr_array(X))
    for path in (cells, other):
        with open_cells(path) as opened:
            roles = LabelRoles("type", "rna", least=3, features="20")
            data, _ = gather(opened, roles, seed=0)
            model = logistic.Model.fit(data, logistic.Config(), seed=0, report=Report())
            made.append((data.lens.panel.chosen.tolist(), dict(model.save())))
    assert made[0] == made[1]


def test_from_disk_it_is_the_same_as_from_memory(cells: Path) -> None:
    made = []
    for memory in (1 << 30, 1 << 10):
        with open_cells(cells) as opened:
            opened.memory = memory
            data, _ = gather(opened, LabelRoles("type", "rna", least=3), seed=0)
            assert (data.held is None) is (memory == 1 << 10)
            rows = data.train[::-1]
            batches = list(data.batches(data.train, 32, seed=1, epoch=2))
            model = logistic.Model.fit(data, logistic.Config(), seed=0, report=Report())
            made.append((data.x(rows).toarray(), batches, dict(model.save())))
    np.testing.assert_array_equal(made[0][0], made[1][0])
    for one, two in zip(made[0][1], made[1][1], strict=True):
        np.testing.assert_array_equal(one.rows, two.rows)
        np.testing.assert_array_equal(one.x.toarray(), two.x.toarray())
        np.testing.assert_array_equal(one.y, two.y)
    assert made[0][2] == made[1][2]


def test_a_split_without_validation_rows_gets_some(cells: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5ad"
    with open_cells(cells) as opened, writer.create(other) as out:
        words = opened.obs.strings("split")
        words[words == "val"] = "train"
        out.frame("obs", opened.obs.with_column("split", categorical(words)))
        out.copy_rest(opened)
    with open_cells(other) as opened:
        data, parts = gather(opened, LabelRoles("type", "rna", least=3), seed=0)
        assert len(data.val) and not set(data.val) & set(data.train)
        assert not set(data.val) & set(parts.test)
        assert (data.counts > 0).all()


def test_moments_are_those_of_weighted_training_rows(cells: Path) -> None:
    with open_cells(cells) as opened:
        data, _ = gather(opened, LabelRoles("type", "rna", least=3), seed=0)
        x, weight = data.x(data.train).toarray(), data.weight(data.train)
        mean = np.average(x, axis=0, weights=weight)
        np.testing.assert_allclose(data.moments.mean, mean, rtol=1e-5)
        spread = np.average((x - mean) ** 2, axis=0, weights=weight)
        np.testing.assert_allclose(data.moments.variance, spread, rtol=1e-3, atol=1e-6)


def test_classes_that_are_too_small_or_too_few_are_refused() -> None:
    names = np.array([f"c{i}" for i in range(20)], object)
    obs = Frame(names, {"type": categorical(["a"] * 17 + ["b"] * 3)})
    rows = np.arange(20)
    assert classes_of(obs, "type", rows, least=3).names == ("a", "b")
    with pytest.raises(DataError, match="two or more with 4 cells"):
        classes_of(obs, "type", rows, least=4)


@pytest.mark.parametrize(
    ("text", "said"),
    [("a b\n", "not two names"), ("a\tx\na\ty\n", "second time"), ("\tx\n", "not two names")],
)
def test_a_map_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "map.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_map(path)


def test_a_map_has_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "map.tsv"
    path.write_text("# fine\tcoarse\nCD4 T\tT\n\nCD8 T\tT\n")
    assert read_map(path, ("CD4 T",)) == {"CD4 T": "T", "CD8 T": "T"}
    with pytest.raises(DataError, match="'B' first"):
        read_map(path, ("B", "CD4 T"))


def test_without_validation_rows_whole_groups_of_a_tenth_at_most_validate() -> None:
    donors = np.repeat(np.array(["a", "b", "c", "d"], object), [500, 300, 150, 80])
    held = _tenth(donors, len(donors), seed=0)
    assert set(donors[held]) == {"d"}
    assert _tenth(None, 1_000, seed=0).sum() == 100
    even = np.repeat(np.array(["a", "b", "c"], object), [40, 30, 20])
    assert set(even[_tenth(even, 90, seed=0)]) == {"c"}  # all are over a tenth: the smallest
