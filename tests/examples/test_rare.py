"""`examples/rare.sh` runs whole, on demo cells with a donor held out."""

from pathlib import Path

import pytest
from support.processes import shell

import scgx

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "rare.sh"


def test_it_scores_an_unseen_donor_without_and_with_synthetic_cells(tmp_path: Path) -> None:
    cells = tmp_path / "cells.h5ad"
    scgx.fetch("demo", output=str(cells), cells=300, genes=30, peaks=20, quiet=True)
    env = {"TEST": "D1", "VAL": "D2", "MODEL": "nb", "N": "40"}
    script = 'export -f scgx; bash "$1" "$2" microglia "$3"'
    done = shell(script, [EXAMPLE, cells, tmp_path / "out"], env=env)
    assert done.code == 0, done.err
    lines = [line.split("\t") for line in done.out.decode().splitlines() if "\t" in line]
    rows = {
        tuple(row[:2]): [float(word) for word in row[2:]]
        for row in lines
        if row[1] in ("real", "both")
    }
    assert len(rows) == 4
    for which in ("real", "both"):
        assert all(0 <= value <= 1 for value in rows["all", which])
        assert rows["all", which] == pytest.approx(rows["D1", which], abs=1e-5)
