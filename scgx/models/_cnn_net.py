"""The network of `cnn`: a committee on the state of the cell, a convolution near each gene."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scgx.learn.distributed import fair
from scgx.learn.loop import Loss
from scgx.learn.prepared import Fed
from scgx.learn.windows import Gathered
from scgx.models._mlp_net import Body, Committee, Shape, Start, squared_error

ROWS_AT_ONCE = 64  # cells whose windows are gathered together when predicting
WINDOWS_AT_ONCE = 1_024
SMALL = 0.1  # first weights of the read-out, so that training starts near the committee alone


class Sight(NamedTuple):
    """Sizes of the convolution: distance bins, channels, layers, gene embedding; the read-out."""

    bins: int
    channels: int
    depth: int
    embedding: int
    per_gene: bool


class Near(NamedTuple):
    """Windows that are not empty, as tensors: cell and gene (p,), values (p, bins)."""

    cell: Tensor
    gene: Tensor
    values: Tensor

    @classmethod
    def of(cls, found: Gathered, device: torch.device) -> "Near":
        """From numpy."""
        return cls(
            *(torch.from_numpy(a).to(device) for a in (found.cell, found.gene, found.values))
        )


class SharedRead(nn.Module):
    """One read-out for all genes; their embedding says what of it they take."""

    def __init__(self, sight: Sight, shape: Shape) -> None:
        super().__init__()
        self.read = nn.Linear(sight.channels * sight.bins, sight.embedding, bias=False)
        self.taste = nn.Embedding(shape.outputs, sight.embedding)
        nn.init.normal_(self.read.weight, std=SMALL / (sight.channels * sight.bins) ** 0.5)
        nn.init.normal_(self.taste.weight, mean=1.0, std=SMALL)

    def forward(self, seen: Tensor, gene: Tensor) -> Tensor:
        """(p, channels x bins) and (p,) to (p,)."""
        return (self.read(seen) * self.taste(gene)).mean(dim=1)


class OwnRead(nn.Module):
    """A read-out of its own for every gene."""

    def __init__(self, sight: Sight, shape: Shape) -> None:
        super().__init__()
        flat = sight.channels * sight.bins
        self.read = nn.Embedding(shape.outputs, flat)
        nn.init.normal_(self.read.weight, std=SMALL / flat**0.5)

    def forward(self, seen: Tensor, gene: Tensor) -> Tensor:
        """(p, channels x bins) and (p,) to (p,)."""
        return (seen * self.read(gene)).sum(dim=1)


class Neighbourhood(nn.Module):
    """What is open near a gene, as a deviation of that gene.

    Convolutions run along the distance to the start of the gene, from far upstream to far
    downstream, each with twice the dilation of the one before, and are shared over genes. An
    embedding of the gene scales and shifts the channels; the state of the cell says how much of the
    answer counts. A window in which nothing is open answers exactly 0, so it need not be computed.
    """

    def __init__(self, sight: Sight, shape: Shape) -> None:
        super().__init__()
        self.outputs = shape.outputs
        widths = [1, *([sight.channels] * sight.depth)]
        layers: list[nn.Module] = []
        for i in range(sight.depth):
            conv = nn.Conv1d(widths[i], widths[i + 1], 3, dilation=2**i, padding=2**i, bias=False)
            layers += [conv, nn.Tanh()]  # odd, without a bias: nothing in, nothing out
        self.layers = nn.Sequential(*layers)
        self.genes = nn.Embedding(shape.outputs, sight.embedding)
        nn.init.normal_(self.genes.weight, std=SMALL)
        self.film = nn.Linear(sight.embedding, 2 * sight.channels)
        self.gate = nn.Linear(shape.state, 1)
        self.read = (OwnRead if sight.per_gene else SharedRead)(sight, shape)

    def forward(self, near: Near, state: Tensor) -> Tensor:
        """Deviations (n, outputs) of cells with state (n, s)."""
        gate = 1 + torch.tanh(self.gate(state))[near.cell, 0]
        value = torch.cat(list(self._in_parts(near))) * gate
        flat = torch.zeros(len(state) * self.outputs, dtype=value.dtype, device=value.device)
        flat = flat.scatter(0, near.cell * self.outputs + near.gene, value)
        return flat.view(len(state), self.outputs)

    def look(self, gene: Tensor, values: Tensor) -> Tensor:
        """What windows (p, bins) of genes (p,) say: (p,)."""
        seen = self.layers(values[:, None])
        scale, shift = self.film(self.genes(gene))[:, :, None].chunk(2, dim=1)
        seen = nn.functional.gelu(seen * (1 + scale) + shift) - nn.functional.gelu(shift)
        return self.read(seen.flatten(1), gene)

    def _in_parts(self, near: Near) -> Iterator[Tensor]:
        """What windows say, in parts of one size: memory is bounded, a window's bits are its own."""
        yield near.values.new_zeros(0)
        for start in range(0, len(near.gene), WINDOWS_AT_ONCE):
            gene, values = (a[start : start + WINDOWS_AT_ONCE] for a in (near.gene, near.values))
            short = WINDOWS_AT_ONCE - len(gene)
            padded = (
                nn.functional.pad(gene, (0, short)),
                nn.functional.pad(values, (0, 0, 0, short)),
            )
            yield self.look(*padded)[: len(gene)]


class Network(nn.Module):
    """The committee, plus the neighbourhood where any gene has one."""

    def __init__(self, committee: Committee, neighbourhood: Neighbourhood | None) -> None:
        super().__init__()
        self.committee = committee
        self.neighbourhood = neighbourhood

    def forward(self, state: Tensor, codes: Tensor, near: Near | None) -> Tensor:
        """(members, n, outputs) while training, (1, n, outputs) otherwise."""
        guess = self.committee(state, codes)
        if self.neighbourhood is not None and near is not None:
            guess = guess + self.neighbourhood(near, state)
        return guess


def build(
    members: int,
    shape: Shape,
    body: Body,
    sight: Sight | None,
    *,
    start: Start | None,
    seed: int,
) -> Network:
    """A network with seeded first weights, ready to answer; torch's generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        committee = Committee(members, shape, body, start)
        return Network(committee, Neighbourhood(sight, shape) if sight else None).eval()


def loss_of(network: nn.Module, batch: Fed, device: torch.device) -> Tensor:
    """The squared error of a batch."""
    state, codes, truth = (torch.from_numpy(a).to(device) for a in batch[1:4])
    near = None if batch.near is None else Near.of(batch.near, device)
    return squared_error(network(state, codes, near), truth, batch.weight)


def loss_for(modality: str, mean: np.ndarray, scale: np.ndarray) -> Loss:
    """Cross-entropy for peaks, squared error for values."""
    return cross_entropy(mean, scale) if modality == "atac" else loss_of


def cross_entropy(mean: np.ndarray, scale: np.ndarray) -> Loss:
    """The loss of outputs that are open or not: deviations, taken as probabilities, against 0 and 1.

    In units of the entropy of the mean. A probability below a tenth of the mean counts as that.
    """
    means = torch.from_numpy(np.clip(mean, 1e-5, 1 - 1e-5))
    scales = torch.from_numpy(scale)
    least, most = 0.1 * means, 1 - 0.1 * (1 - means)
    entropy = float(-(means * means.log() + (1 - means) * torch.log1p(-means)).mean())

    def loss(network: nn.Module, batch: Fed, device: torch.device) -> Tensor:
        state, codes, truth = (torch.from_numpy(a).to(device) for a in batch[1:4])
        near = None if batch.near is None else Near.of(batch.near, device)
        at, by, low, high = (each.to(device) for each in (means, scales, least, most))
        guess = at + by * network(state, codes, near)
        guess = torch.clamp(guess.detach(), low, high) + (guess - guess.detach())
        found = torch.log1p(-guess) + (truth * by + at > 0.5) * (guess.log() - torch.log1p(-guess))
        if batch.weight is None:
            return -found.mean() / entropy
        share = torch.from_numpy(batch.weight).to(device)
        whole = max(fair(float(share.sum())), 1)
        return -(found * share).sum(dim=(1, 2)).mean() / whole / entropy

    return loss


@torch.no_grad()
def shrink(network: Network, batches: Iterable[Fed]) -> float:
    """Scale the neighbourhood by the share of it, 0 to 1, that unseen cells bear out.

    The share is the least-squares slope of what the committee leaves over on what the neighbourhood
    says. Returns it; 1 where there is no neighbourhood.
    """
    if network.neighbourhood is None:
        return 1.0
    shared, square = 0.0, 0.0
    for batch in batches:
        state, codes, truth = (torch.from_numpy(a) for a in batch[1:4])
        if batch.near is None:
            continue
        said = network.neighbourhood(Near.of(batch.near, state.device), state)
        weight = torch.ones_like(truth) if batch.weight is None else torch.from_numpy(batch.weight)
        left = torch.where(weight > 0, truth, 0.0) - network.committee(state, codes)[0]
        shared += (weight * said * left).sum(dtype=torch.float64).item()
        square += (weight * said * said).sum(dtype=torch.float64).item()
    share = min(max(shared / square, 0.0), 1.0) if square > 0 else 0.0
    network.neighbourhood.read.read.weight.mul_(share)
    return share


def answer(
    network: Network, state: np.ndarray, codes: np.ndarray, near: Iterable[Gathered]
) -> np.ndarray:
    """Deviations float32 (n, outputs); `near` has the windows of `ROWS_AT_ONCE` cells each."""
    with torch.no_grad():
        cells = torch.from_numpy(state)
        guess = network.committee(cells, torch.from_numpy(codes))[0]
        if network.neighbourhood is None:
            return guess.numpy()
        for i, found in enumerate(near):
            some = slice(i * ROWS_AT_ONCE, (i + 1) * ROWS_AT_ONCE)
            windows = Near.of(found, cells.device)
            guess[some] += network.neighbourhood(windows, cells[some])
    return guess.numpy()
