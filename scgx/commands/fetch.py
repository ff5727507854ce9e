"""`scgx fetch`: a public dataset by its name, or any address, as h5ad."""

import json as encoder
import sys
from typing import Annotated

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.errors import UsageError
from scgx.h5ad import streams

PANEL = "get"

NameArg = Annotated[str, typer.Argument(metavar="NAME|URL", help="a dataset (--list), or https://")]
Size = Annotated[int | None, typer.Option(min=1, help="of demo: how many", show_default=False)]


def fetch(
    name: NameArg = "",
    output: opt.OutputOpt = "-",
    list_: Annotated[bool, typer.Option("--list", help="what there is, as a table")] = False,
    info: Annotated[str | None, typer.Option(metavar="NAME", help="all about one dataset")] = None,
    json: opt.JsonOpt = False,
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="what the bytes must be")] = None,
    from_file: Annotated[
        str | None, typer.Option(metavar="PATH", help="the file, got by hand; same checks")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="ask the cache only")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="hash cached files again")] = False,
    modality: opt.ModalityOpt = None,
    cells: Size = None,
    genes: Size = None,
    peaks: Size = None,
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Get a public dataset as h5ad: cached, verified, resumed; `demo` is made offline.

    Annotations (gencode-human) come as the file they are. Any https address works too.

    Example:
    scgx fetch demo | scgx filter-chrom X > x.h5ad
    scgx fetch demo --cells 300 -o small.h5ad
    """
    from scgx.datasets import _catalog

    if list_ or info:
        _show(_catalog.names() if list_ else [info or ""], json=json, whole=bool(info))
        return
    if not name:
        raise UsageError("name a dataset or an address", fix="see scgx fetch --list")
    dataset = _catalog.load(name)
    streams.use_tmpdir(tmpdir)
    with streams.sink(output) as dst:
        from scgx.cells import multiome_h5ad

        multiome_h5ad.write(
            dst.path,
            cells=cells or 1200,
            genes=genes or 300,
            peaks=peaks or 1500,
            seed=seed,
            keep_history=history,
        )
