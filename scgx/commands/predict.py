"""`scgx predict`: one modality from another, with a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from scgx.cluster import work
from scgx.commands import _options as opt
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "learn"


def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL.scgx", help="a trained model, or -")],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    rows: opt.RowsOpt = None,
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
    perturb: Annotated[
        list[str] | None,
        typer.Option("--perturb", metavar="GENE[=DOSE][+GENE]", help="repeatable; of responses"),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            "--like", metavar="TABLE", help="perturbations of a table, in place of --perturb"
        ),
    ] = None,
    controls: Annotated[
        int | None,
        typer.Option("--controls", metavar="N", min=1, help="of each stratum (default 500)"),
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
    """Predict a modality of the test rows (of all rows where the input has no split).

    X is dense float32 in the units that the model learned; obs is copied. --features N keeps the N
    targets that varied most in training. A joint model predicts either modality: --from and --to say
    which, and without them it is the one of its training. A model of responses writes control
    cells as they would be under each --perturb (A, A+B, STAT1=-1), or under each perturbation that
    the test rows have; obs says which control each was made of.

    Example:
    scgx predict ridge.scgx split.h5ad | scgx score split.h5ad -
    scgx train additive screen.h5ad -q | scgx predict - screen.h5ad > responses.h5ad
    """
    from scgx.errors import UsageError
    from scgx.learn.threads import limit

    limit(threads)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    work.check(dask)
    if model == "-" and input == "-":
        raise UsageError("model and cells cannot both be stdin", fix="name one of them")
    streams.apart(output, model, input)
    if perturb and like:
        raise UsageError("--perturb and --like say the same thing", fix="give one of them")
    with (
        streams.source(model) as trained,
        streams.source(input) as src,
        streams.sink(output) as dst,
        work.opened(dask, streams.scratch, threads=threads),
    ):
        from scgx.h5ad.features import parse_modality
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact, response
        from scgx.learn.prediction import Request, write

        found = artifact.read(trained.path, trained.name)
        if found.header.task == "response":
            _refuse_modality(found.name, source, target, features)
            asked = response.Asked(
                _perturbations(perturb, like),
                rows,
                controls or response.CONTROLS,
                min_overlap,
                history,
            )
            with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
                response.write(found, cells, dst, asked)
            return
        if perturb or like or controls:
            raise UsageError(
                f"{found.name} predicts a modality",
                fix="leave --perturb, --like and --controls out",
            )
        start, end = (parse_modality(word) if word else None for word in (source, target))
        request = Request(rows, features, min_overlap, history, start, end)
        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            write(found, cells, dst, request)


def _perturbations(given: list[str] | None, like: Path | None) -> tuple[str, ...] | None:
    """What is asked, None for what the file has."""
    from scgx.learn.asked import read_wanted

    return read_wanted(like) if like is not None else tuple(given) if given else None


def _refuse_modality(name: str, *given: str | None) -> None:
    from scgx.errors import UsageError

    if any(given):
        raise UsageError(
            f"{name} answers perturbations, all genes of them",
            fix="leave --from, --to and --features out",
        )
