"""Blocks of rows equal what scipy makes of the whole, for any storage, budget, rows and columns."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from support import files

from scgx.errors import DataError, InputError
from scgx.h5ad.cells import Cells
from scgx.h5ad.matrix import Matrix, cut
from scgx.h5ad.reader import open_cells
from scgx.h5ad.select import select_columns
from scgx.h5ad.writer import create


class Case(NamedTuple):
    """A matrix, how it is stored, and a budget."""

    values: np.ndarray
    storage: str
    memory: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    n, m = draw(st.integers(1, 25)), draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32 - 1))
    dtype = draw(st.sampled_from(["f4", "f8", "i4", "u2"]))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    rng = np.random.default_rng(seed)
    values = (rng.integers(1, 9, (n, m)) * (rng.random((n, m)) < share)).astype(dtype)
    values[rng.random(n) < 0.2] = 0
    return Case(values, draw(st.sampled_from(["csr", "csc", "dense"])), draw(st.integers(1, 4000)))


@contextmanager
def stored(case: Case) -> Iterator[Cells]:
    with tempfile.TemporaryDirectory() as folder:
        X = case.values if case.storage == "dense" else sparse.csr_matrix(case.values)
        X = X.tocsc() if case.storage == "csc" else X
        with open_cells(files.cells(Path(folder, "m.h5ad"), X)) as cells:
            yield cells


def plain(block: object) -> np.ndarray:
    return block.toarray() if sparse.issparse(block) else np.asarray(block)


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_blocks_equal_the_whole(case: Case, data: st.DataObject) -> None:
    n, m = case.values.shape
    columns = data.draw(
        st.none() | st.permutations(range(m)).map(lambda c: np.array(c[: m // 2], dtype=np.int64))
    )
    rows = data.draw(st.none() | st.sets(st.integers(0, n - 1), min_size=1).map(sorted))
    wanted = case.values if columns is None else case.values[:, columns]
    wanted = wanted if rows is None else wanted[rows]
    with stored(case) as cells:
        chosen = None if rows is None else np.array(rows)
        blocks = list(cells.blocks("X", memory=case.memory, rows=chosen, columns=columns))
    assert [block.start for block in blocks] == _starts(blocks)
    assert all(block.X.dtype == case.values.dtype for block in blocks)
    assert np.array_equal(np.concatenate([plain(b.X) for b in blocks]), wanted)


def _starts(blocks: list[object]) -> list[int]:
    lengths = [block.X.shape[0] for block in blocks]  # type: ignore[attr-defined]
    return [sum(lengths[:i]) for i in range(len(lengths))]


@settings(max_examples=40, deadline=None)
@given(cases(), st.data())
def test_any_rows_in_any_order(case: Case, data: st.DataObject) -> None:
    n = len(case.values)
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=2 * n)), dtype=np.int64)
    with stored(case) as cells:
        assert np.array_equal(plain(cells.rows("X", rows)), case.values[rows])


@settings(max_examples=40, deadline=None)
@given(cases(), st.data())
def test_columns_taken_on_disk_equal_columns_taken_in_memory(
    case: Case, data: st.DataObject
) -> None:
    m = case.values.shape[1]
    columns = np.array(data.draw(st.permutations(range(m))), dtype=np.int64)
    columns = columns[: data.draw(st.integers(1, m))]
    with stored(case) as cells, tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out.h5ad")
        with create(out, like=cells) as made:
            select_columns(cells, made, columns)
            made.copy_rest(cells, skip=("var", "varm", "varp"))
        with open_cells(out) as taken:
            assert taken.matrix().kind == ("dense" if case.storage == "dense" else "csr")
            assert taken.matrix().dtype == case.values.dtype
            got = np.concatenate([plain(block.X) for block in taken.blocks()])
            assert taken.var_names.tolist() == cells.var_names[columns].tolist()
            assert taken.obs_names.tolist() == cells.obs_names.tolist()
    assert np.array_equal(got, case.values[:, columns])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 200))
def test_cuts_cover_all_rows_once_and_hold_to_the_budget(lengths: list[int], most: int) -> None:
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    ranges = cut(indptr, most)
    assert [row for start, stop in ranges for row in range(start, stop)] == list(
        range(len(lengths))
    )
    assert all(indptr[stop] - indptr[start] <= most or stop - start == 1 for start, stop in ranges)


def test_what_is_no_matrix_says_why(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["cube"] = np.zeros((2, 2, 2))
        file["words"] = np.array([[b"a", b"b"], [b"c", b"d"]])
        file.create_group("group")
        for name, error in (("cube", DataError), ("words", DataError), ("group", InputError)):
            with pytest.raises(error):
                Matrix(file[name], (2, 2), name)
