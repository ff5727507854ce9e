"""Fit a model of responses: a column of perturbations, controls of the same stratum, an artifact."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from scgx import __version__, registry
from scgx.cells.perturbations import require_cells, screen_of
from scgx.errors import DataError, UsageError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.names import hash_names
from scgx.learn import artifact, config
from scgx.learn.data import Side
from scgx.learn.parts import Parts, for_training
from scgx.learn.places import features_at, find
from scgx.learn.response_data import ResponseData, Told
from scgx.learn.strata import detect, strata_of, unmatched
from scgx.learn.train import Fitted, feature_table, measured_by_all, totals_word
from scgx.progress import Report, say, warn


@dataclass(frozen=True)
class ResponseRoles:
    """Which column says what was done, who is a control, and which cells compare."""

    label: str | None = None  # found where it is not named
    control: str | None = None  # the label of the unperturbed, where it is none of the usual words
    covariates: tuple[str, ...] = ()  # a control has to agree in these; found where none is named


def fit(
    name: str, cells: Cells, roles: ResponseRoles, settings: object, *, seed: int, report: Report
) -> Fitted:
    """Fit the model of responses `name` on the training rows of `cells`."""
    module = registry.load("models", name)
    data, parts = gather(cells, roles, seed=seed)
    told = data.told
    codes = told.screen.codes[data.train]
    say(
        f"{name}: {len(data.features):,} genes, {len(np.unique(codes[codes > 0])):,} perturbations of"
        f" {told.screen.column}, {len(data.train):,} cells train ({int((codes == 0).sum()):,}"
        f" controls), {len(data.val):,} validate"
    )
    summary = _summary(data)
    if not (summary["train_mean"].any() or summary["perturbed_mean"].any()):
        raise DataError(
            "all genes are 0 in all training cells", fix="scgx info shows X", file=cells.name
        )
    model = module.Model.fit(data, settings, seed=seed, report=report)
    head = _header(name, cells, data, parts, config.to_json(settings), seed, report)
    assert head.response is not None
    head = replace(head, response=replace(head.response, control=roles.control or ""))
    return Fitted(model, head, summary)


def gather(cells: Cells, roles: ResponseRoles, *, seed: int) -> tuple[ResponseData, Parts]:
    """The screen of a file, its strata, and its training and validation rows."""
    cells.require_unique("obs")
    cells.require_unique("var")
    column = None if roles.label in (None, "perturbation") else roles.label
    if roles.label == "perturbation" and "perturbation" in cells.obs:
        column = roles.label
    screen = screen_of(cells.obs, column, roles.control, genes=cells.var_names)
    parts = for_training(cells, seed)
    train, val = (rows[screen.codes[rows] >= 0] for rows in (parts.train, parts.val))
    if without := len(parts.train) - len(train):
        say(f"{without:,} training cells have no {screen.column}: left out")
    for wanted, words in (
        (screen.codes[train] == 0, "control"),
        (screen.codes[train] > 0, "perturbed"),
    ):
        if not wanted.any():
            raise DataError(
                f"no {words} cell trains",
                fix=f"scgx split --by {screen.column} spreads the controls",
                file=cells.name,
            )
    require_cells(screen, train)
    if screen.column in roles.covariates:
        raise UsageError(f"{screen.column} is what was done, and no covariate")
    columns = tuple(dict.fromkeys(roles.covariates)) or detect(cells.obs, screen, train)
    strata = strata_of(cells.obs, columns, train)
    groups = strata.codes(cells.obs)
    if columns:
        chosen = "as asked" if roles.covariates else "found; --covariate names others"
        say(f"controls agree in {', '.join(columns)} ({chosen}): {len(strata.levels):,} strata")
    alone = ~np.isin(groups[train], groups[train[screen.control[train]]]) | (groups[train] < 0)
    if lost := int(np.count_nonzero(alone & ~screen.control[train])):
        warn(f"{lost:,} perturbed training cells have no control of their stratum: left out")
    if not roles.covariates:
        for note in unmatched(cells.obs, screen, train, columns):
            say(note)
    if screen.renamed:
        say(f"{screen.renamed:,} labels of {screen.column} read as canonical names (A+B)")
    if isinstance(mark := cells.scgx.get("observational"), str):
        say(mark)
    place = find(cells, "rna", None, "log1p-cp10k")
    assert place.conversion is not None
    say(place.conversion.words)
    genes = measured_by_all(cells, place.columns, parts, "rna")
    side = Side(features_at(cells, place.key, genes, "rna"), genes, place.conversion)
    told = Told(screen, strata, groups)
    return ResponseData(cells, side, told, (train, val)), parts._replace(train=train, val=val)


def _summary(data: ResponseData) -> dict[str, np.ndarray]:
    """Who trained, the mean control, and the mean perturbed cell."""
    total = np.zeros((2, len(data.features)))
    n, empty = np.zeros(2), 0
    for places, x in data.blocks(data.train):
        empty += int((abs(x).sum(axis=1) == 0).sum())
        is_control = data.told.screen.control[data.train[places]]
        for kind, chosen in enumerate((is_control, ~is_control)):
            total[kind] += np.asarray(x[chosen].sum(axis=0), np.float64).ravel()
            n[kind] += chosen.sum()
    if empty:
        warn(f"{empty:,} training cells have no count: profiles of zeros (scgx qc drops them)")
    mean = (total / np.maximum(n, 1)[:, None]).astype(np.float32)
    return {
        "train_cells": np.sort(hash_names(data.obs.index[data.train])),
        "train_mean": mean[0],
        "perturbed_mean": mean[1],
    }


def _header(
    name: str,
    cells: Cells,
    data: ResponseData,
    parts: Parts,
    settings: dict[str, object],
    seed: int,
    report: Report,
) -> artifact.Header:
    table = feature_table(cells, data.side, None)
    told = data.told
    counts = np.bincount(told.screen.codes[data.train], minlength=len(told.conditions))
    seen = {
        one.label: int(count)
        for one, count in zip(told.conditions, counts)
        if count and one.targets
    }
    return artifact.Header(
        model=name,
        task="response",
        config=settings,
        inputs=table,
        outputs=table,
        version=__version__,
        seed=seed,
        genome=str(cells.scgx.get("genome", "")),
        split=parts.id,
        trained_on={"train": len(data.train), "val": len(data.val)},
        totals=totals_word(cells, "rna"),
        history=history.chain([cells], seed),
        records=artifact.timeless(report.records),
        response=artifact.Screened(
            column=told.screen.column,
            controls=int(counts[0]),
            counts=seen,
            covariates=list(told.strata.columns),
            strata=[list(levels) for levels in told.strata.levels],
        ),
    )
