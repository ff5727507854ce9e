"""What any model must beat, made of training rows alone; and an oracle that sees labels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.h5ad.cells import Cells
from scgx.tasks._rows import Array, FileRows, Profiles, Rows
from scgx.tasks._scores import BASELINE, CONTROL, ORACLE
from scgx.tasks._training import Training, combined, group_profiles


class Candidate(NamedTuple):
    """A column of the table beside the guesses; `constant`: the same profile for every cell."""

    name: str
    kind: str
    rows: Rows
    constant: bool = False


class Scored(NamedTuple):
    """The scored cells of the truth: positions in it, and how many features are scored."""

    truth: Cells
    rows: Array
    n_features: int


def trivial(
    training: Training | None,
    scored: Scored,
    covariates: Sequence[str],
    label: str | None,
    *,
    seed: int,
) -> list[Candidate]:
    """Train mean, zeros, group mean, random train cell, type mean; what the training allows."""
    if training is None:
        return []
    one = np.zeros(len(scored.rows), dtype=np.intp)
    nothing = np.zeros((1, scored.n_features))
    made = [
        Candidate("mean", BASELINE, Profiles(training.mean[None, :], one), True),
        Candidate("zeros", BASELINE, Profiles(nothing, one), True),
    ]
    if training.rows is None:
        return made
    for name, kind, columns in (
        ("group-mean", BASELINE, covariates),
        ("type-mean (oracle)", ORACLE, [label] if label else []),
    ):
        if columns:
            train = combined(training.rows.cells.obs, columns, training.rows.rows)
            here = combined(scored.truth.obs, columns, scored.rows)
            made.append(Candidate(name, kind, group_profiles(training, train, here)))
    made.insert(
        -1 if label else len(made),
        _random_cell(training.rows, training.mean, len(scored.rows), seed),
    )
    return made


def _random_cell(train: FileRows, mean: Array, n: int, seed: int) -> Candidate:
    """A training cell drawn for each scored cell, in the order of names; the mean where its dataset
    did not measure a feature.

    It is a control: what it scores above zero is chance, so no guess is measured against it.
    """
    drawn = np.random.default_rng(seed).integers(0, len(train.rows), size=n)
    totals = train.totals[drawn] if len(train.totals) else train.totals
    rows = FileRows(
        train.cells, train.key, train.rows[drawn], train.columns, train.convert, totals,
        budget=train.budget, missing=mean, measured=train.measured,
    )  # fmt: skip
    return Candidate("random-cell", CONTROL, rows)
