"""Cells of a screen for models of responses: means by perturbation and stratum, in bounded memory."""

from pathlib import Path

import numpy as np
from support.screens import effects, screen

import scgx
from scgx.h5ad.reader import open_cells
from scgx.learn.fit_response import ResponseRoles, gather
from scgx.learn.response_data import SUMMED, ResponseData


def test_sums_are_the_same_whatever_is_read_at_once(tmp_path: Path) -> None:
    made = screen(effects([f"A{i}" for i in range(9)]), ["A8"], cells=90)
    made.more["line"] = np.resize(np.array(["one", "two", "three"], dtype=object), len(made.label))
    made.write(tmp_path / "s.h5ad")
    found, reads = [], []
    for memory in (1, 1 << 30):
        with open_cells(tmp_path / "s.h5ad") as cells:
            data, _ = gather(cells, ResponseRoles("perturbation", None, ("line",)), seed=0)
            data.memory = memory
            found.append((data.trained, [len(rows) for rows, _ in data.blocks(data.train)]))
            reads.append(_reads(data))
    (small, sizes), (large, others) = found
    assert small.mean.tobytes() == large.mean.tobytes()
    assert small.variance.tobytes() == large.variance.tobytes()
    assert sizes == others and max(sizes) == SUMMED
    assert max(reads[0]) == SUMMED < max(reads[1])
    control = (made.label == "control") & (made.part == "train") & (made.more["line"] == "one")
    level = data.told.strata.levels.index(("one",))
    row = int(np.flatnonzero((small.condition == 0) & (small.stratum == level))[0])
    np.testing.assert_allclose(small.mean[row], made.X[control].mean(axis=0), rtol=1e-5)


def _reads(data: ResponseData) -> list[int]:
    """How many rows are asked for at a time."""
    sizes: list[int] = []
    x = data.x

    def spied(rows: np.ndarray):
        sizes.append(len(rows))
        return x(rows)

    data.x = spied  # type: ignore[method-assign]
    for _ in data.blocks(data.train):
        pass
    return sizes


def test_training_cells_without_a_count_are_counted(tmp_path: Path, capsys) -> None:
    made = screen(effects(["A0", "A1"]), ["A1"], cells=30)
    trained = np.flatnonzero(made.part == "train")
    made.X[trained[:3]] = 0
    made.write(tmp_path / "s.h5ad")
    scgx.train(
        "no-change", str(tmp_path / "s.h5ad"), str(tmp_path / "m.scgx"), label="perturbation"
    )
    assert "3 training cells have no count" in capsys.readouterr().err
