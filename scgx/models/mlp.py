"""A perceptron on LSI components: a plain network, and a baseline for those that see more.

The whole cell becomes a few components (TF-IDF and SVD for chromatin, PCA for log values) and its
depth; a small network turns them into components of the target, and those into every output. It
is asked for the deviation from the mean profile, with every output scaled by its own spread, so
that predicting the mean earns nothing. Several members differ in their first weights; their mean
answers.

Of labels, a network of the same kind takes the genes themselves; `hide` leaves some of them out of each
training cell, which makes it bear genes that another study lacks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.covariates import Covariates
from scgx.learn.data import TrainingData
from scgx.learn.labels import LabelledData
from scgx.learn.loadings import Loadings
from scgx.learn.lsi import Lsi
from scgx.learn.model import Why
from scgx.learn.prepared import Prepared, Standard, with_depth
from scgx.learn.residual import training_targets, values
from scgx.learn.target import bounded, limits
from scgx.progress import Report

if TYPE_CHECKING:
    from torch import nn

    from scgx.models._mlp_net import Committee

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
LABELS = FROM


@dataclass(frozen=True)
class Config:
    """The width of the network and how it is trained."""

    components: int = knob(50, least=1)  # of the input, by LSI
    hidden: int = knob(256, least=1)  # units of a hidden layer
    depth: int = 2  # hidden layers
    rank: int = knob(20, least=1)  # components of the target that the network may use
    dropout: float = knob(0.3, most=0.99)  # of hidden units
    members: int = knob(3, least=1)  # networks whose mean answers
    power: float = knob(0.75, most=2)  # outputs are scaled by deviation ** power
    epochs: int = knob(30, least=1)  # at most so many passes over the training rows
    batch_size: int = knob(256, least=1)  # cells per step; fewer where cells are few
    lr: float = knob(3e-3, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    weight_decay: float = 0.01  # of AdamW
    patience: int = knob(6, least=1)  # epochs without a better validation loss before stopping
    covariates: tuple[str, ...] = ()  # obs columns that the network is told
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class _Fixed(NamedTuple):
    """What is fitted before the network: how cells become its inputs, and its outputs targets."""

    lsi: Lsi
    standard: Standard
    loadings: Loadings
    covariates: Covariates
    low_high: np.ndarray

    def state(self, x: sparse.csr_array, totals: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Standardised components and depth of cells x: float32 (n, components + 1)."""
        return self.standard(with_depth(self.lsi.transform(x, present), totals))


class Model:
    """LSI, a committee of perceptrons, and the mean that they deviate from."""

    def __init__(self, fixed: _Fixed, network: "Committee") -> None:
        self.fixed = fixed
        self.network = network

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Components from the training rows, then the torch loop; data.val stops it."""
        from scgx.learn.loop import require_device
        from scgx.models import _mlp_net as net

        require_device(config.device)
        fixed = _fit_fixed(data, config, seed=seed)
        start = net.Start(fixed.loadings.axes)
        rows = np.concatenate([data.train, data.val])
        present = np.ones(len(data.inputs), bool)
        state = fixed.state(data.x(rows), data.totals(rows), present)
        codes = fixed.covariates.codes(data.obs)[rows]
        shape = net.Shape(state.shape[1], fixed.covariates.sizes, len(data.outputs))
        body = net.Body(config.hidden, config.depth, start.axes.shape[1], config.dropout)
        network = net.committee(config.members, shape, body, start=start, seed=seed)
        prepared = Prepared(data, fixed.loadings, (state, codes), name=repr(config), seed=seed)
        net.train(network, net.loss_of, prepared, config, seed=seed, report=report)
        return cls(fixed, network)

    def save(self) -> Mapping[str, bytes]:
        from scgx.models import _mlp_net as net

        fixed = self.fixed
        scales = {
            **{f"standard_{k}": v for k, v in fixed.standard._asdict().items()},
            **{f"loadings_{k}": v for k, v in fixed.loadings._asdict().items()},
            "limits": fixed.low_high,
        }
        return {
            "lsi.safetensors": pack_arrays(fixed.lsi._asdict()),
            "scales.safetensors": pack_arrays(scales),
            "covariates.json": fixed.covariates.save(),
            "network.safetensors": pack_arrays(net.weights(self.network)),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        from scgx.models import _mlp_net as net

        scales = unpack_arrays(members["scales.safetensors"])
        fixed = _Fixed(
            Lsi(**unpack_arrays(members["lsi.safetensors"])),
            Standard(scales["standard_centre"], scales["standard_scale"]),
            Loadings(*(scales[f"loadings_{name}"] for name in Loadings._fields)),
            Covariates.restore(members["covariates.json"]),
            scales["limits"],
        )
        arrays = unpack_arrays(members["network.safetensors"])
        rank = fixed.loadings.axes.shape[1]
        shape = net.Shape(
            len(fixed.standard.centre), fixed.covariates.sizes, len(fixed.loadings.mean)
        )
        body = net.Body(config.hidden, config.depth, rank, config.dropout)
        network = net.committee(config.members, shape, body, start=None, seed=0)
        net.load(network, arrays)
        return cls(fixed, network)

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32 in the output's units."""
        from scgx.models import _mlp_net as net

        state = self.fixed.state(block.x, block.totals, block.present)
        guess = net.answer(self.network, state, self.fixed.covariates.codes(block.obs))
        return bounded(values(guess, self.fixed.loadings), self.fixed.low_high)


def _fit_fixed(data: TrainingData, config: Config, *, seed: int) -> _Fixed:
    covariates = Covariates.fit(data.obs, config.covariates, data.train)
    x = data.x(data.train)
    lsi = Lsi.fit(x, modality=data.inputs.modality, rank=config.components, seed=seed)
    return _Fixed(
        lsi,
        Standard.fit(with_depth(lsi.transform(x), data.totals(data.train))),
        Loadings.fit(training_targets(data), rank=config.rank, power=config.power, seed=seed),
        covariates,
        limits(data.outputs.modality),
    )


@dataclass(frozen=True)
class ClassifierConfig:
    """The width of the network that names classes, and how it is trained."""

    hidden: int = knob(256, least=1)  # units of a hidden layer
    depth: int = 1  # hidden layers
    dropout: float = knob(0.3, most=0.99)  # of hidden units
    hide: float = knob(0.0, most=0.99)  # share of genes that are hidden from each training cell
    scale: Literal["one", "each"] = "one"  # deviation that genes are divided by: shared, or its own
    smoothing: float = knob(0.05, most=0.99)  # of a label that goes to the other classes
    epochs: int = knob(30, least=1)  # at most so many passes over the training rows
    batch_size: int = knob(128, least=1)  # cells per step; fewer where cells are few
    lr: float = knob(1e-3, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    weight_decay: float = 0.05  # of matrices
    optimizer: Literal["adamw", "sgd"] = "adamw"  # how weights are moved
    momentum: float = knob(0.9, most=0.999)  # of sgd
    clip: float = knob(1.0, least=1e-9)  # largest norm of a gradient
    patience: int = knob(8, least=1)  # epochs without a better validation loss before stopping
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class Classifier:
    """A network from standardised genes to classes."""

    def __init__(self, standard: Standard, network: "nn.Module") -> None:
        self.standard = standard
        self.network = network

    @classmethod
    def fit(
        cls, data: LabelledData, config: ClassifierConfig, *, seed: int, report: Report
    ) -> Self:
        """Mean and deviation from the training rows, then the torch loop; data.val stops it."""
        from scgx.learn.loop import require_device
        from scgx.models import _classifier_net as net

        require_device(config.device)
        standard = net.standard_of(data, each=config.scale == "each")
        shape = (len(standard.centre), len(data.classes))
        network = net.perceptron(shape, config, seed=seed)
        net.train(network, standard, data, config, seed=seed, report=report)
        return cls(standard, network)

    def save(self) -> Mapping[str, bytes]:
        from scgx.models import _mlp_net as net

        return {
            "standard.safetensors": pack_arrays(self.standard._asdict()),
            "network.safetensors": pack_arrays(net.weights(self.network)),
        }

    @classmethod
    def restore(cls, config: ClassifierConfig, members: Mapping[str, bytes]) -> Self:
        from scgx.models import _classifier_net as net
        from scgx.models import _mlp_net as plain

        standard = Standard(**unpack_arrays(members["standard.safetensors"]))
        arrays = unpack_arrays(members["network.safetensors"])
        shape = (len(standard.centre), len(arrays["last.bias"]))
        network = net.perceptron(shape, config, seed=0)
        plain.load(network, arrays)
        return cls(standard, network)

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32: logits; a gene that the file lacks stands at its mean."""
        from scgx.models import _classifier_net as net

        return net.answer(self.network, self.standard, block.x, block.present)

    def explain(self, blocks: Iterator[CellBlock]) -> Why:
        """Slopes of the logits, at the mean cell or over the cells that are called the class."""
        from scgx.models import _classifier_net as net

        made, cells = net.slopes(self.network, self.standard, blocks)
        where = "over the cells called the class" if cells else "at the mean cell"
        words = f"slope of the logit per deviation, against the mean of the classes, {where}"
        return Why(words, made)
