"""`examples/synthetic.sh` runs whole, on a stand-in in the layout of E-ANND-5."""

import tempfile
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse
from support import files
from support.processes import shell
from support.web import serving

from scgx.h5ad.reader import open_cells

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "synthetic.sh"
PLACE = "/pub/databases/microarray/data/atlas/sc_experiments/E-ANND-5/E-ANND-5.project.h5ad"
TYPES = ["MAST_CELL", "NK", "CD4+T", "DOUBLET_IMMUNE", "LOW_Q_INCORRECT"]
N, GENES = 360, 60


def stand_in() -> bytes:
    """Types that differ, doublets as words, normalised X and counts in raw."""
    draw = np.random.default_rng(0)
    kind = draw.choice(len(TYPES), N, p=[0.3, 0.3, 0.3, 0.05, 0.05])
    level = draw.gamma(1.0, 2.0, (len(TYPES), GENES))
    counts = draw.poisson(level[kind] * draw.gamma(8, 1 / 8, N)[:, None]).astype(np.float32)
    normal = np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)
    genes = [f"ENSG{i:011d}" for i in range(GENES)]
    with tempfile.TemporaryDirectory() as folder:
        path = files.cells(Path(folder) / "a.h5ad", sparse.csr_matrix(normal), var=genes)
        with h5py.File(path, "r+") as file:
            table = file["obs"]
            files.text(table, "celltype_annotation", [TYPES[k] for k in kind])
            files.text(
                table, "predicted_doublets", ["True" if i % 40 == 7 else "False" for i in range(N)]
            )
            table["n_genes"] = (counts > 0).sum(axis=1)
            table["mito"] = draw.uniform(0.01, 0.05, N)
            more = ["celltype_annotation", "predicted_doublets", "n_genes", "mito"]
            table.attrs["column-order"] = np.array(
                [*table.attrs["column-order"], *more], dtype=files.TEXT
            )
            raw = file.create_group("raw")
            files.mark(raw, "raw", "0.1.0")
            files.matrix(raw, "X", sparse.csr_matrix(counts))
            file.copy(file["var"], raw, name="var")
        return path.read_bytes()


def test_it_goes_from_the_atlas_to_three_rows(tmp_path: Path) -> None:
    (tmp_path / "map.tsv").write_text("MAST_CELL\tMast\nNK\tLymphoid\nCD4+T\tLymphoid\n")
    with serving() as web:
        web.url(PLACE, web.serve(stand_in()))
        env = {
            "SCGX_BASE_URLS": f"https://ftp.ebi.ac.uk={web.base}",
            "SCGX_CACHE": str(tmp_path / "cache"), "MODEL": "nb", "MAP": str(tmp_path / "map.tsv"),
            "GENES": "40", "PER_CLASS": "60", "LEAST": "5", "MIN_GENES": "5", "SAMPLE": "60",
        }  # fmt: skip
        done = shell('export -f scgx; bash "$1" "$2"', [EXAMPLE, tmp_path / "out"], env=env)
    assert done.code == 0, done.err
    said = done.out.decode()
    assert "train and test on real and on synthetic cells" in said
    assert "no copies of training cells" in said
    with open_cells(tmp_path / "out" / "synthetic.h5ad") as cells:
        assert cells.shape == (180, 40)
        assert set(cells.obs.strings("celltype_annotation")) == set(TYPES[:3])
    table = (tmp_path / "out" / "scores.tsv").read_text()
    for row in ("real-real", "real-synthetic", "synthetic-real"):
        for classes in ("fine", "coarse"):
            assert f"\n{row}\txgboost\t{classes}\t" in table
    assert "\nMAST_CELL\t" in table and "\nLymphoid\t" in table
    assert "\nmacro\t" in table and "\nmicro\t" in table
