"""Every benchmark, one after the other: `make bench`, or `make bench SCALE=1` for the full size.

    python benchmarks/run.py [--scale 0.2] [--repeats 3] [--peer PYTHON ...]

The scale is that of the files that are made: 1 is 200,000 cells x 20,000 features (1.9 GB), a text of
20,000 x 20,000 (0.8 GB) and an annotation of GENCODE's size. Seconds depend on the machine and on who
else uses it; the ratios, measured in turns in one run, are what counts.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Run each in its own process; the first that fails ends the run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], help="a Python with other peers")
    options = parser.parse_args()
    cells = max(1000, int(200_000 * options.scale))
    genes = max(1000, int(62_000 * options.scale))
    repeats = ["--repeats", str(options.repeats)]
    peer = [word for python in options.peer for word in ("--peer", python)]
    for title, command in {
        "start-up": ["startup.py", "--repeats", "7"],
        "filter-chrom, plain": ["filter_chrom.py", "--cells", str(cells), *repeats],
        "filter-chrom, gzip": ["filter_chrom.py", "--gzip", "--cells", str(cells // 2), *repeats],
        "loaders": ["loaders.py", "--cells", str(cells), *repeats, *peer],
        "transpose": ["transpose.py", "--cells", str(cells // 10), *repeats, *peer],
        "h5ad and Matrix Market, turned": ["turning.py", "--cells", str(cells), *repeats],
        "classifiers": ["classifiers.py", "--cells", str(cells)],
        "embedding": ["embedding.py", "--cells", str(cells // 2), *repeats, *peer],
        "generation": ["generation.py", "--cells", str(cells // 10), *repeats, *peer],
        "annotation": ["annotation.py", "--genes", str(genes), *repeats],
    }.items():
        print(f"\n== {title}", flush=True)
        subprocess.run([sys.executable, str(HERE / command[0]), *command[1:]], check=True)


if __name__ == "__main__":
    main()
