"""Every AnnData layout ever written: our reader sees what anndata sees, and a copy keeps it all."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Categorical, Frame, Nullable
from scgx.h5ad.reader import open_cells
from scgx.h5ad.select import select_columns
from scgx.h5ad.writer import create

anndata = pytest.importorskip("anndata")

H5AD = [
    *("anndata-v0.5.0.adata", "anndata-v0.7.0.adata", "anndata-v0.7.8.adata"),
    *("anndata-v0.11.4.adata", "gen_0.13.4_pandas3_zheng", "scanpy-kbet-sim"),
    *("scanpy-pbmc68k-2018", "scanpy-t-cells", "soma-bruce-nan-d97078b"),
    *(f"anndataR-example-{which}" for which in ("54b181a", "66b9c76", "a009bfb", "a1255d2")),
    *(f"anndataR-krumsiek11_augmented_sparse_v0-8-{which}" for which in ("9a3999f", "e5f56f1")),
    *("soma-pbmc-small-1e912f7", "soma-pbmc-small-842fc1e", "soma-pbmc-small-x-csr-50cb4e1"),
    *("soma-pbmc-small-x-dense-1e55401", "soma-x-empty-3687904", "soma-x-none-ba15697"),
    *("soma-xnone-7405b60", "zellkonverter-example_anndata", "zellkonverter-krumsiek11"),
    *(f"cellxgene-example_{which}" for which in ("valid", "valid_modified", "with_labels")),
    *(
        f"cellxgene-example_invalid_{which}"
        for which in (
            *("CL", "obsm", "raw", "reserved_terms", "schema_version_absent", "uns", "var"),
            *("var_raw", "x_and_raw_x_not_equal"),
        )
    ),
]
ALIGNED = ("layers", "obsm", "varm", "obsp", "varp")


def loaded(path: Path) -> "anndata.AnnData":
    """What anndata makes of a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return anndata.read_h5ad(path)


def test_every_file_is_in_the_table(real_data: Path) -> None:
    folder = real_data / "compat-h5ad"
    assert {path.name for path in folder.glob("*.h5ad")} == {f"{name}.h5ad" for name in H5AD}


def plain(values: object) -> np.ndarray:
    """A matrix as a dense array."""
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


def same_table(ours: Frame, theirs: pd.DataFrame) -> None:
    assert ours.index.tolist() == [str(name) for name in theirs.index]
    assert list(ours.columns) == [str(name) for name in theirs.columns]
    for name in theirs.columns:
        column, values = ours[str(name)], theirs[name]
        missing = values.isna().to_numpy()
        if isinstance(column, Categorical):
            assert values.dtype.name == "category"
            assert column.ordered == values.cat.ordered
            assert np.array_equal(column.codes, values.cat.codes)
            assert [str(c) for c in column.categories] == [str(c) for c in values.cat.categories]
        elif isinstance(column, Nullable):
            assert np.array_equal(column.mask, missing)
            assert np.array_equal(
                column.values[~missing], values[~missing].to_numpy(column.values.dtype)
            )
        elif column.dtype.kind == "O":
            words = [None if m else str(v) for v, m in zip(values, missing)]
            assert [None if v is None else v for v in column.tolist()] == words
        else:
            np.testing.assert_array_equal(column, values.to_numpy(column.dtype))


@pytest.mark.parametrize("name", H5AD)
def test_the_reader_sees_what_anndata_sees(name: str, real_data: Path) -> None:
    path = real_data / "compat-h5ad" / f"{name}.h5ad"
    theirs = loaded(path)
    with open_cells(path) as ours:
        same_table(ours.obs, theirs.obs)
        same_table(ours.var, theirs.var)
        assert ours.has("X") == (theirs.X is not None)
        if theirs.X is not None:
            np.testing.assert_array_equal(whole(ours, "X"), plain(theirs.X))
        layers = set(theirs.layers) - {None}  # X, in anndata 0.13
        assert set(ours.keys("layers")) == layers
        for key in layers:
            np.testing.assert_array_equal(whole(ours, f"layers/{key}"), plain(theirs.layers[key]))


def whole(cells: Cells, key: str) -> np.ndarray:
    """A matrix in small blocks, put together."""
    return np.concatenate([plain(block.X) for block in cells.blocks(key, memory=1 << 16)])


@pytest.mark.parametrize("name", H5AD)
def test_a_copy_holds_what_the_file_held(name: str, real_data: Path, tmp_path: Path) -> None:
    path, out = real_data / "compat-h5ad" / f"{name}.h5ad", tmp_path / "copy.h5ad"
    with open_cells(path) as cells, create(out, like=cells) as made:
        made.copy_rest(cells)
    same_cells(loaded(out), loaded(path))


@pytest.mark.parametrize("name", H5AD)
def test_a_file_that_a_command_wrote_holds_what_it_held(
    name: str, real_data: Path, tmp_path: Path
) -> None:
    """Every second feature, through the same code as filter-chrom; everything of cells is kept."""
    path, out = real_data / "compat-h5ad" / f"{name}.h5ad", tmp_path / "part.h5ad"
    theirs = loaded(path)
    columns = np.arange(0, theirs.n_vars, 2)
    with open_cells(path) as cells, create(out, like=cells) as made:
        select_columns(cells, made, columns)
        made.copy_rest(cells, skip=("var", "varm", "varp"))
    with anndata.settings.override(remove_unused_categories=False):  # a stream keeps all levels
        same_cells(loaded(out), theirs[:, columns].copy())


def same_cells(ours: "anndata.AnnData", theirs: "anndata.AnnData") -> None:
    """Equal in every slot, as anndata reads them both."""
    same(ours.obs, theirs.obs, "obs")
    same(ours.var, theirs.var, "var")
    same(ours.X, theirs.X, "X")
    for slot in ALIGNED:
        mine, other = getattr(ours, slot), getattr(theirs, slot)
        assert set(mine) == set(other), slot
        for key in set(other) - {None}:
            same(mine[key], other[key], f"{slot}/{key}")
    assert (ours.raw is None) == (theirs.raw is None)
    if theirs.raw is not None:
        same(ours.raw.X, theirs.raw.X, "raw.X")
        same(ours.raw.var, theirs.raw.var, "raw.var")
    same(dict(ours.uns), dict(theirs.uns), "uns")


def ordinary(table: object) -> pd.DataFrame:
    """Strings of either kind as objects; strings that miss a value as a categorical, as scgx writes."""
    assert isinstance(table, pd.DataFrame)
    table = table.copy()
    table.index = pd.Index([str(name) for name in table.index], dtype=object)
    for name in table:
        if isinstance(table[name].dtype, pd.StringDtype):
            table[name] = table[name].astype(object).where(table[name].notna(), None)
        elif table[name].dtype.name == "category":
            words = table[name].cat.categories.astype(object)
            table[name] = table[name].cat.rename_categories(words)
    return table


def same(ours: object, theirs: object, where: str) -> None:
    """Equal values, whatever they are."""
    if isinstance(theirs, dict):
        assert isinstance(ours, dict) and set(ours) == set(theirs), where
        for key in theirs:
            same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(theirs, pd.DataFrame):
        pd.testing.assert_frame_equal(ordinary(ours), ordinary(theirs), check_names=False)
    elif sparse.issparse(theirs):
        assert sparse.issparse(ours), where
        np.testing.assert_array_equal(plain(ours), plain(theirs), where)
    elif isinstance(theirs, np.ndarray | np.generic):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs), where)
    elif theirs is None:
        assert ours is None, where
    else:
        assert str(ours) == str(theirs), where
