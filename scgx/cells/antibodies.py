"""Counts of surface proteins for the cells of a drawn multiome, as CITE-seq measures them.

An antibody sees the protein of one gene. How much of it a cell carries follows what the gene does
in that cell before noise (`Drawn.expected`) and a part of its own in each cell type; counts are
negative binomial around it, over a background that grows with how sticky the cell is. Isotype
controls bind nothing and show that background alone. Genes and cells are those of the multiome of the
same seed, to the bit: the numbers here come from random streams that nothing else uses.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scgx.cells import multiome, normalize
from scgx.cells.multiome import BLOCK, CELL_TYPES, Drawn, World, stream

ANTIBODIES = 30  # controls included
CONTROLS = ("Mouse-IgG1", "Mouse-IgG2a", "Mouse-IgG2b", "Rat-IgG2b")
GAIN = 1.2  # log counts per unit of the log rate of the gene
STICKY = 0.4  # deviation of the log background between cells
DEPTH = 0.25  # deviation of the log depth between cells
DISPERSION = 8.0  # size of the negative binomial
_PANEL, _CELLS, _COUNTS = 3, 4, 5  # keys of streams; the multiome has 0 to 2


@dataclass(frozen=True)
class Panel:
    """The antibodies, controls last; all arrays have one entry (or column) per antibody, log scale."""

    names: NDArray[np.object_]
    gene: NDArray[np.int64]  # whose protein; -1 for a control
    level: NDArray[np.float64]  # of a protein that is there
    background: NDArray[np.float64]
    of_type: NDArray[np.float64]  # (types, antibodies)
    of_donor: NDArray[np.float64]  # (donors, antibodies)

    @property
    def control(self) -> NDArray[np.bool_]:
        """Which are isotype controls."""
        return self.gene < 0


@dataclass(frozen=True)
class Stained:
    """A block of cells: counts (cells, antibodies) as CSR, and their means without noise."""

    cells: Drawn
    adt: sparse.csr_array
    expected: NDArray[np.float64]


def panel(world: World, n: int = ANTIBODIES) -> Panel:
    """Antibodies against `n` less four genes of the nucleus (all, where there are fewer)."""
    rng = stream(world.seed, _PANEL)
    nuclear = np.flatnonzero(world.genes.chrom != "chrM")
    gene = np.sort(rng.permutation(nuclear)[: n - len(CONTROLS)])
    names = [f"ADT-{name}" for name in world.genes.names[gene]]
    width, donors = len(gene) + len(CONTROLS), len(world.donors.names)
    there = rng.random((len(CELL_TYPES), width)) < 0.5
    return Panel(
        names=np.array([*names, *CONTROLS], dtype=object),
        gene=np.concatenate([gene, np.full(len(CONTROLS), -1)]).astype(np.int64),
        level=rng.normal(3.2, 0.6, width),
        background=rng.normal(1.2, 0.4, width),
        of_type=np.where(
            there, rng.normal(0.3, 0.4, there.shape), rng.normal(-2.0, 0.5, there.shape)
        ),
        of_donor=rng.normal(0.0, 0.12, (donors, width)),
    )


def draw(world: World, antibodies: Panel) -> Iterator[Stained]:
    """The cells of the multiome with their antibodies, `BLOCK` at a time."""
    for cells in multiome.draw(world):
        yield _stain(world, antibodies, cells)


def _stain(world: World, antibodies: Panel, cells: Drawn) -> Stained:
    """Random numbers of a block are drawn for `BLOCK` cells, so a shorter one is a prefix."""
    rng = stream(world.seed, _CELLS, cells.start)
    n, width = cells.rna.shape[0], len(antibodies.names)
    rows = slice(cells.start, cells.start + n)
    donor, kind = world.cells.donor[rows], world.cells.cell_type[rows]
    sticky = rng.normal(0.0, STICKY, (BLOCK, 1))[:n]
    depth = rng.normal(0.0, DEPTH, (BLOCK, 1))[:n] + antibodies.of_donor[donor]
    gene = np.maximum(antibodies.gene, 0)
    state = cells.expected[:, gene] - world.gene_base[gene]
    bound = np.exp(np.minimum(antibodies.level + antibodies.of_type[kind] + GAIN * state, 7.0))
    bound[:, antibodies.control] = 0.0
    mean = np.exp(depth) * (np.exp(antibodies.background + sticky) + bound)
    counts = np.zeros((n, width), np.float32)
    for i in range(n):  # a stream per cell: how many numbers a cell takes must not move the next
        own = stream(world.seed, _COUNTS, cells.start + i)
        counts[i] = own.poisson(mean[i] * own.gamma(DISPERSION, 1 / DISPERSION, width))
    return Stained(cells, sparse.csr_array(counts), mean)


def oracle_r(antibodies: Panel, drawn: list[Stained]) -> float:
    """Mean over antibodies but controls of the correlation of CLR with that of the noiseless means."""
    seen = normalize.clr(np.concatenate([block.adt.toarray() for block in drawn]))
    known = normalize.clr(np.concatenate([block.expected for block in drawn]))
    scored = np.flatnonzero(~antibodies.control)
    one, other = (np.asarray(each, np.float64)[:, scored] for each in (seen, known))
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    scale = np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))
    r = np.divide((one * other).sum(axis=0), scale, out=np.zeros(len(scale)), where=scale > 0)
    return float(r.mean())
