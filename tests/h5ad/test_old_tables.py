"""Tables of old layouts inside obsm, varm and raw survive a copy; a reference would not."""

import warnings

import anndata
import pytest

from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create


@pytest.mark.parametrize("version", ["0.7.0", "0.7.8"])
def test_tables_of_anndata_07_are_read_by_anndata_after_a_copy(real_data, tmp_path, version):
    path = real_data / "compat-h5ad" / f"anndata-v{version}.adata.h5ad"
    with open_cells(path) as cells, create(tmp_path / "b.h5ad") as out:
        out.copy_rest(cells)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old, new = anndata.read_h5ad(path), anndata.read_h5ad(tmp_path / "b.h5ad")
    for frame in ("obsm", "varm"):
        before, after = getattr(old, frame)["df"], getattr(new, frame)["df"]
        assert before.astype(str).equals(after.astype(str))
    assert old.raw.var.astype(str).equals(new.raw.var.astype(str))
