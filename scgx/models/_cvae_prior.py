"""The prior of `cvae` after training: mixtures of where the latents of training cells lie, and how deep
the cells are there.

Latents are draws from the posterior of each cell, several a cell. Depth joins them as a normal number,
the quantile at which the cell stands in its group; so it goes with the latent and keeps its own
distribution.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from scipy import special

from scgx.learn.conditions import group_of
from scgx.learn.generative import GenerativeData
from scgx.learn.library import Library
from scgx.learn.mixture import Mixture
from scgx.models._cvae_decoder import encode
from scgx.progress import Report

EACH = 20  # draws of a cell, fewer where cells are many
ENOUGH = 40_000  # draws of a group


class Wish(Protocol):
    """What of the model's settings a prior needs."""

    @property
    def components(self) -> int: ...
    @property
    def lean(self) -> float: ...


class Latents(NamedTuple):
    """Of some cells: mean and log variance (n, latent), depth (n,), label and combination or -1."""

    mean: np.ndarray
    spread: np.ndarray
    depth: np.ndarray
    groups: np.ndarray

    def members(self, group: int) -> np.ndarray:
        """The cells of a label, or of a combination that is a group by itself."""
        return np.flatnonzero((self.groups == group).any(axis=1))

    def points(
        self, rows: np.ndarray, quantile: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Draws (n, latent + 1) of these cells, and how many of each."""
        each = int(np.clip(ENOUGH // max(len(rows), 1), 1, EACH))
        depth = special.ndtri(np.clip(quantile, 1e-4, 1 - 1e-4))[:, None]
        width = np.exp(self.spread[rows] / 2)
        drawn = [
            np.hstack([self.mean[rows] + width * rng.standard_normal(width.shape), depth])
            for _ in range(each)
        ]
        return np.concatenate(drawn), each


def latents(
    data: GenerativeData, rows: np.ndarray, weights: Mapping[str, np.ndarray], own: np.ndarray
) -> Latents:
    """What the encoder says of some rows of the training file."""
    labels = data.conditions.sizes[0]
    parts: list[Latents] = []
    for start in range(0, len(rows), 512):
        some = rows[start : start + 512]
        x, codes = data.x(some), data.codes(some)
        mean, spread = encode(weights, x, codes)
        group = group_of(own, codes, labels)
        pair = np.column_stack([codes[:, 0], np.where(group >= labels, group, -1)])
        parts.append(Latents(mean, spread, np.asarray(x.sum(axis=1), np.float64).ravel(), pair))
    return Latents(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def learned(
    data: GenerativeData,
    weights: Mapping[str, np.ndarray],
    own: np.ndarray,
    wish: Wish,
    *,
    seed: int,
    report: Report,
) -> tuple[Mixture, Library]:
    """A mixture and the depths of each label, then of each combination of `own`.

    How many components a class may have is what makes the validation rows likeliest; one without them.
    """
    groups = data.conditions.sizes[0] + len(own)
    train = latents(data, data.train, weights, own)
    members = [train.members(group) for group in range(groups)]
    library = Library.of([train.depth[rows] for rows in members])
    rng = np.random.default_rng([seed, 1])
    points = [
        train.points(rows, library.quantile(group, train.depth[rows]), rng)
        for group, rows in enumerate(members)
    ]
    if not len(data.val):
        return Mixture.fit(points, most=1, lean=wish.lean, seed=seed), library
    held = latents(data, data.val, weights, own)
    test = []
    for group in range(data.conditions.sizes[0]):
        rows = held.members(group)
        if len(rows):
            quantile = library.quantile(group, held.depth[rows])
            test.append((group, held.points(rows, quantile, rng)[0]))
    best: tuple[float, Mixture] | None = None
    for most in sorted({min(n, wish.components) for n in (1, 2, 4, 8, wish.components)}):
        mixture = Mixture.fit(points, most=most, lean=wish.lean, seed=seed)
        likely = float(np.mean([mixture.log_density(g, z).mean() for g, z in test] or [0.0]))
        if best is None or likely > best[0]:
            best = likely, mixture
    assert best is not None
    report.say(
        f"the prior of a class has {len(best[1].weights) / groups:.1f} components on average"
    )
    return best[1], library
