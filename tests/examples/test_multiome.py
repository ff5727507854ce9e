"""`examples/multiome.sh` runs whole, on a stand-in of the benchmark over loopback."""

import gzip
from pathlib import Path

import numpy as np
from scipy import sparse
from support.processes import shell
from support.web import Web, serving

import scgx
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells
from scgx.h5ad.writer import create

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "multiome.sh"
BATCHES = ["s1d1", "s1d3", "s2d1", "s1d2", "s3d7", "s4d1", "s4d8", "s4d9"]
MODELS = {"MODELS": "ridge", "JOINT": "cca"}


def stand_in(web: Web, folder: Path) -> Path:
    """Drawn cells as the benchmark has them: words of its own, X normalised, counts in a layer.

    Returns a table of datasets that names it.
    """
    drawn, made = folder / "drawn.h5ad", folder / "made.h5ad"
    scgx.fetch("demo", output=str(drawn), cells=800, genes=40, peaks=120, quiet=True)
    with open_cells(drawn) as cells, create(made) as out:
        counts = sparse.csr_array(cells.rows("X", np.arange(cells.n_obs)))
        kinds = cells.var.strings("feature_types")
        words = np.where(kinds == "Peaks", "ATAC", "GEX")
        batch = [BATCHES[i % len(BATCHES)] for i in range(cells.n_obs)]
        obs = Frame(cells.obs_names, {"cell_type": categorical(cells.obs.strings("cell_type"))})
        out.frame("obs", obs.with_column("batch", categorical(batch)))
        out.frame("var", Frame(cells.var_names, {"feature_types": categorical(words)}))
        dense = counts.toarray()
        gene = words == "GEX"
        dense[:, gene] *= 1e4 / dense[:, gene].sum(axis=1, keepdims=True)
        dense[:, ~gene] = dense[:, ~gene] > 0
        with out.matrix("X", cells.n_var, np.float32) as append:
            append(sparse.csr_array(dense))
        with out.matrix("layers/counts", cells.n_var, np.float32) as append:
            append(counts)
    web.url("/multiome.h5ad.gz", web.serve(gzip.compress(made.read_bytes(), 1)))
    table = folder / "datasets.tsv"
    address = "https://ftp.ncbi.nlm.nih.gov/multiome.h5ad.gz"
    table.write_text(
        "name\tkind\trecipe\tformat\turls\tgenome\n"
        f"neurips2021-multiome\tmultiome\tcells\th5ad.gz\t{address}\tGRCh38\n"
    )
    return table


def test_it_runs_on_a_stand_in_of_the_benchmark(tmp_path: Path) -> None:
    with serving() as web:
        env = {
            "SCGX_CATALOG": str(stand_in(web, tmp_path)),
            "SCGX_BASE_URLS": f"https://ftp.ncbi.nlm.nih.gov={web.base}",
            "SCGX_CACHE": str(tmp_path / "cache"), **MODELS,
        }  # fmt: skip
        line = 'export -f scgx; bash "$1" neurips2021-multiome "$2"'
        done = shell(line, [EXAMPLE, tmp_path / "out"], env=env)
    assert done.code == 0, done.err
    said = done.out.decode()
    assert "ridge beats the best baseline" in said or "cca beats the best baseline" in said
    assert "match_probability" in said and "foscttm" in said and "graph_conn" in said
    with open_cells(tmp_path / "out" / "split.h5ad") as cells:
        parts, batch = cells.obs.strings("split"), cells.obs.strings("batch")
    assert set(batch[parts == "test"]) == {"s4d1", "s4d8", "s4d9"}
    assert set(batch[parts == "val"]) == {"s1d2", "s3d7"}
    with open_cells(tmp_path / "out" / "cca-match.h5ad") as cells:
        assert cells.shape == (300, 300)
        assert "cell_type_transferred" in cells.obs
