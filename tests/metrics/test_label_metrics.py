"""The metrics of labels against scikit-learn and their definitions, and rules that hold for all."""

import numpy as np
import pytest
from sklearn import metrics as known

from scgx import registry
from scgx.metrics._calls import Calls, Design
from scgx.metrics._panel import Result

CLASSES = ("a", "b", "c", "d", "e")
NAMES = [
    name
    for name in registry.names("metrics")
    if getattr(registry.load("metrics", name).Metric, "task", "") == "labels"
]


def cells(n: int = 400, seed: int = 0) -> Calls:
    """Guesses that are right three times in five; class e is only guessed, d is only true."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])
    logits = rng.normal(size=(n, 5)) + 1.5 * np.eye(5)[truth]
    logits[:, 3] -= 9
    logits[:5, 4] += 9
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    best = probability.argmax(axis=1)
    return Calls(truth, best, best, np.arange(n) % 8, probability, probability.max(axis=1))


def score(name: str, calls: Calls, design: Design | None = None, step: int = 70) -> Result:
    metric = registry.load("metrics", name).Metric(design or Design(CLASSES, np.zeros((0, 8))))
    for start in range(0, len(calls.truth), step):
        metric.update(calls.take(np.arange(start, min(start + step, len(calls.truth)))))
    return metric.result()


def test_f1_accuracy_and_recall_equal_scikit_learn() -> None:
    calls = cells()
    t, p = calls.truth, calls.guess
    expected = {
        "accuracy": known.accuracy_score(t, p),
        "balanced-accuracy": known.recall_score(t, p, labels=range(4), average="macro"),
        "f1-macro": known.f1_score(t, p, average="macro", zero_division=0),
        "f1-weighted": known.f1_score(t, p, average="weighted", zero_division=0),
        "f1-micro": known.f1_score(t, p, average="micro"),
        "median-f1": np.median(known.f1_score(t, p, labels=range(4), average=None)),
        "nll": known.log_loss(t, calls.probability, labels=range(5)),
        "brier": ((calls.probability - np.eye(5)[t]) ** 2).sum(axis=1).mean(),
        "top3-accuracy": known.top_k_accuracy_score(t, calls.probability, k=3, labels=range(5)),
    }
    for name, value in expected.items():
        assert score(name, calls).value == pytest.approx(value, rel=1e-9), name


def test_a_class_that_is_guessed_but_not_there_lowers_macro_f1() -> None:
    calls = cells()
    absent = known.f1_score(calls.truth, calls.guess, labels=range(4), average="macro")
    assert score("f1-macro", calls).value == pytest.approx(absent * 4 / 5)


def test_a_class_on_neither_side_counts_for_nothing() -> None:
    more = Design((*CLASSES, "f"), np.zeros((0, 8)))
    for name in ("f1-macro", "balanced-accuracy", "median-f1"):
        assert score(name, cells(), more).value == pytest.approx(score(name, cells()).value)


def test_relabelling_the_classes_changes_nothing() -> None:
    calls, order = cells(), np.array([3, 0, 4, 1, 2])
    wide = np.empty_like(calls.probability)
    wide[:, order] = calls.probability
    other = Calls(
        order[calls.truth], order[calls.guess], order[calls.best], calls.parts, wide,
        calls.confidence,
    )  # fmt: skip
    for name in NAMES:
        assert score(name, other).value == pytest.approx(score(name, calls).value), name


def test_the_truth_is_without_fault() -> None:
    truth = cells().truth
    sure = np.eye(5)[truth]
    calls = Calls(truth, truth, truth, np.zeros(400, int), sure, np.ones(400))
    for name in NAMES:
        wanted = 0 if registry.load("metrics", name).Metric.direction < 0 else 1
        assert score(name, calls).value == pytest.approx(wanted), name


def test_the_majority_has_its_closed_form() -> None:
    truth = np.repeat([0, 1, 2], [60, 30, 10])
    zero = np.zeros_like(truth)
    calls = Calls(truth, zero, zero, zero)
    assert score("f1-macro", calls).value == pytest.approx(2 * 0.6 / 1.6 / 3)
    assert score("balanced-accuracy", calls).value == pytest.approx(1 / 3)


def test_blocks_change_nothing_and_draws_are_weighted_sums() -> None:
    calls = cells()
    weights = np.random.default_rng(1).multinomial(8, np.full(8, 1 / 8), size=20).astype(float)
    design = Design(CLASSES, weights)
    for name in NAMES:
        one, many = score(name, calls, design, 400), score(name, calls, design, 33)
        assert one.value == pytest.approx(many.value)
        np.testing.assert_allclose(one.draws, many.draws)
        times = weights[0].astype(int)[calls.parts]
        copied = calls.take(np.repeat(np.arange(400), times))
        assert one.draws[0] == pytest.approx(score(name, copied).value), name


def test_calibrated_probabilities_have_no_error_as_cells_grow() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for n in (500, 50_000):
        top = rng.uniform(0.5, 1, n)
        truth = (rng.random(n) > top).astype(int)
        zero = np.zeros(n, int)
        wide = np.column_stack([top, 1 - top])
        metric = registry.load("metrics", "ece").Metric(Design.plain(("a", "b")))
        metric.update(Calls(truth, zero, zero, zero, wide, top))
        errors.append(metric.result().value)
    assert errors[1] < 0.01 < errors[0]


def test_unanswered_cells_are_wrong_but_are_still_calibrated() -> None:
    calls = cells()
    silent = Calls(
        calls.truth, np.full(400, -1), calls.best, calls.parts, calls.probability,
        calls.confidence,
    )  # fmt: skip
    assert score("accuracy", silent).value == score("f1-macro", silent).value == 0
    assert score("ece", silent).value == pytest.approx(score("ece", calls).value)


def test_impossible_truths_are_clipped_and_counted() -> None:
    truth, zero = np.array([0, 1]), np.zeros(2, int)
    calls = Calls(truth, zero, zero, zero, np.eye(5)[zero], np.ones(2))
    result = score("nll", calls, Design(CLASSES, np.zeros((0, 1))))
    assert result.n_degenerate == 1
    assert result.value == pytest.approx(-np.log(1e-12) / 2)


def test_without_probabilities_only_classes_are_scored() -> None:
    calls = cells()
    bare = Calls(calls.truth, calls.guess, calls.best, calls.parts)
    for name in ("nll", "brier", "ece", "ece-adaptive", "ece-classwise", "aurc", "top3-accuracy"):
        result = score(name, bare)
        assert result.value is None and result.note == "no probabilities"


def test_ties_share_their_ranks() -> None:
    even = np.full((1, 5), 0.2)
    zero = np.zeros(1, int)
    calls = Calls(zero, zero, zero, zero, even, np.full(1, 0.2))
    assert score("top3-accuracy", calls).value == 1  # rank 1 + 4/2 = 3
    wide = np.full((1, 7), 1 / 7)
    calls = Calls(zero, zero, zero, zero, wide, np.full(1, 1 / 7))
    design = Design(tuple("abcdefg"), np.zeros((0, 8)))
    assert score("top3-accuracy", calls, design).value == 0


def sure(confidence: list[float], right: list[int]) -> Calls:
    """Cells of class a, called a where right; the other class has what is left."""
    truth, best = np.zeros(len(right), int), 1 - np.array(right)
    top = np.array(confidence)
    wide = np.where(best[:, None] == [0, 1], top[:, None], 1 - top[:, None])
    return Calls(truth, best, best, truth, wide, top)


def test_the_area_is_the_mean_error_of_the_surest_and_ties_are_one_point() -> None:
    assert score("aurc", sure([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0]), Design.plain(("a", "b"))).value \
        == pytest.approx((0 + 1 / 2 + 1 / 3 + 2 / 4) / 4)  # fmt: skip
    tied = sure([0.9, 0.8, 0.8, 0.6], [1, 0, 1, 0])
    wanted = (0 + 1 / 3 + 1 / 3 + 2 / 4) / 4
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        found = score("aurc", tied.take(np.array(order)), Design.plain(("a", "b")))
        assert found.value == pytest.approx(wanted)


def test_adaptive_bins_hold_equally_many_cells() -> None:
    rng = np.random.default_rng(3)
    top = np.sort(rng.uniform(0.5, 1, 300))[::-1]
    right = rng.random(300) < 0.7
    found = score(
        "ece-adaptive", sure(top.tolist(), right.astype(int).tolist()), Design.plain(("a", "b"))
    )
    bins = zip(np.split(top, 15), np.split(right, 15), strict=True)
    assert found.value == pytest.approx(np.mean([abs(r.mean() - t.mean()) for t, r in bins]))


def test_classwise_error_is_the_mean_of_what_each_class_has() -> None:
    calls = cells()
    errors = []
    for code in range(5):
        p, y = calls.probability[:, code], calls.truth == code
        place = np.clip(np.ceil(p * 15) - 1, 0, 14)
        errors.append(sum(abs((y - p)[place == b].sum()) for b in range(15)) / len(p))
    assert score("ece-classwise", calls).value == pytest.approx(np.mean(errors))
    absent = Design((*CLASSES, "f"), np.zeros((0, 8)))
    wide = np.pad(calls.probability, ((0, 0), (0, 1)))
    more = Calls(calls.truth, calls.guess, calls.best, calls.parts, wide, calls.confidence)
    assert score("ece-classwise", more, absent).value == pytest.approx(np.mean(errors))


def test_many_levels_of_confidence_are_drawn_in_runs_close_to_the_value() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 50_000)
    calls = sure(top.tolist(), (rng.random(50_000) < top).astype(int).tolist())
    design = Design(("a", "b"), np.ones((1, 1)))
    for name in ("aurc", "ece-adaptive"):
        found = score(name, calls, design, 50_000)
        assert found.draws[0] == pytest.approx(found.value, rel=1e-3, abs=1e-4), name
