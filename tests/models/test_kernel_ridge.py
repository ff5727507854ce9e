"""Kernel ridge in two stages, on real cells; what every such model has to do: tests/conformance."""

import numpy as np
from scipy import sparse

from scgx.h5ad.reader import open_cells
from scgx.learn.block import CellBlock
from scgx.learn.selection import correlation
from scgx.models.kernel_ridge import Config, Model
from scgx.progress import Report


def test_marrow_cells_of_another_batch_are_predicted_as_published(paired, real_data):
    folder = real_data / "multiome-bmmc-neurips"
    with (
        open_cells(folder / "set1.rna.h5ad") as rna,
        open_cells(folder / "set1.atac.h5ad") as atac,
    ):
        rows = np.arange(rna.n_obs)
        peaks, genes = sparse.csr_array(atac.rows("X", rows)), sparse.csr_array(rna.rows("X", rows))
        batch = rna.obs.strings("batch")
    peaks.data[:] = 1
    data = paired().but(
        values=peaks.astype(np.float32),
        targets=genes.astype(np.float32),
        train=rows[batch == "s1d1"],
        val=rows[:0],
        groups=batch,
    )
    truth = data.y(rows[batch == "s1d2"]).toarray()
    model = Model.fit(data, Config(), seed=0, report=Report())
    x = data.x(rows[batch == "s1d2"])
    present = np.ones(x.shape[1], bool)
    guess = model.predict(CellBlock(x, data.obs, np.ones(x.shape[0]), present))
    assert correlation(truth, guess).mean() > 0.085
