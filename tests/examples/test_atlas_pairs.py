"""`examples/atlas-pairs.sh` runs whole, on a stand-in in the layout of a slice of the Census."""

from pathlib import Path

import numpy as np
from scipy import sparse
from support.processes import shell

from scgx.cells import network
from scgx.h5ad import writer
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.measured import Measured, write_measured
from scgx.h5ad.reader import open_cells

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "atlas-pairs.sh"


def stand_in(path: Path) -> Path:
    """Naive B cells of three donors in two datasets, one of which did not measure ten genes."""
    plan = network.Plan(
        cells=1500,
        genes=50,
        perturbations=5,
        doubles=0,
        cell_types=1,
        donors=4,
        controls=0.9,
        seed=6,
    )
    world = network.plan_world(plan)
    keep = np.flatnonzero(world.cells.condition == 0)
    counts = sparse.vstack([block.counts for block in network.draw(world)]).toarray()[keep]
    donor = world.cells.donor[keep]
    mask = np.ones((50, 2), dtype=bool)
    mask[40:, 1] = False
    counts *= mask[:, donor % 2].T
    with writer.create(path) as out:
        with out.matrix("X", 50, np.float32) as append:
            append(sparse.csr_array(counts))
        columns = {
            "cell_type": ["naive B cell"] * len(keep),
            "donor_id": [f"D{code}" for code in donor],
            "dataset_id": [f"ds{code % 2}" for code in donor],
        }
        obs = {name: categorical(words) for name, words in columns.items()}
        out.frame("obs", Frame(world.cells.names[keep], dict(obs)))
        var = {"feature_name": world.genes.names, "feature_type": ["protein_coding"] * 50}
        var["feature_type"] = np.array(var["feature_type"], dtype=object)
        out.frame("var", Frame(world.genes.ids, var))
        codes = (donor % 2).astype(np.int64)
        write_measured(out, Measured(mask, np.array(["ds0", "ds1"]), codes, "dataset_id"))
    return path


def test_an_atlas_becomes_pairs_and_the_score_says_what_they_are(tmp_path: Path) -> None:
    env = {
        "ATLAS": str(stand_in(tmp_path / "atlas.h5ad")), "MODELS": "linear perturbed-mean",
        "GENES": "12",
    }  # fmt: skip
    done = shell('export -f scgx; bash "$1" "$2"', [EXAMPLE, tmp_path / "out"], env=env)
    assert done.code == 0, done.err
    words = "cells paired within cell_type, donor_id, dataset_id: correlation, not cause"
    assert f"scgx score: {words}" in done.err
    said = (tmp_path / "out" / "scores.txt").read_text()
    assert "no-change" in said and "replicate" in said
    assert "\nlinear" in said
    assert (tmp_path / "out" / "scores.tsv").exists()
    with open_cells(tmp_path / "out" / "pairs.h5ad") as cells:
        assert cells.n_var == 12
        names = cells.obs.strings("perturbation")
        assert any(name.endswith("=-1") for name in names)
        assert all(name.startswith("SIM") or name == "control" for name in names)
