"""`scgx score --task perturbation`: known effects, simple baselines, and what cannot be scored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.processes import Zygote
from support.screens import Screen, effects, predicted, screen

from scgx.h5ad.names import hash_names

SINGLES = effects([f"A{i}" for i in range(8)])
PAIRS = [("A0", "A1"), ("A2", "A3"), ("A4", "A5"), ("A6", "A7"), ("A0", "A7")]
DOUBLES = {f"{a}+{b}": SINGLES[a] + SINGLES[b] for a, b in PAIRS}
R, SHARED = "pearson_delta@ctrl=independent", "pearson_delta@ctrl=shared"
BASELINES = (
    "no-change", "perturbed-mean", "perturbed-centroids", "matching-mean", "additive", "one-hot-ridge"
)  # fmt: skip


def told(forked: Zygote, folder: Path, line: str) -> tuple[dict, str]:
    done = forked("score", *line.split(), "--json", cwd=folder)
    assert done.code == 0, done.err
    return json.loads(done.out), done.err


def values(facts: dict, metric: str = R) -> dict[str, float]:
    return {name: one["value"] for name, one in facts["metrics"][metric]["values"].items()}


def without_intervals(facts: dict) -> dict:
    return {key: values(facts, key) for key in facts["metrics"]}


def doubles(noise: float = 0.2, seed: int = 0) -> Screen:
    return screen({**SINGLES, **DOUBLES}, list(DOUBLES), noise=noise, seed=seed)


@pytest.fixture(scope="module")
def clean(forked: Zygote, tmp_path_factory: pytest.TempPathFactory):
    """Effects that add up, without noise; a guess that knows them."""
    folder = tmp_path_factory.mktemp("clean")
    truth = doubles(noise=0.0)
    truth.write(folder / "t.h5ad")
    predicted(truth, DOUBLES).write(folder / "g.h5ad")
    facts, err = told(forked, folder, "t.h5ad g.h5ad --table t.tsv --plot p.svg")
    return folder, facts, err


def test_the_guess_says_the_task_and_every_baseline_is_printed(clean) -> None:
    folder, facts, _ = clean
    assert facts["task"] == "perturbation" and facts["headline"] == R
    assert set(facts["kinds"]) == {"oracle", *BASELINES}
    assert "A0+A1" in (folder / "t.tsv").read_text()
    assert "A0+A1" in (folder / "p.svg").read_text()


def test_effects_that_add_up_are_those_of_the_additive_baseline(clean) -> None:
    _, facts, _ = clean
    for name in ("additive", "oracle"):
        assert values(facts)[name] == pytest.approx(1, abs=1e-5)
        assert values(facts, "mse_delta")[name] == pytest.approx(0, abs=1e-9)
        assert values(facts, "l2_top1000@ctrl=shared")[name] == pytest.approx(0, abs=1e-4)
        assert values(facts, "pds")[name] == values(facts, "centroid_accuracy")[name] == 1
    assert values(facts)["matching-mean"] == pytest.approx(1, abs=1e-5)  # r knows no size
    assert values(facts, "mse_delta")["matching-mean"] > 0.05


def test_the_mean_of_all_perturbations_is_no_information(clean) -> None:
    _, facts, _ = clean
    one = facts["metrics"]["pearson_delta_pertmean"]["values"]["perturbed-centroids"]
    assert one["value"] == 0 and one["n_degenerate"] == len(DOUBLES)
    for name in ("no-change", "perturbed-mean", "perturbed-centroids"):
        assert values(facts, "pds")[name] == pytest.approx(0.5, abs=1e-9)
    assert values(facts)["no-change"] == 0


def test_every_perturbation_is_listed_and_how_new_it_is(clean) -> None:
    _, facts, _ = clean
    short = next(t for t in facts["tables"] if "per perturbation" in t["name"])
    assert {row[0] for row in short["rows"]} == set(DOUBLES)
    assert {row[1] for row in short["rows"]} == {"combo_seen2"}
    long = next(t for t in facts["tables"] if t["name"] == "per perturbation")
    assert set(facts["metrics"]) <= set(long["columns"])
    assert [level["level"] for level in facts["levels"]] == ["combo_seen2"]


def test_noise_of_shared_controls_looks_like_skill(forked: Zygote, tmp_path: Path) -> None:
    """Perturbations without effects: nothing is known, and yet shared controls agree."""
    nothing = {f"B{i}": np.zeros(40) for i in range(12)}
    truth = screen(nothing, [f"B{i}" for i in range(6)], cells=30, noise=1.0)
    truth.write(tmp_path / "t.h5ad")
    guess = {f"B{i}": truth.mean("B7", "train") - truth.mean("control", "train") for i in range(6)}
    predicted(truth, guess).write(tmp_path / "g.h5ad")
    facts, err = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert values(facts, SHARED)["perturbed-mean"] > 0.4
    assert abs(values(facts)["perturbed-mean"]) < 0.3
    assert "cannot be scored on these data" in facts["verdicts"][0]["sentence"]
    assert facts["verdicts"][0]["interval"] is None


def test_a_guess_that_knows_the_noise_of_its_controls_gains_nothing(
    forked: Zygote, tmp_path: Path
) -> None:
    """Whatever it predicts does not depend on the control, so its changes hold that noise."""
    nothing = {f"B{i}": np.zeros(40) for i in range(24)}
    test = [f"B{i}" for i in range(12)]
    truth = screen(nothing, test, cells=30, noise=1.0)
    truth.write(tmp_path / "t.h5ad")
    guess = predicted(truth, {label: np.zeros(40) for label in test})
    profile = truth.X[(truth.part == "train") & (truth.label != "control")].mean(axis=0)
    change = profile - truth.mean("control", "test")
    naive = np.mean(
        [
            np.corrcoef(truth.mean(b, "test") - truth.mean("control", "test"), change)[0, 1]
            for b in test
        ]
    )
    guess.X[:] = profile
    guess.write(tmp_path / "g.h5ad")
    facts, _ = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert naive > 0.5 and abs(values(facts)["oracle"]) < 0.25


def test_what_is_refused_counts_as_the_mean_and_is_counted(forked: Zygote, tmp_path: Path) -> None:
    truth = doubles()
    truth.write(tmp_path / "t.h5ad")
    some = dict(list(DOUBLES.items())[:3])
    lost = [label for label in DOUBLES if label not in some]
    reasons = dict.fromkeys(lost, "never heard of it")
    predicted(truth, some, refused=reasons).write(tmp_path / "g.h5ad")
    facts, err = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert facts["coverage"]["oracle"] == pytest.approx(0.6)
    assert "never heard of it" in err
    short = next(t for t in facts["tables"] if "per perturbation" in t["name"])
    mine, mean = (short["columns"].index(name) for name in ("oracle", "perturbed-mean"))
    for row in short["rows"]:
        assert row[3] == (row[0] in some)
        assert (row[mine] == pytest.approx(row[mean], abs=1e-6)) == (row[0] in lost)


def test_another_tool_names_no_controls(forked: Zygote, tmp_path: Path) -> None:
    truth = doubles(noise=0.0)
    truth.write(tmp_path / "t.h5ad")
    guess = predicted(truth, DOUBLES, named=False)
    mixed = np.random.default_rng(0).permutation(len(guess.label))
    guess = replace(guess.take(mixed), scgx={}, column="condition")
    guess.label[:] = ["+".join(reversed(word.split("+"))) for word in guess.label]
    guess.write(tmp_path / "g.h5ad")
    done = forked(*["score", "--task", "perturbation", "t.h5ad", "g.h5ad", "--json"], cwd=tmp_path)
    assert done.code == 4 and "which perturbation was predicted" in done.err
    replace(guess, column="perturbation").write(tmp_path / "g.h5ad")
    facts, _ = told(forked, tmp_path, "--task perturbation t.h5ad g.h5ad")
    assert values(facts)["g"] == pytest.approx(1, abs=1e-5)
    assert values(facts, "mse_delta")["g"] == pytest.approx(0, abs=1e-8)


def test_the_order_of_cells_and_genes_changes_nothing(forked: Zygote, tmp_path: Path) -> None:
    truth = doubles()
    noisy = {k: v + np.random.default_rng(len(k)).normal(0, 0.3, 40) for k, v in DOUBLES.items()}
    guess = predicted(truth, noisy)
    truth.write(tmp_path / "t.h5ad")
    guess.write(tmp_path / "g.h5ad")
    rng = np.random.default_rng(1)
    for made, name in ((truth, "t2"), (guess, "g2")):
        other = made.take(rng.permutation(len(made.label)))
        genes = rng.permutation(40)
        names = tuple(np.array(made.genes)[genes])
        replace(other, X=other.X[:, genes], genes=names).write(tmp_path / f"{name}.h5ad")
    one, two = (without_intervals(told(forked, tmp_path, line)[0]) for line in
                ("t.h5ad g.h5ad", "t2.h5ad g2.h5ad"))  # fmt: skip
    for metric, found in one.items():
        assert two[metric] == pytest.approx(found, abs=1e-5), metric


def test_controls_of_another_line_are_not_subtracted(forked: Zygote, tmp_path: Path) -> None:
    """Two lines with other levels and opposite effects: within lines the answer is exact."""
    parts = []
    for sign, line in ((1, "up"), (-1, "down")):
        made = screen(
            {k: sign * v for k, v in {**SINGLES, **DOUBLES}.items()}, list(DOUBLES),
            noise=0.0, prefix=line,
        )  # fmt: skip
        parts.append(replace(made, X=made.X + (line == "up") * np.linspace(0, 2, 40)))
    join = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("X", "label", "part", "names")
    }
    lines = np.repeat(np.array(["up", "down"], dtype=object), [len(p.label) for p in parts])
    truth = Screen(**join, more={"line": lines}, scgx=parts[0].scgx)
    truth.write(tmp_path / "t.h5ad")
    cells = []
    for part, sign in zip(parts, (1, -1), strict=True):
        there = replace(part, more={"line": lines[: len(part.label)]})
        cells.append(predicted(there, {k: sign * v for k, v in DOUBLES.items()}))
    guess = Screen(
        np.vstack([c.X for c in cells]), np.concatenate([c.label for c in cells]),
        np.zeros(0, object), np.concatenate([c.names for c in cells]),
        {"scgx_control": np.concatenate([c.more["scgx_control"] for c in cells])},
        scgx={**cells[0].scgx, "model": json.dumps(
            {"name": "oracle", "label": "perturbation", "covariates": ["line"]})},
    )  # fmt: skip
    guess.write(tmp_path / "g.h5ad")
    facts, err = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert values(facts, "mse_delta")["oracle"] == pytest.approx(0, abs=1e-9)
    assert values(facts, "mse_delta")["additive"] == pytest.approx(0, abs=1e-9)
    inside = next(t for t in facts["tables"] if "within strata" in t["name"])
    assert [row[0] for row in inside["rows"]] == ["down", "up"]
    assert all(row[inside["columns"].index("oracle")] > 0.999 for row in inside["rows"])


def test_a_line_that_never_trained_is_scored_by_its_own_controls(
    forked: Zygote, tmp_path: Path
) -> None:
    old, new = (
        screen(SINGLES, [], noise=0.05, prefix=line, seed=seed)
        for seed, line in enumerate(("old", "new"))
    )
    new.X += np.linspace(0, 2, 40)
    new.part[:], old.part[:] = "test", "train"
    lines = np.repeat(np.array(["old", "new"], dtype=object), len(old.label))
    join = {
        name: np.concatenate([getattr(one, name) for one in (old, new)])
        for name in ("X", "label", "part", "names")
    }
    truth = Screen(**join, more={"cell_line": lines}, scgx=old.scgx)
    truth.write(tmp_path / "t.h5ad")
    predicted(truth, SINGLES, covariates=["cell_line"]).write(tmp_path / "g.h5ad")
    facts, err = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert "nothing of new trains" in err
    assert values(facts)["oracle"] > 0.99 and values(facts)["additive"] > 0.99
    assert facts["levels"][0]["level"] == "seen_in_another_stratum"
    predicted(truth, SINGLES, covariates=["cell_line"], named=False).write(tmp_path / "g.h5ad")
    done = forked("score", "t.h5ad", "g.h5ad", cwd=tmp_path)
    assert done.code == 4 and "names no controls" in done.err


def test_a_gene_that_a_dataset_did_not_measure_is_not_zero_there(
    forked: Zygote, tmp_path: Path
) -> None:
    truth = doubles(noise=0.0)
    predicted(truth, DOUBLES).write(tmp_path / "g.h5ad")
    owner = np.where(np.arange(len(truth.label)) % 2 == 0, "one", "two").astype(object)
    mask = np.ones((40, 2), dtype=bool)
    mask[:5, 1] = False
    X = np.where(mask[:, (owner == "two").astype(int)].T, truth.X, 0)
    replace(truth, X=X, more={"dataset": owner}, measured=mask).write(tmp_path / "t.h5ad")
    facts, err = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert facts["n_features"] == 35 and "35 of 40 genes were measured" in err
    assert values(facts, "mse_delta")["oracle"] == pytest.approx(0, abs=1e-9)


def test_a_copy_of_the_truth_gets_no_verdict(forked: Zygote, tmp_path: Path) -> None:
    truth = doubles()
    truth.write(tmp_path / "t.h5ad")
    copied = truth.take(np.flatnonzero((truth.part == "test") & (truth.label != "control")))
    told_by = predicted(truth, DOUBLES).scgx
    replace(copied, part=np.zeros(0, object), scgx=told_by).write(tmp_path / "g.h5ad")
    facts, _ = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert "a copy of it?" in facts["verdicts"][0]["sentence"]
    assert values(facts, SHARED)["oracle"] == pytest.approx(1, abs=1e-4)


def test_few_perturbations_have_no_interval_and_no_verdict(forked: Zygote, tmp_path: Path) -> None:
    truth = screen({**SINGLES, "A0+A1": DOUBLES["A0+A1"]}, ["A0+A1"])
    truth.write(tmp_path / "t.h5ad")
    predicted(truth, {"A0+A1": DOUBLES["A0+A1"]}).write(tmp_path / "g.h5ad")
    facts, _ = told(forked, tmp_path, "t.h5ad g.h5ad")
    [verdict] = facts["verdicts"]
    assert "too few for an interval" in verdict["sentence"] and verdict["interval"] is None
    assert facts["metrics"]["pds"]["values"]["oracle"]["value"] is None


def test_trained_cells_are_not_scored(forked: Zygote, tmp_path: Path) -> None:
    truth = doubles()
    truth.write(tmp_path / "t.h5ad")
    guess = predicted(truth, DOUBLES)
    guess.scgx["train_cells"] = np.sort(hash_names(truth.names))
    guess.write(tmp_path / "g.h5ad")
    done = forked("score", "t.h5ad", "g.h5ad", cwd=tmp_path)
    assert done.code == 4 and "were trained on" in done.err


def test_other_ways_to_write_the_same_labels(forked: Zygote, tmp_path: Path) -> None:
    truth = doubles()
    predicted(truth, DOUBLES).write(tmp_path / "g.h5ad")
    truth.write(tmp_path / "t.h5ad")
    one, _ = told(forked, tmp_path, "t.h5ad g.h5ad")
    words = {"control": "ctrl+ctrl", **{k: f"{k}+ctrl" for k in SINGLES}}
    words |= {k: "+".join(reversed(k.split("+"))) for k in DOUBLES}
    truth.label[:] = [words[word] for word in truth.label]
    truth.write(tmp_path / "t.h5ad")
    two, _ = told(forked, tmp_path, "t.h5ad g.h5ad")
    assert without_intervals(one) == without_intervals(two)


def test_counts_are_scored_as_their_logarithms(forked: Zygote, tmp_path: Path) -> None:
    truth = doubles()
    linear = np.random.default_rng(0).poisson(np.expm1(np.maximum(truth.X, 0)))
    log = np.log1p(1e4 * linear / linear.sum(axis=1, keepdims=True))
    replace(truth, X=linear, units="counts").write(tmp_path / "counts.h5ad")
    truth = replace(truth, X=log)
    truth.write(tmp_path / "t.h5ad")
    predicted(truth, DOUBLES).write(tmp_path / "g.h5ad")
    one, two = (
        without_intervals(told(forked, tmp_path, f"{t}.h5ad g.h5ad")[0]) for t in ("t", "counts")
    )
    for metric, found in one.items():
        assert two[metric] == pytest.approx(found, rel=1e-3, abs=1e-4), metric


def test_a_metric_that_tells_nothing_is_named(clean) -> None:
    _, facts, err = clean
    table = next(t for t in facts["tables"] if "tell a replicate" in t["name"])
    by = {row[0]: row[1:] for row in table["rows"]}
    assert by[R][0] == 1 and by[R][1] > 0.9 and by[R][2] == "yes"


@pytest.mark.parametrize(
    ("words", "reason"),
    [("--per perturbation", "--per"), ("--by split", "--by"), ("--baseline mean", "another GUESS"),
     ("--modality atac", "--modality"), ("--covariate lane", "lane")],
)  # fmt: skip
def test_options_of_other_tasks_are_refused(forked: Zygote, clean, words: str, reason: str) -> None:
    folder, _, _ = clean
    done = forked("score", "t.h5ad", "g.h5ad", *words.split(), cwd=folder)
    assert done.code in (2, 4) and reason in done.err and done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [("split", "train and test rows"), ("control", "no cell of"), ("strangers", "are not in the truth"),
     ("others", "predicts none"), ("nan", "NaN or infinite"), ("genes", "shares 0 genes")],
)  # fmt: skip
def test_what_cannot_be_scored_is_said_in_one_line(
    forked: Zygote, tmp_path: Path, change: str, reason: str
) -> None:
    truth = doubles()
    guess = predicted(truth, DOUBLES)
    if change == "split":
        truth.part = np.zeros(0, dtype=object)
    elif change == "control":
        truth.label[truth.label == "control"] = "A0"
    elif change == "strangers":
        guess.more["scgx_control"][:] = "somebody"
    elif change == "others":
        guess.label[:] = "A0"
    elif change == "nan":
        guess.X[0, 0] = np.nan
    else:
        guess = replace(guess, genes=tuple(f"h{i}" for i in range(40)))
    truth.write(tmp_path / "t.h5ad")
    guess.write(tmp_path / "g.h5ad")
    done = forked("score", "t.h5ad", "g.h5ad", cwd=tmp_path)
    lines = [line for line in done.err.splitlines() if "means of" not in line]
    assert done.code == 4 and reason in lines[-1], done.err


def test_doubles_of_k562_are_those_of_the_reference(
    forked: Zygote, real_data: Path, tmp_path: Path
) -> None:
    """Shared controls flatter the additive model by a quarter; the replicate is not far above."""
    file = real_data / "perturb-norman-mcfaline" / "devel.h5ad"
    names = "KLF1+MAP2K6,KLF1+TGFBR2,MAP2K3+MAP2K6,MAP2K3+SLC38A2,MAPK1+TGFBR2"
    for line in (
        f"sample {file} --where cell_type=k562 -o k.h5ad",
        f"split k.h5ad --by perturbation --test {names} -o d.h5ad",
        "train additive d.h5ad --label perturbation -o a.scgx",
        "predict a.scgx d.h5ad -o p.h5ad",
    ):
        done = forked(*line.split(), cwd=tmp_path)
        assert done.code == 0, done.err
    facts, _ = told(forked, tmp_path, "d.h5ad p.h5ad")
    for metric in facts["metrics"]:
        mine, theirs = (values(facts, metric)[n] for n in ("additive", "additive (baseline)"))
        assert mine == pytest.approx(theirs, abs=2e-3), metric
    assert values(facts, SHARED)["additive"] == pytest.approx(0.862, abs=0.06)
    assert values(facts)["additive"] == pytest.approx(0.6, abs=0.2)
    assert values(facts)["additive"] < values(facts, SHARED)["additive"] - 0.1
    assert facts["metrics"][R]["replicate"]["mean"] == pytest.approx(0.74, abs=0.1)


def test_glioma_lines_cannot_be_scored(forked: Zygote, real_data: Path, tmp_path: Path) -> None:
    file = real_data / "perturb-norman-mcfaline" / "devel.h5ad"
    for line in (
        f"sample {file} --where cell_type=A172,U87MG -o k.h5ad",
        "split k.h5ad --by perturbation --fractions .4,.1,.5 --seed 2 -o d.h5ad",
        "train perturbed-mean d.h5ad --label perturbation --covariate cell_type -o a.scgx",
        "predict a.scgx d.h5ad -o p.h5ad",
    ):
        done = forked(*line.split(), cwd=tmp_path)
        assert done.code == 0, done.err
    facts, err = told(forked, tmp_path, "d.h5ad p.h5ad")
    assert facts["metrics"][R]["replicate"]["mean"] < 0.2
    assert all("cannot be scored" in verdict["sentence"] for verdict in facts["verdicts"])
    assert "cannot be scored" in err and "A172" in err


def test_labels_with_tabs_and_line_ends_leave_tables_whole(forked: Zygote, tmp_path: Path) -> None:
    odd = effects(["a\tb", "G1\nG2", "A0", "A1"])
    truth = screen(odd, ["a\tb", "G1\nG2"])
    truth.write(tmp_path / "t.h5ad")
    predicted(truth, {name: odd[name] for name in ("a\tb", "G1\nG2")}).write(tmp_path / "g.h5ad")
    done = forked("score", "t.h5ad", "g.h5ad", "--table", "t.tsv", cwd=tmp_path)
    assert done.code == 0 and rb"a\tb " in done.out and rb"G1\nG2 " in done.out
    for table in (tmp_path / "t.tsv").read_text().split("\n\n"):
        rows = [line for line in table.splitlines() if not line.startswith("#")]
        assert len({line.count("\t") for line in rows if line}) <= 1, table
