"""`scgx tune`: trials are plain trainings, chosen on validation rows, and nothing done is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest
from support.processes import command, environment, fresh, shell

import scgx
from scgx.errors import DataError, InputError, MachineError, UsageError
from scgx.learn import artifact, tune_study

LABELS = {"label": "cell_type", "quiet": True}
SPACE = "C = { low = 1e-3, high = 1.0, log = true }\nscale = ['none', 'deviation']\n"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Split demo cells: small, and hard enough that trials differ."""
    folder = tmp_path_factory.mktemp("tune")
    whole, parted = folder / "d.h5ad", folder / "s.h5ad"
    scgx.fetch("demo", output=str(whole), cells=160, genes=24, peaks=40, quiet=True)
    scgx.split(str(whole), str(parted), stratify="cell_type", quiet=True)
    (folder / "space.toml").write_text(SPACE)
    return parted


def board(output: Path) -> list[dict[str, Any]]:
    """The trials as --table has them, in the order of their numbers."""
    lines = [line.split("\t") for line in output.with_suffix(".tsv").read_text().splitlines()]
    rows = [dict(zip(lines[0], line)) for line in lines[1:]]
    return sorted(rows, key=lambda row: int(row["trial"]))


def searched(cells: Path, output: Path, **options: Any) -> list[dict[str, Any]]:
    """Trials of logistic, in this process."""
    given = {"trials": 5, "space": cells.parent / "space.toml", "metric": "f1-macro"}
    given |= LABELS | options
    scgx.tune("logistic", str(cells), str(output), table=output.with_suffix(".tsv"), **given)
    return board(output)


def points(rows: list[dict[str, Any]], metric: str = "f1-macro") -> list[tuple[str, str, str]]:
    return [(row["C"], row["scale"], row[metric]) for row in rows]


def test_the_best_trial_is_the_output_and_what_its_command_line_makes(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = searched(cells, tmp_path / "best.scgx")
    shown = capsys.readouterr().out.splitlines()
    assert len(rows) == 5 and shown[0].split()[:3] == ["trial", "state", "f1-macro"]
    best = max(rows, key=lambda row: (float(row["f1-macro"]), -int(row["trial"])))
    found = artifact.read(tmp_path / "best.scgx")
    assert found.header.config["C"] == float(best["C"])
    record = json.loads(found.header.history[-1])
    assert record["search"]["trial"] == int(best["trial"])
    assert record["search"]["command"].startswith("scgx tune logistic")
    words = record.pop("search") and record["command"].replace("best.scgx", "again.scgx")
    assert shell(f"{words} -q", cwd=tmp_path).code == 0
    again = artifact.read(tmp_path / "again.scgx")
    assert again.id == found.id and again.members == found.members
    one = replace(found.header, history=[]), replace(again.header, history=[])
    assert one[0] == one[1]


def test_the_first_trial_has_the_defaults(cells: Path, tmp_path: Path) -> None:
    rows = searched(cells, tmp_path / "a.scgx", trials=1)
    assert (rows[0]["C"], rows[0]["scale"]) == ("0.03", "none")


def test_test_rows_are_never_read(cells: Path, tmp_path: Path) -> None:
    """Other values and other labels in the test rows change nothing of the search."""
    other = tmp_path / "other.h5ad"
    other.write_bytes(cells.read_bytes())
    with h5py.File(other, "r+") as file:
        split = file["obs/split"]
        names = split["categories"].asstr()[:].tolist()
        test = split["codes"][:] == names.index("test")
        file["obs/cell_type/codes"][:] = [
            0 if t else c for t, c in zip(test, file["obs/cell_type/codes"][:])
        ]
        start, values = file["X/indptr"][:], file["X/data"][:]
        for row in test.nonzero()[0]:
            values[start[row] : start[row + 1]] = 7
        file["X/data"][:] = values
    given = {"trials": 3, "metric": "nll", "space": cells.parent / "space.toml"}
    one = searched(cells, tmp_path / "a.scgx", **given)
    two = searched(other, tmp_path / "b.scgx", **given)
    assert test.sum() > 10 and len({row["nll"] for row in one}) == 3
    assert points(one, "nll") == points(two, "nll")


def test_the_same_command_goes_on_and_ends_as_if_uninterrupted(cells: Path, tmp_path: Path) -> None:
    whole = searched(cells, tmp_path / "a.scgx", trials=6)
    first = searched(cells, tmp_path / "b.scgx", trials=2)
    later = searched(cells, tmp_path / "b.scgx", trials=6)
    assert later[:2] == first
    assert points(later) == points(whole)
    again = searched(cells, tmp_path / "b.scgx", trials=6)
    assert again == later


def begun(cells: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    """A long search in a process of its own, once a trial of it has come to an end."""
    words = ["tune", "logistic", str(cells), "--label", "cell_type", "--trials", "400", *more]
    words += ["--metric", "f1-macro"]
    process = subprocess.Popen(
        command(*words, "--space", str(cells.parent / "space.toml"), "-o", str(output)),
        env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    journal = Path(f"{output}.study") / tune_study.JOURNAL
    while process.poll() is None:
        if journal.exists() and journal.read_bytes().count(b'"values":[') >= 2:
            break
        time.sleep(0.02)
    assert process.poll() is None
    return process


@pytest.mark.parametrize("more", [(), ("--jobs", "2")])
def test_a_search_that_was_killed_loses_nothing_but_what_was_running(
    cells: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    process = begun(cells, tmp_path / "a.scgx", *more)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    journal = tmp_path / "a.scgx.study" / tune_study.JOURNAL
    done = journal.read_bytes().count(b'"values":[')
    assert not (tmp_path / "a.scgx").exists()
    with open(journal, "ab") as file:
        file.write(b'{"op_code": 4, "wor')  # and a line that was never finished
    rows = searched(cells, tmp_path / "a.scgx", trials=done + 1)
    assert {row["state"] for row in rows} == {"complete"} and len(rows) >= done
    assert len({(row["C"], row["scale"]) for row in rows}) == len(rows)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".scgx")]
    if not more:
        clean = searched(cells, tmp_path / "b.scgx", trials=len(rows))
        assert points(rows) == points(clean)


def test_ctrl_c_leaves_the_search_to_go_on_with(cells: Path, tmp_path: Path) -> None:
    process = begun(cells, tmp_path / "a.scgx", "--jobs", "2")
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["a.scgx.study"]
    text = (tmp_path / "a.scgx.study" / tune_study.JOURNAL).read_text()
    rows = searched(cells, tmp_path / "a.scgx", trials=text.count('"values":['))
    assert {row["state"] for row in rows} == {"complete"}


def test_processes_share_a_search_and_no_trial_is_done_twice(cells: Path, tmp_path: Path) -> None:
    rows = searched(cells, tmp_path / "a.scgx", trials=7, jobs=2)
    assert len(rows) == 7 and {row["state"] for row in rows} == {"complete"}
    assert len({(row["C"], row["scale"]) for row in rows}) == 7


def test_emitted_commands_make_the_models_that_collect_reads_back(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = str(tmp_path / "a.scgx")
    given = {"trials": 3, "space": cells.parent / "space.toml", "metric": "f1-macro"} | LABELS
    scgx.tune("logistic", str(cells), output, emit="commands", **given)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and all(line.startswith("scgx train logistic ") for line in lines)
    with pytest.raises(DataError, match="no trial came to its end"):
        scgx.tune("logistic", str(cells), output, collect=True, **given)
    for line in lines[:2]:
        assert shell(f"{line} -q", cwd=tmp_path).code == 0
    capsys.readouterr()
    scgx.tune("logistic", str(cells), output, collect=True, **given)
    said = capsys.readouterr()
    assert "1 of 3 emitted trials have made no model yet" in said.err
    assert said.out.count("complete") == 2 and said.out.count("running") == 1
    scgx.tune("logistic", str(cells), output, emit="commands", **given)
    assert capsys.readouterr().out.splitlines() == lines[2:]
    plain = searched(cells, tmp_path / "b.scgx", trials=3)
    collected = {line.split()[0]: line.split()[2] for line in said.out.splitlines()[1:3]}
    for row in plain[:1]:
        assert float(collected[row["trial"]]) == pytest.approx(float(row["f1-macro"]), abs=1e-4)


def test_a_model_of_another_command_line_is_not_collected(cells: Path, tmp_path: Path) -> None:
    given = {"trials": 1, "space": cells.parent / "space.toml"} | LABELS
    scgx.tune("logistic", str(cells), str(tmp_path / "a.scgx"), emit="commands", **given)
    model = tmp_path / "a.scgx.study" / "0000.scgx"
    scgx.train("logistic", str(cells), str(model), label="cell_type", set_=["C=9"], quiet=True)
    with pytest.raises(DataError, match="not the model of its command line"):
        scgx.tune("logistic", str(cells), str(tmp_path / "a.scgx"), collect=True, **given)


def test_a_grid_is_walked_once(cells: Path, tmp_path: Path) -> None:
    space = tmp_path / "grid.toml"
    space.write_text("C = [0.03, 0.3]\nscale = ['none', 'deviation']\n")
    rows = searched(cells, tmp_path / "a.scgx", trials=20, sampler="grid", space=space)
    assert sorted((row["C"], row["scale"]) for row in rows) == [
        ("0.03", "deviation"), ("0.03", "none"), ("0.3", "deviation"), ("0.3", "none"),
    ]  # fmt: skip


@pytest.mark.torch
def test_trials_behind_the_median_are_stopped_and_the_picture_and_json_tell(
    cells: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.toml"
    space.write_text("lr = [0.001, 0.003, 0.01, 0.00001, 0.000001, 0.0000001]\n")
    scgx.tune(
        "mlp", str(cells), str(tmp_path / "a.scgx"), trials=7, space=space, sampler="grid",
        source="atac", target="rna", set_=["epochs=6", "members=1", "hidden=8"], quiet=True,
        json=True, plot=tmp_path / "a.svg",
    )  # fmt: skip
    told = json.loads(capsys.readouterr().out)
    states = [trial["state"] for trial in told["trials"]]
    assert told["metric"] == "pearson-per-feature" and "pruned" in states
    assert all(t["epochs"] < 6 for t in told["trials"] if t["state"] == "pruned")
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize("model", ["one-hot-ridge", "linear"])
def test_responses_are_searched_by_validation_perturbations(model: str, tmp_path: Path) -> None:
    screen, parted = str(tmp_path / "d.h5ad"), str(tmp_path / "s.h5ad")
    scgx.simulate(output=screen, cells=600, genes=40, perturbations=6, doubles=8, quiet=True)
    scgx.split(screen, parted, by="perturbation", quiet=True)
    output = tmp_path / "a.scgx"
    scgx.tune(
        model, parted, str(output), label="perturbation", trials=3, quiet=True,
        table=output.with_suffix(".tsv"),
    )  # fmt: skip
    values = [float(row["pearson-delta"]) for row in board(output)]
    assert len(values) == 3 and max(values) > 0.2 and max(values) <= 1


def refused(error: type[Exception], words: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(error, match=words):
        scgx.tune(*arguments, **({"quiet": True} | options))


def test_what_cannot_be_searched_is_refused_and_leaves_nothing(cells: Path, tmp_path: Path) -> None:
    output, data = str(tmp_path / "a.scgx"), str(cells)
    labels = {"label": "cell_type"}
    refused(DataError, "no column 'cell_typ'", "logistic", data, output, label="cell_typ")
    refused(UsageError, "--metric f1 is none", "logistic", data, output, metric="f1", **labels)
    refused(UsageError, "C is searched", "logistic", data, output, set_=["C=1"], **labels)
    refused(DataError, "no objective", "pca", data, output)
    refused(
        DataError, "keeps no validation loss", "logistic", data, output, metric="loss", **labels
    )
    refused(UsageError, "where are the models", "logistic", data, "-", emit="commands", **labels)
    refused(
        UsageError, "does nothing else", "logistic", data, output, emit="commands", jobs=2, **labels
    )
    refused(UsageError, "two outputs", "logistic", data, "-", json=True, **labels)
    bare = tmp_path / "n.h5ad"
    scgx.split(
        str(cells.parent / "d.h5ad"), str(bare), by="donor", fractions="0.7,0,0.3", quiet=True
    )
    refused(DataError, "no validation rows", "logistic", str(bare), output, **labels)
    assert [path.name for path in tmp_path.iterdir()] == ["n.h5ad"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"metric": "nll"}, "metric f1-macro, not nll"),
        ({"set_": ["iterations=50"]}, "options"),
        ({"space": None}, "its space differs"),
    ],
)
def test_the_journal_of_another_search_is_refused(
    cells: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    searched(cells, tmp_path / "a.scgx", trials=1)
    before = (tmp_path / "a.scgx").read_bytes()
    with pytest.raises(DataError, match=words):
        searched(cells, tmp_path / "a.scgx", trials=2, **change)
    assert (tmp_path / "a.scgx").read_bytes() == before


@pytest.mark.parametrize("text", ["garbage\n", '{"a": 1}\n', "[]\n", "\x00\xff\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(
    cells: Path, tmp_path: Path, text: str
) -> None:
    journal = tmp_path / "a.scgx.study" / tune_study.JOURNAL
    journal.parent.mkdir()
    journal.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match="no journal of a search"):
        searched(cells, tmp_path / "a.scgx", trials=1)
    assert journal.read_text(encoding="latin-1") == text


def test_without_optuna_one_line_says_what_to_install(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MachineError, match="needs Optuna.*scgx\\[tune\\]"):
        searched(cells, tmp_path / "a.scgx", trials=1)
    assert not list(tmp_path.iterdir())


def test_a_pipe_is_searched_and_the_model_poured(cells: Path, tmp_path: Path) -> None:
    line = "scgx tune logistic --label cell_type --trials 2 --jobs 2"
    done = shell(f"set -o pipefail\ncat {cells} | {line} > {tmp_path}/m.scgx", cwd=tmp_path)
    assert done.code == 0, done.err
    assert artifact.read(tmp_path / "m.scgx").header.model == "logistic"
    assert [path.name for path in tmp_path.iterdir()] == ["m.scgx"]


def test_the_space_that_ships_can_be_printed() -> None:
    done = fresh("tune", "logistic", "--print-space")
    assert done.code == 0 and b"C = {" in done.out
