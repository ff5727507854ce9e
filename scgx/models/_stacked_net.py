"""The network head of `stacked`: a committee of perceptrons from evidence to target components.

It answers in components and not in outputs: the loadings stay as they were found, so that thousands of
noisy outputs are not fitted one by one.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from scgx.learn.order import plan
from scgx.learn.prepared import Fed
from scgx.learn.shares import WHOLE, Share, chunks
from scgx.models import _mlp_net as mlp
from scgx.progress import Report


class Seen:
    """Evidence and target components of training and validation rows, in memory."""

    def __init__(self, evidence: np.ndarray, z: np.ndarray, n_train: int, *, name: str) -> None:
        """`evidence` and `z` are those of the training rows, then of the validation rows."""
        self.evidence, self.z, self._name = evidence, z, name
        self.train, self.val = np.arange(n_train), np.arange(n_train, len(z))

    def fingerprint(self) -> str:
        """A name for the data and the settings that led here."""
        return self._name

    def batches(
        self,
        rows: np.ndarray,
        size: int,
        *,
        seed: int,
        epoch: int,
        shuffle: bool,
        share: Share = WHOLE,
    ) -> Iterator[Fed]:
        """Batches of `size` rows."""
        order = plan(rows, seed, epoch, shuffle=shuffle)
        if shuffle:
            order = np.random.default_rng([seed, epoch]).permutation(order)
        for chunk, cuts in chunks(order, size, share=share):
            for some in (chunk[part] for part in cuts):
                codes = np.zeros((len(some), 0), np.int64)
                yield Fed(some, self.evidence[some], codes, self.z[some], None, None)


def build(inputs: int, outputs: int, config: Any, *, seed: int) -> mlp.Committee:
    """A committee from `inputs` numbers to `outputs` components."""
    shape = mlp.Shape(inputs, (), outputs)
    body = mlp.Body(config.hidden, config.layers, outputs, config.dropout)
    axes = np.eye(outputs, dtype=np.float32)
    return mlp.committee(config.members, shape, body, start=mlp.Start(axes), seed=seed)


def train(network: mlp.Committee, seen: Seen, config: Any, *, seed: int, report: Report) -> None:
    """Run the torch loop; validation rows choose the epoch."""
    mlp.train(network, mlp.loss_of, seen, config, seed=seed, report=report)


def answer(network: mlp.Committee, evidence: np.ndarray) -> np.ndarray:
    """Components (n, k) float64: so that a cell's place in a block does not show in the last bit."""
    exact = {name: weight.double() for name, weight in network.state_dict().items()}
    codes = torch.zeros((len(evidence), 0), dtype=torch.int64)
    inputs = (torch.from_numpy(evidence.astype(np.float64)), codes)
    with torch.no_grad():
        return torch.func.functional_call(network, exact, inputs)[0].numpy()
