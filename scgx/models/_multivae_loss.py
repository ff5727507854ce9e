"""What `multivae` learns from: batches of pairs, and the interdependent bound on their likelihood.

Each modality is decoded from three posteriors: its own, the other one's, and that of both. To these
come divergences from the prior, and what holds the two posteriors of a cell together: InfoNCE, which
also holds those of different cells apart, and a symmetrised divergence. Every likelihood is divided
by the number of values in a cell that are not zero, so that its weight means the same for any panel.

Peaks are decoded some thousands at a time: the likelihood of a random part of them, times its share,
is that of all of them on average. They are told the cell's library; so their decoder learns the
state.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from scgx.learn.data import TrainingData
from scgx.learn.distributed import fair, gather
from scgx.learn.loadings import Loadings
from scgx.learn.lsi import unit_rows
from scgx.learn.residual import deviations
from scgx.learn.selection import judges, parts
from scgx.learn.shares import WHOLE, Share
from scgx.models._multivae_beside import Rows
from scgx.models._multivae_net import (
    Decoder,
    Gaussian,
    Member,
    Network,
    SquaredError,
    product,
)

UNKNOWN_SHARE = 0.05  # of training covariates are hidden, so that `unknown` learns the average
COOLEST = 0.02  # temperature of the contrast
CACHED = 8  # counts are kept in memory where they take less than this part of it


class Side(NamedTuple):
    """One modality of a batch."""

    view: np.ndarray  # (n, v) float32
    rows: Rows | None  # its features, where the encoder looks at them
    truth: np.ndarray | None  # (n, features) float32 deviations; None for peaks
    weight: np.ndarray | None  # of these
    counts: sparse.csr_array | None  # or open peaks


class Fed(NamedTuple):
    """A batch: look and seen, covariates, and log library of peaks from its mean (n,)."""

    rows: np.ndarray
    sides: tuple[Side, Side]
    codes: np.ndarray
    library: np.ndarray


class Told(NamedTuple):
    """What is made of one modality before training, for rows of train, then val."""

    view: np.ndarray
    loadings: Loadings | None  # None for peaks
    weight: np.ndarray | None  # of features at unit length, where the encoder looks at them
    counted: bool


class Pairs:
    """Pairs of training and validation rows for the torch loop; `data` has look as inputs."""

    def __init__(
        self,
        data: TrainingData,
        told: tuple[Told, Told],
        cells: tuple[np.ndarray, np.ndarray],
        *,
        name: str,
        seed: int,
    ) -> None:
        """`cells` are codes of covariates and the log library, of rows of train, then val."""
        self.data, self.told = data, told
        self.codes, self.library = cells
        self.train, self.val = judges(data, seed=seed)
        self._name = name
        rows = np.concatenate([data.train, data.val])
        self._place = np.zeros(int(rows.max(initial=0)) + 1, np.int64)
        self._place[rows] = np.arange(len(rows))
        fetch = data.x_counts, data.y_counts
        self._counts = tuple(
            _kept(one, rows, data.memory) if side.counted else None
            for one, side in zip(fetch, told, strict=True)
        )

    def fingerprint(self) -> str:
        """A name for the data and for what was made of it."""
        return f"{self.data.fingerprint()} {self._name}"

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool,
        share: Share = WHOLE,
    ) -> Iterator[Fed]:
        """Batches of `size` rows."""
        for batch in self.data.batches(
            rows, size, seed=seed, epoch=epoch, shuffle=shuffle, share=share
        ):
            place = self._place[batch.rows]
            sides = tuple(
                self._side(i, values, place, batch.rows, batch.weight if i else None)
                for i, values in enumerate((batch.x, batch.y))
            )
            yield Fed(batch.rows, sides, self.codes[place], self.library[place])  # type: ignore[arg-type]

    def _side(
        self,
        i: int,
        values: sparse.csr_array,
        place: np.ndarray,
        rows: np.ndarray,
        weight: np.ndarray | None,
    ) -> Side:
        told, kept = self.told[i], self._counts[i]
        truth = None if told.loadings is None else deviations(values, told.loadings)
        counts = values if told.loadings is None else None
        if told.counted:
            fetch = self.data.y_counts if i else self.data.x_counts
            counts = fetch(rows) if kept is None else kept[place]
        seen = None if told.weight is None else Rows.of(unit_rows(values, told.weight))
        return Side(told.view[place], seen, truth, weight, counts)


def _kept(fetch: Any, rows: np.ndarray, memory: int) -> sparse.csr_array | None:
    """Counts of all rows, where they are few enough."""
    some = fetch(rows[: min(len(rows), 256)])
    if 12 * some.nnz / max(some.shape[0], 1) * len(rows) > memory / CACHED:
        return None
    blocks = [fetch(rows[part]) for part in parts(len(rows), 4_096)]
    return sparse.csr_array(sparse.vstack(blocks, format="csr"))


def loss_of(network: nn.Module, fed: Fed, device: torch.device) -> Tensor:
    """The mean bound of the members, with all that is added to it."""
    assert isinstance(network, Network)
    losses = []
    config = network.config
    alone = replace(config, counts=0.0, peaks=0.0, both=0.0, contrast=0.0, divergence=0.0)
    for i, member in enumerate(network.members):
        assert isinstance(member, Member)
        is_foreseer = i >= config.members
        losses.append(_Bound(member, alone if is_foreseer else config, fed, device).loss())
    return torch.stack(losses).mean()


class _Bound:
    """The loss of one member on one batch."""

    def __init__(self, member: Member, config: Any, fed: Fed, device: torch.device) -> None:
        self.member, self.config, self.fed, self.device = member, config, fed, device
        self.codes = torch.from_numpy(fed.codes).to(device)
        if member.training and fed.codes.shape[1]:
            hidden = torch.rand(self.codes.shape, device=device) < UNKNOWN_SHARE
            self.codes = self.codes.masked_fill(hidden, 0)
        self.library = torch.from_numpy(fed.library).to(device)

    def loss(self) -> Tensor:
        """Reconstructions, divergences, alignment, adversary."""
        config, member = self.config, self.member
        look, seen = (
            encoder(torch.from_numpy(side.view).to(self.device), self._rows(side.rows))
            for encoder, side in zip((member.look, member.seen), self.fed.sides, strict=True)
        )
        shares = [(look, 1.0), (seen, 1.0)]
        if config.both:
            shares.append((self._both(look, seen), config.both))
        total = torch.zeros((), device=self.device)
        for posterior, share in shares:
            total = total + share * self._reconstruct(posterior)
        return total + self._align(look, seen) + self._fool(look, seen)

    def _rows(self, rows: Rows | None) -> Rows | None:
        return None if rows is None else rows.to(self.device)

    def _both(self, look: Gaussian, seen: Gaussian) -> Gaussian:
        if self.config.combine == "product":
            return product(look, seen)
        coin = torch.arange(len(look[0]), device=self.device)[:, None] % 2 == 0
        if self.member.training:
            coin = torch.rand(coin.shape, device=self.device) < 0.5
        return torch.where(coin, look[0], seen[0]), torch.where(coin, look[1], seen[1])

    def _reconstruct(self, posterior: Gaussian) -> Tensor:
        mean, spread = posterior
        z = mean
        if self.member.training:
            z = mean + torch.randn_like(mean) * (spread / 2).exp()
        kl = 0.5 * (spread.exp() + mean**2 - 1 - spread).sum(dim=1).mean()
        total = self.config.beta * kl
        for decoder, side in zip(
            (self.member.to_look, self.member.to_seen), self.fed.sides, strict=True
        ):
            components, hidden = decoder(z, self.codes)
            if side.truth is None:
                if self.config.peaks:
                    total = total + self.config.peaks * self._peaks(decoder, components, side)
                continue
            total = total + self.config.values * self._values(decoder, components, side)
            if decoder.share is not None and side.counts is not None and self.config.counts:
                found = decoder.likelihood(hidden, side.counts).sum()
                total = total - self.config.counts * found / max(fair(side.counts.nnz), 1)
        return total

    def _values(self, decoder: Decoder, components: Tensor, side: Side) -> Tensor:
        assert side.truth is not None
        truth = torch.from_numpy(side.truth).to(self.device)
        axes, base = decoder.axes.weight, decoder.base  # which stay as they are
        if side.weight is None:
            return SquaredError.apply(components, axes, base, truth, None) / truth.numel()
        weight = torch.from_numpy(side.weight).to(self.device)
        error = SquaredError.apply(components, axes, base, truth, weight)
        return error / max(fair(float(weight.sum())), 1)

    def _peaks(self, decoder: Decoder, components: Tensor, side: Side) -> Tensor:
        """Negative log likelihood per open peak, of some of the peaks."""
        x = side.counts
        assert x is not None
        features, most = x.shape[1], self.config.peaks_at_once
        columns = np.arange(features)
        if features > most:
            columns = np.linspace(0, features - 1, most).astype(np.int64)
            if self.member.training:
                columns = torch.randperm(features)[:most].sort().values.numpy()
        odds = decoder.values(components, torch.from_numpy(columns).to(self.device))
        odds = odds + self.library[:, None]
        truth = torch.from_numpy(x[:, columns].toarray().astype(np.float32)).to(self.device)
        if self.config.likelihood == "bernoulli":
            found = functional.binary_cross_entropy_with_logits(odds, truth, reduction="sum")
        else:
            found = (odds.exp() - truth * odds).sum()
        return found * (features / len(columns)) / max(fair(x.nnz), 1)

    def _align(self, look: Gaussian, seen: Gaussian) -> Tensor:
        config, total = self.config, torch.zeros((), device=self.device)
        if config.contrast:
            common = slice(config.common)
            one, other = (functional.normalize(q[0][:, common], dim=1) for q in (look, seen))
            warmth = self.member.temperature.exp().clamp(COOLEST, 10.0)
            (ones, first), (others, _) = gather(one), gather(other)
            own = torch.arange(first, first + len(one), device=self.device) % len(ones)
            loss = functional.cross_entropy(one @ others.T / warmth, own)
            loss = loss + functional.cross_entropy(other @ ones.T / warmth, own)
            total = total + config.contrast * loss / 2
        if config.divergence:
            (a, u), (b, v) = look, seen
            both = (a - b) ** 2 * ((-u).exp() + (-v).exp()) + (u - v).exp() + (v - u).exp() - 2
            total = total + config.divergence * both.sum(dim=1).mean() / 4
        return total

    def _fool(self, look: Gaussian, seen: Gaussian) -> Tensor:
        """What an adversary reads of the first covariate, its slope turned round for the encoders."""
        if self.member.adversary is None:
            return torch.zeros((), device=self.device)
        z = torch.cat([look[0], seen[0]])
        said = self.member.adversary(2 * z.detach() - z if self.member.training else z)
        truth = torch.from_numpy(self.fed.codes[:, 0]).to(self.device).repeat(2)
        return self.config.adversary * functional.cross_entropy(said, truth)
