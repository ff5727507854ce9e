"""Places out of names."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scgx.genome import peaks


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("chr1:1-2", ("chr1", 1, 2)),
        ("chr1-1-2", ("chr1", 1, 2)),
        ("chr1_1_2", ("chr1", 1, 2)),
        ("chr1.1.2", ("chr1", 1, 2)),
        ("1-1-2", ("chr1", 1, 2)),
        ("X:0-500", ("chrX", 0, 500)),
        ("GL000008.2:1-2", ("GL000008.2", 1, 2)),
        ("chr1_KI270706v1_random-1-2", ("chr1_KI270706v1_random", 1, 2)),
        ("chr1_KI270706v1_random:1-2", ("chr1_KI270706v1_random", 1, 2)),
        ("chr1:1,000-2,000", ("chr1", 1000, 2000)),
        ("NC_000023.11:5-9", ("chrX", 5, 9)),
    ],
)
def test_a_peak_name_is_a_zero_based_place(name: str, place: tuple[str, int, int]) -> None:
    found = peaks.parse([name])
    assert (found.chrom[0], found.start[0], found.end[0]) == place


@pytest.mark.parametrize(
    "name", ["TP53", "MIR-1-2", "chr1:5-2", "chr1:5-5", "chr1", "", None, "HLA-A"]
)
def test_other_names_have_no_place(name: str | None) -> None:
    found = peaks.parse([name])
    assert (found.chrom[0], found.start[0], found.end[0]) == (None, -1, -1)


@given(
    st.sampled_from(["chr1", "X", "chrUn_GL000195v1", "KI270728.1"]),
    st.integers(0, 10**9),
    st.integers(1, 10**6),
    st.sampled_from([":-", "--", "__"]),
)
def test_what_is_written_is_read(chrom: str, start: int, length: int, marks: str) -> None:
    found = peaks.parse([f"{chrom}{marks[0]}{start}{marks[1]}{start + length}"])
    assert (found.start[0], found.end[0]) == (start, start + length)


def test_real_peak_names_have_the_places_of_their_columns(real_data: Path) -> None:
    import h5py

    with h5py.File(real_data / "multiome-snare-mouse-cortex" / "snare_atac_counts.h5ad") as file:
        var = file["var"]
        names = var["_index"].asstr()[:]
        start, end = var["start"][:], var["end"][:]
        chrom = var["chrom/categories"].asstr()[:][var["chrom/codes"][:]]
    found = peaks.parse(names)
    assert found.known.all()
    assert np.array_equal(found.start, start)
    assert np.array_equal(found.end, end)
    assert np.array_equal(found.chrom, chrom)
