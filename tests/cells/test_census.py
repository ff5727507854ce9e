"""A slice of a Census: the right cells, genes chosen before counts are read, absence never zero."""

from pathlib import Path

import numpy as np
import pytest
from support.census import Tables

from scgx.cells import census
from scgx.cells.census import Slice, choose_genes, soma_filter
from scgx.cells.where import parse
from scgx.errors import DataError, UsageError
from scgx.h5ad.measured import measured_of
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create

COLUMNS = Tables().columns()


def sliced(path: Path, where: str | None, genes: str | None, memory: int = 1 << 30) -> Tables:
    store = Tables()
    with create(path) as out:
        census.write(store, Slice(parse(where) if where else None, genes), out, memory=memory)
    return store


FILTERS = {
    "cell_type=T cell": "cell_type == 'T cell'",
    "is_primary_data == True and cell_type == 'naive B cell'": (
        "(is_primary_data == True and cell_type == 'naive B cell')"
    ),
    "nnz>=12": "nnz >= 12",
    "not (cell_type == 'T cell' or nnz < 5)": "(cell_type != 'T cell' and nnz >= 5)",
    "dataset_id in ['ds0', 'ds1'] and not is_primary_data": (
        "(dataset_id in ['ds0', 'ds1'] and is_primary_data != True)"
    ),
    "cell_type!=T cell": "cell_type != 'T cell'",
    "is_primary_data=true": "is_primary_data == True",
    "nnz=3,4": "nnz in [3, 4]",
}


@pytest.mark.parametrize("words", FILTERS)
def test_a_condition_becomes_a_filter_that_soma_understands(words):
    assert soma_filter(parse(words), COLUMNS) == FILTERS[words]


def test_a_comma_may_belong_to_a_name():
    made = soma_filter(parse("cell_type=CD4-positive, alpha-beta T cell"), COLUMNS)
    found = Tables().obs(made).frame.strings("cell_type")
    assert set(found) == {"CD4-positive, alpha-beta T cell"}


@pytest.mark.parametrize("words", ["celltype=B", "cell_type>5", "nnz=many"])
def test_a_column_that_is_not_there_or_holds_something_else_is_refused(words):
    with pytest.raises(DataError):
        soma_filter(parse(words), COLUMNS)


@pytest.mark.parametrize("memory", [1 << 30, 1 << 14])
def test_a_slice_is_the_same_cells_and_counts_as_in_memory(tmp_path, memory):
    store = sliced(tmp_path / "a.h5ad", "cell_type == 'T cell' and is_primary_data", None, memory)
    table = store.obs_table.query("cell_type == 'T cell' and is_primary_data")
    genes = np.flatnonzero(store.mask.any(axis=1))
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.obs_names.tolist() == table["soma_joinid"].astype(str).tolist()
        assert cells.var_names.tolist() == store.var_table["feature_id"][genes].tolist()
        assert cells.var.strings("gene_name")[0] == "G0"
        found = cells.rows("X", np.arange(cells.n_obs)).toarray()
        assert cells.scgx["units"]["X"] == {"rna": "counts"}
    wanted = store.counts[table["soma_joinid"].to_numpy()][:, genes].toarray()
    np.testing.assert_array_equal(found, wanted)


def test_who_measured_what_travels_with_the_cells(tmp_path):
    store = sliced(tmp_path / "a.h5ad", "dataset_id in ('ds1', 'ds3')", None)
    with open_cells(tmp_path / "a.h5ad") as cells:
        measured = measured_of(cells)
        assert measured is not None
        assert measured.datasets.tolist() == ["ds1", "ds3"]
        rows = [int(name[4:]) for name in cells.var_names]
        np.testing.assert_array_equal(measured.mask, store.mask[rows][:, [1, 3]])
        owner = [("ds1", "ds3")[code] for code in measured.codes]
        assert owner == cells.obs.strings("dataset_id").tolist()


def test_genes_are_chosen_by_what_the_census_says_before_any_count_is_read(tmp_path):
    store = sliced(tmp_path / "a.h5ad", "cell_type=T cell", "measured:12")
    assert store.asked[:3] == ["obs", "var", "presence"]
    assert set(store.asked[3:]) == {"X of 12"}
    var = store.var_table
    widely = var[var["n_measured_obs"] >= 0.9 * var["n_measured_obs"].max()]
    best = widely.sort_values(["nnz", "feature_id"], ascending=[False, True])["feature_id"]
    expected = set(best[:12])
    if len(widely) < 12:
        expected |= set(var.drop(widely.index).sort_values("nnz")["feature_id"][-12:])
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.n_var == 12
        assert set(cells.var_names) <= expected
        assert cells.var_names.tolist() == sorted(cells.var_names)


def test_genes_by_type_name_symbol_or_file(tmp_path, monkeypatch, capsys):
    var = Tables().var().frame
    every = np.ones(40, dtype=bool)
    assert choose_genes(var, every, "type:protein_coding").tolist() == list(range(1, 40, 2))
    assert choose_genes(var, every, "G3,ENSG00000000007.12,nope").tolist() == [3, 7]
    assert "1 genes are not in the Census: nope" in capsys.readouterr().err
    (tmp_path / "list.txt").write_text("G5\tmore\nG9\n")
    assert choose_genes(var, every, str(tmp_path / "list.txt")).tolist() == [5, 9]
    assert len(choose_genes(var, every, "type:lncRNA,measured:4")) == 4
    assert set(choose_genes(var, every, "type:lncRNA,measured:4") % 2) == {0}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("measured:x", UsageError),
        ("measured:0", UsageError),
        ("a/b", UsageError),
        ("type:none", DataError),
        ("G39", DataError),
    ],
)
def test_genes_that_cannot_be_meant_are_refused(words, error):
    store = Tables()
    with pytest.raises(error):
        choose_genes(store.var().frame, store.mask.any(axis=1), words)


def test_no_cells_are_an_error_and_not_an_empty_file(tmp_path):
    with pytest.raises(DataError, match="no cell"):
        sliced(tmp_path / "a.h5ad", "cell_type=platypus", None)
