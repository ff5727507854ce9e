"""The task of embeddings: do cells of a type lie together, are batches mixed, is biology kept?

The members and their mean are those of the multi-modal benchmark of NeurIPS 2021; members whose
columns the truth lacks are named and left out. Batches are mixed best by numbers drawn at random, so
these stand beside, with zeros, PCA (and PCA with LSI where there is chromatin), and a table says how
far each figure is from random. Only cells that the embedding was not fitted on are scored.
"""

import json
from collections.abc import Mapping
from hashlib import sha256

import numpy as np

from scgx.errors import UsageError
from scgx.h5ad.features import present
from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places
from scgx.tasks import _bootstrap
from scgx.tasks._evaluate import metric
from scgx.tasks._place_ground import Array, Ground, embeddings_of, ground_of
from scgx.tasks._request import Request
from scgx.tasks._scores import BASELINE, CONTROL, GUESS, Entry, Extra, Protocol, Scores, strongest
from scgx.tasks._verdict import verdict

NAME = "embedding"
HEADLINE = "overall"
MEMBERS = ("nmi", "asw_label", "cc_cons", "ti_cons_batch", "asw_batch", "graph_conn")
BESIDE = ("ari", "knn_purity")
RANDOM = 10  # numbers drawn for each cell


def score(ask: Request) -> Scores:
    """Everything about these embeddings; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    found = embeddings_of(ask)
    ground = ground_of(ask, found)
    truth = ask.truth
    names = truth.obs_names[ground.rows]
    obs = truth.obs.take(ground.rows)
    by = ask.by or ground.split.by
    groups = obs.strings(by) if by and by in obs else None
    drawn = _bootstrap.plan(names, groups, by, seed=ask.seed)
    design = Design(drawn.weights)
    shown = [(one.name, GUESS, one.vectors(names)) for one in found]
    shown += _beside(ask, ground, {one.name for one in found})
    members = _members(ground)
    entries = []
    for name, kind, vectors in shown:
        ask.say(f"{name}: neighbours, clusters and silhouettes of {len(vectors):,} cells")
        places = Places(
            vectors.astype(np.float64), ground.types, ground.batches, drawn.parts, ground.cycle,
            ground.before, tuple(ground.orders.values()),
        )  # fmt: skip
        results: dict[str, Result] = {}
        for key in (*members, *BESIDE):
            one = metric(key)(design)
            one.update(places)
            results[key] = one.result()
        entries.append(Entry(name, kind, {HEADLINE: _overall(results, members)} | results))
    judged = [entry for entry in entries if entry.kind == GUESS]
    best = strongest([e for e in entries if e.kind == BASELINE], HEADLINE, "higher")
    return Scores(
        task=NAME,
        truth=truth.name,
        headline=HEADLINE,
        modality="embedding",
        units=ground.label,
        normalisation="none",
        n_cells=len(ground.rows),
        n_features=len(ground.names),
        bootstrap=drawn.over,
        groups=drawn.groups,
        left_out=ground.left_out,
        seed=ask.seed,
        entries=tuple(entries),
        replicate={},
        protocols={key: _protocol(key, ground, members) for key in (HEADLINE, *members, *BESIDE)},
        levels=(),
        verdicts=tuple(verdict(entry, best, HEADLINE, drawn) for entry in judged),
        notes=tuple(ground.notes),
        extras=tuple(_against_random(entry, entries) for entry in judged),
        what="types",
    )


def _refuse_options(ask: Request) -> None:
    given = {
        "--modality": ask.modality, "--units": ask.units, "--layer": ask.layer,
        "--covariate": ask.covariates or None, "--per": ask.per or None,
        "--plot": True if ask.picture else None,
    }  # fmt: skip
    for option, value in given.items():
        if value is not None:
            fix = "scgx plot draws it" if option == "--plot" else f"leave {option} out"
            raise UsageError(f"{option} is of no use to embedding", fix=fix)


def _members(ground: Ground) -> tuple[str, ...]:
    lacking = {
        "asw_batch": ground.batches is None, "cc_cons": ground.before is None,
        "ti_cons_batch": not ground.orders,
    }  # fmt: skip
    return tuple(key for key in MEMBERS if not lacking.get(key, False))


def _beside(ask: Request, ground: Ground, taken: set[str]) -> list[tuple[str, str, Array]]:
    """PCA (and with LSI) of the training rows, what was asked for, and the controls."""
    kinds = present(ask.truth.var)
    names = ["pca"] if {"rna", "adt", "activity"} & set(kinds) else []
    names += ["lsi"] if "atac" in kinds and not names else []
    names += ["pca+lsi"] if "atac" in kinds and names == ["pca"] else []
    made: list[tuple[str, str, Array]] = []
    for name in dict.fromkeys([*names, *ask.baselines]):
        if ask.fitted is None:
            break
        if not ground.split.found and ask.train is None:
            ground.notes.append(f"baseline {name} is fitted on the scored cells: there is no split")
        ask.say(f"{name}: fitted as a baseline")
        called = name if name not in taken else f"{name} (baseline)"
        made.append((called, BASELINE, ask.fitted(name, ground.rows)))
    n = len(ground.rows)
    rng = np.random.default_rng(ask.seed)
    made.append(("random", CONTROL, rng.standard_normal((n, RANDOM))))
    made.append(("zeros", CONTROL, np.zeros((n, RANDOM))))
    return made


def _overall(results: Mapping[str, Result], members: tuple[str, ...]) -> Result:
    """The mean of the members; what has no draws counts in each draw as it is."""
    values = [results[key].value for key in members]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        lost = [key for key in members if results[key].value is None]
        return Result(None, np.zeros(0), 0, note=f"{', '.join(lost)} not defined")
    draws = sum(
        results[key].draws if len(results[key].draws) else np.float64(results[key].value or 0)
        for key in members
    )
    return Result(float(np.mean(known)), np.atleast_1d(draws) / len(members), len(members))


def _against_random(entry: Entry, entries: list[Entry]) -> Extra:
    """How much of the way from random numbers to 1 each figure is, for what is shown."""
    random = next(other for other in entries if other.name == "random" and other.kind == CONTROL)
    others = [other for other in entries if other.kind == BASELINE]
    rows = []
    for key, result in entry.results.items():
        base = random.results[key].value
        cells: list[object] = [key, result.value, base]
        for one in (entry, *others):
            value = one.results[key].value
            known = value is not None and base is not None and base < 1
            cells.append((value - base) / (1 - base) if known else None)  # type: ignore[operator]
        rows.append(tuple(cells))
    columns = ("metric", "value", "random", "of the way to 1", *(other.name for other in others))
    return Extra("from random numbers (0) to 1", entry.name, columns, tuple(rows))


def _protocol(key: str, ground: Ground, members: tuple[str, ...]) -> Protocol:
    definition = f"mean of {', '.join(members)}"
    if key != HEADLINE:
        definition = metric(key).definition
    return Protocol(
        id=key,
        definition=definition,
        direction="higher",
        task=NAME,
        modality="embedding",
        layer="obsm",
        units=f"{ground.label}; batches {ground.batch or 'none'}",
        normalisation="none",
        features=f"{len(ground.names)} types",
        features_digest=sha256(json.dumps(ground.names).encode()).hexdigest()[:16],
        ties="the first in the order of names",
        degenerate="a type without two batches is left out of asw_batch, counted",
        not_covered="refused",
    )
