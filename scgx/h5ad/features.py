"""Which modality a feature is of, and where it lies in the genome.

The words of 10x are written; the shorter ones that other tools write are understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame

WORDS = {
    "rna": "Gene Expression",
    "atac": "Peaks",
    "adt": "Antibody Capture",
    "activity": "Gene Activity",
}
_UNDERSTOOD = {
    "gene expression": "rna",
    "gex": "rna",
    "rna": "rna",
    "expression": "rna",
    "peaks": "atac",
    "peak": "atac",
    "atac": "atac",
    "chromatin accessibility": "atac",
    "antibody capture": "adt",
    "adt": "adt",
    "protein": "adt",
    "gene activity": "activity",
    "activity": "activity",
}
_PEAK = re.compile(r"^(?:[\w.]+)[:_-]\d+[_-]\d+$")


def parse_modality(word: str) -> str:
    """`rna`, `atac`, `adt` or `activity` from any word in use; DataError otherwise."""
    modality = _UNDERSTOOD.get(word.strip().lower())
    if modality is None:
        raise DataError(f"no modality {word!r}", fix="there is rna, atac, adt, activity")
    return modality


def parse_place(word: str) -> tuple[str, str | None]:
    """A modality that may lie beside X: `rna` is (rna, None), `layer:NAME` (activity, layers/NAME),
    `obsm:KEY` (activity, obsm/KEY), `adt=obsm:KEY` (adt, obsm/KEY). DataError for other words.
    """
    modality, equals, rest = word.rpartition("=")
    kind, colon, name = rest.partition(":")
    if not (equals or colon):
        return parse_modality(word), None
    if kind not in ("layer", "obsm") or not name:
        raise DataError(f"no modality {word!r}", fix="as in layer:NAME, obsm:KEY, adt=obsm:KEY")
    return parse_modality(modality or "activity"), f"{'layers' if kind == 'layer' else kind}/{name}"


def looks_like_peaks(names: np.ndarray) -> bool:
    """Do at least nine names in ten look like `chr1:1-2`, `chr1-1-2` or `chr1_1_2`?"""
    some = names[: 2000 : max(1, len(names) // 200)] if len(names) else names
    return len(some) > 0 and sum(bool(_PEAK.match(name)) for name in some) >= 0.9 * len(some)


def modalities(var: Frame) -> np.ndarray:
    """Modality of each feature, object (n_var,): from feature_types, else from its name's shape."""
    if "feature_types" in var:
        words = var.strings("feature_types")
        known = {w: _UNDERSTOOD.get(str(w).strip().lower(), str(w)) for w in set(words)}
        return np.array([known[w] for w in words], dtype=object)
    word = "atac" if looks_like_peaks(var.index) else "rna"
    return np.full(len(var), word, dtype=object)


def present(var: Frame) -> list[str]:
    """The modalities that a table of features holds, in order of appearance."""
    return list(dict.fromkeys(modalities(var).tolist()))


def columns_of(cells: Cells, modality: str) -> np.ndarray:
    """Columns of one modality, int64; DataError when there are none."""
    columns = np.flatnonzero(modalities(cells.var) == modality)
    if not len(columns):
        here = ", ".join(present(cells.var)) or "none"
        raise DataError(f"has no {modality} features", fix=f"it has: {here}", file=cells.name)
    return columns


@dataclass(frozen=True)
class Features:
    """Features of one modality and where they lie; -1 and None where unknown.

    Positions are 0-based half-open base pairs; `tss` is the transcription start of a gene.
    """

    names: np.ndarray
    modality: str
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    strand: np.ndarray
    tss: np.ndarray

    def __len__(self) -> int:
        return len(self.names)

    @property
    def located(self) -> np.ndarray:
        """Mask of the features whose place is known."""
        return np.array([c is not None for c in self.chrom], dtype=bool) & (self.start >= 0)

    def take(self, rows: np.ndarray) -> Features:
        """Some features, in the order given."""
        places = (self.chrom, self.start, self.end, self.strand, self.tss)
        return Features(self.names[rows], self.modality, *(part[rows] for part in places))
