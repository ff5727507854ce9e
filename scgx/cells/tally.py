"""What is counted of every cell and feature: totals, features seen, the mitochondrial share.

Where the counts are gone, or the features that a metric needs, a column of obs that another tool left
stands in; which one is said.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from scgx.cells.coordinates import GENES, Coordinates, from_table, gene_names
from scgx.cells.counted import Counted, counted
from scgx.cells.moments import add_up, view_of
from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame

Array: TypeAlias = np.ndarray


class Names(NamedTuple):
    """How the metrics of a modality are called in obs."""

    total: str
    seen: str
    plural: str


NAMES = {
    "rna": Names("total_counts", "n_genes_by_counts", "genes"),
    "atac": Names("total_counts_peaks", "n_peaks_by_counts", "peaks"),
    "adt": Names("total_counts_proteins", "n_proteins_by_counts", "proteins"),
    "activity": Names("total_counts_activities", "n_activities_by_counts", "activities"),
}
MT, TOTAL_MT = "pct_counts_mt", "total_counts_mt"
_ELSEWHERE = {
    "total_counts": ("n_counts", "nCount_RNA", "GEX_n_counts", "ncounts", "nUMI", "n_umi", "n_umis"),
    "n_genes_by_counts": ("n_genes", "nFeature_RNA", "GEX_n_genes", "ngenes", "nGene", "n_features"),
    "total_counts_peaks": ("ATAC_nCount_peaks", "nCount_peaks", "nCount_ATAC"),
    "n_peaks_by_counts": ("nFeature_peaks", "nFeature_ATAC", "n_peaks"),
    MT: (
        "GEX_pct_counts_mt", "percent_mito", "percent.mt", "percent_mt", "percent.mito", "pct_mt",
        "pct_mito", "mt_frac", "mito_frac", "mito", "percent_mitochondrial",
    ),
}  # fmt: skip
_PERCENT = {MT, "GEX_pct_counts_mt"}  # never a fraction, however small


@dataclass(frozen=True)
class Tally:
    """Of one modality: by cell (n_obs,), and by group of cells and feature (groups, m)."""

    source: Counted
    total: Array
    seen: Array
    mt: Array | None  # counts of mitochondrial genes; None where there are none
    sums: Array
    cells: Array  # in how many cells of each group a feature was seen, int64
    size: Array  # how many cells of each group measured it, int64


class Metrics(NamedTuple):
    """Metrics of cells by name (n_obs,), NaN where missing; tallies by modality; what is said."""

    values: dict[str, Array]
    tallies: dict[str, Tally]
    notes: list[str]


def measure(
    cells: Cells, kinds: list[str], groups: Array, layer: str | None, memory: int
) -> Metrics:
    """One pass per modality; `groups` (n_obs,) numbers what features are tallied by, -1 is no group.

    A modality without counts has the metrics that obs has; DataError comes from who needs more.
    """
    found: dict[str, Array] = {}
    tallies: dict[str, Tally] = {}
    notes: list[str] = []
    for kind in kinds:
        names = NAMES[kind]
        try:
            source = counted(cells, kind, layer)
        except DataError as error:
            notes.append(f"{error.what}: its metrics are those that obs has")
            _stand_in(cells.obs, [names.total, names.seen], found, notes)
        else:
            tally = tallied(cells, source, groups, mitochondrial(cells.var, source), memory)
            tallies[kind] = tally
            known = f"total_counts_{kind}"
            found[names.total] = cells.obs.numbers(known) if known in cells.obs else tally.total
            found[names.seen] = tally.seen.astype(np.float64)
            if tally.mt is not None and MT not in found:
                part = np.divide(
                    tally.mt, tally.total, out=np.zeros_like(tally.mt), where=tally.total > 0
                )
                found[TOTAL_MT], found[MT] = tally.mt, 100 * part
        first = kind == next((k for k in kinds if k in GENES), "")
        if first and _stand_in(cells.obs, [MT], found, notes):
            found.pop(
                TOTAL_MT, None
            )  # what was seen of the whole cell goes before what is left of it
    return Metrics(found, tallies, notes)


def tallied(cells: Cells, source: Counted, groups: Array, mt: Array, memory: int) -> Tally:
    """Count the entries of a modality. Stored zeros and what a dataset did not measure are nothing."""
    view = view_of(cells, source, groups, tuple(map(str, range(max(2, int(groups.max()) + 1)))))
    found = add_up(cells, view, memory, marked=mt)
    of_mt = found.marked if mt.any() else None
    return Tally(source, found.totals, found.seen, of_mt, found.values, found.times, view.cells)


def mitochondrial(var: Frame, source: Counted) -> Array:
    """Which features of a modality are genes of the mitochondrion, bool (m,): chrM, or MT- by name."""
    found = np.zeros(len(source.columns), dtype=bool)
    if source.modality not in GENES:
        return found
    part = var.take(source.columns)
    for names in gene_names(part):
        found |= np.array([str(name).upper().startswith("MT-") for name in names], dtype=bool)
    places = from_table(part).places if "chrom" in part else Coordinates.none(len(part))
    return found | (places.chrom == "chrM")


def feature_columns(cells: Cells, tallies: dict[str, Tally]) -> dict[str, Array]:
    """Columns of var, under scanpy's names, over the cells of all groups."""
    count, total = np.zeros(cells.n_var, dtype=np.int64), np.full(cells.n_var, np.nan)
    mean, dropout = np.full(cells.n_var, np.nan), np.full(cells.n_var, np.nan)
    for tally in tallies.values():
        here, size = tally.source.columns, tally.size.sum(axis=0)
        count[here] = tally.cells.sum(axis=0)
        total[here] = tally.sums.sum(axis=0)
        known = here[size > 0]
        mean[known] = total[known] / size[size > 0]
        dropout[known] = 100 * (1 - count[known] / size[size > 0])
    return {
        "n_cells_by_counts": count, "mean_counts": mean,
        "pct_dropout_by_counts": dropout, "total_counts": total,
    }  # fmt: skip


def _stand_in(obs: Frame, metrics: list[str], found: dict[str, Array], notes: list[str]) -> bool:
    """Metrics from columns that other tools leave; a share of at most 1 is taken for a fraction.
    True when one was found.
    """
    before = len(notes)
    for metric in metrics:
        column = next((c for c in (metric, *_ELSEWHERE.get(metric, ())) if c in obs), None)
        if column is None:
            continue
        values = obs[column]
        if isinstance(values, np.ndarray) and values.dtype.kind == "b":
            continue
        try:
            numbers = obs.numbers(column)
        except DataError:
            continue
        said = f"{metric} from obs[{column!r}]"
        if metric == MT and column not in _PERCENT and np.nanmax(numbers, initial=0) <= 1:
            numbers, said = numbers * 100, f"{said}, a fraction of 1 read as percent"
        found[metric] = numbers
        notes.append(said)
    return len(notes) > before
