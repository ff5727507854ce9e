"""Canonical correlation of what chromatin foresees and what is expressed: one space for both.

A plain CCA of LSI and PCA components loses what those leave out, and overfits where it does not. So
one side *looks*: evidence of all its features (`learn/evidence`) and the components that RBF kernel
ridge (`learn/curve`) makes of it, of training cells held out by group. The other side is *seen*: the
leading components of its own features. Canonical correlation (`learn/canonical`) of the two gives
directions in which a cell's two sides agree, and how far; cells are unit vectors in these directions,
of either side or of both. Chromatin looks where there is any, else gene activity, else RNA.

It predicts both ways: the seen side by the curve, as `kernel-ridge` does, the looking side by a line on
the seen side's place in the common space and its depth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from scipy import linalg, sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.bayes import Kinds
from scgx.learn.block import CellBlock
from scgx.learn.canonical import Canonical
from scgx.learn.config import knob
from scgx.learn.curve import Curve, Shrinkage
from scgx.learn.data import TrainingData
from scgx.learn.depth import Depth
from scgx.learn.evidence import Evidence, Wanted, gather
from scgx.learn.foresight import Foresight
from scgx.learn.kernels import Budget
from scgx.learn.loadings import Loadings
from scgx.learn.lsi import column_mean
from scgx.learn.residual import targets
from scgx.learn.selection import Judges, judges
from scgx.learn.target import bounded, limits
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
JOINT = True
SHRINKAGES = (0.03, 0.1, 0.3)
MOST_JUDGED = 2_000
LOOKS = ("atac", "activity", "rna", "adt")  # which of two sides looks: the one named first


@dataclass(frozen=True)
class Config:
    """Sizes and shrinkage."""

    dimensions: int = knob(30, least=1)  # of the common space
    components: int = knob(50, least=1)  # of the seen side
    shrinkage: float = knob(0.0, most=1)  # of both covariances; 0 chooses among .03, .1, .3
    seen: int = knob(20, least=1)  # components that evidence foresees
    power: float = knob(0.7, most=2)  # features are divided by their deviation to this power
    neighbours: int = knob(15, least=1)  # cells alike in the seen side whose mean is foreseen
    kinds: int = knob(15, least=2)  # of cell, for naive Bayes
    idf_power: float = knob(2.0, most=5)  # inverse document frequency to this power weighs a peak
    penalty: float = 0.0  # of the ridge; 0 chooses among 4, 16, 64 by held-out error
    gamma: float = 0.0  # 1 / scale^2 of the RBF; 0 chooses among .35 and .7
    second_penalty: float = 0.0  # of the RBF; 0 chooses among 1, 3, 10
    depth: float = 0.3  # weight of the cell's depth as evidence
    back_penalty: float = knob(0.01, least=1e-9)  # of the line that predicts the looking side


class _Line(NamedTuple):
    """The looking side = [variates, depth] @ slope + mean."""

    slope: np.ndarray  # (d + 1, n_look) float32
    mean: np.ndarray  # (n_look,) float32

    @classmethod
    def fit(cls, design: np.ndarray, x: sparse.csr_array, penalty: float) -> Self:
        mean, n = column_mean(x), len(design)
        gram = design.T @ design + penalty * n * np.eye(design.shape[1])
        moment = np.asarray(sparse.csr_array(x.T) @ design).T
        moment -= np.outer(design.sum(axis=0), mean)
        return cls(linalg.solve(gram, moment, assume_a="pos").astype(np.float32), mean)

    def __call__(self, design: np.ndarray) -> np.ndarray:
        return (design @ self.slope.astype(np.float64) + self.mean).astype(np.float32)


class _Looking(NamedTuple):
    """From features of the looking side to what they say of the seen side."""

    evidence: Evidence
    curve: Curve

    def __call__(self, block: CellBlock) -> np.ndarray:
        """[components, evidence] (n, p) float64."""
        seen = self.evidence(block.x, block.present)
        return np.hstack([self.curve(seen), seen.astype(np.float64)])


class _Seen(NamedTuple):
    """From features of the seen side to its components, and its depth."""

    loadings: Loadings
    depth: Depth

    def __call__(self, x: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """Components (n, k) float64."""
        loadings = self.loadings
        axes = loadings.axes.astype(np.float64) / loadings.scale[:, None]
        centre = loadings.mean if present is None else loadings.mean * present
        return x @ axes - centre.astype(np.float64) @ axes


class _Views(NamedTuple):
    """What the looking side says of cells, and the seen side: (n, p) and (n, q)."""

    first: np.ndarray
    second: np.ndarray

    def take(self, rows: np.ndarray) -> "_Views":
        """Some of the cells."""
        return _Views(self.first[rows], self.second[rows])

    def meet(self, dimensions: int, shrinkage: float) -> Canonical:
        """Their canonical correlation."""
        return Canonical.fit(*self, dimensions=dimensions, shrinkage=shrinkage)


class Model:
    """What looks, what is seen, and where they meet."""

    def __init__(
        self,
        looking: _Looking,
        seen: _Seen,
        meeting: Canonical,
        line: _Line,
        ends: dict[str, np.ndarray],
    ) -> None:
        self.looking, self.seen, self.meeting, self.line = looking, seen, meeting, line
        # "looks" (1,): 1 where the inputs look; "look_limits", "seen_limits" (2,): of values
        self.ends = ends

    @property
    def _inputs_look(self) -> bool:
        return bool(self.ends["looks"][0])

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Fit on the training rows; what the looking side says of them is held out."""
        ends = data.inputs.modality, data.outputs.modality
        looks = LOOKS.index(ends[0]) <= LOOKS.index(ends[1])
        data = data if looks else data.turned()
        y, loadings, folds, evidence, held_out = gather(data, Wanted.of(config), seed)
        wanted = Shrinkage(config.gamma, config.second_penalty)
        budget = Budget(data.memory, seed)
        curve, curved = Curve.fit(held_out, y, loadings, folds, wanted, budget)
        looking, seen = _Looking(evidence, curve), _Seen(loadings, Depth.fit(y, weight=1.0))
        first, second = np.hstack([curved, held_out]), seen(y)
        views = _Views(first, second)
        shrinkage = config.shrinkage
        if not shrinkage:
            judging = judges(data, seed=seed)
            shrinkage = _choose(views, _judged(data, looking, seen, views, judging), config)
            report.say(
                f"shrinkage {shrinkage:g} (by held-out cells that are nearer than the match)"
            )
        meeting = views.meet(config.dimensions, shrinkage)
        strongest = ", ".join(f"{rho:.2f}" for rho in meeting.rho[:5])
        report.say(f"{data.inputs.modality} looks; correlations {strongest} ...")
        x = data.x(data.train)
        line = _Line.fit(_design(meeting, seen, second, y), x, config.back_penalty)
        values = {"looks": np.array([looks], np.uint8)}
        values["look_limits"] = limits(data.inputs.modality)
        values["seen_limits"] = limits(data.outputs.modality)
        return cls(looking, seen, meeting, line, values)

    def save(self) -> Mapping[str, bytes]:
        evidence = self.looking.evidence
        parts = {
            "foresight": evidence.foresight._asdict(),
            "kinds": evidence.kinds._asdict(),
            "evidence_depth": evidence.depth._asdict(),
            "evidence": {"scale": evidence.scale, "centre": evidence.centre},
            "curve": self.looking.curve._asdict(),
            "loadings": self.seen.loadings._asdict(),
            "seen_depth": self.seen.depth._asdict(),
            "meeting": self.meeting._asdict(),
            "line": self.line._asdict(),
            "ends": self.ends,
        }
        return {f"{name}.safetensors": pack_arrays(arrays) for name, arrays in parts.items()}

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        def part(name: str) -> dict[str, np.ndarray]:
            return unpack_arrays(members[f"{name}.safetensors"])

        evidence = Evidence(
            Foresight(**part("foresight")),
            Kinds(**part("kinds")),
            Depth(**part("evidence_depth")),
            **part("evidence"),
        )
        seen = _Seen(Loadings(**part("loadings")), Depth(**part("seen_depth")))
        looking = _Looking(evidence, Curve(**part("curve")))
        return cls(looking, seen, Canonical(**part("meeting")), _Line(**part("line")), part("ends"))

    def embed_pair(self, source: CellBlock | None, target: CellBlock | None) -> np.ndarray:
        """Unit vectors (n, d) float32 of the inputs, the outputs, or both."""
        look, other = (source, target) if self._inputs_look else (target, source)
        first = None if look is None else self.meeting.first(self.looking(look))
        second = None if other is None else self.meeting.second(self.seen(other.x, other.present))
        return self.meeting.place(first, second)

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, outputs) float32 in the outputs' units."""
        return self._see(block) if self._inputs_look else self._look(block)

    def predict_back(self, block: CellBlock) -> np.ndarray:
        """(n, inputs) float32 in the inputs' units, of a block of outputs."""
        return self._look(block) if self._inputs_look else self._see(block)

    def _see(self, block: CellBlock) -> np.ndarray:
        """The seen side, from a block of the looking one."""
        evidence = self.looking.evidence(block.x, block.present)
        outputs = self.seen.loadings.outputs(self.looking.curve(evidence))
        return bounded(outputs, self.ends["seen_limits"])

    def _look(self, block: CellBlock) -> np.ndarray:
        """The looking side, from a block of the seen one."""
        second = self.seen(block.x, block.present)
        design = _design(self.meeting, self.seen, second, block.x, block.present)
        return bounded(self.line(design), self.ends["look_limits"])


def _judged(
    data: TrainingData, looking: _Looking, seen: _Seen, views: _Views, rows: Judges
) -> tuple[np.ndarray, _Views]:
    """Which training rows fit, and the views of the cells that judge: validation rows, or a group of
    training rows, of which the looking side was held out.
    """
    fit = np.searchsorted(data.train, rows.fit)
    if not len(data.val):
        return fit, views.take(np.searchsorted(data.train, rows.judge))
    first = looking(data.block(rows.judge))
    return fit, _Views(first, seen(targets(data, rows.judge)))


def _choose(views: _Views, judged: tuple[np.ndarray, _Views], config: Config) -> float:
    """The shrinkage with the fewest judging cells nearer to a cell than its own other side."""
    fit, known = judged
    some = np.linspace(0, len(known.first) - 1, min(len(known.first), MOST_JUDGED)).astype(int)
    known = known.take(some)

    def nearer(shrinkage: float) -> float:
        found = views.take(fit).meet(config.dimensions, shrinkage)
        left = found.place(found.first(known.first), None)
        right = found.place(None, found.second(known.second))
        near = left.astype(np.float64) @ right.T
        own = np.diag(near)
        return float((near > own[:, None]).mean() + (near > own).mean())

    return min(SHRINKAGES, key=nearer)


def _design(
    meeting: Canonical,
    seen: _Seen,
    components: np.ndarray,
    x: sparse.csr_array,
    present: np.ndarray | None = None,
) -> np.ndarray:
    """[variates, depth] (n, d + 1) float64 of cells of the seen side."""
    return np.hstack([meeting.second(components), seen.depth(x, present).astype(np.float64)])
