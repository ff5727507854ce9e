"""Pairs that `multivae` draws: one latent of a new cell, and what both decoders make of it.

An autoencoder draws badly from the prior that it was trained with, since the latents of real cells do
not fill it. So a Gaussian mixture is fitted to the latents of training cells, drawn from the posterior
of both modalities; with it go their libraries, as normal numbers: a drawn pair is as deep on either
side as cells of its kind are. The first member draws: it has one latent, of which both modalities come,
so they belong together as those of a cell do. Then logarithms of features are moved until drawn cells
have the means of training cells.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import numpy as np
import torch
from scipy import sparse, special

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.data import TrainingData
from scgx.learn.draws import negative_binomial
from scgx.learn.library import Library
from scgx.learn.lsi import column_mean
from scgx.learn.mixture import Mixture
from scgx.learn.selection import parts
from scgx.models._multivae_fixed import Views
from scgx.models._multivae_net import STRIDE, Cells, Member, Network

MOST = 6_000  # training cells whose latents are kept in mind
COMPONENTS = (1, 2, 4, 8, 16)
LEAN = 10.0  # cells that the spread of all cells counts for
MATCHED, SWEEPS = 1_024, 3  # cells that are drawn to move the means, and how often
LEAN_COUNTS = 10.0  # that weigh for leaving the mean of a feature
VALUES_AT_ONCE = 1 << 21
SHIFTS = 4  # steps until the chances of peaks add up to the library

See = Callable[[sparse.csr_array, np.ndarray, int], Cells]


class Prior(NamedTuple):
    """Where latents and libraries of cells lie, and what is added to the logarithm of each feature."""

    mixture: Mixture  # of latents, then normal scores of the libraries of look and seen
    library: Library  # of look, of seen
    tilts: tuple[np.ndarray, np.ndarray]  # float32 (features,) of look, of seen

    def save(self) -> bytes:
        """As safetensors."""
        named = {f"mixture_{k}": v for k, v in self.mixture._asdict().items()}
        named |= {f"library_{k}": v for k, v in self.library._asdict().items()}
        return pack_arrays(named | {"look_tilt": self.tilts[0], "seen_tilt": self.tilts[1]})

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """From safetensors."""
        found = unpack_arrays(data)
        mixture = Mixture(*(found[f"mixture_{name}"] for name in Mixture._fields))
        library = Library(*(found[f"library_{name}"] for name in Library._fields))
        return cls(mixture, library, (found["look_tilt"], found["seen_tilt"]))


class Drawn(NamedTuple):
    """Latents of cells (n, latent), and their libraries of look and seen (n, 2)."""

    z: np.ndarray
    library: np.ndarray


class Pairs:
    """Draws cells of both modalities: look, then seen."""

    def __init__(self, network: Network, middle: float, prior: Prior) -> None:
        """`middle` is the mean log library of peaks, from which their decoder counts."""
        member = network.members[0]
        assert isinstance(member, Member)
        self.decoders = member.to_look, member.to_seen
        self.is_poisson = network.config.likelihood == "poisson"
        self.middle, self.prior = middle, prior

    def __call__(
        self, codes: np.ndarray, rng: np.random.Generator
    ) -> tuple[sparse.csr_array, sparse.csr_array]:
        """CSR int32 of cells with these codes of covariates (n, columns)."""
        cells = self.draw(len(codes), rng)
        look, seen = (self._side(side, cells, codes, rng) for side in (0, 1))
        return look, seen

    def draw(self, n: int, rng: np.random.Generator) -> Drawn:
        """From the mixture."""
        found = self.prior.mixture.draw(np.zeros(n, np.int64), rng)
        at = special.ndtr(found[:, -2:])
        ends = (self.prior.library.at(np.full(n, side), at[:, side]) for side in (0, 1))
        return Drawn(found[:, :-2], np.stack(list(ends), axis=1))

    def _side(
        self, side: int, cells: Drawn, codes: np.ndarray, rng: np.random.Generator
    ) -> sparse.csr_array:
        mean, decoder = self.mean(side, cells, codes), self.decoders[side]
        if decoder.share is not None:
            size = (STRIDE * decoder.size.detach()).exp().clamp(max=1e4).numpy()
            return negative_binomial(mean, 1 / size, rng)
        if self.is_poisson:
            return negative_binomial(mean, np.zeros(mean.shape[1]), rng)
        return sparse.csr_array(rng.random(mean.shape, np.float32) < mean).astype(np.int32)

    @torch.no_grad()
    def mean(self, side: int, cells: Drawn, codes: np.ndarray) -> np.ndarray:
        """What counts of a side, or chances of peaks, are on average: float32 (n, features)."""
        decoder = self.decoders[side]
        library = torch.from_numpy(cells.library[:, [side]])
        tilt = torch.from_numpy(self.prior.tilts[side]).double()
        components, hidden = decoder(torch.from_numpy(cells.z), torch.from_numpy(codes))
        if decoder.share is not None:
            found = torch.softmax(decoder.share(hidden) + tilt, dim=1) * library
        else:
            found = self._open(decoder.values(components) + tilt, library)
        return found.float().numpy()

    def _open(self, odds: torch.Tensor, library: torch.Tensor) -> torch.Tensor:
        """Chances of peaks, or counts, of which as many are open as the library says."""
        odds = odds + library.log() - self.middle
        for _ in range(SHIFTS):
            chance = -torch.expm1(-odds.exp()) if self.is_poisson else torch.sigmoid(odds)
            odds = odds + (library / chance.sum(dim=1, keepdim=True).clamp_min(1e-9)).log()
        return odds.exp() if self.is_poisson else torch.sigmoid(odds)


def learned(
    data: TrainingData, views: Views, network: Network, middle: float, see: See, *, seed: int
) -> Prior | None:
    """The prior of the first member after training; None where a side has no counts to be drawn.

    `see` makes what an encoder sees of features and views; how many components the mixture has is what
    makes validation rows likeliest, one without them.
    """
    drawable = (not network.shape.fixed[0] or network.shape.counted[0], network.shape.counted[1])
    if not all(drawable):
        return None
    rng = np.random.default_rng([seed, 2])
    train = _evenly(len(data.train))
    fetch = _Fetch(data, views, network, see)
    latents, totals = fetch(train, rng)
    library = Library.of([totals[:, 0], totals[:, 1]])
    points = _points(latents, totals, library)
    best, likely = Mixture.fit([(points, 1)], most=1, lean=LEAN, seed=seed), -np.inf
    if len(data.val):
        held = _points(*fetch(len(data.train) + _evenly(len(data.val)), rng), library)
        for most in COMPONENTS:
            mixture = Mixture.fit([(points, 1)], most=most, lean=LEAN, seed=seed)
            said = float(mixture.log_density(0, held).mean())
            if said <= likely:
                break
            best, likely = mixture, said
    none = tuple(np.zeros(features, np.float32) for features in network.shape.features)
    return _matched(network, middle, Prior(best, library, (none[0], none[1])), fetch, train, seed)


def _evenly(n: int) -> np.ndarray:
    return np.unique(np.linspace(0, n - 1, min(n, MOST)).astype(np.int64))


def _points(latents: np.ndarray, totals: np.ndarray, library: Library) -> np.ndarray:
    """Latents and normal scores of libraries (n, latent + 2)."""
    at = np.stack([library.quantile(side, totals[:, side]) for side in (0, 1)], axis=1)
    return np.hstack([latents, special.ndtri(np.clip(at, 1e-4, 1 - 1e-4))])


class _Fetch:
    """Latents and libraries of cells, by their place among rows of train, then val."""

    def __init__(self, data: TrainingData, views: Views, network: Network, see: See) -> None:
        self.data, self.views, self.network, self.see = data, views, network, see
        self.rows = np.concatenate([data.train, data.val])

    def counts(self, side: int, place: np.ndarray) -> sparse.csr_array:
        """What is drawn of a side: counts, or open peaks."""
        shape, data = self.network.shape, self.data
        is_counted = shape.counted[side] or self.network.config.likelihood == "poisson"
        fetch = (data.x_counts, data.y_counts) if is_counted else (data.x, data.y)
        return fetch[side](self.rows[place])

    @torch.no_grad()
    def __call__(
        self, place: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A draw from the posterior of each (n, latent), and libraries of look and seen (n, 2)."""
        member, data, views = self.network.members[0], self.data, self.views
        assert isinstance(member, Member)
        latents, totals = [], []
        for part in parts(len(place), 512):
            some = place[part]
            x, y = data.x(self.rows[some]), data.y(self.rows[some])
            look, seen = self.see(x, views.look[some], 0), self.see(y, views.seen[some], 1)
            ends = (
                member.look(torch.from_numpy(look.view), look.rows),
                member.seen(torch.from_numpy(seen.view), seen.rows),
            )
            mean, spread = (each.numpy() for each in member.posterior(*ends))
            latents.append(mean + np.exp(spread / 2) * rng.standard_normal(mean.shape))
            is_open = not self.network.shape.counted[0]
            first = np.diff(x.indptr) if is_open else self.counts(0, some).sum(axis=1)
            totals.append(np.stack([first, self.counts(1, some).sum(axis=1)], axis=1))
        return np.concatenate(latents), np.maximum(np.concatenate(totals), 1).astype(np.float64)


def _matched(
    network: Network, middle: float, prior: Prior, fetch: _Fetch, train: np.ndarray, seed: int
) -> Prior:
    """The prior with tilts, with which drawn cells have the means of training cells."""
    columns = len(network.shape.levels)
    for side in (0, 1):
        features = network.shape.features[side]
        total = np.zeros(features)
        for part in parts(len(train), 512):
            block = fetch.counts(side, train[part])
            total += column_mean(block) * block.shape[0]
        for _ in range(SWEEPS):
            pairs = Pairs(network, middle, prior)
            found = np.zeros(features)
            for n, rng in _blocks(features, seed):
                cells = pairs.draw(n, rng)
                found += pairs.mean(side, cells, np.zeros((n, columns), np.int64)).sum(axis=0)
            found *= total.sum() / max(found.sum(), 1e-12)
            missing = np.log((total + LEAN_COUNTS) / (found + LEAN_COUNTS)).astype(np.float32)
            tilts = list(prior.tilts)
            tilts[side] = tilts[side] + missing
            prior = prior._replace(tilts=(tilts[0], tilts[1]))
    return prior


def _blocks(features: int, seed: int) -> Iterator[tuple[int, np.random.Generator]]:
    """Cells of a block, and their chance: the same ones in every sweep."""
    each = int(np.clip(VALUES_AT_ONCE // features, 16, MATCHED))
    for start in range(0, MATCHED, each):
        yield min(each, MATCHED - start), np.random.default_rng([seed, 3, start])
