"""The drawn CITE-seq cells: the multiome's own, with antibodies that follow what genes do."""

import numpy as np
import pytest
from scipy import sparse

from scgx.cells import antibodies, cite_h5ad, multiome, multiome_h5ad
from scgx.errors import UsageError
from scgx.h5ad.features import columns_of
from scgx.h5ad.isotypes import isotype_controls
from scgx.h5ad.reader import open_cells

SIZES = {"cells": 600, "genes": 60, "peaks": 200, "seed": 3}


@pytest.fixture(scope="module")
def world() -> multiome.World:
    return multiome.plan(600, 60, 200, 3)


@pytest.fixture(scope="module")
def stained(world) -> list[antibodies.Stained]:
    return list(antibodies.draw(world, antibodies.panel(world)))


def test_counts_are_whole_and_follow_the_genes(world, stained):
    panel = antibodies.panel(world)
    counts = sparse.vstack([block.adt for block in stained]).toarray()
    assert (counts == np.rint(counts)).all()
    state = np.concatenate([block.cells.expected for block in stained])
    kind = world.cells.cell_type
    r = [
        np.corrcoef(np.log1p(counts[kind == 1, i]), state[kind == 1, panel.gene[i]])[0, 1]
        for i in np.flatnonzero(~panel.control)
    ]
    assert np.mean(r) > 0.25  # within a type


def test_controls_show_the_background_alone(world, stained):
    panel = antibodies.panel(world)
    counts = sparse.vstack([block.adt for block in stained]).toarray()
    assert panel.control.sum() == 4
    assert counts[:, panel.control].mean(axis=0).max() < np.median(counts.mean(axis=0))
    sticky = np.corrcoef(np.log1p(counts[:, panel.control]), rowvar=False)
    assert sticky[np.triu_indices(4, 1)].min() > 0.1
    assert antibodies.oracle_r(panel, stained) > 0.8


def test_cells_and_genes_are_those_of_the_multiome(tmp_path):
    multiome_h5ad.write(tmp_path / "multiome.h5ad", **SIZES)
    cite_h5ad.write(tmp_path / "cite.h5ad", **SIZES)
    rows = np.arange(600)
    with open_cells(tmp_path / "multiome.h5ad") as one, open_cells(tmp_path / "cite.h5ad") as other:
        assert (one.obs_names == other.obs_names).all()
        genes = [cells.rows("X", rows, columns_of(cells, "rna")) for cells in (one, other)]
        assert (genes[0] != genes[1]).nnz == 0
        assert other.n_var == 60 + 30
        assert isotype_controls(other.var).sum() == 4
        assert other.var.strings("feature_types").tolist()[-1] == "Antibody Capture"


def test_same_seed_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        cite_h5ad.write(tmp_path / name, cells=40, genes=12, peaks=30, seed=seed)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_a_demo_of_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at least 12 cells"):
        cite_h5ad.write(tmp_path / "a", cells=2, genes=12, peaks=30, seed=0)
