"""Multinomial logistic regression on log counts: sparse, convex, and hard to beat within a study.

Values are taken as they are, log1p of counts per 10,000: dividing each gene by its deviation makes much
of rare genes and costs a tenth of macro-F1 between studies. The penalty is a ridge, or with `l1` the
elastic net. A feature that a file lacks counts with its training mean, so that it speaks for no class.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from scipy import optimize, sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.labels import LabelledData, Moments
from scgx.learn.model import Why
from scgx.learn.selection import parts
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
LABELS = {"rna", "activity", "atac", "adt"}
ROWS = 8_192


@dataclass(frozen=True)
class Config:
    """How strongly coefficients are held down."""

    C: float = knob(0.03, least=1e-9)  # inverse strength of the penalty, as in scikit-learn
    l1: float = knob(0.0, most=1)  # share of the penalty that is absolute values: elastic net
    scale: Literal["none", "deviation"] = "none"  # what a feature is divided by
    iterations: int = knob(200, least=1)  # steps of L-BFGS at most
    tolerance: float = knob(1e-4, least=0)  # largest slope at which it stops


class _Part(NamedTuple):
    """Some training rows: inputs, their transpose, classes and weights."""

    x: sparse.csr_array
    xt: sparse.csr_array
    y: np.ndarray
    weight: np.ndarray


class Model:
    """A coefficient per feature and class."""

    def __init__(self, slope: np.ndarray, intercept: np.ndarray, mean: np.ndarray) -> None:
        self.slope = slope  # (features, classes) float32
        self.intercept = intercept  # (classes,) float32
        self.mean = mean  # (features,) float32, over training rows with their weights

    @classmethod
    def fit(cls, data: LabelledData, config: Config, *, seed: int, report: Report) -> Self:
        """Minimise the weighted loss and the penalty by L-BFGS."""
        about = data.moments
        mean = about.mean.astype(np.float32)
        scale = np.ones(len(mean))
        if config.scale == "deviation":
            flat = about.variance <= 0
            scale = np.where(flat, 0, 1 / np.sqrt(np.where(flat, 1, about.variance)))
            about = Moments(about.mean * scale, about.variance * scale**2)
        slope, intercept, steps = _minimise(_source(data, scale), data, about, config)
        if steps >= config.iterations:
            report.say(f"stopped after {steps} steps (--set iterations=N allows more)")
        slope *= scale[:, None]
        return cls(slope.astype(np.float32), intercept.astype(np.float32), mean)

    def save(self) -> Mapping[str, bytes]:
        arrays = {"slope": self.slope, "intercept": self.intercept, "mean": self.mean}
        return {"coefficients.safetensors": pack_arrays(arrays)}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        return cls(**unpack_arrays(members["coefficients.safetensors"]))

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32."""
        slope = self.slope.astype(np.float64)
        absent = np.where(block.present, 0, self.mean.astype(np.float64))
        return (block.x @ slope + (absent @ slope + self.intercept)).astype(np.float32)

    def explain(self, blocks: Iterator[CellBlock]) -> Why:
        """Coefficients; on cells, what each feature adds to the score of those called the class.

        Both against the mean of the classes. What a feature adds is its coefficient times its value
        less the training mean, the SHAP value of a linear model.
        """
        slope = self.slope - self.slope.mean(axis=1, keepdims=True)
        sums, cells = np.zeros(slope.shape), np.zeros(slope.shape[1])
        for block in blocks:
            called = self.scores(block).argmax(axis=1)
            for code in np.unique(called):
                mine = called == code
                cells[code] += mine.sum()
                above = np.asarray(block.x[mine].sum(axis=0)).ravel() - mine.sum() * self.mean
                sums[:, code] += np.where(block.present, above, 0)
        if not cells.any():
            return Why("coefficient per log1p unit, against the mean of the classes", slope)
        return Why(
            "mean SHAP value over the cells called the class", slope * sums / np.maximum(cells, 1)
        )


def _source(data: LabelledData, scale: np.ndarray) -> Callable[[], Iterator[_Part]]:
    """The training rows, again and again: kept where they fit, else read each time."""

    def made(rows: np.ndarray) -> _Part:
        x = data.x(rows)
        values = (x.data * scale[x.indices]).astype(np.float32)
        x = sparse.csr_array((values, x.indices, x.indptr), shape=x.shape)
        return _Part(x, sparse.csr_array(x.T), data.y(rows), data.weight(rows))

    pieces = [data.train[part] for part in parts(len(data.train), ROWS)]
    if data.held is None:
        return lambda: map(made, pieces)
    kept = [made(rows) for rows in pieces]
    return lambda: iter(kept)


def _minimise(
    rows: Callable[[], Iterator[_Part]], data: LabelledData, about: Moments, config: Config
) -> tuple[np.ndarray, np.ndarray, int]:
    """Coefficients (features, classes), intercepts (classes,), and the steps that were taken.

    The mean loss is minimised, so that `tolerance` means the same for few cells and many. Features
    are centred on the way, which halves the steps and changes no answer, for the intercept bears no
    penalty. Absolute values make a corner at zero; two sides that are each not negative have none.
    """
    width, k = len(about.mean), len(data.classes)
    n = float(len(data.train))
    ridge, lasso = (1 - config.l1) / (config.C * n), config.l1 / (config.C * n)
    size = width * k

    def smooth(theta: np.ndarray) -> tuple[float, np.ndarray]:
        slope = theta[:size].reshape(width, k)
        loss, steep, free = _loss(rows, slope, theta[size:] - about.mean @ slope)
        steep = (steep - np.outer(about.mean, free)) / n + ridge * slope
        loss = loss / n + 0.5 * ridge * float((slope**2).sum())
        return loss, np.concatenate([steep.ravel(), free / n])

    def sided(theta: np.ndarray) -> tuple[float, np.ndarray]:
        up, down, free = theta[:size], theta[size : 2 * size], theta[2 * size :]
        loss, steep = smooth(np.concatenate([up - down, free]))
        first = steep[:size]
        loss += lasso * float(up.sum() + down.sum())
        return loss, np.concatenate([first + lasso, lasso - first, steep[size:]])

    options = {"maxiter": config.iterations, "gtol": config.tolerance, "ftol": 1e-9, "maxls": 50}
    if lasso == 0:
        found = optimize.minimize(
            smooth, np.zeros(size + k), jac=True, method="L-BFGS-B", options=options
        )
        flat, free = found.x[:size], found.x[size:]
    else:
        bounds = optimize.Bounds(np.r_[np.zeros(2 * size), np.full(k, -np.inf)], np.inf)
        start = np.zeros(2 * size + k)
        found = optimize.minimize(
            sided, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        flat, free = found.x[:size] - found.x[size : 2 * size], found.x[2 * size :]
    slope = flat.reshape(width, k)
    return slope, free - about.mean @ slope, int(found.nit)


def _loss(
    rows: Callable[[], Iterator[_Part]], slope: np.ndarray, intercept: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Weighted sum of -log p over all rows, and its slope in coefficients and in intercepts."""
    small = np.ascontiguousarray(slope, dtype=np.float32)
    total, steep, free = 0.0, np.zeros(slope.shape), np.zeros(len(intercept))
    for part in rows():
        logits = part.x @ small
        logits += intercept.astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        every = np.arange(len(part.y))
        own = logits[every, part.y].astype(np.float64)
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1, keepdims=True)
        total += float((part.weight * (np.log(sums[:, 0].astype(np.float64)) - own)).sum())
        logits /= sums
        logits[every, part.y] -= 1
        logits *= part.weight[:, None]
        steep += part.xt @ logits
        free += logits.sum(axis=0, dtype=np.float64)
    return total, steep, free
