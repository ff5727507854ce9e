"""`scgx link`: which peaks go with which genes."""

from contextlib import ExitStack
from pathlib import PurePath
from typing import Annotated

import typer

from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "look"

MOST = 1_000_000_000  # base pairs; no chromosome is longer
FORMATS = ("tsv", "bedpe", "h5ad")


def link(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL.scgx", help="what it makes of each pair, as weight"),
    ] = None,
    reach: Annotated[
        int,
        typer.Option("--reach", metavar="BP", min=0, max=MOST, help="bases from a gene, at most"),
    ] = 250_000,
    upstream: Annotated[
        int,
        typer.Option(
            "--upstream", metavar="BP", min=0, max=MOST, help="that belong to a gene's body"
        ),
    ] = 2_000,
    pool: Annotated[
        int, typer.Option("--pool", metavar="N", min=1, help="cells of a metacell; 1: single cells")
    ] = 50,
    locus: Annotated[
        int,
        typer.Option(
            "--locus", metavar="BP", min=0, max=MOST, help="width of a peak's neighbourhood"
        ),
    ] = 10_000,
    fdr: Annotated[
        float | None,
        typer.Option("--fdr", min=0, max=1, help="only links up to this false discovery rate"),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="tsv|bedpe|h5ad",
            help="by suffix, else tsv; h5ad: the cells, with links in varp",
            autocompletion=words(*FORMATS),
        ),
    ] = None,
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Link peaks to genes: by distance, by correlation over training cells, by what a model sees.

    Features need places (scgx annotate-coords). assigned marks the one gene of each peak: whose body,
    with --upstream bases before it, is nearest. Cells are averaged with those most alike in expression
    (--pool), since single cells are too sparse. z and q compare a pair with pairs of the same gene and
    as open peaks of other chromosomes; around_r, around_z and around_q are of all that is open near the
    peak (--locus is one standard deviation; 0 leaves them out), which tell whether the locus follows
    the gene rather than which peak. --model adds what a prediction of the gene gains when the
    peak is opened.

    Example:
    scgx link split.h5ad -o links.tsv
    scgx link split.h5ad --model ridge.scgx --format bedpe --fdr 0.5 > links.bedpe
    """
    from scgx.errors import UsageError

    if format is None:
        suffix = PurePath(output).suffix[1:].lower()
        format = suffix if suffix in FORMATS else "tsv"
    if format not in FORMATS:
        raise UsageError(f"--format {format!r} is unknown", fix="tsv, bedpe or h5ad")
    if model == "-" and input == "-":
        raise UsageError("model and cells cannot both be stdin", fix="name one of them")
    streams.apart(output, input, *([model] if model else []))
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with ExitStack() as stack:
        trained = None if model is None else stack.enter_context(streams.source(model))
        src = stack.enter_context(streams.source(input))
        dst = stack.enter_context(streams.sink(output))
        from scgx.learn.threads import limit

        limit(threads)
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact, linked
        from scgx.learn.linking import Knobs

        found = None if trained is None else artifact.read(trained.path, trained.name)
        ask = linked.Request(reach, upstream, Knobs(pool, locus, seed), fdr, history)
        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            links = linked.find(cells, found, ask)
            linked.write(dst.path, cells, links, format, keep_history=history)
