"""docs/sweep.md: the loop runs as it is written, on fewer cells, and its table has every run."""

import re
from pathlib import Path

import pytest
from support.processes import shell

PAGE = Path(__file__).resolve().parents[1] / "docs" / "sweep.md"
SMALLER = {
    "--cells 2000 --genes 60 --perturbations 15 --doubles 25":
        "--cells 500 --genes 20 --perturbations 5 --doubles 10",
    "epochs=30": "epochs=1",
    "in 0.0003 0.001 0.003; do\n": "in 0.001 0.003; do\n",
    "in 0 0.1 0.3; do\n": "in 0.1; do\n",
}  # fmt: skip


@pytest.mark.torch
def test_the_loop_runs_and_ranks_its_runs(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    lines = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[:2])
    for long, short in SMALLER.items():
        assert long in lines
        lines = lines.replace(long, short)
    done = shell(f"set -eo pipefail\n{lines}", cwd=tmp_path)
    assert done.code == 0, done.err
    table = [line.split("\t") for line in (tmp_path / "sweep.tsv").read_text().splitlines()]
    assert table[0] == ["lr", "dropout", "val_loss"]
    assert [row[:2] for row in table[1:]] == [["0.001", "0.1"], ["0.003", "0.1"]]
    losses = [float(row[2]) for row in table[1:]]
    printed = [line for line in done.out.decode().splitlines() if re.match(r"0\.\d+\t", line)]
    assert [float(line.split("\t")[2]) for line in printed] == sorted(losses)
    head = (tmp_path / "scores.tsv").read_text()
    assert "lr0.001-dropout0.1" in head and "lr0.003-dropout0.1" in head


def test_the_results_on_the_page_are_of_all_nine_runs() -> None:
    rows = re.findall(r"^\| (0\.\d+) \| (0(?:\.\d+)?) \| ([\d.]+) \|", PAGE.read_text(), re.M)
    assert len(rows) == 9
    losses = [float(loss) for *_run, loss in rows]
    assert losses == sorted(losses)
