"""Stacked evidence: the best that scgx knows for expression from chromatin.

Three kinds of evidence are gathered from all features of a cell. Ridge foresees components of the
target (`learn/foresight`), taught by targets that are averaged over alike cells; naive Bayes says which
kinds of cell would have these features (`learn/bayes`), and errs differently; depth says how much to
believe them. Two heads turn evidence into components: RBF kernel ridge (`learn/curve`) and a
committee of small networks. They are averaged, and loadings lead back to outputs.

Stacking is honest only where the second stage sees what the first one says about cells that it does
not know: all evidence of training cells is held out by group (batch, donor).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.bayes import Kinds
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.curve import Curve, Shrinkage
from scgx.learn.data import TrainingData
from scgx.learn.depth import Depth
from scgx.learn.evidence import Evidence, Wanted, gather
from scgx.learn.foresight import Foresight
from scgx.learn.kernels import Budget
from scgx.learn.loadings import Loadings
from scgx.learn.residual import targets
from scgx.learn.selection import judges, mean_correlation
from scgx.learn.target import bounded, limits
from scgx.progress import Report

if TYPE_CHECKING:
    from scgx.models._mlp_net import Committee

FROM = {"atac", "activity", "rna"}
TO = {"rna", "atac", "adt", "activity"}
NETWORK_SHARES = (0.0, 0.3, 0.6, 0.9)


@dataclass(frozen=True)
class Config:
    """Sizes and shrinkage of the evidence and of both heads."""

    components: int = knob(30, least=1)  # of the target
    seen: int = knob(20, least=1)  # of these, the first so many are what the heads look at
    power: float = knob(0.7, most=2)  # outputs are divided by their deviation to this power
    neighbours: int = knob(15, least=1)  # cells alike in the target whose mean stage one learns
    kinds: int = knob(15, least=2)  # of cell, for naive Bayes
    idf_power: float = knob(2.0, most=5)  # inverse document frequency to this power weighs a peak
    penalty: float = 0.0  # of the ridge; 0 chooses among 4, 16, 64 by held-out error
    gamma: float = 0.0  # 1 / scale^2 of the RBF; 0 chooses among .35 and .7
    second_penalty: float = 0.0  # of the RBF; 0 chooses among 1, 3, 10
    depth: float = 0.3  # weight of the cell's depth as evidence
    network_share: float = knob(-1.0, least=-1, most=1)  # of the answer; below 0 chooses
    hidden: int = knob(256, least=1)  # units of a hidden layer of the committee
    layers: int = 2  # hidden layers
    dropout: float = knob(0.3, most=0.99)  # of hidden units
    members: int = knob(4, least=1)  # networks whose mean answers
    epochs: int = knob(40, least=1)  # at most so many passes over the training rows
    batch_size: int = knob(256, least=1)  # cells per step
    lr: float = knob(2e-3, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    weight_decay: float = 0.01  # of AdamW
    patience: int = knob(10, least=1)  # epochs without a better validation loss before stopping
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class Model:
    """Evidence, two heads, and the loadings that lead back to outputs."""

    def __init__(
        self,
        evidence: Evidence,
        curve: Curve,
        network: "Committee",
        loadings: Loadings,
        mixing: dict[str, np.ndarray],
    ) -> None:
        self.evidence, self.curve, self.network = evidence, curve, network
        self.loadings = loadings
        self.mixing = mixing  # "rms" (1,), "share" (1,) of the network, "limits" (2,) of outputs

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Evidence held out by group, then both heads; data.val chooses the network's epoch."""
        from scgx.models import _stacked_net as net

        y, loadings, folds, evidence, seen = gather(data, Wanted.of(config), seed)
        wanted = Shrinkage(config.gamma, config.second_penalty)
        budget = Budget(data.memory, seed)
        curve, held_out = Curve.fit(seen, y, loadings, folds, wanted, budget)
        report.say(f"kernel head: gamma {curve.chosen[0]:g}, penalty {curve.chosen[1]:g}")
        known = _judged(data, evidence, seen, curve, held_out, seed)
        rms = np.sqrt((seen**2).mean(keepdims=True).ravel())
        z = np.concatenate([loadings.components(part) for part in (y[known.fit], known.truth)])
        rows = np.concatenate([seen[known.fit], known.seen]) / rms
        name = f"{data.fingerprint()} {config!r}"
        network = net.build(seen.shape[1], z.shape[1], config, seed=seed)
        source = net.Seen(rows, z, len(known.fit), name=name)
        net.train(network, source, config, seed=seed, report=report)
        share = config.network_share
        if share < 0:
            by_network = net.answer(network, known.seen / rms)
            share = _choose_share(by_network, known, loadings)
            report.say(f"share of the network {share:g} (by held-out correlation)")
        mixing = {"rms": rms, "share": np.array([share], np.float32)}
        return cls(
            evidence, curve, network, loadings, mixing | {"limits": limits(data.outputs.modality)}
        )

    def save(self) -> Mapping[str, bytes]:
        from scgx.models import _mlp_net as mlp

        evidence = self.evidence
        scales = {"scale": evidence.scale, "centre": evidence.centre}
        return {
            "foresight.safetensors": pack_arrays(evidence.foresight._asdict()),
            "kinds.safetensors": pack_arrays(evidence.kinds._asdict()),
            "depth.safetensors": pack_arrays(evidence.depth._asdict()),
            "scales.safetensors": pack_arrays({**scales, **self.mixing}),
            "curve.safetensors": pack_arrays(self.curve._asdict()),
            "network.safetensors": pack_arrays(mlp.weights(self.network)),
            "loadings.safetensors": pack_arrays(self.loadings._asdict()),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        from scgx.models import _mlp_net as mlp
        from scgx.models import _stacked_net as net

        mixing = unpack_arrays(members["scales.safetensors"])
        evidence = Evidence(
            Foresight(**unpack_arrays(members["foresight.safetensors"])),
            Kinds(**unpack_arrays(members["kinds.safetensors"])),
            Depth(**unpack_arrays(members["depth.safetensors"])),
            mixing.pop("scale"),
            mixing.pop("centre"),
        )
        curve = Curve(**unpack_arrays(members["curve.safetensors"]))
        network = net.build(curve.centres.shape[1], curve.weights.shape[1], config, seed=0)
        mlp.load(network, unpack_arrays(members["network.safetensors"]))
        loadings = Loadings(**unpack_arrays(members["loadings.safetensors"]))
        return cls(evidence, curve, network, loadings, mixing)

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32 in the output's units."""
        from scgx.models import _stacked_net as net

        seen = self.evidence(block.x, block.present)
        share = float(self.mixing["share"][0])
        by_network = net.answer(self.network, seen / self.mixing["rms"])
        components = share * by_network + (1 - share) * self.curve(seen)
        return bounded(self.loadings.outputs(components), self.mixing["limits"])


class _Judged(NamedTuple):
    """Rows that choose the network's epoch and its share."""

    fit: np.ndarray  # which of the training rows the network learns from
    seen: np.ndarray  # (n, s) evidence of the judging rows
    by_kernel: np.ndarray  # (n, k) what the kernel head says of them, not knowing them
    truth: sparse.csr_array  # (n, n_out)


def _judged(
    data: TrainingData,
    evidence: Evidence,
    seen: np.ndarray,
    curve: Curve,
    held_out: np.ndarray,
    seed: int,
) -> _Judged:
    """Validation rows judge; without them, a group of training rows, by what is held out."""
    rows = judges(data, seed=seed)
    fit, truth = np.searchsorted(data.train, rows.fit), targets(data, rows.judge)
    if len(data.val):
        judging = evidence(data.x(rows.judge))
        return _Judged(fit, judging, curve(judging), truth)
    own = np.searchsorted(data.train, rows.judge)
    return _Judged(fit, seen[own], held_out[own], truth)


def _choose_share(by_network: np.ndarray, known: _Judged, loadings: Loadings) -> float:
    """The share of the network whose mixture correlates best with the judging rows' outputs."""

    def score(share: float) -> float:
        mixed = share * by_network + (1 - share) * known.by_kernel
        return mean_correlation(known.truth, lambda part: loadings.outputs(mixed, part))

    return max(NETWORK_SHARES, key=score)
