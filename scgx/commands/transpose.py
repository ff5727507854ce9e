"""`scgx transpose`: genes x cells as cells x genes, whatever kind of file they are in."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    import numpy as np

    from scgx.h5ad import text
    from scgx.h5ad.frame import Frame

PANEL = "shape"
_SEPARATORS = {"csv": b",", "tsv": b"\t", "txt": b"\t"}

FormatOpt = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="h5ad|csv|tsv[.gz]",
        help="what to write (default: by the suffix of the output, else h5ad)",
        autocompletion=words("h5ad", "csv", "tsv", "csv.gz", "tsv.gz"),
    ),
]
ObsOpt = Annotated[
    str | None,
    typer.Option("--obs", metavar="FILE", help="a table about the cells of a text, TSV or CSV"),
]
NaOpt = Annotated[
    str | None,
    typer.Option(
        "--na",
        metavar="error|zero",
        help="missing values of a text: refused (the default), or read as 0 and counted",
        autocompletion=words("error", "zero"),
    ),
]
RelabelOpt = Annotated[
    bool,
    typer.Option(
        "--relabel", help="an h5ad of CSR becomes CSC: at once, but slow to read by the cell"
    ),
]


class _Job(NamedTuple):
    """What to make, and how: `separator` is empty for h5ad."""

    separator: bytes
    packed: bool
    na: str | None
    memory: int
    genome_10x: str | None
    history: bool
    relabel: bool


def transpose(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    format: FormatOpt = None,
    obs: ObsOpt = None,
    na: NaOpt = None,
    relabel: RelabelOpt = False,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Turn genes x cells into cells x genes, larger than memory or not: text, h5ad and others.

    Text is separated by tabs, commas, semicolons or blanks, quoted or not, plain or packed (gzip,
    bzip2, zstd). Its first line names the cells, with a cell above the genes or none, its first
    column the genes. Whole numbers stay so and every value is exact; what is no number is refused
    with its line. From text to text the bytes of the values are copied as they are.

    Example:
    scgx fetch demo --modality rna | scgx transpose > genes-by-cells.h5ad
    scgx transpose rna.h5ad -o counts.tsv.gz && scgx transpose counts.tsv.gz -o back.h5ad
    """
    if na not in (None, "error", "zero"):
        raise UsageError(f"--na {na!r} is unknown", fix="there is error and zero")
    if obs == "-" == input:
        raise UsageError("stdin can be read once", fix="name a file for --obs")
    separator, packed = _format(format, output)
    if separator and (obs or na):
        raise UsageError(
            f"{'--obs' if obs else '--na'} is of no use to text", fix="write h5ad, or leave it out"
        )
    job = _Job(separator, packed, na, parse_memory(memory), genome_10x, history, relabel)
    streams.use_tmpdir(tmpdir)
    streams.glance(input, *([obs] if obs else []))
    with contextlib.ExitStack() as stack:
        src = stack.enter_context(streams.source(input))
        table = stack.enter_context(streams.source(obs)) if obs else None
        dst = stack.enter_context(streams.sink(output))
        from scgx.h5ad import text_stream

        if text_stream.is_text(src.path, src.name):
            if relabel:
                raise UsageError("--relabel is of no use to text", file=src.name)
            _text(src, table, dst, job)
        elif obs or na:
            option, fix = ("--na", None) if na else ("--obs", "scgx join INPUT --obs FILE adds it")
            raise UsageError(f"{option} is about text, and this is none", fix=fix, file=src.name)
        else:
            _cells(src, dst, job)


def _format(format: str | None, output: str) -> tuple[bytes, bool]:
    """The separator of text (empty for h5ad), and whether it is packed."""
    wish = format.lower() if format else output.lower()
    plain = wish.removesuffix(".gz")
    kind = plain if format else plain.rpartition(".")[2]
    if format and wish not in ("h5ad", "csv", "tsv", "csv.gz", "tsv.gz"):
        raise UsageError(f"--format {format!r} is unknown", fix="h5ad, csv, tsv, csv.gz or tsv.gz")
    return _SEPARATORS.get(kind, b""), wish.endswith(".gz") and kind in _SEPARATORS


def _text(src: streams.Source, table: streams.Source | None, dst: streams.Sink, job: _Job) -> None:
    """A text matrix, as h5ad or as text."""
    if job.separator:
        from scgx.h5ad.text_turn import to_text

        to_text(
            src.path, dst.path, memory=job.memory, separator=job.separator, packed=job.packed,
            name=src.name,
        )  # fmt: skip
        return
    from scgx.h5ad import history
    from scgx.h5ad.text import to_h5ad

    to_h5ad(
        src.path, dst.path, memory=job.memory, na=job.na or "error", name=src.name,
        obs=_beside(table) if table else None,
        finish=lambda out: history.sign(
            out, [history.Origin.of(src.path, src.name)], keep=job.history
        ),
    )  # fmt: skip


def _beside(table: streams.Source) -> text.Obs:
    """What makes obs out of the names of the cells and a table about them."""
    from scgx.cells import metadata
    from scgx.cells.joined import describe

    read = metadata.read(table.path, table.name)

    def obs(names: np.ndarray) -> Frame:
        found = metadata.find(names, read, table.name)
        progress.say(describe(found, table.name))
        if found.missing:
            progress.warn(f"{found.missing:,} cells are kept, with nothing known about them")
        return found.frame

    return obs


def _cells(src: streams.Source, dst: streams.Sink, job: _Job) -> None:
    """Cells of any kind, turned; as text by way of a temporary h5ad."""
    from scgx.h5ad.history import sign
    from scgx.h5ad.reader import open_cells
    from scgx.h5ad.transpose import BY_FEATURE, transpose_cells
    from scgx.h5ad.writer import create

    with contextlib.ExitStack() as stack:
        cells = stack.enter_context(
            open_cells(src.path, name=src.name, memory=job.memory, genome_10x=job.genome_10x)
        )
        obs, var = cells.obs, cells.var  # are looked through by being read
        made = dst.path
        if job.separator:
            made = stack.enter_context(streams.temporary(streams.tmpdir()))
        with create(made, like=None if dst.piped or job.separator else cells) as out:
            if cells.kind in BY_FEATURE:
                out.copy_rest(cells)
            else:
                transpose_cells(cells, out, memory=job.memory, relabel=job.relabel)
            sign(out, [cells], keep=job.history)
        if job.separator:
            from scgx.h5ad.text_write import write_text

            turned = stack.enter_context(open_cells(made, name=src.name, memory=job.memory))
            write_text(
                turned, dst.path, memory=job.memory, separator=job.separator, packed=job.packed
            )
        shape = f"{len(obs):,} x {len(var):,}"
        turned_to = f"{len(var):,} x {len(obs):,} from {shape}"
        progress.say(shape if cells.kind in BY_FEATURE else turned_to)
