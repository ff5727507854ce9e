"""Shuffled minibatches from disk, beside what people use today, and how good the shuffle is.

    python benchmarks/loaders.py [--cells 200000] [--repeats 3] [--peer PYTHON ...]

Makes cells x 20,000 features in CSR (5.9 % dense; 1.9 GB at 200,000 cells) as AnnData writes it, plain
and with gzip, then reads batches of 512 in turns, each loader in a fresh process: a few seconds to warm
up (a whole epoch where scgx keeps what it learned of the file), and an epoch of at most 15 s that is
timed. Peers that want another Python are looked for in the interpreters that
--peer names; which of them are not installed is said. annbatch reads a store of its own, made from
the plain file first with its defaults (LZ4, shuffled), and with zstd.
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
from typing import NamedTuple

import h5py
import numpy as np
from filter_chrom import make

from scgx.learn.order import Order

SIZE = 512
PACE = """
import sys, time, warnings
warnings.simplefilter("ignore")
def pace(loader, count, warm=3.0, seconds=15.0):
    for limit in (warm, seconds):
        began, cells = time.perf_counter(), 0
        for batch in loader:
            cells += count(batch)
            if time.perf_counter() - began > limit:
                break
        spent = time.perf_counter() - began
    print(cells / spent)
"""
SCGX = """
from scgx import Batches
with Batches(sys.argv[1], 512, split=None, OPTIONS) as data:
    pace(data, len, WARM)
"""
DATASET = """
import anndata
from scdataset import BlockShuffling, scDataset
cells = anndata.read_h5ad(sys.argv[1], backed="r")
data = scDataset(cells, BlockShuffling(block_size=64), batch_size=512, fetch_factor=32,
                 fetch_callback=lambda cells, rows: cells[rows].to_memory().X)
pace(data, lambda batch: batch.shape[0])
"""
ANNLOADER = """
import anndata
from anndata.experimental import AnnLoader
cells = anndata.read_h5ad(sys.argv[1], backed="r")
pace(AnnLoader(cells, batch_size=512, shuffle=True), lambda batch: batch.X.shape[0])
"""
ANNBATCH = """
import annbatch, zarr
zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
store = annbatch.DatasetCollection(sys.argv[1], mode="r")
loader = annbatch.Loader(batch_size=512, shuffle=True, OPTIONS).use_collection(store)
pace(loader, lambda batch: batch["X"].shape[0])
"""
STORE = """
import sys, warnings
warnings.simplefilter("ignore")
import annbatch, zarr
zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
options = {}
if len(sys.argv) > 3:
    options["zarr_compressor"] = (zarr.codecs.ZstdCodec(),)
annbatch.DatasetCollection(sys.argv[2]).add_adatas([sys.argv[1]], **options)
"""
SEQUENTIAL = """
import h5py
with h5py.File(sys.argv[1]) as file:
    cells = int(file["X"].attrs["shape"][0])
space = memoryview(bytearray(1 << 23))
for _ in range(2):
    began = time.perf_counter()
    with open(sys.argv[1], "rb", buffering=0) as file:
        while file.readinto(space):
            pass
    spent = time.perf_counter() - began
print(cells / spent)
"""


class Loader(NamedTuple):
    """One row of the table: which interpreter runs which script on which file."""

    name: str
    python: str
    script: str
    path: Path


class Found(NamedTuple):
    """Cells per second, and peak MiB of the process."""

    pace: float
    peak: float


def written(source: Path, path: Path, **options: object) -> None:
    """The same file as AnnData writes it: chunks of h5py's guess, no checksums."""
    with h5py.File(source) as old, h5py.File(path, "w") as new:
        for name in ("obs", "var"):
            old.copy(old[name], new, name)
        for name, value in old.attrs.items():
            new.attrs[name] = value
        group = new.create_group("X")
        for name, value in old["X"].attrs.items():
            group.attrs[name] = value
        group.create_dataset("indptr", data=old["X/indptr"][()])
        for name in ("indices", "data"):
            item = old[f"X/{name}"]
            made = group.create_dataset(name, item.shape, item.dtype, chunks=(28_932,), **options)
            for start in range(0, len(item), 28_932 * 64):
                made[start : start + 28_932 * 64] = item[start : start + 28_932 * 64]


def measure(loader: Loader) -> Found:
    """Run it in a process of its own, which has to succeed."""
    command = [loader.python, "-c", PACE + loader.script, str(loader.path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    said, wrong = process.stdout.read(), process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{loader.name} failed: {wrong.decode()[-2000:]}")
    return Found(float(said.split()[-1]), usage.ru_maxrss / 1024)


def interpreter(module: str, among: list[str]) -> str | None:
    """The first Python that has it."""
    for python in among:
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
        if done.returncode == 0:
            return python
    print(f"not installed: {module}")
    return None


def peers(folder: Path, pythons: list[str]) -> list[Loader]:
    """What is there of the others, and the stores that annbatch needs."""
    plain, found = folder / "plain.h5ad", []
    if python := interpreter("annbatch, zarrs", pythons):
        for kind in ("lz4", "zstd"):
            began = time.perf_counter()
            words = [
                str(plain),
                str(folder / f"{kind}.zarr"),
                *(["zstd"] if kind == "zstd" else []),
            ]
            subprocess.run([python, "-c", STORE, *words], check=True, capture_output=True)
            print(f"annbatch store, {kind}: {time.perf_counter() - began:.0f} s to make")
        for name, kind, options in (
            ("annbatch, defaults", "lz4", ""),
            ("annbatch, 64-row chunks", "lz4", "chunk_size=64, preload_nchunks=256"),
            ("annbatch, zstd", "zstd", ""),
        ):
            script = ANNBATCH.replace("OPTIONS", options)
            found.append(Loader(name, python, script, folder / f"{kind}.zarr"))
    if python := interpreter("scdataset, anndata", pythons):
        found.append(Loader("scDataset, 64-row blocks", python, DATASET, plain))
    if python := interpreter("anndata, torch", pythons):
        found.append(Loader("AnnLoader, true random", python, ANNLOADER, plain))
    return found


def table(folder: Path, options: argparse.Namespace) -> None:
    """All loaders in turns; medians, and ratios to scgx on the plain file."""
    made, plain, packed = (folder / f"{name}.h5ad" for name in ("signed", "plain", "gzip"))
    make(made, options.cells, packed=False)
    written(made, plain)
    written(made, packed, compression="gzip")
    print(f"{options.cells:,} cells; {plain.stat().st_size / 1e9:.2f} GB plain,"
          f" {packed.stat().st_size / 1e9:.2f} GB gzip")  # fmt: skip
    ours = [
        ("scgx, plain h5ad", "", plain, 3),
        ("scgx, gzip, first epoch", "spool=0", packed, 3),
        ("scgx, gzip, later epochs", "", packed, 60),
        ("scgx, signed, later epochs", "", made, 60),
        ("scgx, dense batches", "dense=True", plain, 3),
        ("scgx, true random", "shuffle='full'", plain, 3),
    ]
    here = sys.executable
    loaders = [Loader("sequential read", here, SEQUENTIAL, plain)]
    loaders += [
        Loader(name, here, SCGX.replace("OPTIONS", given).replace("WARM", str(warm)), path)
        for name, given, path, warm in ours
    ]
    loaders += peers(folder, [here, *options.peer])
    runs: dict[str, list[Found]] = {loader.name: [] for loader in loaders}
    for _ in range(options.repeats):
        for loader in loaders:
            runs[loader.name].append(measure(loader))
    base = statistics.median(found.pace for found in runs["scgx, plain h5ad"])
    print(f"{'loader':28} {'cells/s':>9} {'scgx plain is':>14} {'peak MiB':>9}")
    for name, found in runs.items():
        pace = statistics.median(one.pace for one in found)
        peak = max(one.peak for one in found)
        print(f"{name:28} {pace:9,.0f} {base / pace:12.2f} x {peak:9,.0f}")


def quality(cells: int, labels: int = 20) -> None:
    """How far batches are from a true shuffle, in a file that is sorted by label: the worst case.

    Run: how many neighbours in a batch have one label, on average. Spread: the variance of label counts
    between batches over that of independent draws; 1 is a true shuffle, and what is over it is what
    a batch's gradient is the noisier for.
    """
    label = np.arange(cells) * labels // cells
    expected = SIZE / labels
    print(f"\n{labels} labels, file sorted by them")
    print(f"{'order':36} {'run':>6} {'spread':>7} {'labels/batch':>13}")
    for name, order in {
        "true shuffle": Order(np.arange(cells), SIZE, "full"),
        "blocks of 16, buffer of 16,384": Order(np.arange(cells), SIZE, run=16),
        "blocks of 64, buffer of 16,384": Order(np.arange(cells), SIZE),
        "blocks of 64, buffer of 65,536": Order(np.arange(cells), SIZE, buffer=65_536),
        "blocks of 256, buffer of 16,384": Order(np.arange(cells), SIZE, run=256),
        "blocks of 512, buffer of 16,384": Order(np.arange(cells), SIZE, run=512),
        "in the order of the file": Order(np.arange(cells), SIZE, None),
    }.items():
        seen = label[order.of(0)]
        whole = seen[: len(seen) // SIZE * SIZE].reshape(-1, SIZE)
        counts = np.stack([(whole == k).sum(axis=1) for k in range(labels)], axis=1)
        spread = ((counts - expected) ** 2).mean() / (expected * (1 - 1 / labels))
        run = len(seen) / (1 + np.count_nonzero(np.diff(seen)))
        print(f"{name:36} {run:6.2f} {spread:7.2f} {(counts > 0).sum(axis=1).mean():13.1f}")


def main() -> None:
    """The table of loaders, then the quality of the shuffle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], help="another Python to look in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table(Path(folder), options)
    quality(options.cells)


if __name__ == "__main__":
    main()
