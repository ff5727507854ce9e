"""From what a file holds to what a model (or a score) works in, said in words.

A modality has one canonical unit: presence for ATAC, log1p-CP10k for genes, CLR for antibodies. X is
used where it can be converted, else layers/counts, else raw. Where nothing can, the refusal names the
command that converts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import sparse

from scgx.cells import normalize as norm
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, modalities, parse_place
from scgx.h5ad.measured import measured_of
from scgx.h5ad.units import units_of

CANONICAL = {"atac": "binary", "rna": "log1p-cp10k", "activity": "log1p-cp10k", "adt": "clr"}
_FAULTS = {"unknown": "has missing or infinite values"}
Rows: TypeAlias = sparse.csr_array | np.ndarray
Change: TypeAlias = Callable[[Rows, np.ndarray | None], Rows]


class Located(NamedTuple):
    """A matrix beside X that holds a modality, and its columns (int64)."""

    key: str
    columns: np.ndarray


class Missing(NamedTuple):
    """Whether NaN is left out before values are converted; if not, what mends it."""

    ignored: bool = False
    mend: str = "remove those cells or features"


def _logged(block: Rows, totals: np.ndarray | None) -> Rows:
    values = block.copy()
    if isinstance(values, np.ndarray):
        return np.log1p(values.astype(np.float32))
    values.data = np.log1p(values.data.astype(np.float64)).astype(np.float32)
    return values


def _same(block: Rows, totals: np.ndarray | None) -> Rows:
    if wrong := norm.not_finite(block):
        raise DataError(f"{wrong:,} values are missing or infinite")
    return block.astype(np.float32)


# (have, want) -> how
_CHANGES: dict[tuple[str, str], Change] = {
    ("counts", "log1p-cp10k"): norm.log1p_cp10k,
    ("binary", "log1p-cp10k"): norm.log1p_cp10k,
    ("scaled-counts", "log1p-cp10k"): norm.log1p_cp10k,
    ("log1p-counts", "log1p-cp10k"): lambda b, t: norm.log1p_cp10k(norm.counts_from_log1p(b), t),
    ("counts", "log1p-counts"): _logged,
    ("binary", "log1p-counts"): _logged,
    ("log1p-counts", "counts"): lambda block, totals: norm.counts_from_log1p(block),
    ("binary", "counts"): _same,
    ("counts", "clr"): lambda block, centres: (
        norm.clr(block) if centres is None else norm.clr_around(block, centres)
    ),
    **{
        (have, "binary"): lambda block, totals: norm.binary(block)
        for have in ("counts", "log1p-cp10k", "log1p-counts", "tfidf", "scaled-counts")
    },
}
_LINEAR: dict[tuple[str, str], Callable[[Rows], Rows]] = {  # what divisors are sums or centres of
    ("counts", "log1p-cp10k"): lambda block: block,
    ("binary", "log1p-cp10k"): lambda block: block,
    ("scaled-counts", "log1p-cp10k"): lambda block: block,
    ("log1p-counts", "log1p-cp10k"): norm.counts_from_log1p,
    ("counts", "clr"): lambda block: block,
}


@dataclass(frozen=True)
class Conversion:
    """Where the values of one modality are and how they become `want`."""

    key: str
    have: str
    want: str
    modality: str
    uses_totals: bool
    missing: Missing = Missing()

    def apply(self, block: Rows, totals: np.ndarray | None = None) -> sparse.csr_array:
        """A block of the modality's columns in the wanted unit, CSR float32."""
        change = _same if self.have == self.want else _CHANGES[self.have, self.want]
        try:
            return sparse.csr_array(change(block, totals), dtype=np.float32)
        except DataError as error:
            error.fix = self._mend(block, totals) or error.fix
            raise

    def _mend(self, block: Rows, totals: np.ndarray | None) -> str | None:
        """What mends values that cannot be converted, in terms of commands that learn."""
        values = block if isinstance(block, np.ndarray) else block.data
        if norm.not_finite(block):
            return self.missing.mend
        if values.size and values.min() < 0:
            return "counts or their logarithms are needed; scgx info shows what is where"
        if totals is not None:
            return f"mend obs['total_counts_{self.modality}'], or leave that column out"
        return None

    @property
    def words(self) -> str:
        """What is done, for a person."""
        if self.have == self.want:
            return f"{self.modality}: {self.key} as it is ({self.have})"
        return f"{self.modality}: {self.key} from {self.have} to {self.want}"


def choose(
    cells: Cells,
    modality: str,
    want: str | None = None,
    layer: str | None = None,
    missing: Missing = Missing(),
    at: Located | None = None,
) -> Conversion:
    """How to get a modality in a unit (its canonical one by default); DataError where impossible.

    `at` is a matrix beside X that holds the modality.
    """
    want = want or CANONICAL[modality]
    columns = columns_of(cells, modality) if at is None else at.columns
    tried: list[str] = []
    unknown = False
    raw = cells.has("raw/X") and cells.matrix("raw/X").shape == cells.shape
    keys = [f"layers/{layer}"] if layer else ["X", "layers/counts", *(["raw/X"] if raw else [])]
    for key in keys if at is None else [at.key]:
        if layer is None and not cells.has(key):
            continue
        own = None if key == "raw/X" else columns
        have = units_of(cells, key, modality, columns=own, ignore_missing=missing.ignored)
        if have == want or (have, want) in _CHANGES:
            uses = have in ("counts", "binary", "log1p-counts") and want == "log1p-cp10k"
            return Conversion(key, have, want, modality, uses, missing)
        unknown = unknown or have == "unknown"
        tried.append(f"{key} {_FAULTS.get(have, f'is {have}')}")
    raise DataError(
        f"{modality} cannot be had as {want}: {'; '.join(tried) or 'no matrix'}",
        fix=missing.mend if unknown else "scgx normalize converts; start from raw counts",
        file=cells.name,
    )


def totals_of(cells: Cells, modality: str) -> np.ndarray | None:
    """obs["total_counts_<modality>"], written when features were dropped; float64 (n,) or None."""
    name = f"total_counts_{modality}"
    return cells.obs.numbers(name) if name in cells.obs else None


def divisors(cells: Cells, conversion: Conversion, some: np.ndarray) -> np.ndarray | None:
    """What the values of columns `some` are divided by in each cell, float64 (n_obs,).

    The recorded totals, else sums over all features of the modality, or the centres of their CLR. None
    where the columns are all there are, and so say it themselves, and for a unit that needs none.
    """
    modality, beside = conversion.modality, conversion.key.startswith("obsm/")
    if conversion.uses_totals and (recorded := totals_of(cells, modality)) is not None:
        return recorded
    step, kinds = (conversion.have, conversion.want), modalities(cells.var)
    if beside or step not in _LINEAR:
        return None
    over = modality if (kinds == modality).any() else "rna"  # gene activity as a layer
    columns, measured = np.flatnonzero(kinds == over), measured_of(cells)
    centred = conversion.want == "clr"
    if len(columns) == len(some) and not (centred and measured is not None):
        return None
    made = np.zeros(cells.n_obs)
    for block in cells.blocks(conversion.key, columns=columns):
        rows = np.arange(block.start, block.start + block.X.shape[0])
        values = norm.without_missing(block.X) if conversion.missing.ignored else block.X
        values = values if measured is None else measured.clear(values, rows, columns)
        panel = None if measured is None else measured.panel(rows, columns)
        if centred:
            made[rows] = norm.clr_centre(values, panel)
        else:
            made[rows] = norm.row_totals(_LINEAR[step](values))
    return made


def check_role(
    cells: Cells, role: str | None, option: str, others: tuple[str, ...]
) -> tuple[str, str | None]:
    """The modality of --from or --to, and its matrix if that is not X; where it is not given there
    must be one choice only. `others` are words of modalities that are taken.
    """
    if role is not None:
        return parse_place(role)
    taken = [parse_place(other)[0] for other in others]
    left = [m for m in dict.fromkeys(modalities(cells.var).tolist()) if m not in taken]
    if len(left) == 1:
        return str(left[0]), None
    if not left:
        here = " and ".join(dict.fromkeys(modalities(cells.var).tolist())) or "no features"
        raise DataError(
            f"has {here} alone, and nothing for {option}",
            fix="scgx join pairs it with the other modality of its cells",
            file=cells.name,
        )
    raise UsageError(f"{option} is needed: the file has {', '.join(map(str, left))}")
