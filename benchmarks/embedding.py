"""PCA beside scikit-learn and scanpy: seconds of CPU and memory, from a file of counts to components.

    python benchmarks/embedding.py [--cells 100000] [--threads 1] [--repeats 1] [--peer PYTHON ...]

Makes counts of cells x 20,000 genes (some 5 % stored) with fifty directions to find, as h5ad. All take
the 2,000 most variable genes of log1p CP10k and give 50 components of every cell. `scgx embed pca`
streams: it holds a matrix of 2,000 x 2,000 and blocks of rows. scikit-learn's IncrementalPCA gets the
same genes in the same blocks, read by h5py and normalised by numpy, and keeps no more than it must;
scanpy (in a --peer Python that has it) reads the file and works in memory, as its users do. Each run is
a process of its own. `held` is the share of the variance of these genes that the components hold, so
that equal work can be seen.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.h5ad.frame import Frame
from scgx.h5ad.writer import create

GENES, DIRECTIONS, STEP = 20_000, 50, 2_048
INCREMENTAL = """
import sys, h5py, numpy as np
from scipy import sparse
from sklearn.decomposition import IncrementalPCA
path, out = sys.argv[1:]
file = h5py.File(path)
item = file["X"]
indptr, (n, p) = item["indptr"][()], item.attrs["shape"]
def blocks():
    for i in range(0, n, 2048):
        j = min(i + 2048, n)
        lo, hi = indptr[i], indptr[j]
        parts = item["data"][lo:hi], item["indices"][lo:hi], indptr[i:j + 1] - lo
        x = sparse.csr_matrix(parts, shape=(j - i, p))
        x.data *= np.repeat((1e4 / np.asarray(x.sum(axis=1)).ravel()).astype("f4"), np.diff(x.indptr))
        np.log1p(x.data, out=x.data)
        yield x
total, squares = np.zeros(p), np.zeros(p)
for x in blocks():
    total += np.asarray(x.sum(axis=0)).ravel()
    squares += np.asarray(x.multiply(x).sum(axis=0)).ravel()
variance = squares / n - (total / n) ** 2
chosen = np.sort(np.argsort(-variance)[:2000])
model = IncrementalPCA(50)
for x in blocks():
    model.partial_fit(x[:, chosen].toarray())
made = np.concatenate([model.transform(x[:, chosen].toarray()) for x in blocks()])
np.save(out, made.astype("f4"))
print("held", model.explained_variance_ratio_.sum())
"""
SCANPY = """
import sys, warnings
warnings.simplefilter("ignore")
import numpy as np, scanpy as sc
path, out = sys.argv[1:]
cells = sc.read_h5ad(path)
sc.pp.normalize_total(cells, target_sum=1e4)
sc.pp.log1p(cells)
mean = np.asarray(cells.X.mean(axis=0)).ravel()
variance = np.asarray(cells.X.multiply(cells.X).mean(axis=0)).ravel() - mean**2
cells = cells[:, np.sort(np.argsort(-variance)[:2000])].copy()
sc.pp.pca(cells, n_comps=50)
np.save(out, cells.obsm["X_pca"])
print("held", cells.uns["pca"]["variance_ratio"].sum())
"""


class Found(NamedTuple):
    """Seconds by the clock and of processors, peak MiB, share of the variance."""

    seconds: float
    cpu: float
    peak: float
    held: float


def make(path: Path, n: int, seed: int = 0) -> None:
    """Counts around profiles that are mixed of fifty directions; a cell draws 1,500 genes or so."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.3, 1, GENES)
    directions = rng.normal(0, 0.8, (DIRECTIONS, GENES)) * (rng.random((DIRECTIONS, GENES)) < 0.02)
    names = np.array([f"cell{i}" for i in range(n)], object)
    with create(path) as out:
        out.frame("obs", Frame(names))
        out.frame("var", Frame(np.array([f"gene{i}" for i in range(GENES)], object)))
        with out.matrix("X", GENES, np.float32) as append:
            for start in range(0, n, 512):
                rows = min(512, n - start)
                rate = base * np.exp(rng.normal(0, 1, (rows, DIRECTIONS)) @ directions)
                rate *= (
                    1_500 * np.exp(rng.normal(0, 0.3, (rows, 1))) / rate.sum(axis=1, keepdims=True)
                )
                append(sparse.csr_array(rng.poisson(rate).astype(np.float32)))


def measure(command: list[str], threads: int) -> Found:
    """Run it in a process of its own, which has to succeed."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=os.environ | {name: str(threads) for name in names},
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:5])} failed: {said[-2000:]}")
    share = re.search(r"held ([0-9.]+)", said)
    percent = re.search(r"hold ([0-9.]+)%", said)
    held = float(share[1]) if share else float(percent[1]) / 100 if percent else float("nan")
    seconds, cpu = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    return Found(seconds, cpu, usage.ru_maxrss / 1024, held)


def main() -> None:
    """Measure in turns; print the best of the repeats, and ratios to scgx."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--peer", action="append", default=[], help="a Python with scanpy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "cells.h5ad", str(Path(folder) / "made")
        make(path, options.cells)
        print(f"{options.cells:,} cells, {path.stat().st_size / 1e6:,.0f} MB", flush=True)
        ours = [sys.executable, "-m", "scgx", "embed", "pca", str(path), "--memory", "512M"]
        runs = {"scgx embed pca": [*ours, "-o", f"{out}.h5ad"]}
        runs["scgx train pca"] = [sys.executable, "-m", "scgx", "train", "pca", str(path),
                                  "--memory", "512M", "-o", f"{out}.scgx"]  # fmt: skip
        runs["IncrementalPCA"] = [sys.executable, "-c", INCREMENTAL, str(path), f"{out}.npy"]
        for python in options.peer:
            if not subprocess.run([python, "-c", "import scanpy"], capture_output=True).returncode:
                runs["scanpy"] = [python, "-c", SCANPY, str(path), f"{out}.npy"]
        seen: dict[str, list[Found]] = {name: [] for name in runs}
        for _ in range(options.repeats):
            for name, command in runs.items():
                seen[name].append(measure(command, options.threads))
        first = min(seen["scgx embed pca"], key=lambda found: found.cpu)
        for name, every in seen.items():
            found = min(every, key=lambda found: found.cpu)
            line = (
                f"{name:16} {found.seconds:7.1f} s {found.cpu:7.1f} s of CPU {found.peak:7,.0f} MiB"
            )
            line += f"   held {found.held:.4f}   {found.cpu / first.cpu:5.2f} x CPU"
            print(f"{line}, {found.peak / first.peak:5.2f} x memory of scgx embed", flush=True)


if __name__ == "__main__":
    main()
