"""A modality is learned from wherever it lies, and found there again."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.features import parse_place
from scgx.h5ad.reader import open_cells
from scgx.learn import apply, artifact
from scgx.learn.convert import check_role
from scgx.learn.train import Roles, fit, restore
from scgx.models import ridge
from scgx.progress import Report

N, GENES = 150, 20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Gene activity as columns of X, as a layer, and as an array of obsm: the same numbers."""
    folder = tmp_path_factory.mktemp("places")
    draw = np.random.default_rng(0)
    activity = draw.poisson(2.0, (N, GENES)).astype(np.float32)
    rna = draw.poisson(0.5 + 0.8 * activity).astype(np.float32)
    names = [f"g{i}" for i in range(GENES)]
    cells = [f"c{i}" for i in range(N)]
    beside = anndata.AnnData(
        sparse.csr_matrix(rna), obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=names)
    )
    beside.layers["ga"] = sparse.csr_matrix(activity)
    beside.obsm["ATAC_gene_activity"] = sparse.csr_matrix(activity)
    beside.uns["ATAC_gene_activity_var_names"] = np.array(names, dtype=object)
    beside.var["chrom"], beside.var["start"], beside.var["end"] = (
        "chrX",
        range(GENES),
        range(1, 1 + GENES),
    )
    beside.write_h5ad(folder / "beside.h5ad")
    var = pd.DataFrame(index=[*names, *(f"a{n}" for n in names)])
    var["feature_types"] = ["Gene Expression"] * GENES + ["Gene Activity"] * GENES
    within = anndata.AnnData(
        sparse.csr_matrix(np.hstack([rna, activity])), obs=pd.DataFrame(index=cells), var=var
    )
    within.write_h5ad(folder / "within.h5ad")
    return folder


def predicted(path, roles, tmp_path):
    """Train, write, read and predict all rows."""
    with open_cells(path) as cells:
        fitted = fit("ridge", cells, roles, ridge.Config(rank=8), seed=0, report=Report(None))
        fitted.write(tmp_path / "m.scgx")
        found = artifact.read(tmp_path / "m.scgx", "m.scgx")
        alignment = apply.align(cells, found.header, 0.05)
        rows = np.arange(cells.n_obs)
        made = list(apply.predict(restore(found), cells, alignment, rows, "m.scgx"))
    return found.header, np.concatenate(made)


@pytest.mark.parametrize("word", ["layer:ga", "obsm:ATAC_gene_activity"])
def test_a_modality_beside_X_teaches_what_its_columns_would(files, tmp_path, word):
    modality, at = parse_place(word)
    header, beside = predicted(
        files / "beside.h5ad", Roles(modality, "rna", source_at=at), tmp_path
    )
    _, within = predicted(files / "within.h5ad", Roles("activity", "rna"), tmp_path)
    assert header.inputs.at == at and header.inputs.names == [f"g{i}" for i in range(GENES)]
    assert header.inputs.chrom == ["chrX"] * GENES
    np.testing.assert_array_equal(beside, within)


def test_a_modality_beside_X_can_be_predicted(files, tmp_path):
    roles = Roles("rna", "activity", target_at="layers/ga")
    header, beside = predicted(files / "beside.h5ad", roles, tmp_path)
    _, within = predicted(files / "within.h5ad", Roles("rna", "activity"), tmp_path)
    assert header.outputs.at == "layers/ga"
    np.testing.assert_array_equal(beside, within)


def test_words_say_which_modality_and_where():
    assert parse_place("GEX") == ("rna", None)
    assert parse_place("layer:ga") == ("activity", "layers/ga")
    assert parse_place("adt=obsm:protein") == ("adt", "obsm/protein")
    for word in ("adt=", "layer:", "var:x", "rna=atac"):
        with pytest.raises(DataError, match="no modality"):
            parse_place(word)


def test_the_other_role_is_what_is_left(files):
    with open_cells(files / "beside.h5ad") as cells:
        assert check_role(cells, None, "--to", ("layer:ga",)) == ("rna", None)


def test_a_model_says_where_it_looked_in_vain(files, tmp_path):
    with pytest.raises(DataError, match="no layers/other"):
        predicted(
            files / "beside.h5ad", Roles("activity", "rna", source_at="layers/other"), tmp_path
        )
