"""The state of a run of the torch loop: all that a checkpoint holds, and nothing else."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from torch import Tensor, nn

from scgx.errors import DataError
from scgx.learn.checkpoint import Snapshot, unpack


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
    precision: str = "auto"  # fp32 | tf32 | bf16; auto: bf16 on cuda, else fp32


class State:
    """Weights, the best of them, the optimiser, where it stands, and what happened so far."""

    def __init__(self, network: nn.Module, settings: Settings, device: torch.device) -> None:
        self.network, self.device = network, device
        self.optimizer = _optimizer(network, settings)
        self.step = 0
        self.records: list[dict[str, Any]] = []
        self.best_epoch, self.best_loss = 0, math.inf
        self.best: Mapping[str, Tensor] = {}
        self.keep_best()

    def keep_best(self) -> None:
        """The weights as they are now."""
        values = self.network.state_dict().items()
        self.best = {k: v.detach().cpu().clone() for k, v in values}

    def snapshot(self, name: str) -> Snapshot:
        """The whole state, as it is until the next step."""
        arrays = {f"weights/{k}": v for k, v in self.network.state_dict().items()}
        arrays |= {f"best/{k}": v for k, v in self.best.items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            arrays |= {f"optimizer/{i}/{k}": v for k, v in state.items()}
        arrays["generator/cpu"] = torch.get_rng_state()
        if self.device.type == "cuda":
            arrays["generator/cuda"] = torch.cuda.get_rng_state()
        plain = {
            "of": name,
            "step": self.step,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss if math.isfinite(self.best_loss) else None,
            "records": self.records,
        }
        return Snapshot(plain, {k: v.cpu().numpy() for k, v in arrays.items()})

    def load(self, state: bytes, name: str, path: Path) -> None:
        """Go on where a checkpoint stopped; refuse one of other data or settings."""
        plain, arrays = unpack(state, path)
        if plain.get("of") != name:
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
            i, _, field = key.partition("/")
            whole["state"].setdefault(int(i), {})[field] = moment
        self.optimizer.load_state_dict(whole)
        torch.set_rng_state(parts["generator"]["cpu"])
        if self.device.type == "cuda" and "cuda" in parts["generator"]:
            torch.cuda.set_rng_state(parts["generator"]["cuda"])
        self.step, self.records = plain["step"], plain["records"]
        self.best_epoch = plain["best_epoch"]
        self.best_loss = math.inf if plain["best_loss"] is None else plain["best_loss"]


def name_of(settings: Settings, network: nn.Module, seed: int, data: str) -> str:
    """A hash of data, settings and shape of the network: what a resume must match."""
    told = {k: v for k, v in asdict(settings).items() if k != "device"}
    shape = [(k, list(v.shape)) for k, v in network.state_dict().items()]
    whole = json.dumps([told, shape, seed, data])
    return xxhash.xxh3_128_hexdigest(whole.encode())


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
