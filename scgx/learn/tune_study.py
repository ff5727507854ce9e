"""A search that several processes share and that outlives all of them: Optuna's study in a journal.

The journal is lines of JSON that are only ever added to, so that a process may be killed at any time.
Who asks for a trial holds a lock, and whoever works on one holds the lock of a worker: a trial whose
worker is gone was interrupted, and its values are asked for again. Each trial draws from a seed of its
own, (seed, how many went before): a search that was interrupted and went on has proposed the same as
one that was not. This is the one file that knows Optuna.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from scgx.errors import DataError, InputError, MachineError
from scgx.learn.tune_locks import JournalLock, claimed, forget, held, is_at, others_at
from scgx.learn.tune_space import Choices, Range, Space, Value
from scgx.progress import Report

JOURNAL, LOCK = "journal.jsonl", "lock"
NAME = "scgx"
STARTUP = 5  # trials at random before the sampler learns from them
Sampler = Literal["tpe", "random", "grid"]


class Pruned(Exception):
    """A trial that does worse than the median of the others at this epoch."""


class Row(NamedTuple):
    """A trial as the board shows it; state is one of complete, pruned, failed, running, waiting."""

    number: int
    state: str
    value: float | None
    values: dict[str, Value]
    command: str
    reason: str
    epochs: int
    is_emitted: bool


@dataclass(frozen=True)
class Plan:
    """What a study is of: it goes on only where all of this is as it was; and how it is gone about."""

    about: Mapping[str, object]
    space: Space
    direction: int  # 1: more is better
    trials: int
    sampler: Sampler
    seed: int


@dataclass
class Trial:
    """One set of values that is being tried."""

    number: int
    values: dict[str, Value]
    _of: Any
    _direction: int
    _prunes: bool

    def report(self) -> Report:
        """A report that stops the fit, by Pruned, where the validation loss falls behind."""
        return _Watched(self) if self._prunes else Report()

    def lags(self, loss: float, epoch: int) -> bool:
        """Note the loss of an epoch; is it worse than the median of the others?"""
        self._of.report(-self._direction * loss, epoch)
        return bool(self._of.should_prune())

    def note(self, **facts: str) -> None:
        """Keep words beside the trial."""
        for name, words in facts.items():
            self._of.set_user_attr(name, words)


class _Watched(Report):
    """Keeps the records, and prunes by them."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self._trial = trial

    def log(self, record: dict[str, object]) -> None:
        """Keep one record; Pruned where it is behind."""
        super().log(record)
        loss = record.get("val_loss")
        if isinstance(loss, float) and self._trial.lags(loss, len(self.records)):
            raise Pruned


class Study:
    """The trials in a folder: `journal.jsonl`, locks, and models of trials."""

    def __init__(self, folder: Path, plan: Plan, optuna: Any, study: Any, worker: int) -> None:
        self.folder, self.plan, self.worker = folder, plan, worker
        self._optuna, self._study = optuna, study

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, folder: Path, plan: Plan, defaults: Mapping[str, Value] | None
    ) -> Iterator[Self]:
        """The study of a folder, new or as it was left; `defaults` are what is tried first.

        DataError where the journal is of another study, InputError where it is none.
        """
        optuna = _library()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            words = (error.strerror or str(error)).lower()
            raise MachineError(f"cannot be made: {words}", file=str(folder)) from None
        with contextlib.ExitStack() as stack:
            with held(folder / LOCK):
                worker = stack.enter_context(claimed(folder))
                made = cls(folder, plan, optuna, _study(optuna, folder / JOURNAL, plan), worker)
                if made._is_bare():
                    (folder / JOURNAL).unlink()
                    made = cls(folder, plan, optuna, _study(optuna, folder / JOURNAL, plan), worker)
                made._begin(defaults)
            try:
                yield made
            finally:
                made._leave()

    def _is_bare(self) -> bool:
        """Has no trial come to an end, and is nobody else here who could be at one?"""
        if others_at(self.folder, self.worker):
            return False
        self._reap()
        return all(row.state in ("waiting", "interrupted") for row in self.rows())

    def _leave(self) -> None:
        """Leave no folder behind where nothing is in it that would be lost."""
        with held(self.folder / LOCK):
            if self._is_bare():
                for name in (JOURNAL, "journal.lock", LOCK):
                    (self.folder / name).unlink(missing_ok=True)
                forget(self.folder)

    def _begin(self, defaults: Mapping[str, Value] | None) -> None:
        """Say what is to be tried before the sampler is asked."""
        told = self._study.user_attrs.get(NAME)
        about = json.dumps(self.plan.about, sort_keys=True)
        if told is None:
            self._study.set_user_attr(NAME, about)
            if defaults is not None:
                self._study.enqueue_trial(dict(defaults), user_attrs={"defaults": "1"})
        elif told != about:
            raise DataError(
                f"is the journal of another search: {_difference(told, self.plan.about)}",
                fix="the options of the first run, or another output",
                file=str(self.folder / JOURNAL),
            )
        if self.plan.sampler == "grid":
            points = [one.points() for one in self.plan.space.values()]
            grid = [dict(zip(self.plan.space, values)) for values in product(*points)]
            random.Random(self.plan.seed).shuffle(grid)
            known = [row.values for row in self.rows() if row.state != "interrupted"]
            wanted = [values for values in grid if values not in known]
            for values in wanted[: max(0, self.plan.trials - len(known))]:
                self._study.enqueue_trial(values)

    def ask(self, *, prunes: bool, emitted: bool = False) -> Trial | None:
        """The next trial, or None where there are as many as were asked for."""
        optuna = self._optuna
        with held(self.folder / LOCK):
            self._reap()
            rows = self.rows()
            begun = [row for row in rows if row.state not in ("waiting", "interrupted")]
            if len(begun) >= self.plan.trials:
                return None
            is_left = any(row.state == "waiting" for row in rows)
            if self.plan.sampler == "grid" and not is_left:
                return None
            own = random.Random(f"{self.plan.seed}/{len(begun)}").getrandbits(31)
            if self.plan.sampler == "tpe":
                self._study.sampler = optuna.samplers.TPESampler(seed=own, n_startup_trials=STARTUP)
            else:
                self._study.sampler = optuna.samplers.RandomSampler(seed=own)
            trial = self._study.ask()
            values = {key: _suggest(trial, key, one) for key, one in self.plan.space.items()}
            trial.set_user_attr("emitted" if emitted else "worker", str(self.worker))
        return Trial(trial.number, values, trial, self.plan.direction, prunes)

    def tell(self, number: int, value: float) -> None:
        """A trial has come to an end, with this value."""
        self._study.tell(number, value)

    def prune(self, trial: Trial) -> None:
        """A trial was stopped, since it fell behind."""
        self._study.tell(trial.number, state=self._optuna.trial.TrialState.PRUNED)

    def fail(self, trial: Trial, reason: str) -> None:
        """A trial has no value, for this reason."""
        trial.note(reason=reason)
        self._study.tell(trial.number, state=self._optuna.trial.TrialState.FAIL)

    def interrupt(self, number: int, values: Mapping[str, Value]) -> None:
        """A trial was not brought to its end: its values are to be tried again."""
        one = self._study.get_trials(deepcopy=False)[number]
        if one.state.is_finished():
            return
        self._study.tell(number, state=self._optuna.trial.TrialState.FAIL)
        attrs = one.user_attrs
        kept = {name: attrs[name] for name in ("defaults",) if name in attrs}
        self._study.enqueue_trial(dict(values), user_attrs=kept)

    def is_default(self, number: int) -> bool:
        """Are these the values that the model has anyway?"""
        return "defaults" in self._study.get_trials(deepcopy=False)[number].user_attrs

    def rows(self) -> list[Row]:
        """Every trial, in the order in which they were begun; interrupted ones too."""
        found = []
        for one in self._study.get_trials(deepcopy=False):
            told, state = one.user_attrs, one.state.name.lower()
            if state == "fail":
                state = "failed" if "reason" in told else "interrupted"
            values = one.params or one.system_attrs.get("fixed_params", {})
            found.append(
                Row(
                    one.number,
                    state,
                    one.value if state == "complete" else None,
                    dict(values),
                    told.get("command", ""),
                    told.get("reason", ""),
                    len(one.intermediate_values),
                    "emitted" in told,
                )
            )
        return found

    def best(self) -> Row | None:
        """The complete trial of the best value, the first of them."""
        done = [row for row in self.rows() if row.state == "complete"]
        return min(
            done,
            key=lambda row: (-self.plan.direction * (row.value or 0), row.number),
            default=None,
        )

    def importance(self) -> dict[str, float]:
        """How much of the variance of the value each knob explains (fANOVA), most first; empty where
        too few trials, or all alike, say nothing.
        """
        done = [row for row in self.rows() if row.state == "complete"]
        if len(done) <= 2 * len(self.plan.space) or len({row.value for row in done}) < 2:
            return {}
        judge = self._optuna.importance.FanovaImportanceEvaluator(seed=self.plan.seed)
        return dict(self._optuna.importance.get_param_importances(self._study, evaluator=judge))

    def _reap(self) -> None:
        """Give back what dead workers were at; one with this number, too: here nothing is running."""
        state = self._optuna.trial.TrialState.RUNNING
        for one in self._study.get_trials(deepcopy=False, states=(state,)):
            worker = one.user_attrs.get("worker")
            if "emitted" in one.user_attrs:
                continue
            is_own = worker in (None, str(self.worker))
            if is_own or not is_at(self.folder, int(worker)):
                whole = one.params.keys() == self.plan.space.keys()
                fixed = one.system_attrs.get("fixed_params", {})
                self.interrupt(one.number, one.params if whole else fixed)


def _library() -> Any:
    try:
        import optuna
    except ImportError:
        raise MachineError(
            "needs Optuna, which is not installed", fix="pip install 'scgx[tune]'"
        ) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _study(optuna: Any, journal: Path, plan: Plan) -> Any:
    """The study in a journal; whoever calls holds the lock."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    _mend(journal)
    try:
        if journal.exists():
            with open(journal, encoding="utf-8") as lines:
                for line in lines:
                    json.loads(line)
        lock = JournalLock(journal.with_name("journal.lock"))
        storage = JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))  # type: ignore[arg-type]
        names = optuna.get_all_study_names(storage)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            "is no journal of a search", fix="another output, or remove it", file=str(journal)
        ) from None
    if names not in ([], [NAME]):
        raise DataError(
            f"is the journal of another study, {names[0]!r}",
            fix="another output",
            file=str(journal),
        )
    return optuna.create_study(
        storage=storage,
        study_name=NAME,
        direction="maximize" if plan.direction > 0 else "minimize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=3),
        load_if_exists=True,
    )


def _mend(journal: Path) -> None:
    """Cut off a last line that was never finished (a full disk, a machine that stopped)."""
    if not journal.exists():
        return
    with open(journal, "r+b") as file:
        data = file.read()
        if data and not data.endswith(b"\n"):
            file.truncate(data.rfind(b"\n") + 1)


def _suggest(trial: Any, key: str, one: Range | Choices) -> Value:
    if isinstance(one, Choices):
        return trial.suggest_categorical(key, list(one.values))
    if one.whole:
        return trial.suggest_int(key, int(one.low), int(one.high), log=one.log)
    return trial.suggest_float(key, one.low, one.high, log=one.log)


def _difference(told: str, about: Mapping[str, object]) -> str:
    """The first thing that differs, in words."""
    try:
        before = json.loads(told)
    except ValueError:
        before = {}
    before = before if isinstance(before, dict) else {}
    for key, now in about.items():
        if before.get(key) != now:
            if isinstance(now, str | int) and key in before:
                return f"{key} {str(before[key])[:40]}, not {str(now)[:40]}"
            return f"its {key} differs"
    return "it says more"
