"""One set of peaks for several files."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scgx.cells.peaks_union import onto, union
from scgx.genome.peaks import Places

PEAKS = st.lists(
    st.tuples(st.sampled_from(["chr1", "chr2", "chrX"]), st.integers(0, 60), st.integers(1, 9)),
    max_size=12,
)


def places(rows):
    chrom = np.array([row[0] for row in rows], dtype=object)
    start, size = (np.array([row[i] for row in rows], dtype=np.int64) for i in (1, 2))
    return Places(chrom, start, start + size)


def bases(chrom, start, end):
    return {(chrom, base) for base in range(start, end)}


@given(st.lists(PEAKS, min_size=1, max_size=3))
def test_the_union_covers_the_same_bases_and_nothing_overlaps(files):
    whole = [places(rows) for rows in files]
    made = union(whole)
    merged = [bases(*peak) for peak in zip(made.chrom, made.start, made.end, strict=True)]
    covered = set().union(*merged)
    assert sum(map(len, merged)) == len(covered)
    assert covered == {b for own in whole for row in zip(*own, strict=True) for b in bases(*row)}
    for own, of in zip(whole, made.of, strict=True):
        for row, peak in zip(zip(*own, strict=True), of, strict=True):
            assert bases(*row) <= merged[peak]
    assert set(np.concatenate(made.of).tolist()) == set(range(len(made.start)))


@given(PEAKS, PEAKS)
def test_the_reference_peak_is_one_with_the_most_bases_in_common(reference, rows):
    made = onto(places(reference), [places(rows)])
    kept = [bases(*peak) for peak in zip(made.chrom, made.start, made.end, strict=True)]
    for row, of in zip(zip(*places(rows), strict=True), made.of[0], strict=True):
        shared = [len(bases(*row) & peak) for peak in kept]
        assert (shared[of] if of >= 0 else 0) == max(shared, default=0)
