"""`scgx hvg`: scanpy's choice on training rows, in any storage, order or block size."""

import hashlib
import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from scgx.h5ad.reader import open_cells

KANG = "pbmc-kang-ctrl/kang_ctrl_8types_counts.h5ad"
SAID = {  # scanpy 1.11.5 with scikit-misc 0.5.3 on X as float64, 300 of all rows
    ("seurat_v3", None): (1447.02516357, "8781ca573ca92ab8"),
    ("seurat_v3", "donor"): (1425.39071161, "d1fcc64e4e144031"),
    ("pearson", None): (2363.2074395, "af50496fb10544d5"),
    ("pearson", "donor"): (2290.02099626, "f55064308a986613"),
}
SCORE = {"seurat_v3": "variances_norm", "pearson": "residual_variances"}


def made(path: Path, X: object, **obs: list[str]) -> Path:
    table = anndata.AnnData(sp.csr_matrix(X))
    table.obs_names = [f"c{i}" for i in range(table.n_obs)]
    table.var_names = [f"g{i}" for i in range(table.n_vars)]
    for name, values in obs.items():
        table.obs[name] = values
    table.write_h5ad(path)
    return path


@pytest.fixture
def counts() -> np.ndarray:
    """400 cells of two batches and 60 genes of all depths, with a few that depend on the cell."""
    draw = np.random.default_rng(0)
    mean = np.exp(draw.normal(0, 1.5, 60)) * np.exp(draw.normal(0, 0.5, (400, 1)))
    mean[:, :6] *= draw.gamma(0.4, 2.5, (400, 6))
    return draw.poisson(mean).astype(np.float32)


@pytest.fixture
def cells(tmp_path: Path, counts: np.ndarray) -> Path:
    parts = [["train", "train", "test", "val"][i % 4] for i in range(400)]
    batches = ["ab"[i % 2] for i in range(400)]
    return made(tmp_path / "cells.h5ad", counts, split=parts, batch=batches)


def pearson(X: np.ndarray, clip: float) -> np.ndarray:
    """The formula of Lause, Berens and Kobak, written out."""
    mu = np.outer(X.sum(1), X.sum(0)) / X.sum()
    spread = np.where(mu > 0, np.sqrt(mu + mu**2 / 100), 1)
    return np.clip((X - mu) / spread, -clip, clip).var(0)


@pytest.mark.parametrize(("flavor", "batch"), list(SAID))
def test_it_chooses_what_scanpy_chooses(scgx, real_data, tmp_path, flavor, batch):
    words = [] if batch is None else ["--batch", batch]
    out = tmp_path / "out.h5ad"
    scgx("hvg", real_data / KANG, "--n", 300, "--flavor", flavor, *words, "-o", out)
    var = anndata.read_h5ad(out).var
    total, names = SAID[flavor, batch]
    assert var[SCORE[flavor]].sum() == pytest.approx(total, rel=1e-9)
    text = "\n".join(sorted(var.index[var.highly_variable]))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == names


def test_only_training_rows_are_looked_at(scgx, cells, counts, tmp_path):
    whole = anndata.read_h5ad(cells)
    outside = (whole.obs["split"] != "train").to_numpy()
    whole.X = sp.csr_matrix(np.where(outside[:, None], 7, counts))
    whole.write_h5ad(tmp_path / "other.h5ad")
    for name in ("cells", "other"):
        said = scgx("hvg", tmp_path / f"{name}.h5ad", "--n", 9, "-o", tmp_path / f"{name}.out").err
    first, second = (anndata.read_h5ad(tmp_path / f"{name}.out") for name in ("cells", "other"))
    assert first.var.equals(second.var)
    assert "200 training cells" in said
    train = counts[~outside].astype(np.float64)
    assert np.allclose(first.var["means"], train.mean(0))
    assert np.allclose(first.var["variances"], train.var(0, ddof=1))
    with open_cells(tmp_path / "cells.out") as made_of:
        record = json.loads(made_of.scgx["fitted"]["features"]["rna"])
    assert (record["rows"], record["cells"]) == ("train", 200)


def test_residuals_are_those_of_the_formula(scgx, cells, counts, tmp_path):
    out = tmp_path / "out.h5ad"
    scgx("hvg", cells, "--n", 9, "--flavor", "pearson", "--batch", "batch", "-o", out)
    found = anndata.read_h5ad(out)
    train = (found.obs["split"] == "train").to_numpy()
    rows = [train & (found.obs["batch"] == name).to_numpy() for name in "ab"]
    wanted = np.mean(
        [pearson(counts[part].astype(float), np.sqrt(rows[0].sum())) for part in rows], 0
    )
    assert np.allclose(found.var["residual_variances"], wanted, rtol=1e-10)
    assert found.var["highly_variable"].sum() == 9
    assert found.var["highly_variable_nbatches"].max() == 2


@pytest.mark.parametrize("flavor", ["seurat_v3", "pearson"])
def test_storage_and_order_and_memory_change_no_bit(scgx, cells, tmp_path, flavor):
    whole = anndata.read_h5ad(cells)
    draw = np.random.default_rng(3)
    rows, columns = draw.permutation(400), draw.permutation(60)
    other = whole[rows, columns].copy()
    stored = {"csc": other.X.tocsc(), "dense": other.X.toarray(), "csr": other.X.tocsr()}
    scgx("hvg", cells, "--n", 9, "--flavor", flavor, "-o", tmp_path / "first.h5ad")
    first = anndata.read_h5ad(tmp_path / "first.h5ad").var
    for name, X in stored.items():
        anndata.AnnData(X, other.obs, other.var).write_h5ad(tmp_path / f"{name}.h5ad")
        words = ["--n", 9, "--flavor", flavor, "--memory", "16M"]
        scgx("hvg", tmp_path / f"{name}.h5ad", *words, "-o", tmp_path / "out.h5ad")
        found = anndata.read_h5ad(tmp_path / "out.h5ad").var
        assert found.loc[first.index].equals(first), name


def test_counts_are_found_where_normalize_left_them(scgx, cells, tmp_path):
    scgx("normalize", cells, "-o", tmp_path / "n.h5ad")
    for name in ("cells.h5ad", "n.h5ad"):
        scgx("hvg", tmp_path / name, "--n", 9, "-o", tmp_path / f"out.{name}")
    raw, logged = (anndata.read_h5ad(tmp_path / f"out.{n}").var for n in ("cells.h5ad", "n.h5ad"))
    assert raw.equals(logged)


def test_subset_keeps_the_chosen_and_what_was_counted_before(scgx, cells, counts, tmp_path):
    scgx("hvg", cells, "--n", 9, "--subset", "-o", tmp_path / "out.h5ad")
    scgx("hvg", cells, "--n", 9, "-o", tmp_path / "all.h5ad")
    found, marked = (anndata.read_h5ad(tmp_path / n) for n in ("out.h5ad", "all.h5ad"))
    assert found.var_names.tolist() == marked.var_names[marked.var.highly_variable].tolist()
    assert found.n_vars == 9
    assert np.allclose(found.obs["total_counts_rna"], counts.sum(1))


def test_other_modalities_stay(scgx, tmp_path):
    scgx("fetch", "demo", "-q", "-o", tmp_path / "demo.h5ad")
    scgx("hvg", tmp_path / "demo.h5ad", "--n", 20, "--subset", "-o", tmp_path / "a.h5ad")
    scgx("hvg", tmp_path / "a.h5ad", "--n", 30, "--modality", "atac", "-o", tmp_path / "b.h5ad")
    before, after = (anndata.read_h5ad(tmp_path / n) for n in ("demo.h5ad", "b.h5ad"))
    peaks = (before.var["feature_types"] == "Peaks").sum()
    assert after.n_vars == peaks + 20
    assert after.var.groupby("feature_types", observed=True)["highly_variable"].sum().to_dict() == {
        "Gene Expression": 20, "Peaks": 30,
    }  # fmt: skip


def test_what_a_dataset_did_not_measure_moves_nothing(scgx, cells, counts, tmp_path):
    """Genes 0 to 9 are measured in batch a alone; what b stores there is noise."""
    found = []
    for fill in (0, 50):
        X = counts.copy()
        absent = np.arange(400) % 2 == 1
        X[absent, :10] = fill
        whole = anndata.read_h5ad(cells)
        whole.X = sp.csr_matrix(X)
        whole.obs["dataset"] = whole.obs["batch"].astype(str)
        whole.varm["measured"] = np.stack([np.ones(60, bool), np.arange(60) >= 10], axis=1)
        whole.uns["scgx"] = {
            "measured": {"key": "dataset", "datasets": np.array(["a", "b"], object)}
        }
        whole.write_h5ad(tmp_path / "m.h5ad")
        for flavor in ("seurat_v3", "pearson"):
            for words in ([], ["--batch", "batch"]):
                out = tmp_path / "out.h5ad"
                scgx("hvg", tmp_path / "m.h5ad", "--n", 9, "--flavor", flavor, *words, "-o", out)
                found.append(anndata.read_h5ad(out).var)
    for first, second in zip(found[:4], found[4:], strict=True):
        assert first.equals(second)
    train = np.array([i % 4 < 2 for i in range(400)]) & ~absent
    assert found[0]["means"].iloc[0] == pytest.approx(counts[train, 0].mean())


def test_a_score_says_that_features_were_chosen_on_all_rows(scgx, tmp_path):
    scgx("fetch", "demo", "-q", "-o", tmp_path / "demo.h5ad")
    said = scgx("hvg", tmp_path / "demo.h5ad", "--n", 20, "-o", tmp_path / "h.h5ad").err
    assert "as there is no split" in said
    scgx("split", tmp_path / "h.h5ad", "-q", "--by", "donor", "-o", tmp_path / "s.h5ad")
    words = ["-q", "--from", "atac", "--to", "rna"]
    scgx("train", "mean", tmp_path / "s.h5ad", *words, "-o", tmp_path / "m.scgx")
    scgx("predict", tmp_path / "m.scgx", tmp_path / "s.h5ad", "-q", "-o", tmp_path / "g.h5ad")
    said = scgx("score", tmp_path / "s.h5ad", tmp_path / "g.h5ad").err
    assert "features chosen on all rows" in said
    scgx("hvg", tmp_path / "s.h5ad", "-q", "--n", 20, "-o", tmp_path / "t.h5ad")
    said = scgx("score", tmp_path / "t.h5ad", tmp_path / "g.h5ad", code=0).err
    assert "features chosen" not in said.replace("guess", "") or "g.h5ad" in said


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--flavor", "seurat"], 2, "seurat_v3, pearson"),
        (["--batch", "btch"], 4, "did you mean 'batch'"),
        (["--modality", "adt"], 4, "has no adt features"),
        (["--layer", "nothing"], 4, "has no layers/nothing"),
        (["--batch", "lonely"], 4, "lonely 'x' has too few cells"),
        (["--batch", "gaps"], 4, "cells have no gaps"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(scgx, cells, tmp_path, words, code, says):
    with h5py.File(cells, "a") as file:
        for name, values in {"lonely": ["x"] + ["y"] * 399, "gaps": [""] * 400}.items():
            file["obs"][name] = np.array(values, object)
            file["obs"][name].attrs.update(
                {"encoding-type": "string-array", "encoding-version": "0.2.0"}
            )
        file["obs"].attrs["column-order"] = np.array(
            [*file["obs"].attrs["column-order"], "lonely", "gaps"], h5py.string_dtype()
        )
    out = tmp_path / "out.h5ad"
    said = scgx("hvg", cells, *words, "-o", out, code=code).err
    assert says in said and len(said.splitlines()) == 1
    assert not out.exists()


def test_values_that_are_no_counts_are_refused(scgx, tmp_path, counts):
    """Also where the first rows look like counts."""
    counts[333, 5] = 0.5
    path = made(tmp_path / "odd.h5ad", counts)
    said = scgx("hvg", path, "-o", tmp_path / "out.h5ad", code=4).err
    assert "count" in said and len(said.splitlines()) == 1
