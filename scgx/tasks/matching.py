"""The task of matching: which cell of one modality is which of another?

A guess has a row for each cell of one side and a column for each of the other, both by name, and
weights in X. The true partner of a cell is the column of its name. The headline is the weight that true
partners get, which the multi-modal benchmark ranks by; how near partners lie is judged in the
common space where the guess carries one (obsm and varm "X_common"), else by the weights alone.
Beside each guess stand a match that knows nothing (`constant`) and one that was drawn (`random`).
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np
from scipy import sparse

from scgx.errors import UsageError
from scgx.h5ad.cells import Cells
from scgx.metrics._matching import Array, Design, Labels, Match
from scgx.metrics._panel import Result
from scgx.tasks import _bootstrap
from scgx.tasks._evaluate import metric
from scgx.tasks._match_ground import Ground, Side, facts_of, ground_of
from scgx.tasks._request import Request
from scgx.tasks._scores import BASELINE, CEILING, GUESS, Entry, Level, Protocol, Scores, strongest
from scgx.tasks._verdict import verdict

NAME = "matching"
HEADLINE = "match_probability"
METRICS = (
    "match_probability", "foscttm", "pairing_auroc", "pairing_aupr", "recall_at_k", "mrr",
    "foscttm_strict", "seurat_alignment",
)  # fmt: skip
WITH_LABEL = ("label_transfer_accuracy", "label_transfer_f1")
IN_LEVELS = ("match_probability", "foscttm", "mrr")


def score(ask: Request) -> Scores:
    """Everything about these guesses; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    ground = ground_of(ask)
    obs = ask.truth.obs.take(ground.rows)
    by = ask.by or ground.split.by
    groups = obs.strings(by) if by and by in obs else None
    drawn = _bootstrap.plan(ground.names, groups, by, seed=ask.seed)
    parted = [_in_parts(side, drawn.parts) for side in ground.guesses]
    metrics = METRICS + (WITH_LABEL if ask.label else ())
    plain = Design(np.zeros((0, drawn.weights.shape[1])), ground.classes)
    design = Design(drawn.weights, ground.classes)

    judged = [
        Entry(side.name, GUESS, _evaluate(side.match, design, metrics), side.coverage)
        for side in parted
    ]
    for entry in judged:
        bare = _bootstrap.without_interval(entry.results, len(ground.rows))
        ground.notes += [f"{entry.name}: {words}" for words in bare]
    controls = _controls(parted[0].match, ask.seed)
    entries = [
        Entry(name, kind, _evaluate(match, plain, metrics)) for name, kind, match in controls
    ]
    best = strongest([e for e in entries if e.kind == BASELINE], HEADLINE, "higher")
    columns = dict.fromkeys([*([by] if groups is not None and drawn.optimistic else []), *ask.per])
    shown = [*((side.name, side.match) for side in parted), *((n, m) for n, _k, m in controls)]
    n_columns = parted[0].match.weights.shape[1]
    return Scores(
        task=NAME,
        truth=ask.truth.name,
        headline=HEADLINE,
        modality=_sides_of(ask.guesses[0]),
        units="weights",
        normalisation="rows sum to 1",
        n_cells=len(ground.rows),
        n_features=n_columns,
        bootstrap=drawn.over,
        groups=drawn.groups,
        left_out=ground.left_out,
        seed=ask.seed,
        entries=(*judged, *entries),
        replicate={},
        protocols={key: _protocol(key, ground, n_columns) for key in judged[0].results},
        levels=tuple(
            level for column in columns for level in _levels(column, obs.strings(column), shown)
        ),
        verdicts=tuple(verdict(entry, best, HEADLINE, drawn) for entry in judged),
        notes=tuple(ground.notes),
        what="candidates",
    )


def _refuse_options(ask: Request) -> None:
    given = {"--modality": ask.modality, "--units": ask.units, "--layer": ask.layer}
    more = {"--covariate": ask.covariates, "--baseline": ask.baselines, "--train": ask.train}
    for option, value in [*given.items(), *((k, v or None) for k, v in more.items())]:
        if value is not None:
            raise UsageError(f"{option} is of no use to matching", fix=f"leave {option} out")
    if ask.picture:
        raise UsageError("a match has no picture", fix="leave --plot out")


def _sides_of(guess: Cells) -> str:
    facts = facts_of(guess)
    return f"{facts.get('rows', 'rows')} to {facts.get('columns', 'columns')}"


def _in_parts(side: Side, parts: Array) -> Side:
    return Side(side.name, replace(side.match, parts=parts), side.coverage)


def _controls(match: Match, seed: int) -> list[tuple[str, str, Match]]:
    """A drawn partner for each cell, the same weight for all, and the truth."""
    n, m = match.weights.shape
    rng = np.random.default_rng([seed, n, m])
    ones, indptr = np.ones(n), np.arange(n + 1)
    drawn = sparse.csr_array((ones, rng.integers(0, m, n), indptr), shape=(n, m))
    places = rng.standard_normal((n, 8)), rng.standard_normal((m, 8))
    own = sparse.csr_array((ones, np.arange(n), indptr), shape=(n, m))
    nothing = sparse.csr_array((n, m))
    here = match.parts, match.groups, match.labels
    return [
        ("random", BASELINE, _like(drawn, places, 0.0, *here)),
        ("constant", BASELINE, _like(nothing, None, 1 / m, *here)),
        ("truth", CEILING, _like(own, None, 0.0, *here)),
    ]


def _like(
    weights: sparse.csr_array,
    places: tuple[Array, Array] | None,
    rest: float,
    parts: Array,
    groups: tuple[Array, Array] | None,
    labels: Labels | None,
) -> Match:
    return Match(weights, parts, rest, places, groups, labels)


def _evaluate(match: Match, design: Design, metrics: Sequence[str]) -> dict[str, Result]:
    results = {}
    for name in metrics:
        one = metric(name)(design)
        one.update(match)
        for variant in one.variants:
            results[f"{name}@{variant}" if variant else name] = one.result(variant)
    return results


def _levels(column: str, words: Array, shown: Sequence[tuple[str, Match]]) -> list[Level]:
    """The same of the cells of each level; candidates are all."""
    levels = []
    names = np.array(["missing" if w is None else str(w) for w in words])
    for level in np.unique(names):
        rows = np.flatnonzero(names == level)
        values: dict[str, dict[str, float | None]] = {}
        for name, match in shown:
            some = Match(
                match.weights, np.zeros_like(match.parts), match.rest, match.places, match.groups,
                match.labels, rows,
            )  # fmt: skip
            some.__dict__["standing"] = match.standing  # the same cells, looked at in part
            results = _evaluate(some, Design.plain(), IN_LEVELS)
            values[name] = {key: result.value for key, result in results.items()}
        levels.append(Level(column, str(level), len(rows), values))
    return levels


def _protocol(key: str, ground: Ground, n_columns: int) -> Protocol:
    name, _, variant = key.partition("@")
    measure = metric(name)
    text = "\n".join(ground.names.astype(str)).encode()
    return Protocol(
        id=key,
        definition=measure.definition + (f"; k = {variant}" if variant else ""),
        direction="higher" if measure.direction > 0 else "lower",
        task=NAME,
        modality="pairs",
        layer="X",
        units="weights",
        normalisation="rows sum to 1",
        features=f"{len(ground.names):,} cells, {n_columns:,} candidates",
        features_digest=sha256(text).hexdigest()[:16],
        degenerate="rows without weights: 0, counted",
        not_covered="without weights",
    )
