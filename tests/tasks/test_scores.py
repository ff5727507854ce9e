"""The scale between baseline and ceiling, verdicts, and protocols."""

from dataclasses import replace

import numpy as np
import pytest

from scgx.metrics._panel import Result
from scgx.tasks._bootstrap import Bootstrap
from scgx.tasks._protocol import Setting, protocols
from scgx.tasks._scores import BASELINE, CONTROL, GUESS, Entry, Scores, Spread
from scgx.tasks._verdict import verdict

R, ERROR = "pearson_per_feature", "mse"


def setting() -> Setting:
    features = np.array(["a", "b"], dtype=object)
    variable = np.array([True, False])
    return Setting("modality", "rna", "X", "counts", "counts", "left out", features, variable, "1")


def entry(name: str, kind: str, r: float, error: float, draws: float = 0.01) -> Entry:
    noise = np.linspace(-draws, draws, 100)
    results = {R: Result(r, r + noise, 2), ERROR: Result(error, error + noise, 2)}
    return Entry(name, kind, results)


def scores(*entries: Entry, replicate: dict[str, Spread] | None = None) -> Scores:
    made = protocols([R, ERROR], setting())
    return Scores(
        "modality", "t", R, "rna", "counts", "counts", 10, 2, "cells", (), 0, 0, entries,
        replicate or {}, made, (), (), (),
    )  # fmt: skip


MINE, MEAN = entry("mine", GUESS, 0.3, 0.5), entry("mean", BASELINE, 0.0, 0.8)


def test_the_scale_is_zero_at_the_baseline_and_one_at_the_ceiling():
    found = scores(MINE, MEAN, replicate={R: Spread(0.6, 0), ERROR: Spread(0.2, 0)})
    assert found.scaled(MINE, R)[0] == pytest.approx(0.5)
    assert found.scaled(MINE, ERROR)[0] == pytest.approx(0.5)
    assert found.scaled(MEAN, R)[0] == 0


def test_there_is_no_scale_without_a_range():
    level = scores(MINE, MEAN, replicate={R: Spread(1e-13, 0), ERROR: Spread(1.0, 0)})
    assert level.scaled(MINE, R) == (None, "no range")
    assert level.scaled(MINE, ERROR) == (None, "ceiling below baseline")
    assert scores(MINE, MEAN).scaled(MINE, R) == (None, "no ceiling")
    assert scores(MINE).scaled(MINE, R) == (None, "no baseline")


def test_the_best_baseline_is_the_strongest_in_the_direction_of_the_metric():
    other = entry("other", BASELINE, 0.1, 0.9)
    control = entry("random-cell", CONTROL, 0.9, 0.0)
    found = scores(MINE, MEAN, other, control)
    assert found.best_baseline(R) is other
    assert found.best_baseline(ERROR) is MEAN


@pytest.mark.parametrize(
    ("r", "words"), [(0.3, "beats"), (-0.3, "is worse than"), (0.001, "is no better than")]
)
def test_the_verdict_follows_the_interval_of_the_paired_difference(r, words):
    drawn = Bootstrap(np.zeros(1), np.zeros((0, 1)), "cells, optimistic", (), True)
    rival = replace(MEAN, results={R: Result(0.0, np.zeros(0), 2)})
    sentence = verdict(entry("mine", GUESS, r, 0.1), rival, R, drawn).sentence
    assert words in sentence and "cells, optimistic" in sentence


def test_draws_are_paired_so_that_shared_noise_cancels():
    drawn = Bootstrap(np.zeros(1), np.zeros((0, 1)), "cells", (), True)
    mine, rival = entry("mine", GUESS, 0.02, 0, draws=0.2), entry("b", BASELINE, 0.0, 0, draws=0.2)
    assert verdict(mine, rival, R, drawn).interval == pytest.approx((0.02, 0.02))


def test_a_digest_changes_with_units_and_gene_set_and_with_nothing_else():
    one = protocols([R, R + "@200"], setting())
    assert one[R].digest != one[R + "@200"].digest
    assert protocols([R], setting())[R].digest == one[R].digest
    assert protocols([R], replace(setting(), units="x"))[R].digest != one[R].digest
