"""The task of responses: what a perturbation does to the mean profile of cells, gene by gene.

The headline is r of true and guessed change where the two subtract different controls: what one sample
of controls puts on both sides looks like skill (Norman's screen: the mean of all perturbations has .39
on unseen ones with shared controls, and nothing with independent ones). Baselines of means stand beside
every guess, for most published models do not beat them; half of the cells against the other half says
what can be reached, and where nothing can be said at all.
"""

from dataclasses import replace
from hashlib import sha256

import numpy as np

from scgx.errors import UsageError
from scgx.metrics._response import Design
from scgx.tasks import _bootstrap, _pairing
from scgx.tasks._centroids import UNITS, Log
from scgx.tasks._evaluate import metric
from scgx.tasks._request import Request
from scgx.tasks._response_baselines import MEAN, Answer, baselines, mean_change
from scgx.tasks._response_cells import CELLS, room
from scgx.tasks._response_cells import UNITS as LOOKED_AT
from scgx.tasks._response_guess import guessed
from scgx.tasks._response_tables import (
    HEADLINE,
    UNSCORED,
    by_kind,
    coverage,
    per_unit,
    picture,
    strata,
    told,
)
from scgx.tasks._response_walk import Bench, judge, keys, replicate, self_test
from scgx.tasks._responses import Measured, measure
from scgx.tasks._scores import BASELINE, GUESS, Entry, Protocol, Scores, strongest
from scgx.tasks._screened import Array, Ground, ground
from scgx.tasks._verdict import verdict

NAME = "perturbation"
EXPRESSED = 1_000
SYMBOLS = ("gene_name", "feature_name", "gene_symbol", "gene_symbols")


def score(ask: Request) -> Scores:
    """Everything about these predicted responses; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    here = ground(ask)
    log = Log.truth(ask.truth, here.columns, np.union1d(here.train, here.test), ask.layer)
    ask.say(f"means of {len(here.groups):,} groups of test cells, and of what trains")
    measured = measure(log, here, ask.memory, answers=len(ask.guesses) + 6)
    simple = _renamed(ask, baselines(here, measured))
    mean = next((answer for answer in simple if answer.name.startswith(MEAN)), simple[0])
    guesses = guessed(ask, here, measured, log, mean)
    n = len(here.units)
    drawn = _bootstrap.plan(*(np.array(here.labels, dtype=object),) * 2, NAME, seed=ask.seed)
    weights = np.zeros((0, n)) if drawn.optimistic else drawn.weights[:, drawn.parts]
    drawn = drawn._replace(over=f"{n:,} perturbations", optimistic=False)
    bench = _bench(ask, here, log, (measured, simple), weights)
    ask.say(f"metrics of {len(guesses) + len(simple)} answers, then of halves of the test cells")
    results = judge(bench, simple, guesses)
    found = replicate(bench)

    kinds = {guess.answer.name: GUESS for guess in guesses}
    answers = [*(guess.answer for guess in guesses), *simple]
    entries = [
        Entry(answer.name, kinds.get(answer.name, BASELINE), results[answer.name],
              answer.coverage(here.groups.weight, n))
        for answer in answers
    ]  # fmt: skip
    below = [entry for entry in entries if entry.kind == BASELINE]
    best = strongest(below, HEADLINE, "higher")
    verdicts, extras = [], []
    for entry, answer in zip(entries, answers, strict=True):
        if entry.kind == GUESS:
            verdicts.append(told(verdict(entry, best, HEADLINE, drawn), entry, found.spread, n))
            extras += per_unit(here, entry, answer, below)
    within, unscored = strata(bench, here, answers, found)
    table, useless = self_test(found)
    notes = [*here.notes, *coverage(simple, here)]
    if isinstance(mark := ask.truth.scgx.get("observational"), str):
        notes.insert(0, mark)
    if unscored:
        more = f" and {len(unscored) - 5:,} more strata" if len(unscored) > 5 else ""
        notes.append(f"{UNSCORED}, replicate r under 0.2: {'; '.join(unscored[:5])}{more}")
    if useless:
        notes.append(f"uninformative on these data: {', '.join(useless)}")
    notes += bench.room.remarks()
    changes = {guess.answer.name: measured.pooled(guess.answer.change) for guess in guesses}
    return Scores(
        task=NAME,
        truth=ask.truth.name,
        headline=HEADLINE,
        modality="rna",
        units=UNITS,
        normalisation=log.how.recipe,
        n_cells=int(here.groups.cells.sum()),
        n_features=len(here.genes),
        bootstrap=drawn.over,
        groups=tuple(here.labels),
        left_out=here.left_out,
        seed=ask.seed,
        entries=tuple(entries),
        replicate=found.spread,
        protocols={key: _protocol(key, here, log) for key in keys()},
        levels=by_kind(here, entries),
        verdicts=tuple(verdicts),
        notes=tuple(notes),
        picture=picture(bench, here, entries, changes, found) if ask.picture else None,
        extras=(*extras, *within, table),
        what="genes",
    )


def _refuse_options(ask: Request) -> None:
    given = {
        "--modality": ask.modality if ask.modality != "rna" else None, "--per": ask.per or None,
        "--train": ask.train, "--by": ask.by, "--baseline": ask.baselines or None,
    }  # fmt: skip
    for option, value in given.items():
        if value is not None:
            fix = "train it, predict, and name its cells as another GUESS"
            raise UsageError(
                f"{option} is of no use to {NAME}",
                fix=fix if option == "--baseline" else f"leave {option} out",
            )


def _renamed(ask: Request, simple: list[Answer]) -> list[Answer]:
    """Baselines under names that no guess has."""
    taken = _pairing.short_names(ask.guesses)
    return [
        replace(one, name=f"{one.name} (baseline)") if one.name in taken else one for one in simple
    ]


def _bench(
    ask: Request, here: Ground, log: Log, known: tuple[Measured, list[Answer]], weights: Array
) -> Bench:
    measured, simple = known
    stratum = here.groups.stratum
    own = _targets(ask, here)
    panel = np.zeros(len(here.genes), dtype=bool)
    panel[np.concatenate([*own, np.zeros(0, dtype=np.int64)])] = True
    n = np.bincount(stratum, here.groups.cells, minlength=len(here.strata.names))
    level = n @ measured.base
    seen = room(log, here, own, ask.seed)
    mean = mean_change(simple, measured.test.shape)
    design = Design(
        truth=measured.pooled(measured.test - measured.test_control[stratum]),
        shared=measured.pooled(measured.test - measured.base[stratum]),
        mean=measured.pooled(mean),
        own=own,
        panel=panel,
        expressed=np.sort(np.argsort(-level, kind="stable")[:EXPRESSED]),
        weights=weights,
        scale=seen.scale,
    )
    return Bench(measured, design, seen)


def _targets(ask: Request, here: Ground) -> tuple[Array, ...]:
    """Positions of the targets of each perturbation among the genes, by name or by symbol."""
    place: dict[str, list[int]] = {}
    var = ask.truth.var.take(here.columns)
    names = [here.genes, *(var.strings(column) for column in SYMBOLS if column in var)]
    for words in names:
        for i, word in enumerate(words):
            if word is not None and i not in place.setdefault(str(word), []):
                place[str(word)].append(i)
    return tuple(
        np.array([i for t in one.targets for i in place.get(t, [])], dtype=np.int64)
        for one in here.units
    )


def _protocol(key: str, here: Ground, log: Log) -> Protocol:
    name, _, variant = key.partition("@")
    measure = metric(name)
    columns = ", ".join(here.strata.columns) or "all cells"
    cellwise = name.startswith(("de_", "energy", "mmd2")) or "de20" in variant
    few = f"; {CELLS} cells of a group, {LOOKED_AT} perturbations at most" if cellwise else ""
    return Protocol(
        id=key,
        definition=measure.definition + (f" ({variant})" if variant else ""),
        direction="higher" if measure.direction > 0 else "lower",
        task=NAME,
        modality="rna",
        layer=log.how.key,
        units=UNITS,
        normalisation=f"{log.how.recipe}; controls of one {columns}",
        features=f"{len(here.genes):,} genes that all files have, without those that are targeted",
        features_digest=sha256("\n".join(here.genes).encode()).hexdigest()[:16],
        not_covered=f"scored as the mean of the training perturbations (by cells){few}",
    )
