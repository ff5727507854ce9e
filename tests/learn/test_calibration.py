"""Temperature and reliability."""

import numpy as np
import pytest

from scgx.learn.calibration import reliability, softmax, temperature


def drawn(sharp: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are `sharp` times too sure of themselves, and the classes that they are of."""
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(n, 4))
    edges = softmax(logits).cumsum(axis=1)
    codes = (rng.random((n, 1)) > edges).sum(axis=1).clip(max=3)
    return (sharp * logits).astype(np.float32), codes


@pytest.mark.parametrize("sharp", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(sharp: float) -> None:
    assert temperature(*drawn(sharp)) == pytest.approx(sharp, rel=0.08)


def test_it_takes_out_overconfidence_and_changes_no_answer() -> None:
    scores, codes = drawn(4.0)
    found = temperature(scores, codes)
    before, after = softmax(scores), softmax(scores, found)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert reliability(after, codes).ece < 0.03 < reliability(before, codes).ece
    assert reliability(after, codes).nll < reliability(before, codes).nll


def test_without_cells_nothing_is_changed() -> None:
    assert temperature(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)) == 1
    assert reliability(np.zeros((0, 3)), np.zeros(0, np.int64)).n == 0


def test_rows_do_not_see_each_other() -> None:
    scores, _ = drawn(2.0, 64)
    np.testing.assert_array_equal(softmax(scores, 1.3)[:5], softmax(scores[:5], 1.3))
