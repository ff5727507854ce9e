"""Turn an h5ad of CSR, and a Matrix Market folder into h5ad, beside what people use today.

    python benchmarks/turning.py [--cells 40000] [--memory 256M] [--repeats 3]

Makes cells x 20,000 features (5.9 % dense) as h5ad and, a quarter of them, as Matrix Market in the
order of Cell Ranger and in that of the features. In turns, each in a fresh process, the result on
disk: `scgx transpose`, AnnData's `.T`, and scipy's `mmread` as AnnData. Seconds, and peak memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from filter_chrom import FEATURES, make, measure

from scgx.h5ad.reader import open_cells

TURN = """
import sys, warnings
warnings.simplefilter("ignore")
import anndata
anndata.read_h5ad(sys.argv[1]).T.write_h5ad(sys.argv[2])
"""
READ = """
import sys, warnings
warnings.simplefilter("ignore")
import anndata, pandas, scipy.io
from pathlib import Path
folder = Path(sys.argv[1])
X = scipy.io.mmread(folder / "matrix.mtx").T.tocsr()
names = [pandas.read_csv(folder / f, sep="\\t", header=None, index_col=0) for f in
         ("barcodes.tsv", "features.tsv")]
for table in names:
    table.columns, table.index.name = table.columns.astype(str), None
anndata.AnnData(X, *names).write_h5ad(sys.argv[2])
"""


def folder_of(source: Path, folder: Path, *, by_feature: bool) -> Path:
    """The rows of an h5ad, features or cells, as a Matrix Market folder; little is held at a time,
    or the processes that are measured would begin with it.
    """
    folder.mkdir()
    with open_cells(source, memory=64 << 20) as cells, open(folder / "matrix.mtx", "w") as file:
        rows, columns = cells.shape
        n_cells = columns if by_feature else rows
        file.write("%%MatrixMarket matrix coordinate integer general\n")
        file.write(f"{FEATURES} {n_cells} {cells.matrix().nnz}\n")
        for block in cells.blocks():
            part = block.X.tocoo()
            sides = (part.row + block.start + 1, part.col + 1)
            sides = sides if by_feature else sides[::-1]
            lines = zip(*(side.tolist() for side in sides), part.data.astype(int).tolist())
            file.write("".join(map("{0[0]} {0[1]} {0[2]}\n".format, lines)))
    (folder / "barcodes.tsv").write_text("".join(f"c{i}\n" for i in range(n_cells)))
    lines = (f"g{i}\tG{i}\tGene Expression\n" for i in range(FEATURES))
    (folder / "features.tsv").write_text("".join(lines))
    return folder


def compare(title: str, path: Path, code: str, memory: str, repeats: int) -> None:
    """Medians and peaks of scgx and of a program, in turns."""
    out = path.parent / "out.h5ad"
    words = [sys.executable, "-m", "scgx", "transpose", str(path), "--quiet", "-o", str(out)]
    commands = {
        "scgx": [*words, "--memory", memory],
        "anndata": [sys.executable, "-c", code, str(path), str(out)],
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            out.unlink(missing_ok=True)
            found[name].append(measure(command))
    print(title)
    for name, runs in found.items():
        wall, cpu, _ = (statistics.median(column) for column in zip(*runs))
        peak = max(run[2] for run in runs)
        print(f"  {name:8} {wall:6.2f} s {cpu:7.2f} CPU s {peak:7.0f} MiB", flush=True)


def main() -> None:
    """Make the files, measure each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=40_000)
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make(folder / "a.h5ad", options.cells, packed=False)
        size = f"{(folder / 'a.h5ad').stat().st_size / 1e9:.2f} GB"
        rest = (options.memory, options.repeats)
        compare(f"h5ad, {options.cells:,} cells, {size}", folder / "a.h5ad", TURN, *rest)
        make(folder / "b.h5ad", options.cells // 4, packed=False)
        for by_feature in (False, True):
            if by_feature:
                turn = ["-m", "scgx", "transpose", "--quiet", str(folder / "b.h5ad")]
                measure([sys.executable, *turn, "-o", str(folder / "t.h5ad")])
            source = folder / ("t.h5ad" if by_feature else "b.h5ad")
            made = folder_of(source, folder / str(by_feature), by_feature=by_feature)
            size = f"{(made / 'matrix.mtx').stat().st_size / 1e9:.2f} GB"
            order = "features" if by_feature else "cells"
            compare(f"Matrix Market by {order}, {size}", made, READ, *rest)


if __name__ == "__main__":
    main()
