"""The network of `tabnet`: steps of attention, each a sparse mask over genes, and what is fed to them.

After Arik & Pfister 2019 (TabNet: attentive interpretable tabular learning). Genes come standardised,
which takes the place of the first batch norm. Two departures: what enters sparsemax is made small, for
among a thousand genes it keeps four otherwise, and the same ones for all cells before anything is
learned (docs/decisions/classifiers.md); and a gene that a file lacks gets no attention.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from scgx.learn.block import CellBlock
from scgx.learn.distributed import fair
from scgx.learn.labels import LabelledData
from scgx.learn.loop import History
from scgx.learn.prepared import Standard
from scgx.models._classifier_net import Hidden, Named, Standardised, dense
from scgx.models._mlp_net import train as train_network
from scgx.models._tabnet_norm import GhostNorm, Shape, sparsemax
from scgx.progress import Report

NEVER = -1e4  # what stands for minus infinity before sparsemax
TINY = 1e-10
ROOT = 0.5**0.5


class Gated(nn.Module):
    """A layer whose second half opens and closes the first."""

    def __init__(self, linear: nn.Linear, shape: Shape) -> None:
        super().__init__()
        self.linear = linear
        self.norm = GhostNorm(linear.out_features, shape)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in) to (n, out / 2)."""
        return nn.functional.glu(self.norm(self.linear(x)))


class Transformer(nn.Module):
    """Gated layers, the first of them with weights that all steps share; each step has its norms."""

    def __init__(self, shared: list[nn.Linear], shape: Shape) -> None:
        super().__init__()
        width = 2 * shape.width
        layers = [*shared]
        while len(layers) < len(shared) + shape.own:
            layers.append(nn.Linear(width, 2 * width, bias=False))
        self.layers = nn.ModuleList(Gated(linear, shape) for linear in layers)

    def forward(self, x: Tensor) -> Tensor:
        """(n, in) to (n, 2 x width)."""
        first, *others = self.layers
        x = first(x)
        for layer in others:
            x = (x + layer(x)) * ROOT
        return x


class Seen(NamedTuple):
    """What the steps saw: their sum (n, width), masks and decisions of each, entropy of the masks."""

    total: Tensor
    masks: list[Tensor]
    decisions: list[Tensor]
    entropy: Tensor


class Encoder(nn.Module):
    """Steps: choose genes by what was seen so far, look at these alone, decide."""

    def __init__(self, genes: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width = 2 * shape.width
        sizes = [genes] + [width] * (shape.shared - 1)
        shared = [nn.Linear(size, 2 * width, bias=False) for size in sizes]
        self.begin = Transformer(shared, shape)
        self.steps = nn.ModuleList(Transformer(shared, shape) for _ in range(shape.steps))
        self.attend = nn.ModuleList(
            nn.Sequential(nn.Linear(shape.width, genes, bias=False), GhostNorm(genes, shape))
            for _ in range(shape.steps)
        )

    def forward(self, x: Tensor, free: Tensor) -> Seen:
        """Genes (n, k), and which of them may be looked at (n, k) or (1, k): 1 or 0."""
        width, prior = self.shape.width, free
        seen = self.begin(x)[:, width:]
        masks, decisions = [], []
        entropy = x.new_zeros(())
        for attend, step in zip(self.attend, self.steps, strict=True):
            scores = (self.shape.sharpness * attend(seen) * prior).float()
            mask = sparsemax(torch.where(free > 0, scores, NEVER))
            entropy = entropy - (mask * (mask + TINY).log()).sum(dim=1).mean()
            prior = prior * (self.shape.gamma - mask)
            out = step(mask * x)
            decisions.append(torch.relu(out[:, :width]))
            masks.append(mask)
            seen = out[:, width:]
        return Seen(torch.stack(decisions).sum(dim=0), masks, decisions, entropy / len(masks))


class TabNet(nn.Module):
    """The steps, and a class per output."""

    def __init__(self, shape: tuple[int, int], body: Shape) -> None:
        super().__init__()
        self.genes, self.classes = shape
        self.hidden = Hidden(body.hide)
        self.encoder = Encoder(self.genes, body)
        self.last = nn.Linear(body.width, self.classes)

    def forward(self, x: Tensor, free: Tensor) -> tuple[Tensor, Seen]:
        """Inputs (n, k) to logits (n, classes), and what the steps saw."""
        seen = self.encoder(self.hidden(x), free)
        return self.last(seen.total), seen


class Decoder(nn.Module):
    """Back from the decisions of all steps to the genes; of use while pre-training alone."""

    def __init__(self, genes: int, body: Shape) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Linear(body.width, genes) for _ in range(body.steps))

    def forward(self, seen: Seen) -> Tensor:
        """(n, genes)"""
        pairs = zip(self.steps, seen.decisions, strict=True)
        return torch.stack([step(decision) for step, decision in pairs]).sum(dim=0)


def network_of(shape: tuple[int, int], body: Shape, *, seed: int) -> TabNet:
    """A network with seeded first weights, ready to answer; torch's generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TabNet(shape, body).eval()


def train(
    network: TabNet,
    standard: Standard,
    data: LabelledData,
    config: Any,
    *,
    seed: int,
    report: Report,
) -> History:
    """Weighted cross entropy with smoothed labels and the entropy of masks, by the torch loop.

    Validation rows judge by the squared error of probabilities, which is bounded: by cross entropy few
    cells of rare classes, called wrongly and surely, would stop it long before it is at its best.
    """

    def loss(net: nn.Module, batch: Named, device: torch.device) -> Tensor:
        x, y, weight = (
            torch.from_numpy(each).to(device)
            for each in (batch.x, batch.batch.y, batch.batch.weight**config.balance)
        )
        logits, seen = net(x, torch.ones_like(x[:1]))
        if not net.training:
            wrong = logits.float().softmax(dim=1) - nn.functional.one_hot(y, logits.shape[1])
            return ((wrong**2).sum(dim=1) * weight).mean()
        smoothing = config.smoothing
        each = nn.functional.cross_entropy(logits, y, reduction="none", label_smoothing=smoothing)
        return (each * weight).mean() + config.sparsity * seen.entropy

    source = Standardised(data, standard, repr(config))
    return train_network(network, loss, source, config, seed=seed, report=report)


class Filling(nn.Module):
    """The encoder, and a way back to the genes: what is pre-trained."""

    def __init__(self, network: TabNet, body: Shape) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.decoder = Decoder(network.genes, body)

    def forward(self, x: Tensor, free: Tensor) -> Tensor:
        """Genes (n, k) of which only those that are free (n, k) are seen, to all of them."""
        return self.decoder(self.encoder(x * free, free))


def pretrain(
    network: TabNet,
    standard: Standard,
    data: LabelledData,
    config: Any,
    *,
    seed: int,
    report: Report,
) -> None:
    """Teach the encoder to fill in hidden genes, without labels; squared error of these alone.

    It keeps no checkpoint: what is resumed has it behind it.
    """

    def loss(net: nn.Module, batch: Named, device: torch.device) -> Tensor:
        x = torch.from_numpy(batch.x).to(device)
        chance = torch.Generator()
        chance.manual_seed(int(batch.rows[0]))  # validation rows are always asked the same
        drawn = torch.rand(x.shape, generator=None if net.training else chance)
        hidden = (drawn < config.masked).to(device, x.dtype)
        error = (net(x, 1 - hidden) - x) ** 2 * hidden
        return error.sum() / max(fair(float(hidden.sum())), 1)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        filling = Filling(network, config)
    source = Standardised(data, standard, repr(config))
    settings = replace(config, epochs=config.pretrain)
    quiet = Report()
    found = train_network(filling, loss, source, settings, seed=seed, report=quiet)
    first = found.records[0]["val_loss"] or found.records[0]["train_loss"]
    report.say(
        f"pre-trained {len(found.records)} epochs: error of hidden genes {first:.4f},"
        f" then {found.best_loss:.4f}"
    )


def answer(
    network: TabNet, standard: Standard, x: sparse.csr_array, present: np.ndarray
) -> np.ndarray:
    """Logits float32 (n, classes) of sparse inputs."""
    with torch.no_grad():
        return network(torch.from_numpy(dense(x, standard, present)), _free(present))[0].numpy()


def attention(
    network: TabNet, standard: Standard, blocks: Iterator[CellBlock]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean attention to each gene over the cells that are called the class, and how many there were.

    float64 (k, classes) and (classes,). A cell's attention is its masks, each weighed by what its step
    decided, and sums to one.
    """
    classes = network.classes
    made, cells = np.zeros((len(standard.centre), classes)), np.zeros(classes)
    for block in blocks:
        with torch.no_grad():
            x = torch.from_numpy(dense(block.x, standard, block.present))
            logits, seen = network(x, _free(block.present))
            weights = torch.stack([each.sum(dim=1, keepdim=True) for each in seen.decisions])
            shares = (torch.stack(seen.masks) * weights).sum(dim=0).double()
            shares /= shares.sum(dim=1, keepdim=True).clamp_min(TINY)
        called = logits.argmax(dim=1)
        for code in called.unique().tolist():
            made[:, code] += shares[called == code].sum(dim=0).numpy()
            cells[code] += int((called == code).sum())
    return made / np.maximum(cells, 1), cells


def _free(present: np.ndarray) -> Tensor:
    return torch.from_numpy(present.astype(np.float32))[None]
