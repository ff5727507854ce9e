"""What speaks for each class: the features that a classifier gives most weight, by symbol.

Only the model knows what its weight of a feature is (a coefficient, a gain, a slope), and says so by
its own name; numbers of different models are never comparable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.learn.artifact import Artifact
from scgx.learn.block import CellBlock
from scgx.learn.classify import Classifier, opened, panel_of
from scgx.learn.model import Explains
from scgx.learn.train import restore


@dataclass(frozen=True)
class Top:
    """Features of one class, the heaviest first: symbols where they are known, names, weights."""

    name: str
    symbols: tuple[str, ...]
    features: tuple[str, ...]
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Explained:
    """What the weights are, of which model, and the heaviest of each class."""

    model: str
    kind: str
    classes: tuple[Top, ...]

    def rows(self) -> list[list[object]]:
        """Class, rank, symbol, feature, weight."""
        return [
            [top.name, rank, symbol, feature, weight]
            for top in self.classes
            for rank, (symbol, feature, weight) in enumerate(
                zip(top.symbols, top.features, top.weights, strict=True), 1
            )
        ]

    def tsv(self, path: Path) -> None:
        """The rows as text."""
        lines = ["class\trank\tgene\tfeature\tweight"]
        lines += ["\t".join(map(str, row)) for row in self.rows()]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def explained(found: Artifact, cells: Cells | None, *, top: int) -> Explained:
    """The `top` heaviest features of each class, on `cells` where these are given.

    DataError for a model that is no classifier, or cannot say what it looks at.
    """
    header = found.header
    made = restore(found)
    if header.task != "labels" or not isinstance(made, Explains):
        raise DataError(
            f"is a {header.model} model, which cannot say what it looks at",
            fix="logistic, xgboost, ensemble, mlp and tabnet can, trained with --label",
            file=found.name,
        )
    if cells is None:
        why = made.explain(iter(()))
    else:
        why = made.explain(_blocks(opened(found, cells, 0.05)))
    panel = panel_of(header, found.summary, found.name)
    names = panel.names.names[panel.chosen]
    symbols = panel.names.symbols[panel.chosen]
    weights = np.asarray(why.weights, np.float64)
    if weights.shape != (len(names), len(header.outputs.names)):
        raise DataError("its weights do not fit its features", file=found.name)
    tops = []
    for code, word in enumerate(header.outputs.names):
        order = np.argsort(-weights[:, code], kind="stable")[:top]
        order = order[weights[order, code] > 0]
        called = [str(names[i] if symbols[i] is None else symbols[i]) for i in order]
        values = (round(float(weights[i, code]), 6) for i in order)
        tops.append(Top(word, tuple(called), tuple(str(names[i]) for i in order), tuple(values)))
    return Explained(header.model, why.kind, tuple(tops))


def _blocks(classifier: Classifier) -> Iterator[CellBlock]:
    """All cells of the file, without the padding."""
    for together in classifier.blocks(np.arange(classifier.cells.n_obs)):
        for at, block in together:
            n = len(at)
            obs = block.obs.take(np.arange(n))
            yield CellBlock(block.x[:n], obs, block.totals[:n], block.present)
