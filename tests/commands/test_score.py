"""`scgx score`: what it prints is right, and what cannot be scored honestly is refused."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse, stats

from scgx import cli
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.names import hash_names
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create

N, GENES, PEAKS = 240, 30, 40


@dataclass(frozen=True)
class Table:
    """Cells of a test: names, features, values, columns of obs, and uns["scgx"]."""

    names: np.ndarray
    features: np.ndarray
    X: np.ndarray
    obs: dict[str, np.ndarray] = field(default_factory=dict)
    types: np.ndarray | None = None
    scgx: dict[str, object] = field(default_factory=dict)
    layers: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, rows: np.ndarray, columns: np.ndarray | None = None) -> "Table":
        columns = np.arange(len(self.features)) if columns is None else columns
        types = None if self.types is None else self.types[columns]
        obs = {name: values[rows] for name, values in self.obs.items()}
        layers = {name: values[rows][:, columns] for name, values in self.layers.items()}
        return replace(
            self, names=self.names[rows], features=self.features[columns],
            X=self.X[rows][:, columns], obs=obs, types=types, layers=layers,
        )  # fmt: skip

    def write(self, path: Path, storage: str = "csr") -> Path:
        types = np.full(len(self.features), "Gene Expression") if self.types is None else self.types
        with create(path) as out:
            numeric = {k: v for k, v in self.obs.items() if v.dtype.kind == "f"}
            words = {k: categorical(v) for k, v in self.obs.items() if v.dtype.kind != "f"}
            out.frame("obs", Frame(self.names.astype(object), {**words, **numeric}))
            var = {"feature_types": categorical(types)}
            out.frame("var", Frame(self.features.astype(object), var))
            for key, values in {"X": self.X, **self.layers}.items():
                with out.matrix(
                    key, len(self.features), np.float32, is_sparse=storage != "dense"
                ) as add:
                    add(values if storage == "dense" else sparse.csr_array(values))
            for key, value in self.scgx.items():
                out.uns(f"scgx/{key}", value)
        return path


def logged(counts: np.ndarray, totals: np.ndarray | None = None) -> np.ndarray:
    totals = counts.sum(axis=1) if totals is None else totals
    return np.log1p(counts / np.where(totals > 0, totals, 1)[:, None] * 1e4).astype(np.float32)


def truth_table(groups: int = 6, seed: int = 0) -> Table:
    """Two modalities, a hidden state that drives both, donors, types, a split by donor."""
    rng = np.random.default_rng(seed)
    state = rng.integers(0, 3, N)
    gene_levels = rng.gamma(1.0, 2.0, (3, GENES))
    peak_levels = rng.uniform(0.05, 0.6, (3, PEAKS))
    genes = rng.poisson(gene_levels[state]).astype(np.float32)
    genes[:, 0] = 0
    peaks = rng.binomial(1, peak_levels[state]).astype(np.float32)
    donor = np.array([f"d{i % (2 * groups):02d}" for i in range(N)])
    split = np.where(np.array([int(d[1:]) for d in donor]) < groups, "train", "test")
    features = np.array(
        [f"G{i}" for i in range(GENES)] + [f"chr1:{i}00-{i}50" for i in range(PEAKS)]
    )
    return Table(
        np.array([f"cell{i:03d}" for i in range(N)]),
        features,
        np.hstack([genes, peaks]),
        {"donor": donor, "type": np.array(["a", "b", "c"])[state], "split": split},
        np.array(["Gene Expression"] * GENES + ["Peaks"] * PEAKS),
        {
            "split": json.dumps({"by": "donor", "id": "s1"}),
            "units": {"X": {"rna": "counts", "atac": "counts"}},
        },
    )


def guess_of(truth: Table, values: np.ndarray | None = None, name: str = "guesser") -> Table:
    """A prediction of the genes of the test rows: the true type's training mean, a little noisy."""
    genes = np.arange(GENES)
    y = logged(truth.X[:, genes])
    test, train = truth.obs["split"] == "test", truth.obs["split"] == "train"
    if values is None:
        kind = truth.obs["type"]
        means = {t: y[train & (kind == t)].mean(axis=0) for t in set(kind)}
        values = np.stack([means[t] for t in kind])
        values = values + np.random.default_rng(1).normal(0, 0.1, values.shape)
    made = truth.take(np.flatnonzero(test), genes)
    scgx = {
        "task": "modality",
        "model": json.dumps({"name": name, "from": "atac"}),
        "units": {"X": {"rna": "log1p-cp10k"}},
        "split_id": "s1",
        "train_cells": np.sort(hash_names(truth.names[train])),
        "train_mean": y[train].mean(axis=0).astype(np.float32),
    }
    return replace(made, X=np.asarray(values)[test].astype(np.float32), scgx=scgx)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    truth = truth_table()
    return truth.write(tmp_path / "t.h5ad"), guess_of(truth).write(tmp_path / "g.h5ad", "dense")


def run(capsys: pytest.CaptureFixture, *words: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    ended = cli.run(["score", *map(str, words)])
    out, err = capsys.readouterr()
    assert ended == code, err
    return out, err


def facts(capsys: pytest.CaptureFixture, *words: object) -> dict:
    return json.loads(run(capsys, *words, "--json")[0])


def value(found: dict, metric: str, name: str = "guesser") -> float:
    return found["metrics"][metric]["values"][name]["value"]


def test_the_headline_equals_scipy_on_the_test_rows(files, capsys):
    truth = truth_table()
    guess = guess_of(truth)
    y = logged(truth.X[:, :GENES])[truth.obs["split"] == "test"]
    expected = [
        stats.pearsonr(y[:, g], guess.X[:, g]).statistic if np.ptp(y[:, g]) else 0.0
        for g in range(GENES)
    ]
    found = facts(capsys, *files)
    assert value(found, "pearson_per_feature") == pytest.approx(np.mean(expected), rel=1e-5)
    assert found["metrics"]["pearson_per_feature"]["values"]["guesser"]["n_degenerate"] == 1
    assert value(found, "mse") == pytest.approx(((y - guess.X) ** 2).mean(), rel=1e-5)
    assert found["n_cells"] == N // 2 and found["n_features"] == GENES


def test_trivial_baselines_come_unasked_and_the_verdict_names_the_best(files, capsys):
    out, err = run(capsys, *files)
    assert "guesser beats the best baseline, mean" in out
    assert "6 groups of 'donor'" in out
    assert "log1p-cp10k" in err
    found = facts(capsys, *files)
    for metric in ("pearson_per_feature", "r2_oos"):
        assert value(found, metric, "mean") == pytest.approx(0, abs=1e-12)
    assert found["kinds"]["random-cell"] == "control"
    assert value(found, "pearson_per_feature", "truth") == pytest.approx(1 - 1 / GENES)
    scaled = found["metrics"]["pearson_per_feature"]["values"]["guesser"]["scaled"]
    reached = value(found, "pearson_per_feature")
    ceiling = found["metrics"]["pearson_per_feature"]["replicate"]["mean"]
    assert scaled == pytest.approx(reached / ceiling)


def test_order_of_rows_and_columns_changes_nothing(files, tmp_path, capsys):
    truth, rng = truth_table(), np.random.default_rng(4)
    guess = guess_of(truth)
    moved = truth.take(rng.permutation(N), rng.permutation(GENES + PEAKS)).write(
        tmp_path / "m.h5ad"
    )
    columns = rng.permutation(GENES)
    scgx = {**guess.scgx, "train_mean": guess.scgx["train_mean"][columns]}
    other = replace(guess.take(rng.permutation(len(guess.names)), columns), scgx=scgx)
    one = facts(capsys, *files, "--label", "type")
    two = facts(capsys, moved, other.write(tmp_path / "o.h5ad"), "--label", "type")
    for metric, first in one["metrics"].items():
        second = two["metrics"][metric]
        assert first["digest"] == second["digest"]
        for name, result in first["values"].items():
            assert result["value"] == pytest.approx(second["values"][name]["value"], rel=1e-9)
            if result["interval"] is not None:
                expected = second["values"][name]["interval"]
                assert result["interval"] == pytest.approx(expected, rel=1e-7, abs=1e-9)
        if first["replicate"]:
            assert first["replicate"]["mean"] == pytest.approx(second["replicate"]["mean"])


@pytest.mark.parametrize("storage", ["csr", "dense"])
def test_storage_and_memory_change_nothing(files, tmp_path, capsys, storage):
    truth = truth_table().write(tmp_path / "s.h5ad", storage)
    one = facts(capsys, *files)
    two = facts(capsys, truth, files[1], "--memory", "16M")
    for metric in one["metrics"]:
        assert value(one, metric) == pytest.approx(value(two, metric), rel=1e-9)


def test_shuffled_names_score_at_chance(files, tmp_path, capsys):
    guess = guess_of(truth_table())
    names = np.random.default_rng(0).permutation(guess.names)
    wrong = replace(guess, names=names).write(tmp_path / "w.h5ad")
    found = facts(capsys, files[0], wrong)
    assert abs(value(found, "pearson_per_feature")) < 0.05
    assert "is no better than" in found["verdicts"][0]["sentence"]


def test_the_training_mean_is_no_better_than_itself(files, tmp_path, capsys):
    truth = truth_table()
    y = logged(truth.X[:, :GENES])
    mean = np.tile(y[truth.obs["split"] == "train"].mean(axis=0), (N, 1))
    flat = guess_of(truth, mean, name="mean").write(tmp_path / "f.h5ad")
    found = facts(capsys, files[0], flat)
    assert value(found, "pearson_per_feature", "mean") == 0
    assert found["kinds"]["mean"] == "guess" and "mean (baseline)" in found["kinds"]
    assert "is no better than" in found["verdicts"][0]["sentence"]


def test_the_truth_as_a_guess_gets_a_warning_and_no_verdict(files, tmp_path, capsys):
    copy = guess_of(truth_table(), logged(truth_table().X[:, :GENES])).write(tmp_path / "c.h5ad")
    for guess, name in ((files[0], "t"), (copy, "guesser")):
        out, err = run(capsys, files[0], guess, "--modality", "rna", "-q")
        assert f"warning: {name} equals the truth on all scored values" in err
        assert out.splitlines()[-1].startswith(f"{name} equals the truth on all scored values")
        assert "beats" not in out


def test_warnings_are_in_the_json_too(files, tmp_path, capsys):
    copy = guess_of(truth_table(), logged(truth_table().X[:, :GENES])).write(tmp_path / "c.h5ad")
    out, err = run(capsys, files[0], copy, "--json", "-q")
    assert "warning: guesser equals the truth on all scored values" in err
    notes = json.loads(out)["notes"]
    assert any(note.startswith("guesser equals the truth on all scored values") for note in notes)


def test_cells_in_no_part_of_the_split_are_counted(files, tmp_path, capsys):
    truth = truth_table()
    parts = truth.obs["split"].astype(object)
    parts[np.flatnonzero(truth.obs["split"] == "train")[:7]] = None
    obs = {**truth.obs, "split": parts}
    path = replace(truth, obs=obs).write(tmp_path / "some.h5ad")
    words = f"7 of {N} cells have no part in obs['split'] and are not scored"
    _, err = run(capsys, path, files[1])
    assert words in err
    assert words in facts(capsys, path, files[1])["notes"]
    assert "no part" not in run(capsys, *files)[1]


def test_of_very_few_cells_an_interval_holds_its_value_or_is_left_out_and_that_is_said(
    files, tmp_path, capsys
):
    truth = truth_table()
    test = np.flatnonzero(truth.obs["split"] == "test")
    for few in (3, 5, 8):
        parts = truth.obs["split"].astype(object)
        parts[test[few:]] = None
        path = replace(truth, obs={**truth.obs, "split": parts}).write(tmp_path / "few.h5ad")
        guess = guess_of(replace(truth, obs={**truth.obs, "split": parts}))
        found = facts(capsys, path, guess.write(tmp_path / "g.h5ad", "dense"))
        for name, metric in found["metrics"].items():
            one = metric["values"]["guesser"]
            if one["interval"] is not None:
                assert one["interval"][0] <= one["value"] + 1e-9, name
                assert one["interval"][1] >= one["value"] - 1e-9, name
        left_out = found["metrics"]["pearson_per_feature"]["values"]["guesser"]["interval"] is None
        said = [note for note in found["notes"] if note.startswith("guesser: no interval of")]
        assert any("pearson_per_feature" in note for note in said) == left_out


def test_guesses_of_one_model_all_go_by_their_files_and_others_by_their_models(
    files, tmp_path, capsys
):
    again = guess_of(truth_table()).write(tmp_path / "again.h5ad")
    other = guess_of(truth_table(), name="other").write(tmp_path / "third.h5ad")
    out, _ = run(capsys, *files, again, other)
    header = out.splitlines()[1].split()
    assert header[2:5] == ["g", "again", "other"]
    assert sum("beats the best baseline" in line for line in out.splitlines()) == 3


def test_no_guess_goes_by_the_name_of_a_column_of_ours(files, tmp_path, capsys):
    names = [tmp_path / "truth.h5ad", tmp_path / "replicate.h5ad"]
    more = [guess_of(truth_table()).write(name) for name in names]
    out, _ = run(capsys, *files, *more, "--json")
    kinds = json.loads(out)["kinds"]
    assert kinds["truth"] == "ceiling" and kinds["truth'"] == kinds["replicate'"] == "guess"


class TestRefusals:
    def refused(self, capsys, *words, code=4) -> str:
        out, err = run(capsys, *words, code=code)
        assert out == ""
        lines = [line for line in err.splitlines() if "as the guess" not in line]
        assert len(lines) >= 1 and len(lines[-1]) <= 200
        return lines[-1]

    def test_rows_that_the_truth_lacks(self, files, tmp_path, capsys):
        guess = guess_of(truth_table())
        names = guess.names.astype(object)
        names[3] = "stranger"
        line = self.refused(
            capsys, files[0], replace(guess, names=names).write(tmp_path / "x.h5ad")
        )
        assert "1 of 120 rows" in line and "stranger" in line

    def test_duplicate_names(self, files, tmp_path, capsys):
        guess = guess_of(truth_table())
        names = guess.names.copy()
        names[3] = names[4]
        wrong = replace(guess, names=names).write(tmp_path / "x.h5ad")
        assert "more than once" in self.refused(capsys, files[0], wrong)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_that_are_no_numbers(self, files, tmp_path, capsys, bad):
        guess = guess_of(truth_table())
        guess.X[2, 3] = guess.X[5, 1] = bad
        line = self.refused(capsys, files[0], guess.write(tmp_path / "x.h5ad", "dense"))
        assert "2 predicted values are NaN or infinite" in line

    def test_a_scored_cell_that_was_trained_on_under_the_same_split(self, files, tmp_path, capsys):
        guess = guess_of(truth_table())
        seen = np.concatenate([guess.scgx["train_cells"], hash_names(guess.names[:1])])
        leaky = replace(guess, scgx={**guess.scgx, "train_cells": np.sort(seen)})
        line = self.refused(capsys, files[0], leaky.write(tmp_path / "x.h5ad"))
        assert "1 of 120 scored cells were trained on" in line

    def test_many_trained_names_under_another_split(self, files, tmp_path, capsys):
        guess = guess_of(truth_table())
        seen = np.sort(hash_names(guess.names[:7]))
        leaky = replace(guess, scgx={**guess.scgx, "train_cells": seen, "split_id": "other"})
        assert "7 of 120" in self.refused(capsys, files[0], leaky.write(tmp_path / "x.h5ad"))

    def test_units_that_cannot_be_made_name_the_command(self, files, tmp_path, capsys):
        guess = guess_of(truth_table())
        odd = replace(guess, scgx={**guess.scgx, "units": {"X": {"rna": "tfidf"}}})
        line = self.refused(capsys, files[0], odd.write(tmp_path / "x.h5ad"))
        assert "scgx normalize --method tfidf" in line

    def test_unstated_units_of_negative_values_ask_for_units(self, files, tmp_path, capsys):
        guess = guess_of(truth_table())
        scgx = {k: v for k, v in guess.scgx.items() if k != "units"}
        bare = replace(guess, X=guess.X - 1, scgx=scgx).write(tmp_path / "x.h5ad")
        assert "--units" in self.refused(capsys, files[0], bare)
        assert facts(capsys, files[0], bare, "--units", "log1p-cp10k")["units"] == "log1p-cp10k"

    def test_no_shared_features_and_no_test_rows(self, files, tmp_path, capsys):
        guess = guess_of(truth_table())
        other = replace(guess, features=np.array([f"H{i}" for i in range(GENES)]))
        assert "shares no feature" in self.refused(
            capsys, files[0], other.write(tmp_path / "x.h5ad")
        )
        truth = truth_table()
        truth.obs["split"][:] = "train"
        all_train = truth.write(tmp_path / "y.h5ad")
        assert "no row has split = test" in self.refused(capsys, all_train, files[1])

    def test_stdin_twice_and_pictures_of_no_known_kind_are_usage_errors(self, files, capsys):
        assert "stdin" in self.refused(capsys, "-", "-", code=2)
        assert ".png" in self.refused(capsys, *files, "--plot", "x.gif", code=2)

    def test_an_unknown_column_baseline_or_task(self, files, capsys):
        for option in ("--label", "--per", "--covariate"):
            line = self.refused(capsys, *files, option, "donr")
            assert f"{files[0].name}: " in line and "did you mean 'donor'?" in line
        assert "no task named" in self.refused(capsys, *files, "--task", "modalty", code=2)
        line = self.refused(capsys, *files, "--baseline", "rigde", code=2)
        assert "did you mean 'ridge'?" in line and ".h5ad" not in line


def test_units_that_are_not_stated_are_named_in_a_warning(files, tmp_path, capsys):
    guess = guess_of(truth_table())
    scgx = {k: v for k, v in guess.scgx.items() if k != "units"}
    bare = replace(guess, X=np.rint(guess.X), scgx=scgx).write(tmp_path / "bare.h5ad")
    _, err = run(capsys, files[0], bare, "-q")
    assert "warning" in err and "taken for counts" in err and "--units" in err
    _, err = run(capsys, files[0], bare, "-q", "--units", "log1p-cp10k")
    assert err == ""
    assert run(capsys, *files, "-q")[1] == ""


def test_a_few_trained_names_of_another_study_are_left_out_and_counted(files, tmp_path, capsys):
    guess = guess_of(truth_table())
    seen = np.sort(hash_names(guess.names[:3]))
    other = replace(guess, scgx={**guess.scgx, "train_cells": seen, "split_id": "other"})
    found = facts(capsys, files[0], other.write(tmp_path / "o.h5ad"))
    assert found["left_out"] == 3 and found["n_cells"] == 117


def test_rows_without_a_guess_are_coverage_and_count_with_the_mean(files, tmp_path, capsys):
    truth = truth_table()
    guess = guess_of(truth)
    half = guess.take(np.arange(0, 120, 2))
    found = facts(capsys, files[0], half.write(tmp_path / "h.h5ad"))
    filled = np.tile(guess.scgx["train_mean"], (N, 1))
    test = np.flatnonzero(truth.obs["split"] == "test")
    filled[test[::2]] = half.X
    whole = facts(capsys, files[0], guess_of(truth, filled).write(tmp_path / "w.h5ad", "dense"))
    assert found["coverage"] == {"guesser": 0.5}
    assert found["n_cells"] == 120
    for metric in ("pearson_per_feature", "mse"):
        assert value(found, metric) == pytest.approx(value(whole, metric), rel=1e-6)


def test_rows_of_a_guess_that_are_no_test_rows_are_not_scored(files, tmp_path, capsys):
    truth = truth_table()
    predicted = guess_of(truth)
    every = truth.take(np.arange(N), np.arange(GENES))
    every.X[truth.obs["split"] == "test"] = predicted.X
    every = replace(every, scgx=predicted.scgx).write(tmp_path / "e.h5ad")
    found = facts(capsys, files[0], every)
    assert found["n_cells"] == 120
    assert value(found, "mse") == pytest.approx(value(facts(capsys, *files), "mse"))
    assert any("120 rows are no test rows" in note for note in found["notes"])


class TestWithoutTrainingRows:
    @pytest.fixture
    def exported(self, tmp_path):
        """A truth of test rows alone, without a split."""
        truth = truth_table()
        test = truth.take(np.flatnonzero(truth.obs["split"] == "test"))
        obs = {k: v for k, v in test.obs.items() if k != "split"}
        scgx = {"units": test.scgx["units"]}
        return replace(test, obs=obs, scgx=scgx).write(tmp_path / "test.h5ad")

    def test_the_summary_in_the_guess_gives_the_baselines(self, files, exported, capsys):
        found = facts(capsys, exported, files[1])
        assert value(found, "mse", "mean") == pytest.approx(
            value(facts(capsys, *files), "mse", "mean"), rel=1e-5
        )
        assert any("no split" in note for note in found["notes"])

    def test_a_training_file_gives_them_too(self, files, exported, tmp_path, capsys):
        guess = guess_of(truth_table())
        kept = {k: v for k, v in guess.scgx.items() if k in ("task", "units", "model")}
        bare = replace(guess, scgx=kept).write(tmp_path / "b.h5ad")
        found = facts(capsys, exported, bare, "--train", files[0])
        reference = facts(capsys, *files)
        for name in ("mean", "zeros"):
            assert value(found, "mse", name) == pytest.approx(value(reference, "mse", name))

    def test_with_neither_there_is_no_verdict_but_the_values(
        self, files, exported, tmp_path, capsys
    ):
        guess = guess_of(truth_table())
        kept = {k: v for k, v in guess.scgx.items() if k in ("task", "units", "model")}
        bare = replace(guess, scgx=kept).write(tmp_path / "b.h5ad")
        out, _ = run(capsys, exported, bare)
        assert "no baseline, so no verdict" in out
        assert value(facts(capsys, exported, bare), "pearson_per_feature") == pytest.approx(
            value(facts(capsys, *files), "pearson_per_feature")
        )


def test_totals_recorded_before_features_were_dropped_are_used(tmp_path, capsys):
    truth = truth_table()
    totals = truth.X[:, :GENES].sum(axis=1).astype(np.float64)
    kept = np.r_[np.arange(10), np.arange(GENES, GENES + PEAKS)]
    part = replace(truth, obs={**truth.obs, "total_counts_rna": totals}).take(np.arange(N), kept)
    test = truth.obs["split"] == "test"
    y = logged(truth.X[:, :GENES])[test][:, :10]
    guess = guess_of(truth)
    small = guess.take(np.arange(120), np.arange(10))
    mean = {**small.scgx, "train_mean": guess.scgx["train_mean"][:10]}
    files = part.write(tmp_path / "t.h5ad"), replace(small, scgx=mean).write(tmp_path / "g.h5ad")
    found = facts(capsys, *files)
    assert value(found, "mse") == pytest.approx(((y - small.X) ** 2).mean(), rel=1e-5)


def test_the_truth_is_read_in_counts_where_the_guess_is_counts(tmp_path, capsys):
    truth = truth_table()
    counts = truth.X[:, :GENES]
    guess = guess_of(truth, counts + 1.0)
    scgx = {**guess.scgx, "units": {"X": {"rna": "counts"}}}
    logged_truth = replace(
        truth,
        X=np.hstack([logged(counts), truth.X[:, GENES:]]),
        layers={"layers/counts": truth.X},
        scgx={**truth.scgx, "units": {"X": {"rna": "log1p-cp10k", "atac": "counts"}}},
    )
    found = facts(
        capsys,
        logged_truth.write(tmp_path / "t.h5ad"),
        replace(guess, scgx=scgx).write(tmp_path / "g.h5ad"),
    )
    assert found["units"] == "counts"
    assert value(found, "mae") == pytest.approx(1.0)


def test_covariates_and_labels_add_the_group_mean_and_the_oracle(files, capsys):
    found = facts(capsys, *files, "--covariate", "type", "--label", "type")
    assert found["kinds"]["type-mean (oracle)"] == "oracle"
    assert value(found, "mse", "group-mean") == value(found, "mse", "type-mean (oracle)")
    assert found["verdicts"][0]["baseline"] == "group-mean"
    assert abs(value(found, "pearson_within_type")) < 0.1
    assert value(found, "pearson_within_type", "truth") > 0.8
    assert value(found, "pearson_pseudobulk") > 0.7
    assert "pearson_within_type" not in facts(capsys, *files)["metrics"]


def test_under_five_groups_the_groups_are_shown_and_the_interval_is_called_optimistic(
    tmp_path, capsys
):
    truth = truth_table(groups=3)
    files = truth.write(tmp_path / "t.h5ad"), guess_of(truth).write(tmp_path / "g.h5ad")
    out, _ = run(capsys, *files)
    assert "cells, optimistic" in out and "per donor" in out
    found = facts(capsys, *files)
    assert [level["level"] for level in found["levels"]] == ["d03", "d04", "d05"]


def test_per_adds_a_table_per_level(files, capsys):
    found = facts(capsys, *files, "--per", "type")
    assert [level["level"] for level in found["levels"]] == ["a", "b", "c"]
    truth = truth_table()
    chosen = (truth.obs["split"] == "test") & (truth.obs["type"] == "b")
    y = logged(truth.X[:, :GENES])
    guess = guess_of(truth)
    rows = truth.obs["type"][truth.obs["split"] == "test"] == "b"
    expected = np.sqrt(((y[chosen] - guess.X[rows]) ** 2).mean())
    assert found["levels"][1]["values"]["guesser"]["rmse"] == pytest.approx(expected, rel=1e-5)
    assert found["levels"][1]["n"] == chosen.sum()


def test_a_shipped_model_is_fitted_on_the_training_rows_and_printed_beside(files, capsys):
    found = facts(capsys, *files, "--baseline", "ridge", "--baseline", "mean")
    assert found["kinds"]["ridge"] == "baseline"
    assert value(found, "pearson_per_feature", "ridge") > 0.1
    assert value(found, "mse", "mean (baseline)") == pytest.approx(
        value(found, "mse", "mean"), rel=1e-5
    )
    assert "frac_above" in found["metrics"]


def test_peaks_are_scored_by_their_ranks_too(tmp_path, capsys):
    from sklearn.metrics import roc_auc_score

    truth = truth_table()
    peaks = np.arange(GENES, GENES + PEAKS)
    test = np.flatnonzero(truth.obs["split"] == "test")
    part = truth.take(test, peaks)
    rng = np.random.default_rng(2)
    chance = np.clip(0.3 + 0.2 * part.X + rng.normal(0, 0.1, part.X.shape), 0, 1)
    scgx = {
        "task": "modality",
        "model": json.dumps({"name": "p"}),
        "units": {"X": {"atac": "binary"}},
    }
    guess = replace(part, X=chance.astype(np.float32), scgx=scgx).write(tmp_path / "g.h5ad")
    found = facts(capsys, truth.write(tmp_path / "t.h5ad"), guess)
    expected = np.mean([roc_auc_score(part.X[:, g], chance[:, g]) for g in range(PEAKS)])
    assert found["modality"] == "atac" and found["units"] == "binary"
    assert value(found, "auroc_peak", "p") == pytest.approx(expected, rel=1e-6)
    assert value(found, "auroc_peak", "mean") == pytest.approx(0.5)


def test_zeros_and_ones_have_no_replicate_and_it_is_said_why(tmp_path, capsys):
    truth = truth_table()
    truth = replace(truth, X=np.minimum(truth.X, 1), scgx={"split": truth.scgx["split"]})
    guess = guess_of(truth, np.full((N, GENES), 0.3) + np.arange(N)[:, None] / 1000)
    guess = replace(guess, scgx={**guess.scgx, "units": {"X": {"rna": "binary"}}})
    paths = truth.write(tmp_path / "t.h5ad"), guess.write(tmp_path / "g.h5ad")
    out, err = run(capsys, *paths, "--json")
    found = json.loads(out)
    assert found["units"] == "binary"
    assert all(one["replicate"] is None for one in found["metrics"].values())
    assert "only 0 and 1" in err


def test_tables_go_to_a_file_in_full(files, tmp_path, capsys):
    run(capsys, *files, "--table", tmp_path / "t.tsv", "--per", "type")
    text = (tmp_path / "t.tsv").read_text()
    found = facts(capsys, *files)
    assert f"\t{value(found, 'pearson_per_feature')}\t" in text
    assert text.count("\n# ") + 1 == 3


def test_json_carries_the_protocol_and_a_digest_that_follows_it(files, tmp_path, capsys):
    found = facts(capsys, *files)
    headline = found["metrics"]["pearson_per_feature"]
    assert headline["protocol"]["units"] == "log1p-cp10k"
    assert headline["protocol"]["layer"] == "X"
    assert len(headline["digest"]) == 16
    guess = guess_of(truth_table())
    fewer = guess.take(np.arange(120), np.arange(20))
    scgx = {**fewer.scgx, "train_mean": guess.scgx["train_mean"][:20]}
    other = facts(capsys, files[0], replace(fewer, scgx=scgx).write(tmp_path / "f.h5ad"))
    assert other["metrics"]["pearson_per_feature"]["digest"] != headline["digest"]


def test_pictures_are_written_and_equal_input_gives_equal_bytes(files, tmp_path, capsys):
    for name in ("a.svg", "b.svg", "c.png", "d.pdf"):
        run(capsys, *files, "--plot", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "d.pdf").read_bytes()[:4] == b"%PDF"


def test_the_oracle_of_the_snare_data_is_the_published_one(real_data, tmp_path, capsys):
    source = real_data / "multiome-snare-mouse-cortex" / "snare_rna_counts.h5ad"
    with open_cells(source) as cells:
        names = cells.obs_names.astype(str)
        counts = np.vstack([block.X.toarray() for block in cells.blocks()])
        features, kind = cells.var_names.astype(str), cells.obs.strings("cell_type")
    batch = np.array([name[:3] for name in names])
    split = np.where(np.isin(batch, ["09D", "09H", "09L"]), "test", "train")
    split[batch == "09F"] = "val"
    truth = Table(names, features, counts, {"split": split, "cell_type": kind})
    test = np.flatnonzero(split == "test")
    flat = replace(truth.take(test), X=np.zeros((len(test), len(features)), np.float32))
    flat.X[:, 0] = 0.1
    words = truth.write(tmp_path / "t.h5ad"), flat.write(tmp_path / "g.h5ad")
    found = facts(capsys, *words, "--label", "cell_type", "--units", "log1p-cp10k")
    oracle = "type-mean (oracle)"
    assert value(found, "pearson_per_feature", oracle) == pytest.approx(0.145, abs=0.002)
    assert value(found, "pearson_per_feature@200", oracle) == pytest.approx(0.292, abs=0.002)
    assert 0.09 < found["metrics"]["pearson_per_feature"]["replicate"]["mean"] < 0.12


def test_the_baselines_of_the_five_gene_sample_are_the_published_ones(real_data, tmp_path, capsys):
    import csv

    from sklearn.model_selection import train_test_split

    with open(real_data / "zhu2023-sample-5genes" / "sample.csv", newline="") as text:
        rows = list(csv.DictReader(text))
    genes = [name for name in rows[0] if name.endswith("_Expression")]
    values = np.array([[float(row[gene]) for gene in genes] for row in rows], dtype=np.float32)
    train, test = train_test_split(np.arange(len(rows)), test_size=0.2, random_state=42)
    train, val = train_test_split(train, test_size=0.25, random_state=42)
    split = np.full(len(rows), "train")
    split[test], split[val] = "test", "val"
    obs = {name: np.array([row[name] for row in rows]) for name in ("sex", "age_group")}
    units = {"units": {"X": {"rna": "log1p-counts"}}}
    names = np.array([row["Cell ID"] for row in rows])
    truth = Table(names, np.array(genes), values, {**obs, "split": split}, scgx=units)
    guess = replace(truth.take(test), X=np.zeros((len(test), 5), np.float32))
    words = truth.write(tmp_path / "t.h5ad"), guess.write(tmp_path / "g.h5ad")
    found = facts(capsys, *words, "--covariate", "age_group", "--covariate", "sex")
    assert found["units"] == "log1p-counts"
    assert value(found, "mse", "zeros") == pytest.approx(0.1861, abs=5e-4)
    assert value(found, "mse", "mean") == pytest.approx(0.1324, abs=5e-4)
    assert value(found, "mse", "group-mean") == pytest.approx(0.1298, abs=5e-4)
    assert value(found, "r2_feature", "group-mean") == pytest.approx(0.010, abs=0.002)
    assert value(found, "pearson_per_feature", "group-mean") == pytest.approx(0.091, abs=0.002)
