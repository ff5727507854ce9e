"""`scgx qc`: metrics of cells and features, and which of them are good enough."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from scgx import progress
from scgx.cells import bounds
from scgx.cells import where as conditions
from scgx.commands import _options as opt
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "shape"

_BOUND = "BOUND"
MinCountsOpt = Annotated[
    str | None, typer.Option("--min-counts", metavar=_BOUND, help="counts of a cell, at least")
]
MaxCountsOpt = Annotated[
    str | None, typer.Option("--max-counts", metavar=_BOUND, help="counts of a cell, at most")
]
MinGenesOpt = Annotated[
    str | None, typer.Option("--min-genes", metavar=_BOUND, help="genes seen in a cell, at least")
]
MaxGenesOpt = Annotated[
    str | None, typer.Option("--max-genes", metavar=_BOUND, help="genes seen in a cell, at most")
]
MaxMtOpt = Annotated[
    str | None,
    typer.Option("--max-pct-mt", metavar=_BOUND, help="percent of mitochondrial counts, at most"),
]
MinPeakCountsOpt = Annotated[
    str | None, typer.Option("--min-peak-counts", metavar=_BOUND, help="counts in peaks, at least")
]
MaxPeakCountsOpt = Annotated[
    str | None, typer.Option("--max-peak-counts", metavar=_BOUND, help="counts in peaks, at most")
]
MinPeaksOpt = Annotated[
    str | None, typer.Option("--min-peaks", metavar=_BOUND, help="peaks seen in a cell, at least")
]
MaxPeaksOpt = Annotated[
    str | None, typer.Option("--max-peaks", metavar=_BOUND, help="peaks seen in a cell, at most")
]
MinCellsOpt = Annotated[
    int | None,
    typer.Option(
        "--min-cells", metavar="N", min=1, help="keep features seen in N kept training cells"
    ),
]
PerOpt = Annotated[
    str | None,
    typer.Option("--per", metavar="COLUMN", help="fit bounds per label; they drop train alone"),
]
DoubletsOpt = Annotated[
    str | None,
    typer.Option("--drop-doublets", metavar="COLUMN", help="drop what this column flags"),
]
DropLabelOpt = Annotated[
    list[str] | None,
    typer.Option("--drop-label", metavar="REGEX", help="drop labels that match; repeatable"),
]
UnlabelledOpt = Annotated[
    bool, typer.Option("--drop-unlabelled", help="drop cells without a --label")
]
KeepOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--keep", metavar="EXPR", help="\"cell_type == 'B' and n > 5\" of obs; all must hold"
    ),
]
TableOpt = Annotated[
    Path | None, typer.Option("--table", metavar="FILE", help="what fell to what, as TSV")
]


def qc(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    min_counts: MinCountsOpt = None,
    max_counts: MaxCountsOpt = None,
    min_genes: MinGenesOpt = None,
    max_genes: MaxGenesOpt = None,
    max_pct_mt: MaxMtOpt = None,
    min_peak_counts: MinPeakCountsOpt = None,
    max_peak_counts: MaxPeakCountsOpt = None,
    min_peaks: MinPeaksOpt = None,
    max_peaks: MaxPeaksOpt = None,
    min_cells: MinCellsOpt = None,
    per: PerOpt = None,
    drop_doublets: DoubletsOpt = None,
    label: opt.LabelOpt = None,
    drop_label: DropLabelOpt = None,
    drop_unlabelled: UnlabelledOpt = False,
    keep: KeepOpt = None,
    table: TableOpt = None,
    plot: opt.PlotOpt = None,
    json: opt.JsonOpt = False,
    modality: opt.ModalityOpt = None,
    layer: opt.LayerOpt = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Count what each cell and feature holds, into obs and var, and drop what is beyond bounds.

    A BOUND is a number, a percentile (q99), so many median absolute deviations off the median
    (mad5), so many interquartile ranges beyond the quartile (iqr1.5), or several with commas. What
    is fitted is fitted on training cells, in this order: --keep, doublets and labels, numbers, fitted
    bounds, features. --per fits within labels and drops training cells alone; others meet the bounds
    of all. Mitochondrial genes lie on chrM or are named MT-; a share that obs has (GEX_pct_counts_mt,
    percent_mito) was taken of the whole cell and goes before what is counted.

    Example:
    scgx fetch demo | scgx qc --min-genes 5 --max-counts mad5 > clean.h5ad
    scgx qc split.h5ad --max-genes q99,iqr3 --per cell_type --min-cells 10 --table fell.tsv > qc.h5ad
    scgx qc split.h5ad --keep "split == 'test' and not cell_type in ('astrocyte',)" > test.h5ad
    """
    limits = [
        *_limits("main", min_counts, max_counts, "counts"),
        *_limits("main", min_genes, max_genes, "genes"),
        *_limits("mt", None, max_pct_mt, "pct-mt"),
        *_limits("atac", min_peak_counts, max_peak_counts, "peak-counts"),
        *_limits("atac", min_peaks, max_peaks, "peaks"),
    ]
    wishes = [conditions.parse(text, "--keep") for text in keep or []]
    _check_usage(limits, per, label, drop_label or [], drop_unlabelled)
    if json and output == "-":
        raise UsageError("--json and the cells cannot both go to stdout", fix="name -o FILE")
    for written in (table, plot):
        streams.apart(written, input, output)
    if plot is not None:
        from scgx import plots

        plots.check_kind(plot)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    beside = nullcontext() if table is None else streams.sink(str(table))
    with streams.source(input) as src, streams.sink(output) as dst, beside as tsv:
        import json as encoder
        import sys

        from scgx.cells import cleaning
        from scgx.cells.qc import Request
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.writer import create

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            request = Request(
                tuple(limits), tuple(wishes), drop_doublets, label, tuple(drop_label or ()),
                drop_unlabelled, per,
            )  # fmt: skip
            made = cleaning.clean(cells, request, min_cells, (modality, layer), budget)
            for note in made.notes:
                progress.say(note)
            with create(dst.path, like=None if dst.piped else cells) as out:
                for lost in cleaning.write(cells, out, made):
                    progress.warn(f"left out {lost}, which has no rows that could be taken")
                sign(out, [cells], keep=history)
        if tsv is not None:
            tsv.path.write_text(_tsv(made.columns, made.table), encoding="utf-8")
        if plot is not None:
            plots.quality(made.panels, plot)
    if json:
        sys.stdout.write(
            encoder.dumps(made.facts, indent=1, sort_keys=True, allow_nan=False) + "\n"
        )
    elif not quiet:
        progress.table("", made.columns, made.table, file=sys.stderr)


def _limits(of: str, low: str | None, high: str | None, what: str) -> list[bounds.Limit]:
    """The bounds given for a metric, whose name depends on the modality and is found later."""
    given = (("min", low), ("max", high))
    return [
        bounds.Limit(f"{of} {what}", side, bounds.parse(text, option), option)
        for side, text in given
        if text is not None
        for option in [f"--{side}-{what}"]
    ]


def _check_usage(
    limits: list[bounds.Limit],
    per: str | None,
    label: str | None,
    patterns: list[str],
    unlabelled: bool,
) -> None:
    """Refuse what lacks its other half, before anything is read."""
    import re

    if (patterns or unlabelled) and label is None:
        option = "--drop-label" if patterns else "--drop-unlabelled"
        raise UsageError(f"{option} needs its column", fix="name it with --label COLUMN")
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            fix = "see Python's re, for example ^DOUBLET|^LOW_Q"
            raise UsageError(f"--drop-label {pattern!r}: {error}", fix=fix) from None
    if per is not None and not any(limit.fitted for limit in limits):
        raise UsageError("--per has no bound to fit", fix="for example --max-pct-mt iqr1.5")
    if label is not None and not (patterns or unlabelled):
        raise UsageError("--label has nothing to do", fix="--drop-unlabelled or --drop-label REGEX")


def _tsv(columns: list[str], rows: list[list[object]]) -> str:
    lines: list[list[str]] = [columns, *([str(cell) for cell in row] for row in rows)]
    return "".join("\t".join(line) + "\n" for line in lines)
