"""Absence is never zero: what a dataset did not measure may hold any value, and nothing moves."""

import json
from pathlib import Path

import anndata
import numpy as np
import pytest
from scipy import sparse

from scgx import registry
from scgx.errors import DataError, InputError
from scgx.h5ad.measured import measured_of
from scgx.h5ad.reader import open_cells
from scgx.learn import config
from scgx.learn.parts import for_training
from scgx.learn.profile import mean_profile
from scgx.learn.train import Roles, fit, gather
from scgx.metrics._panel import pearson, sums
from scgx.progress import Report

N, GENES, PEAKS = 240, 14, 30
KNOWN = np.ones((GENES + PEAKS, 2), dtype=bool)
KNOWN[:4, 1] = KNOWN[10:12, 0] = KNOWN[-5:, 0] = KNOWN[GENES : GENES + 3, 1] = False


@pytest.fixture(scope="module", params=["csr", "dense"])
def pair(request, tmp_path_factory) -> tuple[Path, Path]:
    """Cells of two datasets, and the same with other values where nothing was measured."""
    draw = np.random.default_rng(4)
    rate = draw.gamma(1.0, 1.0, (N, 6))
    X = draw.poisson(1 + rate @ draw.gamma(0.5, 1.0, (6, GENES + PEAKS))).astype(np.float32)
    codes = np.arange(N) % 2
    known = KNOWN.T[codes]
    folder = tmp_path_factory.mktemp("measured")
    paths = []
    for name, value in (("absent", 0.0), ("poisoned", 77.0)):
        values = np.where(known, X, np.float32(value))
        made = anndata.AnnData(sparse.csr_matrix(values) if request.param == "csr" else values)
        made.obs_names = [f"c{i}" for i in range(N)]
        made.var_names = [f"g{i}" for i in range(GENES)] + [
            f"chr1:{10 * i}-{10 * i + 5}" for i in range(PEAKS)
        ]
        made.var["feature_types"] = ["Gene Expression"] * GENES + ["Peaks"] * PEAKS
        made.obs["dataset"] = np.array(["one", "two"])[codes]
        made.obs["donor"] = [f"d{i % 6}" for i in range(N)]
        made.obs["cell_type"] = np.array(["a", "b"])[(rate[:, 0] > 1).astype(int)]
        made.obs["split"] = np.repeat(["train", "val", "test"], [140, 30, 70])
        made.varm["measured"] = KNOWN
        made.uns["scgx"] = {
            "measured": {"key": "dataset", "datasets": ["one", "two"]},
            "split": json.dumps({"id": "s", "by": "donor"}),
            "units": {"X": {"rna": "counts", "atac": "counts"}},
        }
        made.write_h5ad(folder / f"{name}.h5ad")
        paths.append(folder / f"{name}.h5ad")
    return paths[0], paths[1]


def values(path):
    X = anndata.read_h5ad(path).X
    return X.toarray() if sparse.issparse(X) else X


def run(forked, *words, cwd):
    ended = forked(*words, cwd=cwd)
    assert ended.code == 0, ended.err
    return ended


def test_a_block_is_cleared_of_what_was_not_measured(pair):
    with open_cells(pair[1]) as cells:
        measured = measured_of(cells)
        columns, rows = np.array([0, 11, 13]), np.array([1, 0])
        block = cells.rows("X", rows, columns)
        cleared = measured.clear(block, rows, columns)
        dense = cleared.toarray() if sparse.issparse(cleared) else cleared
        assert (dense[0, 0], dense[1, 1]) == (0, 0) and (dense[:, 2] > 0).any()
        assert measured.of(rows, columns).tolist() == [[False, True, True], [True, False, True]]
        if sparse.issparse(cleared):
            assert cleared.nnz < block.nnz


def test_a_file_that_says_nothing_or_lacks_nothing_costs_nothing(pair, tmp_path):
    made = anndata.read_h5ad(pair[0])
    made.varm["measured"] = np.ones_like(KNOWN)
    made.write_h5ad(tmp_path / "all.h5ad")
    del made.varm["measured"]
    made.write_h5ad(tmp_path / "none.h5ad")
    for name in ("all", "none"):
        with open_cells(tmp_path / f"{name}.h5ad") as cells:
            assert measured_of(cells) is None


def test_a_table_that_does_not_fit_is_refused(pair, tmp_path):
    for change, error, words in (
        (lambda a: a.obs.drop(columns="dataset", inplace=True), DataError, "is gone"),
        (lambda a: setattr(a, "obs", a.obs.assign(dataset="three")), DataError, "'three'"),
        (lambda a: a.varm.__setitem__("measured", KNOWN[:, :1]), InputError, "of 2 datasets"),
    ):
        made = anndata.read_h5ad(pair[0])
        change(made)
        made.write_h5ad(tmp_path / "bad.h5ad")
        with open_cells(tmp_path / "bad.h5ad") as cells, pytest.raises(error, match=words):
            measured_of(cells)


@pytest.mark.parametrize(
    "options",
    [("--modality", "rna"), ("--modality", "atac"), ("--method", "clr", "--modality", "rna")],
    ids=["log1p", "tfidf", "clr"],
)
def test_normalize_sees_only_what_was_measured(pair, forked, tmp_path, options):
    made = []
    for i, path in enumerate(pair):
        run(forked, "normalize", path, *options, "-o", f"{i}.h5ad", cwd=tmp_path)
        X = values(tmp_path / f"{i}.h5ad")
        mine = slice(0, GENES) if "rna" in options else slice(GENES, None)
        made.append(X[:, mine])
    np.testing.assert_array_equal(*made)
    assert not made[0][~KNOWN.T[np.arange(N) % 2][:, mine]].any()


def test_cp10k_and_clr_and_tfidf_are_those_of_each_dataset_alone(pair, forked, tmp_path):
    X, codes = values(pair[0]), np.arange(N) % 2
    run(forked, "normalize", pair[1], "--modality", "rna", "-o", "l.h5ad", cwd=tmp_path)
    run(
        forked,
        "normalize",
        pair[1],
        "--method",
        "clr",
        "--modality",
        "rna",
        "-o",
        "c.h5ad",
        cwd=tmp_path,
    )
    run(forked, "normalize", pair[1], "--modality", "atac", "-o", "t.h5ad", cwd=tmp_path)
    logged, centred = values(tmp_path / "l.h5ad"), values(tmp_path / "c.h5ad")
    for code in (0, 1):
        panel = np.flatnonzero(KNOWN[:GENES, code])
        mine = X[codes == code][:, panel]
        wanted = np.log1p(mine / mine.sum(1, keepdims=True) * 1e4)
        np.testing.assert_allclose(logged[codes == code][:, panel], wanted, rtol=1e-6)
        wanted = np.log1p(mine / np.exp(np.log1p(mine).mean(1, keepdims=True)))
        np.testing.assert_allclose(centred[codes == code][:, panel], wanted, rtol=1e-6)
    train = np.arange(140)
    asked = KNOWN[GENES:].T[codes[train]].sum(0)
    idf = asked / (X[train, GENES:] > 0).sum(0)
    got = anndata.read_h5ad(tmp_path / "t.h5ad").var["idf"].to_numpy()[GENES:]
    np.testing.assert_allclose(got, idf)


def test_inputs_are_shared_and_unmeasured_targets_weigh_nothing(pair):
    seen = []
    for path in pair:
        with open_cells(path) as cells:
            data = gather(cells, Roles("atac", "rna"), for_training(cells, 0))
            rows = np.arange(N)
            assert data.inputs.names.tolist() == cells.var_names[GENES + 3 : -5].tolist()
            weight = data.weight(rows)
            assert (weight == KNOWN[:GENES].T[rows % 2]).all()
            batch = next(data.batches(data.train, 50, seed=0, epoch=0))
            assert (batch.weight == weight[batch.rows]).all()
            seen.append((data.x(rows).toarray(), data.y(rows).toarray(), batch.y.toarray()))
    for one, other in zip(*seen, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["mean", "ridge", "knn", "kernel-ridge", "mlp"])
def test_models_learn_nothing_from_what_was_not_measured(pair, name):
    if name == "mlp":
        pytest.importorskip("torch")
    made = []
    for path in pair:
        with open_cells(path) as cells:
            kind = registry.load("models", name).Config
            given = {"epochs": 2, "members": 1} if name == "mlp" else {}
            settings = config.build(kind, [f"{k}={v}" for k, v in given.items()], None, {})
            fitted = fit(name, cells, Roles("atac", "rna"), settings, seed=0, report=Report())
            made.append((fitted.model.save(), fitted.summary))
    (one, summary), (other, again) = made
    assert one == other
    for key in summary:
        np.testing.assert_array_equal(summary[key], again[key])


def test_the_mean_is_over_the_cells_that_were_asked(pair):
    with open_cells(pair[1]) as cells:
        data = gather(cells, Roles("atac", "rna"), for_training(cells, 0))
        y, odd = data.y(data.train).toarray(), data.train % 2
        mean = mean_profile(data, data.train)
        np.testing.assert_allclose(mean[:4], y[odd == 0, :4].mean(0), rtol=1e-5)
        np.testing.assert_allclose(mean[10:12], y[odd == 1, 10:12].mean(0), rtol=1e-5)


@pytest.mark.parametrize("name", ["logistic", "knn"])
def test_cell_types_are_learnt_and_named_without_it(pair, forked, tmp_path, name):
    shared = int(KNOWN[:GENES].all(axis=1).sum())
    alone = anndata.read_h5ad(pair[0])[::2].copy()  # one dataset: what it measured is all there is
    alone = alone[:, KNOWN[:, 0]].copy()
    del alone.varm["measured"]
    alone.write_h5ad(tmp_path / "alone.h5ad")
    words = ("--label", "cell_type", "--from", "rna", "-o")
    run(forked, "train", name, tmp_path / "alone.h5ad", *words, "of-one", cwd=tmp_path)
    tables = []
    for i, path in enumerate(pair):
        ended = run(forked, "train", name, path, *words, f"{i}.scgx", cwd=tmp_path)
        assert f"{shared} of {GENES} rna features were measured by all" in ended.err
        for model in (f"{i}.scgx", "of-one"):
            table = tmp_path / f"{i}-{model}.tsv"
            run(forked, "classify", model, path, "--table", table, "-o", "c.h5ad", cwd=tmp_path)
            tables.append(table.read_text())
    assert tables[0] == tables[2] and tables[1] == tables[3]
    for row, line in enumerate(tables[1].splitlines()[1:4:2]):
        run(
            forked, "classify", "of-one", "alone.h5ad", "--table", "t", "-o", "c.h5ad", cwd=tmp_path
        )
        assert line == (tmp_path / "t").read_text().splitlines()[row + 1]


def test_prediction_and_score_are_blind_to_it(pair, forked, tmp_path):
    made = []
    for path in pair:
        run(
            forked,
            "train",
            "ridge",
            pair[0],
            "--from",
            "atac",
            "--to",
            "rna",
            "-o",
            "m",
            cwd=tmp_path,
        )
        run(forked, "predict", "m", path, "-o", "p.h5ad", cwd=tmp_path)
        words = ("p.h5ad", "--label", "cell_type", "--json", "--covariate", "donor")
        ended = run(forked, "score", path, *words, cwd=tmp_path)
        found = json.loads(ended.out)
        made.append((values(tmp_path / "p.h5ad"), found))
    np.testing.assert_array_equal(made[0][0], made[1][0])
    one, other = (json.dumps(found).replace("poisoned", "absent") for _values, found in made)
    assert one == other
    assert any("count only where they were measured" in note for note in made[0][1]["notes"])


def test_scores_are_those_of_the_measured_cells_alone(pair, forked, tmp_path):
    run(forked, "train", "ridge", pair[1], "--from", "atac", "--to", "rna", "-o", "m", cwd=tmp_path)
    run(forked, "predict", "m", pair[1], "-o", "p.h5ad", cwd=tmp_path)
    ended = run(forked, "score", pair[1], "p.h5ad", "--json", cwd=tmp_path)
    found = json.loads(ended.out)
    X, guess = values(pair[0])[-70:, :GENES], values(tmp_path / "p.h5ad")
    truth = np.log1p(X / X.sum(1, keepdims=True) * 1e4)
    known = KNOWN[:GENES].T[np.arange(N) % 2][-70:]
    r = [np.corrcoef(truth[k, g], guess[k, g])[0, 1] for g, k in enumerate(known.T)]
    cell = [np.corrcoef(truth[i, k], guess[i, k])[0, 1] for i, k in enumerate(known)]
    gap = np.abs(truth - guess)[known].mean()
    wanted = {"pearson_per_feature": np.mean(r), "pearson_per_cell": np.mean(cell), "mae": gap}
    for metric, value in wanted.items():
        got = found["metrics"][metric]["values"]["ridge"]["value"]
        assert got == pytest.approx(value, rel=1e-4), metric


def test_sums_over_known_entries_are_those_of_the_rest_removed():
    draw = np.random.default_rng(0)
    truth, guess = draw.normal(size=(40, 3)), draw.normal(size=(40, 3))
    known = draw.random((40, 3)) < 0.6
    known[:, 2] = False
    masked = np.where(known, truth, 1e6), np.where(known, guess, -1e6)
    moments = sums(*masked, np.zeros(40, np.intp), 1, known).over_parts()
    r, _flat = pearson(moments)
    for column in (0, 1):
        rows = known[:, column]
        wanted = np.corrcoef(truth[rows, column], guess[rows, column])[0, 1]
        assert r[column] == pytest.approx(wanted)
    assert np.isnan(r[2]) and np.isnan(moments.mean_error()[2])
