"""Pictures are written whole, the same each time, and mark what they should."""

from pathlib import Path

import numpy as np
import pytest

from scgx import plots
from scgx.errors import UsageError
from scgx.learn.colours import Panel


def records(n: int = 6, val: bool = True) -> list[dict[str, object]]:
    losses = [1.0, 0.8, 0.5, 0.6, 0.7, 0.9]
    return [
        {"epoch": i + 1, "train_loss": 1 / (i + 1), "val_loss": losses[i] if val else None}
        for i in range(n)
    ]


def test_the_curve_draws_both_losses_and_marks_the_chosen_epoch(tmp_path: Path):
    plots.curve(records(), tmp_path / "c.svg")
    plots.curve(records(), tmp_path / "d.svg")
    assert (tmp_path / "c.svg").read_bytes() == (tmp_path / "d.svg").read_bytes()
    text = (tmp_path / "c.svg").read_text()
    for words in ("kept: epoch 3", "training", "validation"):
        assert f"<!-- {words} -->" in text


def test_without_validation_the_last_epoch_is_the_chosen_one(tmp_path: Path):
    plots.curve(records(val=False), tmp_path / "c.svg")
    text = (tmp_path / "c.svg").read_text()
    assert "<!-- kept: epoch 6 -->" in text and "<!-- validation -->" not in text


def test_a_model_without_epochs_has_no_curve(tmp_path: Path):
    with pytest.raises(UsageError, match="trains in epochs"):
        plots.curve([], tmp_path / "c.png")
    with pytest.raises(UsageError, match="no picture"):
        plots.curve(records(), tmp_path / "c.txt")
    assert not list(tmp_path.iterdir())


def test_chromosomes_go_in_natural_order_and_the_unplaced_last():
    chrom = np.array(["chr10", "chr2", None, "chrX"], dtype=object)
    places, ticks = plots.genome_positions(chrom, np.array([5, 7, -1, 9]))
    assert [name for name, _ in ticks] == ["chr2", "chr10", "chrX", "?"]
    assert (np.argsort(places) == [1, 0, 3, 2]).all()


def test_long_names_are_cut_and_many_classes_are_counted(tmp_path: Path):
    points = np.random.default_rng(0).normal(size=(60, 2))
    panels = [
        Panel("x" * 90, words=np.array(["y" * 300] * 60, dtype=object)),
        Panel("barcode", words=np.array([f"cell{i}" for i in range(60)], dtype=object)),
        Panel("donor", words=np.array(["a", "b"] * 30, dtype=object)),
    ]
    plots.cells(points, panels, "X_pca", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    for words in ("x" * 27 + "\N{HORIZONTAL ELLIPSIS}", "y" * 27 + "\N{HORIZONTAL ELLIPSIS}",
                  "barcode (60 levels)", "donor"):  # fmt: skip
        assert f"<!-- {words} -->" in text
    assert "x" * 28 not in text and "cell7" not in text
