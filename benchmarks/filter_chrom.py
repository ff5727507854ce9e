"""Keep one chromosome of a file several times the budget, beside what people use today.

    python benchmarks/filter_chrom.py [--cells 200000] [--memory 256M] [--repeats 3] [--gzip]

Makes cells x 20,000 features in CSR (5.9 % dense; 1.9 GB at 200,000 cells), then runs in turns and each
in a fresh process: `scgx filter-chrom X`, `anndata.experimental.read_lazy` with a selection, and
`read_h5ad` with a selection, all of them writing the result. The goals: at least 2 x read_lazy, 5 x
read-subset-write, and under 400 MB whatever the size.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.writer import create

FEATURES = 20_000
DENSITY = 0.059
ROWS = 2000
LAZY = """
import sys, warnings
warnings.simplefilter("ignore")
import anndata
data = anndata.experimental.read_lazy(sys.argv[1])
data[:, data.var["chrom"].values == "chrX"].to_memory().write_h5ad(sys.argv[2])
"""
WHOLE = """
import sys, warnings
warnings.simplefilter("ignore")
import anndata
data = anndata.read_h5ad(sys.argv[1])
data[:, data.var["chrom"].values == "chrX"].copy().write_h5ad(sys.argv[2])
"""


def make(path: Path, cells: int, *, packed: bool) -> None:
    """A CSR file of that many cells, written block by block."""
    rng = np.random.default_rng(0)
    share = np.linspace(0, 23, FEATURES, endpoint=False).astype(int)
    chrom = [f"chr{i + 1}" if i < 22 else "chrX" for i in share]
    per_row = int(FEATURES * DENSITY)
    with create(path) as out:
        if packed:
            out.compression = {"compression": "gzip", "compression_opts": 4}
        out.frame("obs", Frame(np.array([f"c{i}" for i in range(cells)], dtype=object)))
        names = np.array([f"g{i}" for i in range(FEATURES)], dtype=object)
        out.frame("var", Frame(names, {"chrom": categorical(chrom)}))
        with out.matrix("X", FEATURES, np.float32) as append:
            for start in range(0, cells, ROWS):
                n = min(ROWS, cells - start)
                columns = rng.integers(0, FEATURES - per_row, (n, per_row), dtype=np.int32)
                columns.sort(axis=1)
                columns += np.arange(per_row, dtype=np.int32)  # no column twice in a row
                values = rng.integers(1, 9, n * per_row).astype(np.float32)
                indptr = np.arange(n + 1) * per_row
                append(sparse.csr_array((values, columns.ravel(), indptr), shape=(n, FEATURES)))


def measure(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak MiB of a process that has to succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {command}")
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def same(one: Path, other: Path) -> bool:
    """Do two results hold the same values?"""
    with h5py.File(one) as a, h5py.File(other) as b:
        return all(
            np.array_equal(a[f"X/{part}"][()], b[f"X/{part}"][()]) for part in ("data", "indices")
        )


def main() -> None:
    """Measure in turns; print medians, ratios and peaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gzip", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, kept = Path(folder) / "big.h5ad", Path(folder) / "x.h5ad"
        make(path, options.cells, packed=options.gzip)
        size = path.stat().st_size
        print(
            f"{options.cells:,} cells x {FEATURES:,}, {size / 1e9:.2f} GB; budget {options.memory}"
        )
        scgx = [sys.executable, "-m", "scgx", "filter-chrom", "X", str(path), "-o", str(kept)]
        outputs = {name: Path(folder) / f"{name}.h5ad" for name in ("lazy", "whole")}
        commands = {
            "scgx filter-chrom": [*scgx, "--memory", options.memory, "--quiet"],
            "read_lazy": [sys.executable, "-c", LAZY, str(path), str(outputs["lazy"])],
            "read, subset, write": [sys.executable, "-c", WHOLE, str(path), str(outputs["whole"])],
        }
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(options.repeats):
            for name, command in commands.items():
                found[name].append(measure(command))
        assert all(same(kept, output) for output in outputs.values())
    base = statistics.median(wall for wall, _ in found["scgx filter-chrom"])
    for name, runs in found.items():
        wall = statistics.median(wall for wall, _ in runs)
        peak = max(peak for _, peak in runs)
        print(f"{name:20} {wall:6.2f} s   {wall / base:5.2f} x   {peak:6.0f} MiB")


if __name__ == "__main__":
    main()
