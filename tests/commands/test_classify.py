"""`train --label`, `classify` and `score` of labels, as they are called."""

import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from commands.conftest import Run

import scgx as api


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn cells of several types, split by donor."""
    folder = tmp_path_factory.mktemp("cells")
    whole, parted = folder / "whole.h5ad", folder / "cells.h5ad"
    api.fetch("demo", output=str(whole), modality="rna", cells=600, genes=120, peaks=10, quiet=True)
    api.split(str(whole), str(parted), by="donor", quiet=True)
    return parted


@pytest.fixture(scope="module")
def model(cells: Path) -> Path:
    """A logistic regression on them, with a map of its types."""
    path = cells.with_name("types.scgx")
    rules = cells.with_name("map.tsv")
    names = sorted(set(anndata.read_h5ad(cells).obs["cell_type"]))
    rules.write_text("".join(f"{n}\t{'first' if n == names[0] else 'rest'}\n" for n in names))
    api.train("logistic", str(cells), str(path), label="cell_type", label_map=rules, quiet=True)
    return path


@pytest.fixture(scope="module")
def named(cells: Path, model: Path) -> Path:
    path = cells.with_name("named.h5ad")
    api.classify(str(model), str(cells), str(path), quiet=True)
    return path


def test_every_cell_gets_a_type_and_how_sure_it_is(cells: Path, named: Path) -> None:
    before, after = anndata.read_h5ad(cells), anndata.read_h5ad(named)
    probability = after.obsm["scgx_prob"]
    classes = [str(name) for name in after.uns["scgx"]["classes"]]
    assert probability.shape == (before.n_obs, len(classes))
    best = np.array(classes)[probability.argmax(axis=1)]
    assert after.obs["scgx_label"].astype(str).tolist() == best.tolist()
    np.testing.assert_array_equal(after.obs["scgx_label_prob"], probability.max(axis=1))
    np.testing.assert_array_equal(
        after.obs["scgx_label_top2_prob"], np.sort(probability, axis=1)[:, -2]
    )
    assert (after.obs["scgx_label_top2"] != after.obs["scgx_label"].astype(str)).all()
    entropy = -(probability * np.log(np.maximum(probability, 1e-30))).sum(axis=1)
    np.testing.assert_allclose(after.obs["scgx_label_entropy"], entropy, atol=1e-5)
    assert not after.obs["scgx_unknown"].any()


def test_everything_else_is_copied(cells: Path, named: Path) -> None:
    with h5py.File(cells) as before, h5py.File(named) as after:
        for key in ("X/data", "X/indices", "X/indptr", "obs/donor/codes", "obs/split/codes"):
            np.testing.assert_array_equal(before[key][()], after[key][()])
        assert set(before["obs"]) < set(after["obs"])
        assert before["uns/scgx/split"][()] == after["uns/scgx/split"][()]
        lines = [json.loads(line) for line in after["uns/scgx/history"].asstr()[()]]
    commands = [line["command"].split()[1] for line in lines]
    assert {"fetch", "split", "train", "classify"} == set(commands)
    assert commands.index("split") < commands.index("classify")


def test_coarse_probabilities_are_sums_of_the_fine(
    scgx: Run, cells: Path, model: Path, named: Path, tmp_path: Path
) -> None:
    scgx("classify", model, cells, "--coarse", "-o", tmp_path / "coarse.h5ad")
    fine, coarse = anndata.read_h5ad(named), anndata.read_h5ad(tmp_path / "coarse.h5ad")
    assert [str(n) for n in coarse.uns["scgx"]["classes"]] == ["first", "rest"]
    rest = fine.obsm["scgx_prob"][:, 1:].sum(axis=1)
    np.testing.assert_allclose(coarse.obsm["scgx_prob"][:, 1], rest, atol=1e-6)


def test_what_is_not_sure_enough_is_unknown(
    scgx: Run, cells: Path, model: Path, tmp_path: Path
) -> None:
    scgx("classify", model, cells, "--reject", "0.9", "-o", tmp_path / "out.h5ad")
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert (obs["scgx_unknown"] == (obs["scgx_label_prob"] < 0.9)).all()
    assert 0 < obs["scgx_unknown"].sum() < len(obs)
    done = scgx("score", cells, tmp_path / "out.h5ad")
    assert "unknown, which count as wrong" in done.err


def test_the_table_has_a_line_per_cell(
    scgx: Run, cells: Path, model: Path, named: Path, tmp_path: Path
) -> None:
    scgx("classify", model, cells, "--table", tmp_path / "t.tsv", "-o", tmp_path / "o.h5ad")
    lines = (tmp_path / "t.tsv").read_text().splitlines()
    obs = anndata.read_h5ad(named).obs
    assert len(lines) == len(obs) + 1
    assert lines[0].split("\t")[:3] == ["cell", "scgx_label", "scgx_label_prob"]
    assert lines[1].split("\t")[:2] == [obs.index[0], obs["scgx_label"].iloc[0]]


def test_it_works_in_a_pipe_and_onto_its_own_input(
    scgx: Run, cells: Path, model: Path, named: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.h5ad"
    mine.write_bytes(cells.read_bytes())
    scgx("classify", model, mine, "-o", mine)
    again = anndata.read_h5ad(mine).obs["scgx_label"].tolist()
    assert again == anndata.read_h5ad(named).obs["scgx_label"].tolist()
    scgx("classify", model, mine, "-o", mine)  # and once more, over its own columns
    assert anndata.read_h5ad(mine).obs["scgx_label"].tolist() == again


def test_a_small_class_is_left_out_with_a_word(scgx: Run, cells: Path, tmp_path: Path) -> None:
    table = anndata.read_h5ad(cells)
    labels = table.obs["cell_type"].astype(str).to_numpy(dtype=object)
    train = np.flatnonzero(table.obs["split"] == "train")
    labels[train[:3]] = "rare"
    labels[train[3:8]] = None
    table.obs["cell_type"] = labels
    table.write_h5ad(tmp_path / "rare.h5ad")
    done = scgx("train", "majority", tmp_path / "rare.h5ad", "--label", "cell_type", "-o", "m.scgx")
    assert "under 10 training cells are left out: rare (3)" in done.err
    assert "5 of" in done.err and "have no cell_type: left out" in done.err
    done = scgx(
        "train", "majority", tmp_path / "rare.h5ad", "--label", "cell_type",
        "--min-cells-per-class", "3", "-o", "m.scgx",
    )  # fmt: skip
    assert "rare" not in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ridge", "--label", "cell_type"], "learns no labels"),
        (["logistic", "--from", "rna"], "name their column with --label"),
        (["logistic", "--label", "cell_type", "--to", "rna"], "--to is of no use with --label"),
        (["ridge", "--balance"], "--balance belongs to --label"),
        (["logistic", "--label", "cell_type", "--features", "0"], "keeps none"),
        (["logistic", "--label", "cell_type", "--set", "rank=3"], "no setting 'rank'"),
    ],
)
def test_a_role_that_a_model_lacks_is_a_usage_error(
    scgx: Run, cells: Path, words: list[str], said: str
) -> None:
    assert said in scgx("train", *words, cells, "-o", "m.scgx", code=2).err


def test_a_column_that_is_not_there_or_is_no_class_is_refused(
    scgx: Run, cells: Path, tmp_path: Path
) -> None:
    done = scgx("train", "majority", cells, "--label", "cel_type", "-o", "m.scgx", code=4)
    assert "did you mean 'cell_type'?" in done.line()
    table = anndata.read_h5ad(cells)
    table.obs["depth"] = np.random.default_rng(0).normal(size=table.n_obs)
    table.obs["one"] = "same"
    table.write_h5ad(tmp_path / "odd.h5ad")
    odd = tmp_path / "odd.h5ad"
    assert (
        "is numeric" in scgx("train", "majority", odd, "--label", "depth", "-o", "m", code=4).line()
    )
    assert "1 classes" in scgx("train", "majority", odd, "--label", "one", "-o", "m", code=4).line()


def test_features_are_chosen_on_training_rows(scgx: Run, cells: Path, tmp_path: Path) -> None:
    from scgx.learn import artifact

    names = anndata.read_h5ad(cells).var_names[:7].tolist()
    (tmp_path / "genes.txt").write_text("\n".join(names))
    for wish, n in (("30", 30), ("genes.txt", 7)):
        scgx("train", "majority", cells, "--label", "cell_type", "--features", wish, "-o", "m.scgx")
        assert len(artifact.read(tmp_path / "m.scgx").summary["chosen"]) == n
    done = scgx(
        "train", "majority", cells, "--label", "cell_type", "--features", "marked", "-o", "m",
        code=4,
    )  # fmt: skip
    assert "no highly_variable" in done.err


def test_a_model_is_refused_where_it_does_not_belong(
    scgx: Run, cells: Path, model: Path, tmp_path: Path
) -> None:
    assert "scgx classify" in scgx("predict", model, cells, "-o", "o.h5ad", code=4).line()
    table = anndata.read_h5ad(cells)
    table.var_names = [f"strange{i}" for i in range(table.n_vars)]
    table.var = table.var[[]]
    table.write_h5ad(tmp_path / "strange.h5ad")
    done = scgx("classify", model, tmp_path / "strange.h5ad", "-o", "o.h5ad", code=4)
    assert "has 0 of the model's 120 rna features" in done.line()
    coarse = scgx("train", "majority", cells, "--label", "cell_type", "-o", "bare.scgx")
    assert coarse.code == 0
    done = scgx("classify", tmp_path / "bare.scgx", cells, "--coarse", "-o", "o.h5ad", code=4)
    assert "--label-map" in done.line()


def test_a_map_must_name_every_class(scgx: Run, cells: Path, tmp_path: Path) -> None:
    (tmp_path / "map.tsv").write_text("T\tlymphoid\n")
    done = scgx(
        "train", "majority", cells, "--label", "cell_type", "--label-map", "map.tsv", "-o", "m",
        code=4,
    )  # fmt: skip
    assert "not in the label map" in done.err


def test_a_score_names_the_headline_the_classes_and_the_verdict(
    scgx: Run, cells: Path, named: Path, tmp_path: Path
) -> None:
    done = scgx(
        "score", cells, named, "--baseline", "knn", "--table", "t.tsv", "--plot", "c.png",
        "--per", "donor",
    )  # fmt: skip
    said = done.out.decode()
    assert "f1_macro" in said and "logistic: per class" in said and "per donor" in said
    assert "the best baseline" in said.splitlines()[-1]
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert "# logistic: per class" in (tmp_path / "t.tsv").read_text()


def test_a_score_is_json_for_programs(scgx: Run, cells: Path, named: Path) -> None:
    facts = json.loads(scgx("score", cells, named, "--json").out)
    assert facts["task"] == "labels" and facts["headline"] == "f1_macro"
    assert facts["kinds"] == {"logistic": "guess", "majority": "baseline", "chance": "control"}
    assert facts["metrics"]["f1_macro"]["values"]["logistic"]["value"] > 0.6
    assert facts["tables"][0]["name"] == "per class"


def test_cells_that_were_trained_on_are_not_scored(
    scgx: Run, cells: Path, named: Path, tmp_path: Path
) -> None:
    table = anndata.read_h5ad(cells)
    table.obs = table.obs.drop(columns="split")
    table.write_h5ad(tmp_path / "unsplit.h5ad")
    done = scgx("score", tmp_path / "unsplit.h5ad", named, code=4)
    assert "scored cells were trained on" in done.line()


def test_types_that_the_model_never_saw_are_wrong_and_said(
    scgx: Run, cells: Path, named: Path, tmp_path: Path
) -> None:
    table = anndata.read_h5ad(cells)
    labels = table.obs["cell_type"].astype(str).to_numpy(dtype=object)
    test = np.flatnonzero(table.obs["split"] == "test")
    labels[test[:20]] = "new"
    table.obs["cell_type"] = labels
    table.write_h5ad(tmp_path / "new.h5ad")
    done = scgx("score", tmp_path / "new.h5ad", named)
    assert "does not know, and gets wrong: new (20)" in done.err
    assert "telling unknown types apart" in done.out.decode()
    table.obs["cell_type"] = "x" + table.obs["cell_type"].astype(str)
    table.write_h5ad(tmp_path / "new.h5ad")
    assert "--label" in scgx("score", tmp_path / "new.h5ad", named, code=4).line()


def test_labels_of_other_tools_are_scored_too(scgx: Run, cells: Path, tmp_path: Path) -> None:
    table = anndata.read_h5ad(cells)
    table.obs["scgx_label"] = table.obs["cell_type"].astype(str).to_numpy(dtype=object)
    del table.uns["scgx"]
    table.write_h5ad(tmp_path / "other.h5ad")
    done = scgx("score", cells, tmp_path / "other.h5ad", "--task", "labels", "--label", "cell_type")
    assert "1.0000" in done.out.decode()
    done = scgx("score", cells, cells, "--task", "labels", "--label", "cell_type", code=4)
    assert "obs has no scgx_label" in done.line()
    done = scgx("score", cells, tmp_path / "other.h5ad", "--task", "labels", code=2)
    assert "--label" in done.line()


def test_adapting_is_off_unless_asked_for_and_said(
    cells: Path, model: Path, named: Path, tmp_path: Path, run: Run
) -> None:
    def answer(path: Path) -> tuple[bytes, object]:
        with h5py.File(path) as file:
            about = json.loads(file["uns/scgx/model"][()])
            return file["obsm/scgx_prob"][()].tobytes(), about["adapt"]

    for name in ("first", "again"):
        done = run("classify", model, cells, "-o", tmp_path / name, "--adapt")
        assert "adapted to these 600 cells" in done.err
        assert "depends on the other cells" in done.err
    first, again, plain = (answer(p) for p in (tmp_path / "first", tmp_path / "again", named))
    assert first == again
    assert (first[1], plain[1]) == (True, False)
    assert first[0] != plain[0]


def test_sets_hold_the_true_class_as_often_as_asked(
    scgx: Run, cells: Path, model: Path, tmp_path: Path
) -> None:
    done = scgx("classify", model, cells, "--coverage", "0.9", "-o", tmp_path / "out.h5ad")
    assert "90% of validation cells" in done.err
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    held = np.array([t in s.split("|") for t, s in zip(obs["cell_type"], obs["scgx_set"])])
    val = (obs["split"] == "val").to_numpy()
    assert 0.9 <= held[val].mean() < 0.93
    single = np.array(["|" not in s and s != "" for s in obs["scgx_set"]])
    assert (obs["scgx_unknown"] == ~single).all()
    scgx("classify", model, cells, "--coverage", "0.9", "--coarse", "-o", tmp_path / "c.h5ad")
    coarse = anndata.read_h5ad(tmp_path / "c.h5ad").obs["scgx_set"]
    assert {word for words in coarse for word in words.split("|")} <= {"first", "rest", ""}


def test_a_coverage_that_cannot_be_shown_is_refused(
    scgx: Run, cells: Path, model: Path, tmp_path: Path
) -> None:
    done = scgx("classify", model, cells, "--coverage", "0.9999", "-o", "o.h5ad", code=4)
    assert "--coverage 0.99 is the most" in done.line() and not (tmp_path / "o.h5ad").exists()
    for words in (["--adapt"], ["--majority-vote", "knn"]):
        done = scgx("classify", model, cells, "--coverage", "0.9", *words, "-o", "o", code=2)
        assert "classified alone" in done.line()


def test_cells_of_a_cluster_get_the_class_with_the_largest_sum(
    scgx: Run, cells: Path, model: Path, named: Path, tmp_path: Path
) -> None:
    done = scgx("classify", model, cells, "--majority-vote", "donor", "-o", tmp_path / "out.h5ad")
    assert "by the vote of donor" in done.err
    alone, voted = anndata.read_h5ad(named), anndata.read_h5ad(tmp_path / "out.h5ad")
    for donor in set(alone.obs["donor"]):
        here = (alone.obs["donor"] == donor).to_numpy()
        mean = alone.obsm["scgx_prob"][here].mean(axis=0)
        np.testing.assert_allclose(
            voted.obsm["scgx_prob"][here], np.tile(mean, (here.sum(), 1)), rtol=1e-5
        )
        assert voted.obs["scgx_label"][here].nunique() == 1
    own = voted.obs["scgx_label_own"].astype(str)
    assert (own.to_numpy() == alone.obs["scgx_label"].astype(str).to_numpy()).all()
    done = scgx("classify", model, cells, "--majority-vote", "doner", "-o", "x", code=4)
    assert "did you mean 'donor'?" in done.line()


def test_neighbours_vote_where_there_are_no_clusters(scgx: Run, tmp_path: Path) -> None:
    scgx("fetch", "demo", "--modality", "rna", "--cells", "400", "-o", tmp_path / "demo.h5ad")
    scgx("split", tmp_path / "demo.h5ad", "--by", "donor", "-o", tmp_path / "s.h5ad")
    scgx("train", "logistic", tmp_path / "s.h5ad", "--label", "cell_type", "-o", tmp_path / "m")
    words = ("classify", tmp_path / "m", tmp_path / "s.h5ad", "--majority-vote", "knn")
    done = scgx(*words, "-o", tmp_path / "out.h5ad")
    assert "by the vote of knn" in done.err
    obs = anndata.read_h5ad(tmp_path / "out.h5ad").obs
    assert 0 < (obs["scgx_label"].astype(str) != obs["scgx_label_own"].astype(str)).sum() < 60
    assert (obs["scgx_label"].astype(str) == obs["cell_type"].astype(str)).mean() > 0.9
    scgx("sample", tmp_path / "s.h5ad", "--n", "20", "-o", tmp_path / "few.h5ad")
    few = ("classify", tmp_path / "m", tmp_path / "few.h5ad", "--majority-vote", "knn")
    assert "20 cells have no neighbourhoods" in scgx(*few, "-o", tmp_path / "o.h5ad").err


def test_shares_of_samples_are_printed_and_compared_with_a_tissue(
    scgx: Run, cells: Path, model: Path, named: Path, tmp_path: Path
) -> None:
    words = ("classify", model, cells, "--composition", "donor", "--reference", cells)
    said = scgx(*words, "--plot", "c.svg", "-o", tmp_path / "out.h5ad").out.decode()
    obs = anndata.read_h5ad(named).obs
    n = int(((obs["donor"] == "D1") & (obs["scgx_label"] == "astrocyte")).sum())
    row = next(line.split() for line in said.splitlines() if line.startswith("D1 "))
    assert row[:3] == ["D1", "astrocyte", str(n)]
    assert float(row[3]) == pytest.approx(n / (obs["donor"] == "D1").sum(), abs=6e-4)
    shares = obs.groupby("donor", observed=True)["scgx_label"].value_counts(normalize=True)
    tissue = obs["cell_type"].value_counts(normalize=True)
    away = (shares["D1"].reindex(tissue.index).fillna(0) - tissue).abs().sum() / 2
    last = [line.split() for line in said.splitlines() if line.startswith("D1 ")][-1]
    assert float(last[1]) == pytest.approx(away, abs=6e-4)
    assert b"<svg" in (tmp_path / "c.svg").read_bytes()


def test_shares_leave_stdout_to_the_cells(
    scgx: Run, cells: Path, model: Path, tmp_path: Path
) -> None:
    done = scgx("classify", model, cells, "--composition", "donor", "-q")
    assert done.out.startswith(b"\x89HDF") and "composition by donor" in done.err
    done = scgx("classify", model, cells, "--composition", "doner", "-o", "x.h5ad", code=4)
    assert "did you mean 'donor'?" in done.line() and not (tmp_path / "x.h5ad").exists()
    assert "--composition" in scgx("classify", model, cells, "--plot", "c.png", code=2).line()
    bare = ("classify", model, cells, "--composition", "donor", "--reference", tmp_path / "b")
    table = anndata.read_h5ad(cells)
    del table.obs["cell_type"]
    table.write_h5ad(tmp_path / "b")
    assert "neither scgx_label nor cell_type" in scgx(*bare, "-o", "x.h5ad", code=4).line()


def test_a_wrong_type_in_the_right_class_is_credited(
    scgx: Run, cells: Path, named: Path, tmp_path: Path
) -> None:
    facts = json.loads(scgx("score", cells, named, "--json").out)
    table = next(each for each in facts["tables"] if each["name"] == "through the label map")
    credit = dict(table["rows"])
    obs = anndata.read_h5ad(named).obs
    test = obs[obs["split"] == "test"]
    first = sorted(set(obs["cell_type"]))[0]
    truth, guess = test["cell_type"].astype(str), test["scgx_label"].astype(str)
    assert credit["accuracy of fine types"] == pytest.approx((truth == guess).mean())
    coarse = ((truth == first) == (guess == first)).mean()
    assert credit["accuracy of coarse types"] == pytest.approx(coarse)
    assert credit["accuracy of fine types"] < coarse


def test_a_leak_check_compares_with_a_random_split(
    scgx: Run, cells: Path, named: Path, tmp_path: Path
) -> None:
    done = scgx("score", cells, named, "--leak-check", "--json")
    facts = json.loads(done.out)
    (table,) = (one for one in facts["tables"] if one["name"].startswith("leak check"))
    for _, grouped, dealt, more in table["rows"]:
        assert more == pytest.approx(dealt - grouped)
    assert "leak check: logistic has f1_macro" in done.err
    assert table["rows"][0][1] == pytest.approx(
        facts["metrics"]["f1_macro"]["values"]["logistic"]["value"]
    )
    scgx("split", cells, "-o", tmp_path / "dealt.h5ad")
    scgx("train", "majority", tmp_path / "dealt.h5ad", "--label", "cell_type", "-o", tmp_path / "m")
    scgx("classify", tmp_path / "m", tmp_path / "dealt.h5ad", "-o", tmp_path / "g.h5ad")
    done = scgx("score", tmp_path / "dealt.h5ad", tmp_path / "g.h5ad", "--leak-check", code=4)
    assert "scgx split --by donor" in done.err


def test_groups_of_the_interval_can_be_named(scgx: Run, cells: Path, named: Path) -> None:
    facts = json.loads(scgx("score", cells, named, "--by", "cell_type", "--json").out)
    assert "groups of 'cell_type'" in facts["bootstrap"] or "cells" in facts["bootstrap"]
    assert set(facts["groups"]) <= set(anndata.read_h5ad(cells).obs["cell_type"])
    assert "no column" in scgx("score", cells, named, "--by", "donr", code=4).line()


def test_types_that_never_trained_are_novel(scgx: Run, cells: Path, tmp_path: Path) -> None:
    held = str(sorted(set(anndata.read_h5ad(cells).obs["cell_type"]))[0])
    scgx("sample", cells, "--where", f"cell_type!={held}", "-o", tmp_path / "some.h5ad")
    scgx("train", "logistic", tmp_path / "some.h5ad", "--label", "cell_type", "-o", tmp_path / "m")
    scgx("classify", tmp_path / "m", cells, "-o", tmp_path / "g.h5ad", "--reject-novel", "0.9")
    obs = anndata.read_h5ad(tmp_path / "g.h5ad").obs
    new = (obs["cell_type"] == held).to_numpy()
    assert obs["scgx_novelty"][new].median() > obs["scgx_novelty"][~new].median()
    assert obs["scgx_unknown"][new].mean() > obs["scgx_unknown"][~new].mean()
    assert (obs["scgx_novelty"][obs["scgx_unknown"]].min()
            > obs["scgx_novelty"][~obs["scgx_unknown"]].max())  # fmt: skip
    facts = json.loads(scgx("score", cells, tmp_path / "g.h5ad", "--json").out)
    (table,) = (one for one in facts["tables"] if one["name"] == "telling unknown types apart")
    by = {row[0]: row[3] for row in table["rows"]}
    assert by["scgx_novelty"] > 0.5
    done = scgx("classify", tmp_path / "m", cells, "--reject-novel", "0.999", code=4)
    assert "--reject-novel" in done.err and "is the most" in done.err


def test_outputs_are_told_apart(
    scgx: Run, cells: Path, model: Path, named: Path, tmp_path: Path
) -> None:
    place = tmp_path / "out"
    for words in (
        ("classify", model, cells, "-o", place, "--table", place),
        ("explain", model, "--table", "-", "--json"),
        ("score", cells, named, "--label", "cell_type", "--table", "-", "--json"),
    ):
        done = scgx(*words, code=2)
        assert "one file" in done.err
        assert not place.exists()
    done = scgx(
        "classify", model, cells, "-o", place, "--table", "-", "--composition", "donor", code=0
    )
    assert all(line.count("\t") > 5 for line in done.out.decode().splitlines())
    assert "composition by donor" in done.err
    done = scgx("score", cells, named, "--label", "cell_type", "--table", "-")
    assert "beats the best baseline" not in done.out.decode()
    assert "per class" in done.err


def test_measurements_are_no_groups(scgx: Run, cells: Path, model: Path, tmp_path: Path) -> None:
    measured = anndata.read_h5ad(cells)
    measured.obs["depth"] = np.arange(measured.n_obs) / 7
    measured.write_h5ad(tmp_path / "measured.h5ad")
    for option in ("--majority-vote", "--composition"):
        out = tmp_path / "out.h5ad"
        done = scgx(
            "classify", model, tmp_path / "measured.h5ad", option, "depth", "-o", out, code=4
        )
        assert "is numeric" in done.err
        assert not out.exists()


def test_cells_without_a_count_are_unknown(
    scgx: Run, cells: Path, model: Path, tmp_path: Path
) -> None:
    some = anndata.read_h5ad(cells)
    counts = some.X.tolil()
    counts[3] = 0
    some.X = counts.tocsr()
    some.write_h5ad(tmp_path / "some.h5ad")
    for option in ((), ("--adapt",)):
        done = scgx("classify", model, tmp_path / "some.h5ad", *option, "-o", tmp_path / "out.h5ad")
        assert "1 cells have no count" in done.err
        unknown = anndata.read_h5ad(tmp_path / "out.h5ad").obs["scgx_unknown"].to_numpy()
        assert np.flatnonzero(unknown).tolist() == [3]


def test_labels_of_other_tools_are_scored_as_labels(
    scgx: Run, cells: Path, named: Path, tmp_path: Path
) -> None:
    guess = anndata.read_h5ad(named)
    bare = anndata.AnnData(obs=guess.obs[["scgx_label"]])
    bare.write_h5ad(tmp_path / "bare.h5ad")
    done = scgx("score", cells, tmp_path / "bare.h5ad", "--label", "cell_type")
    assert "f1_macro" in done.out.decode()
    assert "pearson" not in done.out.decode()


def test_a_panel_that_is_not_there_is_a_bad_input(scgx: Run, cells: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.scgx"
    nowhere = tmp_path / "nowhere.h5ad"
    done = scgx(
        "train", "majority", cells, "--label", "cell_type", "--panel", nowhere, "-o", out, code=3
    )
    assert "no such file" in done.err
    assert not out.exists()


def test_names_that_occur_twice_are_told_of(scgx: Run, cells: Path, tmp_path: Path) -> None:
    some = anndata.read_h5ad(cells)
    names = some.var_names.tolist()
    some.var = some.var[[]].copy()
    some.var_names = [names[1], *names[1:]]
    some.write_h5ad(tmp_path / "twice.h5ad")
    said = ("--label", "cell_type", "-o", tmp_path / "m.scgx")
    assert "will not be found" in scgx("train", "majority", tmp_path / "twice.h5ad", *said).err
    scgx("train", "majority", cells, *said)
    done = scgx("classify", tmp_path / "m.scgx", tmp_path / "twice.h5ad", "-o", tmp_path / "o.h5ad")
    assert "pair with nothing" in done.err
