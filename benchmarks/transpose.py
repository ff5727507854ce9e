"""Turn a text matrix of genes x cells, beside what people use today.

    python benchmarks/transpose.py [--genes 20000] [--cells 3000] [--memory 1G] [--repeats 3]
                                   [--peer PYTHON ...]

Makes a TSV of counts (20,000 x 3,000 are 120 MB, 20,000 x 20,000 are 0.8 GB), then runs in turns and
each in a fresh process: text to text with `scgx transpose`, `datamash transpose` and polars; text to a
sparse h5ad with `scgx transpose` and with blocks of pyarrow. Text has to be equal to datamash's to the
byte, matrices in every value. `--peer` names another Python to look for polars and pyarrow in (with
scipy and h5py); what is missing is said. The goals: 5 x datamash and 3 x polars with a tenth of
their memory, 2 x pyarrow.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

ROWS = 200
POLARS = """
import sys
import polars
table = polars.read_csv(sys.argv[1], separator="\\t")
turned = table.transpose(include_header=True, header_name="gene", column_names="gene")
turned.write_csv(sys.argv[2], separator="\\t")
"""
PYARROW = """
import sys
import h5py, numpy
from pyarrow import csv
from scipy import sparse
stream = csv.open_csv(
    sys.argv[1], csv.ReadOptions(block_size=32 << 20), csv.ParseOptions(delimiter="\\t")
)
parts, genes, cells = [], [], stream.schema.names[1:]
for batch in stream:
    genes += batch.column(0).to_pylist()
    block = numpy.column_stack([column.to_numpy() for column in batch.columns[1:]])
    parts.append(sparse.csr_matrix(block.astype("int32")))
turned = sparse.vstack(parts).T.tocsr()
with h5py.File(sys.argv[2], "w") as file:
    for part in ("data", "indices", "indptr"):
        file[f"X/{part}"] = getattr(turned, part)
    file["obs/_index"], file["var/_index"] = cells, genes
"""


def make(path: Path, genes: int, cells: int) -> None:
    """A TSV of that many lines, one value in ten not zero."""
    rng = np.random.default_rng(0)
    with open(path, "wb") as file:
        file.write(b"\t".join([b"gene", *(b"CELL%07d-1" % i for i in range(cells))]) + b"\n")
        for start in range(0, genes, ROWS):
            n = min(ROWS, genes - start)
            values = rng.poisson(0.1, (n, cells)) * rng.integers(1, 6, (n, cells))
            for i, row in enumerate(values.tolist()):
                line = "\t".join(map(str, row)).encode()
                file.write(b"ENSG%011d\t" % (start + i) + line + b"\n")


def measure(command: list[str], source: Path | None) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak MiB of a process that has to succeed; `source` is its stdin."""
    output = command.pop() if source else os.devnull  # a filter: its output is the last word
    with open(source or os.devnull, "rb") as stdin, open(output, "wb") as stdout:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {command}")
    cpu = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - began, cpu, usage.ru_maxrss / 1024


def same_matrix(one: Path, other: Path) -> bool:
    """Do two h5ad hold the same values in the same places?"""
    with h5py.File(one) as a, h5py.File(other) as b:
        return all(
            np.array_equal(a[f"X/{part}"][()], b[f"X/{part}"][()])
            for part in ("data", "indices", "indptr")
        )


def python_with(pythons: list[str], *modules: str) -> str | None:
    """The first Python that can import these."""
    code = "import " + ", ".join(modules)
    quiet = {"stderr": subprocess.DEVNULL}
    found = (p for p in pythons if subprocess.run([p, "-c", code], **quiet).returncode == 0)
    return next(found, None)


def compare(
    title: str,
    commands: dict[str, tuple[list[str], Path | None]],
    repeats: int,
    same: Callable[[Path, Path], bool],
) -> None:
    """Run in turns, the first being ours; print medians, ratios and peaks; results must agree."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, (command, source) in commands.items():
            Path(command[-1]).unlink(missing_ok=True)  # to free an old file takes time of its own
            found[name].append(measure(list(command), source))
    outputs = [Path(command[-1]) for command, _ in commands.values()]
    for other in outputs[1:]:
        if not same(outputs[0], other):
            raise SystemExit(f"{outputs[0].name} and {other.name} differ")
    print(title)
    base = np.array(found["scgx transpose"])
    for name, runs in found.items():
        wall, cpu, peak = (statistics.median(column) for column in zip(*runs))
        ratio = wall / np.median(base[:, 0]), peak / np.median(base[:, 2])
        print(
            f"  {name:16} {wall:6.2f} s {ratio[0]:5.2f} x {cpu:7.2f} CPU s "
            f"{peak:7.0f} MiB {ratio[1]:5.2f} x"
        )


def main() -> None:
    """Make the matrix, measure both ways, say who was missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--cells", type=int, default=3_000)
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], help="another Python to look in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matrix.tsv"
        make(path, options.genes, options.cells)
        size = path.stat().st_size / 1e6
        print(
            f"{options.genes:,} genes x {options.cells:,} cells, {size:,.0f} MB; "
            f"budget {options.memory}"
        )
        scgx = [sys.executable, "-m", "scgx", "transpose", str(path), "--quiet"]
        scgx += ["--memory", options.memory, "-o"]

        def out(name: str) -> str:
            return str(Path(folder) / name)

        text: dict[str, tuple[list[str], Path | None]] = {
            "scgx transpose": ([*scgx, out("scgx.tsv")], None)
        }
        sparse: dict[str, tuple[list[str], Path | None]] = {
            "scgx transpose": ([*scgx, out("scgx.h5ad")], None)
        }
        missing = []
        if shutil.which("datamash"):
            text["datamash"] = (["datamash", "transpose", out("datamash.tsv")], path)
        else:
            missing.append("datamash")
        pythons = [sys.executable, *options.peer]
        if python := python_with(pythons, "polars"):
            words = [python, "-c", POLARS, str(path), out("polars.tsv")]
            text["polars"] = (words, None)
        else:
            missing.append("polars")
        if python := python_with(pythons, "pyarrow", "scipy", "h5py"):
            words = [python, "-c", PYARROW, str(path), out("pyarrow.h5ad")]
            sparse["pyarrow blocks"] = (words, None)
        else:
            missing.append("pyarrow")
        subprocess.run([*scgx, out("scgx.tsv")], check=True)  # compiled once per machine
        subprocess.run([*scgx, out("scgx.h5ad")], check=True)
        compare(
            "text to text", text, options.repeats, lambda a, b: filecmp.cmp(a, b, shallow=False)
        )
        compare("text to sparse h5ad", sparse, options.repeats, same_matrix)
        if missing:
            print(f"not here: {', '.join(missing)}")


if __name__ == "__main__":
    main()
