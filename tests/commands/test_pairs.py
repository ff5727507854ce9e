"""`scgx pairs`: an atlas as a screen that says it is none, through train, predict and score."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from scgx.h5ad.reader import open_cells


def test_what_is_correlation_says_so_to_the_end(scgx: Callable, tmp_path: Path) -> None:
    demo, made, split = tmp_path / "demo.h5ad", tmp_path / "p.h5ad", tmp_path / "s.h5ad"
    scgx("fetch", "demo", "--cells", 600, "--genes", 60, "--modality", "rna", "-o", demo)
    done = scgx("pairs", demo, "--within", "cell_type", "--genes", 10, "-o", made)
    words = "cells paired within cell_type: correlation, not cause"
    assert f"warning: {words}" in done.err
    with open_cells(demo) as cells, open_cells(made) as few:
        assert few.n_var == 10 and few.n_obs % 2 == 0
        assert few.scgx["observational"] == words
        assert set(few.var_names) < set(cells.var_names)
        row = {name: i for i, name in enumerate(cells.obs_names)}
        x = next(cells.blocks()).X.toarray()
        totals = few.obs.numbers("total_counts_rna")
        assert (totals == x.sum(axis=1)[[row[name] for name in few.obs_names]]).all()
        column = {name: i for i, name in enumerate(cells.var_names)}
        chosen = [column[name] for name in few.var_names]
        kept = next(few.blocks()).X.toarray()
        assert np.array_equal(kept, x[[row[n] for n in few.obs_names]][:, chosen])
    scgx("split", made, "--by", "perturbation", "-o", split)
    model, guess = tmp_path / "m.scgx", tmp_path / "g.h5ad"
    assert words in scgx("train", "linear", split, "--label", "perturbation", "-o", model).err
    scgx("predict", model, split, "-o", guess)
    done = scgx("score", split, guess)
    assert words in done.err + done.out.decode()


def test_few_pairs_are_of_the_same_cells_as_many(scgx: Callable, tmp_path: Path) -> None:
    demo = tmp_path / "demo.h5ad"
    scgx("fetch", "demo", "--cells", 300, "--genes", 30, "--modality", "rna", "-o", demo)
    for name, n in (("few", 40), ("many", 80)):
        scgx("pairs", demo, "--genes", 10, "--n", n, "-o", tmp_path / name)
    with open_cells(tmp_path / "few") as few, open_cells(tmp_path / "many") as many:
        assert set(few.obs_names) <= set(many.obs_names) | {""}
        assert 60 < few.n_obs <= 80


def test_a_share_that_is_none_is_refused(scgx: Callable) -> None:
    assert "--min-seen 1.5 is no share" in scgx("pairs", "x", "--min-seen", 1.5, code=2).line()
