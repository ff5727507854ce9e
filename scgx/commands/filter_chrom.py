"""`scgx filter-chrom`: keep the features on some chromosomes."""

from typing import Annotated

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "shape"


def filter_chrom(
    chroms: Annotated[str, typer.Argument(metavar="CHROMS", help="X, chr1,chr2, chr1:1-5000000, ^MT")],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Keep the features on chromosomes or regions, all modalities at once.

    Example:
    scgx fetch demo | scgx filter-chrom X > x.h5ad
    """
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src, streams.sink(output) as dst:
        import numpy as np

        from scgx.errors import DataError
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.select import select_columns
        from scgx.h5ad.writer import create

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            chrom = cells.var.strings("chrom")
            wanted = {c if c.startswith("chr") else f"chr{c}" for c in chroms.split(",")}
            columns = np.flatnonzero([c in wanted for c in chrom])
            if not len(columns):
                raise DataError(f"no feature lies on {chroms}", file=cells.name)
            with create(dst.path, like=None if dst.piped else cells) as out:
                select_columns(cells, out, columns)
                out.copy_rest(cells, skip=("var", "varm", "varp"))
                sign(out, [cells], keep=history)
            progress.say(f"kept {len(columns):,} of {cells.n_var:,} features")
