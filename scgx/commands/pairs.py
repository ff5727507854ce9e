"""`scgx pairs`: cells of an atlas in pairs, laid out as a screen, and marked as none."""

from typing import Annotated

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.errors import DataError, UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "shape"

WithinOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--within",
        metavar="COLUMN",
        help="partners agree in it; repeatable (default: type, donor, batch, dataset)",
    ),
]
GenesOpt = Annotated[
    int, typer.Option("--genes", metavar="N", min=2, help="keep the genes that differ most")
]
NumberOpt = Annotated[
    int | None, typer.Option("--n", metavar="N", min=1, help="at most so many pairs")
]
SeenOpt = Annotated[
    float, typer.Option("--min-seen", metavar="F", help="share of cells that a gene is seen in")
]


def pairs(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    within: WithinOpt = None,
    genes: GenesOpt = 100,
    n: NumberOpt = None,
    min_seen: SeenOpt = 0.1,
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Pair the cells of an atlas, each pair labelled with a gene that differs: correlation, not cause.

    An atlas has no perturbations. Pairs of cells that agree in type, donor and batch are written as
    a screen: the first cell is the control, the second is labelled with one gene, at random among
    those that both measured and that differ (`GENE` where it has more, `GENE=-1` where less). What
    `train --label perturbation` learns from them is which genes go together; uns["scgx"] and `score`
    say so. Genes are chosen by how much they differ between partners, unmeasured ones by nothing;
    obs["scgx_control"] names the partner.

    Example:
    scgx fetch demo --modality rna | scgx pairs --genes 50 | scgx split --by perturbation > pairs.h5ad
    """
    if not 0 <= min_seen < 1:
        raise UsageError(f"--min-seen {min_seen} is no share", fix="--min-seen 0.1")
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src, streams.sink(output) as dst:
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.rows import WRITTEN, select_rows
        from scgx.h5ad.select import select_var
        from scgx.h5ad.writer import create
        from scgx.learn import pairs as engine

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            wanted = engine.Wanted(genes, n, min_seen, seed)
            try:
                made = engine.pair(cells, engine.within(cells.obs, within or []), wanted)
            except DataError as error:
                error.file = error.file or cells.name
                raise
            for line in made.notes:
                progress.say(line)
            progress.warn(made.mark)
            with create(dst.path, like=None if dst.piped else cells) as out:
                for lost in select_rows(cells, out, made.rows, made.columns):
                    progress.warn(f"left out {lost}, which has no rows that could be taken")
                out.frame("obs", made.obs)
                if made.totals is not None and "total_counts_rna" not in made.obs:
                    out.column("obs", "total_counts_rna", made.totals)
                select_var(cells, out, made.columns)
                out.copy_rest(cells, skip=(*WRITTEN, "var", "varm", "varp"))
                out.uns("scgx/observational", made.mark)
                sign(out, [cells], seed=seed, keep=history)
