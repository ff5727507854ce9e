"""Boosted trees on log counts: what single genes and their combinations say, whatever their scale.

Rows stay sparse: zero is what is not stored, and stored zeros are dropped, so dense and sparse files
get the same answer. A feature that a file lacks is no zero: where trees ask for one, both branches
answer, each by its share of the training cells. Rows come in blocks of one size whatever the memory,
since the quantiles of an input are sketched block by block. What does not fit stays on disk as bins, a
block at a time in memory; the trees are the same, bit for bit. Stored as JSON.
"""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.cluster.work import pool
from scgx.errors import DataError, InputError, MachineError
from scgx.h5ad import streams
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.labels import LabelledData
from scgx.learn.model import Why
from scgx.models._xgboost_absent import without
from scgx.progress import Report

if TYPE_CHECKING:
    from xgboost import Booster, ExtMemQuantileDMatrix, QuantileDMatrix

    Matrix = QuantileDMatrix | ExtMemQuantileDMatrix

FROM: set[str] = set()
TO: set[str] = set()
LABELS = {"rna", "activity", "atac", "adt"}
DASK = True  # trains on the workers of a cluster
ROWS = 16_384
MEMBER = "trees.json"
PER_VALUE = 16  # bytes of a value that is not zero, as bins by row and by column
PER_SCORE = 16  # bytes of a cell and class: gradients, scores
PER_BIN = 16  # bytes of a bin of a feature in the histogram of a node
DRIVERS = ("/dev/nvidiactl", "/dev/dxg")  # of Linux, and of Linux within Windows
ABSENT = "absent"  # attribute of trees that have seen features hidden, and take absent for zero
MOST_SEEN = 8  # panels of files whose trees are kept
HIDDEN = 0.9  # share of the genes that augmented copies lack at most: to a tree, absent is zero


@dataclass(frozen=True)
class Config:
    """How many trees, how deep, how fast."""

    trees: int = knob(500, least=1)  # rounds at most, each a tree per class
    depth: int = knob(4, least=1)  # of a tree
    lr: float = knob(0.1, least=1e-6, most=1)  # how much of each tree is taken
    subsample: float = knob(0.8, least=0.01, most=1)  # share of cells that a tree sees
    colsample: float = knob(0.5, least=0.01, most=1)  # share of features that a tree sees
    min_child_weight: float = 1.0  # least weight of a leaf
    l1: float = 1.0  # penalty on absolute values of leaves
    l2: float = 1.0  # penalty on squares of leaves
    gamma: float = 0.0  # least gain of a split
    bins: int = knob(64, least=2)  # of a feature's values
    patience: int = knob(20, least=1)  # rounds without a better validation loss before stopping
    device: str = "auto"  # auto, cpu or cuda


class Model:
    """The trees."""

    def __init__(self, booster: "Booster") -> None:
        self.booster = booster
        self._seen: dict[bytes, tuple[Booster, float]] = {}

    def _asking(self, present: np.ndarray) -> tuple["Booster", float]:
        """Trees that ask for what a file has, and what their scores are to be multiplied by.

        Those that have learned to take absent for zero stay as they are.
        """
        if present.all() or self.booster.attr(ABSENT) is not None:
            return self.booster, 1.0
        key = present.tobytes()
        if key not in self._seen:
            self._seen = dict(list(self._seen.items())[1 - MOST_SEEN :])
            left = without(_plain(self.booster), present)
            booster = type(self).restore(Config(), {MEMBER: left.forest}).booster
            self._seen[key] = booster, left.worth
        return self._seen[key]

    @classmethod
    def fit(cls, data: LabelledData, config: Config, *, seed: int, report: Report) -> Self:
        """Add trees until the validation loss no longer falls."""
        if pool() is not None:
            try:
                from scgx.models import _xgboost_dask
            except ImportError as error:
                raise MachineError(
                    f"xgboost on --dask needs {error.name or 'more'}, which is not installed",
                    fix="pip install 'scgx[scale]'",
                ) from None
            settings = _settings(config, len(data.classes), seed)
            booster = _xgboost_dask.grown(data, config, settings, report)
            return cls._finished(booster, data, config, report)
        import xgboost

        place = _place(data, config)
        settings = _settings(config, len(data.classes), seed) | {"device": place.device}
        with ExitStack() as stack:
            cache = None
            if place.on_disk:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="scgx-", dir=streams.tmpdir())
                )
                report.say(f"bins of {place.values:,} values stay on disk, in {streams.tmpdir()}")
                cache = f"{folder}/train"
            train = _matrix(data, data.train, config.bins, cache=cache)
            val = _matrix(data, data.val, config.bins, like=train)
            advance = stack.enter_context(report.bar("trees", config.trees))
            booster = xgboost.train(
                settings,
                train,
                num_boost_round=config.trees,
                evals=[(val, "val")],
                verbose_eval=False,
                callbacks=[
                    xgboost.callback.EarlyStopping(rounds=config.patience, save_best=True),
                    _ticking(advance),
                ],
            )
            del train, val  # which hold files of the folder
        return cls._finished(booster, data, config, report)

    @classmethod
    def _finished(
        cls, booster: "Booster", data: LabelledData, config: Config, report: Report
    ) -> Self:
        """A model of trees that were just grown."""
        report.say(f"{booster.num_boosted_rounds()} rounds (by validation loss)")
        if data.augment.copies and data.augment.hidden:
            booster.set_attr(**{ABSENT: "zero"})
        return cls.restore(config, {MEMBER: _plain(booster)})

    def save(self) -> Mapping[str, bytes]:
        return {MEMBER: _plain(self.booster)}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        import xgboost

        booster = xgboost.Booster()
        try:
            booster.load_model(bytearray(members[MEMBER]))
        except xgboost.core.XGBoostError as error:
            words = str(error).splitlines()[0][:100]
            raise InputError(f"its trees are damaged: {words}", fix="train it again") from None
        return cls(booster)

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32: sums of leaves."""
        import xgboost

        booster, worth = self._asking(block.present)
        made = booster.predict(xgboost.DMatrix(_stored(block.x)), output_margin=True)
        return np.asarray(made * worth, np.float32).reshape(block.x.shape[0], -1)

    def explain(self, blocks: Iterator[CellBlock]) -> Why:
        """Total gain of the trees of each class; on cells, mean SHAP value of those called it."""
        made: np.ndarray | None = None
        cells: np.ndarray | None = None
        for block in blocks:
            called = self.scores(block).argmax(axis=1)
            booster, worth = self._asking(block.present)
            for rows, values in _contributions(booster, block.x):
                if made is None or cells is None:
                    made, cells = np.zeros(values.shape[1:]), np.zeros(values.shape[1])
                for row, code in enumerate(called[rows]):
                    made[code] += values[row, code] * worth
                    cells[code] += 1
        if made is None or cells is None:
            return Why("total gain of the trees of the class, without a sign", self._gain())
        shap = (made / np.maximum(cells, 1)[:, None])[:, :-1].T
        return Why("mean SHAP value over the cells called the class", shap.astype(np.float32))

    def _gain(self) -> np.ndarray:
        """Float32 (features, classes), from the trees themselves."""
        forest = json.loads(_plain(self.booster))["learner"]
        model = forest["gradient_booster"]["model"]
        classes = max(1, int(forest["learner_model_param"]["num_class"]))
        gain = np.zeros((self.booster.num_features(), classes), np.float32)
        for tree, code in zip(model["trees"], model["tree_info"], strict=True):
            inner = np.array(tree["left_children"]) >= 0
            where = np.array(tree["split_indices"])[inner]
            np.add.at(gain[:, code], where, np.array(tree["loss_changes"], np.float32)[inner])
        return gain


def _settings(config: Config, classes: int, seed: int) -> dict[str, Any]:
    return {
        "objective": "multi:softprob",
        "num_class": classes,
        "tree_method": "hist",
        "eval_metric": "mlogloss",
        "max_depth": config.depth,
        "eta": config.lr,
        "subsample": config.subsample,
        "colsample_bytree": config.colsample,
        "min_child_weight": config.min_child_weight,
        "alpha": config.l1,
        "lambda": config.l2,
        "gamma": config.gamma,
        "max_bin": config.bins,
        "seed": seed,
        "verbosity": 0,
    }


class _Place(NamedTuple):
    """Where trees are grown, and whether the bins of the training rows stay on disk."""

    device: str
    on_disk: bool
    values: int


def _place(data: LabelledData, config: Config) -> _Place:
    """On disk where bins take more than a third of the budget; only a CPU reads them from there.

    DataError where the budget does not hold what every round needs.
    """
    if config.device not in ("auto", "cpu"):
        from scgx.learn.loop import require_device

        require_device(config.device)
    features, rows = len(data.lens.panel.chosen), len(data.train)
    scores = PER_SCORE * rows * len(data.classes)
    histograms = PER_BIN * features * config.bins * 2 ** min(config.depth - 1, 16)
    if scores + histograms > data.memory:
        need = -(-(scores + histograms) // (1 << 20))
        raise DataError(
            f"{rows:,} cells, {len(data.classes)} classes and {features:,} features need {need:,} MB",
            fix=f"--memory {need * 2}M, --features, or --set depth=N or bins=N with less",
        )
    values = data.values
    on_disk = PER_VALUE * values > data.memory // 3
    if config.device == "cuda" or (config.device == "auto" and not on_disk and _has_cuda()):
        return _Place("cuda", False, values)
    return _Place("cpu", on_disk, values)


def _has_cuda() -> bool:
    """Is there a GPU that can be used? Torch knows, and takes long to load where there is no driver."""
    if not any(Path(driver).exists() for driver in DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()


def _contributions(booster: "Booster", x: sparse.csr_array) -> Iterator[tuple[slice, np.ndarray]]:
    """SHAP values (rows, classes, features + 1), so many cells a time as fit in 64 MB."""
    import xgboost

    wide = (x.shape[1] + 1) * int(json.loads(booster.save_config())["learner"]
                                  ["learner_model_param"]["num_class"])  # fmt: skip
    step = max(1, (64 << 20) // (4 * wide))
    for start in range(0, x.shape[0], step):
        rows = slice(start, start + step)
        matrix = xgboost.DMatrix(_stored(x[rows]))
        values = booster.predict(matrix, pred_contribs=True, strict_shape=True)
        yield rows, np.asarray(values)


def _stored(x: sparse.csr_array) -> sparse.csr_matrix:
    """What xgboost reads: only what is not zero."""
    if not np.all(x.data):
        x = x.copy()
        x.eliminate_zeros()
    return sparse.csr_matrix(x)


def _matrix(
    data: LabelledData,
    rows: np.ndarray,
    bins: int,
    like: "Matrix | None" = None,
    cache: str | None = None,
) -> "Matrix":
    """Rows as bins of their values; `like` is the matrix whose bins they take.

    `cache` is how the names of the files begin that hold them, None for none.
    """
    import xgboost

    class Blocks(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__(cache_prefix=cache, on_host=False)
            self.start = 0

        def reset(self) -> None:
            self.start = 0

        def next(self, input_data: Any) -> bool:
            some = rows[self.start : self.start + ROWS]
            if not len(some):
                return False
            self.start += ROWS
            weight = data.weight(some)
            input_data(data=_stored(data.x(some)), label=data.y(some), weight=weight)
            return True

    kind = xgboost.QuantileDMatrix if cache is None else xgboost.ExtMemQuantileDMatrix
    return kind(Blocks(), max_bin=bins, ref=like)


def _ticking(advance: Any) -> Any:
    import xgboost

    class Ticking(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            advance(1)
            return False

    return Ticking()


def _plain(booster: "Booster") -> bytes:
    return bytes(booster.save_raw(raw_format="json"))
