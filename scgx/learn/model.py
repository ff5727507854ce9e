"""What a model is, and what it can do. Nobody inherits from anything.

A file in `models/` has `Config` (a frozen dataclass: every knob with its default), `FROM` and `TO`
(the modalities it takes and gives), `LABELS` where it learns labels (the modalities it learns them
from), and a class `Model`. Which of the capabilities below the class has decides which commands accept
it. A model of modalities that learns labels too has `Classifier` and `ClassifierConfig` for them. A
generator has `GENERATES`, the modalities whose counts it draws, and takes its conditions from obs. An
embedding has `EMBEDS`, the modalities it finds places for, and `COMPONENT`, what an axis is called. A
model of perturbations has `RESPONDS`, the modalities in which it tells what they do. A
joint model (`JOINT = True`) takes both sides of a pair alike: a cell of either, or of both, has a
place in its space. `HIDDEN` is the share of genes that `train --augment` hides from copies of cells,
where absent and zero are one to the model; it hides none from others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from scipy import sparse

from scgx.cells.perturbations import Perturbation
from scgx.learn.block import CellBlock

if TYPE_CHECKING:
    from scgx.learn.covariates import Covariates
    from scgx.learn.data import TrainingData
    from scgx.learn.embedding_data import EmbeddingData
    from scgx.learn.generative import GenerativeData
    from scgx.learn.labels import LabelledData
    from scgx.learn.response_data import ResponseData
    from scgx.progress import Report


class Model(Protocol):
    """The least that every model has."""

    Config: ClassVar[type]

    @classmethod
    def fit(
        cls,
        data: TrainingData | LabelledData | GenerativeData | EmbeddingData | ResponseData,
        config: object,
        *,
        seed: int,
        report: Report,
    ) -> Self:
        """Learn from data.train; data.val may stop and tune."""
        ...

    def save(self) -> Mapping[str, bytes]:
        """Members of the artifact: safetensors and JSON."""
        ...

    @classmethod
    def restore(cls, config: object, members: Mapping[str, bytes]) -> Self:
        """The same model, bit for bit, from its members."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """One modality from another."""

    def predict(self, block: CellBlock) -> np.ndarray:
        """Float32 (n, outputs) in the output units."""
        ...


@runtime_checkable
class PredictsBack(Protocol):
    """The input modality from the output modality, by a model that was trained the other way round."""

    def predict_back(self, block: CellBlock) -> np.ndarray:
        """Float32 (n, inputs) in the input units; the block holds the model's outputs."""
        ...


@runtime_checkable
class Embeds(Protocol):
    """A few numbers for a cell, in which cells that are alike lie near each other."""

    @property
    def explained(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each component on the training rows, float64 (d,): its variance, its share in all."""
        ...

    def embed(self, block: CellBlock) -> np.ndarray:
        """Float32 (n, d)."""
        ...

    def loadings(self) -> tuple[np.ndarray, np.ndarray]:
        """Which of the inputs, int64 (p,), and what each weighs in each component, float32 (p, d)."""
        ...


@runtime_checkable
class Shifts(Protocol):
    """What perturbations do, as a change of the mean profile that every control takes alike."""

    def refuses(self, one: Perturbation) -> str | None:
        """Why a perturbation cannot be answered; None where it can."""
        ...

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,), in the units of the model; stratum -1 is one never seen."""
        ...


class Response(NamedTuple):
    """Cells as they would be, float32 (n, genes), and how unsure that is, float32 (n,) or None."""

    x: np.ndarray
    spread: np.ndarray | None = None


@runtime_checkable
class Responds(Protocol):
    """What perturbations do to each control cell."""

    def refuses(self, one: Perturbation) -> str | None:
        """Why a perturbation cannot be answered; None where it can."""
        ...

    def respond(self, controls: CellBlock, strata: np.ndarray, one: Perturbation) -> Response:
        """The controls as they would be; strata int64 (n,), -1 never seen."""
        ...


@runtime_checkable
class Joins(Protocol):
    """One space for two modalities of a cell, and for either of them alone."""

    def embed_pair(self, source: CellBlock | None, target: CellBlock | None) -> np.ndarray:
        """Float32 (n, d) of the model's inputs, its outputs, or both; one of them may be None.

        Cells of one modality lie near the same cells of the other one: distances between them match.
        """
        ...


@runtime_checkable
class Classifies(Protocol):
    """Cell types: one score per class."""

    def scores(self, block: CellBlock) -> np.ndarray:
        """Float32 (n, classes): logarithms of probabilities, up to a constant per cell.

        They are not calibrated; that is done for all models alike.
        """
        ...


@runtime_checkable
class Generates(Protocol):
    """Cells of stated conditions, as counts."""

    def generate(
        self, codes: np.ndarray, library: np.ndarray | None, rng: np.random.Generator
    ) -> sparse.csr_array:
        """CSR int32 (n, features), indices sorted, for codes of conditions int64 (n, columns).

        `library` float64 (n,) is the depth that each cell is to have on average; where it is None
        cells are as deep as the model has learned. All chance comes from `rng`.
        """
        ...


@runtime_checkable
class GeneratesPairs(Protocol):
    """New cells of both modalities of a joint model."""

    @property
    def covariates(self) -> Covariates:
        """What can be said of the cells; code 0 is what nobody says."""
        ...

    @property
    def pair_units(self) -> tuple[str, str] | None:
        """Units of what is drawn of inputs and outputs; None where the model has learned neither."""
        ...

    def generate_pair(
        self, codes: np.ndarray, rng: np.random.Generator
    ) -> tuple[sparse.csr_array, sparse.csr_array]:
        """CSR int32 (n, inputs) and (n, outputs), indices sorted, for codes int64 (n, covariates).

        Both are of the same cells, row by row. All chance comes from `rng`.
        """
        ...


@runtime_checkable
class Transfers(Protocol):
    """A generator that can say what a cell would be like under other conditions."""

    def transfer(
        self,
        x: sparse.csr_array,
        codes: tuple[np.ndarray, np.ndarray],
        rng: np.random.Generator,
    ) -> sparse.csr_array:
        """CSR int32 (n, features) of counts x; `codes` are the conditions they have, and those."""
        ...


class Why(NamedTuple):
    """What speaks for each class: float (features, classes), and what these numbers are."""

    kind: str
    weights: np.ndarray


@runtime_checkable
class Explains(Protocol):
    """A classifier that can say which features speak for which class."""

    def explain(self, blocks: Iterator[CellBlock]) -> Why:
        """As the model stands where there is no block, else as it is on these cells."""
        ...


class Parts(NamedTuple):
    """What a model's file has for one task: its settings and its class."""

    config: type
    model: Any


def learns_labels(module: ModuleType) -> bool:
    """Does this file in `models/` learn labels?"""
    return bool(getattr(module, "LABELS", ()))


def generates(module: ModuleType) -> bool:
    """Does this file in `models/` draw synthetic cells?"""
    return bool(getattr(module, "GENERATES", ()))


def kind_of(module: ModuleType, *, labels: bool) -> str:
    """What a file in `models/` learns: labels where they are asked for and it does nothing else with
    them, else a generation, an embedding, a response, or a modality.
    """
    for constant, kind in _KINDS.items():
        if getattr(module, constant, ()):
            return kind
    return "labels" if labels else "modality"


_KINDS = {"GENERATES": "generation", "EMBEDS": "embedding", "RESPONDS": "response"}


def joins(module: ModuleType) -> bool:
    """Does this file in `models/` learn one space for two modalities?"""
    return bool(getattr(module, "JOINT", False))


def parts_for(module: ModuleType, *, labels: bool) -> Parts:
    """The settings and the class of a file in `models/` for labels, or for modalities."""
    if labels and hasattr(module, "Classifier"):
        return Parts(module.ClassifierConfig, module.Classifier)
    return Parts(module.Config, module.Model)
