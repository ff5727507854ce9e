"""Overlaps of intervals equal those of a double loop."""

import numpy as np

from scgx.genome.overlap import Intervals, overlaps


def intervals(rng: np.random.Generator, n: int) -> Intervals:
    chrom = rng.choice(np.array(["chr1", "chr2", "chrX", None], dtype=object), n)
    start = np.where(rng.random(n) < 0.1, -1, rng.integers(0, 2000, n))
    return Intervals(chrom, start, np.where(start < 0, -1, start + rng.integers(1, 200, n)))


def test_pairs_equal_those_of_a_double_loop() -> None:
    rng = np.random.default_rng(1)
    a, b = intervals(rng, 150), intervals(rng, 200)
    for window in (0, 75):
        found = overlaps(a, b, window=window)
        expected = [
            (i, j)
            for i in range(150)
            for j in range(200)
            if a.chrom[i] is not None
            and a.chrom[i] == b.chrom[j]
            and min(a.start[i], b.start[j]) >= 0
            and b.start[j] < a.end[i] + window
            and b.end[j] > max(a.start[i] - window, 0)
        ]
        assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected


def test_nothing_placed_overlaps_nothing() -> None:
    none = Intervals(np.array([None], dtype=object), np.array([-1]), np.array([-1]))
    one = Intervals(np.array(["chr1"], dtype=object), np.array([5]), np.array([9]))
    assert len(overlaps(none, one).left) == 0
    assert len(overlaps(one, Intervals(one.chrom, np.array([9]), np.array([12]))).left) == 0
