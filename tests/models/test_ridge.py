"""The linear baseline: a penalty that orders nothing is not let to shrink what it answers."""

import numpy as np
import pytest

from scgx.learn.selection import correlation
from scgx.models import ridge
from scgx.progress import Report


@pytest.mark.parametrize(("source", "target"), [("rna", "adt"), ("atac", "rna"), ("adt", "rna")])
def test_answers_vary_as_much_as_they_should(paired, source: str, target: str) -> None:
    """With the slope of truth on answer near 1, and not 11 as a penalty of 10 would have it."""
    data = paired(source, target)
    model = ridge.Model.fit(data, ridge.Config(), seed=0, report=Report(None))
    guess, truth = model.predict(data.block(data.val)), data.y(data.val).toarray()
    clear = correlation(truth, guess) > 0.4
    assert clear.sum() > 10
    guess, truth = guess[:, clear], truth[:, clear]
    centred = guess - guess.mean(axis=0)
    slope = (centred * truth).sum() / (centred**2).sum()
    assert 0.7 < slope < 1.4
    assert np.isfinite(guess).all()
