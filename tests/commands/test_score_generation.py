"""`scgx score --task generation`: synthetic cells beside what costs nothing, and what is refused."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from support.processes import shell

from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.names import hash_names
from scgx.h5ad.writer import create

GENES, PER_CLASS = 40, 60
KINDS = ("T1", "T2", "B")


@dataclass(frozen=True)
class Made:
    """Counts, columns of obs, names, and uns["scgx"] of a file."""

    X: np.ndarray
    obs: dict[str, np.ndarray]
    names: np.ndarray
    scgx: dict[str, object]
    units: str = "counts"

    def write(self, path: Path, genes: np.ndarray | None = None) -> Path:
        names = np.array([f"g{i}" for i in range(self.X.shape[1])], dtype=object)
        with create(path) as out:
            columns = {name: categorical(words) for name, words in self.obs.items()}
            out.frame("obs", Frame(self.names.astype(object), columns))
            kinds = {"feature_types": categorical(["Gene Expression"] * len(names))}
            out.frame("var", Frame(names if genes is None else genes, kinds))
            with out.matrix("X", len(names), np.float32) as append:
                append(sparse.csr_array(self.X.astype(np.float32)))
            out.uns("scgx/units/X/rna", self.units)
            for key, value in self.scgx.items():
                out.uns(f"scgx/{key}", value)
        return path


def drawn(seed: int, n: int, prefix: str) -> Made:
    """Cells of three kinds, two of them alike."""
    level = np.random.default_rng(9).gamma(1.0, 2.0, (3, GENES))
    level[1] = 0.6 * level[0] + 0.4 * level[1]
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    counts = rng.poisson(level[codes] * rng.gamma(8, 1 / 8, n)[:, None])
    kinds = np.array(KINDS, dtype=object)[codes]
    return Made(counts, {"kind": kinds}, np.array([f"{prefix}{i}" for i in range(n)]), {})


def real_cells() -> Made:
    made = drawn(1, 5 * PER_CLASS, "c")
    part = np.random.default_rng(2).permutation(
        np.repeat(["train", "val", "test"], [180, 60, 60])
    ).astype(object)  # fmt: skip
    split = json.dumps({"by": "", "id": "s1"})
    return replace(made, obs={**made.obs, "split": part}, scgx={"split": split})


FACTS = {
    "task": "generation", "label": "kind",
    "model": json.dumps({"name": "dreamer", "id": "x", "config": {}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory):
    """One run with everything: files, stdout, tables."""
    folder = tmp_path_factory.mktemp("generation")
    real_cells().write(folder / "real.h5ad")
    replace(drawn(5, 360, "s"), scgx=FACTS).write(folder / "made.h5ad")
    (folder / "map.tsv").write_text("T1\tT\nT2\tT\nB\tB\n")
    line = (
        "scgx score real.h5ad made.h5ad --label-map map.tsv --sample 80"
        " --table t.tsv --plot p.svg --json"
    )
    done = shell(line, cwd=folder)
    assert done.code == 0, done.err
    return folder, json.loads(done.out), done.err


def values(facts: dict, metric: str) -> dict[str, float]:
    return {name: one["value"] for name, one in facts["metrics"][metric]["values"].items()}


def test_the_file_says_the_task_and_the_column(told) -> None:
    _, facts, _ = told
    assert facts["task"] == "generation"
    kinds = {"dreamer": "guess"} | dict.fromkeys(("resample", "nb", "copula"), "baseline")
    assert facts["kinds"] == kinds


def test_true_cells_teach_as_real_ones_do_and_look_like_them(told) -> None:
    _, facts, _ = told
    ideal = facts["metrics"]["tstr@logistic"]["replicate"]["mean"]
    assert values(facts, "tstr@logistic")["dreamer"] > ideal - 0.12
    assert abs(values(facts, "rf_auroc@genes")["dreamer"] - 0.5) < 0.2
    assert 0.85 < values(facts, "dcr_ratio")["dreamer"] < 1.15
    assert facts["metrics"]["rf_auroc@genes"]["direction"] == "near 0.5"


def test_resampled_cells_are_copies_and_independent_genes_none(told) -> None:
    _, facts, _ = told
    assert values(facts, "dup_rate")["resample"] > 0.9
    assert values(facts, "dcr_ratio")["resample"] < 0.1
    assert values(facts, "dup_rate")["nb"] == 0
    assert 0.8 < values(facts, "dcr_ratio")["nb"] < 1.2


def test_coarse_classes_are_easier(told) -> None:
    _, facts, _ = told
    fine, coarse = (values(facts, f"tstr@logistic{end}")["dreamer"] for end in ("", ",coarse"))
    assert coarse > fine
    assert "coarse" in facts["metrics"]["tstr@logistic,coarse"]["protocol"]["definition"]


def test_the_table_has_three_rows_and_every_class(told) -> None:
    folder, _, _ = told
    text = (folder / "t.tsv").read_text()
    for row in ("real-real", "real-synthetic", "synthetic-real"):
        for classifier in ("xgboost", "logistic"):
            assert f"\n{row}\t{classifier}\tfine\t" in text
            assert f"\n{row}\t{classifier}\tcoarse\t" in text
    assert "# dreamer: xgboost, fine classes" in text
    assert "\nT1\t" in text and "\nmacro\t" in text and "\nmicro\t" in text
    assert "within classes" in text


def test_the_verdict_says_all_three_things(told) -> None:
    sentence = told[1]["verdicts"][0]["sentence"]
    assert "tstr@xgboost" in sentence and "of what real cells teach" in sentence
    assert "a forest" in sentence and "no copies of training cells" in sentence


def test_what_is_sampled_is_said(told) -> None:
    assert "240 of 360 cells are used, at most 80 of a class (--sample)" in told[2]


def test_the_picture_is_drawn(told) -> None:
    assert (told[0] / "p.svg").read_text().startswith("<?xml")


def refused(scgx, real: Path, made: Path, *more: object, code: int = 4) -> str:
    return scgx("score", "--task", "generation", real, made, *more, code=code).line()


def test_real_cells_without_a_split_are_refused(scgx, tmp_path: Path) -> None:
    real = drawn(1, 90, "c").write(tmp_path / "r.h5ad")
    made = drawn(2, 90, "s").write(tmp_path / "s.h5ad")
    assert "scgx split" in refused(scgx, real, made, "--label", "kind")


def test_a_file_that_does_not_say_its_label_needs_the_option(scgx, tmp_path: Path) -> None:
    real = real_cells().write(tmp_path / "r.h5ad")
    made = drawn(2, 90, "s").write(tmp_path / "s.h5ad")
    assert "--label" in refused(scgx, real, made, code=2)


def test_cells_that_are_no_counts_are_refused(scgx, tmp_path: Path) -> None:
    real = real_cells().write(tmp_path / "r.h5ad")
    made = replace(drawn(2, 90, "s"), units="log1p-cp10k").write(tmp_path / "s.h5ad")
    assert "log1p-cp10k" in refused(scgx, real, made, "--label", "kind")


def test_cells_of_a_model_that_saw_the_test_rows_are_refused(scgx, tmp_path: Path) -> None:
    whole = real_cells()
    real = whole.write(tmp_path / "r.h5ad")
    seen = {"train_cells": np.sort(hash_names(whole.names)), "split_id": "s1"}
    made = replace(drawn(2, 90, "s"), scgx=FACTS | seen).write(tmp_path / "s.h5ad")
    assert "were trained on" in refused(scgx, real, made)


def test_files_without_a_common_gene_are_refused(scgx, tmp_path: Path) -> None:
    real = real_cells().write(tmp_path / "r.h5ad")
    strange = np.array([f"x{i}" for i in range(GENES)], dtype=object)
    made = drawn(2, 90, "s").write(tmp_path / "s.h5ad", strange)
    assert "shares 0 features" in refused(scgx, real, made, "--label", "kind")


def test_cells_of_other_classes_are_refused(scgx, tmp_path: Path) -> None:
    real = real_cells().write(tmp_path / "r.h5ad")
    made = drawn(2, 90, "s")
    other = {"kind": np.array(["X", "Y"] * 45, dtype=object)}
    path = replace(made, obs=other).write(tmp_path / "s.h5ad")
    assert "none of the real classes" in refused(scgx, real, path, "--label", "kind")


def test_a_map_that_lacks_a_class_is_refused(scgx, tmp_path: Path) -> None:
    real = real_cells().write(tmp_path / "r.h5ad")
    made = drawn(2, 90, "s").write(tmp_path / "s.h5ad")
    (tmp_path / "m.tsv").write_text("T1\tT\n")
    more = ("--label", "kind", "--label-map", tmp_path / "m.tsv")
    assert "not in the label map" in refused(scgx, real, made, *more)


@pytest.mark.parametrize("option", ["--units", "--modality", "--layer"])
def test_options_of_other_tasks_are_refused(scgx, tmp_path: Path, option: str) -> None:
    real = real_cells().write(tmp_path / "r.h5ad")
    made = drawn(2, 90, "s").write(tmp_path / "s.h5ad")
    value = "rna" if option == "--modality" else "counts"
    assert option in refused(scgx, real, made, "--label", "kind", option, value, code=2)
