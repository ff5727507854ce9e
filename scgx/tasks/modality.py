"""The task of cross-modality prediction: one modality of a cell from another.

Cells pair by name. The headline is r per feature, in which the mean profile scores 0; what the mean
profile already explains (error, r per cell) is printed beside its baselines and never alone.
"""

from dataclasses import dataclass, replace

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.measured import measured_of
from scgx.h5ad.units import layer_name
from scgx.metrics._panel import Design
from scgx.tasks import _bootstrap, _pairing, _training
from scgx.tasks._baselines import Candidate, Scored, trivial
from scgx.tasks._conversion import Reading, reading, totals, units_of_guesses
from scgx.tasks._evaluate import Truth, evaluate, width_for
from scgx.tasks._levels import levels
from scgx.tasks._pairing import Pairing
from scgx.tasks._picture import picture
from scgx.tasks._protocol import Setting, protocols
from scgx.tasks._replicate import replicate
from scgx.tasks._request import Request
from scgx.tasks._rows import Array, FileRows, Rows
from scgx.tasks._scores import BASELINE, CEILING, GUESS, Entry, Scores, strongest
from scgx.tasks._training import Training
from scgx.tasks._verdict import is_truth, verdict

NAME = "modality"
HEADLINE = "pearson_per_feature"
BLOCKWISE = True  # panels of features may be seen by the workers of a cluster
METRICS = (
    "pearson_per_feature", "spearman_per_feature", "pearson_per_cell", "overall_pearson",
    "rmse", "mse", "mae", "r2_oos", "r2_feature",
)  # fmt: skip
WITH_LABEL = ("pearson_within_type", "pearson_pseudobulk", "pearson_pseudobulk_profile")
PEAKS = ("auroc_peak", "ap_peak")
VARIABLE = 200
FEWEST_CELLS = 20  # a smaller type is listed and not scored on its own


def score(ask: Request) -> Scores:
    """Everything about these guesses; DataError where they cannot be scored honestly."""
    for column in (ask.label, ask.by, *ask.covariates, *ask.per):
        if column is not None:
            ask.truth.obs.strings(column)  # refuses an unknown one, and names the nearest
    ground = _ground(ask)
    pairing, truth = ground.pairing, ground.truth
    drawn, design, variable = _design(ask, ground)
    plain = replace(design, weights=np.zeros((0, design.n_parts)))
    n, width = len(pairing.rows), len(pairing.columns)
    panels = Truth(truth, n, width, width_for(n, width, design, ask.memory), truth.known_in())
    metrics = METRICS + (WITH_LABEL if ask.label else ())
    metrics += PEAKS if pairing.modality == "atac" and ground.how.units == "binary" else ()

    candidates = _candidates(ask, ground)
    entries = []
    for one in candidates:
        chosen = plain if one.constant or one.kind != BASELINE else design
        entries.append(Entry(one.name, one.kind, evaluate(panels, one.rows, chosen, metrics)))
    rivals = [entry for entry in entries if entry.kind == BASELINE]
    best = strongest(rivals, HEADLINE, "higher")
    entries.append(Entry("truth", CEILING, evaluate(panels, truth, plain, metrics)))
    if best is not None:
        design = replace(design, rival=best.results[HEADLINE].features)
    judged = []
    for guess, rows in zip(pairing.guesses, ground.guesses, strict=True):
        results = evaluate(panels, rows, design, (*metrics, "frac_above"))
        judged.append(Entry(guess.name, GUESS, results, guess.coverage))
        bare = _bootstrap.without_interval(results, n)
        ground.notes += [f"{guess.name}: {words}" for words in bare]
        if is_truth(judged[-1]):
            ask.warn(f"{guess.name} equals the truth on all scored values: is it a copy of it?")

    columns = [c for c in dict.fromkeys([*_few_groups(ask.by or ground.split.by, drawn), *ask.per])]
    shown: list[tuple[str, Rows]] = [
        (g.name, rows) for g, rows in zip(pairing.guesses, ground.guesses, strict=True)
    ]
    shown += [(one.name, one.rows) for one in candidates]
    sampled, lacking = replicate(ask.truth, pairing, ground.how, plain, metrics, seed=ask.seed)
    if lacking:
        ground.notes.append(lacking)
    return Scores(
        task=NAME,
        truth=ask.truth.name,
        headline=HEADLINE,
        modality=pairing.modality,
        units=ground.how.units,
        normalisation=ground.how.recipe,
        n_cells=n,
        n_features=width,
        bootstrap=drawn.over,
        groups=drawn.groups,
        left_out=pairing.left_out,
        seed=ask.seed,
        entries=(*judged, *entries),
        replicate=sampled,
        protocols=protocols(judged[0].results, _setting(ask, ground, variable)),
        levels=tuple(levels(panels, shown, columns, ask.truth.obs.take(pairing.rows), plain)),
        verdicts=tuple(verdict(entry, best, HEADLINE, drawn) for entry in judged),
        notes=tuple(ground.notes),
        picture=picture(ask.truth, pairing, truth, shown, judged) if ask.picture else None,
    )


@dataclass
class _Ground:
    """The truth in the scored units, what trained, and the guesses, all row by row in order."""

    split: _pairing.Split
    pairing: Pairing
    how: Reading
    training: Training | None
    truth: FileRows
    guesses: list[FileRows]
    notes: list[str]


def _ground(ask: Request) -> _Ground:
    split = _pairing.split_of(ask.truth)
    pairing = _pairing.pair(ask.truth, ask.guesses, split, ask.modality)
    pairing = measured_features(ask.truth, pairing)
    notes = list(pairing.notes)
    if not split.found:
        notes.append("the truth has no split: all its rows are scored")
    for guess in pairing.guesses:
        FileRows(guess.cells, "X", guess.rows, guess.columns, budget=ask.memory).check_finite()
    units = units_of_guesses(ask.guesses, pairing.modality, ask.units, ask.warn)
    how = reading(ask.truth, pairing.modality, units, ask.layer)
    ask.say(f"the truth is scored in {units}, the units of the guess ({how.recipe})")
    training = _trained(ask, split, pairing, how)
    partial = [guess for guess in pairing.guesses if guess.coverage < 1]
    for guess in partial:
        notes.append(f"{guess.name} covers {guess.coverage:.1%} of the test rows")
    if partial and training is None:
        pairing = pairing.covered()
        notes.append(f"without training rows only the {len(pairing.rows):,} covered are scored")
    elif partial:
        notes.append("cells that are not covered count with the mean of the training rows")
    mean = None if training is None else training.mean
    guesses = [
        FileRows(g.cells, "X", g.rows, g.columns, missing=mean, budget=ask.memory)
        for g in pairing.guesses
    ]
    truth = _source(ask.truth, pairing.rows, pairing.columns, how, pairing.modality, ask.memory)
    return _Ground(split, pairing, how, training, truth, guesses, notes)


def measured_features(truth: Cells, pairing: Pairing) -> Pairing:
    """Without the features that no scored cell's dataset measured; what some lack is said."""
    measured = measured_of(truth)
    if measured is None:
        return pairing
    used = np.unique(measured.codes[pairing.rows])
    here = measured.mask[pairing.columns][:, used]
    kept = here.any(axis=1)
    if not kept.any():
        raise DataError("no feature of the guess was measured in the scored cells", file=truth.name)
    note = f"{int((~here[kept].all(axis=1)).sum()):,} features count only where they were measured"
    lost = f", {int((~kept).sum()):,} were measured in no scored cell" if not kept.all() else ""
    guesses = tuple(guess._replace(columns=guess.columns[kept]) for guess in pairing.guesses)
    notes = (*pairing.notes, note + lost)
    return pairing._replace(columns=pairing.columns[kept], guesses=guesses, notes=notes)


def _source(
    cells: Cells, rows: Array, columns: Array, how: Reading, modality: str, memory: int
) -> FileRows:
    depth = totals(cells, how, rows, modality) if how.depth else np.zeros(0)
    return FileRows(
        cells,
        how.key,
        rows,
        columns,
        how.convert,
        depth,
        budget=memory,
        measured=measured_of(cells),
    )


def _trained(
    ask: Request, split: _pairing.Split, pairing: Pairing, how: Reading
) -> Training | None:
    """The training rows of the truth, of --train, or the summary that a guess carries."""
    if ask.train is not None:
        rows, columns = _pairing.training_rows(ask.train, ask.truth, pairing)
        other = reading(ask.train, pairing.modality, how.units, None)
        source = _source(ask.train, rows, columns, other, pairing.modality, ask.memory)
        return _training.summarise(source, f"training rows of {ask.train.name}")
    if len(split.train):
        names = ask.truth.obs_names[split.train]
        rows = split.train[np.argsort(names.astype(str), kind="stable")]
        source = _source(ask.truth, rows, pairing.columns, how, pairing.modality, ask.memory)
        return _training.summarise(source, "training rows of the truth")
    for guess in pairing.guesses:
        found = _training.carried(guess.cells, guess.columns, guess.name)
        if found is not None:
            return found
    return None


def _design(ask: Request, ground: _Ground) -> tuple[_bootstrap.Bootstrap, Design, Array]:
    pairing, training = ground.pairing, ground.training
    obs = ask.truth.obs.take(pairing.rows)
    by = ask.by or ground.split.by
    labels = obs.strings(by) if by and by in obs else None
    drawn = _bootstrap.plan(pairing.names, labels, by, seed=ask.seed)
    codes: Array | None = None
    known: tuple[str, ...] = ()
    if ask.label is not None:
        codes, known, small = types_of(obs.strings(ask.label))
        if small:
            ground.notes.append(
                f"types with under {FEWEST_CELLS} scored cells are left out within types: "
                + ", ".join(small)
            )
    if training is not None and len(training.variance):
        variance = training.variance
    else:
        variance = _training.summarise(ground.truth, "").variance
        ground.notes.append("the most variable features are those of the scored rows")
    chosen = np.zeros(len(variance), dtype=bool)
    chosen[np.argsort(-variance, kind="stable")[:VARIABLE]] = True
    mean = None if training is None else training.mean
    design = Design(len(pairing.columns), drawn.parts, drawn.weights, codes, known, chosen, mean)
    return drawn, design, chosen


def types_of(words: Array) -> tuple[Array, tuple[str, ...], list[str]]:
    """Codes (n,) of types with 20 cells or more (-1 else), their names, and the small ones."""
    present = np.array([word is not None for word in words], dtype=bool)
    names, counts = np.unique(words[present].astype(str), return_counts=True)
    large = names[counts >= FEWEST_CELLS]
    position = {name: i for i, name in enumerate(large.tolist())}
    codes = np.array([position.get(word, -1) for word in words], dtype=np.intp)
    return codes, tuple(large.tolist()), names[counts < FEWEST_CELLS].tolist()


def _candidates(ask: Request, ground: _Ground) -> list[Candidate]:
    pairing = ground.pairing
    scored = Scored(ask.truth, pairing.rows, len(pairing.columns))
    made = trivial(ground.training, scored, ask.covariates, ask.label, seed=ask.seed)
    for name in ask.baselines:
        if ask.fitted is None:
            raise DataError("--baseline needs training rows", fix="split the truth first")
        made.append(Candidate(name, BASELINE, ask.fitted(name, pairing, ground.how.units)))
    taken = {guess.name for guess in pairing.guesses} | {"truth"}
    unique = []
    for one in made:
        name = one.name
        while name in taken:
            name += " (baseline)"
        taken.add(name)
        unique.append(one._replace(name=name))
    return unique


def _few_groups(by: str, drawn: _bootstrap.Bootstrap) -> list[str]:
    """Under five groups the values per group are printed, for no interval over them exists."""
    return [by] if drawn.optimistic and len(drawn.groups) > 1 else []


def _setting(ask: Request, ground: _Ground, variable: Array) -> Setting:
    pairing, training = ground.pairing, ground.training
    fitted = training is not None and len(training.variance) > 0
    where = "training" if fitted else "scored"
    n = int(np.count_nonzero(variable))
    return Setting(
        NAME, pairing.modality, layer_name(ground.how.key), ground.how.units, ground.how.recipe,
        "left out" if training is None else "scored with the mean of the training rows",
        ask.truth.var_names[pairing.columns], variable,
        f"the {n:,} features with the highest variance in the {where} rows",
    )  # fmt: skip
