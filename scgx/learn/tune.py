"""A search: ask for values, fit a model with them, judge it on validation rows, keep the best.

Each trial is what `scgx train` with its command line would make, and that command line is what the
history of the chosen model says; which search chose it is said beside. Only the best model of this
machine is kept in the study's folder; where a better one was made elsewhere and is not there, it is
made again.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scgx import invocation
from scgx.cluster.wanted import wanted
from scgx.errors import DataError, ScgxError
from scgx.learn import artifact, config
from scgx.learn.artifact import Artifact
from scgx.learn.train import Fitted
from scgx.learn.tune_objective import Judge
from scgx.learn.tune_space import Value, words_of
from scgx.learn.tune_study import Pruned, Row, Study, Trial
from scgx.progress import Report, hushed, say, warn

Fit = Callable[[object, Report], Fitted]
Settings = Callable[[Sequence[str]], object]


@dataclass(frozen=True)
class Search:
    """What every trial has in common.

    `train` are the words of the command line but for knobs and output, `settings` makes a Config of
    assignments, `fit` a model of a Config.
    """

    train: Sequence[str]
    settings: Settings
    fit: Fit
    judge: Judge
    prunes: bool

    def command(self, values: dict[str, Value], output: str) -> list[str]:
        """The `scgx train` that makes the model of these values."""
        knobs = [word for assignment in words_of(values) for word in ("--set", assignment)]
        return [*self.train, *knobs, "-o", output]


def run(study: Study, search: Search) -> None:
    """Try until the study has as many trials as were asked for, or nobody waits for them any more."""
    _ = search.judge.rows  # refuses before anything is fitted
    while wanted() and (trial := study.ask(prunes=search.prunes)) is not None:
        try:
            _try(study, search, trial)
        except BaseException:
            study.interrupt(trial.number, trial.values)
            raise


def _try(study: Study, search: Search, trial: Trial) -> None:
    path = model_of(study, trial.number)
    words = search.command(trial.values, str(path))
    trial.note(command=shlex.join(words))
    report = trial.report()
    shown = ", ".join(words_of(trial.values))
    count = f"trial {trial.number} of {study.plan.trials}"
    if (same := _done(study, trial)) is not None:
        study.tell(trial.number, same.value or 0.0)
        say(f"{count}: the values of trial {same.number} ({shown})")
        return
    try:
        with hushed(), invocation.standing_for(words):
            fitted = search.fit(search.settings(words_of(trial.values)), report)
            value = search.judge(fitted.held())
    except Pruned:
        study.prune(trial)
        say(f"{count}: stopped after {len(report.records)} epochs, behind the median ({shown})")
    except ScgxError as error:
        if study.is_default(trial.number):
            raise  # what the model's own defaults cannot do is no matter of knobs
        study.fail(trial, str(error))
        warn(f"{count}: {error.what} ({shown})")
    else:
        best = study.best()
        study.tell(trial.number, value)
        say(f"{count}: {search.judge.metric} {value:.5g} ({shown})")
        if best is None or study.plan.direction * (value - (best.value or 0)) > 0:
            fitted.write(path)
            if best is not None and not best.is_emitted:
                model_of(study, best.number).unlink(missing_ok=True)


def _done(study: Study, trial: Trial) -> Row | None:
    """A trial that had the same values, and hence the same model."""
    rows = (row for row in study.rows() if row.state == "complete")
    return next((row for row in rows if row.values == trial.values), None)


def emit(study: Study, search: Search) -> list[str]:
    """Command lines of trials that others will run: what the study lacks, and what is not back yet."""
    while study.ask(prunes=False, emitted=True) is not None:
        pass
    return [
        shlex.join(search.command(row.values, str(model_of(study, row.number))))
        for row in _awaited(study)
    ]


def collect(study: Study, search: Search) -> None:
    """Judge the models that others have made of the emitted command lines."""
    _ = search.judge.rows
    awaited = _awaited(study)
    here = [row for row in awaited if model_of(study, row.number).is_file()]
    for row in here:
        path = model_of(study, row.number)
        with hushed():
            found = artifact.read(path)
            wanted = config.to_json(search.settings(words_of(row.values)))
            if found.header.config != wanted:
                raise DataError(
                    "is not the model of its command line", fix="run that again", file=str(path)
                )
            value = search.judge(found)
        study.tell(row.number, value)
        say(f"trial {row.number}: {search.judge.metric} {value:.5g}")
    if missing := len(awaited) - len(here):
        warn(f"{missing} of {len(awaited)} emitted trials have made no model yet")


def _awaited(study: Study) -> list[Row]:
    return [row for row in study.rows() if row.is_emitted and row.state == "running"]


def chosen(study: Study, search: Search, output: str) -> tuple[Row, Artifact]:
    """The best trial and its model, which says by which search it was chosen.

    DataError where no trial came to its end.
    """
    best = study.best()
    if best is None:
        reasons = [row.reason for row in study.rows() if row.reason]
        why = f": {reasons[-1]}" if reasons else ""
        raise DataError(f"no trial came to its end{why}", fix="another --space, or more --trials")
    path = model_of(study, best.number)
    words = search.command(best.values, output)
    if path.is_file():
        found = artifact.read(path)
    else:
        say(f"the model of trial {best.number} is not here: it is made again")
        with hushed(), invocation.standing_for(words):
            found = search.fit(search.settings(words_of(best.values)), Report()).held()
    *before, own = found.header.history
    record = json.loads(own)
    record["command"] = shlex.join(words)
    record["search"] = {
        "command": invocation.command_line(),
        "metric": search.judge.metric,
        "value": best.value,
        "trial": best.number,
        "trials": sum(row.state in ("complete", "pruned", "failed") for row in study.rows()),
    }
    history = [*before, json.dumps(record, sort_keys=True)]
    return best, replace(found, header=replace(found.header, history=history))


def model_of(study: Study, number: int) -> Path:
    """Where the model of a trial lies, if it is kept."""
    return study.folder / f"{number:04d}.scgx"
