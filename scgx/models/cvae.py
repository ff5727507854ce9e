"""A conditional variational autoencoder of counts, whose prior is learned once more after training.

Counts are negative binomial around depth times the softmax of a small decoder; class and further
conditions are embeddings. An autoencoder draws badly from the prior that it was trained with, since the
latents of real cells do not fill it. So a Gaussian mixture per class is fitted to the latents of the
training cells, together with their depth: a drawn cell has a depth that goes with what it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from scipy import sparse, special

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.conditions import group_of, groups
from scgx.learn.config import knob
from scgx.learn.draws import negative_binomial
from scgx.learn.generative import GenerativeData
from scgx.learn.library import Library
from scgx.learn.mixture import Mixture
from scgx.models import _cvae_decoder as decoder
from scgx.models import _cvae_prior
from scgx.models._cvae_match import matched
from scgx.progress import Report

FROM: set[str] = set()
TO: set[str] = set()
GENERATES = {"rna", "activity", "adt"}


@dataclass(frozen=True)
class Config:
    """The network, how it is trained, and from where cells are drawn."""

    latent: int = knob(10, least=1)  # dimensions of the latent
    hidden: int = knob(128, least=1)  # units of the hidden layers
    dropout: float = knob(0.1, most=0.99)  # of hidden units
    likelihood: Literal["nb", "zinb"] = "nb"  # zinb: genes may be zero for no reason
    beta: float = knob(1.0, least=0)  # what the divergence from the prior weighs in the end
    kl_epochs: int = knob(50, least=0)  # epochs in which that weight climbs from zero
    epochs: int = knob(100, least=1)  # at most so many passes over the training rows
    batch_size: int = knob(128, least=1)  # cells per step; fewer where cells are few
    lr: float = knob(3e-3, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    weight_decay: float = knob(1e-4, least=0)  # of AdamW
    patience: int = knob(30, least=1)  # epochs without a better validation loss before stopping
    prior: Literal["mixture", "network"] = "mixture"  # network: the prior of the training itself
    components: int = knob(8, least=1)  # of a class, at most; held-out cells choose how many
    lean: float = knob(10.0, least=0)  # cells that the spread within all classes counts for
    match: float = knob(10.0, least=0)  # counts that weigh for leaving a gene's mean; 0: off
    least: int = knob(50, least=1)  # cells of a combination of conditions with its own mixture
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class Model:
    """Weights of the network, a mixture for every group, and how deep its cells are."""

    def __init__(
        self,
        own: np.ndarray,
        weights: Mapping[str, np.ndarray],
        mixture: Mixture,
        library: Library,
        *,
        prior: str,
    ) -> None:
        self.own = own  # combinations that are groups by themselves, int64 (g, columns)
        self.weights, self.mixture, self.library = weights, mixture, library
        self.prior = prior

    @classmethod
    def fit(cls, data: GenerativeData, config: Config, *, seed: int, report: Report) -> Self:
        """The torch loop; then latents and depths of the training rows, and their mixtures."""
        from scgx.learn.loop import require_device
        from scgx.models import _cvae_net as net
        from scgx.models._mlp_net import weights

        require_device(config.device)
        shape = net.Shape(len(data.columns), data.conditions.sizes, config.hidden, config.latent)
        network = net.network_of(
            shape, dropout=config.dropout, zero_inflated=config.likelihood == "zinb", seed=seed,
            mean=_mean(data),
        )  # fmt: skip
        net.train(network, data, config, seed=seed, report=report)
        own = groups(data.conditions, config.least)
        made = {name: np.array(value) for name, value in weights(network).items()}
        mixture, library = _cvae_prior.learned(data, made, own, config, seed=seed, report=report)
        model = cls(own, made, mixture, library, prior=config.prior)
        if config.match:
            model.weights = matched(data, made, model.expected, lean=config.match, seed=seed)
        return model

    def save(self) -> Mapping[str, bytes]:
        library = {f"library_{k}": v for k, v in self.library._asdict().items()}
        return {
            "network.safetensors": pack_arrays(self.weights),
            "prior.safetensors": pack_arrays(
                {"own": self.own, **self.mixture._asdict(), **library}
            ),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        found = unpack_arrays(members["prior.safetensors"])
        mixture = Mixture(*(found[name] for name in Mixture._fields))
        library = Library(*(found[f"library_{name}"] for name in Library._fields))
        weights = unpack_arrays(members["network.safetensors"])
        return cls(found["own"], weights, mixture, library, prior=config.prior)

    def generate(
        self, codes: np.ndarray, library: np.ndarray | None, rng: np.random.Generator
    ) -> sparse.csr_array:
        """A latent and a depth from the mixture of the conditions, and counts around the decoder."""
        z, depth = self._drawn(codes, rng)
        return self._counts(z, codes, depth if library is None else library, rng)

    def expected(
        self, weights: Mapping[str, np.ndarray], codes: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """The mean counts float32 (n, genes) of cells as they would be drawn with some weights."""
        z, depth = self._drawn(codes, rng)
        share, hidden = decoder.share(weights, z, codes)
        empty = decoder.empty(weights, hidden)
        mean = share * depth[:, None].astype(np.float32)
        return mean if empty is None else mean * (1 - empty)

    def _drawn(self, codes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Latents (n, latent) and depths (n,)."""
        labels = len(self.weights["prior.each.0.weight"])
        group = group_of(self.own, codes, labels)
        drawn = self.mixture.draw(group, rng)
        z, depth = drawn[:, :-1], self.library.at(group, special.ndtr(drawn[:, -1]))
        if self.prior == "network":
            mean, spread = decoder.prior(self.weights, codes)
            z = mean + np.exp(spread / 2) * rng.standard_normal(mean.shape)
        return z, depth

    def transfer(
        self,
        x: sparse.csr_array,
        codes: tuple[np.ndarray, np.ndarray],
        rng: np.random.Generator,
    ) -> sparse.csr_array:
        """Cells x as they would be under other conditions: `codes` are those they have, and those.

        What a latent is in the prior of its conditions, it will be in the prior of the others.
        """
        mean, spread = decoder.encode(self.weights, x, codes[0])
        z = mean + np.exp(spread / 2) * rng.standard_normal(mean.shape)
        before, after = (decoder.prior(self.weights, each) for each in codes)
        z = after[0] + (z - before[0]) * np.exp((after[1] - before[1]) / 2)
        return self._counts(z, codes[1], np.asarray(x.sum(axis=1), np.float64).ravel(), rng)

    def _counts(
        self, z: np.ndarray, codes: np.ndarray, depth: np.ndarray, rng: np.random.Generator
    ) -> sparse.csr_array:
        share, hidden = decoder.share(self.weights, z, codes)
        share *= depth[:, None].astype(np.float32)
        counts = negative_binomial(share, decoder.dispersion(self.weights), rng)
        empty = decoder.empty(self.weights, hidden)
        if empty is not None:
            row = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
            counts.data[rng.random(counts.nnz) < empty[row, counts.indices]] = 0
            counts.eliminate_zeros()
        return counts


def _mean(data: GenerativeData) -> np.ndarray:
    total = np.zeros(len(data.columns))
    for block in data.blocks(data.train):
        total += np.asarray(block.x.sum(axis=0), np.float64).ravel()
    return total / max(len(data.train), 1)
