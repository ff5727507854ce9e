"""A transformer of perturbations: what happens to every gene of a cell when some are perturbed.

Two parts add up. A ridge on targets in closed form (scgx.learn.target_ridge) knows what targets do that
were seen and what all perturbations have in common; for targets that were not seen, what goes with a
gene among cells of one condition is a guess of what follows it, and screens say how much it is worth.
The transformer learns what this leaves, condition by condition as if that condition had been left
out, so that it learns what is missing for new ones and not what is already known; held-out conditions
say what share of it is believed. A target that is no gene of the file and was never perturbed is
refused, unless `unseen=mean` asks for the mean change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.cells.perturbations import Perturbation
from scgx.errors import DataError, UsageError
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.lsi import truncated_svd
from scgx.learn.model import Response
from scgx.learn.response_data import ResponseData
from scgx.learn.target_ridge import Design
from scgx.models import _perturb_items as items
from scgx.models._perturb_source import Source
from scgx.progress import Report

if TYPE_CHECKING:
    from scgx.models._perturb_net import Committee

RESPONDS = {"rna"}
FROM: set[str] = set()
TO: set[str] = set()
AT_ONCE = 80_000  # genes of cells in a step at most, or those of one condition
HELD = 40  # numbers of 4 bytes that a step holds for each of them, times the width and the members
MEANS = 64  # bytes held for each gene of a mean: it, its variance, what is left of it, some at work
SAMPLED = (10_000, 25_000_000)  # cells, and genes of cells, of which coexpression is told
LEAST = 3  # validation conditions without which the network is not believed


@dataclass(frozen=True)
class Config:
    """The closed form, the transformer, and how it is trained."""

    base: Literal["ridge", "none"] = "ridge"  # none: the transformer alone
    unseen: Literal["refuse", "mean"] = "refuse"  # of a target that nothing is known of
    places: int = knob(48, least=0)  # components of coexpression that place a gene; 0: none
    genes: int = knob(5000, least=1)  # the network sees so many, those that vary most
    dim: int = knob(64, least=8)  # width of tokens
    latents: int = knob(16, least=1)  # what a cell is read into
    heads: int = knob(4, least=1)  # of attention
    blocks: int = knob(2, least=0)  # in which latents and targets think
    dropout: float = knob(0.1, most=0.99)  # of attention and hidden units
    head: Literal["linear", "mlp"] = "linear"  # what reads a change off a gene's query
    queries: Literal["gene", "dose"] = "gene"  # dose: as GPCP asked, a failure that can be shown
    members: int = knob(2, least=1)  # networks; what they differ in is the uncertainty
    cells: int = knob(8, least=2)  # controls in which a condition is seen at a time
    focus: float = knob(0.5, most=1)  # 0: genes weigh alike; 1: by how much they respond
    energy: float = knob(0.0, least=0)  # weight of the distance between predicted and real cells
    epochs: int = knob(60, least=1)  # at most so many passes over the conditions
    batch_size: int = knob(8, least=1)  # conditions per step
    lr: float = knob(1e-3, least=1e-9, most=1)  # highest learning rate; climbs, then falls
    warmup: float = knob(0.1, most=1)  # share of the steps in which it climbs
    weight_decay: float = knob(0.01, least=0)  # of AdamW
    patience: int = knob(12, least=1)  # epochs without a better validation loss before stopping
    device: str = "auto"  # auto, cpu or cuda
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"  # auto: bf16 on cuda, else fp32


class _Fixed(NamedTuple):
    """What the network stands on: its genes, their scales, targets by name, the share believed."""

    columns: np.ndarray  # int64: genes that the network sees
    symbols: list[str]  # of all genes
    values: np.ndarray
    changes: np.ndarray
    places: np.ndarray  # float32 (genes, k), of all genes
    share: np.ndarray  # float32 (1,)


class Model:
    """A closed form, and a committee of transformers beside it."""

    def __init__(
        self, base: items.Base, fixed: _Fixed, network: "Committee", config: Config
    ) -> None:
        self.base, self.fixed, self.network, self.config = base, fixed, network, config
        self.genes = {name: i for i, name in enumerate(fixed.symbols)}
        seen = {int(column): i for i, column in enumerate(fixed.columns)}
        self.inside = {name: seen[i] for name, i in self.genes.items() if i in seen}
        self.targets = {name: i for i, name in enumerate(base.design.targets, 1)}

    @classmethod
    def fit(cls, data: ResponseData, config: Config, *, seed: int, report: Report) -> Self:
        """The closed form, then the torch loop on what it leaves, then the share that is believed."""
        from scgx.learn.loop import require_device
        from scgx.models import _perturb_net as net
        from scgx.models._mlp_net import train

        require_device(config.device)
        if config.dim % config.heads:
            raise UsageError(
                f"dim={config.dim} is not divided by heads={config.heads}", fix="--set heads=4"
            )
        _require_memory(data, config)
        symbols = data.symbols
        places = _places(data, config.places, seed)
        row = {name: i for i, name in enumerate(symbols)}
        base, lesson, judge = items.base_of(
            data, items.Followers(places, row), alone=config.base == "none"
        )
        signal, of_noise = items.noise(data)
        columns = _columns(data, signal, symbols, config.genes)
        fixed = _Fixed(
            columns, symbols, _spread(data)[columns],
            np.sqrt(np.maximum(signal + of_noise, 1e-8))[columns].astype(np.float32),
            places, np.ones(1, np.float32),
        )  # fmt: skip
        weight = (signal / np.maximum(signal + of_noise, 1e-12))[columns]
        weight = (1 - config.focus) + config.focus * weight / max(float(weight.mean()), 1e-12)
        network = cls._network(config, base, fixed, seed=seed)
        model = cls(base, fixed, network, config)
        source = Source(
            data, (lesson, judge), columns, (model.inside, model.targets),
            cells=config.cells, compare=config.energy > 0,
        )  # fmt: skip
        report.say(
            f"perturb: {len(base.design.targets):,} targets,"
            f" {len(set(base.design.targets) & set(row)):,} of them genes, what goes with them is"
            f" believed to {base.followers.trust:.0%}; {len(source.train):,} changes train,"
            f" {len(source.val):,} validate"
        )
        share = 0.0
        if len(source.train) > 1:
            objective = net.Objective(weight.astype(np.float32), fixed.changes, config.energy)
            fitting = replace(config, batch_size=_at_once(config, len(columns)))
            train(network, objective, source, fitting, seed=seed, report=report)
            share = 1.0 if config.base == "none" else model._share(source, weight, seed)
        report.say(f"perturb: {share:.0%} of what the network adds is believed")
        fixed = fixed._replace(share=np.array([share], np.float32))
        return cls(base, fixed, network, config)

    def save(self) -> Mapping[str, bytes]:
        from scgx.models._mlp_net import weights

        arrays = {k: v for k, v in self.fixed._asdict().items() if k != "symbols"}
        design = self.base.design
        told = {
            "symbols": self.fixed.symbols, "targets": design.targets, "strata": design.strata,
            "placed": bool(design.places), "own": self.base.followers.own,
            "trust": self.base.followers.trust,
        }  # fmt: skip
        return {
            "network.safetensors": pack_arrays(weights(self.network)),
            "fixed.safetensors": pack_arrays({**arrays, "ridge": self.base.changes}),
            "targets.json": json.dumps(told).encode(),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        from scgx.models._mlp_net import load

        arrays = unpack_arrays(members["fixed.safetensors"])
        told = json.loads(members["targets.json"])
        changes = arrays.pop("ridge")
        fixed = _Fixed(symbols=told["symbols"], **arrays)
        row = {name: i for i, name in enumerate(fixed.symbols)}
        followers = items.Followers(fixed.places, row, float(told["own"]), float(told["trust"]))
        places = items.placed(followers) if told["placed"] else {}
        design = Design(
            tuple(told["targets"]), int(told["strata"]), common=True, places=places,
            width=items.width_of(places),
        )  # fmt: skip
        base = items.Base(design, changes, followers)
        network = cls._network(config, base, fixed, seed=0)
        load(network, unpack_arrays(members["network.safetensors"]))
        return cls(base, fixed, network, config)

    @staticmethod
    def _network(config: Config, base: items.Base, fixed: _Fixed, *, seed: int) -> "Committee":
        from scgx.models import _perturb_net as net

        places = fixed.places[fixed.columns]
        places = places if places.shape[1] else np.zeros((len(fixed.columns), 1), np.float32)
        shape = net.Shape(len(fixed.columns), len(base.design.targets), places.shape[1])
        body = net.Body(
            config.dim, config.latents, config.heads, config.blocks, config.dropout, config.head,
            config.queries,
        )  # fmt: skip
        known = net.Known(places, fixed.values, fixed.changes)
        return net.committee(config.members, shape, body, known, seed=seed)

    def refuses(self, one: Perturbation) -> str | None:
        """A target has to be a gene of the file, or to have been perturbed in training."""
        if self.config.unseen == "mean":
            return None
        known = self.genes if self.fixed.places.shape[1] else {}
        missing = [t for t in one.targets if t not in self.targets and t not in known]
        if not missing:
            return None
        return (
            f"{' and '.join(missing)} neither perturbed in training nor a gene of the file"
            " (--set unseen=mean answers with the mean)"
        )

    def respond(self, controls: CellBlock, strata: np.ndarray, one: Perturbation) -> Response:
        """The controls, moved; their spread is how far two or more members differ, root mean square."""
        x = controls.x.toarray()
        moved = x.copy()
        for stratum in np.unique(strata):
            moved[strata == stratum] += self.base.change(one, int(stratum))
        added = self.fixed.share[0] * self._added(x, controls, one)
        mean = added.mean(axis=0)
        moved[:, self.fixed.columns] += mean
        if len(added) < 2:
            return Response(moved)  # one network has nothing to differ from, and is not sure for it
        spread = np.sqrt(((added - mean) ** 2).mean(axis=(0, 2))).astype(np.float32)
        return Response(moved, spread)

    def _added(self, x: np.ndarray, controls: CellBlock, one: Perturbation) -> np.ndarray:
        """What the members add, float32 (members, n, genes seen): nothing where nothing is known."""
        from scgx.models import _perturb_net as net

        columns = self.fixed.columns
        known = items.told_of(one, self.base, new=False) or self.config.base == "none"
        if not known or not self.fixed.share[0]:
            return np.zeros((self.config.members, len(x), len(columns)), np.float32)
        words = items.words_of([one], self.inside, self.targets)
        return net.changes(self.network, x[:, columns], words, controls.present[columns])

    def _share(self, source: Source, weight: np.ndarray, seed: int) -> float:
        """What share of its changes explains validation conditions best, less a standard error.

        The error is by jackknife over conditions; of fewer than three nothing is believed.
        """
        from scgx.models import _perturb_net as net

        scale = weight / self.fixed.changes**2
        found = []
        for batch in source.batches(source.val, 1, seed=seed, epoch=0, shuffle=False):
            present = np.ones(batch.x.shape[2], bool)
            made = net.changes(self.network, batch.x[0], batch.words, present).mean(axis=(0, 1))
            found.append([(scale * made * batch.change[0]).sum(), (scale * made**2).sum()])
        if len(found) < LEAST:
            return 0.0
        each = np.array(found, dtype=np.float64)
        rest = each.sum(axis=0) - each
        left_out = rest[:, 0] / np.maximum(rest[:, 1], 1e-12)
        error = np.sqrt((len(each) - 1) * left_out.var())
        share = each[:, 0].sum() / max(each[:, 1].sum(), 1e-12)
        return float(np.clip(share - error, 0, 1))


def _at_once(config: Config, genes: int) -> int:
    """Conditions in a step of the network."""
    return min(config.batch_size, max(1, AT_ONCE // (config.cells * genes)))


def _require_memory(data: ResponseData, config: Config) -> None:
    """Means of conditions and a step of the network have to fit: DataError with what would."""
    genes, told = len(data.features), data.told
    seen = min(genes, config.genes)
    width = len(told.strata.levels)
    groups = len(np.unique(told.screen.codes[data.train] * width + told.groups[data.train]))
    means = MEANS * genes * groups
    one = 4 * HELD * config.dim * config.members * config.cells * seen
    need = means + one * _at_once(config, seen)
    if need <= data.memory:
        return
    other = "--set batch_size=1" if means + one <= data.memory else "fewer genes (scgx hvg)"
    raise DataError(
        f"{groups:,} conditions in strata x {genes:,} genes need {need / 1e6:,.0f} MB",
        fix=f"--memory {-(-need // 10**6)}M, or {other}",
    )


def _places(data: ResponseData, rank: int, seed: int) -> np.ndarray:
    """Factors of the covariance of genes among training cells of one condition, float32 (genes, k).

    Between conditions genes go together because they follow the same targets; within one, because one
    follows the other.
    """
    if not rank:
        return np.zeros((len(data.features), 0), np.float32)
    cells, entries = SAMPLED
    most = min(cells, max(1, entries // len(data.features)))
    rows = data.train[:: max(1, len(data.train) // most)]
    told = data.told
    key = told.screen.codes[rows] * (len(told.strata.levels) + 1) + told.groups[rows]
    _known, group = np.unique(key, return_inverse=True)
    x = data.x(rows)
    n = np.bincount(group)
    member = sparse.csr_array(
        (1 / n[group], (group, np.arange(len(rows)))), shape=(len(n), len(rows))
    )
    centre = (member @ x).toarray()
    svd = truncated_svd(x, rank, centre=centre, seed=seed, group=group)
    return np.ascontiguousarray(svd.axes * svd.values / np.sqrt(len(rows)), dtype=np.float32)


def _columns(data: ResponseData, signal: np.ndarray, symbols: list[str], most: int) -> np.ndarray:
    """Genes that the network sees: those that respond most, and all that are targets."""
    if len(signal) <= most:
        return np.arange(len(signal))
    targets = {t for one in data.told.conditions for t in one.targets}
    own = np.array([name in targets for name in symbols])
    order = np.argsort(-np.where(own, np.inf, signal), kind="stable")[:most]
    return np.sort(order)


def _spread(data: ResponseData) -> np.ndarray:
    """Deviation of every gene over training cells, float32 (genes,), at least a little."""
    means = data.trained
    within = np.average(means.variance, axis=0, weights=means.n)
    return np.sqrt(np.maximum(within, 1e-4)).astype(np.float32)
