"""`scgx simulate`: a screen that learns and splits, and the demo's recipe in other sizes."""

from collections.abc import Callable
from pathlib import Path

from scgx.h5ad.reader import open_cells

FEW = ("--cells", "400", "--genes", "40", "--perturbations", "5", "--doubles", "4")


def test_what_it_draws_splits_trains_and_predicts(scgx: Callable, tmp_path: Path) -> None:
    sim, split = tmp_path / "sim.h5ad", tmp_path / "split.h5ad"
    said = scgx("simulate", *FEW, "-o", sim).err
    assert "400 cells, 40 genes, 5 of them regulators" in said
    scgx("split", sim, "--by", "perturbation", "--unseen", "combinations", "-o", split)
    scgx("train", "additive", split, "--label", "perturbation", "-o", tmp_path / "m.scgx")
    scgx("predict", tmp_path / "m.scgx", split, "-o", tmp_path / "guess.h5ad")
    with open_cells(tmp_path / "guess.h5ad") as cells:
        assert all("+" in label for label in cells.obs.strings("perturbation"))


def test_the_demo_is_a_multiome_of_one_size(scgx: Callable, tmp_path: Path) -> None:
    size = ("--cells", "60", "--genes", "20", "--peaks", "40", "--seed", "5", "--no-history")
    scgx("simulate", "--kind", "multiome", *size, "-o", tmp_path / "a.h5ad")
    scgx("fetch", "demo", *size, "-o", tmp_path / "b.h5ad")
    assert (tmp_path / "a.h5ad").read_bytes() == (tmp_path / "b.h5ad").read_bytes()


def test_options_of_another_kind_are_refused(scgx: Callable, tmp_path: Path) -> None:
    done = scgx("simulate", "--kind", "multiome", "--doubles", "3", "-o", "x", code=2)
    assert "--doubles is for a screen" in done.line()
    done = scgx("simulate", "--peaks", "30", "-o", "x", code=2)
    assert "--peaks is for --kind multiome" in done.line()
    assert "no kind 'cubic'" in scgx("simulate", "--kind", "cubic", "-o", "x", code=2).line()


def test_the_same_command_writes_the_same_bytes(scgx: Callable, tmp_path: Path) -> None:
    for name in ("a", "b"):
        scgx("simulate", *FEW, "--kind", "nonlinear", "--no-history", "-o", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
