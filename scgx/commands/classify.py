"""`scgx classify`: what cell is this, how sure is that, and what else might it be?"""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from scgx.cluster import work
from scgx.commands import _options as opt
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "learn"


def classify(
    model: Annotated[str, typer.Argument(metavar="MODEL.scgx", help="a trained model, or -")],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    reject: Annotated[
        float | None,
        typer.Option("--reject", metavar="P", min=0, max=1, help="below it a cell is unknown"),
    ] = None,
    reject_novel: Annotated[
        float | None,
        typer.Option(
            "--reject-novel",
            min=0.5,
            max=0.9999,
            metavar="SHARE",
            help="cells less like their class than this share of validation cells are unknown",
        ),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="how many classes to name per cell")] = 3,
    coarse: Annotated[
        bool, typer.Option("--coarse", help="classes of the model's label map, not the fine ones")
    ] = False,
    adapt: Annotated[
        bool, typer.Option("--adapt", help="self-training on the cells of the file, all together")
    ] = False,
    majority_vote: Annotated[
        str | None,
        typer.Option(
            "--majority-vote", metavar="COLUMN|knn", help="cells of a cluster, or neighbours, vote"
        ),
    ] = None,
    coverage: Annotated[
        float | None,
        typer.Option(
            "--coverage", min=0.01, max=0.9999, help="sets that hold the true class this often"
        ),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="a line per cell as TSV")
    ] = None,
    composition: Annotated[
        str | None,
        typer.Option("--composition", metavar="COLUMN", help="print shares of classes per sample"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option("--reference", metavar="FILE", help="a tissue that samples are compared with"),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="the composition as a picture")
    ] = None,
    min_overlap: opt.MinOverlapOpt = 0.05,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    dask: opt.DaskOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Name the type of every cell, with calibrated probabilities.

    The input is copied as it is; obs gains scgx_label, scgx_label_prob, the next best classes,
    scgx_label_entropy, scgx_novelty and scgx_unknown, and obsm["scgx_prob"] the probabilities of all
    classes. Genes pair by id or symbol, and depth is computed on those that model and file share.
    scgx_novelty is high for types that the model never saw, of which a probability does not tell: it
    adds the distance of a cell's counts from its class to the odds against it. --adapt is for
    cells of another study: they teach one another, and a cell's name depends on the others.
    --majority-vote averages probabilities over clusters, or over the nearest cells. --coverage adds
    scgx_set, the classes that a cell may be; one with none or several of them is unknown.
    --composition prints to stdout, or to stderr where the cells go to stdout.

    Example:
    scgx train logistic split.h5ad --label cell_type -q | scgx classify - split.h5ad -o named.h5ad
    """
    from scgx.errors import UsageError

    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    work.check(dask)
    if model == "-" and input == "-":
        raise UsageError("model and cells cannot both be stdin", fix="name one of them")
    if output == "-" and table is not None and str(table) == "-":
        raise UsageError("cells and table cannot both be stdout", fix="name one of them")
    streams.apart(output, model)
    streams.apart(table, model, input)
    streams.distinct(output, table, plot)
    if composition is None and (reference is not None or plot is not None):
        raise UsageError("--reference and --plot are of samples", fix="name --composition COLUMN")
    if reference == "-" and "-" in (model, input):
        raise UsageError("only one of the files can be stdin", fix="name the others by path")
    if plot is not None:
        from scgx import plots

        plots.check_kind(plot)
        streams.apart(plot, model, input)
    with ExitStack() as stack:
        trained = stack.enter_context(streams.source(model))
        src = stack.enter_context(streams.source(input))
        dst = stack.enter_context(streams.sink(output))
        stack.enter_context(work.opened(dask, streams.scratch, threads=threads))
        lines = stack.enter_context(streams.sink(str(table))) if table is not None else None
        tissue = stack.enter_context(streams.source(reference)) if reference is not None else None
        from scgx.learn.threads import limit

        limit(threads)
        from scgx.commands._classify_composition import show
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact, calls, classification
        from scgx.learn.composition import of_samples, of_tissue
        from scgx.learn.labels import groups_of

        wish = classification.Wish(
            min_overlap, reject, reject_novel, top, coarse, adapt, majority_vote, coverage, history
        )
        found = artifact.read(trained.path, trained.name)
        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            samples = groups_of(cells, composition) if composition is not None else None
            beside = None
            if tissue is not None:
                with open_cells(tissue.path, name=tissue.name, memory=budget) as there:
                    beside = of_tissue(there, found, coarse=coarse)
            called = classification.write(found, cells, dst, wish)
            if lines is not None:
                calls.table(dict(called.columns()), cells.obs_names, lines.path)
        if composition is not None and samples is not None:
            made = of_samples(called, samples, composition, beside)
            if plot is not None:
                plots.composition(made, plot)
            busy = "-" in (output, str(table))
            show(made, sys.stderr if busy else sys.stdout)
