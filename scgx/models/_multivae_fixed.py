"""What `multivae` knows before its network: views of cells, and answers in closed form.

One modality looks (chromatin, where there is any), the other is seen. The looking side is viewed by
the evidence that all its features give of the seen one (`learn/evidence`), held out by group for the
cells that it was fitted on, the seen side by its leading components; both by depth. Kernel ridge
answers for the seen side (`learn/curve`), reduced-rank kernel ridge for the looking one
(`learn/traced`), where peaks are shares of a library that is foreseen as well.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.h5ad.malloc import give_back_freed
from scgx.learn.bayes import Kinds
from scgx.learn.covariates import Covariates
from scgx.learn.curve import Curve, Shrinkage, evened
from scgx.learn.data import TrainingData
from scgx.learn.depth import Depth
from scgx.learn.evidence import Evidence, Wanted, gather
from scgx.learn.foresight import Foresight
from scgx.learn.kernels import Budget, fit_dual, rbf
from scgx.learn.loadings import Loadings
from scgx.learn.selection import parts
from scgx.learn.target import limits
from scgx.learn.traced import Smooth, Traced

POWER = 0.7  # features are divided by their deviation to this power
KINDS, IDF_POWER, NEIGHBOURS = 15, 2.0, 15
LOOK_DEPTH, SEEN_DEPTH = 0.3, 0.5
LIBRARY = Shrinkage(0.3, 3.0)
PROFILE = Smooth(0.1, 100.0, 20, 400)
ROWS_AT_ONCE = 4_096
BYTES_PER_PAIR = 40  # of cells that kernels are held of


class Ends(NamedTuple):
    """A handful of numbers."""

    scale: np.ndarray  # (s,) of the seen components in the view
    size: np.ndarray  # (2,) that look and seen views are divided by
    library: np.ndarray  # (3,) mean log, mean, and mean of what is foreseen of it
    look_limits: np.ndarray
    seen_limits: np.ndarray
    open: np.ndarray  # (1,): 1 where the looking side is peaks


@dataclass(frozen=True)
class Fixed:
    """Everything but the network."""

    evidence: Evidence
    loadings: Loadings  # of the seen side
    look_loadings: Loadings  # of the looking side; of no rank for peaks
    depth: Depth  # of the seen side
    curve: Curve  # look evidence to seen components
    traced: Traced  # seen components to look
    library: Curve  # seen view to log library of peaks
    ends: Ends
    covariates: Covariates

    @property
    def is_open(self) -> bool:
        """Is the looking side peaks?"""
        return bool(self.ends.open[0])

    def look_view(self, x: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """Evidence (n, v) float32."""
        return self.evidence(x, present)

    def seen_view(self, y: sparse.csr_array, present: np.ndarray | None = None) -> np.ndarray:
        """Components and depth (n, s + 1) float32."""
        found = self.loadings.components(y, present)[:, : len(self.ends.scale)] * self.ends.scale
        return np.hstack([found, _depth(self.depth, y, present)]).astype(np.float32)

    def seen_of(self, view: np.ndarray) -> np.ndarray:
        """What kernel ridge says of the seen side, (n, seen) float32."""
        return self.loadings.outputs(self.curve(view))

    def look_of(self, view: np.ndarray) -> np.ndarray:
        """What reduced-rank kernel ridge says of the looking side, (n, look) float32."""
        values = self.traced.outputs(self.traced(view[:, :-1]))
        if self.is_open:
            _log, mean, _foreseen = self.ends.library
            values *= (self._libraries(view) / mean)[:, None]
        return values.astype(np.float32)

    def log_library(self, view: np.ndarray) -> np.ndarray | None:
        """Log library that the seen side foresees, from its mean (n,) float64; None but for peaks."""
        if not self.is_open:
            return None
        return np.log(self._libraries(view)) - self.ends.library[0]

    def _libraries(self, view: np.ndarray) -> np.ndarray:
        log, mean, foreseen = self.ends.library.astype(np.float64)
        return np.exp(self.library(view)[:, 0] + log) * (mean / foreseen)

    def save(self) -> dict[str, dict[str, np.ndarray]]:
        """Arrays by part."""
        evidence = self.evidence
        return {
            "foresight": evidence.foresight._asdict(),
            "kinds": evidence.kinds._asdict(),
            "look_depth": evidence.depth._asdict(),
            "evidence": {"scale": evidence.scale, "centre": evidence.centre},
            "loadings": self.loadings._asdict(),
            "look_loadings": self.look_loadings._asdict(),
            "depth": self.depth._asdict(),
            "curve": self.curve._asdict(),
            "traced": self.traced._asdict(),
            "library": self.library._asdict(),
            "ends": self.ends._asdict(),
        }

    @classmethod
    def restore(cls, part: Any, covariates: Covariates) -> Self:
        """From `part(name)`, the arrays of a part."""
        evidence = Evidence(
            Foresight(**part("foresight")),
            Kinds(**part("kinds")),
            Depth(**part("look_depth")),
            **part("evidence"),
        )
        return cls(
            evidence,
            Loadings(**part("loadings")),
            Loadings(**part("look_loadings")),
            Depth(**part("depth")),
            Curve(**part("curve")),
            Traced(**part("traced")),
            Curve(**part("library")),
            Ends(**part("ends")),
            covariates,
        )


class Views(NamedTuple):
    """Of rows of train, then val: what encoders see, and log library of peaks from its mean."""

    look: np.ndarray
    seen: np.ndarray
    library: np.ndarray


def fit(data: TrainingData, config: Any, *, seed: int) -> tuple[Fixed, Views]:
    """Everything but the network; `data` has the looking side as inputs.

    It is fitted on at most `config.cells` training rows, fewer where memory is small; the others are
    seen as they will be at use.
    """
    give_back_freed()
    some = data.train
    most = min(config.cells, int((data.memory / BYTES_PER_PAIR) ** 0.5))
    if len(some) > most:
        draw = np.random.default_rng(seed).choice(len(some), most, replace=False)
        some = data.train[np.sort(draw)]
    few = data.taught_by(some)
    fixed, held_out, seen = _fit(few, data, config, seed)
    rows = np.concatenate([data.train, data.val])
    look_view = np.empty((len(rows), held_out.shape[1]), np.float32)
    seen_view = np.empty((len(rows), seen.shape[1]), np.float32)
    library = np.empty(len(rows))
    own = np.searchsorted(data.train, some)
    others = np.setdiff1d(np.arange(len(rows)), own)
    look_view[own], seen_view[own] = held_out, seen
    library[own] = _library(few.x(some))
    for part in parts(len(others), ROWS_AT_ONCE):
        place = others[part]
        x = data.x(rows[place])
        look_view[place], seen_view[place] = (
            fixed.look_view(x),
            fixed.seen_view(data.y(rows[place])),
        )
        library[place] = _library(x)
    log = np.log(np.maximum(library, 1)) - fixed.ends.library[0]
    log = log if fixed.is_open else np.zeros_like(log)
    return fixed, Views(look_view, seen_view, log.astype(np.float32))


def _fit(
    few: TrainingData, data: TrainingData, config: Any, seed: int
) -> tuple[Fixed, np.ndarray, np.ndarray]:
    """Fixed, held-out evidence and seen views of the rows it is fitted on."""
    wanted = Wanted(
        config.components, POWER, config.shown, NEIGHBOURS, KINDS, IDF_POWER, 0.0, LOOK_DEPTH
    )
    y, loadings, folds, evidence, held_out = gather(few, wanted, seed)
    x = few.x(few.train)
    budget = Budget(few.memory, seed)
    curve, _held = Curve.fit(held_out, y, loadings, folds, Shrinkage(0.0, 0.0), budget)
    components = loadings.components(y)[:, : config.shown]
    scale = evened(components)
    depth = Depth.fit(y, weight=SEEN_DEPTH)
    seen = np.hstack([components * scale, _depth(depth, y, None)]).astype(np.float32)
    is_open = few.inputs.modality == "atac"
    shape = (few.inputs.modality, few.outputs.modality)
    library = _library(x)
    none = np.zeros(0, np.float32)
    look_loadings = Loadings(none, none, np.zeros((0, 0), np.float32))
    if not is_open:
        look_loadings = Loadings.fit(x, rank=config.components, power=POWER, seed=seed)
    traced = Traced.fit(
        seen[:, :-1], x, PROFILE,
        library=library if is_open else None, scale=None if is_open else look_loadings.scale,
        seed=seed,
    )  # fmt: skip
    log = np.log(np.maximum(library, 1))
    dual = fit_dual(
        rbf(seen, LIBRARY.gamma), (log - log.mean())[:, None].astype(np.float32), folds,
        penalty=LIBRARY.penalty, budget=budget,
    )  # fmt: skip
    foresees = Curve(seen[dual.rows], dual.weights, dual.bias, np.array(LIBRARY, np.float32))
    told = [log.mean(), library.mean(), np.exp(dual.held_out[:, 0] + log.mean()).mean()]
    ends = Ends(
        scale, np.array([_size(held_out), _size(seen)], np.float32), np.array(told, np.float32),
        limits(shape[0]), limits(shape[1]), np.array([is_open], np.uint8),
    )  # fmt: skip
    covariates = Covariates.fit(data.obs, config.covariates, data.train)
    fixed = Fixed(
        evidence, loadings, look_loadings, depth, curve, traced, foresees, ends, covariates
    )
    return fixed, held_out, seen


def _depth(depth: Depth, y: sparse.csr_array, present: np.ndarray | None) -> np.ndarray:
    """Depth (n, 1); where hardly a cell lacks a feature, it says nothing and stays small."""
    return np.clip(depth(y, present), -4 * SEEN_DEPTH, 4 * SEEN_DEPTH)


def _size(view: np.ndarray) -> float:
    return float(np.sqrt((view.astype(np.float64) ** 2).mean())) or 1.0


def _library(x: sparse.csr_array) -> np.ndarray:
    """How many features of each cell are open, float64 (n,)."""
    return np.diff(x.indptr).astype(np.float64)


def mixed(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """Two answers, so much of the other; float32, in the memory of the first."""
    one *= np.float32(1 - share)
    one += np.float32(share) * other
    return one
