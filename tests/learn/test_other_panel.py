"""Train on what another file has too."""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from scgx.errors import DataError
from scgx.h5ad.reader import open_cells
from scgx.learn.fit_labels import LabelRoles, gather


@pytest.fixture
def here(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    cells = anndata.AnnData(rng.poisson(3.0, (60, 5)).astype(np.float32))
    cells.obs["kind"] = ["a", "b"] * 30
    cells.var_names = ["A", "B", "C", "D", "E"]
    cells.write_h5ad(tmp_path / "here.h5ad")
    return tmp_path / "here.h5ad"


def chosen(here: Path, panel: Path) -> tuple[list[str], float]:
    with open_cells(here) as cells:
        data, _ = gather(cells, LabelRoles("kind", panel=panel), seed=0)
        depth = np.expm1(data.x(data.train).toarray()).sum(axis=1)
        return data.inputs.names.tolist(), float(np.ptp(depth))


def test_features_and_depth_are_those_of_the_other_file(here: Path, tmp_path: Path):
    other = anndata.AnnData(np.ones((1, 3), np.float32))
    other.var = pd.DataFrame({"gene_name": ["D", "B", "Z"]}, index=["ENSG1", "ENSG2", "ENSG3"])
    other.write_h5ad(tmp_path / "other.h5ad")
    names, spread = chosen(here, tmp_path / "other.h5ad")
    assert names == ["B", "D"]
    assert spread < 1


def test_a_text_of_names_is_a_panel_too(here: Path, tmp_path: Path):
    (tmp_path / "names.txt").write_text("E\nA\n")
    assert chosen(here, tmp_path / "names.txt")[0] == ["A", "E"]


def test_a_panel_without_a_shared_feature_is_refused(here: Path, tmp_path: Path):
    (tmp_path / "names.txt").write_text("X\nY\n")
    with pytest.raises(DataError, match="has none of the 5 rna features"):
        chosen(here, tmp_path / "names.txt")
