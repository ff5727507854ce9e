"""Trees grown on the workers of a cluster, by XGBoost's own training on Dask.

Each worker reads its own cells from the file, and no process ever holds all of them. Sums of
gradients go round among the workers in every round, so that the trees are those of one process but
for the quantiles, which are sketched by worker, and for which cells a tree sees. Which worker has
which cells hangs on their number alone: the same seed and number of workers give the same trees.
XGBoost does not outlive a worker that is lost, so the trees are then grown again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import numpy as np
import xgboost
import xgboost.dask
from scipy import sparse

from scgx.cluster.work import pool
from scgx.errors import DataError, MachineError
from scgx.learn.labels import LabelledData
from scgx.progress import Report

ROWS = 16_384
TIMES = 3  # that trees are begun, should workers be lost


class Knobs(Protocol):
    """What is looked at of the knobs of the model; `settings` has the rest, as xgboost calls them."""

    @property
    def trees(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def bins(self) -> int: ...
    @property
    def device(self) -> str: ...


def grown(
    data: LabelledData, config: Knobs, settings: Mapping[str, Any], report: Report
) -> xgboost.Booster:
    """Trees of the training rows, as many as the validation rows want.

    DataError for a GPU, MachineError where workers are lost again and again.
    """
    if config.device not in ("auto", "cpu"):
        raise DataError("workers of --dask have no GPU", fix="--device cpu, or leave --dask out")
    _ = data.held  # none, here and in the workers
    workers = pool()
    assert workers is not None
    for left in reversed(range(TIMES)):
        before = workers.there()
        try:
            return _grown(data, config, settings, report)
        except (*workers.LOST, xgboost.core.XGBoostError, RuntimeError) as error:
            if not isinstance(error, workers.LOST) and before <= workers.there():
                raise
            if not left:
                words = f"workers were lost in each of {TIMES} trainings"
                raise MachineError(words, fix="give each of them more memory") from error
            report.warn("a worker was lost: the trees are grown again from the first")
    raise AssertionError


def _grown(
    data: LabelledData, config: Knobs, settings: Mapping[str, Any], report: Report
) -> xgboost.Booster:
    workers = pool()
    assert workers is not None
    report.say(f"trees are grown by {workers.workers} workers")
    with ExitStack() as stack:
        stack.enter_context(workers.client.as_current())
        train = _matrix(stack, data, data.train, config.bins)
        val = _matrix(stack, data, data.val, config.bins, like=train)
        found = xgboost.dask.train(
            workers.client,
            dict(settings),
            train,
            num_boost_round=config.trees,
            evals=[(val, "val")],
            verbose_eval=False,
            callbacks=[xgboost.callback.EarlyStopping(rounds=config.patience, save_best=True)],
        )
    return found["booster"]


def _matrix(
    stack: ExitStack,
    data: LabelledData,
    rows: np.ndarray,
    bins: int,
    like: xgboost.dask.DaskQuantileDMatrix | None = None,
) -> xgboost.dask.DaskQuantileDMatrix:
    """Rows as bins of their values, a share of them with each worker."""
    workers = pool()
    assert workers is not None
    each = min(ROWS, -(-len(rows) // workers.workers))
    runs = [rows[start : start + each] for start in range(0, len(rows), each)]
    empty = sparse.csr_matrix((0, len(data.lens.panel.chosen)), dtype=np.float32)
    x = stack.enter_context(workers.stacked(_Inputs(data), runs, [len(run) for run in runs], empty))
    y = workers.kept([data.y(run) for run in runs])
    weight = workers.kept([data.weight(run) for run in runs])
    return xgboost.dask.DaskQuantileDMatrix(
        workers.client, x, y, weight=weight, max_bin=bins, ref=like
    )


class _Inputs:
    """Inputs of rows, as xgboost reads them: only what is not zero."""

    def __init__(self, data: LabelledData) -> None:
        self._data = data

    def __call__(self, rows: np.ndarray) -> sparse.csr_matrix:
        x = sparse.csr_matrix(self._data.x(rows))
        x.eliminate_zeros()
        return x
