"""Networks that name classes: what is fed to them, their loss, and the perceptron of `mlp`.

Genes are standardised by training rows and become dense a batch at a time. A gene that is hidden, or
that a file lacks, stands at its mean, which is 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from scgx.learn.block import CellBlock
from scgx.learn.labels import LabelBatch, LabelledData
from scgx.learn.loop import History
from scgx.learn.prepared import Standard
from scgx.learn.shares import WHOLE, Share
from scgx.models._mlp_net import train as train_network
from scgx.progress import Report

LIMIT = 10.0  # standard deviations; beyond them a value says no more


class Shape(Protocol):
    """What a perceptron is told about itself."""

    @property
    def hidden(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def hide(self) -> float: ...


def standard_of(data: LabelledData, *, each: bool) -> Standard:
    """Mean and one over the deviation of each input over training rows, weighted as cells are.

    Without `each` all inputs share one deviation, their mean, so that rare genes stay small.
    """
    mean, variance = data.moments
    deviation = np.sqrt(variance)
    if not each:
        deviation = np.full(len(mean), deviation.mean())
    scale = np.where(deviation > 0, 1 / np.where(deviation > 0, deviation, 1), 0)
    return Standard(mean.astype(np.float32), scale.astype(np.float32))


def dense(x: sparse.csr_array, standard: Standard, present: np.ndarray | None = None) -> np.ndarray:
    """Standardised inputs float32 (n, k), limited; what is absent is 0."""
    values = standard(x.toarray())
    np.clip(values, -LIMIT, LIMIT, out=values)
    if present is not None and not present.all():
        values[:, ~present] = 0
    return values


class Hidden(nn.Module):
    """While training, whole inputs are hidden from a cell: a share of them drawn for each cell."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (n, k), some of them 0."""
        if not self.training or self.most == 0:
            return x
        share = torch.rand(len(x), 1, device=x.device) * 2 * self.most
        return x * (torch.rand(x.shape, device=x.device) >= share.clamp_max(0.95))


class Perceptron(nn.Module):
    """Hidden layers with dropout, and a class per output."""

    def __init__(self, shape: tuple[int, int], body: Shape) -> None:
        super().__init__()
        width, classes = shape
        layers: list[nn.Module] = [Hidden(body.hide)]
        for _ in range(body.depth):
            layers += [nn.Linear(width, body.hidden), nn.GELU(), nn.Dropout(body.dropout)]
            width = body.hidden
        self.body = nn.Sequential(*layers)
        self.last = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (n, k) to logits (n, classes)."""
        return self.last(self.body(x))


def perceptron(shape: tuple[int, int], body: Shape, *, seed: int) -> Perceptron:
    """A perceptron with seeded first weights, ready to answer; torch's generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Perceptron(shape, body).eval()


class Standardised:
    """LabelledData for the torch loop: batches of dense inputs; `name` says with which settings."""

    def __init__(self, data: LabelledData, standard: Standard, name: str) -> None:
        self.data, self.standard, self.name = data, standard, name
        self.train, self.val = data.train, data.val

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
    ) -> Iterator["Named"]:
        """Batches of `size` rows."""
        for batch in self.data.batches(
            rows, size, seed=seed, epoch=epoch, shuffle=shuffle, share=share
        ):
            yield Named(batch, dense(batch.x, self.standard))


@dataclass(frozen=True)
class Named:
    """A batch and its dense inputs (n, k)."""

    batch: LabelBatch
    x: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """Its rows of the file."""
        return self.batch.rows


def train(
    network: nn.Module,
    standard: Standard,
    data: LabelledData,
    config: Any,
    *,
    seed: int,
    report: Report,
) -> History:
    """Weighted cross entropy with smoothed labels, by the torch loop."""

    def loss(net: nn.Module, batch: Named, device: torch.device) -> Tensor:
        x, y, weight = (
            torch.from_numpy(each).to(device)
            for each in (batch.x, batch.batch.y, batch.batch.weight)
        )
        smoothing = config.smoothing if net.training else 0.0
        each = nn.functional.cross_entropy(net(x), y, reduction="none", label_smoothing=smoothing)
        return (each * weight).mean()

    source = Standardised(data, standard, repr(config))
    return train_network(network, loss, source, config, seed=seed, report=report)


def answer(
    network: nn.Module, standard: Standard, x: sparse.csr_array, present: np.ndarray
) -> np.ndarray:
    """Logits float32 (n, classes) of sparse inputs."""
    with torch.no_grad():
        return network(torch.from_numpy(dense(x, standard, present))).numpy()


def slopes(
    network: nn.Module, standard: Standard, blocks: Iterator[CellBlock]
) -> tuple[np.ndarray, int]:
    """Mean slope of each logit in each standardised input, against the mean of the logits.

    float32 (k, classes), over the cells that are called the class, and how many cells there were;
    at the mean cell where there are none.
    """
    centre = torch.zeros((1, len(standard.centre)))
    classes = network(centre).shape[1]
    made, cells = np.zeros((len(standard.centre), classes)), np.zeros(classes)
    for block in blocks:
        x = torch.from_numpy(dense(block.x, standard, block.present))
        called = network(x).argmax(dim=1)
        for code in called.unique().tolist():
            mine = x[called == code]
            made[:, code] += _slope(network, mine, code)
            cells[code] += len(mine)
    if not cells.any():
        made = np.stack([_slope(network, centre, code) for code in range(classes)], axis=1)
    return (made / np.maximum(cells, 1)).astype(np.float32), int(cells.sum())


def _slope(network: nn.Module, x: Tensor, code: int) -> np.ndarray:
    """The slope of one logit against the mean of all, summed over cells."""
    x = x.clone().requires_grad_()
    logits = network(x)
    (found,) = torch.autograd.grad((logits[:, code] - logits.mean(dim=1)).sum(), x)
    return found.sum(dim=0).numpy()
