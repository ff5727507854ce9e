"""A Census on disk, written and read with tiledbsoma, answers as its tables in memory do."""

import numpy as np
import pytest
from support.census import Tables, write

pytest.importorskip("tiledbsoma", reason="the census extra is not installed")

from scgx.cells import census  # noqa: E402
from scgx.cells.census_store import open_store  # noqa: E402
from scgx.cells.where import parse  # noqa: E402
from scgx.errors import InputError  # noqa: E402
from scgx.h5ad.reader import open_cells  # noqa: E402
from scgx.h5ad.writer import create  # noqa: E402


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return write(tmp_path_factory.mktemp("census") / "soma", Tables())


@pytest.mark.parametrize(
    "where",
    [
        "cell_type=T cell",
        "not (cell_type == 'T cell' or nnz < 5)",
        "dataset_id in ['ds0', 'ds1'] and not is_primary_data",
        "cell_type=CD4-positive, alpha-beta T cell",
        "nnz=12,13",
    ],
)
@pytest.mark.parametrize("genes", [None, "measured:7", "type:protein_coding"])
def test_disk_and_memory_give_the_same_slice(place, tmp_path, where, genes):
    wanted = census.Slice(parse(where), genes)
    with create(tmp_path / "a.h5ad") as out:
        census.write(Tables(), wanted, out, memory=1 << 30)
    with open_store(str(place), "homo_sapiens", memory=1 << 30) as store:
        with create(tmp_path / "b.h5ad") as out:
            citations = census.write(store, wanted, out, memory=1 << 14)
    assert set(citations) <= {f"Somebody {year}" for year in range(2020, 2024)}
    with open_cells(tmp_path / "a.h5ad") as one, open_cells(tmp_path / "b.h5ad") as other:
        assert one.obs_names.tolist() == other.obs_names.tolist()
        assert one.var_names.tolist() == other.var_names.tolist()
        for column in one.obs.columns:
            assert one.obs.strings(column).tolist() == other.obs.strings(column).tolist()
        np.testing.assert_array_equal(one.h5["varm/measured"][()], other.h5["varm/measured"][()])
        every = np.arange(one.n_obs)
        assert (one.rows("X", every) != other.rows("X", every)).nnz == 0


def test_what_is_no_census_is_said(tmp_path, place):
    with pytest.raises(InputError, match="no Census"):
        with open_store(str(tmp_path), "homo_sapiens", memory=1 << 30):
            pass
    with pytest.raises(InputError, match="mus_musculus"):
        with open_store(str(place), "mus_musculus", memory=1 << 30):
            pass
