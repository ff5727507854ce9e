"""`scgx concat`: datasets of different cells into one file, genes and labels harmonised."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from scgx import progress
from scgx.commands import _annotation
from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    from pathlib import Path

    from scgx.cells.concat import Plan

PANEL = "shape"

FilesArg = Annotated[list[str], typer.Argument(metavar="FILE...", help="cells; one may be -")]
GenesOpt = Annotated[
    str,
    typer.Option(
        "--genes",
        metavar="inner|outer|FILE",
        help="features of every file, of any, or a list",
        autocompletion=words("inner", "outer"),
    ),
]
PeaksOpt = Annotated[
    str | None,
    typer.Option(
        "--peaks",
        metavar="union|BED",
        help="one set of peaks: those that overlap merged, or a reference",
        autocompletion=words("union"),
    ),
]
GtfOpt = Annotated[
    str | None,
    typer.Option("--gtf", metavar="FILE", help="GTF, GFF3, BED or table: symbols to gene ids"),
]
FetchedOpt = Annotated[
    str | None,
    typer.Option("--annotation", metavar="NAME", help="fetched: gencode-human, gencode-mouse"),
]
SymbolsOpt = Annotated[
    str | None,
    typer.Option("--symbols", metavar="TABLE", help="gene ids and symbols, two columns of text"),
]
CaseOpt = Annotated[bool, typer.Option("--ignore-case", help="match symbols whatever their case")]
MapOpt = Annotated[
    str | None,
    typer.Option("--label-map", metavar="TSV", help="source label, tab, common label (- drops)"),
]
StrictOpt = Annotated[
    bool, typer.Option("--strict", help="refuse labels without a rule, and rules without a label")
]
KeyOpt = Annotated[
    str, typer.Option("--dataset-key", metavar="COLUMN", help="the column of obs that says whose")
]
NamesOpt = Annotated[
    str | None,
    typer.Option("--names", metavar="A,B", help="names of the datasets (default: the files')"),
]
ReportOpt = Annotated[
    str | None,
    typer.Option("--report", metavar="FILE", help="what became of each feature and label, as TSV"),
]


def concat(
    files: FilesArg,
    output: opt.OutputOpt = "-",
    genes: GenesOpt = "inner",
    peaks: PeaksOpt = None,
    gtf: GtfOpt = None,
    annotation: FetchedOpt = None,
    symbols: SymbolsOpt = None,
    ignore_case: CaseOpt = False,
    label: opt.LabelOpt = None,
    label_map: MapOpt = None,
    strict: StrictOpt = False,
    dataset_key: KeyOpt = "dataset",
    names: NamesOpt = None,
    report: ReportOpt = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Stack datasets of different cells, with genes and labels harmonised.

    `scgx concat a.h5ad b.h5ad -o ab.h5ad` keeps the genes that both have. Ensembl ids match without
    their version; --gtf, --annotation or --symbols finds the ids of symbols. varm["measured"] says
    which dataset measured what: after --genes outer a gene that one did not measure is absent there,
    not zero. --label-map brings obs[--label] to common labels and keeps the old ones in
    obs["LABEL_source"].

    Example:
    scgx fetch demo | scgx concat - --genes outer > stacked.h5ad
    """
    budget = parse_memory(memory)
    _check_usage(files, (gtf, annotation, symbols), label, label_map)
    if not dataset_key.strip() or "/" in dataset_key:
        raise UsageError(f"--dataset-key is no name of a column: {dataset_key!r}", fix="a word")
    read = [name for name in (gtf, symbols, label_map) if name]
    streams.apart(report, output, *files, *read)
    streams.use_tmpdir(tmpdir)
    with ExitStack() as stack:
        table = stack.enter_context(_annotation.located(gtf, annotation))
        pairs = stack.enter_context(streams.source(symbols)) if symbols else None
        sources = [stack.enter_context(streams.source(file)) for file in files]
        rules = stack.enter_context(streams.source(label_map)) if label_map else None
        panel = bed = None
        if genes not in ("inner", "outer"):
            panel = stack.enter_context(streams.source(genes))
        if peaks not in (None, "union"):
            bed = stack.enter_context(streams.source(peaks))
        dst = stack.enter_context(streams.sink(output))
        sheet = stack.enter_context(streams.sink(report)) if report else None

        from scgx.cells import concat as engine
        from scgx.cells import genes as naming
        from scgx.cells import label_map as labels
        from scgx.cells import peaks_union
        from scgx.cells.concat_parts import Options
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.writer import create
        from scgx.learn.knobs import read_names

        share = budget // len(sources)
        cells = [
            stack.enter_context(
                open_cells(src.path, name=src.name, memory=share, genome_10x=genome_10x)
            )
            for src in sources
        ]
        options = Options(
            names=engine.names_of([src.name for src in sources], names),
            genes=genes if panel is None else read_names(panel.path),
            peaks=peaks if bed is None else peaks_union.read_bed(bed.path, bed.name),
            key=dataset_key,
            label=label,
            rules=labels.LabelMap() if rules is None else labels.read(rules.path, rules.name),
            strict=strict,
            ignore_case=ignore_case,
            annotation=_annotation.read(table) if table else None,
        )
        if pairs is not None:
            options = replace(options, annotation=naming.read_symbols(pairs.path, pairs.name))
        made = engine.plan(cells, options)
        for line in made.said:
            progress.say(line)
        for line in made.warned:
            progress.warn(line)
        with create(dst.path, like=None if dst.piped else cells[0]) as out:
            for line in engine.write(out, made, budget):
                progress.say(line)
            sign(out, cells, units=engine.units_of_layers(made), keep=history)
        if sheet is not None:
            _write_report(sheet.path, made)
        progress.say(engine.summary(made))


def _check_usage(
    files: list[str],
    annotations: tuple[str | None, ...],
    label: str | None,
    label_map: str | None,
) -> None:
    if [*files, *annotations, label_map].count("-") > 1:
        raise UsageError("- stands for stdin and can be named once")
    if sum(given is not None for given in annotations) > 1:
        raise UsageError("more than one annotation", fix="give --gtf, --annotation or --symbols")
    if label_map and not label:
        raise UsageError("--label-map needs the column of the labels", fix="--label cell_type")


def _write_report(path: Path, made: Plan) -> None:
    """One line per feature of every file and per label: what it became, and how."""
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write("dataset\tkind\tname\tbecomes\thow\tcells\n")
        for dataset in made.datasets:
            rows = zip(
                dataset.cells.var_names,
                dataset.named.kinds,
                dataset.share.lookup,
                dataset.named.how,
                strict=True,
            )
            for name, kind, at, how in rows:
                becomes = made.columns.names[at] if at >= 0 else ""
                out.write(f"{dataset.name}\t{kind}\t{name}\t{becomes}\t{how}\t\n")
            for word, becomes, how, count in dataset.label_rows(made.rules):
                out.write(f"{dataset.name}\tlabel\t{word}\t{becomes}\t{how}\t{count}\n")
