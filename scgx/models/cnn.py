"""A convolutional network: what is open near each gene, and the state of the whole cell.

Input features are put in genome order, and counted in bins of distance around the start of each
gene: narrow ones at the start, wider ones outwards, upstream and downstream told apart by the
strand, never across the end of a chromosome. Convolutions along the distance, shared over genes and
tuned by an embedding of the gene, turn them into that gene's deviation. The state of the cell
carries most of what can be known: components of the target that ridge on all features foresees, held
out by group (`learn/foresight`), and depth. A committee of small networks, which begins as that
ridge, turns it and covariates into the deviations of all genes, and the two are added. Windows are
then scaled to what validation rows bear out of them, which in sparse data can be little.

The other way round, peaks take the place of genes: what is expressed around a peak, and in the cell,
says how likely it is open, and cross-entropy is what is learned from.

Predicting the mean earns nothing: the network is asked for the deviation from it, with every output
scaled by its own spread.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn import windows
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.covariates import Covariates
from scgx.learn.data import TrainingData
from scgx.learn.foresight import Foresight, foresee
from scgx.learn.loadings import Loadings
from scgx.learn.prepared import Near, Prepared, Standard, with_depth
from scgx.learn.residual import training_targets, values
from scgx.learn.selection import parts
from scgx.learn.target import bounded, limits
from scgx.progress import Report

if TYPE_CHECKING:
    from scgx.models._cnn_net import Network

FROM = {"atac", "activity", "rna"}
TO = {"rna", "atac"}


@dataclass(frozen=True)
class Config:
    """What is looked at, how wide the network is, and how it is trained."""

    reach: int = 100_000  # base pairs on both sides of a gene's start; 0 looks at no window
    scales: int = knob(8, least=1)  # distance bins on each side
    channels: int = knob(4, least=1)  # of a convolution
    depth: int = knob(3, least=1, most=8)  # convolutions, each dilated twice as much as the last
    embedding: int = knob(4, least=1)  # numbers that describe a gene
    head: Literal["shared", "per-gene"] = "shared"  # who reads the convolutions out
    windows: int = knob(20_000, least=1)  # at most so many are looked at in one step of training
    rank: int = knob(20, least=1)  # components of the target that the committee may use
    state: int = knob(30, least=1)  # components of the target that ridge on all features foresees
    idf_power: float = knob(2.0, most=5)  # a peak weighs its idf ** this in the ridge
    penalty: float = 0.0  # of the ridge; 0 chooses among 4, 16, 64 by held-out error
    hidden: int = knob(256, least=1)  # units of a hidden layer of the committee
    layers: int = 2  # hidden layers of the committee
    dropout: float = knob(0.3, most=0.99)  # of hidden units
    members: int = knob(3, least=1)  # of the committee
    power: float = knob(0.75, most=2)  # outputs are scaled by deviation ** power
    epochs: int = knob(20, least=1)  # at most so many passes over the training rows
    batch_size: int = knob(256, least=1)  # cells per step; fewer where cells are few
    lr: float = knob(3e-3, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    weight_decay: float = 0.01  # of AdamW
    patience: int = knob(6, least=1)  # epochs without a better validation loss before stopping
    covariates: tuple[str, ...] = ()  # obs columns that the network is told
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class _Fixed(NamedTuple):
    """What is fitted before the network: how cells become its inputs, and its outputs targets."""

    foresight: Foresight
    standard: Standard
    loadings: Loadings
    covariates: Covariates
    basis: sparse.csr_array
    low_high: np.ndarray

    def state(self, x: sparse.csr_array, totals: np.ndarray) -> np.ndarray:
        """Standardised foreseen components and depth of cells x: float32 (n, state + 1)."""
        return self.standard(with_depth(self.foresight(x), totals))

    @property
    def bins(self) -> int:
        """Distance bins of a window; 0 where no gene has one."""
        return self.basis.shape[1] // len(self.loadings.mean) if self.basis.nnz else 0


class Model:
    """What is fixed before training, and the network."""

    def __init__(self, fixed: _Fixed, network: "Network") -> None:
        self.fixed = fixed
        self.network = network

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Foresight from the training rows, then the torch loop; data.val stops it."""
        from scgx.learn.loop import require_device
        from scgx.models import _cnn_net as net
        from scgx.models import _mlp_net as mlp

        require_device(config.device)
        fixed, held_out = _fit_fixed(data, config, seed=seed)
        _say_windows(fixed, data, report)
        state = np.concatenate([held_out, fixed.state(data.x(data.val), data.totals(data.val))])
        codes = fixed.covariates.codes(data.obs)[np.concatenate([data.train, data.val])]
        axes, scale = fixed.loadings.axes[:, : config.rank], float(fixed.standard.scale[0])
        start = mlp.Start(axes, 1 / scale if scale else 0.0)
        network = net.build(config.members, *_sizes(fixed, config), start=start, seed=seed)
        near = Near(fixed.basis, fixed.bins, config.windows) if fixed.bins else None
        prepared = Prepared(
            data, fixed.loadings, (state, codes), name=repr(config), seed=seed, near=near
        )
        loss = net.loss_for(data.outputs.modality, fixed.loadings.mean, fixed.loadings.scale)
        mlp.train(network, loss, prepared, config, seed=seed, report=report)
        if fixed.bins:
            judged = prepared.batches(prepared.val, 512, seed=seed, epoch=0, shuffle=False)
            share = net.shrink(network, judged)
            report.say(f"windows count for {share:.2f} of what they say in training")
        return cls(fixed, network)

    def save(self) -> Mapping[str, bytes]:
        from scgx.models import _mlp_net as mlp

        fixed = self.fixed
        arrays = {f"foresight_{k}": v for k, v in fixed.foresight._asdict().items()}
        arrays |= {f"standard_{k}": v for k, v in fixed.standard._asdict().items()}
        arrays |= {f"loadings_{k}": v for k, v in fixed.loadings._asdict().items()}
        arrays |= {f"basis_{k}": getattr(fixed.basis, k) for k in ("indices", "indptr")}
        arrays |= {"basis_shape": np.array(fixed.basis.shape), "limits": fixed.low_high}
        return {
            "fixed.safetensors": pack_arrays(arrays),
            "covariates.json": fixed.covariates.save(),
            "network.safetensors": pack_arrays(mlp.weights(self.network)),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        from scgx.models import _cnn_net as net
        from scgx.models import _mlp_net as mlp

        arrays = unpack_arrays(members["fixed.safetensors"])
        indices = arrays["basis_indices"]
        ones = np.ones(len(indices), np.float32)
        shape = tuple(int(n) for n in arrays["basis_shape"])
        fixed = _Fixed(
            Foresight(*(arrays[f"foresight_{name}"] for name in Foresight._fields)),
            Standard(*(arrays[f"standard_{name}"] for name in Standard._fields)),
            Loadings(*(arrays[f"loadings_{name}"] for name in Loadings._fields)),
            Covariates.restore(members["covariates.json"]),
            sparse.csr_array((ones, indices, arrays["basis_indptr"]), shape=shape),
            arrays["limits"],
        )
        network = net.build(config.members, *_sizes(fixed, config), start=None, seed=0)
        mlp.load(network, unpack_arrays(members["network.safetensors"]))
        return cls(fixed, network)

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32 in the output's units."""
        from scgx.models import _cnn_net as net

        fixed = self.fixed
        near = (
            windows.gather(block.x[part], fixed.basis, fixed.bins)
            for part in parts(block.x.shape[0] if fixed.bins else 0, net.ROWS_AT_ONCE)
        )
        state, codes = fixed.state(block.x, block.totals), fixed.covariates.codes(block.obs)
        guess = net.answer(self.network, state, codes, near)
        return bounded(values(guess, fixed.loadings), fixed.low_high)


def _fit_fixed(data: TrainingData, config: Config, *, seed: int) -> tuple[_Fixed, np.ndarray]:
    """All but the network, and the held-out state of the training rows."""
    covariates = Covariates.fit(data.obs, config.covariates, data.train)
    y = training_targets(data)
    rank = max(config.rank, config.state)
    loadings = Loadings.fit(y, rank=rank, power=config.power, seed=seed)
    targets = loadings.components(y)[:, : config.state]
    foresight, held_out = foresee(
        data, targets, idf_power=config.idf_power, penalty=config.penalty, seed=seed
    )
    raw = with_depth(held_out, data.totals(data.train))
    standard = Standard.fit(raw, together=held_out.shape[1])
    basis = _basis(data, config)
    low_high = limits(data.outputs.modality)
    return _Fixed(foresight, standard, loadings, covariates, basis, low_high), standard(raw)


def _basis(data: TrainingData, config: Config) -> sparse.csr_array:
    """Which inputs fall into which distance bin of which gene; empty without windows."""
    shape = (len(data.inputs), len(data.outputs))
    if config.reach <= 0:
        return sparse.csr_array(shape, dtype=np.float32)
    found = windows.near(data.inputs, data.outputs, reach=config.reach)
    return windows.basis(found, windows.edges(config.reach, config.scales), shape)


def _sizes(fixed: _Fixed, config: Config) -> tuple:
    """Shape, body and sight of the network."""
    from scgx.models import _cnn_net as net
    from scgx.models import _mlp_net as mlp

    shape = mlp.Shape(len(fixed.standard.centre), fixed.covariates.sizes, len(fixed.loadings.mean))
    rank = min(config.rank, fixed.loadings.axes.shape[1])
    body = mlp.Body(config.hidden, config.layers, rank, config.dropout)
    per_gene = config.head == "per-gene"
    sight = net.Sight(fixed.bins, config.channels, config.depth, config.embedding, per_gene)
    return shape, body, sight if fixed.bins else None


def _say_windows(fixed: _Fixed, data: TrainingData, report: Report) -> None:
    """How many outputs have something near them."""
    outputs, kind = len(data.outputs), "peaks" if data.outputs.modality == "atac" else "genes"
    if not fixed.bins:
        report.say(f"no input lies near any of {outputs:,} {kind}: the state of the cell alone")
        return
    genes = len(np.unique(fixed.basis.indices // fixed.bins))
    rest = ", the others the state alone" if genes < outputs else ""
    report.say(f"{genes:,} of {outputs:,} {kind} have inputs near them{rest}")
