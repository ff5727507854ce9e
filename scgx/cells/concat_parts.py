"""What a concatenation is made of: what was asked for, the files, the columns of the output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scgx.cells.genes import Named
from scgx.cells.label_map import LabelMap, Mapped
from scgx.genome.annotation import Genes
from scgx.genome.peaks import Places
from scgx.h5ad.cells import Cells
from scgx.h5ad.measured import KEY
from scgx.h5ad.pile import Share

Array = np.ndarray


@dataclass(frozen=True)
class Options:
    """What the user asked for. `genes`: inner, outer or the names of a panel; `peaks`: None (by
    name), "union", or the places of a reference.
    """

    names: tuple[str, ...]
    genes: str | tuple[str, ...] = "inner"
    peaks: str | Places | None = None
    key: str = KEY
    label: str | None = None
    rules: LabelMap = field(default_factory=LabelMap)
    strict: bool = False
    ignore_case: bool = False
    annotation: Genes | None = None


class Dataset(NamedTuple):
    """One file: its rows and columns in the output, and the datasets that it consists of (several
    where it was stacked before): their names, of which one each cell is, and what each measured.
    """

    cells: Cells
    name: str
    named: Named
    labels: Mapped | None
    share: Share
    inside: Array
    codes: Array
    mask: Array

    def label_rows(self, rules: LabelMap) -> list[tuple[str, str, str, int]]:
        """(label, common label, how, cells) for the labels of the file."""
        if self.labels is None:
            return []
        to = rules.rules
        rows = [(word, to[word], "rule", n) for word, n in self.labels.mapped.items()]
        as_is = "no rule" if to else "as it is"
        rows += [(word, word, as_is, n) for word, n in self.labels.unmapped.items()]
        return rows + [(word, "", "dropped", n) for word, n in self.labels.gone.items()]


class Columns(NamedTuple):
    """The columns of the output: their names, modality, and where those of each file go."""

    names: Array
    kinds: Array
    lookups: list[Array]


def listed(what: str, names: Sequence[str]) -> list[str]:
    """One line that names some of them; no line where there are none."""
    return [f"{what}: {few(names)}"] if names else []


def few(names: Sequence[str], most: int = 6) -> str:
    """The first names, and how many there are where some are left out."""
    return ", ".join(names[:most]) + (f" ... ({len(names)})" if len(names) > most else "")
