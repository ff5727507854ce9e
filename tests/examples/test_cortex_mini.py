"""From the text of a cell browser to scored cell types, in one pipe: 47 clusters, 99 genes."""

from pathlib import Path

from support.processes import shell

from scgx.h5ad.reader import open_cells

LINES = """
set -o pipefail
scgx transpose "$1/exprMatrix.tsv.gz" --obs "$1/meta.tsv" |
  scgx split --stratify WGCNAcluster -o split.h5ad
scgx train logistic split.h5ad --label WGCNAcluster --min-cells-per-class 5 -o types.scgx
scgx classify types.scgx split.h5ad | scgx score split.h5ad - --table scores.tsv
"""


def test_cells_with_partial_metadata_go_end_to_end(real_data: Path, tmp_path: Path) -> None:
    done = shell(LINES, [real_data / "cellbrowser-cortex-mini"], cwd=tmp_path)
    assert done.code == 0, done.err
    assert "2,902 cells are not in it" in done.err
    assert "have no WGCNAcluster: left out" in done.err
    with open_cells(tmp_path / "split.h5ad") as cells:
        assert cells.shape == (7_163, 99)
        words = cells.obs.strings("WGCNAcluster")
        assert len({word for word in words if word is not None}) == 47
    rows = [line.split("\t") for line in (tmp_path / "scores.tsv").read_text().splitlines()]
    f1 = next(row for row in rows if row[0] == "f1_macro")
    assert float(f1[2]) > 10 * float(f1[3]) > 0  # against the majority
