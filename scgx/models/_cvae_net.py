"""The network of `cvae`: counts and conditions to a latent, and a latent and conditions to counts.

Each condition is an embedding that is added to the hidden layer of encoder and decoder, to the mean and
spread of the prior, and, as a shift of its own, to the logarithm of every gene's rate. So conditions
that were never seen together still have a place. The likelihood is a negative binomial whose mean is
the cell's depth times the softmax of the decoder. Most counts are zero: what only the others need, the
logarithms of gamma functions, is worked out for them alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from scgx.learn.generative import CountBatch, GenerativeData
from scgx.learn.loop import History
from scgx.learn.selection import judges
from scgx.learn.shares import WHOLE, Share
from scgx.models._mlp_net import train as train_network
from scgx.progress import Report

SIZE = 3.0  # logarithm of the first inverse dispersion: nearly Poisson, as counts of molecules are
STRIDE = 10.0  # how much faster dispersions move than weights
SMALLEST, LARGEST = -8.0, 4.0  # logarithm of the variance of a latent


class Shape(NamedTuple):
    """Genes, levels of each condition, units of a hidden layer, latent dimensions."""

    genes: int
    levels: tuple[int, ...]
    hidden: int
    latent: int


class Seen(NamedTuple):
    """What the network says of a batch: log rates (n, genes), logits of being empty, KL (n,)."""

    log_share: Tensor
    empty: Tensor | None
    divergence: Tensor


class Tables(nn.Module):
    """A row for every level of every condition; the rows of a cell are added up."""

    def __init__(self, levels: tuple[int, ...], width: int, *, zero: bool = False) -> None:
        super().__init__()
        self.each = nn.ModuleList(nn.Embedding(n, width) for n in levels)
        for table in self.each:
            assert isinstance(table, nn.Embedding)
            nn.init.zeros_(table.weight) if zero else nn.init.normal_(table.weight, std=0.1)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (n, conditions) to sums (n, width)."""
        return torch.stack([table(codes[:, i]) for i, table in enumerate(self.each)]).sum(dim=0)


class Network(nn.Module):
    """Encoder, conditional prior and decoder."""

    def __init__(self, shape: Shape, *, dropout: float, zero_inflated: bool) -> None:
        super().__init__()
        genes, levels, hidden, latent = shape
        self.encode_genes = nn.Linear(genes, hidden)
        self.encode_conditions = Tables(levels, hidden)
        self.encode_norm = nn.LayerNorm(hidden)
        self.encode_last = nn.Linear(hidden, 2 * latent)
        self.prior = Tables(levels, 2 * latent, zero=True)
        self.decode_latent = nn.Linear(latent, hidden)
        self.decode_conditions = Tables(levels, hidden)
        self.decode_norm = nn.LayerNorm(hidden)
        self.decode_last = nn.Linear(hidden, genes)
        self.decode_shift = Tables(levels, genes, zero=True)
        self.size = nn.Parameter(torch.full((genes,), SIZE / STRIDE))
        self.empty = nn.Linear(hidden, genes) if zero_inflated else None
        self.drop = nn.Dropout(dropout)
        self.register_buffer("steps", torch.zeros(1, dtype=torch.int64))

    def encode(self, x: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (n, latent) of the latent of counts (n, genes)."""
        hidden = self.encode_genes(torch.log1p(x)) + self.encode_conditions(codes)
        hidden = self.drop(nn.functional.gelu(self.encode_norm(hidden)))
        mean, spread = self.encode_last(hidden).chunk(2, dim=1)
        return mean, spread.clamp(SMALLEST, LARGEST)

    def decode(self, z: Tensor, codes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logarithms of the share of each gene (n, genes), and logits of its being empty."""
        hidden = self.decode_latent(z) + self.decode_conditions(codes)
        hidden = self.drop(nn.functional.gelu(self.decode_norm(hidden)))
        logits = self.decode_last(hidden) + self.decode_shift(codes)
        empty = None if self.empty is None else self.empty(hidden)
        return torch.log_softmax(logits, dim=1), empty

    def forward(self, x: Tensor, codes: Tensor) -> Seen:
        """A latent is drawn, always by the same chance where the network is judged."""
        mean, spread = self.encode(x, codes)
        known = None if self.training else torch.Generator(x.device).manual_seed(0)
        noise = torch.randn(mean.shape, generator=known, device=x.device)
        share, empty = self.decode(mean + noise * (spread / 2).exp(), codes)
        centre, width = self.prior(codes).chunk(2, dim=1)
        width = width.clamp(SMALLEST, LARGEST)
        kl = width - spread + ((spread.exp() + (mean - centre) ** 2) / width.exp()) - 1
        return Seen(share, empty, kl.sum(dim=1) / 2)


@torch.no_grad()
def begin(network: Network, mean: np.ndarray) -> None:
    """Let every gene begin at its share of the counts of the mean cell."""
    share = torch.from_numpy(np.asarray(mean, np.float32)) + 1e-4
    network.decode_last.bias.copy_((share / share.sum()).log())
    network.decode_last.weight.mul_(0.5)
    if network.empty is not None:
        network.empty.bias.fill_(-4.0)


def network_of(
    shape: Shape, *, dropout: float, zero_inflated: bool, seed: int, mean: np.ndarray
) -> Network:
    """A network with seeded first weights; torch's generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(shape, dropout=dropout, zero_inflated=zero_inflated)
        begin(network, mean)
        return network.eval()


class Nonzero(NamedTuple):
    """The counts that are not zero, and where they are."""

    row: Tensor
    column: Tensor
    value: Tensor


class NegativeBinomial(torch.autograd.Function):
    """Log likelihood of cells (n,) with its slopes worked out by hand, in few passes over the matrix.

    With mean m and inverse dispersion r: r log r - (x+r) log(r+m) + x log m + lgamma(x+r) - lgamma(r).
    All that has a factor x is summed over the counts that are not zero. The slope in log m is
    r (x-m) / (r+m), that in r is log r + 1 - log(r+m) - (x+r) / (r+m) + digamma(x+r) - digamma(r).
    """

    @staticmethod
    def forward(
        ctx: Any, log_mean: Tensor, size: Tensor, row: Tensor, column: Tensor, x: Tensor
    ) -> Tensor:
        """Log means (n, genes), sizes (genes,), and where counts are not zero and what they are.

        In float32 at least, whatever the network answers in: what is summed is far larger than slopes.
        """
        wide = torch.promote_types(log_mean.dtype, torch.float32)
        with torch.autocast(log_mean.device.type, enabled=False):
            return NegativeBinomial._sum(ctx, log_mean.to(wide), size.to(wide), (row, column, x))

    @staticmethod
    def _sum(ctx: Any, log_mean: Tensor, size: Tensor, counts: tuple[Tensor, ...]) -> Tensor:
        row, column, x = counts
        whole = log_mean.exp().add_(size)
        logs = whole.log()
        r = size[column]
        each = x * (log_mean[row, column] - logs[row, column])
        each += torch.lgamma(x + r) - torch.lgamma(r)
        ctx.save_for_backward(logs, whole.reciprocal_(), size, row, column, x)
        total = (size * size.log()).sum() - logs @ size
        return total.index_add_(0, row, each)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """From the slopes of the sums (n,) to those of log means and sizes."""
        logs, inverse, size, row, column, x = ctx.saved_tensors
        weight = slopes[0]
        r, here = size[column], inverse[row, column]
        of_size = weight.sum() * (size.log() + 1) - weight @ logs - (weight @ inverse) * size
        each = torch.digamma(x + r) - torch.digamma(r) - x * here
        of_size.index_add_(0, column, each * weight[row])
        of_mean = inverse.mul_(size * size).sub_(size)
        of_mean.view(-1).index_add_(0, row * len(size) + column, r * x * here)
        return of_mean.mul_(weight[:, None]), of_size, None, None, None


def log_likelihood(x: Tensor, seen: Seen, size: Tensor, nonzero: Nonzero) -> Tensor:
    """Of the counts of each cell (n,), up to what depends on the counts alone; `size` (genes,)."""
    log_mean = seen.log_share + x.sum(dim=1, keepdim=True).clamp_min(1.0).log()
    if seen.empty is None:
        return NegativeBinomial.apply(log_mean, size, *nonzero)
    whole = torch.log(size + log_mean.exp())
    every = x * log_mean - (x + size) * whole + size * size.log()
    r = size[nonzero.column]
    of_counts = torch.lgamma(nonzero.value + r) - torch.lgamma(r)
    some, none = nn.functional.logsigmoid(-seen.empty), nn.functional.logsigmoid(seen.empty)
    nothing = torch.logaddexp(none, some + every)
    each = torch.where(x > 0, some + every, nothing)
    return each.sum(dim=1).index_add(0, nonzero.row, of_counts)


@dataclass(frozen=True)
class Dense:
    """A batch for the network."""

    batch: CountBatch

    @property
    def rows(self) -> np.ndarray:
        """Its rows of the file."""
        return self.batch.rows


class Source:
    """GenerativeData for the torch loop; `name` says with which settings."""

    def __init__(self, data: GenerativeData, name: str, *, seed: int) -> None:
        self.data, self.name = data, name
        self.train, self.val = judges(data, seed=seed)

    def fingerprint(self) -> str:
        """A name for the data and for the settings."""
        return f"{self.data.fingerprint()} {self.name}"

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool,
        share: Share = WHOLE,
    ) -> Iterator[Dense]:
        """Batches of `size` rows, sparse until they are used."""
        found = self.data.batches(rows, size, seed=seed, epoch=epoch, shuffle=shuffle, share=share)
        return (Dense(batch) for batch in found)


def to_torch(x: sparse.csr_array, device: torch.device) -> tuple[Tensor, Nonzero]:
    """Counts dense, and those that are not zero."""
    row = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    parts = (row, x.indices.astype(np.int64), x.data)
    nonzero = Nonzero(*(torch.from_numpy(part).to(device) for part in parts))
    return torch.from_numpy(x.toarray()).to(device), nonzero


@dataclass(frozen=True)
class Objective:
    """The loss: the negative evidence bound per gene, whose divergence weighs `beta` in the end.

    While training the weight climbs over `climb` steps; where the network is judged it is `beta`.
    """

    beta: float
    climb: int

    def __call__(self, network: nn.Module, batch: Dense, device: torch.device) -> Tensor:
        """The mean over the cells of a batch."""
        assert isinstance(network, Network)
        x, nonzero = to_torch(batch.batch.x, device)
        codes = torch.from_numpy(batch.batch.codes).to(device)
        seen = network(x, codes)
        weight = self.beta
        if network.training:
            steps = network.get_buffer("steps")
            steps += 1
            weight *= min(1.0, int(steps) / max(self.climb, 1))
        size = (network.size * STRIDE).clamp(-7.0, 9.0).exp()
        loss = weight * seen.divergence - log_likelihood(x, seen, size, nonzero)
        return loss.mean() / x.shape[1]


def train(
    network: Network,
    data: GenerativeData,
    config: "Training",
    *,
    seed: int,
    report: Report,
) -> History:
    """Fit by the torch loop; without validation rows a fifth of the training rows judges."""
    source = Source(data, repr(config), seed=seed)
    batch = min(config.batch_size, max(16, len(source.train) // 20))
    steps = math.ceil(len(source.train) / batch)
    objective = Objective(config.beta, round(config.kl_epochs * steps))
    return train_network(network, objective, source, config, seed=seed, report=report)


class Training(Protocol):
    """What of a model's settings the training needs."""

    @property
    def batch_size(self) -> int: ...
    @property
    def beta(self) -> float: ...
    @property
    def kl_epochs(self) -> int: ...


@torch.no_grad()
def posterior(network: Network, x: sparse.csr_array, codes: np.ndarray) -> np.ndarray:
    """Mean and log variance of the latents of some cells, float32 (n, 2 x latent)."""
    found = network.encode(torch.from_numpy(x.toarray()), torch.from_numpy(codes))
    return torch.cat(found, dim=1).numpy()
