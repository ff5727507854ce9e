"""The task of matching: which cell of one modality is which of another?

A guess has a row for each cell of one side and a column for each of the other, both by name, and
weights in X. The true partner of a cell is the column of its name. The headline is the weight that true
partners get, which the multi-modal benchmark ranks by; how near partners lie is judged in the
common space where the guess carries one (obsm and varm "X_common"), else by the weights alone.
Beside each guess stand a match that knows nothing (`constant`) and one that was drawn (`random`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from scipy import sparse

from scgx.errors import DataError, UsageError
from scgx.h5ad import obsm
from scgx.h5ad.cells import Cells
from scgx.metrics._matching import Array, Design, Labels, Match
from scgx.metrics._panel import Result
from scgx.tasks import _bootstrap, _pairing
from scgx.tasks._evaluate import metric
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
SPACE = "X_common"


@dataclass(frozen=True)
class _Side:
    """A guess in the order of the scored cells: row i and column i are one cell."""

    name: str
    match: Match
    coverage: float


@dataclass
class _Ground:
    """The scored cells by name, their rows in the truth, and guesses about them."""

    split: _pairing.Split
    rows: Array
    names: Array
    guesses: list[_Side]
    classes: tuple[str, ...]
    left_out: int
    notes: list[str]


def score(ask: Request) -> Scores:
    """Everything about these guesses; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    ground = _ground(ask)
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


def _ground(ask: Request) -> _Ground:
    truth = ask.truth
    for column in (ask.label, ask.by, *ask.per):
        if column is not None:
            truth.obs.strings(column)  # refuses an unknown one, and names the nearest
    split = _pairing.split_of(truth)
    notes = list(split.notes)
    if not split.found:
        notes.append("the truth has no split: all its rows are scored")
    position = {name: i for i, name in enumerate(truth.obs_names)}
    truth.require_unique("obs")
    for guess in ask.guesses:
        guess.require_unique("obs", "var")
        _pairing.refuse_strangers(guess, position)
        if not set(guess.var_names.tolist()) & position.keys():
            raise DataError(
                f"its columns are no cells of the truth ({guess.var_names[0]!r})",
                fix="scgx align writes a match",
                file=guess.name,
            )
    rows = split.test[np.argsort(truth.obs_names[split.test].astype(str), kind="stable")]
    seen = _pairing.trained(truth, ask.guesses, rows, split)
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    rows = rows[~seen]
    names = truth.obs_names[rows]
    there = np.all([_pairing.find(g.var_names, names) >= 0 for g in ask.guesses], axis=0)
    if not there.any():
        raise DataError("no test cell is a column of every guess", file=ask.guesses[0].name)
    if not there.all():
        notes.append(f"{int((~there).sum()):,} test cells have no column in every guess: left out")
    rows, names = rows[there], names[there]
    words = truth.obs.strings(ask.label) if ask.label else None
    known = [] if words is None else [w for w in words if w is not None]
    classes = tuple(sorted(set(known)))
    codes = None
    if words is not None:
        place = {word: code for code, word in enumerate(classes)}
        codes = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    labels = _pairing.short_names(ask.guesses)
    sides = []
    for guess, label in zip(ask.guesses, labels, strict=True):
        sides.append(_side(guess, label, truth, names, codes, notes))
    return _Ground(split, rows, names, sides, classes, left_out, notes)


def _side(
    guess: Cells, label: str, truth: Cells, names: Array, codes: Array | None, notes: list[str]
) -> _Side:
    """A guess by names: its columns so that the partner of row i is column i."""
    rows, columns = _pairing.find(guess.obs_names, names), _pairing.find(guess.var_names, names)
    covered = float(np.mean(rows >= 0))
    if covered == 0:
        raise DataError("holds none of the test rows", file=guess.name)
    if covered < 1:
        notes.append(
            f"{label} covers {covered:.1%} of the scored cells; others are without weights"
        )
    others = np.setdiff1d(np.arange(guess.n_var), columns)
    order = np.concatenate([columns, others])
    weights = _weights(guess, rows, order)
    places = _places(guess, rows, order)
    if places is None:
        notes.append(f"{label} has no {SPACE}: who is nearest is judged by its weights")
    groups, by = None, str(_facts(guess).get("by") or "")
    everyone = _pairing.find(truth.obs_names, guess.var_names[order])
    if by and by in truth.obs:
        level = np.unique(truth.obs.strings(by).astype(str), return_inverse=True)[1]
        column = np.where(everyone >= 0, level[everyone], -1)
        groups = (column[: len(names)], column)
        notes.append(f"{label} was matched within {by}: only those cells are candidates")
    kinds = None
    if codes is not None:
        kind = np.where(everyone >= 0, codes[everyone], -1)
        kinds = Labels(kind[: len(names)], kind)
    parts = np.zeros(len(names), dtype=np.intp)
    return _Side(label, Match(weights, parts, 0.0, places, groups, kinds), covered)


def _weights(guess: Cells, rows: Array, order: Array) -> sparse.csr_array:
    """X in the order of the scored cells, no weight below zero, rows divided by their sum."""
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    blocks = []
    for start in range(0, len(rows), 4_096):
        part = rows[start : start + 4_096]
        block = sparse.csr_array(guess.rows("X", np.maximum(part, 0)), dtype=np.float64)
        if not np.isfinite(block.data).all():
            raise DataError("X holds weights that are not finite", file=guess.name)
        block.data = np.maximum(block.data, 0)
        keep = np.repeat(part >= 0, np.diff(block.indptr))
        block.data[~keep] = 0
        total = np.asarray(block.sum(axis=1)).ravel()
        block.data /= np.repeat(np.where(total > 0, total, 1), np.diff(block.indptr))
        made = sparse.csr_array((block.data, place[block.indices], block.indptr), shape=block.shape)
        made.eliminate_zeros()
        blocks.append(made)
    return sparse.vstack(blocks, format="csr")


def _places(guess: Cells, rows: Array, order: Array) -> tuple[Array, Array] | None:
    if not (guess.has(f"obsm/{SPACE}") and guess.has(f"varm/{SPACE}")):
        return None
    left, right = obsm.places_of(guess, f"obsm/{SPACE}"), obsm.places_of(guess, f"varm/{SPACE}")
    if left.shape[1] != right.shape[1]:
        raise DataError(f"{SPACE} of rows and of columns are not in one space", file=guess.name)
    if (rows < 0).any():
        return None
    return left[rows], right[order]


def _facts(guess: Cells) -> dict[str, object]:
    recorded = guess.scgx.get("matching")
    facts = json.loads(recorded) if isinstance(recorded, str) else {}
    return facts if isinstance(facts, dict) else {}


def _sides_of(guess: Cells) -> str:
    facts = _facts(guess)
    return f"{facts.get('rows', 'rows')} to {facts.get('columns', 'columns')}"


def _in_parts(side: _Side, parts: Array) -> _Side:
    match = side.match
    made = Match(match.weights, parts, match.rest, match.places, match.groups, match.labels)
    return _Side(side.name, made, side.coverage)


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


def _protocol(key: str, ground: _Ground, n_columns: int) -> Protocol:
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
