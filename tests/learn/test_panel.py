"""Genes of two files pair by any name, and depth is that of the shared ones."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scgx.h5ad import writer
from scgx.h5ad.frame import Frame
from scgx.h5ad.reader import open_cells
from scgx.learn.convert import choose
from scgx.learn.panel import Lens, Names, Panel, find

IDS = [f"ENSG{i:011d}" for i in range(1, 7)]
SYMBOLS = ["TP53", "MYC", "CD4", "CD8A", "MS4A1", "NKG7"]


def table(index: list[str], **columns: list[str]) -> Frame:
    return Frame(np.array(index, object), {k: np.array(v, object) for k, v in columns.items()})


def panel(var: Frame, share: list[float] | None = None) -> Panel:
    n = len(var)
    given = np.array(share) if share else np.full(n, 1 / n)
    return Panel("rna", Names.of(var), np.arange(n), given)


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (table(IDS), table(IDS[::-1])),
        (table([f"{i}.3" for i in IDS]), table([f"{i}.12" for i in IDS[::-1]])),
        (table(SYMBOLS), table(SYMBOLS[::-1])),
        (table(IDS, gene_name=SYMBOLS), table(SYMBOLS[::-1])),
        (table(SYMBOLS), table(IDS[::-1], gene_name=SYMBOLS[::-1])),
        (table(SYMBOLS, gene_ids=IDS), table(IDS[::-1])),
        (table(IDS, gene_name=SYMBOLS), table(list("abcdef"), gene_symbol=SYMBOLS[::-1])),
    ],
)
def test_genes_pair_by_whatever_both_know(mine: Frame, theirs: Frame) -> None:
    found = find(panel(mine), theirs, np.arange(6))
    assert found.columns.tolist() == [5, 4, 3, 2, 1, 0]


def test_what_a_file_lacks_is_minus_one() -> None:
    found = find(panel(table(SYMBOLS)), table(["MYC", "other", "NKG7"]), np.arange(3))
    assert found.columns.tolist() == [-1, 0, -1, -1, -1, 2]
    assert (found.n, found.by_index) == (2, 2)


def test_a_symbol_that_is_there_twice_pairs_nothing() -> None:
    theirs = table(IDS[:3], gene_name=["TP53", "MYC", "MYC"])
    assert find(panel(table(SYMBOLS)), theirs, np.arange(3)).columns.tolist()[:2] == [0, -1]


def test_no_column_is_taken_twice() -> None:
    mine = table(["TP53", IDS[0]], gene_name=["TP53", "TP53"])
    found = find(panel(mine), table([IDS[0]], gene_name=["TP53"]), np.arange(1))
    assert sorted(found.columns.tolist()) == [-1, 0]


def cells(path: Path, counts: np.ndarray, names: list[str]) -> Path:
    with writer.create(path) as out:
        out.frame("obs", Frame(np.array([f"c{i}" for i in range(len(counts))], object)))
        out.frame("var", table(names))
        with out.matrix("X", counts.shape[1], counts.dtype) as append:
            append(sparse.csr_array(counts))
    return path


def test_a_cell_looks_as_in_training_where_genes_are_missing(tmp_path: Path) -> None:
    counts = np.array([[4, 2, 2, 1, 1, 0]], dtype=np.float32)
    share = (counts[0] / counts.sum()).tolist()
    whole = cells(tmp_path / "whole.h5ad", counts, SYMBOLS)
    part = cells(tmp_path / "part.h5ad", counts[:, [2, 0]], ["CD4", "TP53"])
    mine = panel(table(SYMBOLS), share)
    seen = []
    for path in (whole, part):
        with open_cells(path) as opened:
            place = find(mine, opened.var, np.arange(opened.n_var)).columns
            lens = Lens(choose(opened, "rna"), mine, place)
            seen.append(lens.x(opened, np.arange(1)).toarray()[0])
    np.testing.assert_allclose(seen[1][[0, 2]], seen[0][[0, 2]], rtol=1e-6)
    assert seen[1][[1, 3, 4, 5]].tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(np.expm1(seen[0]).sum(), 1e4, rtol=1e-5)


def test_logged_values_give_the_same_as_the_counts(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(3, (5, 6)).astype(np.float32)
    logged = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True)).astype(np.float32)
    mine = panel(table(SYMBOLS))
    seen = []
    for name, values in (("counts", counts), ("logged", logged)):
        with open_cells(cells(tmp_path / f"{name}.h5ad", values, SYMBOLS)) as opened:
            lens = Lens(choose(opened, "rna"), mine, np.arange(6))
            seen.append(lens.x(opened, np.arange(5)).toarray())
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-5)
