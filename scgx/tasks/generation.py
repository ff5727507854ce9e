"""The task of synthetic cells: are they like real ones, do they teach, and are they no copies?

Made cells have no partner among real ones, so sets of cells are compared, class by class. The
headline is what a classifier learns from made cells that is true of real held-out ones; whether a
forest can tell them apart, and how near they lie to the cells that were learned from, stand beside
it. All of it is printed for `resample`, `nb` and `copula` too, which cost little, and for real
cells against real cells.
"""

import json
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, present
from scgx.h5ad.units import counts_key, units_of
from scgx.metrics._sets import CellSet, Design, Space
from scgx.tasks import _bootstrap, _likeness, _pairing, _sampled, _teaching
from scgx.tasks._evaluate import metric
from scgx.tasks._made_picture import picture
from scgx.tasks._made_verdict import sentence
from scgx.tasks._request import Request
from scgx.tasks._sampled import Source
from scgx.tasks._scores import BASELINE, GUESS, Entry, Protocol, Scores, Spread, strongest
from scgx.tasks._teaching import CLASSIFIERS, Lesson, Level, Shipped
from scgx.tasks._verdict import verdict

NAME = "generation"
HEADLINE = f"tstr@{CLASSIFIERS[0]}"
BESIDE = ("resample", "nb", "copula")  # shipped generators that cost little
LEAST = 10  # training cells that a class must have

Array = np.ndarray


class Rows(NamedTuple):
    """Rows of the truth in each part, and codes of the classes of all rows; -1 is no class."""

    train: Array
    val: Array
    test: Array
    codes: Array


@dataclass(frozen=True, eq=False)
class _Ground:
    """Real cells of the three parts, made ones by name, and how all of it was chosen."""

    column: str
    classes: tuple[str, ...]
    genes: Array
    source: Source
    rows: Rows
    test_rows: Array
    train: CellSet
    val: CellSet | None
    test: CellSet
    made: dict[str, CellSet]
    split: _pairing.Split
    left_out: int
    notes: list[str]


def score(ask: Request) -> Scores:
    """Everything about these made cells; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    ground = _ground(ask)
    levels = _teaching.levels_of(ground.classes, _coarse(ask, ground.classes))
    guesses = list(ground.made)
    sizes = np.max([np.bincount(ground.made[name].codes, minlength=len(ground.classes))
                    for name in guesses], axis=0)  # fmt: skip
    beside = _beside(ask, ground, sizes)
    bench = _bench(ask, ground)
    names = ground.test_rows
    obs = ask.truth.obs.take(names)
    by = ask.by or ground.split.by
    groups = obs.strings(by) if by and by in obs else None
    drawn = _bootstrap.plan(ask.truth.obs_names[names], groups, by, seed=ask.seed)
    made = {name: cells.within(bench.design.train.space) for name, cells in
            {**ground.made, **beside}.items() if bench.design.train.space}  # fmt: skip
    school = _teaching.School(
        _shipped(ask).teach, ground.train, ground.val, ground.test, ground.genes, ground.classes,
        ground.column, drawn, levels,
    )  # fmt: skip
    ask.say(f"{' and '.join(CLASSIFIERS)} learn from real cells")
    answers = school.real(list(made.values()))
    ideal = school.ideal({name: found[0] for name, found in answers.items()})

    entries, extras = [], []
    for turn, (name, cells) in enumerate(made.items(), start=1):
        ask.say(f"{name}: classifiers learn from {len(cells):,} cells, and it is compared")
        judged = school.judge({key: found[turn] for key, found in answers.items()}, cells)
        like = _likeness.results(
            bench.design, bench.pairs(cells), (*_likeness.LIKENESS, *_likeness.MEMORISATION)
        )
        kind = GUESS if name in guesses else BASELINE
        entries.append(Entry(name, kind, {**judged.results, **like}))
        if kind == GUESS:
            rows = [*ideal.rows, *judged.rows]
            extras += [_teaching.summary(rows, name), *_teaching.by_class(rows, name)]
            shown = {key: made[key] for key in (name, *beside)}
            extras.append(_likeness.per_class(bench, shown, name))
    spread = _likeness.ceiling(bench)
    for key, result in ideal.results.items():
        if result.value is not None:
            spread[key] = Spread(result.value, 0.0)
    best = strongest([e for e in entries if e.kind == BASELINE], HEADLINE, "higher")
    judged_entries = [entry for entry in entries if entry.kind == GUESS]
    verdicts = [
        replace(told, sentence=told.sentence + sentence(entry, spread, HEADLINE))
        for entry in judged_entries
        for told in (verdict(entry, best, HEADLINE, drawn),)
    ]
    ids = [level.key(id, c) for id in ("tstr", "trts") for level in levels for c in CLASSIFIERS]
    for id in (*_likeness.LIKENESS, *_likeness.MEMORISATION):
        ids += _likeness.keys(id)
    return Scores(
        task=NAME,
        truth=ask.truth.name,
        headline=HEADLINE,
        modality=_modality(ask.truth),
        units="counts",
        normalisation="log1p-cp10k over the shared genes",
        n_cells=len(ground.test),
        n_features=len(ground.genes),
        bootstrap=drawn.over,
        groups=drawn.groups,
        left_out=ground.left_out,
        seed=ask.seed,
        entries=tuple(entries),
        replicate=spread,
        protocols={id: _protocol(id, ground, levels, ask) for id in ids},
        levels=(),
        verdicts=tuple(verdicts),
        notes=tuple(ground.notes),
        picture=picture(bench, made, entries, spread, ground.classes) if ask.picture else None,
        extras=tuple(extras),
        what="genes",
    )


def _refuse_options(ask: Request) -> None:
    given = {
        "--modality": ask.modality, "--units": ask.units, "--layer": ask.layer,
        "--covariate": ask.covariates or None, "--per": ask.per or None, "--train": ask.train,
    }  # fmt: skip
    for option, value in given.items():
        if value is not None:
            raise UsageError(f"{option} is of no use to generation", fix=f"leave {option} out")


def _modality(cells: Cells) -> str:
    kinds = present(cells.var)
    return "rna" if "rna" in kinds else kinds[0]


def _ground(ask: Request) -> _Ground:
    truth = ask.truth
    column = ask.label or _column(ask)
    words = truth.obs.strings(column)
    if ask.by is not None:
        truth.obs.strings(ask.by)  # refuses an unknown one, and names the nearest
    for cells in (truth, *ask.guesses):
        cells.require_unique("var")
    truth.require_unique("obs")
    if "split" not in truth.obs or not np.any(truth.obs.strings("split") == "train"):
        raise DataError(
            "synthetic cells are scored on real cells with train and test rows",
            fix="scgx split --by donor makes them",
            file=truth.name,
        )
    split = _pairing.split_of(truth)
    notes = list(split.notes)
    part = truth.obs.strings("split")
    seen = _pairing.trained(truth, ask.guesses, split.test, split)
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    classes = _classes(words, split.train, split.test[~seen], notes)
    place = {name: code for code, name in enumerate(classes)}
    codes = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    rows = Rows(split.train, np.flatnonzero(part == "val"), split.test[~seen], codes)
    genes, source, others = _sources(ask, len(classes))
    chosen = [_some(ask, truth, codes, part_rows) for part_rows in rows[:3]]
    train, val, test = (
        _sampled.cell_set(source.read(some), codes[some]) if len(some) else None for some in chosen
    )
    if train is None or test is None:
        raise DataError(f"no training or no test row has a {column}", file=truth.name)
    _say_sampled(ask, rows, chosen, notes)
    labels = _pairing.short_names(ask.guesses)
    made = {
        name: _made(ask, other, column, classes, notes, name)
        for name, other in zip(labels, others, strict=True)
    }
    return _Ground(
        column, classes, genes, source, rows, chosen[2], train, val, test, made, split, left_out, notes
    )  # fmt: skip


def _column(ask: Request) -> str:
    """The column that the files of made cells name as their label."""
    found = set()
    for guess in ask.guesses:
        recorded = guess.scgx.get("model")
        facts = json.loads(recorded) if isinstance(recorded, str) else {}
        found.add(str(guess.scgx.get("label") or facts.get("label") or ""))
    if len(found - {""}) != 1:
        raise UsageError("which column has the classes?", fix="name it with --label")
    return (found - {""}).pop()


def _classes(words: Array, train: Array, test: Array, notes: list[str]) -> tuple[str, ...]:
    """Classes with enough training cells and a test cell, sorted."""
    names, counts = np.unique([w for w in words[train] if w is not None], return_counts=True)
    asked = {word for word in words[test] if word is not None}
    kept = tuple(
        str(n) for n, count in zip(names, counts, strict=True) if count >= LEAST and n in asked
    )
    lost = sorted(({str(name) for name in names} | asked) - set(kept))
    if lost:
        notes.append(
            f"classes with under {LEAST} training cells or no test cell are left out: "
            + ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        )  # fmt: skip
    if len(kept) < 2:
        raise DataError(
            f"{len(kept)} classes have {LEAST} training cells and a test cell; two are needed",
            fix="name another column with --label",
        )
    return kept


def _sources(ask: Request, n_classes: int) -> tuple[Array, Source, list[Source]]:
    """The genes that all files have, sorted by name, and where the counts of each file are."""
    truth = ask.truth
    kind = _modality(truth)
    columns = columns_of(truth, kind)
    shared = set(truth.var_names[columns].tolist())
    for guess in ask.guesses:
        shared &= set(guess.var_names.tolist())
        if len(shared) < 2:
            raise DataError(
                f"shares {len(shared)} features with {truth.name}",
                fix="names of features must agree; scgx info shows them",
                file=guess.name,
            )
        if units_of(guess, "X", kind) != "counts":
            raise DataError(
                f"X is {units_of(guess, 'X', kind)}, and synthetic cells are scored as counts",
                fix="scgx normalize --method counts restores them where it can",
                file=guess.name,
            )
    genes = np.array(sorted(shared), dtype=object)
    others = [Source(g, "X", _pairing.find(g.var_names, genes)) for g in ask.guesses]
    source = Source(truth, counts_key(truth, kind), _pairing.find(truth.var_names, genes))
    most = ask.sample * n_classes
    parts = [(source, min(truth.n_obs, 3 * most))]
    parts += [(other, min(other.cells.n_obs, most)) for other in others]
    largest = max((other.cells.n_obs for other in others), default=0)
    parts += [(source, min(largest, most))] * len({*BESIDE, *ask.baselines})
    _sampled.check_room(parts, ask.memory)
    return genes, source, others


def _some(ask: Request, cells: Cells, codes: Array, rows: Array) -> Array:
    """Rows of a part, at most so many of each class."""
    chosen = _sampled.some_of(cells.obs_names[rows], codes[rows], ask.sample, seed=ask.seed)
    return rows[chosen]


def _say_sampled(ask: Request, rows: Rows, chosen: list[Array], notes: list[str]) -> None:
    for name, every, some in zip(("training", "validation", "test"), rows, chosen, strict=False):
        have = int((rows.codes[every] >= 0).sum())
        if len(some) < have:
            notes.append(
                f"{len(some):,} of {have:,} {name} cells are used, at most {ask.sample:,} of a class"
                " (--sample)"
            )


def _made(
    ask: Request, source: Source, column: str, classes: tuple[str, ...], notes: list[str], name: str
) -> CellSet:
    """Made cells of the classes that are scored."""
    cells = source.cells
    words = cells.obs.strings(column)
    place = {word: code for code, word in enumerate(classes)}
    codes = np.array([place.get(word, -1) for word in words], dtype=np.int64)
    chosen = _sampled.some_of(cells.obs_names, codes, ask.sample, seed=ask.seed)
    if not len(chosen):
        raise DataError(
            f"obs[{column!r}] holds none of the real classes ({classes[0]!r}, ...)",
            fix="name another column with --label",
            file=cells.name,
        )
    if strange := sorted({w for w in words if w is not None and w not in place}):
        notes.append(f"{name}: {len(strange)} classes are no real ones: {', '.join(strange[:5])}")
    lacking = [word for code, word in enumerate(classes) if not np.any(codes == code)]
    if lacking:
        notes.append(f"{name} has no cells of, and gets wrong: {', '.join(lacking[:5])}")
    if len(np.unique(codes[chosen])) < 2:
        raise DataError("holds cells of one real class; two are needed", file=cells.name)
    have = int((codes >= 0).sum())
    if len(chosen) < have:
        notes.append(
            f"{name}: {len(chosen):,} of {have:,} cells are used, at most {ask.sample:,} of a class"
            " (--sample)"
        )
    return _sampled.cell_set(source.read(chosen), codes[chosen])


def _coarse(ask: Request, classes: tuple[str, ...]) -> dict[str, str]:
    """The map of fine to coarse, for the classes that are scored."""
    if ask.coarse is None:
        return {}
    lacking = [name for name in classes if name not in ask.coarse]
    if lacking:
        raise DataError(
            f"{len(lacking)} classes are not in the label map, {lacking[0]!r} first",
            fix="give every class its coarse one, or map it to itself",
        )
    return {name: ask.coarse[name] for name in classes}


def _beside(ask: Request, ground: _Ground, sizes: Array) -> dict[str, CellSet]:
    """What costs little, and the shipped models that were asked for; as many cells as a guess has."""
    made: dict[str, CellSet] = {}
    lesson = Lesson(ground.train, ground.val, ground.genes, ground.classes, ground.column)
    for name in dict.fromkeys((*BESIDE, *ask.baselines)):
        called = name
        while called in ground.made:
            called += " (baseline)"
        ask.say(f"{called}: learns from {len(ground.train):,} cells")
        try:
            made[called] = _shipped(ask).make(name, lesson, sizes)
        except DataError as error:
            if name in ask.baselines:
                raise
            ground.notes.append(f"{called} is left out: {error.what}")
    return made


def _shipped(ask: Request) -> Shipped:
    if not isinstance(ask.fitted, Shipped):
        raise DataError("models cannot be fitted here")
    return ask.fitted


def _bench(ask: Request, ground: _Ground) -> _likeness.Bench:
    space = Space.fit(ground.train.log)
    train = ground.train.within(space)
    every = np.sort(ground.rows.train)
    design = Design(train, ground.source.known(every), ask.seed)
    other = ground.val
    halves = other is None or len(np.unique(other.codes)) < len(ground.classes)
    ground.notes.append(
        "real against real is half of the test cells against the other half"
        if halves
        else "real against real is test cells against validation cells"
    )
    test = ground.test.within(space)
    beside = test if other is None else other.within(space)
    return _likeness.Bench(design, test, beside, ground.classes, halves, ask.seed)


def _protocol(id: str, ground: _Ground, levels: list[Level], ask: Request) -> Protocol:
    name, _, variant = id.partition("@")
    measure = metric(name)
    target = getattr(measure, "target", None)
    better = "higher" if measure.direction > 0 else "lower"
    what = f" ({variant.replace(',', ', ')})" if variant else ""
    if variant.endswith(",coarse"):
        what += f", {len(levels[-1].classes)} coarse classes by the label map"
    return Protocol(
        id=id,
        definition=measure.definition + what,
        direction=better if target is None else f"near {target:g}",
        task=NAME,
        modality=_modality(ask.truth),
        layer=ground.source.key,
        units="counts",
        normalisation="log1p-cp10k over the shared genes",
        features=f"{len(ground.genes):,} genes that all files have, {len(ground.classes)} classes",
        features_digest=sha256("\n".join(ground.genes).encode()).hexdigest()[:16],
        degenerate="a gene without variance has r = 0",
        not_covered=f"at most {ask.sample:,} cells of a class are used",
    )
