"""`scgx align`: which cell of one modality is which of another."""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    import numpy as np

    from scgx.h5ad.cells import Cells

PANEL = "learn"


def align(
    first: Annotated[
        str, typer.Argument(metavar="MODEL.scgx|A", help="a trained model; or cells, with --model")
    ],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODEL.scgx", help="match cells A with those of INPUT"),
    ] = None,
    rows: opt.RowsOpt = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="COLUMN", help="match within its levels only")
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="transport|softmax|mutual",
            help="how weights are made",
            autocompletion=words("transport", "softmax", "mutual"),
        ),
    ] = "transport",
    one_to_one: Annotated[
        bool, typer.Option("--one-to-one", help="each cell at most once, the best sum of all")
    ] = False,
    keep: Annotated[
        int, typer.Option("--keep", min=1, max=1000, help="weights of a row, at most")
    ] = 1000,
    transfer: Annotated[
        str | None,
        typer.Option("--transfer", metavar="COLUMN", help="labels that cells take from partners"),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option("--pairs", metavar="FILE", help="cells with both modalities, to learn from"),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", min=1e-6, max=1e6, help="of similarities (default: from pairs)"
        ),
    ] = None,
    sharpness: Annotated[
        float | None,
        typer.Option(
            "--sharpness", min=0.01, max=1e6, help="weights are so much sharper than likely"
        ),
    ] = None,
    min_overlap: opt.MinOverlapOpt = 0.05,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Match cells across modalities: the two sides of one file, or two files.

    The model joins modalities (cca, multivae) or predicts one from the other; its inputs are the
    rows of the output where one file has both. The pairing of that file is not used, but for its
    validation rows, from which the temperature is learned; --pairs names other ones. transport
    keeps cells that are near to everything from taking every match (Sinkhorn); softmax does not;
    mutual keeps pairs that are each other's best. X has the weights, obs the best partner
    (match), how likely it is (match_confidence), and whether each is the other's best. Column
    names of X are the names of the cells of the other side.

    Example:
    scgx train cca split.h5ad -q | scgx align - split.h5ad --transfer cell_type -o matched.h5ad
    """
    from scgx.errors import UsageError

    if method not in ("transport", "softmax", "mutual"):
        raise UsageError(f"--method {method!r} is unknown", fix="transport, softmax or mutual")
    if one_to_one and method == "mutual":
        raise UsageError(
            "--one-to-one has a partner for each cell, mutual has not", fix="one of both"
        )
    named = [name for name in (first, input, model, pairs) if name is not None]
    if named.count("-") > 1:
        raise UsageError("only one of the files can be stdin", fix="name the others by path")
    streams.apart(output, *named)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with ExitStack() as stack:
        trained = stack.enter_context(streams.source(first if model is None else model))
        files = [stack.enter_context(streams.source(input))]
        if model is not None:
            files.insert(0, stack.enter_context(streams.source(first)))
        more = None if pairs is None else stack.enter_context(streams.source(pairs))
        dst = stack.enter_context(streams.sink(output))
        from scgx.learn.threads import limit

        limit(threads)
        from scgx.h5ad.reader import open_cells
        from scgx.learn import alignment, artifact
        from scgx.learn.meeting import Meeting
        from scgx.learn.prediction import choose_rows

        found = artifact.read(trained.path, trained.name)
        opened = [
            stack.enter_context(
                open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x)
            )
            for src in (files if more is None else [*files, more])
        ]
        for cells in opened:
            cells.require_unique("obs")
        known = _known(opened[-1], more is not None)
        meeting = Meeting(found, min_overlap, known)
        chosen = [choose_rows(cells, rows, found.header.split) for cells in opened[: len(files)]]
        left, right = meeting.parts(opened[: len(files)], chosen)
        ask = alignment.Request(
            method, by, one_to_one, keep, temperature, sharpness, transfer, history
        )
        alignment.write(dst, meeting, left, right, ask)


def _known(cells: "Cells", every: bool) -> "tuple[Cells, np.ndarray] | None":
    """Cells whose pairing may be used: all of --pairs (its validation rows where it has a split), the
    validation rows of the input otherwise.
    """
    import numpy as np

    from scgx.learn.parts import parts_of

    stored = parts_of(cells)
    if stored is not None and len(stored.val):
        return cells, stored.val
    return (cells, np.arange(cells.n_obs)) if every and stored is None else None
