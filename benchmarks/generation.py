"""How fast a generator is trained and how fast it draws, beside scvi-tools where a --peer has it.

    python benchmarks/generation.py [--cells 20000] [--genes 2000] [--drawn 100000] [--peer PYTHON ...]

Cells of eight classes are drawn from known profiles. `cvae` and scVI (class as a covariate) then train
at the same size, 128 hidden units and 10 latents in batches of 512, each in a process of its own and
in turns; a first epoch is not timed. Then cvae draws cells into an h5ad: seconds and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

import scgx
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.writer import create

EPOCHS = 4
SCVI = """
import sys, time, warnings
warnings.simplefilter("ignore")
import anndata, torch, scvi
scvi.settings.verbosity = 40
import logging
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
cells = anndata.read_h5ad(sys.argv[1])
cells = cells[cells.obs["split"] == "train"].copy()
scvi.model.SCVI.setup_anndata(cells, categorical_covariate_keys=["cell_type"])
model = scvi.model.SCVI(cells, n_hidden=128, n_latent=10, gene_likelihood="nb")
quiet = dict(accelerator="cpu", train_size=1.0, batch_size=512, enable_progress_bar=False, logger=False)
model.train(max_epochs=1, **quiet)
began = time.perf_counter()
model.train(max_epochs=EPOCHS, **quiet)
print("RATE", cells.n_obs * EPOCHS / (time.perf_counter() - began))
"""


def make(path: Path, n: int, genes: int, classes: int = 8) -> None:
    """Cells with counts around the profile of their class, half of it shared."""
    rng = np.random.default_rng(0)
    profile = rng.gamma(0.3, size=(classes, genes)) + rng.gamma(0.3, size=genes)
    profile /= profile.sum(axis=1, keepdims=True)
    label = rng.integers(0, classes, n)
    with create(path) as out:
        with out.matrix("X", genes, np.float32) as append:
            for start in range(0, n, 2048):
                some = label[start : start + 2048]
                depth = rng.lognormal(7, 0.4, len(some))
                counts = rng.poisson(profile[some] * depth[:, None])
                append(sparse.csr_array(counts, dtype=np.float32))
        obs = Frame(np.array([f"c{i}" for i in range(n)], dtype=object))
        obs = obs.with_column("cell_type", categorical([f"type{one}" for one in label]))
        parts = np.where(np.arange(n) % 10 == 0, "val", "train")
        out.frame("obs", obs.with_column("split", categorical(parts)))
        out.frame("var", Frame(np.array([f"g{i}" for i in range(genes)], dtype=object)))


def ours(cells: Path, folder: Path) -> float:
    """Cells per second of the training steps; the first epoch warms up."""
    log = folder / "log.jsonl"
    log.unlink(missing_ok=True)
    scgx.train("cvae", str(cells), str(folder / "cvae.scgx"), label="cell_type", epochs=EPOCHS + 1,
               set_=["batch_size=512"], log=log, quiet=True, device="cpu")  # fmt: skip
    rates = [json.loads(line)["cells_per_s"] for line in log.read_text().splitlines()]
    return (len(rates) - 1) / sum(1 / rate for rate in rates[1:])


def theirs(python: str, cells: Path) -> float | None:
    """The same of scVI; None where that interpreter does not have it."""
    code = SCVI.replace("EPOCHS", str(EPOCHS))
    done = subprocess.run([python, "-c", code, str(cells)], capture_output=True, text=True)
    rates = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("RATE")]
    if not rates:
        print(f"{python}: no scvi-tools ({done.stderr.strip().splitlines()[-1:]})")
        return None
    return float(rates[0])


def main() -> None:
    """Train in turns, then draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=2_000)
    parser.add_argument("--drawn", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], help="a Python with scvi-tools")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cells = folder / "cells.h5ad"
        make(cells, options.cells, options.genes)
        mine, peers = [], {python: [] for python in options.peer}
        for _ in range(options.repeats):
            mine.append(ours(cells, folder))
            for python, rates in peers.items():
                rate = theirs(python, cells)
                if rate is not None:
                    rates.append(rate)
        print(f"cvae trains {statistics.median(mine):,.0f} cells/s")
        for rates in peers.values():
            if rates:
                ratio = statistics.median(a / b for a, b in zip(mine, rates))
                print(f"scVI trains {statistics.median(rates):,.0f} cells/s: cvae {ratio:.2f} x")
        draw(folder, options.drawn)


def draw(folder: Path, n: int) -> None:
    """Seconds and peak memory of a process that draws n cells."""
    words = ["scgx", "generate", str(folder / "cvae.scgx"), "--n", str(n), "-q"]
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *words, "-o", str(folder / "made.h5ad"), "--memory", "1G"]
    )
    _pid, code, usage = os.wait4(process.pid, 0)
    spent, peak = time.perf_counter() - began, usage.ru_maxrss / 1024
    if code:
        raise SystemExit("generate failed")
    size = (folder / "made.h5ad").stat().st_size / 1e9
    print(f"{n:,} cells drawn in {spent:.1f} s, {n / spent:,.0f} cells/s, {size:.2f} GB;"
          f" peak {peak:,.0f} MB")  # fmt: skip


if __name__ == "__main__":
    main()
