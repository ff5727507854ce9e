"""Before and after the training of `multivae`: shapes, first weights, what the network counts for."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.learn.data import TrainingData
from scgx.learn.lsi import column_mean
from scgx.learn.selection import correlation, parts
from scgx.models._multivae_beside import Layout
from scgx.models._multivae_fixed import Fixed, Views, mixed
from scgx.models._multivae_loss import Told
from scgx.models._multivae_net import Shape, Start
from scgx.progress import Report

SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
JUDGED = 20_000_000  # values that choose the share, at most
BYTES_JUDGED = 200  # of memory, for each of them
FIRST_SIZE = 0.3  # root mean square of the first axes of peaks

Answers = Callable[[int, sparse.csr_array, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def layout(data: TrainingData, config: Any) -> Layout | None:
    """Bins of the genome where the encoder looks along it; DataError where places are not known."""
    if config.encoder != "dilated":
        return None
    features = data.inputs
    if not any(chrom is not None for chrom in features.chrom):
        raise DataError(
            f"no {features.modality} feature has a place on a chromosome",
            fix="scgx annotate-coords, or --set encoder=evidence",
        )
    return Layout.of(features.chrom, features.start, config.bin)


def counted(data: TrainingData, config: Any, fixed: Fixed, report: Report) -> tuple[bool, bool]:
    """Which of look and seen have counts whose likelihood is learned; not peaks."""
    if not config.counts:
        return False, False
    found = []
    sides = ((data.x_counts, not fixed.is_open, data.inputs), (data.y_counts, True, data.outputs))
    for fetch, wanted, features in sides:
        try:
            found.append(wanted and fetch(data.train[:2]).shape[0] > 0)
        except DataError:
            report.say(f"no counts of {features.modality}: its log values alone are learned")
            found.append(False)
    return found[0], found[1]


def shape(fixed: Fixed, config: Any, look: int, counted: tuple[bool, bool]) -> Shape:
    """What goes into the network and out of it; `look`: features of the looking side."""
    look_axes = (fixed.traced if fixed.is_open else fixed.look_loadings).axes
    ranks = look_axes.shape[1], fixed.loadings.axes.shape[1]
    views = len(fixed.evidence.scale) + len(fixed.evidence.centre), len(fixed.ends.scale) + 1
    return Shape(
        views,
        (look, len(fixed.loadings.mean)),
        ranks,
        (not fixed.is_open, True),
        counted,
        fixed.covariates.sizes,
    )


def start(data: TrainingData, fixed: Fixed, shape: Shape) -> Start:
    """What decoders know: axes that can be foreseen, how often peaks are open, shares of counts."""
    some = data.train[:: max(1, len(data.train) // 4_096)]
    shares = [
        column_mean(fetch(some)) if counted else None
        for fetch, counted in zip((data.x_counts, data.y_counts), shape.counted, strict=True)
    ]
    base = [np.zeros(features, np.float32) for features in shape.features]
    axes = [fixed.look_loadings.axes[:, : shape.ranks[0]], fixed.loadings.axes[:, : shape.ranks[1]]]
    if fixed.is_open:
        share = np.clip(fixed.traced.mean, 1e-5, 1 - 1e-5)
        base[0] = np.log(share / (1 - share))
        relative = fixed.traced.axes * (fixed.traced.scale / np.maximum(share, 1e-3))[:, None]
        axes[0] = FIRST_SIZE * relative / max(float(np.sqrt((relative**2).mean())), 1e-9)
    first, second = (np.ascontiguousarray(each, dtype=np.float32) for each in axes)
    return Start((first, second), (base[0].astype(np.float32), base[1]), (shares[0], shares[1]))


def told(fixed: Fixed, views: Views, config: Any, counted: tuple[bool, bool]) -> tuple[Told, Told]:
    """What the batches are made with."""
    is_wide = config.encoder != "evidence"
    counts_peaks = fixed.is_open and config.likelihood == "poisson"
    look = Told(
        (views.look / fixed.ends.size[0]).astype(np.float32),
        None if fixed.is_open else fixed.look_loadings,
        fixed.evidence.foresight.weight if is_wide else None,
        counted[0] or counts_peaks,
    )
    seen = Told(
        (views.seen / fixed.ends.size[1]).astype(np.float32),
        fixed.loadings,
        1 / fixed.loadings.scale if is_wide else None,
        counted[1],
    )
    return look, seen


def shares(
    data: TrainingData, views: Views, fixed: Fixed, given: float, answers: Answers
) -> np.ndarray:
    """The network's shares of the answers for look and seen, float32 (2,): those whose mixtures
    correlate best with validation rows; halves where there are none, or what is given.
    """
    found = np.full(2, given if given >= 0 else 0.5, np.float32)
    if given >= 0 or not len(data.val):
        return found
    codes = fixed.covariates.codes(data.obs)
    for side, (truth, source) in enumerate(((data.x, data.y), (data.y, data.x))):
        width = len(data.outputs if side else data.inputs)
        n = min(max(100, min(JUDGED, data.memory // BYTES_JUDGED) // width), len(data.val))
        some = np.unique(np.linspace(0, len(data.val) - 1, n).astype(int))
        rows = data.val[some]
        view = (views.look if side else views.seen)[len(data.train) + some]
        ends = answers(side, source(rows), view, codes[rows])
        found[side] = max(SHARES, key=partial(_agreement, truth(rows), ends))
    return found


def _agreement(truth: sparse.csr_array, ends: tuple[np.ndarray, np.ndarray], share: float) -> float:
    """Sum over features of the correlation of a mixture with the truth."""
    total = 0.0
    for part in parts(truth.shape[1], 2_048):
        mixture = mixed(ends[0][:, part].copy(), ends[1][:, part], share)
        total += float(correlation(truth[:, part].toarray(), mixture).sum())
    return total
