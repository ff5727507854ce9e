"""Classifiers beside scikit-learn and xgboost called directly, on 100 classes.

    python benchmarks/classifiers.py [--cells 200000] [--models logistic,xgboost] [--threads 2]

Makes counts of cells x 5,000 genes (about 6 % stored) of which 2,000 differ between classes, as h5ad,
nine tenths to train and a tenth to validate. `scgx train` runs as a user runs it: from counts in the
file to a calibrated model file. The direct calls read the same counts and normalise them in memory;
they have the same settings, rounds (--trees), steps of L-BFGS (--steps) and threads. Each run is a
process of its own, timed whole; memory is its peak. Accuracy is that of the validation rows, so that
equal work can be seen. Where others use the machine, seconds of CPU with --threads 1 can be compared.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.writer import create

GENES, TELLING, STEP = 5_000, 2_000, 4_096
READ = """
import sys, warnings
warnings.simplefilter("ignore")
import h5py, numpy as np
from scipy import sparse
path, (threads, trees, steps) = sys.argv[1], map(int, sys.argv[2:])
with h5py.File(path) as file:
    parts = [file["X"][name][()] for name in ("data", "indices", "indptr")]
    x = sparse.csr_matrix(tuple(parts), shape=tuple(file["X"].attrs["shape"]))
    y = file["obs/type/codes"][()].astype(np.int64)
    names = file["obs/split/categories"].asstr()[()]
    train = names[file["obs/split/codes"][()]] == "train"
sums = np.asarray(x.sum(axis=1)).ravel()
x.data *= np.repeat((1e4 / sums).astype(np.float32), np.diff(x.indptr))
np.log1p(x.data, out=x.data)
a, b, ya, yb = x[train], x[~train], y[train], y[~train]
del x
"""
LOGISTIC = """
from sklearn.linear_model import LogisticRegression
model = LogisticRegression(C=0.03, class_weight="balanced", tol=1e-4, max_iter=steps)
model.fit(a, ya)
print("accuracy", (model.predict(b) == yb).mean(), "rounds", int(model.n_iter_[0]))
"""
TREES = """
import xgboost
da = xgboost.QuantileDMatrix(a, ya, max_bin=64, nthread=threads)
db = xgboost.QuantileDMatrix(b, yb, ref=da, max_bin=64, nthread=threads)
settings = dict(objective="multi:softprob", num_class=int(y.max()) + 1, tree_method="hist",
    eval_metric="mlogloss", max_depth=4, eta=0.1, subsample=0.8, colsample_bytree=0.5, alpha=1.0,
    max_bin=64, nthread=threads)
model = xgboost.train(settings, da, trees, evals=[(db, "val")], verbose_eval=False,
    early_stopping_rounds=20)
print("accuracy", (model.predict(db).argmax(axis=1) == yb).mean(), "rounds", trees)
"""


class Run(NamedTuple):
    """What is run, and against which direct call it is held."""

    name: str
    command: list[str]
    beside: str | None


class Found(NamedTuple):
    """Seconds by the clock and of processors, peak MiB, accuracy on validation rows."""

    seconds: float
    cpu: float
    peak: float
    accuracy: float


def make(path: Path, cells: int, classes: int, seed: int = 0) -> None:
    """Poisson counts: a profile per class over the telling genes, depth of a cell log-normal."""
    rng = np.random.default_rng(seed)
    base = rng.gamma(0.15, 1, GENES)
    profile = np.tile(base, (classes, 1))
    profile[:, :TELLING] *= np.exp(rng.normal(0, 0.5, (classes, TELLING)))
    profile *= 400 / profile.sum(axis=1, keepdims=True)
    kind = rng.permutation(np.arange(cells) % classes)
    words = np.array([f"type {i}" for i in range(classes)], object)[kind]
    part = np.where(rng.random(cells) < 0.9, "train", "val").astype(object)
    names = np.array([f"cell{i}" for i in range(cells)], object)
    with create(path) as out:
        out.frame("obs", Frame(names, {"type": categorical(words), "split": categorical(part)}))
        out.frame("var", Frame(np.array([f"gene{i}" for i in range(GENES)], object)))
        with out.matrix("X", GENES, np.float32) as append:
            for block in counts(profile, kind, rng):
                append(block)


def counts(
    profile: np.ndarray, kind: np.ndarray, rng: np.random.Generator
) -> Iterator[sparse.csr_array]:
    """Blocks of counts; a cell draws genes of its class as often as it is deep."""
    chance = np.cumsum(profile / profile.sum(axis=1, keepdims=True), axis=1)
    for start in range(0, len(kind), STEP):
        mine = kind[start : start + STEP]
        depth = rng.poisson(400 * np.exp(rng.normal(0, 0.4, len(mine))))
        rows = np.repeat(np.arange(len(mine)), depth)
        drawn = rng.random(len(rows))
        genes = np.empty(len(rows), np.int64)
        for one in np.unique(mine):
            here = mine[rows] == one
            genes[here] = np.searchsorted(chance[one], drawn[here])
        ones = np.ones(len(rows), np.float32)
        shape = (len(mine), GENES)
        block = sparse.csr_array((ones, (rows, np.minimum(genes, GENES - 1))), shape=shape)
        block.sum_duplicates()
        yield block


def runs(path: Path, models: list[str], options: argparse.Namespace) -> list[Run]:
    """The direct calls, and every model of scgx that was asked for."""
    words = [str(path), str(options.threads), str(options.trees), str(options.steps)]
    made = []
    if "logistic" in models:
        made.append(Run("scikit-learn", [sys.executable, "-c", READ + LOGISTIC, *words], None))
    if "xgboost" in models:
        made.append(Run("xgboost, direct", [sys.executable, "-c", READ + TREES, *words], None))
    beside = {"logistic": "scikit-learn", "xgboost": "xgboost, direct"}
    beside |= {
        name: "scikit-learn" for name in models if name not in beside and "logistic" in models
    }
    for name in models:
        command = [sys.executable, "-m", "scgx", "train", name, str(path), "--label", "type"]
        command += ["--threads", str(options.threads), "--device", options.device]
        command += ["-o", str(path.with_name(f"{name}.scgx"))]
        if name in ("majority", "knn", "logistic", "discriminant"):
            command = [word for word in command if word not in ("--device", options.device)]
        if name == "logistic":
            command += ["--set", f"iterations={options.steps}"]
        if name in ("xgboost", "ensemble"):
            command += ["--set", f"trees={options.trees}"]
        if name in ("mlp", "tabnet"):
            command += ["--epochs", str(options.epochs)]
        made.append(Run(f"scgx {name}", command, beside.get(name)))
    return made


def measure(run: Run, threads: int) -> Found:
    """Run it in a process of its own, which has to succeed."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    began = time.perf_counter()
    process = subprocess.Popen(
        run.command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {name: str(threads) for name in names},
    )
    assert process.stdout is not None
    said = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{run.name} failed: {said[-2000:]}")
    found = re.findall(r"accuracy ([0-9.]+)", said)
    accuracy = float(found[-1].rstrip(".")) if found else float("nan")
    seconds, cpu = time.perf_counter() - began, usage.ru_utime + usage.ru_stime
    return Found(seconds, cpu, usage.ru_maxrss / 1024, accuracy)


def main() -> None:
    """Measure one after the other and print seconds, memory, accuracy and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--trees", type=int, default=10, help="rounds, each a tree per class")
    parser.add_argument("--steps", type=int, default=30, help="of L-BFGS")
    parser.add_argument("--epochs", type=int, default=5, help="of the networks")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="cpu")
    every = "majority,logistic,discriminant,xgboost,mlp,tabnet,knn,ensemble"
    parser.add_argument("--models", default=every)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cells.h5ad"
        make(path, options.cells, options.classes)
        size = path.stat().st_size / 1e6
        print(f"{options.cells:,} cells, {options.classes} classes, {size:,.0f} MB", flush=True)
        seen: dict[str, Found] = {}
        for run in runs(path, options.models.split(","), options):
            found = seen[run.name] = measure(run, options.threads)
            line = f"{run.name:16} {found.seconds:7.1f} s {found.cpu:7.1f} s of CPU"
            line += f" {found.peak:7,.0f} MiB   accuracy {found.accuracy:.3f}"
            if run.beside:
                base = seen[run.beside]
                line += f"   {found.seconds / base.seconds:.2f} x the time"
                line += f", {found.cpu / base.cpu:.2f} x CPU"
                line += f", {found.peak / base.peak:.2f} x memory of {run.beside}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
