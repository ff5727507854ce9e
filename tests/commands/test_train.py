"""`scgx train` and `scgx predict`, from file to file."""

import json

import anndata
import numpy as np
import pytest
from support.processes import shell

from scgx.learn.checkpoint import alone


@pytest.fixture(scope="module")
def demo(forked, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    line = "fetch demo --cells 300 --genes 60 --peaks 200 -o demo.h5ad"
    assert forked(*line.split(), cwd=folder).code == 0
    assert forked(*["split", "demo.h5ad", "--by", "donor", "-o", "s.h5ad"], cwd=folder).code == 0
    words = "train ridge s.h5ad --from atac --to rna -o ridge.scgx"
    done = forked(*words.split(), cwd=folder)
    assert done.code == 0, done.err
    assert forked(*["predict", "ridge.scgx", "s.h5ad", "-o", "p.h5ad"], cwd=folder).code == 0
    return folder


def test_test_rows_are_predicted_with_their_obs_and_what_score_needs(demo):
    cells, guess = anndata.read_h5ad(demo / "s.h5ad"), anndata.read_h5ad(demo / "p.h5ad")
    test = cells[cells.obs["split"] == "test"]
    assert guess.obs_names.tolist() == test.obs_names.tolist()
    assert guess.shape[1] == 60 and guess.X.dtype == np.float32
    assert guess.obs["donor"].tolist() == test.obs["donor"].tolist()
    about = guess.uns["scgx"]
    assert about["task"] == "modality" and about["units"]["X"]["rna"] == "log1p-cp10k"
    assert json.loads(about["model"])["name"] == "ridge"
    assert len(about["train_cells"]) == (cells.obs["split"] == "train").sum()
    assert about["train_mean"].shape == (60,)
    assert guess.var["chrom"].notna().all()


def test_predict_says_nothing_where_nothing_is_to_be_said(demo, forked):
    done = forked(*["predict", "ridge.scgx", "s.h5ad", "-o", "quiet.h5ad"], cwd=demo)
    assert done.code == 0 and "done" not in done.err


def test_a_second_training_of_epochs_to_one_output_is_refused_in_a_line(demo, forked):
    line = "train mlp s.h5ad --from atac --to rna --epochs 1 -o locked.scgx"
    with alone(demo / "locked.scgx"):
        done = forked(*line.split(), cwd=demo)
    assert done.code == 1 and done.err.count("\n") == 1
    assert "locked.scgx: another training writes this model (name another output)" in done.err
    assert not list(demo.glob("*locked*"))


def test_both_directions_and_pipes(demo, forked):
    line = (
        "set -o pipefail; scgx train mean s.h5ad --from rna --to atac"
        " | scgx predict - s.h5ad --features 20 -o q.h5ad"
    )
    done = shell(line, cwd=demo)
    assert done.code == 0, done.err
    guess = anndata.read_h5ad(demo / "q.h5ad")
    assert guess.shape[1] == 20 and guess.uns["scgx"]["units"]["X"]["atac"] == "binary"
    assert (guess.X >= 0).all() and (guess.X <= 1).all()


def test_cells_without_a_part_are_counted(demo, forked):
    cells = anndata.read_h5ad(demo / "s.h5ad")
    part = cells.obs["split"].astype(object)
    part.iloc[:7] = np.nan
    cells.obs["split"] = part.astype("category")
    cells.write_h5ad(demo / "holes.h5ad")
    for line in ("train mean holes.h5ad --from atac --to rna", "predict ridge.scgx holes.h5ad"):
        done = forked(*line.split(), "-o", "holes.out", cwd=demo)
        assert done.code == 0 and "7 of 300 cells have no part" in done.err


@pytest.mark.parametrize("model", ["ridge", "knn", "kernel-ridge"])
def test_nothing_is_learned_from_one_cell_or_from_none_that_differ(demo, forked, model):
    cells = anndata.read_h5ad(demo / "s.h5ad")
    blank = cells.copy()
    blank.X = blank.X * 0
    blank.write_h5ad(demo / "blank.h5ad")
    one = cells[np.r_[0]].copy()
    one.obs["split"] = "train"
    one.write_h5ad(demo / "one.h5ad")
    for name, words in (("blank", "no input feature varies"), ("one", "1 cell to train on")):
        line = f"train {model} {name}.h5ad --from atac --to rna -o never.scgx"
        done = forked(*line.split(), cwd=demo)
        assert done.code == 4 and words in done.err
    assert forked(*line.replace(model, "mean").split(), cwd=demo).code == 0


@pytest.mark.parametrize(
    "value, column, words",
    [
        (np.nan, None, "missing or infinite values (--na mask leaves"),
        (-2.0, "units", "counts or their logarithms are needed"),
        (2.0, "total_counts_rna", "mend obs['total_counts_rna']"),
    ],
)
def test_values_that_cannot_be_learned_from_get_a_mend_that_train_has(
    demo, forked, value, column, words
):
    cells = anndata.read_h5ad(demo / "s.h5ad")
    cells.X = cells.X.toarray()
    cells.X[0, 0] = value
    del cells.uns["scgx"]["units"]
    if column == "units":
        cells.uns["scgx"]["units"] = {"X": {"rna": "counts", "atac": "counts"}}
    elif column:
        cells.obs[column] = np.full(cells.n_obs, -1.0)
    cells.write_h5ad(demo / "wrong.h5ad")
    line = "train ridge wrong.h5ad --from atac --to rna -o never.scgx"
    done = forked(*line.split(), cwd=demo)
    assert done.code == 4 and words in done.err, done.err
    if np.isnan(value):
        done = forked(*line.replace("never", "masked").split(), "--na", "mask", cwd=demo)
        assert done.code == 0, done.err


def test_genes_may_be_missing_and_in_another_order(demo, forked):
    cells = anndata.read_h5ad(demo / "s.h5ad")
    order = np.random.default_rng(0).permutation(cells.n_vars)
    cells[:, order].write_h5ad(demo / "shuffled.h5ad")
    assert forked(*["predict", "ridge.scgx", "shuffled.h5ad", "-o", "ps.h5ad"], cwd=demo).code == 0
    a, b = anndata.read_h5ad(demo / "p.h5ad"), anndata.read_h5ad(demo / "ps.h5ad")
    np.testing.assert_allclose(a.X, b.X, atol=1e-5)
    peaks = np.flatnonzero(cells.var["feature_types"] == "Peaks")
    cells[:, np.r_[0:60, peaks[:100]]].write_h5ad(demo / "half.h5ad")
    done = forked(*["predict", "ridge.scgx", "half.h5ad", "-o", "ph.h5ad"], cwd=demo)
    assert done.code == 0 and "100 of 200" in done.err
    cells[:, np.r_[0:60, peaks[:5]]].write_h5ad(demo / "few.h5ad")
    words = ["predict", "ridge.scgx", "few.h5ad", "-o", "pf.h5ad", "--min-overlap", "0.1"]
    done = forked(*words, cwd=demo)
    assert done.code == 4 and "5 of the model's 200 atac features (the file has 5;" in done.err
    cells.var_names = [f"chr1:{i}-{i + 1}" for i in range(cells.n_vars)]
    cells.write_h5ad(demo / "other.h5ad")
    done = forked("predict", "ridge.scgx", "other.h5ad", "-o", "pf.h5ad", cwd=demo)
    assert done.code == 4 and "same genome" in done.err


@pytest.mark.parametrize(
    "line, code, words",
    [
        ("train rigde s.h5ad", 2, "did you mean 'ridge'"),
        ("train ridge s.h5ad --set rnak=3", 2, "did you mean 'rank'"),
        ("train ridge s.h5ad --epochs 3 --from atac", 2, "has no epochs"),
        ("train ridge s.h5ad --from atac --to atac", 2, "both atac"),
        ("train ridge s.h5ad --from protein --to rna", 4, "no adt features"),
        ("train ridge nofile.h5ad", 3, "no such file"),
        ("train ridge s.h5ad", 2, "--to"),
        ("train ridge s.h5ad --from atac --to rna --targets none.txt", 3, "no such file"),
        ("predict s.h5ad s.h5ad", 3, "no model"),
        ("predict ridge.scgx ridge.scgx", 3, "is a model and no cells"),
        ("predict ridge.scgx s.h5ad --rows some", 2, "no part"),
        ("predict - -", 2, "stdin"),
        ("train ridge s.h5ad --from atac --na maybe", 2, "--na"),
        ("train ridge s.h5ad --from atac --set rank=-3", 2, "rank=-3"),
        ("train ridge s.h5ad --from atac --covariate sex", 2, "leave --covariate out"),
        ("train ridge s.h5ad --from atac --plot no.png", 2, "does not train in epochs"),
        ("train ridge s.h5ad --from atac --log s.h5ad", 2, "would be replaced"),
        ("predict ridge.scgx s.h5ad --features 0", 2, "--features"),
        ("predict ridge.scgx s.h5ad --from rna --to atac", 4, "does not predict atac from rna"),
        ("train ridge s.h5ad --from atac --memory much", 2, "--memory"),
    ],
)
def test_mistakes_get_one_line_and_their_code(demo, forked, line, code, words):
    before = sorted(p.name for p in demo.iterdir())
    done = forked(*line.split(), "-o", "never", cwd=demo)
    assert done.code == code, done.err
    assert words in done.err and "Traceback" not in done.err
    assert sorted(p.name for p in demo.iterdir()) == before


@pytest.mark.parametrize(
    "line",
    [
        "train mean s.h5ad --from atac --to rna -o s.h5ad",
        "predict ridge.scgx s.h5ad -o s.h5ad",
        "predict ridge.scgx s.h5ad -o ridge.scgx",
        "score s.h5ad s.h5ad --table s.h5ad",
        "annotate-coords s.h5ad --report s.h5ad -o never",
    ],
)
def test_inputs_are_not_replaced_by_something_else(demo, forked, line):
    before = {p.name: p.stat().st_mtime_ns for p in demo.iterdir()}
    done = forked(*line.split(), cwd=demo)
    assert done.code == 2 and "would be replaced" in done.err
    assert {p.name: p.stat().st_mtime_ns for p in demo.iterdir()} == before


def test_info_log_and_check_know_models_and_cells(demo, forked):
    for name in ("s.h5ad", "ridge.scgx"):
        done = forked("info", name, cwd=demo)
        assert done.code == 0 and b"atac" in done.out
        assert json.loads(forked("info", name, "--json", cwd=demo).out)
    log = forked("log", "p.h5ad", cwd=demo).out.decode()
    assert log.index("scgx fetch demo") < log.index("scgx train ridge") < log.index("scgx predict")
    assert forked("check", "s.h5ad", "ridge.scgx", cwd=demo).code == 0
    data = bytearray((demo / "s.h5ad").read_bytes())
    data[len(data) // 2] ^= 1
    (demo / "flip.h5ad").write_bytes(data)
    (demo / "cut.h5ad").write_bytes(data[: len(data) // 2])
    assert forked("check", "flip.h5ad", cwd=demo).code == 8
    assert forked("check", "cut.h5ad", cwd=demo).code == 4
    assert forked("check", "flip.h5ad", "cut.h5ad", "gone.h5ad", cwd=demo).code == 13


def test_targets_limit_what_is_fitted(demo, forked):
    names = anndata.read_h5ad(demo / "s.h5ad").var_names[:3]
    (demo / "t.txt").write_text("# three genes\n" + "\n".join(names) + "\n")
    line = "train mean s.h5ad --from atac --to rna --targets t.txt -o t.scgx"
    assert forked(*line.split(), cwd=demo).code == 0
    about = json.loads(forked("info", "t.scgx", "--json", cwd=demo).out)
    assert about["to"] == {"modality": "rna", "features": 3}
