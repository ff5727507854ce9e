"""Name cell types across studies and across donors, beside CellTypist's own pipeline.

    python benchmarks/celltypist.py --sorted SORTED.h5ad --blood BLOOD.h5ad --gtf GENES.gtf.gz
                                    --peer PYTHON [--donor 101] [--label cell_type_coarse] [--seed 0]

SORTED are the sorted cells of Zheng 2017, BLOOD the controls of Kang 2018 (counts, Ensembl ids, which
the GTF gives symbols). Two tasks: all of SORTED to cells of BLOOD of the same classes, and the other
donors of BLOOD to one. `--peer` is a Python that has CellTypist (it needs scikit-learn below 1.8);
counts go to it as its tutorial says: ten thousand per cell, log1p, symbols; where it says so, both
files with the genes that they share, which is our --panel. Each way is one fresh
process for training and one for use, theirs is one for both; seconds (wall, and of CPU, which other
work on the machine does not change much) are their sum, memory the larger peak.
Accuracy, mean F1 over classes and calibration error (15 bins) are counted here for all alike.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.h5ad.reader import open_cells

BINS = 15
PEER = """
import sys
import anndata, celltypist, scanpy
train, test, out, label, shared, selection, voting = sys.argv[1:]
def named(path):
    cells = anndata.read_h5ad(path)
    if "gene_name" in cells.var:
        known = cells.var["gene_name"].notna().to_numpy()
        cells = cells[:, known].copy()
        cells.var_names = cells.var["gene_name"].astype(str).to_numpy()
    cells.var_names_make_unique()
    return cells
def ready(cells):
    scanpy.pp.normalize_total(cells, target_sum=1e4)
    scanpy.pp.log1p(cells)
    return cells
train, test = named(train), named(test)
if shared == "1":
    both = train.var_names.intersection(test.var_names)
    train, test = train[:, both].copy(), test[:, both].copy()
model = celltypist.train(ready(train), labels=label, feature_selection=selection == "1", n_jobs=2)
found = celltypist.annotate(ready(test), model=model, majority_voting=voting == "1")
column = "majority_voting" if voting == "1" else "predicted_labels"
sure = found.to_adata().obs["conf_score"]
with open(out, "w") as file:
    file.write("cell\\tscgx_label\\tscgx_label_prob\\n")
    for name, word, p in zip(found.predicted_labels.index, found.predicted_labels[column], sure):
        file.write(f"{name}\\t{word}\\t{p}\\n")
"""


class Task(NamedTuple):
    """What trains and what is named: one split file for us, two files for others."""

    title: str
    train: Path
    test: Path
    across: bool


class Way(NamedTuple):
    """A name and the commands that end in a table of names; measured as one."""

    name: str
    commands: list[list[str]]


def run(command: list[str]) -> tuple[float, float, float]:
    """Wall and CPU seconds and peak MiB of a process that has to succeed."""
    began = time.perf_counter()
    with open(os.devnull, "wb") as nothing:
        process = subprocess.Popen(command, stdout=nothing, stderr=nothing)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command[:6])} ...")
    cpu = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - began, cpu, usage.ru_maxrss / 1024


def scgx(*words: object) -> list[str]:
    return [sys.executable, "-m", "scgx", *map(str, words), "--quiet"]


def tasks(options: argparse.Namespace, folder: Path) -> Iterator[Task]:
    """Both tasks, with their files made in the folder."""
    blood, label = folder / "blood.h5ad", options.label
    run(scgx("annotate-coords", options.blood, "--gtf", options.gtf, "--no-sort", "-o", blood))
    with open_cells(options.sorted) as cells:
        classes = sorted({word for word in cells.obs.strings(label) if word is not None})
    same = folder / "same.h5ad"
    run(scgx("sample", blood, "--where", f"{label}={','.join(classes)}", "-o", same))
    yield Task(f"sorted to blood, {len(classes)} classes", options.sorted, same, True)
    train, test = folder / "train.h5ad", folder / "test.h5ad"
    run(scgx("sample", blood, "--where", f"donor!={options.donor}", "-o", train))
    run(scgx("sample", blood, "--where", f"donor={options.donor}", "-o", test))
    yield Task(f"other donors to donor {options.donor}", train, test, False)


def ways(task: Task, options: argparse.Namespace, folder: Path) -> Iterator[Way]:
    """Ours at their defaults, with the panel of the other study where there is one, and theirs."""
    out, model = folder / "out.tsv", folder / "model.scgx"
    use = scgx("classify", model, task.test, "-o", folder / "named.h5ad", "--table", out)
    for name in ("logistic", "xgboost"):
        for panel in ((), ("--panel", task.test)) if task.across else ((),):
            words = ("train", name, task.train, "--label", options.label, "--seed", options.seed)
            title = " ".join(["scgx", name, *(["--panel"] if panel else [])])
            yield Way(title, [scgx(*words, *panel, "-o", model), use])
    if options.peer:
        for title, flags in {
            "celltypist": "000",
            "celltypist, shared genes": "100",
            "celltypist, feature selection": "110",
            "celltypist, majority voting": "101",
        }.items():
            if title.endswith("shared genes") and not task.across:
                continue
            words = [str(task.train), str(task.test), str(out), options.label, *flags]
            yield Way(title, [[options.peer, "-W", "ignore", "-c", PEER, *words]])


def scores(table: Path, task: Task, label: str) -> tuple[float, float, float]:
    """Accuracy, mean F1 over the classes of both sides, and calibration error."""
    with open_cells(task.test) as cells:
        truth = dict(zip(cells.obs_names, cells.obs.strings(label), strict=True))
    with open(table, encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    if len(rows) != len(truth):
        raise SystemExit(f"{len(rows)} cells are named, {len(truth)} were asked for")
    true = np.array([truth[row["cell"]] for row in rows])
    said = np.array([row["scgx_label"] for row in rows])
    sure = np.array([float(row["scgx_label_prob"]) for row in rows])
    f1 = [
        2 * np.sum((true == k) & (said == k)) / (np.sum(true == k) + np.sum(said == k))
        for k in sorted({*true, *said})
    ]
    place = np.clip(np.ceil(sure * BINS).astype(int) - 1, 0, BINS - 1)
    gap = np.abs(np.bincount(place, (true == said) - sure, BINS)).sum() / len(true)
    return float(np.mean(true == said)), float(np.mean(f1)), float(gap)


def main() -> None:
    """Make the files, run every way, print a table per task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--sorted", "--blood", "--gtf"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--peer", help="a Python with CellTypist")
    parser.add_argument("--donor", default="101")
    parser.add_argument("--label", default="cell_type_coarse")
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    if not options.peer:
        print("no --peer: without CellTypist")
    with tempfile.TemporaryDirectory() as name:
        for task in tasks(options, Path(name)):
            print(
                f"{task.title}\n  {'':30} accuracy macro-F1   ECE  seconds  CPU s  peak MiB",
                flush=True,
            )
            for way in ways(task, options, Path(name)):
                spent = [run(command) for command in way.commands]
                right, f1, gap = scores(Path(name) / "out.tsv", task, options.label)
                wall, cpu, peaks = zip(*spent, strict=True)
                print(
                    f"  {way.name:30} {right:8.3f} {f1:8.3f} {gap:5.3f} {sum(wall):8.1f}"
                    f" {sum(cpu):6.1f} {max(peaks):9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
