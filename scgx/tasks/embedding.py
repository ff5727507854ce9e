"""The task of embeddings: do cells of a type lie together, are batches mixed, is biology kept?

The members and their mean are those of the multi-modal benchmark of NeurIPS 2021; members whose
columns the truth lacks are named and left out. Batches are mixed best by numbers drawn at random, so
these stand beside, with zeros, PCA (and PCA with LSI where there is chromatin), and a table says how
far each figure is from random. Only cells that the embedding was not fitted on are scored.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from scipy import sparse

from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, present
from scgx.metrics._cycle import Principal, explained_by
from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places
from scgx.metrics._sets import Space
from scgx.tasks import _bootstrap, _pairing
from scgx.tasks._conversion import reading, totals
from scgx.tasks._evaluate import metric
from scgx.tasks._request import Request
from scgx.tasks._scores import BASELINE, CONTROL, GUESS, Entry, Extra, Protocol, Scores, strongest
from scgx.tasks._verdict import verdict

NAME = "embedding"
HEADLINE = "overall"
MEMBERS = ("nmi", "asw_label", "cc_cons", "ti_cons_batch", "asw_batch", "graph_conn")
BESIDE = ("ari", "knn_purity")
CYCLE = ("S_score", "G2M_score")
ORDER = "pseudotime"  # columns of obs that begin or end so
RANDOM = 10  # numbers drawn for each cell

Array = np.ndarray


@dataclass(frozen=True)
class _Ground:
    """The scored cells in the order of their names: rows of the truth, what is known of them."""

    label: str
    batch: str | None
    rows: Array
    types: Array  # codes (n,)
    names: tuple[str, ...]  # of the types
    batches: Array | None
    cycle: Array | None
    before: dict[int, float] | None
    orders: dict[str, Array]
    split: _pairing.Split
    left_out: int
    notes: list[str]


def score(ask: Request) -> Scores:
    """Everything about these embeddings; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    found = _embeddings(ask)
    ground = _ground(ask, found)
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


@dataclass(frozen=True)
class _Embedding:
    """One array of obsm of a guess; `scgx` says who it was fitted on, as that of a prediction does."""

    cells: Cells
    key: str
    label: str

    @property
    def name(self) -> str:
        """What its column is called."""
        return self.label

    @property
    def scgx(self) -> dict[str, object]:
        """Hashes of training cells and the split, where the file says so of this array."""
        told = self.cells.scgx.get("embeddings")
        about = told.get(self.key) if isinstance(told, dict) else None
        return about if isinstance(about, dict) else {}

    def vectors(self, names: Array) -> Array:
        """Of the cells named, float64 (n, d); DataError for missing cells and for NaN."""
        rows = _pairing.find(self.cells.obs_names, names)
        if lacking := int((rows < 0).sum()):
            raise DataError(
                f"lacks {lacking:,} of {len(rows):,} scored cells",
                fix="embed all cells of the truth",
                file=self.cells.name,
            )
        whole = self.cells.matrix(f"obsm/{self.key}").slice(0, self.cells.n_obs)
        values = (whole if isinstance(whole, np.ndarray) else whole.toarray())[rows]
        if not np.isfinite(values).all():
            raise DataError(f"obsm[{self.key!r}] holds NaN or Inf", file=self.cells.name)
        return values.astype(np.float64)


def _embeddings(ask: Request) -> list[_Embedding]:
    """What is scored of each guess: --basis, else what scgx embedded, else all of obsm."""
    found = []
    for cells in ask.guesses:
        there = cells.keys("obsm")
        told = cells.scgx.get("embeddings")
        keys = [key for key in told if key in there] if isinstance(told, dict) else []
        if ask.basis:
            keys = [key if key in there else f"X_{key}" for key in ask.basis]
        for key in keys or there:
            if key not in there:
                raise DataError(
                    f"has no obsm[{key!r}]",
                    fix=f"there: {', '.join(there) or 'none'}",
                    file=cells.name,
                )
            found.append((cells, key))
        if not (keys or there):
            raise DataError("has no embedding in obsm", fix="scgx embed makes one", file=cells.name)
    alone = len({key for _, key in found}) == len(found)
    files = dict(zip(map(id, ask.guesses), _pairing.short_names(ask.guesses), strict=True))
    return [
        _Embedding(cells, key, key.removeprefix("X_") if alone else f"{files[id(cells)]}:{key}")
        for cells, key in found
    ]


def _ground(ask: Request, found: list[_Embedding]) -> _Ground:
    truth = ask.truth
    label = ask.label or "cell_type"
    words = truth.obs.strings(label)
    split = _pairing.split_of(truth)
    notes = (
        list(split.notes) if split.found else ["the truth has no split: all its rows are scored"]
    )
    for cells in (truth, *ask.guesses):
        cells.require_unique("obs")
    position = {name: i for i, name in enumerate(truth.obs_names)}
    for cells in ask.guesses:
        _pairing.refuse_strangers(cells, position)
    labelled = np.array([word is not None for word in words[split.test]], dtype=bool)
    if lacking := int((~labelled).sum()):
        notes.append(f"{lacking:,} of {len(labelled):,} scored cells have no {label}: left out")
    rows = split.test[labelled]
    seen = _pairing.trained(truth, found, rows, split)  # type: ignore[arg-type]
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    rows = rows[~seen]
    if len(rows) < 20:
        raise DataError(f"{len(rows)} cells are too few to score an embedding", file=truth.name)
    rows = rows[np.argsort(truth.obs_names[rows].astype(str), kind="stable")]
    names, types = np.unique(words[rows].astype(str), return_inverse=True)
    batch = _batch(ask, split, rows, notes)
    batches = None
    if batch is not None:
        known = ["missing" if word is None else word for word in truth.obs.strings(batch)[rows]]
        levels, batches = np.unique(np.array(known, dtype=str), return_inverse=True)
        if len(levels) < 2:
            batches = None
    cycle = None
    if all(name in truth.obs for name in CYCLE):
        cycle = np.column_stack([truth.obs.numbers(name)[rows] for name in CYCLE])
    before = None if cycle is None else _before(truth, rows, batches, cycle, notes)
    orders = {
        name: truth.obs.numbers(name)[rows]
        for name in truth.obs.columns
        if name.startswith(ORDER) or name.endswith(ORDER)
    }
    orders = {name: values for name, values in orders.items() if np.isfinite(values).sum() > 3}
    for member, there, lacks in (
        ("asw_batch", batches, "two batches among the scored cells (--batch names their column)"),
        ("cc_cons", before, "S_score and G2M_score with RNA"),
        ("ti_cons_batch", orders, "pseudotime in obs"),
    ):
        if there is None or not len(there):
            notes.append(f"{member} is left out of the mean: no {lacks}")
    return _Ground(
        label, batch, rows, types, tuple(names.tolist()), batches, cycle if before else None, before,
        orders, split, left_out, notes,
    )  # fmt: skip


def _batch(ask: Request, split: _pairing.Split, rows: Array, notes: list[str]) -> str | None:
    """The column of batches: the one named, else obs["batch"], else that of the split."""
    obs = ask.truth.obs
    if ask.batch is not None:
        obs.strings(ask.batch)  # refuses an unknown one, and names the nearest
        return ask.batch
    for name in ("batch", split.by):
        if name and name in obs and len(set(obs.strings(name)[rows].tolist())) > 1:
            notes.append(f"batches are those of {name!r} (--batch names another column)")
            return name
    return None


def _before(
    truth: Cells, rows: Array, batches: Array | None, cycle: Array, notes: list[str]
) -> dict[int, float] | None:
    """By batch, the variance of RNA that the cell cycle explains; None without RNA."""
    if "rna" not in present(truth.var):
        return None
    how = reading(truth, "rna", "log1p-cp10k", None)
    columns = columns_of(truth, "rna")
    codes = np.zeros(len(rows), int) if batches is None else batches
    found = {}
    for code in np.unique(codes):
        some = rows[codes == code]
        depth = totals(truth, how, some, "rna") if how.depth else np.ones(len(some))
        log = how.convert(truth.rows(how.key, some, columns), depth)
        if len(some) < 4:
            continue
        space = Space.fit(_sparse(log))
        scores = _sparse(log) @ space.axes - space.mean @ space.axes
        share = explained_by(Principal(scores, scores.var(axis=0)), cycle[codes == code])
        if share is not None:
            found[int(code)] = share
    return found or None


def _sparse(block: object) -> sparse.csr_array:
    return sparse.csr_array(block, dtype=np.float64)


def _members(ground: _Ground) -> tuple[str, ...]:
    lacking = {
        "asw_batch": ground.batches is None, "cc_cons": ground.before is None,
        "ti_cons_batch": not ground.orders,
    }  # fmt: skip
    return tuple(key for key in MEMBERS if not lacking.get(key, False))


def _beside(ask: Request, ground: _Ground, taken: set[str]) -> list[tuple[str, str, Array]]:
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


def _protocol(key: str, ground: _Ground, members: tuple[str, ...]) -> Protocol:
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
