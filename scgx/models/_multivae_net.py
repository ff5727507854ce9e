"""The network of `multivae`: two encoders, one latent, a decoder for each modality.

The posterior of a cell is a Gaussian from either modality, and the product of both where both are
there. Covariates are told to the decoders alone. A decoder answers in few components, and axes lead
from those to every feature; beside them it has shares of the counts, for the likelihood of these.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from scgx.models._cvae_net import NegativeBinomial
from scgx.models._multivae_beside import Layout, Rows, beside

SMALLEST, LARGEST = -8.0, 3.0  # logarithm of the variance of a latent
FIRST_SPREAD = -2.0
STRIDE = 10.0  # how much faster dispersions move than weights
COLUMNS_AT_ONCE = 8_192
HELD = (
    1 << 21
)  # values of a likelihood that are held until slopes flow back, and not worked out anew

Gaussian = tuple[Tensor, Tensor]  # mean and log variance (n, latent)


class Shape(NamedTuple):
    """What goes in and out."""

    views: tuple[int, int]  # numbers that look and seen show of a cell
    features: tuple[int, int]
    ranks: tuple[int, int]  # components of the decoders
    fixed: tuple[bool, bool]  # decoders whose axes stay as they were found
    counted: tuple[bool, bool]  # decoders with shares of counts
    levels: tuple[int, ...]  # of each covariate


class Encoder(nn.Module):
    """A view of a modality, and what is beside it, to a Gaussian."""

    def __init__(self, view: int, beside: nn.Module | None, width: int, config: Any) -> None:
        super().__init__()
        self.beside = beside
        hidden = config.hidden
        self.skip = nn.Linear(view, config.latent, bias=False)
        self.first = nn.Linear(view + width, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 2 * config.latent)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, view: Tensor, rows: Rows | None) -> Gaussian:
        """Mean and log variance (n, latent)."""
        x = view
        if self.beside is not None:
            x = torch.cat([view, self.drop(self.beside(rows))], dim=1)
        hidden = self.drop(functional.gelu(self.first(x)))
        hidden = self.drop(functional.gelu(self.second(hidden)))
        mean, spread = self.last(hidden).chunk(2, dim=1)
        return mean + self.skip(view), (spread + FIRST_SPREAD).clamp(SMALLEST, LARGEST)


class Decoder(nn.Module):
    """Latent and covariates to a few components, and those to every feature."""

    def __init__(self, side: int, shape: Shape, config: Any) -> None:
        super().__init__()
        features, rank = shape.features[side], shape.ranks[side]
        self.hidden = nn.Linear(config.latent, config.hidden)
        self.tables = nn.ModuleList(nn.Embedding(size, config.hidden) for size in shape.levels)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=0.1)
        self.drop = nn.Dropout(config.dropout)
        self.components = nn.Linear(config.hidden, rank)
        self.line = nn.Linear(config.latent, rank, bias=False)
        self.axes = nn.Embedding(features, rank)
        self.base = nn.Parameter(torch.zeros(features))
        if shape.fixed[side]:  # thousands of noisy features are not fitted one by one
            self.axes.requires_grad_(False)
            self.base.requires_grad_(False)
        counted = shape.counted[side]
        self.share = nn.Linear(config.hidden, features) if counted else None
        self.size = nn.Parameter(torch.full((features if counted else 0,), 3.0 / STRIDE))

    def forward(self, z: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Components (n, rank), and the hidden layer that shares of counts come from."""
        hidden = self.hidden(z)
        for i, table in enumerate(self.tables):
            hidden = hidden + table(codes[:, i])
        hidden = self.drop(functional.gelu(hidden))
        return self.components(hidden) + self.line(z), hidden

    def values(self, components: Tensor, columns: Tensor | slice = slice(None)) -> Tensor:
        """(n, columns): deviations from the mean, or log odds before the library."""
        return components @ self.axes.weight[columns].T + self.base[columns]

    def likelihood(self, hidden: Tensor, counts: sparse.csr_array) -> Tensor:
        """Log likelihood (n,) of counts, negative binomial around their library times shares."""
        coo, device = counts.tocoo(), hidden.device
        row = torch.from_numpy(coo.row.astype(np.int64)).to(device)
        column = torch.from_numpy(coo.col.astype(np.int64)).to(device)
        x = torch.from_numpy(coo.data.astype(np.float32)).to(device)
        if counts.shape[0] * counts.shape[1] <= HELD or not torch.is_grad_enabled():
            return self._likelihood(hidden, row, column, x)
        return checkpoint(
            self._likelihood, hidden, row, column, x, use_reentrant=False, preserve_rng_state=False
        )

    def _likelihood(self, hidden: Tensor, row: Tensor, column: Tensor, x: Tensor) -> Tensor:
        assert self.share is not None
        library = torch.zeros(len(hidden), device=hidden.device).index_add_(0, row, x).clamp_min(1)
        mean = torch.log_softmax(self.share(hidden), dim=1) + library.log()[:, None]
        size = (STRIDE * self.size).exp().clamp(max=1e4)
        return NegativeBinomial.apply(mean, size, row, column, x)

    def leave_counts(self) -> None:
        """Have no shares of the counts: nobody asks this decoder for them."""
        self.share = None
        self.size = nn.Parameter(torch.zeros(0))


class SquaredError(torch.autograd.Function):
    """Sum of the squared errors of fixed axes: what is kept of it is the slope of the components.

    An error as wide as all features, kept for every posterior of every member, was a gigabyte.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cuda", cast_inputs=torch.float32)
    def forward(
        ctx: Any,
        components: Tensor,
        axes: Tensor,
        base: Tensor,
        truth: Tensor,
        weight: Tensor | None,
    ) -> Tensor:
        """Components (n, rank); axes (features, rank), base; truth and weight (n, features)."""
        error = components @ axes.T
        error += base
        error -= truth
        if weight is None:
            ctx.save_for_backward(2 * (error @ axes))
            return (error**2).sum()
        error = torch.where(weight > 0, error, 0)
        weighed = error * weight
        ctx.save_for_backward(2 * (weighed @ axes))
        return (weighed * error).sum()

    @staticmethod
    @torch.amp.custom_bwd(device_type="cuda")
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None, None]:
        """From the slope of the sum to that of the components."""
        return ctx.saved_tensors[0] * slopes[0], None, None, None, None


class Member(nn.Module):
    """One autoencoder of the committee."""

    def __init__(self, shape: Shape, config: Any, layout: Layout | None) -> None:
        super().__init__()
        encoders = []
        for side in (0, 1):
            seen = beside(shape.features[side], layout if side == 0 else None, config)
            width = 0 if seen is None else config.wide
            encoders.append(Encoder(shape.views[side], seen, width, config))
        self.look, self.seen = encoders
        self.to_look, self.to_seen = (Decoder(side, shape, config) for side in (0, 1))
        self.temperature = nn.Parameter(torch.full((1,), -2.3))
        self.adversary: nn.Module | None = None
        if config.adversary > 0 and shape.levels:
            head = nn.Linear(config.hidden, shape.levels[0])
            self.adversary = nn.Sequential(nn.Linear(config.latent, config.hidden), nn.GELU(), head)

    def posterior(self, look: Gaussian | None, seen: Gaussian | None) -> Gaussian:
        """Of one modality, or the product of both with the prior."""
        if look is None or seen is None:
            one = look if look is not None else seen
            assert one is not None
            return one
        return product(look, seen)


class Network(nn.Module):
    """Members that differ in their first weights and their chance."""

    def __init__(self, shape: Shape, config: Any, layout: Layout | None) -> None:
        super().__init__()
        self.shape, self.config = shape, config
        many = config.members + config.foreseers
        self.members = nn.ModuleList(Member(shape, config, layout) for _ in range(many))
        for member in self.members[config.members :]:
            assert isinstance(member, Member)
            for decoder in (member.to_look, member.to_seen):
                decoder.leave_counts()


class Start(NamedTuple):
    """What decoders of look and seen know before training."""

    axes: tuple[np.ndarray, np.ndarray]  # (features, rank)
    base: tuple[np.ndarray, np.ndarray]  # (features,)
    share: tuple[np.ndarray | None, np.ndarray | None]  # (features,) mean counts


def build(
    shape: Shape, config: Any, layout: Layout | None, *, start: Start | None, seed: int
) -> Network:
    """A network with seeded first weights, ready to answer; torch's generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(shape, config, layout)
        if start is not None:
            for member in network.members:
                _begin(member, start)
        return network.eval()


@torch.no_grad()
def _begin(member: nn.Module, start: Start) -> None:
    assert isinstance(member, Member)
    for side, decoder in enumerate((member.to_look, member.to_seen)):
        decoder.axes.weight.copy_(torch.from_numpy(start.axes[side]))
        decoder.base.copy_(torch.from_numpy(start.base[side]))
        mean = start.share[side]
        if decoder.share is not None and mean is not None:
            share = torch.from_numpy(mean.astype(np.float32)) + 1e-4
            decoder.share.bias.copy_((share / share.sum()).log())
            decoder.share.weight.mul_(0.3)


def product(one: Gaussian, other: Gaussian) -> Gaussian:
    """The product of two Gaussians and the prior."""
    first, second = (-one[1]).exp(), (-other[1]).exp()
    total = 1 + first + second
    return (one[0] * first + other[0] * second) / total, -total.log()


class Cells(NamedTuple):
    """Cells at use, of one modality: their view (n, v), and their features if these are looked at."""

    view: np.ndarray
    rows: Rows | None


def meet(network: Network) -> slice:
    """The members in whose latent modalities meet."""
    return slice(network.config.members)


def answer(network: Network, side: int) -> slice:
    """The members that answer for a side: all of them for values, those that learn peaks for peaks."""
    return slice(None) if network.shape.fixed[side] else meet(network)


@torch.no_grad()
def places(network: Network, which: slice, look: Cells | None, seen: Cells | None) -> list[Tensor]:
    """The latent (n, latent) of some members, float64: the mean of the posterior."""
    found = []
    for member in network.members[which]:
        assert isinstance(member, Member)
        first = None if look is None else member.look(torch.from_numpy(look.view), look.rows)
        second = None if seen is None else member.seen(torch.from_numpy(seen.view), seen.rows)
        found.append(member.posterior(first, second)[0])
    return found


@torch.no_grad()
def decode(
    network: Network, z: list[Tensor], codes: np.ndarray, side: int, library: np.ndarray | None
) -> np.ndarray:
    """What members say of the features of a side, on average: float32 (n, features), from latents of
    those that answer for it.

    Deviations; or, with the log library (n,), how likely features are open.
    """
    told = torch.from_numpy(codes)
    made = []
    for member, own in zip(network.members[answer(network, side)], z, strict=True):
        assert isinstance(member, Member)
        decoder = member.to_look if side == 0 else member.to_seen
        made.append((decoder, decoder(own, told)[0]))
    features = network.shape.features[side]
    out = np.empty((len(codes), features), np.float32)
    for start in range(0, features, COLUMNS_AT_ONCE):
        columns = slice(start, start + COLUMNS_AT_ONCE)
        said = [decoder.values(components, columns) for decoder, components in made]
        if library is not None:
            depth = torch.from_numpy(library)[:, None]
            said = [_open(values + depth, network.config.likelihood) for values in said]
        out[:, columns] = torch.stack(said).mean(dim=0).numpy()
    return out


def _open(odds: Tensor, likelihood: str) -> Tensor:
    return torch.sigmoid(odds) if likelihood == "bernoulli" else -torch.expm1(-odds.exp())
