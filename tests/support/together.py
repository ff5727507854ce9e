"""What several processes learn together (`python -m support.together OUT` in each), or one alone."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from scgx.errors import ScgxError
from scgx.learn import launched
from scgx.learn.distributed import fair, gather, team_of
from scgx.learn.loop import Settings, fit_network
from scgx.learn.shares import WHOLE, chunks
from scgx.models._tabnet_norm import GhostNorm
from scgx.progress import Report
from support.processes import environment

SETTINGS = Settings(epochs=4, batch_size=16, lr=0.02, device="cpu")


class Batch(NamedTuple):
    rows: np.ndarray
    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


class Table:
    """A linear problem with noise; 81 rows train, so that the last batch has one."""

    def __init__(self, seed=0, train=81, val=40):
        draw = np.random.default_rng(seed)
        n = train + val
        self.x = draw.normal(size=(n, 5)).astype(np.float32)
        self.y = (self.x @ draw.normal(size=(5, 3))).astype(np.float32)
        self.weight = draw.integers(0, 3, (n, 3)).astype(np.float32)
        self.train, self.val = np.arange(train), np.arange(train, n)

    def batches(self, rows, size, *, seed, epoch, shuffle, share=WHOLE):
        if shuffle:
            rows = np.random.default_rng([seed, epoch]).permutation(rows)
        for chunk, cuts in chunks(rows, size, share=share):
            for part in (chunk[cut] for cut in cuts):
                yield Batch(part, self.x[part], self.y[part], self.weight[part])

    def fingerprint(self):
        return f"{self.x.sum():.9f}"


class Shape(NamedTuple):
    ghost: int = 8
    momentum: float = 0.1


def network(*more: nn.Module) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = nn.Linear(5, 8, bias=False)  # before a norm its slope would be mere rounding
        return nn.Sequential(first, *more, nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def error(net, batch, device):
    x = torch.from_numpy(batch.x)
    if net.training:
        x = x + 0.1 * torch.randn_like(x) * (torch.rand(len(x), 1) > 0.5)
    return ((net(x) - torch.from_numpy(batch.y)) ** 2).mean()


def weighted(net, batch, device):
    share = torch.from_numpy(batch.weight)
    wrong = (net(torch.from_numpy(batch.x)) - torch.from_numpy(batch.y)) ** 2 * share
    return wrong.sum() / max(fair(float(share.sum())), 1)


def contrast(net, batch, device):
    one, other = net(torch.from_numpy(batch.x)), torch.from_numpy(batch.y)
    every, first = gather(one)
    own = torch.arange(first, first + len(one)) % len(every)
    return nn.functional.cross_entropy(other @ every.T, own) + (one**2).mean()


def learned(loss, *, net=None, data=None, settings=SETTINGS, **options) -> list[dict[str, Any]]:
    """The records of a training, and what its network says of some cells."""
    net = network() if net is None else net
    history = fit_network(net, loss, data or Table(), settings, seed=3, report=Report(), **options)
    with torch.no_grad():
        said = net(torch.ones(1, 5)).ravel().tolist()
    kept = ("epoch", "train_loss", "val_loss", "lr")
    return [*({k: r[k] for k in kept} for r in history.records), {"said": said}]


def stopped(loss, checkpoint: Path) -> list[dict[str, Any]]:
    """One that stops in its third epoch, and goes on."""

    class Stops(Table):
        def batches(self, rows, size, *, epoch, **options):
            if epoch > 2:
                raise KeyboardInterrupt
            return super().batches(rows, size, epoch=epoch, **options)

    try:
        learned(loss, data=Stops(), checkpoint=checkpoint)
    except KeyboardInterrupt:
        team = team_of(torch.device("cpu"))
        if team is not None:
            team.in_order([0.0])  # the first has written by now
    return learned(loss, resume=checkpoint, checkpoint=checkpoint)


def refused(**options) -> str:
    try:
        learned(error, **options)
    except ScgxError as found:
        return str(found)
    return ""


def not_finite() -> Table:
    data = Table()
    data.x[data.train[-1]] = np.nan  # in one process's part alone
    return data


def everything(folder: Path) -> dict[str, Any]:
    """All that is compared, by name."""
    number = launched.place().number
    told: dict[str, Callable[[], Any]] = {
        "noise": lambda: learned(error),
        "weights": lambda: learned(weighted),
        "contrast": lambda: learned(contrast),
        "norm": lambda: learned(error, net=network(GhostNorm(8, Shape()))),
        "no validation": lambda: learned(error, data=Table(val=0)),
        "resumed": lambda: stopped(error, folder / "run.checkpoint"),
        "not finite": lambda: refused(data=not_finite()),
        "too few": lambda: refused(data=Table(train=1)),
        "other data": lambda: refused(data=Table(seed=number)),
    }
    return {name: work() for name, work in told.items()}


def start(command: list[str], processes: int, **options: Any) -> list[subprocess.Popen[bytes]]:
    """The same command in several processes that know of each other, as torchrun does it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            command,
            env=environment(
                RANK=str(i), LOCAL_RANK=str(i), WORLD_SIZE=str(processes),
                LOCAL_WORLD_SIZE=str(processes), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
                PYTHONPATH=str(Path(__file__).parents[1]),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            **options,
        )
        for i in range(processes)
    ]  # fmt: skip


if __name__ == "__main__":
    out = Path(sys.argv[1])
    made = everything(out)
    number = launched.place().number
    (out / f"{number}.json").write_text(json.dumps(made), encoding="utf-8")
