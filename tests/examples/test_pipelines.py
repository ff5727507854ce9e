"""The example pipelines run whole on `scgx fetch demo`, with the engines that are here."""

import shutil
import sys
from pathlib import Path

import pytest
from support.processes import Ended, shell

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = Path(sys.executable).parent


def run(line: str, folder: Path, **env: str) -> Ended:
    return shell(f"export -f scgx\n{line}", [EXAMPLES], cwd=folder, env=env)


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


def test_snakemake_runs_the_pipeline(tmp_path: Path) -> None:
    if not shutil.which("snakemake"):
        pytest.skip("no snakemake here")
    ended = run(
        f'PATH="{BIN}:$PATH" snakemake -s "$1/Snakefile" -c2 --config models=mean,ridge', tmp_path
    )
    assert ended.code == 0, ended.err
    assert (tmp_path / "snakemake-out" / "scores.tsv").exists()


def test_nextflow_runs_the_pipeline(tmp_path: Path) -> None:
    if not shutil.which("nextflow"):
        pytest.skip("no nextflow here")
    ended = run(f'PATH="{BIN}:$PATH" nextflow run "$1/main.nf" --models mean,ridge', tmp_path)
    assert ended.code == 0, ended.err
    assert (tmp_path / "nextflow-out" / "scores.tsv").exists()
