"""How long a command takes to say something, beside `import anndata`.

    python benchmarks/startup.py [--repeats 7]

Every process is started afresh, all of them in turns. The goal: help, completion and a wrong file name
under 0.25 s where `import anndata` takes 1.6 s, that is, at least 6 x faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

SCGX = [sys.executable, "-m", "scgx"]
COMPLETE = {"_SCGX_COMPLETE": "complete_bash", "COMP_WORDS": "scgx train ", "COMP_CWORD": "2"}

COMMANDS: dict[str, tuple[list[str], dict[str, str]]] = {
    "import anndata": ([sys.executable, "-W", "ignore", "-c", "import anndata"], {}),
    "import numpy, h5py, pandas": (
        [sys.executable, "-c", "import numpy, h5py, pandas"],
        {},
    ),
    "bare python": ([sys.executable, "-c", ""], {}),
    "scgx --help": ([*SCGX, "--help"], {}),
    "scgx filter-chrom X wrong-name.h5ad": ([*SCGX, "filter-chrom", "X", "wrong-name.h5ad"], {}),
    "scgx train cnm cells.h5ad": ([*SCGX, "train", "cnm", __file__], {}),
    "TAB after scgx train": (SCGX, COMPLETE),
    "scgx fetch --list": ([*SCGX, "fetch", "--list"], {}),
}


def seconds(command: list[str], more: dict[str, str]) -> float:
    """Wall time of one process, whatever its exit code."""
    began = time.perf_counter()
    subprocess.run(
        command,
        env={**os.environ, **more},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def main() -> None:
    """Measure in turns; print medians, and how many times faster than `import anndata`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.repeats):
        for name, (command, more) in COMMANDS.items():
            found[name].append(seconds(command, more))
    base = statistics.median(found["import anndata"])
    for name, walls in found.items():
        wall = statistics.median(walls)
        print(f"{name:42} {wall:6.3f} s   {base / wall:6.1f} x faster")


if __name__ == "__main__":
    main()
