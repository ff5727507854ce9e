"""The task of synthetic cells: are they like real ones, do they teach, and are they no copies?

Made cells have no partner among real ones, so sets of cells are compared, class by class. The
headline is what a classifier learns from made cells that is true of real held-out ones; whether a
forest can tell them apart, and how near they lie to the cells that were learned from, stand beside
it. All of it is printed for `resample`, `nb` and `copula` too, which cost little, and for real
cells against real cells.
"""

from dataclasses import replace
from hashlib import sha256

import numpy as np

from scgx.errors import DataError, UsageError
from scgx.metrics._sets import CellSet, Design, Space
from scgx.tasks import _bootstrap, _likeness, _teaching
from scgx.tasks._evaluate import metric
from scgx.tasks._made_ground import BESIDE, Array, Ground, ground_of, modality_of
from scgx.tasks._made_picture import picture
from scgx.tasks._made_verdict import sentence
from scgx.tasks._request import Request
from scgx.tasks._scores import BASELINE, GUESS, Entry, Protocol, Scores, Spread, strongest
from scgx.tasks._teaching import CLASSIFIERS, Lesson, Level, Shipped
from scgx.tasks._verdict import verdict

NAME = "generation"
HEADLINE = f"tstr@{CLASSIFIERS[0]}"


def score(ask: Request) -> Scores:
    """Everything about these made cells; DataError where they cannot be scored honestly."""
    _refuse_options(ask)
    ground = ground_of(ask)
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
        modality=modality_of(ask.truth),
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


def _beside(ask: Request, ground: Ground, sizes: Array) -> dict[str, CellSet]:
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


def _bench(ask: Request, ground: Ground) -> _likeness.Bench:
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


def _protocol(id: str, ground: Ground, levels: list[Level], ask: Request) -> Protocol:
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
        modality=modality_of(ask.truth),
        layer=ground.source.key,
        units="counts",
        normalisation="log1p-cp10k over the shared genes",
        features=f"{len(ground.genes):,} genes that all files have, {len(ground.classes)} classes",
        features_digest=sha256("\n".join(ground.genes).encode()).hexdigest()[:16],
        degenerate="a gene without variance has r = 0",
        not_covered=f"at most {ask.sample:,} cells of a class are used",
    )
