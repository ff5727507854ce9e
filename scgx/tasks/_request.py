"""What is asked of a task: the truth, the guesses, and how they are to be judged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scgx.h5ad.cells import Cells


@dataclass(frozen=True)
class Request:
    """What is asked for; `fitted` fits a shipped model and answers with its guess.

    Of modalities it is called with (name, pairing, units) and gives rows; of labels with (name, rows,
    column) and gives classes and probabilities; of synthetic cells it is a pair, of classifiers and
    of generators; of embeddings it is called with (name, rows) and gives vectors. `basis` and
    `batch` are of embeddings alone: which arrays of obsm, and the column of batches. `coarse` and
    `sample` are of synthetic cells alone: a map of classes, and how many cells of a class are used
    at most.
    """

    truth: Cells
    guesses: Sequence[Cells]
    train: Cells | None = None
    baselines: Sequence[str] = ()
    fitted: Callable[..., Any] | None = None
    label: str | None = None
    covariates: Sequence[str] = ()
    per: Sequence[str] = ()
    modality: str | None = None
    units: str | None = None
    layer: str | None = None
    coarse: Mapping[str, str] | None = None
    sample: int = 2_000
    picture: bool = False
    by: str | None = None
    leak_check: bool = False
    basis: Sequence[str] = ()
    batch: str | None = None
    seed: int = 0
    memory: int = 2 << 30
    say: Callable[[str], None] = field(default=lambda text: None)
    warn: Callable[[str], None] = field(default=lambda text: None)
