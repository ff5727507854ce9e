"""Cells with two modalities, drawn from a small model of gene regulation whose truth is known.

The model, top down. A cell has a type, a position on a few continuous programs within its type, and
for every gene a *local* state of the chromatin around it that no other gene shares. Peaks open with
all three. A gene is expressed with the openness of the peaks near it, weighted by distance
(exponential decay) and switched by cell type, plus a part that chromatin does not explain. Donors
and batches shift both. Counts: Poisson for fragments, negative binomial for transcripts, and every
cell has a depth of its own.

So there is something to find at each level: the mean profile is beaten by the cell type, the type
by the continuous programs, those by the window around the gene, and pairs that are shuffled say
nothing. Cells are drawn in fixed blocks, each from its own random stream, so that a million cells
take no more memory than a thousand.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

HG38 = {
    "chr1": 248956422, "chr2": 242193529, "chr3": 198295559, "chr4": 190214555,
    "chr5": 181538259, "chr6": 170805979, "chr7": 159345973, "chr8": 145138636,
    "chr9": 138394717, "chr10": 133797422, "chr11": 135086622, "chr12": 133275309,
    "chr13": 114364328, "chr14": 107043718, "chr15": 101991189, "chr16": 90338345,
    "chr17": 83257441, "chr18": 80373285, "chr19": 58617616, "chr20": 64444167,
    "chr21": 46709983, "chr22": 50818468, "chrX": 156040895, "chrY": 57227415, "chrM": 16569,
}  # fmt: skip
"""Lengths of the primary chromosomes of GRCh38 (UCSC hg38.chrom.sizes)."""

CELL_TYPES = ("astrocyte", "excitatory", "inhibitory", "microglia", "oligodendrocyte")
SHARES = (0.18, 0.32, 0.22, 0.08, 0.20)
AGES = ("infancy", "childhood", "adolescence", "adulthood")
BLOCK = 512  # cells per random stream; part of the recipe, so never change it
PROGRAMS = 3  # continuous programs within a type
REACH = 200_000  # base pairs within which a peak can regulate a gene
DECAY = 40_000.0  # base pairs over which the weight of a link falls by e


class Genes(NamedTuple):
    """Where the genes are (0-based half-open, genome order); all arrays have one entry per gene."""

    ids: NDArray[np.object_]
    names: NDArray[np.object_]
    chrom: NDArray[np.object_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    strand: NDArray[np.object_]
    tss: NDArray[np.int64]


class Peaks(NamedTuple):
    """Where the peaks are: 500 bp each, none overlapping, genome order."""

    ids: NDArray[np.object_]
    chrom: NDArray[np.object_]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


class Links(NamedTuple):
    """The true regulation: peak -> gene, one entry per link; `active` is (links, cell types)."""

    gene: NDArray[np.int64]
    peak: NDArray[np.int64]
    distance: NDArray[np.int64]
    weight: NDArray[np.float64]
    active: NDArray[np.bool_]


class Donors(NamedTuple):
    """One entry per donor."""

    names: NDArray[np.object_]
    batch: NDArray[np.object_]
    sex: NDArray[np.object_]
    age_group: NDArray[np.object_]


class Cells(NamedTuple):
    """One entry per cell: barcode, and indices into the donors and `CELL_TYPES`."""

    names: NDArray[np.object_]
    donor: NDArray[np.int64]
    cell_type: NDArray[np.int64]


class Drawn(NamedTuple):
    """A block of cells: counts as CSR (cells, features), and the noiseless log rate of genes."""

    start: int
    rna: sparse.csr_array
    atac: sparse.csr_array
    expected: NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Everything that is fixed before a cell is drawn. Effects are on the log scale."""

    seed: int
    genes: Genes
    peaks: Peaks
    links: Links
    donors: Donors
    cells: Cells
    gene_base: NDArray[np.float64]  # (genes,)
    peak_base: NDArray[np.float64]  # (peaks,)
    gene_type: NDArray[
        np.float64
    ]  # (types, genes): the part of expression chromatin does not carry
    peak_type: NDArray[np.float64]  # (types, peaks)
    gene_program: NDArray[np.float64]  # (PROGRAMS, genes)
    peak_program: NDArray[np.float64]  # (PROGRAMS, peaks)
    gene_donor: NDArray[np.float64]  # (donors, genes), batch included
    peak_donor: NDArray[np.float64]  # (donors, peaks), batch included
    noise: float = 0.25  # deviation of the log rate that nothing explains
    gain: float = 1.5  # log rate per unit of mean openness
    dispersion: float = 3.0  # size of the negative binomial


def stream(seed: int, *key: int) -> np.random.Generator:
    """Random numbers of their own for whatever the key names."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *key])))


def _genome_order(chrom: NDArray, start: NDArray) -> NDArray[np.int64]:
    rank = {name: i for i, name in enumerate(HG38)}
    return np.lexsort((start, np.array([rank[c] for c in chrom])))


def _place_genes(rng: np.random.Generator, n: int) -> Genes:
    """8 % on X, 1 % mitochondrial, the rest by length; a third stand close behind another gene."""
    autosomes = list(HG38)[:22]
    sizes = np.array([HG38[c] for c in autosomes], dtype=np.float64)
    n_x, n_mt = max(1, round(0.08 * n)), round(0.01 * n)
    chrom = np.array(
        ["chrX"] * n_x + ["chrM"] * n_mt
        + list(rng.choice(autosomes, max(0, n - n_x - n_mt), p=sizes / sizes.sum())),
        dtype=object,
    )[:n]  # fmt: skip
    room = np.array([HG38[c] for c in chrom], dtype=np.int64)
    small = chrom == "chrM"
    length = np.where(small, 900, np.clip(rng.lognormal(10.0, 1.0, n), 1_500, 400_000)).astype(int)
    margin = np.where(small, 0, 1_000_000)
    start = (margin + rng.random(n) * (room - 2 * margin - length)).astype(np.int64)
    order = _genome_order(chrom, start)
    chrom, start, length, room = chrom[order], start[order], length[order], room[order]
    beside = np.flatnonzero((chrom[1:] == chrom[:-1]) & (rng.random(n - 1) < 1 / 3)) + 1
    for i in beside[chrom[beside] != "chrM"]:
        near = start[i - 1] + int(rng.integers(15_000, 120_000))
        start[i] = min(near, start[i])
    order = _genome_order(chrom, start)
    chrom, start, length = chrom[order], start[order], length[order]
    end = start + length
    strand = np.where(rng.random(n) < 0.5, "+", "-").astype(object)
    ids = np.array([f"ENSG99{i:09d}" for i in range(1, n + 1)], dtype=object)
    names = np.array(
        [f"{'MT-' if c == 'chrM' else ''}DEMO{i}" for i, c in enumerate(chrom, 1)], dtype=object
    )
    return Genes(ids, names, chrom, start, end, strand, np.where(strand == "+", start, end - 1))


def _place_peaks(rng: np.random.Generator, n: int, genes: Genes, width: int = 500) -> Peaks:
    """A promoter peak per gene, most others near a gene, one in eight anywhere."""
    nuclear = np.flatnonzero(genes.chrom != "chrM")
    if nuclear.size == 0:
        nuclear = np.arange(len(genes.ids))
    draws = 3 * n + 64
    host = rng.choice(nuclear, draws)
    away = rng.exponential(DECAY, draws) * rng.choice([-1, 1], draws)
    chrom = np.concatenate([genes.chrom[nuclear], genes.chrom[host]])
    centre = np.concatenate([genes.tss[nuclear], genes.tss[host] + away.astype(np.int64)])
    room = np.array([HG38[c] for c in chrom], dtype=np.int64)
    anywhere = (rng.random(len(centre)) < 1 / 8) & (np.arange(len(centre)) >= nuclear.size)
    centre = np.where(anywhere, (rng.random(len(centre)) * room).astype(np.int64), centre)
    slot = np.clip(centre, 0, room - width) // width
    rank = {name: i for i, name in enumerate(HG38)}
    key = np.array([rank[c] for c in chrom], dtype=np.int64) << 32 | slot
    _, first = np.unique(key, return_index=True)
    chosen = np.sort(first)[:n]
    order = chosen[_genome_order(chrom[chosen], slot[chosen])]
    chrom, start = chrom[order], slot[order] * width
    ids = np.array([f"{c}:{s}-{s + width}" for c, s in zip(chrom, start, strict=True)], object)
    return Peaks(ids, chrom, start, start + width)


def _link(rng: np.random.Generator, genes: Genes, peaks: Peaks) -> Links:
    """Every peak within `REACH` of a gene, weighted by distance; one in ten represses."""
    centre = (peaks.start + peaks.end) // 2
    gene, peak = [], []
    for chrom in dict.fromkeys(genes.chrom):
        here = np.flatnonzero(peaks.chrom == chrom)
        for one in np.flatnonzero(genes.chrom == chrom):
            ends = genes.tss[one] + np.array([-REACH, REACH + 1])
            low, high = np.searchsorted(centre[here], ends)
            gene.append(np.full(high - low, one))
            peak.append(here[low:high])
    g, p = np.concatenate(gene).astype(np.int64), np.concatenate(peak).astype(np.int64)
    distance = centre[p] - genes.tss[g]
    weight = np.exp(-np.abs(distance) / DECAY) * rng.lognormal(0.0, 0.4, len(g))
    weight *= np.where(rng.random(len(g)) < 0.1, -1.0, 1.0)
    total = np.bincount(g, np.abs(weight), len(genes.ids))
    weight /= np.maximum(total, 1.0)[g]  # a gene that has only far peaks hears little of them
    kept = np.abs(weight) > 0.02
    active = rng.random((len(g), len(CELL_TYPES))) < 0.8
    return Links(g[kept], p[kept], distance[kept], weight[kept], active[kept])


def _draw_donors(n: int) -> Donors:
    return Donors(
        np.array([f"D{i + 1}" for i in range(n)], dtype=object),
        np.array([f"B{i % 3 + 1}" for i in range(n)], dtype=object),
        np.array([("female", "male")[i // 3 % 2] for i in range(n)], dtype=object),
        np.array([AGES[i % len(AGES)] for i in range(n)], dtype=object),
    )


def barcodes(n: int) -> NDArray[np.object_]:
    """Names of cells as 10x writes them, all different, the same ones for the same places."""
    code = (np.arange(1, n + 1, dtype=np.uint64) * np.uint64(2654435761)) & np.uint64(2**32 - 1)
    digits = (code[:, None] >> np.arange(30, -2, -2, dtype=np.uint64)) & np.uint64(3)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)[digits.astype(np.intp)]
    return np.array([row.tobytes().decode("ascii") + "-1" for row in letters], dtype=object)


def _draw_cells(rng: np.random.Generator, n: int, donors: int) -> Cells:
    """Donors in equal parts, types in shares that differ by donor; barcodes as 10x writes them."""
    donor = np.arange(n) % donors
    share = np.array(SHARES) * rng.gamma(8.0, 1.0, (donors, len(SHARES)))
    edge = np.cumsum(share / share.sum(axis=1, keepdims=True), axis=1)
    cell_type = (rng.random(n)[:, None] > edge[donor]).sum(axis=1).clip(max=len(SHARES) - 1)
    return Cells(barcodes(n), donor.astype(np.int64), cell_type.astype(np.int64))


def plan(cells: int, genes: int, peaks: int, seed: int, *, donors: int = 6) -> World:
    """Fix the genome, the regulation, the donors and who the cells are. Deterministic in `seed`."""
    rng = stream(seed, 0)
    placed = _place_genes(rng, genes)
    open_ = _place_peaks(rng, peaks, placed)
    types, p = len(CELL_TYPES), len(open_.ids)
    special = rng.random((types, p)) < 0.25
    batch = np.arange(donors) % 3
    return World(
        seed=seed,
        genes=placed,
        peaks=open_,
        links=_link(rng, placed, open_),
        donors=_draw_donors(donors),
        cells=_draw_cells(rng, cells, donors),
        gene_base=rng.normal(0.0, 1.0, genes),
        peak_base=rng.normal(-2.0, 0.5, p),
        gene_type=rng.normal(0.0, 0.3, (types, genes)),
        peak_type=np.where(special, rng.normal(0.0, 1.1, (types, p)), 0.0),
        gene_program=rng.normal(0.0, 0.1, (PROGRAMS, genes)),
        peak_program=rng.normal(0.0, 0.35, (PROGRAMS, p)),
        gene_donor=rng.normal(0.0, 0.12, (donors, genes)) + rng.normal(0, 0.15, (3, genes))[batch],
        peak_donor=rng.normal(0.0, 0.10, (donors, p)) + rng.normal(0, 0.10, (3, p))[batch],
    )


def draw(world: World) -> Iterator[Drawn]:
    """The cells of a world, `BLOCK` at a time, counts as float32 CSR of whole numbers."""
    n, shape = len(world.cells.names), (len(world.peaks.ids), len(world.genes.ids))
    links = world.links
    spread = sparse.csr_array((np.abs(links.weight), (links.peak, links.gene)), shape=shape)
    spread = spread.multiply(1.0 / np.maximum(spread.sum(axis=1), 1e-9)[:, None]).tocsr()
    drive = [
        sparse.csr_array((links.weight * links.active[:, t], (links.peak, links.gene)), shape=shape)
        for t in range(len(CELL_TYPES))
    ]
    for start in range(0, n, BLOCK):
        yield _draw_block(world, start, spread, drive)


def _draw_block(
    world: World, start: int, spread: sparse.csr_array, drive: list[sparse.csr_array]
) -> Drawn:
    """All random numbers of a block are drawn for `BLOCK` cells, so a shorter one is a prefix."""
    rng = stream(world.seed, 1, start)
    rows = slice(start, min(start + BLOCK, len(world.cells.names)))
    donor, kind = world.cells.donor[rows], world.cells.cell_type[rows]
    n, genes, peaks = len(donor), len(world.genes.ids), len(world.peaks.ids)
    program = rng.normal(0.0, 1.0, (BLOCK, PROGRAMS))[:n]
    local = rng.normal(0.0, 1.0, (BLOCK, genes))[:n]
    depth = rng.normal(0.0, 0.35, (BLOCK, 2))[:n]
    noise = rng.normal(0.0, world.noise, (BLOCK, genes))[:n]
    openness = (spread @ local.T).T + world.peak_type[kind] + program @ world.peak_program
    rate = world.gene_base + world.gene_type[kind] + program @ world.gene_program
    rate = rate + world.gene_donor[donor]
    for t, weights in enumerate(drive):
        mine = kind == t
        rate[mine] += world.gain * (weights.T @ openness[mine].T).T
    fragments = np.exp(openness + world.peak_base + world.peak_donor[donor] + depth[:, :1])
    mean = np.exp(np.minimum(rate + noise + depth[:, 1:], 6.0))
    atac, rna = np.zeros((n, peaks), np.float32), np.zeros((n, genes), np.float32)
    for i in range(n):  # a stream per cell: how many numbers a cell takes must not move the next
        own = stream(world.seed, 2, start + i)
        atac[i] = own.poisson(np.minimum(fragments[i], 20.0))
        rna[i] = own.poisson(mean[i] * own.gamma(world.dispersion, 1 / world.dispersion, genes))
    return Drawn(start, sparse.csr_array(rna), sparse.csr_array(atac), rate)


def oracle_r(world: World, drawn: list[Drawn]) -> float:
    """Mean over genes of the correlation of log1p-CP10k with the noiseless rate: what knowing all
    of the regulation, and only the draw of the counts not, would score."""
    counts = sparse.vstack([block.rna for block in drawn]).tocsr()
    total = np.maximum(counts.sum(axis=1), 1.0)
    seen = np.log1p(counts.multiply(1e4 / total[:, None]).toarray())
    expected = np.exp(np.concatenate([block.expected for block in drawn]))
    known = np.log1p(1e4 * expected / expected.sum(axis=1, keepdims=True))
    seen, known = seen - seen.mean(axis=0), known - known.mean(axis=0)
    scale = np.sqrt((seen**2).sum(axis=0) * (known**2).sum(axis=0))
    r = np.divide((seen * known).sum(axis=0), scale, out=np.zeros(len(scale)), where=scale > 0)
    return float(r.mean())
