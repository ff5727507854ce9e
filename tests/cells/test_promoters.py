"""Peaks gather at the starts of genes of their own assembly and of no other."""

from pathlib import Path

import numpy as np
import pytest

from scgx.cells.coordinates import Coordinates
from scgx.cells.promoters import Gathering, gathering
from scgx.genome import annotation, peaks
from scgx.h5ad.reader import open_cells


@pytest.mark.parametrize(
    ("file", "doubtful"),
    [
        ("gencode.vM25.protein_coding.genes.mm10.bed", False),
        ("gene_coordinates_mus_musculus.csv.gz", True),
    ],
)
def test_real_mm10_peaks_fit_mm10_genes_alone(real_data: Path, file: str, doubtful: bool) -> None:
    with open_cells(real_data / "multiome-snare-mouse-cortex" / "snare_atac_counts.h5ad") as cells:
        found = peaks.parse(cells.var_names)
    nothing = np.array([None] * len(found.chrom), dtype=object)
    places = Coordinates(found.chrom, found.start, found.end, nothing)
    result = gathering(places, annotation.read(real_data / "genes-coordinates" / file))
    assert result.at_starts > 1000
    assert result.doubtful is doubtful


def test_too_few_peaks_prove_nothing() -> None:
    assert not Gathering(3, 3.0).doubtful
