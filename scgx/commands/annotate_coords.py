"""`scgx annotate-coords`: where the features lie in the genome."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

import typer

from scgx import progress
from scgx.commands import _annotation
from scgx.commands import _options as opt
from scgx.errors import DataError, UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from scgx.cells.annotate import Report
    from scgx.cells.coordinates import Coordinates, Found
    from scgx.genome.annotation import Genes
    from scgx.h5ad.cells import Cells
    from scgx.h5ad.frame import Frame

PANEL = "shape"


def annotate_coords(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    gtf: Annotated[
        str | None, typer.Option("--gtf", metavar="FILE", help="GTF or GFF3, plain or gzip")
    ] = None,
    bed: Annotated[
        str | None, typer.Option("--bed", metavar="FILE", help="BED, or a CSV or TSV of genes")
    ] = None,
    annotation: Annotated[
        str | None,
        typer.Option("--annotation", metavar="NAME", help="fetched: gencode-human, gencode-mouse"),
    ] = None,
    start_base: Annotated[
        int | None,
        typer.Option("--start-base", min=0, max=1, help="starts in --bed count from 0 or 1"),
    ] = None,
    genome: Annotated[
        str | None, typer.Option("--genome", metavar="NAME", help="the assembly (GRCh38, mm10)")
    ] = None,
    chrom_col: Annotated[
        str | None,
        typer.Option("--chrom-col", metavar="COLUMN", help="the column (default: chrom)"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="the annotation counts where var disagrees")
    ] = False,
    ignore_case: Annotated[
        bool, typer.Option("--ignore-case", help="match symbols whatever their case")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="refuse when any feature has no place, or disagrees")
    ] = False,
    sort: Annotated[bool, typer.Option("--sort/--no-sort", help="features in genome order")] = True,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="one line per feature, as TSV")
    ] = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Add coordinates to the features, from an annotation or from peak names, with a report.

    Writes chrom, start, end (0-based, half-open), strand and tss into var. Ensembl ids match
    without their version, then symbols. What a file has already stays unless --overwrite. Features
    are sorted in genome order within each modality; those without a place come last, with chrom
    missing and start -1. Genes that have an Ensembl id only gain their symbol as gene_name.

    Example:
    scgx fetch demo | scgx annotate-coords > placed.h5ad
    """
    if sum(given is not None for given in (gtf, bed, annotation)) > 1:
        raise UsageError("more than one annotation", fix="give --gtf, --bed or --annotation")
    if "-" in (gtf, bed) and input == "-":
        raise UsageError("'-' is given twice", fix="name one of the files")
    streams.apart(report, input, output, *[name for name in (gtf, bed) if name])
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_annotation.located(gtf or bed, annotation))
        src = stack.enter_context(streams.source(input))
        dst = stack.enter_context(streams.sink(output))
        table = stack.enter_context(streams.sink(report)) if report else None

        from scgx.cells.annotate import annotate
        from scgx.cells.coordinates import from_table, genome_of
        from scgx.h5ad.reader import open_cells

        cells = stack.enter_context(
            open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x)
        )
        found = from_table(cells.var, chrom_col=chrom_col)
        genes = _annotation.read(file, start_base) if file else None
        data_genome = genome_of(cells.var, cells.scgx.get("genome"), found.places)
        assembly = _assembly(cells, genes, data_genome, genome, overwrite=overwrite)
        places, result = annotate(
            cells.var, found, genes, overwrite=overwrite, ignore_case=ignore_case
        )
        _say(result, found, genes, assembly, overwrite=overwrite)
        _compare_peaks(cells, places, genes)
        _refuse_gaps(cells, result, strict=strict)
        if table is not None:
            _write_report(table.path, cells, places, result)
        like = None if dst.piped else cells
        var = cells.var
        if result.symbols is not None:
            var = var.with_column("gene_name", result.symbols)
        _write(cells, dst.path, like, (var, places), assembly, sort=sort, history=history)


def _assembly(
    cells: Cells, genes: Genes | None, data: str, declared: str | None, *, overwrite: bool
) -> str:
    """The assembly that the output will carry; refuses two that differ."""
    from scgx.genome import builds
    from scgx.h5ad.features import present

    given = builds.assembly(declared) or declared if declared else ""
    theirs = genes.genome if genes else ""
    if given and theirs and given != theirs:
        raise DataError(
            f"the annotation is of {builds.common_name(theirs)}, not {builds.common_name(given)}",
            fix="give the annotation of that genome",
            file=genes.source if genes else None,
        )
    new = given or theirs
    moves = overwrite and "atac" not in present(cells.var)  # peaks cannot be moved
    if new and data and new != data and not moves:
        raise DataError(
            f"the data are of {builds.common_name(data)}, not {builds.common_name(new)}",
            fix="use the annotation of the data's genome",
            file=cells.name,
        )
    return new or data


def _say(
    result: Report, found: Found, genes: Genes | None, assembly: str, *, overwrite: bool
) -> None:
    if genes is not None:
        base = f", starts counted from {int(genes.one_based)}"
        of = f" of {genes.genome}" if genes.genome else ", assembly unknown"
        progress.say(f"{len(genes):,} genes{of} in {genes.source}{base}")
        placed = result.by_id + result.by_symbol + result.by_case
        outcome = "replaced" if overwrite else "kept as they were (--overwrite replaces)"
        ways = f"{result.by_id:,} by id, {result.by_symbol:,} by symbol"
        ways += f", {result.by_case:,} by symbol with case ignored" if result.by_case else ""
        progress.say(f"matched {placed:,} of {result.genes:,} genes ({ways})")
        _name("ambiguous, several loci: no place", result.ambiguous)
        _name("unmatched", result.unmatched)
        _name(f"lie elsewhere in the annotation, {outcome}", result.disagree)
    if result.symbols is not None:
        progress.say("genes have ids only: var gains their symbols as gene_name")
    if result.from_names:
        progress.say(f"{result.from_names:,} features placed by their names")
    if result.unplaced:
        progress.say(f"{result.unplaced:,} features have no place (chrom missing, start -1)")
    else:
        progress.say("every feature has a place")
    if found.unknown:
        shown = ", ".join(map(repr, list(found.unknown)[:3]))
        progress.say(f"{len(found.unknown):,} unknown chromosome names, kept as they are: {shown}")
    for number, name in found.renamed.items():
        progress.say(f"chromosome {number} read as {name}")
    if not assembly:
        progress.say("the assembly is not known (--genome records it)")


def _name(what: str, names: list[str]) -> None:
    if names:
        progress.say(f"{len(names):,} {what}: {', '.join(names[:5])}{' ...' if names[5:] else ''}")


def _compare_peaks(cells: Cells, places: Coordinates, genes: Genes | None) -> None:
    """Warn where the peaks seem to be of another assembly than the annotation."""
    from scgx.h5ad.features import modalities

    is_peak = modalities(cells.var) == "atac"
    if genes is None or not is_peak.any():
        return
    from scgx.cells.coordinates import Coordinates
    from scgx.cells.promoters import gathering

    found = gathering(Coordinates(*(column[is_peak] for column in places)), genes)
    if found.doubtful:
        progress.warn(
            f"peaks lie at {found.at_starts:,} starts of genes and at {found.beside:,.0f} places "
            "beside them: are they of another assembly than the annotation?"
        )


def _refuse_gaps(cells: Cells, result: Report, *, strict: bool) -> None:
    """Refuse a file without any place, and under --strict one with any gap."""
    if result.unplaced == cells.n_var and not result.genes:
        raise DataError(
            "no feature has a place", fix="give --gtf, --bed or --annotation", file=cells.name
        )
    gaps = {
        "unmatched": len(result.unmatched),
        "ambiguous": len(result.ambiguous),
        "in disagreement": len(result.disagree),
        "without a place": result.unplaced,
    }
    if strict and any(gaps.values()):
        words = ", ".join(f"{count:,} {what}" for what, count in gaps.items() if count)
        raise DataError(
            f"{words} (--strict)", fix="without it, --report FILE lists them", file=cells.name
        )


def _write_report(path: Path, cells: Cells, places: Coordinates, result: Report) -> None:
    """One line per feature of the input, in its order: what became of it, and where it lies."""
    from scgx.h5ad.features import modalities

    kinds = modalities(cells.var)
    with open(path, "w", encoding="utf-8", newline="") as out:
        out.write("feature\tmodality\tmatched\tchrom\tstart\tend\tstrand\n")
        rows = zip(cells.var_names, kinds, result.how, *places, strict=True)
        for name, kind, how, chrom, start, end, strand in rows:
            out.write(
                f"{name}\t{kind}\t{how}\t{chrom or ''}\t{start if chrom else ''}"
                f"\t{end if chrom else ''}\t{strand or ''}\n"
            )


def _write(
    cells: Cells,
    path: Path,
    like: Cells | None,
    features: tuple[Frame, Coordinates],
    assembly: str,
    *,
    sort: bool,
    history: bool,
) -> None:
    import numpy as np

    from scgx.cells.coordinates import genome_order, with_columns
    from scgx.h5ad.features import modalities
    from scgx.h5ad.history import sign
    from scgx.h5ad.select import select_columns
    from scgx.h5ad.writer import create

    var, places = features
    kinds = modalities(var)
    var = with_columns(var, places, kinds)
    order: np.ndarray = genome_order(places, kinds) if sort else np.arange(len(var))
    with create(path, like=like) as out:
        if (np.diff(order) > 0).all():
            out.frame("var", var)  # in order already: everything else crosses untouched
            out.copy_rest(cells, skip=("var",))
        else:
            select_columns(cells, out, order, var=var)
            out.copy_rest(cells, skip=("var", "varm", "varp"))
        if assembly:
            out.uns("scgx/genome", assembly)
        sign(out, [cells], keep=history)
