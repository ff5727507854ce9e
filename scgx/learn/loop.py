"""The torch loop, in the order in which it happens.

    for every epoch:  train on the training rows, judge the validation rows, write the log,
                      keep the best weights, write a checkpoint, stop when nothing improves
    at the end:       put the best weights back

A run is a function of its seed alone: batches are a function of (seed, epoch), dropout draws from
torch's generator, which is seeded here and given back as it was found. So a checkpoint of weights,
optimiser, generators and counters is the whole state, and a resumed run ends bit-identical to one
that was never interrupted. Checkpoints are a zip of JSON and safetensors, never a pickle.

Where several processes were started together (`torchrun`), a step is the same step, of which each does
a part (`learn/distributed.py`); the first one alone writes.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from scgx.errors import DataError, UsageError
from scgx.learn import launched
from scgx.learn.checkpoint import keep, read
from scgx.learn.distributed import Part, team_of
from scgx.learn.loop_state import Settings, State, name_of
from scgx.learn.shares import Share
from scgx.progress import Report

__all__ = ["History", "Loss", "Settings", "Source", "fit_network", "rate", "require_device"]


class Source(Protocol):
    """Where batches come from: rows of two parts, and a name for exactly this data.

    Of several processes each is given `share=` as well, the `Share` of the batches that it takes.
    """

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
    is_first = launched.place().is_first
    with _deterministic(seed, device, settings.precision):
        run = _Run(network.to(device), loss_of, data, settings, device, seed)
        state = run.state
        if resume is not None:
            run.load(resume)
            report.say(f"resumed after epoch {len(state.records)}")
            for record in state.records:
                report.log(record)
        with report.bar("epochs", settings.epochs) as advance:
            advance(len(state.records))
            while not run.finished():
                report.log(run.epoch())
                if checkpoint is not None and is_first:
                    what = f"epoch {len(state.records)}"
                    keep(checkpoint, state.snapshot(run.name), report, what=what)
                advance(1)
        network.load_state_dict(state.best)
        network.cpu().eval()
    return History(state.records, state.best_epoch, state.best_loss)


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
        return _own_cuda()
    report.say("training on the cpu")
    return torch.device("cpu")


def _own_cuda() -> torch.device:
    """The device of this process: of several on a machine each has one."""
    place = launched.place()
    if place.total == 1:
        return torch.device("cuda")
    if place.local_total > torch.cuda.device_count():
        raise UsageError(
            f"{place.local_total} processes for {torch.cuda.device_count()} cuda devices",
            fix="torchrun --nproc-per-node with as many as there are, or --device cpu",
        )
    return torch.device("cuda", place.local)


class _Run:
    """A training run: one epoch after another, until nothing improves."""

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
        self.state = State(network, settings, device)
        self.steps = settings.epochs * math.ceil(len(data.train) / settings.batch_size)
        self.name = name_of(settings, network, seed, data.fingerprint())
        self.team = team_of(device)
        if self.team is not None:
            self.team.begin(network, self.name)

    def load(self, path: Path) -> None:
        """Go on where a checkpoint stopped, which of several processes the first one reads."""
        held = read(path) if launched.place().is_first else b""
        self.state.load(held if self.team is None else self.team.bytes(held), self.name, path)

    def finished(self) -> bool:
        """All epochs done, or no better validation loss for `patience` epochs."""
        done = len(self.state.records)
        waited = done - self.state.best_epoch
        return done >= self.settings.epochs or (done > 0 and waited >= self.settings.patience)

    def epoch(self) -> dict[str, Any]:
        """Train once over the training rows, judge the validation rows, keep what is better."""
        state = self.state
        number = len(state.records) + 1
        started = time.perf_counter()
        train_loss, waited = self._train(number)
        seconds = max(time.perf_counter() - started, 1e-9)
        val_loss = self._judge() if len(self.data.val) else None
        judged = train_loss if val_loss is None else val_loss
        _require_finite(judged, f"epoch {number}, on validation rows")
        if val_loss is None or judged < state.best_loss:
            state.keep_best()
            state.best_epoch, state.best_loss = number, judged
        state.records.append(
            {
                "epoch": number,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "lr": state.optimizer.param_groups[0]["lr"],
                "cells_per_s": round(len(self.data.train) / seconds, 1),
                "wait_share": round(waited / seconds, 4),
            }
        )
        return state.records[-1]

    def _train(self, epoch: int) -> tuple[float, float]:
        self.network.train()
        total, rows, waited = 0.0, 0, 0.0
        asked = time.perf_counter()
        for number, (batch, part) in enumerate(self._parts(epoch), 1):
            waited += time.perf_counter() - asked
            loss = self._step(batch, part)
            _require_finite(loss, f"epoch {epoch}, batch {number}")
            total, rows = total + loss * part.total, rows + part.total
            asked = time.perf_counter()
        return total / max(rows, 1), waited

    def _parts(self, epoch: int) -> Iterator[tuple[Any, Part]]:
        """Batches of training rows, and which part of a batch each is."""
        share = None if self.team is None else self.team.learning
        batches = self._batches(self.data.train, epoch, share)
        if self.team is not None:
            return self.team.batches(batches)
        return ((each, Part(0, len(each.rows), len(each.rows))) for each in batches)

    def _batches(self, rows: np.ndarray, epoch: int, share: Share | None) -> Iterable[Any]:
        """Of an epoch of training from 1 on; of epoch 0 the validation rows, in order."""
        size, told = self.settings.batch_size, {} if share is None else {"share": share}
        return self.data.batches(rows, size, seed=self.seed, epoch=epoch, shuffle=epoch > 0, **told)

    def _step(self, batch: Any, part: Part) -> float:
        optimizer = self.state.optimizer
        for group in optimizer.param_groups:
            group["lr"] = rate(self.state.step, self.steps, self.settings)
        optimizer.zero_grad(set_to_none=True)
        value = self._slopes(batch, part)
        if math.isfinite(value):
            nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
            optimizer.step()
            self.state.step += 1
        return value

    def _slopes(self, batch: Any, part: Part) -> float:
        """The loss of a batch; every weight has its slope then, where the loss is finite."""
        if self.team is not None:
            with (
                self.team.part_of_batch(part, len(batch.rows)),
                _precision(self.settings, self.device),
            ):
                loss = self.loss_of(self.network, batch, self.device)
            return self.team.backward(self.network, loss, part)
        with _precision(self.settings, self.device):
            loss = self.loss_of(self.network, batch, self.device)
        value = loss.item()
        if math.isfinite(value):
            loss.backward()
        return value

    @torch.no_grad()
    def _judge(self) -> float:
        self.network.eval()
        share = None if self.team is None else self.team.judging
        losses = []
        for batch in self._batches(self.data.val, 0, share):
            with _precision(self.settings, self.device):
                loss = self.loss_of(self.network, batch, self.device)
            losses.append(loss.item() * len(batch.rows))
        losses = losses if self.team is None else self.team.in_order(losses)
        return sum(losses) / len(self.data.val)


def _require_finite(loss: float, where: str) -> None:
    if not math.isfinite(loss):
        fix = "--set lr=... with less, or look at the values with scgx info"
        raise DataError(f"the loss is {loss} at {where}", fix=fix)


@contextmanager
def _precision(settings: Settings, device: torch.device) -> Iterator[None]:
    """Products of matrices in bfloat16 where the settings say so; weights and sums stay float32."""
    short = settings.precision == "bf16" or (settings.precision == "auto" and device.type == "cuda")
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=short):
        yield


@contextmanager
def _deterministic(seed: int, device: torch.device, precision: str) -> Iterator[None]:
    """Seeded generators and deterministic kernels inside; everything as it was outside.

    One thread computes on the CPU: sums then come out the same whatever --threads says, and small
    networks lose little by it. With tf32 products of float32 have short mantissas, on cuda.
    """
    threads = torch.get_num_threads()
    strict = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    products = torch.get_float32_matmul_precision()
    cuda = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=device.type == "cuda")
        torch.set_num_threads(1)
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn_only)
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(products)
