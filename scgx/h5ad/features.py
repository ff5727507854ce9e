"""Which modality a feature is of, and where it lies in the genome.

The words of 10x are written; the shorter ones that other tools write are understood.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.frame import Frame
from scgx.h5ad.reader import Cells

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
        return Features(
            self.names[rows],
            self.modality,
            *(a[rows] for a in (self.chrom, self.start, self.end, self.strand, self.tss)),
        )

    @classmethod
    def of(cls, var: Frame, columns: np.ndarray, modality: str) -> Features:
        """Features of a file; coordinates from var, for peaks from their names where var has none."""
        frame = var.take(columns)
        n = len(columns)

        def number(name: str) -> np.ndarray:
            values = frame.numbers(name) if name in frame else np.full(n, np.nan)
            return np.where(np.isnan(values), -1, values).astype(np.int64)

        chrom = frame.strings("chrom") if "chrom" in frame else np.full(n, None, dtype=object)
        chrom = np.array([c or None for c in chrom], dtype=object)
        strand = frame.strings("strand") if "strand" in frame else np.full(n, None, dtype=object)
        start, end, tss = number("start"), number("end"), number("tss")
        if modality == "atac" and "chrom" not in frame:
            chrom, start, end = _from_names(frame.index)
        return cls(frame.index, modality, chrom, start, end, strand, tss)


def _from_names(names: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of peaks from their names: `chr1:1-2`, `chr1-1-2`, `chr1_1_2`."""
    pattern = re.compile(r"^(.+)[:_-](\d+)[_-](\d+)$")
    found = [pattern.match(name) for name in names]
    chrom = np.array([m[1] if m else None for m in found], dtype=object)
    start = np.array([int(m[2]) if m else -1 for m in found], dtype=np.int64)
    end = np.array([int(m[3]) if m else -1 for m in found], dtype=np.int64)
    return chrom, start, end
