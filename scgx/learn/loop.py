"""The torch loop, in the order in which it happens.

    for every epoch:  train on the training rows, judge the validation rows, write the log,
                      keep the best weights, write a checkpoint, stop when nothing improves
    at the end:       put the best weights back

A run is a function of its seed alone: batches are a function of (seed, epoch), dropout draws from
torch's generator, which is seeded here and given back as it was found. So a checkpoint of weights,
optimiser, generators and counters is the whole state, and a resumed run ends bit-identical to one
that was never interrupted. Checkpoints are a zip of JSON and safetensors, never a pickle.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from scgx.errors import DataError, UsageError
from scgx.learn.checkpoint import keep, pack, read
from scgx.progress import Report


@dataclass(frozen=True)
class Settings:
    """How long, how fast, and where."""

    epochs: int = 40  # at most so many passes over the training rows
    batch_size: int = 256  # rows per step
    lr: float = 3e-3  # highest learning rate
    weight_decay: float = 0.01  # on matrices; biases and norms are left alone
    warmup: float = 0.05  # share of all steps in which the rate climbs to lr
    final: float = 0.01  # the last rate, as a share of lr; a cosine leads there
    patience: int = 8  # epochs without a better validation loss before stopping
    clip: float = 1.0  # largest norm of a gradient
    optimizer: str = "adamw"  # adamw | sgd
    momentum: float = 0.9  # of sgd
    device: str = "auto"  # auto | cpu | cuda


class Source(Protocol):
    """Where batches come from: rows of two parts, and a name for exactly this data."""

    train: np.ndarray
    val: np.ndarray

    def batches(
        self, rows: np.ndarray, size: int, *, seed: int, epoch: int, shuffle: bool
    ) -> Iterator[Any]: ...

    def fingerprint(self) -> str: ...


class History(NamedTuple):
    """What happened: one record per epoch, and the epoch whose weights were kept."""

    records: list[dict[str, Any]]
    best_epoch: int
    best_loss: float


Loss = Callable[[nn.Module, Any, torch.device], Tensor]  # mean over the rows of one batch


def fit_network(
    network: nn.Module,
    loss_of: Loss,
    data: Source,
    settings: Settings,
    *,
    seed: int,
    report: Report,
    checkpoint: Path | None = None,
    resume: Path | None = None,
) -> History:
    """Train `network` in place on `data.train`; it ends on the CPU with the best weights.

    `loss_of(network, batch, device)` is the mean loss of a batch (anything with `rows`). The same
    objective, with the same weights, judges `data.val`; without validation rows the last epoch is
    kept. Raises DataError where the loss is not finite, and where a checkpoint belongs to other data
    or settings.
    """
    if settings.epochs < 1 or settings.batch_size < 1:
        raise UsageError("epochs and batch_size must be at least 1")
    device = choose_device(settings.device, report)
    with _deterministic(seed, device):
        run = _Run(network.to(device), loss_of, data, settings, device, seed)
        if resume is not None:
            run.load(resume)
            report.say(f"resumed after epoch {len(run.records)}")
            for record in run.records:
                report.log(record)
        with report.bar("epochs", settings.epochs) as advance:
            advance(len(run.records))
            while not run.finished():
                report.log(run.epoch())
                if checkpoint is not None:
                    keep(checkpoint, run.save(), report, what=f"epoch {len(run.records)}")
                advance(1)
        network.load_state_dict(run.best)
        network.cpu().eval()
    return History(run.records, run.best_epoch, run.best_loss)


def rate(step: int, steps: int, settings: Settings) -> float:
    """Learning rate of one step: lr / n at the first of n warm-up steps, lr, then lr x final."""
    climb = max(1, round(settings.warmup * steps))
    if step < climb:
        return settings.lr * (step + 1) / climb
    share = (step - climb + 1) / max(1, steps - climb)
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(share, 1.0))
    return settings.lr * (settings.final + (1 - settings.final) * cosine)


def require_device(wanted: str) -> None:
    """Refuse a device that cannot be had, before anything long is begun."""
    if wanted not in ("auto", "cpu", "cuda"):
        raise UsageError(f"no device named '{wanted}'", fix="auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise DataError("this machine has no usable cuda device", fix="--device auto")


def choose_device(wanted: str, report: Report) -> torch.device:
    """`auto` falls back to the CPU in words; an explicit `cuda` that is not there is refused."""
    require_device(wanted)
    if wanted == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    report.say("training on the cpu")
    return torch.device("cpu")


class _Run:
    """The state of a training run, and the three things that move it: epoch, save, load."""

    def __init__(
        self,
        network: nn.Module,
        loss_of: Loss,
        data: Source,
        settings: Settings,
        device: torch.device,
        seed: int,
    ) -> None:
        self.network, self.loss_of, self.data = network, loss_of, data
        self.settings, self.device, self.seed = settings, device, seed
        self.optimizer = _optimizer(network, settings)
        self.steps = settings.epochs * math.ceil(len(data.train) / settings.batch_size)
        self.step = 0
        self.records: list[dict[str, Any]] = []
        self.best = _copy(network)
        self.best_epoch, self.best_loss = 0, math.inf
        self._name: str | None = None

    def finished(self) -> bool:
        """All epochs done, or no better validation loss for `patience` epochs."""
        done = len(self.records)
        waited = done - self.best_epoch
        return done >= self.settings.epochs or (done > 0 and waited >= self.settings.patience)

    def epoch(self) -> dict[str, Any]:
        """Train once over the training rows, judge the validation rows, keep what is better."""
        number = len(self.records) + 1
        started = time.perf_counter()
        train_loss, waited = self._train(number)
        seconds = max(time.perf_counter() - started, 1e-9)
        val_loss = self._judge() if len(self.data.val) else None
        judged = train_loss if val_loss is None else val_loss
        _require_finite(judged, f"epoch {number}, on validation rows")
        if val_loss is None or judged < self.best_loss:
            self.best, self.best_epoch, self.best_loss = _copy(self.network), number, judged
        self.records.append(
            {
                "epoch": number,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "lr": self.optimizer.param_groups[0]["lr"],
                "cells_per_s": round(len(self.data.train) / seconds, 1),
                "wait_share": round(waited / seconds, 4),
            }
        )
        return self.records[-1]

    def _train(self, epoch: int) -> tuple[float, float]:
        self.network.train()
        total, rows, waited = 0.0, 0, 0.0
        asked = time.perf_counter()
        batches = self.data.batches(
            self.data.train, self.settings.batch_size, seed=self.seed, epoch=epoch, shuffle=True
        )
        for number, batch in enumerate(batches, 1):
            waited += time.perf_counter() - asked
            loss = self._step(batch)
            _require_finite(loss, f"epoch {epoch}, batch {number}")
            total, rows = total + loss * len(batch.rows), rows + len(batch.rows)
            asked = time.perf_counter()
        return total / max(rows, 1), waited

    def _step(self, batch: Any) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = rate(self.step, self.steps, self.settings)
        self.optimizer.zero_grad(set_to_none=True)
        with _half_precision(self.device):
            loss = self.loss_of(self.network, batch, self.device)
        value = loss.item()
        if math.isfinite(value):
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            self.optimizer.step()
            self.step += 1
        return value

    @torch.no_grad()
    def _judge(self) -> float:
        self.network.eval()
        total = 0.0
        for batch in self.data.batches(
            self.data.val, self.settings.batch_size, seed=self.seed, epoch=0, shuffle=False
        ):
            with _half_precision(self.device):
                loss = self.loss_of(self.network, batch, self.device)
            total += loss.item() * len(batch.rows)
        return total / len(self.data.val)

    def name(self) -> str:
        """A hash of data, settings and shape of the network: what a resume must match."""
        if self._name is None:
            settings = {k: v for k, v in asdict(self.settings).items() if k != "device"}
            shape = [(k, list(v.shape)) for k, v in self.network.state_dict().items()]
            whole = json.dumps([settings, shape, self.seed, self.data.fingerprint()])
            self._name = xxhash.xxh3_128_hexdigest(whole.encode())
        return self._name

    def save(self) -> bytes:
        """The whole state as one zip."""
        arrays = {f"weights/{k}": v for k, v in self.network.state_dict().items()}
        arrays |= {f"best/{k}": v for k, v in self.best.items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{i}/{k}": v for k, v in state.items()}
        arrays["generator/cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            arrays["generator/cuda"] = torch.cuda.get_rng_state()
        plain = {
            "of": self.name(),
            "step": self.step,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "records": self.records,
        }
        return pack(plain, {k: v.cpu().numpy() for k, v in arrays.items()})

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped; refuse one of other data or settings."""
        plain, arrays = read(path)
        if plain.get("of") != self.name():
            raise DataError(
                "the checkpoint belongs to other data or settings",
                fix="train with the options of the first run, or without --resume",
                file=str(path),
            )
        parts: dict[str, dict[str, Tensor]] = {}
        for key, value in arrays.items():
            part, _, rest = key.partition("/")
            parts.setdefault(part, {})[rest] = torch.from_numpy(np.array(value))
        self.network.load_state_dict(parts["weights"])
        self.best = parts["best"]
        whole = self.optimizer.state_dict()
        whole["state"] = {}
        for key, moment in parts.get("optimizer", {}).items():
            i, _, name = key.partition("/")
            whole["state"].setdefault(int(i), {})[name] = moment
        self.optimizer.load_state_dict(whole)
        torch.set_rng_state(parts["generator"]["cpu"])
        if self.device.type == "cuda" and "cuda" in parts["generator"]:
            torch.cuda.set_rng_state(parts["generator"]["cuda"])
        self.step, self.records = plain["step"], plain["records"]
        self.best_epoch = plain["best_epoch"]
        self.best_loss = math.inf if plain["best_loss"] is None else plain["best_loss"]


def _require_finite(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        fix = "--set lr=... with less, or look at the values with scgx info"
        raise DataError(f"the loss is {loss} at {where}", fix=fix)


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    matrices = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.lr, fused=True)


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}


@contextmanager
def _half_precision(device: torch.device) -> Iterator[None]:
    """bfloat16 where it helps: on the accelerator only."""
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=device.type == "cuda"):
        yield


@contextmanager
def _deterministic(seed: int, device: torch.device) -> Iterator[None]:
    """Seeded generators and deterministic kernels inside; everything as it was outside.

    One thread computes on the CPU: sums then come out the same whatever --threads says, and small
    networks lose little by it.
    """
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
            torch.set_num_threads(threads)
