"""Windows around genes: order, sign, strand, boundaries."""

import numpy as np
import pytest
from scipy import sparse

from scgx.h5ad.features import Features
from scgx.learn.windows import basis, edges, gather, genome_order, landmarks, near


def features(modality, rows):
    name, chrom, start, end, strand, tss = (list(column) for column in zip(*rows, strict=True))
    objects = [np.array(c, dtype=object) for c in (name, chrom, strand)]
    numbers = [np.array(c, dtype=np.int64) for c in (start, end, tss)]
    return Features(
        objects[0], modality, objects[1], numbers[0], numbers[1], objects[2], numbers[2]
    )


PEAKS = features(
    "atac",
    [
        ("c", "chr1", 5000, 5200, None, -1),
        ("a", "chr1", 900, 1100, None, -1),
        ("d", "chr2", 1000, 1200, None, -1),
        ("b", "chr1", 1900, 2100, None, -1),
        ("lost", None, -1, -1, None, -1),
    ],
)
GENES = features(
    "rna",
    [
        ("minus", "chr1", 100, 2001, "-", 2000),
        ("plus", "chr1", 1000, 9000, "+", 1000),
        ("nowhere", None, -1, -1, None, -1),
        ("other", "chr3", 1000, 2000, "+", 1000),
    ],
)


def pairs(windows):
    return [
        (str(GENES.names[g]), str(PEAKS.names[f]), int(d))
        for g, f, d in zip(windows.gene, windows.feature, windows.distance, strict=True)
    ]


def test_distances_follow_the_strand_and_are_zero_where_a_peak_covers_the_start():
    assert pairs(near(PEAKS, GENES, reach=10_000)) == [
        ("minus", "a", 1000),
        ("minus", "b", 0),
        ("minus", "c", -3100),
        ("plus", "a", 0),
        ("plus", "b", 1000),
        ("plus", "c", 4100),
    ]


def test_a_window_ends_at_its_reach():
    assert pairs(near(PEAKS, GENES, reach=1000)) == [
        ("minus", "a", 1000),
        ("minus", "b", 0),
        ("plus", "a", 0),
        ("plus", "b", 1000),
    ]


def test_a_window_never_crosses_a_chromosome():
    found = near(PEAKS, GENES, reach=10**9)
    assert (PEAKS.chrom[found.feature] == GENES.chrom[found.gene]).all()
    assert not np.isin(found.gene, [2, 3]).any()


def test_the_order_of_columns_does_not_matter():
    shuffle = np.array([3, 4, 0, 2, 1])
    moved = near(PEAKS.take(shuffle), GENES, reach=10_000)
    here = near(PEAKS, GENES, reach=10_000)
    assert (shuffle[moved.feature] == here.feature).all()
    assert (moved.distance == here.distance).all()


def test_genome_order_leaves_out_what_has_no_place():
    assert PEAKS.names[genome_order(PEAKS)].tolist() == ["a", "b", "c", "d"]


def test_a_gene_without_tss_starts_at_the_end_that_its_strand_names():
    genes = features("rna", [("p", "chr1", 10, 20, "+", -1), ("m", "chr1", 10, 20, "-", -1)])
    assert landmarks(genes).tolist() == [10, 19]


def test_bins_are_symmetric_and_reach_as_far_as_asked():
    borders = edges(100_000, 6)
    assert len(borders) == 12
    assert borders == pytest.approx(-borders[::-1])
    assert borders[-1] == 100_000


def test_the_product_with_the_basis_counts_what_is_open_per_gene_and_bin():
    borders = edges(10_000, 3)
    bins = len(borders) - 1
    windows = near(PEAKS, GENES, reach=10_000)
    x = np.array([[1, 1, 1, 1, 1], [0, 1, 0, 0, 0]], np.float32)
    counted = (x @ basis(windows, borders, (5, 4))).reshape(2, 4, bins)
    assert counted.sum(2).tolist() == [[3, 3, 0, 0], [1, 1, 0, 0]]
    middle = np.searchsorted(borders, 0, side="right") - 1
    assert counted[1, 1, middle] == 1


def test_no_pair_at_all_is_an_empty_window():
    found = near(PEAKS.take(np.array([4])), GENES, reach=1000)
    assert len(found.gene) == len(found.feature) == len(found.distance) == 0
    assert basis(found, edges(1000, 2), (1, 4)).nnz == 0


def test_gathered_windows_are_the_ones_in_which_something_is_open():
    borders = edges(10_000, 3)
    bins = len(borders) - 1
    what = basis(near(PEAKS, GENES, reach=10_000), borders, (5, 4))
    x = sparse.csr_array(np.array([[1, 1, 0, 1, 0], [0, 0, 1, 0, 1]], np.float32))
    found = gather(x, what, bins)
    dense = np.log1p((x @ what).toarray().reshape(2, 4, bins))
    assert found.cell.tolist() == [0, 0] and found.gene.tolist() == [0, 1]
    assert (found.values == dense[found.cell, found.gene]).all()
    assert dense.sum() == pytest.approx(found.values.sum())
