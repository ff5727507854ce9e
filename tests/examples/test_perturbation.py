"""`examples/perturbation.sh` runs whole: a drawn screen, and a file of one's own."""

import json
from pathlib import Path

from support.processes import shell

import scgx

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "perturbation.sh"


def test_it_goes_from_a_screen_to_a_table(tmp_path: Path) -> None:
    scgx.simulate(
        str(tmp_path / "s.h5ad"), cells=800, genes=30, perturbations=8, doubles=8, quiet=True
    )
    env = {
        "SCREEN": str(tmp_path / "s.h5ad"), "MODELS": "matching-mean one-hot-ridge", "SEED": "1",
    }  # fmt: skip
    done = shell('export -f scgx; bash "$1" "$2"', [EXAMPLE, tmp_path / "out"], env=env)
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert found["task"] == "perturbation"
    assert b"one-hot-ridge" in done.out


def test_without_a_file_it_draws_one(tmp_path: Path) -> None:
    env = {"MODELS": "no-change"}
    done = shell('export -f scgx; bash "$1" "$2"', [EXAMPLE, tmp_path / "out"], env=env)
    assert done.code == 0, done.err
    assert (tmp_path / "out" / "scores.txt").read_text().count("replicate") > 1
