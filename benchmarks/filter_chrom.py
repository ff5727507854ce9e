"""Keep one chromosome of a file several times the budget, beside what people use today.

    python benchmarks/filter_chrom.py [--cells 200000] [--memory 256M] [--repeats 5] [--gzip]

Makes cells x 20,000 features in CSR (5.9 % dense; 1.9 GB at 200,000 cells), then runs in turns and each
in a fresh process: `scgx filter-chrom X`, `anndata.experimental.read_lazy` with a selection, and
`read_h5ad` with a selection, all of them writing the result. Four layouts: as anndata writes it (plain)
or as scgx does (checksums, trailer), with row offsets of 64 bits (what anndata's append on disk leaves;
scipy then widens every index, 4 GB at the peak) or of 32. The goals: at least 2 x read_lazy, 5 x
read-subset-write, and under 400 MB whatever the size.
"""

from __future__ import annotations

import argparse
import itertools
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

from scgx.h5ad import trailer
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.writer import create

FEATURES = 20_000
DENSITY = 0.059
ROWS = 2000
NAMES = {"scgx": "scgx filter-chrom", "lazy": "read_lazy", "whole": "read, subset, write"}
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


def measure(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MiB of a process that has to succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {command}")
    wall = time.perf_counter() - began
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def same(one: Path, other: Path) -> bool:
    """Do two results hold the same values?"""
    with h5py.File(one) as a, h5py.File(other) as b:
        return all(
            np.array_equal(a[f"X/{part}"][()], b[f"X/{part}"][()]) for part in ("data", "indices")
        )


def variant(signed: Path, path: Path, *, index: type, checked: bool) -> None:
    """The same cells with row offsets of this type; checksums and a trailer, or as anndata writes."""
    with h5py.File(signed) as old, h5py.File(path, "w", libver=("v110", "v110")) as new:
        new.attrs.update(old.attrs)
        for name in ("obs", "var"):
            old.copy(name, new)
        group = new.create_group("X")
        group.attrs.update(old["X"].attrs)
        group.create_dataset("indptr", data=old["X/indptr"][()].astype(index))
        for name in ("data", "indices"):
            item = old["X"][name]
            chunks = item.chunks if checked else True  # what h5py guesses is what anndata gets
            options = {"chunks": chunks, "maxshape": (None,), "fletcher32": checked}
            options |= {"compression": item.compression}
            made = group.create_dataset(name, item.shape, item.dtype, **options)
            for start in range(0, len(item), 1 << 24):
                made[start : start + (1 << 24)] = item[start : start + (1 << 24)]
    if checked:
        trailer.append(path)


def compare(path: Path, folder: Path, *, memory: str, repeats: int) -> None:
    """Measure the three in turns, each writing a file that is not there yet; print medians, peaks."""
    outputs = {name: folder / f"{name}.h5ad" for name in ("scgx", "lazy", "whole")}
    command = [sys.executable, "-m", "scgx", "filter-chrom", "X", str(path), "--quiet"]
    commands = {
        "scgx": [*command, "--memory", memory, "-o", str(outputs["scgx"])],
        "lazy": [sys.executable, "-c", LAZY, str(path), str(outputs["lazy"])],
        "whole": [sys.executable, "-c", WHOLE, str(path), str(outputs["whole"])],
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, words in commands.items():
            outputs[name].unlink(missing_ok=True)
            found[name].append(measure(words))
    assert all(same(outputs["scgx"], output) for output in outputs.values())
    medians = {
        n: [statistics.median(part) for part in zip(*runs, strict=True)]
        for n, runs in found.items()
    }
    base = medians["scgx"]
    for name, runs in found.items():
        wall, cpu, _ = medians[name]
        fastest, peak = min(runs)[0], max(run[2] for run in runs)
        what = f"  {NAMES[name]:20} {wall:6.2f} s {wall / base[0]:5.2f} x (fastest {fastest:.2f})"
        print(f"{what}   CPU {cpu:5.2f} s {cpu / base[1]:5.2f} x   {peak:5.0f} MiB", flush=True)


def main() -> None:
    """Make the file, measure every layout of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--memory", default="256M")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--gzip", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        signed, path = folder / "signed.h5ad", folder / "cells.h5ad"
        make(signed, options.cells, packed=options.gzip)
        size = f"{signed.stat().st_size / 1e9:.2f} GB"
        print(f"{options.cells:,} cells x {FEATURES:,}, {size}; budget {options.memory}")
        for checked, index in itertools.product((False, True), (np.int64, np.int32)):
            variant(signed, path, index=index, checked=checked)
            print(f"{'signed' if checked else 'plain'}, indptr {np.dtype(index)}", flush=True)
            compare(path, folder, memory=options.memory, repeats=options.repeats)


if __name__ == "__main__":
    main()
