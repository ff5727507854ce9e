"""The perceptron that turns a cell's state into residuals, and the committee that it sits in."""

from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from scgx.errors import InputError
from scgx.learn.distributed import fair
from scgx.learn.loop import History, Loss, Settings, Source, fit_network
from scgx.learn.prepared import Fed
from scgx.progress import Report

SMALLEST_BATCH, STEPS_OF_AN_EPOCH = 16, 20
SMALL = 0.1
UNKNOWN_SHARE = 0.05  # of training labels are hidden, so that `unknown` learns the average


class Shape(NamedTuple):
    """Sizes of what goes in and out: components, rows of each covariate's table, outputs."""

    state: int
    levels: tuple[int, ...]
    outputs: int


class Body(NamedTuple):
    """Sizes in between: width and number of hidden layers, components out, dropout."""

    hidden: int
    depth: int
    rank: int
    dropout: float


class Start(NamedTuple):
    """What the first weights already know.

    `axes` (outputs, rank) are the directions of the outputs. Where the state holds foreseen
    components along them, divided by `foreseen`, the network begins as that foresight, so that few
    cells cannot make it worse.
    """

    axes: np.ndarray
    foreseen: float = 0.0


class Perceptron(nn.Module):
    """State and covariates to a few components, and those to every output.

    The narrow middle is what keeps thousands of noisy outputs from being fitted one by one.
    """

    def __init__(self, shape: Shape, body: Body) -> None:
        super().__init__()
        widths = [min(8, (size + 1) // 2) for size in shape.levels]
        self.tables = nn.ModuleList(
            nn.Embedding(size, width) for size, width in zip(shape.levels, widths, strict=True)
        )
        width = shape.state + sum(widths)
        self.skip = nn.Linear(width, body.rank, bias=False)
        layers: list[nn.Module] = []
        for _ in range(body.depth):
            layers += [nn.Linear(width, body.hidden), nn.GELU(), nn.Dropout(body.dropout)]
            width = body.hidden
        self.hidden = nn.Sequential(*layers)
        self.last = nn.Linear(width, body.rank)
        self.head = nn.Linear(body.rank, shape.outputs)

    def forward(self, state: Tensor, codes: Tensor) -> Tensor:
        """State (n, state) and codes (n, covariates) to residuals (n, outputs)."""
        if self.training and len(self.tables):
            codes = codes.masked_fill(
                torch.rand(codes.shape, device=codes.device) < UNKNOWN_SHARE, 0
            )
        looked_up = [table(codes[:, i]) for i, table in enumerate(self.tables)]
        x = torch.cat([state, *looked_up], dim=1)
        return self.head(self.last(self.hidden(x)) + self.skip(x))


class Committee(nn.Module):
    """Members that differ in their first weights and their dropout; the answer is their mean."""

    def __init__(self, members: int, shape: Shape, body: Body, start: Start | None) -> None:
        super().__init__()
        perceptrons = [Perceptron(shape, body) for _ in range(members)]
        for member in perceptrons:
            nn.init.zeros_(member.head.bias)
            if start is not None:
                _begin(member, start)
        self.members = nn.ModuleList(perceptrons)

    def forward(self, state: Tensor, codes: Tensor) -> Tensor:
        """(members, n, outputs) while training, their mean (1, n, outputs) otherwise."""
        guesses = torch.stack([member(state, codes) for member in self.members])
        return guesses if self.training else guesses.mean(dim=0, keepdim=True)


@torch.no_grad()
def _begin(member: Perceptron, start: Start) -> None:
    member.head.weight.copy_(torch.from_numpy(np.ascontiguousarray(start.axes)))
    if start.foreseen:
        member.skip.weight.zero_().fill_diagonal_(start.foreseen)
        member.last.weight.mul_(SMALL)


def committee(
    members: int, shape: Shape, body: Body, *, start: Start | None, seed: int
) -> Committee:
    """A committee with seeded first weights, ready to answer; torch's generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Committee(members, shape, body, start).eval()


def loss_of(network: nn.Module, batch: Fed, device: torch.device) -> Tensor:
    """The squared error of a batch."""
    state, codes, truth = (torch.from_numpy(a).to(device) for a in batch[1:4])
    return squared_error(network(state, codes), truth, batch.weight)


def squared_error(guess: Tensor, truth: Tensor, weight: np.ndarray | None) -> Tensor:
    """Mean squared error of guesses (members, n, outputs); what weighs 0 is left out."""
    if weight is None:
        return ((guess - truth) ** 2).mean()
    share = torch.from_numpy(weight).to(truth.device)
    known = torch.where(share > 0, truth, torch.zeros_like(truth))
    error = ((guess - known) ** 2 * share).sum(dim=(1, 2)).mean()
    return error / max(fair(float(share.sum())), 1)


def train(
    network: nn.Module, loss: Loss, data: Source, config: Any, *, seed: int, report: Report
) -> History:
    """Run the torch loop with a model's settings and the checkpoint that the command names.

    Few cells come in small batches, so that an epoch has a fair number of steps.
    """
    names = [field.name for field in fields(Settings) if hasattr(config, field.name)]
    settings = Settings(**{name: getattr(config, name) for name in names})
    fair = max(SMALLEST_BATCH, len(data.train) // STEPS_OF_AN_EPOCH)
    settings = replace(settings, batch_size=min(settings.batch_size, fair))
    return fit_network(
        network,
        loss,
        data,
        settings,
        seed=seed,
        report=report,
        checkpoint=report.checkpoint,
        resume=report.checkpoint if report.resume else None,
    )


def load(network: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Put weights back, bit for bit; InputError where they are not those of this network."""
    wanted = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    if {k: v.shape for k, v in arrays.items()} != wanted:
        raise InputError("its weights do not fit its settings", fix="train it again")
    network.load_state_dict({k: torch.from_numpy(v) for k, v in arrays.items()})
    network.eval()


def weights(network: nn.Module) -> dict[str, np.ndarray]:
    """Every weight by its name."""
    return {k: v.detach().numpy() for k, v in network.state_dict().items()}


def answer(network: nn.Module, *inputs: np.ndarray) -> np.ndarray:
    """The committee's answer to arrays: float32 (n, outputs)."""
    with torch.no_grad():
        return network(*(torch.from_numpy(each) for each in inputs))[0].numpy()
