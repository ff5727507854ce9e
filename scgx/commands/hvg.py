"""`scgx hvg`: the features that vary, chosen on training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.errors import DataError, UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    from scgx.cells.hvg import Chosen

PANEL = "shape"

NumberOpt = Annotated[
    int, typer.Option("--n", metavar="N", min=1, help="how many features to choose")
]
FlavorOpt = Annotated[
    str,
    typer.Option(
        "--flavor",
        metavar="seurat_v3|pearson",
        help="variance against its trend, or residuals of counts",
        autocompletion=words("seurat_v3", "pearson"),
    ),
]
BatchOpt = Annotated[
    str | None,
    typer.Option("--batch", metavar="COLUMN", help="rank within each level, merge the ranks"),
]
SubsetOpt = Annotated[
    bool, typer.Option("--subset", help="keep these features (and other modalities) alone")
]


def hvg(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    n: NumberOpt = 2000,
    flavor: FlavorOpt = "seurat_v3",
    batch: BatchOpt = None,
    subset: SubsetOpt = False,
    modality: opt.ModalityOpt = None,
    layer: opt.LayerOpt = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Mark the most variable features in var["highly_variable"], from the counts of training rows.

    Counts are X, else layers["counts"], else raw, else the --layer named. Without a split all rows
    are used, which is recorded, and score says so. Ranks, means and variances go into var under
    scanpy's names, and the choice is scanpy's on the same rows. A feature that only some of several
    datasets measured is judged by their cells.

    Example:
    scgx fetch demo | scgx split --by donor | scgx hvg --n 200 > marked.h5ad
    scgx hvg split.h5ad --n 100 --flavor pearson --batch donor --subset > chosen.h5ad
    """
    if flavor not in ("seurat_v3", "pearson"):
        raise UsageError(f"no flavor {flavor!r}", fix="seurat_v3, pearson")
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src, streams.sink(output) as dst:
        import numpy as np

        from scgx.cells.counted import counted, main_modality
        from scgx.cells.hvg import choose, marked
        from scgx.cells.moments import panel
        from scgx.h5ad.fitted import record, rows_to_fit
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.select import select_columns
        from scgx.h5ad.totals import missing_totals, write_totals
        from scgx.h5ad.writer import create
        from scgx.registry import suggest

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            if batch is not None and batch not in cells.obs:
                near = suggest(batch, list(cells.obs.columns))
                raise DataError(f"no column {batch!r} in obs", fix=near, file=cells.name)
            source = counted(cells, main_modality(cells, modality), layer)
            rows = rows_to_fit(cells)
            view = panel(cells, source, rows.rows, batch)
            chosen = choose(cells, view, flavor, n, budget)
            _report(chosen, n, f"{source.modality} features by {source.key} of {rows}")
            table = marked(cells.var, chosen, source.columns)
            with create(dst.path, like=None if dst.piped else cells) as out:
                if subset:
                    keep = np.ones(cells.n_var, dtype=bool)
                    keep[source.columns] = chosen.marked
                    totals = missing_totals(cells)
                    select_columns(cells, out, np.flatnonzero(keep), var=table, totals=totals)
                    write_totals(cells, out, totals)
                else:
                    out.frame("var", table)
                out.copy_rest(cells, skip=("varm", "varp") if subset else ())
                words = "seurat_v3" if flavor == "seurat_v3" else "pearson_residuals"
                out.uns("hvg", {"flavor": words})
                out.uns(
                    f"scgx/fitted/features/{source.modality}", record(cells, f"hvg {flavor}", rows)
                )
                sign(out, [cells], keep=history)


def _report(chosen: Chosen, n: int, what: str) -> None:
    count, of = int(chosen.marked.sum()), len(chosen.marked)
    progress.say(f"chose {count:,} of {of:,} {what}")
    if n >= of:
        progress.warn(f"--n {n:,} is no choice: there are {of:,} features")
