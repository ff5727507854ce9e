"""`scgx info`: what is in a file."""

import sys

from scgx import progress
from scgx.commands import _options as opt
from scgx.h5ad import streams

PANEL = "look"


def info(
    input: opt.InputArg = "-",
    json: opt.JsonOpt = False,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
) -> None:
    """Show what is in a file of cells or a model: shape, modalities, units, columns, split, history.

    Example:
    scgx fetch demo | scgx info
    """
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src:
        from scgx.learn.describe import summary_of

        summary = summary_of(src.path, src.name, genome_10x)
        if json:
            import json as encoder

            sys.stdout.write(encoder.dumps(summary.facts, indent=1, sort_keys=True) + "\n")
            return
        for title, columns, rows in summary.tables:
            progress.table(title, columns, rows)
            sys.stdout.write("\n")
