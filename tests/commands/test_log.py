"""`scgx log --as`: a history is a workflow that makes the same file again."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import environment, fresh, shell

import scgx
from scgx.commands import _log_workflow as workflow
from scgx.errors import DataError


def record(command: str, *inputs: str) -> dict[str, object]:
    return {
        "program": "scgx", "version": "1", "command": command,
        "inputs": [{"name": name, "id": "0"} for name in inputs],
    }  # fmt: skip


LINES = (
    "scgx fetch demo -q --cells 60 --genes 20 --peaks 40 | scgx split -q --by donor > s.h5ad",
    "scgx train ridge s.h5ad -q --from atac --to rna -o models/r.scgx",
    "scgx predict models/r.scgx s.h5ad -q --rows all -o 'a guess.h5ad'",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a few commands have made 'a guess.h5ad'."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "models").mkdir()
    for line in LINES:
        done = shell(f"set -o pipefail\n{line}", cwd=folder)
        assert done.code == 0, done.err
    return folder


def test_the_makefile_makes_the_same_file(made: Path, tmp_path: Path) -> None:
    make = shutil.which("make")
    assert make is not None
    done = fresh("log", made / "a guess.h5ad", "--as", "make")
    assert done.code == 0
    (tmp_path / "Makefile").write_bytes(done.out)
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    ended = subprocess.run(
        [make], cwd=tmp_path, env=environment(PATH=path), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "a guess.h5ad").read_bytes() == (made / "a guess.h5ad").read_bytes()
    again = subprocess.run([make], cwd=tmp_path, capture_output=True, text=True)
    assert "up to date" in again.stdout


def test_the_script_makes_the_same_file(made: Path, tmp_path: Path) -> None:
    done = fresh("log", made / "a guess.h5ad")
    assert done.code == 0 and b"--by donor > s.h5ad" in done.out
    (tmp_path / "models").mkdir()
    ended = shell(f"set -euo pipefail\n{done.out.decode()}", cwd=tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "a guess.h5ad").read_bytes() == (made / "a guess.h5ad").read_bytes()


def test_a_script_of_what_was_written_twice_is_as_it_was_said() -> None:
    records = [record("scgx hvg -o a", "b"), record("scgx qc a -o a", "a")]
    assert workflow.script(records, "a") == ["scgx hvg -o a", "scgx qc a -o a"]


def test_the_snakefile_makes_the_same_file(made: Path, tmp_path: Path) -> None:
    done = fresh("log", made / "models" / "r.scgx", "--as", "snakemake")
    assert done.code == 0
    text = done.out.decode()
    assert text.count("rule ") == 3 and 'output: "models/r.scgx"' in text
    path = f"{Path(sys.executable).parent}:{environment()['PATH']}"
    program = shutil.which("snakemake", path=path)
    if program is None:
        return
    (tmp_path / "Snakefile").write_text(text)
    ended = subprocess.run(
        [program, "-c1", "-q"],
        cwd=tmp_path,
        env=environment(PATH=path),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "models/r.scgx").read_bytes() == (made / "models/r.scgx").read_bytes()


def test_a_pipe_is_one_step_and_what_went_to_stdout_has_the_name_that_was_read(made: Path) -> None:
    records = json.loads(fresh("log", made / "a guess.h5ad", "--json").out)
    plan = workflow.steps(records, "x")
    assert [step.output for step in plan] == ["s.h5ad", "models/r.scgx", "a guess.h5ad"]
    assert plan[0].line.endswith("--by donor > s.h5ad") and " | " in plan[0].line
    assert plan[2].inputs == ("s.h5ad", "models/r.scgx")


def test_files_that_no_step_makes_are_needed() -> None:
    [step] = workflow.steps([record("scgx split a.h5ad --by donor", "a.h5ad")], "stdin")
    assert step.inputs == ("a.h5ad",) and step.output == "result.h5ad"
    assert step.line == "scgx split a.h5ad --by donor > result.h5ad"


def test_a_last_step_that_wrote_to_stdout_has_the_name_of_the_file() -> None:
    records = [record("scgx fetch a"), record("scgx train ridge d.h5ad", "d.h5ad")]
    assert [step.output for step in workflow.steps(records, "x/m.scgx")] == ["d.h5ad", "m.scgx"]


def test_two_parents_on_stdout_get_their_names_in_order() -> None:
    records = [
        record("scgx fetch a"), record("scgx fetch b"),
        record("scgx join r.h5ad t.h5ad -o j.h5ad", "r.h5ad", "t.h5ad"),
    ]  # fmt: skip
    assert [step.output for step in workflow.steps(records, "x")] == ["r.h5ad", "t.h5ad", "j.h5ad"]


def test_a_redirected_stdin_is_redirected_again() -> None:
    records = [record("scgx fetch a -o 'b c.h5ad'"), record("scgx split -o d.h5ad", "stdin")]
    assert workflow.steps(records, "x")[1].line == "scgx split -o d.h5ad < 'b c.h5ad'"


def test_letters_of_make_and_of_snakemake_mean_themselves() -> None:
    records = [
        record("scgx fetch a -o 'a b$#%.h5ad'"),
        record("scgx log '{x}' -o y.h5ad", "a b$#%.h5ad"),
    ]
    plan = workflow.steps(records, "x")
    assert "a\\ b$$\\#\\%.h5ad:" in workflow.makefile(plan)
    assert "{{x}}" in workflow.snakefile(plan)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([], "has no history"),
        ([record("scgx hvg a -o a", "a"), record("scgx qc a -o a", "a")], "more than once"),
        ([record("scgx hvg 'a\nb' -o c", "a")], "line break"),
    ],
)
def test_what_is_no_workflow_is_refused(records: list[dict[str, object]], words: str) -> None:
    with pytest.raises(DataError, match=words):
        workflow.steps(records, "x")


def test_json_and_a_workflow_are_two_forms(tmp_path: Path) -> None:
    scgx.fetch("demo", output=str(tmp_path / "d.h5ad"), cells=20, quiet=True)
    done = fresh("log", tmp_path / "d.h5ad", "--json", "--as", "make")
    assert done.code == 2 and "two forms" in done.line()
