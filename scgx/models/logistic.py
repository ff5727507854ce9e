"""Multinomial logistic regression on log counts: sparse, convex, and hard to beat within a study.

Values are taken as they are, log1p of counts per 10,000: dividing each gene by its deviation makes much
of rare genes and costs a tenth of macro-F1 between studies. The penalty is a ridge, or with `l1` the
elastic net. A feature that a file lacks counts with its training mean, so that it speaks for no class.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from scipy import optimize, sparse

from scgx.learn.config import knob
from scgx.learn.labels import LabelledData, Moments
from scgx.learn.selection import parts
from scgx.models._linear import Linear
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
    """Some training rows: inputs, classes and weights."""

    x: sparse.csr_array
    y: np.ndarray
    weight: np.ndarray


class Model(Linear):
    """A coefficient per feature and class."""

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


def _source(data: LabelledData, scale: np.ndarray) -> Callable[[], Iterator[_Part]]:
    """The training rows, again and again: kept where they fit, else read each time."""

    def made(rows: np.ndarray) -> _Part:
        x = data.x(rows)
        if not np.all(scale == 1):
            np.multiply(x.data, scale[x.indices], out=x.data, casting="unsafe")
        return _Part(x, data.y(rows), data.weight(rows))

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
        steep += part.x.T @ logits
        free += logits.sum(axis=0, dtype=np.float64)
    return total, steep, free
