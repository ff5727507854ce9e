"""`scgx explain`: which genes speak for which class?"""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "look"


def explain(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL.scgx]", help="a trained classifier, or -")
    ] = "-",
    cells: Annotated[
        str | None, typer.Option("--cells", metavar="FILE", help="what speaks in these cells")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="how many genes of each class")] = 10,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="a line per gene as TSV")
    ] = None,
    plot: opt.PlotOpt = None,
    json: opt.JsonOpt = False,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    quiet: opt.QuietOpt = False,
) -> None:
    """Show the genes that speak most for each class of a classifier, by symbol.

    logistic says its coefficients, xgboost the gain of its trees, mlp the slope at the mean cell,
    tabnet the attention of its masks, ensemble shares of its members' weights. With --cells it is over
    the cells called the class: the mean SHAP value, of mlp the mean slope, of tabnet the mean
    attention. Weights of different models are no common measure.

    Example:
    scgx train logistic split.h5ad --from rna --label cell_type -q | scgx explain --top 3
    """
    if model == "-" and cells == "-":
        raise UsageError("model and cells cannot both be stdin", fix="name one of them")
    named = [model, *([cells] if cells is not None else [])]
    for written in (table, plot):
        streams.apart(written, *named)
    streams.distinct(table, plot, "-" if json else None)
    budget = parse_memory(memory)
    if plot is not None:
        from scgx import plots

        plots.check_kind(plot)
    streams.use_tmpdir(tmpdir)
    with ExitStack() as stack:
        trained, *others = [stack.enter_context(streams.source(name)) for name in named]
        lines = stack.enter_context(streams.sink(str(table))) if table is not None else None
        from scgx.learn.threads import limit

        limit(threads)
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact
        from scgx.learn.explain import explained

        found = artifact.read(trained.path, trained.name)
        opened = [
            stack.enter_context(open_cells(src.path, name=src.name, memory=budget))
            for src in others
        ]
        told = explained(found, opened[0] if opened else None, top=top)
        if lines is not None:
            told.tsv(lines.path)
        if plot is not None:
            plots.weights(told, plot)
        if json:
            import json as encoder
            from dataclasses import asdict

            sys.stdout.write(encoder.dumps(asdict(told), indent=1, sort_keys=True) + "\n")
            return
        progress.table(
            f"{told.model}: {told.kind}",
            ["class", "rank", "gene", "feature", "weight"],
            [[c, r, gene, f, f"{weight:.4g}"] for c, r, gene, f, weight in told.rows()],
            file=sys.stderr if str(table) == "-" else sys.stdout,
        )
