"""Peaks and genes: who is near whom, who goes with whom, and what a model makes of a peak."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import sparse

from scgx.h5ad.features import Features
from scgx.h5ad.frame import Frame
from scgx.learn import linking
from scgx.learn.block import CellBlock
from scgx.learn.linking import Knobs, discovery
from scgx.learn.nearby import Nearby, nearby


def features(modality: str, places: list[tuple[str | None, int, int, str | None]]) -> Features:
    chrom, start, end, strand = (np.array(each, dtype=object) for each in zip(*places, strict=True))
    start, end = start.astype(np.int64), end.astype(np.int64)
    tss = np.where(strand == "-", end - 1, start) if modality != "atac" else np.full(len(end), -1)
    names = np.array([f"{modality}{i}" for i in range(len(places))], dtype=object)
    return Features(names, modality, chrom, start, end, strand, tss.astype(np.int64))


GENES = features("rna", [
    ("chr1", 10_000, 20_000, "+"), ("chr1", 18_000, 30_000, "-"), ("chr2", 10_000, 20_000, "-"),
    (None, -1, -1, None),
])  # fmt: skip
PEAKS = features("atac", [
    ("chr1", 8_100, 8_200, None), ("chr1", 7_000, 7_100, None), ("chr1", 19_000, 19_100, None),
    ("chr1", 31_500, 31_600, None), ("chr1", 40_000, 40_100, None), ("chr2", 20_500, 20_900, None),
    ("chr3", 10_000, 10_100, None),
])  # fmt: skip


def found() -> dict[tuple[int, int], tuple[int, int, str, bool]]:
    pairs = nearby(PEAKS, GENES, reach=5_000)
    return {
        (int(g), int(p)): (int(s), int(b), str(w), bool(a))
        for g, p, s, b, w, a in zip(
            pairs.gene, pairs.peak, pairs.from_start, pairs.from_body, pairs.place, pairs.assigned,
            strict=True,
        )
    }  # fmt: skip


def test_distances_are_signed_by_strand_and_zero_in_the_gene() -> None:
    pairs = found()
    assert pairs[0, 0] == (-1_850, 0, "upstream", True)
    assert pairs[0, 1] == (-2_950, 901, "distal", True)
    assert pairs[1, 3] == (-1_551, 0, "upstream", True)
    assert pairs[2, 5][:3] == (-701, 0, "promoter")
    assert (1, 4) not in pairs  # 8,001 bases beyond
    assert not any(peak == 6 or gene == 3 for gene, peak in pairs)


def test_a_peak_in_two_genes_is_of_the_one_that_comes_first() -> None:
    pairs = found()
    assert pairs[0, 2][1] == pairs[1, 2][1] == 0
    assert pairs[0, 2][3] and not pairs[1, 2][3]
    assigned = [peak for (_gene, peak), about in pairs.items() if about[3]]
    assert len(assigned) == len(set(assigned))


def test_the_published_links_are_reproduced_by_position(real_data) -> None:
    """Regions of SNARE-seq belong to the gene whose body or promoter they overlap."""
    from sklearn.metrics import average_precision_score

    from scgx.genome import annotation
    from scgx.genome.peaks import parse

    folder = real_data / "multiome-snare-mouse-cortex"
    names = (folder / "genes.txt").read_text().split()
    regions = (folder / "regions.txt").read_text().split()
    with np.load(folder / "GxR.npz") as stored:
        truth = sparse.csr_array(
            (stored["data"], stored["indices"], stored["indptr"]), shape=stored["shape"]
        )
    table = annotation.read(
        real_data / "genes-coordinates" / "gencode.vM25.protein_coding.genes.mm10.bed"
    )
    row = {name: i for i, name in enumerate(table.gene_name)}
    known = np.array([name in row for name in names])
    at = np.array([row[name] for name in names if name in row])
    genes = Features(
        table.gene_name[at], "rna", table.chrom[at], table.start[at], table.end[at],
        table.strand[at], table.tss[at],
    )  # fmt: skip
    where = parse(np.array(regions, dtype=object))
    nothing = np.full(len(regions), None, dtype=object)
    peaks = Features(
        np.array(regions, dtype=object), "atac", where.chrom, where.start, where.end, nothing,
        np.full(len(regions), -1),
    )  # fmt: skip
    wanted = truth[np.flatnonzero(known)].toarray() != 0
    peaks_with_gene = np.flatnonzero(wanted.any(axis=0))
    pairs = nearby(peaks, genes, reach=250_000)
    score = np.full(wanted.shape, -1e12, np.float32)
    score[pairs.gene, pairs.peak] = np.where(pairs.assigned, 1e9, 0) - pairs.from_body
    found = average_precision_score(
        wanted[:, peaks_with_gene].ravel(), score[:, peaks_with_gene].ravel()
    )
    assert known.mean() > 0.93
    assert found == pytest.approx(1, abs=1e-9)


def test_discovery_is_the_share_of_null_over_that_of_found() -> None:
    null = np.linspace(-1, 1, 2_000)
    none = discovery(np.linspace(-1, 1, 200), null)
    assert np.median(none) > 0.9 and none.min() > 0.1
    some = discovery(np.concatenate([np.linspace(-1, 1, 200), np.full(20, 5.0)]), null)
    assert (some[-20:] < 0.01).all() and (some[:150] > 0.5).all()
    order = np.argsort(-np.concatenate([np.linspace(-1, 1, 200), np.full(20, 5.0)]))
    assert (np.diff(some[order]) >= 0).all()


@dataclass(frozen=True)
class Cells:
    """What linking asks of paired cells."""

    inputs: Features
    outputs: Features
    values: sparse.csr_array
    targets: sparse.csr_array
    train: np.ndarray

    def x(self, rows: np.ndarray) -> sparse.csr_array:
        return self.values[rows]

    def y(self, rows: np.ndarray) -> sparse.csr_array:
        return self.targets[rows]

    def block(self, rows: np.ndarray) -> CellBlock:
        names = np.array([f"cell{row}" for row in rows], dtype=object)
        present = np.ones(self.values.shape[1], bool)
        return CellBlock(self.x(rows), Frame(names), np.ones(len(rows)), present)


def linked_cells() -> tuple[Cells, Nearby]:
    """Genes ruled by one of two programs; a peak at each gene follows the gene's own."""
    rng = np.random.default_rng(0)
    n, width = 800, 60
    program = rng.standard_normal((n, 3))
    rules = rng.integers(0, 3, width)
    level = 1.5 * program[:, rules]
    peaks = (rng.random((n, width)) < 0.4 / (1 + np.exp(-level))).astype(np.float32)
    genes = np.log1p(rng.poisson(np.exp(0.4 * level))).astype(np.float32)
    chrom = [f"chr{1 + i % 4}" for i in range(width)]
    place = [100_000 * (1 + i) for i in range(width)]
    inputs = features("atac", [(c, p, p + 100, None) for c, p in zip(chrom, place, strict=True)])
    outputs = features("rna", [(c, p, p + 900, "+") for c, p in zip(chrom, place, strict=True)])
    values = sparse.csr_array(peaks), sparse.csr_array(genes)
    data = Cells(inputs, outputs, *values, np.arange(n))
    return data, nearby(inputs, outputs, reach=10_000)


def test_pooled_cells_tell_what_single_ones_hide() -> None:
    data, pairs = linked_cells()
    assert len(pairs) == 60
    single = linking.correlate(data, data.train, pairs, Knobs(pool=1, locus=0)).peak.r
    pooled = linking.correlate(data, data.train, pairs, Knobs(pool=30, locus=0)).peak.r
    assert pooled.mean() > 2 * single.mean() > 0.1
    expected = np.corrcoef(data.values[:, [pairs.peak[0]]].toarray().ravel(),
                           data.targets[:, [pairs.gene[0]]].toarray().ravel())[0, 1]  # fmt: skip
    assert single[0] == pytest.approx(expected, abs=1e-5)


def test_permuted_pairs_go_no_further_than_chance() -> None:
    data, pairs = linked_cells()
    real = linking.correlate(data, data.train, pairs, Knobs(pool=30, locus=0)).peak
    order = np.random.default_rng(1).permutation(60)
    nothing = np.zeros(60, np.int64)
    others = Nearby(pairs.gene, pairs.peak[order], nothing, nothing, pairs.place, nothing > 0)
    null = linking.correlate(data, data.train, others, Knobs(pool=30, locus=0)).peak
    assert real.z.mean() > null.z.mean() + 0.5
    assert real.q.mean() < null.q.mean()


def test_a_model_is_asked_what_an_opened_peak_changes() -> None:
    from scgx.learn.attribution import attribute

    slope = np.random.default_rng(3).standard_normal((60, 60))

    class Linear:
        def predict(self, block) -> np.ndarray:
            return (block.x @ slope).astype(np.float32)

    data, pairs = linked_cells()
    weight = attribute(Linear(), data, data.train, (pairs.gene, pairs.peak), 0)
    np.testing.assert_allclose(weight, slope[pairs.peak, pairs.gene], rtol=1e-3, atol=1e-4)
