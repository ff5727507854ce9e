"""Ridge on targets: the errors of left-out conditions are exact, and what is shared is found."""

import numpy as np
import pytest

from scgx.cells.perturbations import parse
from scgx.learn.response_data import Means
from scgx.learn.target_ridge import Design, Penalties, choose, left_out, solve

LABELS = ["control", "A", "B", "C", "A+B", "A+C", "B+C", "D", "A", "control"]
STRATA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1]


def _means(seed: int = 0, genes: int = 12) -> Means:
    rng = np.random.default_rng(seed)
    codes = {label: i for i, label in enumerate(dict.fromkeys(LABELS))}
    n = rng.integers(5, 60, len(LABELS))
    mean = rng.normal(0, 1, (len(LABELS), genes))
    condition = np.array([codes[label] for label in LABELS])
    return Means(condition, np.array(STRATA), n, mean, np.ones_like(mean))


def _design(**options: object) -> tuple[Design, np.ndarray]:
    design = Design(("A", "B", "C", "D"), 2, **options)  # type: ignore[arg-type]
    return design, design.rows([parse(label) for label in LABELS], STRATA)


@pytest.mark.parametrize("common", [False, True])
def test_left_out_is_as_if_the_condition_had_never_been_there(common: bool) -> None:
    design, rows = _design(common=common)
    means, chosen = _means(), Penalties(7.0, 30.0)
    errors = left_out(rows, means, design, chosen, codes=means.condition)
    for code in np.unique(means.condition[means.condition > 0]):
        kept = means.condition != code
        less = Means(*(values[kept] for values in means))
        whole = np.hstack([np.eye(2)[less.stratum], rows[kept]])
        square = (whole * less.n[:, None]).T @ whole + np.diag(design.penalties(chosen))
        fitted = np.linalg.solve(square, (whole * less.n[:, None]).T @ less.mean)
        gone = np.hstack([np.eye(2)[means.stratum[~kept]], rows[~kept]])
        np.testing.assert_allclose(errors[~kept], means.mean[~kept] - gone @ fitted, atol=1e-5)


def test_effects_that_add_up_are_told_apart() -> None:
    rng = np.random.default_rng(1)
    effect = dict(zip("ABCD", rng.normal(0, 1, (4, 12))))
    conditions = [parse(label) for label in LABELS]
    mean = np.stack([np.sum([effect[t] for t in one.targets] or [np.zeros(12)], axis=0)
                     for one in conditions])  # fmt: skip
    means = _means()._replace(mean=mean, n=np.full(len(LABELS), 1000))
    design, rows = _design()
    _levels, made = solve(rows, means, design, Penalties(1e-3))
    pair = design.rows([parse("C+D")], [0])[0] @ made
    np.testing.assert_allclose(pair, effect["C"] + effect["D"], atol=1e-2)


def test_an_unseen_target_is_expected_to_do_what_all_do() -> None:
    shared = np.linspace(-1, 1, 12)
    conditions = [parse(label) for label in LABELS]
    mean = np.stack([len(one.targets) * shared for one in conditions])
    means = _means()._replace(mean=mean)
    design, rows = _design(common=True)
    _levels, made = solve(rows, means, design, choose(rows, means, design))
    unseen = design.rows([parse("Z")], [0])[0] @ made
    assert np.corrcoef(unseen, shared)[0, 1] > 0.99
    assert 0.2 < np.linalg.norm(unseen) / np.linalg.norm(shared) < 1.1


def test_places_of_genes_answer_for_targets_never_seen() -> None:
    rng = np.random.default_rng(2)
    names = [f"T{i}" for i in range(30)]
    places = dict(zip(names, rng.normal(0, 1, (30, 3)).astype(np.float32)))
    way = rng.normal(0, 1, (3, 12))
    seen = names[:25]
    conditions = [parse("control"), *map(parse, seen)]
    mean = np.stack([np.zeros(12), *(places[name] @ way for name in seen)])
    n = np.full(26, 50)
    means = Means(np.arange(26), np.zeros(26, int), n, mean, np.ones_like(mean))
    design = Design(tuple(seen), 1, common=True, places=places, width=3)
    rows = design.rows(conditions, [0] * 26)
    _levels, made = solve(rows, means, design, choose(rows, means, design))
    for name in names[25:]:
        told = design.rows([parse(name)], [0])[0] @ made
        assert np.corrcoef(told, places[name] @ way)[0, 1] > 0.95


def test_doses_scale_what_a_target_does() -> None:
    design, rows = _design()
    _levels, made = solve(rows, _means(), design, Penalties(3.0))
    up, down = (design.rows([parse(word)], [0])[0] @ made for word in ("A", "A=-1"))
    np.testing.assert_allclose(up, -down)
