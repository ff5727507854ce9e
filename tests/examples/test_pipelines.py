"""The example pipelines run whole on `scgx fetch demo`, with the engines that are here."""

import os
import re
import shutil
import sys
import textwrap
from pathlib import Path

import pytest
from support.processes import Ended, shell

from scgx import __version__

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WRAPPER = EXAMPLES / "snakemake" / "wrapper" / "wrapper.py"
BIN = Path(sys.executable).parent
KILLS = """#!/usr/bin/env bash
# The first `train ridge` is killed outright while it writes.
if [ "$1 $2" = "train ridge" ] && mkdir killed 2>/dev/null; then
  "$SCGX" "$@" & pid=$!
  until compgen -G "snakemake-out/.*.part" >/dev/null || ! kill -0 $pid 2>/dev/null; do :; done
  kill -9 $pid; wait $pid; exit 137
fi
exec "$SCGX" "$@"
"""


def run(line: str, folder: Path, **env: str) -> Ended:
    return shell(f"export -f scgx\n{line}", [EXAMPLES], cwd=folder, env=env)


def snakemake(line: str, folder: Path, **env: str) -> Ended:
    """Run the engine; skips where it is not installed."""
    path = f"{BIN}:{os.environ['PATH']}"
    if not shutil.which("snakemake", path=path):
        pytest.skip("no snakemake here")
    first = env.pop("FIRST", str(BIN))
    return run(f'unset -f scgx\nPATH="{first}:{path}" snakemake -q {line}', folder, **env)


def test_the_demo_runs_and_ends_in_a_verdict(tmp_path: Path) -> None:
    ended = run('bash "$1/demo.sh" out', tmp_path, MODELS="mean ridge", CELLS="400")
    assert ended.code == 0, ended.err
    assert b"ridge beats the best baseline" in ended.out
    assert (tmp_path / "out" / "scores.tsv").exists()


@pytest.mark.torch
def test_the_demo_runs_with_a_network(tmp_path: Path) -> None:
    ended = run('bash "$1/demo.sh" out', tmp_path, MODELS="mlp", CELLS="240")
    assert ended.code == 0, ended.err


def test_pipes_join_commands_in_every_way(tmp_path: Path) -> None:
    ended = run('bash "$1/pipes.sh" out', tmp_path)
    assert ended.code == 0, ended.err
    assert {line.split(b"\t")[1] for line in ended.out.splitlines()} == {b"whole"}


def test_an_array_of_jobs_runs_one_after_the_other_without_slurm(tmp_path: Path) -> None:
    ended = run(
        "scgx fetch demo --cells 240 | scgx split --by donor -o cells.h5ad\n"
        'bash "$1/slurm.sh" cells.h5ad out',
        tmp_path,
    )
    assert ended.code == 0, ended.err
    assert len(list((tmp_path / "out").glob("*.h5ad"))) == 3
    one = run('bash "$1/slurm.sh" cells.h5ad one', tmp_path, SLURM_ARRAY_TASK_ID="1")
    assert one.code == 0, one.err
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "ridge.h5ad",
        "ridge.scgx",
    ]


def test_make_runs_the_pipeline_and_again_does_nothing(tmp_path: Path) -> None:
    ended = run('make -j2 -f "$1/Makefile" MODELS="mean ridge"', tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "make-out" / "scores.tsv").exists()
    again = run('make -f "$1/Makefile" MODELS="mean ridge"', tmp_path)
    assert b"up to date" in again.out


def test_make_leaves_nothing_half_made(tmp_path: Path) -> None:
    ended = run('make -f "$1/Makefile" DATASET=no-such-dataset', tmp_path)
    assert ended.code == 2
    assert "no dataset named 'no-such-dataset'" in ended.err
    assert list((tmp_path / "make-out").iterdir()) == []


def test_make_stops_where_a_reader_of_a_redirect_would_have_gone_on(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        f"include {EXAMPLES / 'Makefile'}\n"
        "redirected.h5ad:\n\tscgx fetch no-such-dataset | cat > $@\n",
        encoding="utf-8",
    )
    ended = run("make redirected.h5ad", tmp_path)
    assert ended.code == 2
    assert not (tmp_path / "redirected.h5ad").exists()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Snakefile has run from end to end."""
    folder = tmp_path_factory.mktemp("clean")
    ended = snakemake('-s "$1/Snakefile" -c2 --config models=mean,ridge', folder)
    assert ended.code == 0, ended.err
    return folder


def test_snakemake_runs_the_pipeline_through_a_fifo(clean: Path) -> None:
    made = {path.name for path in (clean / "snakemake-out").iterdir()}
    assert {"scores.tsv", "paired.h5ad", "ridge.scgx", "ridge.h5ad"} <= made
    assert "fetched.h5ad" not in made


def test_snakemake_goes_on_after_a_step_was_killed_and_makes_the_same(
    clean: Path, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scgx").write_text(KILLS, encoding="utf-8")
    (tmp_path / "bin" / "scgx").chmod(0o755)
    line = '-s "$1/Snakefile" -c2 --config models=mean,ridge'
    path = {"SCGX": str(BIN / "scgx"), "FIRST": str(tmp_path / "bin")}
    ended = snakemake(line, tmp_path, **path)
    out = tmp_path / "snakemake-out"
    assert ended.code != 0 and (tmp_path / "killed").exists(), ended.err
    assert (out / "paired.h5ad").exists() and not (out / "ridge.scgx").exists()
    before = (out / "paired.h5ad").stat().st_mtime_ns
    ended = snakemake(line, tmp_path, **path)
    assert ended.code == 0, ended.err
    assert (out / "paired.h5ad").stat().st_mtime_ns == before
    whole = {path.name: path.read_bytes() for path in (clean / "snakemake-out").iterdir()}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == whole


def test_the_snakemake_wrapper_runs_any_command(tmp_path: Path) -> None:
    ended = snakemake('-s "$1/snakemake/wrapper/test/Snakefile" -c2', tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "scores.tsv").exists()
    assert (tmp_path / "logs" / "scores.log").exists()
    words = (EXAMPLES / "snakemake" / "wrapper" / "meta.yaml").read_text(encoding="utf-8")
    used = re.findall(r"params(?:\.get\(\"|\.)([a-z]+)", WRAPPER.read_text(encoding="utf-8"))
    assert set(used) - {"get"} == set(re.findall(r"^  - (command|extra|option):", words, re.M))


MODULES = sorted(EXAMPLES.glob("nextflow/modules/scgx/*/main.nf"))


@pytest.mark.parametrize(
    "file", [*MODULES, *EXAMPLES.glob("**/main.nf")], ids=lambda f: f.parent.name
)
def test_nextflow_files_are_whole(file: Path) -> None:
    """Nextflow is no Python package: brackets, quotes, and the parts that a process has to have."""
    text = file.read_text(encoding="utf-8")
    plain = re.sub(r'"""(.*?)"""|"(\\.|[^"\\\n])*"|\'[^\'\n]*\'|//[^\n]*', "", text, flags=re.S)
    assert '"' not in plain and "'" not in plain
    depth: list[str] = []
    for letter in plain:
        if letter in "([{":
            depth.append(letter)
        elif letter in ")]}":
            assert depth.pop() + letter in ("()", "[]", "{}")
    assert not depth
    for body in re.split(r"^process \w+ \{$", text, flags=re.M)[1:]:
        parts = re.findall(r"^    (input|output|when|script|stub):$", body.split("\n}\n")[0], re.M)
        assert parts[-1] in ("script", "stub") and "output" in parts and "script" in parts
    names = set(re.findall(r"\binclude \{ (\w+) \} from", text))
    assert names <= set(re.findall(r"\b([A-Z_]+)\(", text))


@pytest.mark.parametrize("file", MODULES, ids=lambda file: file.parent.name)
def test_modules_of_nextflow_say_what_they_take_and_give(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    told = (file.parent / "meta.yml").read_text(encoding="utf-8")
    verb = file.parent.name
    assert f"process SCGX_{verb.upper()} {{" in text and f"name: scgx_{verb}\n" in told
    given = told.split("output:\n")[1]
    assert re.findall(r"emit: (\w+)", text) == re.findall(r"^  (\w+):$", given, re.M)
    taken = told.split("input:\n")[1].split("output:\n")[0]
    heads = text.split("input:\n")[1].split("output:\n")[0]
    words = re.findall(r"(?:val|path)[( ](\w+)", heads)
    assert words == re.findall(r"^  +(?:- )+(\w+):$", taken, re.M) or set(words) == set(
        re.findall(r"- (\w+):$", taken, re.M)
    )
    assert f"scgx=={__version__}" in (file.parent / "environment.yml").read_text(encoding="utf-8")


def test_the_scripts_of_nextflow_modules_run(tmp_path: Path) -> None:
    made = run("scgx fetch demo --cells 240 | scgx split --by donor -o cells.h5ad", tmp_path)
    assert made.code == 0, made.err
    values = {
        "model": "ridge", "cells": "cells.h5ad", "args": "--from atac --to rna", "prefix": "ridge",
        "task.cpus": "1", "task.process": "TRAIN", "memory": "--memory 2G",
    }  # fmt: skip
    for verb, changes in (
        ("train", {}),
        ("predict", {"model": "ridge.scgx", "args": "", "prefix": "guess"}),
    ):
        text = (EXAMPLES / "nextflow/modules/scgx" / verb / "main.nf").read_text(encoding="utf-8")
        script = text.split("    script:\n")[1].split('"""')[1]
        for name, value in {**values, **changes}.items():
            script = script.replace(f"${{{name}}}", value)
        assert "${" not in script
        ended = run(textwrap.dedent(script).replace("\\$", "$"), tmp_path)
        assert ended.code == 0, ended.err
        assert __version__ in (tmp_path / "versions.yml").read_text(encoding="utf-8")
    assert (tmp_path / "guess.h5ad").exists()


def test_nextflow_runs_the_pipeline(tmp_path: Path) -> None:
    if not shutil.which("nextflow"):
        pytest.skip("no nextflow here")
    ended = run(f'PATH="{BIN}:$PATH" nextflow run "$1/main.nf" --models mean,ridge', tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "nextflow-out" / "scores.tsv").exists()
