"""`scgx join`: modalities of the same cells into one file, by barcode."""

from contextlib import ExitStack
from typing import Annotated

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "shape"

FilesArg = Annotated[list[str], typer.Argument(metavar="FILE...", help="cells; one may be -")]
AsOpt = Annotated[
    str | None,
    typer.Option("--as", metavar="rna,atac", help="the modality of each file, where it is unclear"),
]
ObsOpt = Annotated[
    str | None, typer.Option("--obs", metavar="TABLE", help="TSV or CSV of the cells to add to obs")
]
PositionOpt = Annotated[
    bool,
    typer.Option("--allow-positional", help="pair rows in order where no name agrees"),
]
SharedOpt = Annotated[
    bool, typer.Option("--shared-genes", help="keep the genes that every gene modality has")
]
UniqueOpt = Annotated[bool, typer.Option("--make-unique", help="number repeated names of features")]
FormatOpt = Annotated[
    str | None, typer.Option("--format", metavar="h5ad|h5mu", help="what to write (by suffix)")
]


def join(
    files: FilesArg,
    output: opt.OutputOpt = "-",
    as_: AsOpt = None,
    obs: ObsOpt = None,
    shared_genes: SharedOpt = False,
    allow_positional: PositionOpt = False,
    make_unique: UniqueOpt = False,
    format: FormatOpt = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Join modalities of the same cells into one file, by barcode and never by position.

    `scgx join rna.h5ad atac.h5ad -o paired.h5ad` keeps the cells that both have, in the order of
    the first. Barcodes may differ by what programs add to them (-1, sample#), as long as they stay
    unique. Columns of obs that differ get GEX_, ATAC_ or ADT_ in front. A file whose names are in
    use already keeps its ids in var["gene_id"] and gets its modality behind the names. --obs adds
    a table of text by barcode, to one file too.

    Example:
    scgx fetch demo | scgx join - --format h5mu > demo.h5mu
    """
    budget = parse_memory(memory)
    _check_usage(files, obs, output, format)
    streams.use_tmpdir(tmpdir)
    with ExitStack() as stack:
        sources = [stack.enter_context(streams.source(file)) for file in files]
        table = stack.enter_context(streams.source(obs)) if obs else None
        dst = stack.enter_context(streams.sink(output, mudata=True))
        from scgx.cells import joined
        from scgx.h5ad.history import sign
        from scgx.h5ad.mudata import PREAMBLE, is_mudata
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.writer import create

        share = budget // len(sources)
        cells = [
            stack.enter_context(
                open_cells(src.path, name=src.name, memory=share, genome_10x=genome_10x)
            )
            for src in sources
        ]
        text = None
        if table is not None:
            from scgx.cells import metadata

            text = metadata.read(table.path, table.name)
        as_mudata = is_mudata(output, format)
        like = None if dst.piped else cells[0]
        if len(cells) == 1 and not as_mudata and text is not None and table is not None:
            frame, said = joined.with_metadata(cells[0], text, table.name)
            with create(dst.path, like=like) as out:
                out.frame("obs", frame)
                out.copy_rest(cells[0])
                sign(out, cells, keep=history)
        else:
            options = joined.Options(as_, shared_genes, allow_positional, make_unique)
            plan = joined.plan(cells, options, text, budget)
            with create(dst.path, like=like, preamble=PREAMBLE if as_mudata else b"") as out:
                said = plan.said + joined.write(out, plan, budget, as_mudata=as_mudata)
                sign(out, cells, units=plan.units, keep=history)
        for line in said:
            progress.say(line)


def _check_usage(files: list[str], obs: str | None, output: str, format: str | None) -> None:
    if format not in (None, "h5ad", "h5mu"):
        raise UsageError(f"no format {format!r} to write", fix="--format h5ad or h5mu")
    if [*files, obs].count("-") > 1:
        raise UsageError("- stands for stdin and can be named once")
    mudata = format == "h5mu" or (format is None and output.endswith(".h5mu"))
    if len(files) < 2 and obs is None and not mudata:
        raise UsageError("there is one file and nothing to join it to", fix="name two, or --obs")
