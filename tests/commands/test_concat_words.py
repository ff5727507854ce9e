"""What a stacked file says of itself, and what `concat` says of files that cannot be stacked."""

import anndata
import numpy as np
import pytest
from scipy import sparse

from scgx.cells.label_map import nearest
from scgx.h5ad.features import modalities
from scgx.h5ad.reader import open_cells


def written(path, names, types=None, n=6):
    draw = np.random.default_rng(len(names))
    made = anndata.AnnData(sparse.csr_matrix(draw.poisson(2.0, (n, len(names))).astype(np.float32)))
    made.obs_names = [f"{path.stem}{i}" for i in range(n)]
    made.var_names = list(names)
    if types is not None:
        made.var["feature_types"] = types
    path.parent.mkdir(exist_ok=True)
    made.write_h5ad(path)
    return path


@pytest.mark.parametrize("types", ["Gene Expression", "Peaks", "Antibody Capture", None])
def test_features_keep_their_modality_beside_a_file_that_says_none(scgx, tmp_path, types):
    one = written(tmp_path / "one.h5ad", ["CD3D", "MS4A1", "LYZ"])
    names = ["chr1:1-9", "chr2:5-8"] if types in ("Peaks", None) else ["LYZ", "NKG7"]
    two = written(tmp_path / "two.h5ad", names, types)
    scgx("concat", one, two, "--genes", "outer", "-o", tmp_path / "o.h5ad")
    with open_cells(tmp_path / "o.h5ad") as cells:
        kinds = modalities(cells.var).tolist()
    other = {"Antibody Capture": "adt", "Gene Expression": "rna"}.get(types, "atac")
    assert kinds == ["rna"] * 3 + [other] * (1 if other == "rna" else 2)


@pytest.mark.parametrize("key", ["", " ", "a/b"])
def test_a_key_that_no_column_can_have_is_refused(scgx, tmp_path, key):
    one = written(tmp_path / "one.h5ad", ["CD3D", "LYZ"])
    done = scgx("concat", one, "--dataset-key", key, "-o", tmp_path / "o.h5ad", code=2)
    assert "--dataset-key is no name of a column" in done.err
    assert not (tmp_path / "o.h5ad").exists()


def test_units_are_named_however_long_the_paths(scgx, tmp_path):
    one = written(tmp_path / ("a" * 90) / "one.h5ad", ["CD3D", "LYZ"])
    two = written(tmp_path / ("b" * 90) / "two.h5ad", ["CD3D", "LYZ"])
    made = anndata.read_h5ad(two)
    made.X = made.X.toarray() - 1.5
    made.write_h5ad(two)
    done = scgx("concat", one, two, "-o", tmp_path / "o.h5ad", code=4)
    assert "X of rna is scaled, and counts in one.h5ad" in done.err


def test_the_command_that_brings_files_to_the_same_units_is_named(scgx, tmp_path):
    one = written(tmp_path / "one.h5ad", ["chr1:1-9", "chr2:5-8"], "Peaks")
    two = written(tmp_path / "two.h5ad", ["chr1:1-9", "chr2:5-8"], "Peaks")
    made = anndata.read_h5ad(two)
    made.X = (made.X > 0).astype(np.float32)
    made.write_h5ad(two)
    done = scgx("concat", one, two, "-o", tmp_path / "o.h5ad", code=4)
    assert "(first scgx normalize --method binary --modality atac one.h5ad)" in done.err
    mended = tmp_path / "mended.h5ad"
    scgx("normalize", "--method", "binary", "--modality", "atac", one, "-o", mended)
    scgx("concat", mended, two, "-o", tmp_path / "o.h5ad")


@pytest.mark.parametrize(
    ("label", "near"), [("cd8 t cells", "CD8 T cells"), ("CD4 T cell", "CD4 T cells"), ("glia", "")]
)
def test_the_label_that_was_meant_is_that_in_other_letters(label, near):
    assert nearest(label, ["CD4 T cells", "CD8 T cells"]) == near


def test_text_is_sent_to_transpose(scgx, tmp_path):
    (tmp_path / "a.tsv").write_text("gene\tc1\tc2\ng1\t1\t0\n")
    done = scgx("concat", tmp_path / "a.tsv", "-o", tmp_path / "o.h5ad", code=3)
    assert "scgx transpose" in done.err
