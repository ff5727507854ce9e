"""One sentence: does the guess beat the strongest baseline, by how much, how sure is that?"""

import numpy as np

from scgx.tasks._bootstrap import Bootstrap, interval
from scgx.tasks._scores import Entry, Verdict

ROUNDING = 1e-6  # what float32 loses between two ways to the same values


def is_truth(guess: Entry) -> bool:
    """Is it the truth, rounding aside? No prediction of cells is."""
    error = guess.results["mae"].value if "mae" in guess.results else None
    return error is not None and error <= ROUNDING


def verdict(guess: Entry, best: Entry | None, metric: str, drawn: Bootstrap) -> Verdict:
    """The paired difference of `metric` (higher is better), draw by draw."""
    if is_truth(guess):
        words = f"{guess.name} equals the truth on all scored values, so no verdict (a copy of it?)"
        return Verdict(guess.name, None, None, None, words)
    if best is None:
        words = (
            f"{guess.name}: no baseline, so no verdict (score a truth with training rows, "
            "a guess of scgx predict, or name --train FILE)"
        )
        return Verdict(guess.name, None, None, None, words)
    mine, theirs = guess.results[metric], best.results[metric]
    if mine.value is None or theirs.value is None:
        words = f"{guess.name}: {metric} is not defined here, so no verdict"
        return Verdict(guess.name, best.name, None, None, words)
    difference = mine.value - theirs.value
    rival = theirs.draws if len(theirs.draws) else np.full(len(mine.draws), theirs.value)
    draws = mine.draws - rival
    bounds = interval(draws, difference)
    low, high = bounds if bounds is not None else (difference, difference)
    sure = f"95 % interval {low:+.3f} to {high:+.3f}, over {drawn.over}"
    if len(draws) and bounds is None:
        claim, sure = "cannot be told from", "no interval: too few cells"
    elif low > 0:
        claim = "beats"
    elif high < 0:
        claim = "is worse than"
    else:
        claim = "is no better than"
    words = (
        f"{guess.name} {claim} the best baseline, {best.name}: {metric} {mine.value:.3f} against "
        f"{theirs.value:.3f}, difference {difference:+.3f} "
        f"({sure})"
    )
    return Verdict(guess.name, best.name, difference, bounds, words)
