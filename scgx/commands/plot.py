"""`scgx plot`: cells in an embedding, by label or gene; or how a model was trained."""

from pathlib import Path
from typing import Annotated

import typer

from scgx.commands import _options as opt
from scgx.errors import DataError, UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "look"


def plot(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    basis: Annotated[
        str | None,
        typer.Option("--basis", metavar="umap|pca|KEY", help="of obsm (default: umap, else pca)"),
    ] = None,
    color: opt.ColorOpt = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    quiet: opt.QuietOpt = False,
) -> None:
    """Draw cells in an embedding, a panel for each --color; of a model, how it was trained.

    A color is a column of obs, or a gene by its id or symbol, in log1p CP10k. Cells that lie on each
    other are drawn in random order where they have classes, the largest values last where they have
    numbers; grey ones have neither. A model shows its losses by epoch, pca and lsi the variance of
    their components. The picture is png, svg or pdf by the suffix of -o, png on stdout.

    Example:
    scgx embed pca split.h5ad | scgx plot --color cell_type --color donor -o cells.png
    scgx train pca split.h5ad | scgx plot -o variance.svg
    """
    streams.apart(output, input)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    streams.glance(input)
    from scgx import plots

    plots.check_kind(Path(output))
    with streams.source(input) as src:
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact, colours, spaces
        from scgx.learn.describe import is_model

        if is_model(src.path):
            for option, value in (("--basis", basis), ("--color", color)):
                if value:
                    raise UsageError(f"{option} is of cells, and this is a model", file=src.name)
            found = artifact.read(src.path, src.name)
            if "explained_ratio" in found.summary:
                plots.explained(found.summary["explained_ratio"], Path(output))
            elif not found.header.records:
                raise DataError(
                    f"is a {found.header.model} model, which is solved and not trained in epochs",
                    file=src.name,
                )
            else:
                plots.curve(found.header.records, Path(output))
            return
        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            panels = colours.panels(cells, color or [])
            key = spaces.basis_of(cells, basis)
            plots.cells(spaces.read(cells, key)[:, :2], panels, key, Path(output))
