"""`scgx predict`: one modality from another, with a trained model."""

from typing import Annotated

import typer

from scgx.commands import _options as opt
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "learn"


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL.scgx", help="a trained model, or -")],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    rows: Annotated[
        str | None,
        typer.Option("--rows", metavar="test|val|train|all", help="default: test, if split"),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from", help="of a model that goes both ways", autocompletion=opt.MODALITIES
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--to", help="the other modality", autocompletion=opt.MODALITIES),
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", metavar="FILE|N", help="only these targets")
    ] = None,
    min_overlap: Annotated[
        float,
        typer.Option("--min-overlap", min=0, max=1, help="share of inputs that must be there"),
    ] = 0.05,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Predict a modality of the test rows (of all rows where the input has no split).

    X is dense float32 in the units that the model learned; obs is copied. --features N keeps the N
    targets that varied most in training. A joint model predicts either modality: --from and --to say
    which, and without them it is the one of its training.

    Example:
    scgx predict ridge.scgx split.h5ad | scgx score split.h5ad -
    """
    from scgx.errors import UsageError
    from scgx.learn.threads import limit

    limit(threads)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    if model == "-" and input == "-":
        raise UsageError("model and cells cannot both be stdin", fix="name one of them")
    streams.apart(output, model, input)
    with (
        streams.source(model) as trained,
        streams.source(input) as src,
        streams.sink(output) as dst,
    ):
        from scgx.h5ad.features import parse_modality
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact
        from scgx.learn.prediction import Request, write

        found = artifact.read(trained.path, trained.name)
        start, end = (parse_modality(word) if word else None for word in (source, target))
        request = Request(rows, features, min_overlap, history, start, end)
        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            write(found, cells, dst, request)
