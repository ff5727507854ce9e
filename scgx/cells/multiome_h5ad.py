"""The drawn multiome as one paired h5ad, its truth in `uns["truth"]`.

X holds counts, genes then peaks; obs has donor, batch, cell_type, sex and age_group. The truth is a
table of links (gene, peak, distance, weight, and in which cell types a link is active), how strong
the unexplained noise is, and `oracle_r`, which no honest model passes.
"""

from pathlib import Path

import numpy as np
from scipy import sparse

from scgx.cells import multiome
from scgx.errors import UsageError
from scgx.h5ad import history, writer
from scgx.h5ad.frame import Categorical, Frame, categorical

GENOME = "GRCh38"
JUDGED = 4096  # cells that the oracle is computed on


def write(
    path: Path, *, cells: int, genes: int, peaks: int, seed: int, keep_history: bool = True
) -> None:
    """Draw `cells` cells of `genes` genes and `peaks` peaks and write them; same seed, same bytes.

    Raises `UsageError` where the size cannot carry the model (under 12 cells, 5 genes or 5 peaks).
    """
    check_size(cells, genes, peaks, seed)
    world = multiome.plan(cells, genes, peaks, seed)
    judged: list[multiome.Drawn] = []
    with writer.create(path) as out:
        out.frame("obs", obs_of(world))
        out.frame("var", _var(world))
        n_var = len(world.genes.ids) + len(world.peaks.ids)
        with out.matrix("X", n_var, np.float32) as append:
            for block in multiome.draw(world):
                append(sparse.hstack([block.rna, block.atac], format="csr"))
                if block.start < JUDGED:
                    judged.append(block)
        _truth(out, world, multiome.oracle_r(world, judged))
        out.uns("scgx/genome", GENOME)
        units = {"X": {"rna": "counts", "atac": "counts"}}
        history.sign(out, [], seed=seed, units=units, keep=keep_history)


def check_size(cells: int, genes: int, peaks: int, seed: int) -> None:
    """UsageError where the size cannot carry the model, or the seed is no seed."""
    if cells < 12 or genes < 5 or peaks < 5:
        raise UsageError("the demo needs at least 12 cells, 5 genes and 5 peaks")
    if len(str(seed)) > 18 or seed < 0:
        raise UsageError(f"--seed {seed} must be a whole number from 0 to 10^18")


def obs_of(world: multiome.World) -> Frame:
    """The table of the cells: donor, batch, sex, age_group, cell_type."""
    donors, cells = world.donors, world.cells
    columns = {
        name: categorical(values[cells.donor])
        for name, values in (
            ("donor", donors.names),
            ("batch", donors.batch),
            ("sex", donors.sex),
            ("age_group", donors.age_group),
        )
    }
    kinds = np.array(multiome.CELL_TYPES, dtype=object)
    columns["cell_type"] = categorical(kinds[cells.cell_type])
    return Frame(cells.names, columns)


def _var(world: multiome.World) -> Frame:
    genes, peaks = world.genes, world.peaks
    n, m = len(genes.ids), len(peaks.ids)
    modality = np.repeat(np.array([0, 1], dtype=np.int8), [n, m])
    words = np.array(["Gene Expression", "Peaks"], dtype=object)
    chrom = np.concatenate([genes.chrom, peaks.chrom])
    return Frame(
        np.concatenate([genes.ids, peaks.ids]),
        {
            "gene_name": np.concatenate([genes.names, peaks.ids]),
            "feature_types": Categorical(modality, words),
            "chrom": categorical(chrom, [name for name in multiome.HG38 if name in set(chrom)]),
            "start": np.concatenate([genes.start, peaks.start]),
            "end": np.concatenate([genes.end, peaks.end]),
            "strand": categorical([*genes.strand, *[None] * m], ["+", "-"]),
            "tss": np.concatenate([genes.tss, np.full(m, -1, dtype=np.int64)]),
        },
    )


def _truth(out: writer.Writer, world: multiome.World, oracle_r: float) -> None:
    links = world.links
    out.uns("truth/links/gene", world.genes.ids[links.gene])
    out.uns("truth/links/peak", world.peaks.ids[links.peak])
    out.uns("truth/links/distance", links.distance)
    out.uns("truth/links/weight", links.weight)
    out.uns("truth/links/active", links.active)
    out.uns("truth/cell_types", np.array(multiome.CELL_TYPES, dtype=object))
    out.uns("truth/noise", np.float64(world.noise))
    out.uns("truth/dispersion", np.float64(world.dispersion))
    out.uns("truth/oracle_r", np.float64(oracle_r))
