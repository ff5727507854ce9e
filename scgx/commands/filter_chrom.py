"""`scgx filter-chrom`: keep the features on some chromosomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scgx import progress
from scgx.commands import _annotation
from scgx.commands import _options as opt
from scgx.errors import DataError
from scgx.genome import query
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    import numpy as np

    from scgx.cells.coordinates import Coordinates, Found
    from scgx.genome.regions import Selection
    from scgx.h5ad.cells import Cells

PANEL = "shape"


def filter_chrom(
    chroms: Annotated[
        str, typer.Argument(metavar="CHROMS", help="X, chr1,chr2, chr1:1-5000000, ^MT")
    ],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    chrom_col: Annotated[
        str | None,
        typer.Option("--chrom-col", metavar="COLUMN", help="the column (default: chrom)"),
    ] = None,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="write the file even if no feature is left")
    ] = False,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Keep the features on chromosomes or regions, all modalities at once.

    Chromosomes may be spelled in any way (X, chrX, 23); regions are 1-based and inclusive, and a
    feature that overlaps one is kept; ^ leaves out; PAR is what X and Y share (X,^PAR).

    Example:
    scgx fetch demo | scgx filter-chrom X > x.h5ad
    scgx fetch demo | scgx filter-chrom chr1:1-50000000,^PAR -o part.h5ad
    """
    wishes = query.parse(chroms)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src, streams.sink(output) as dst:
        import numpy as np

        from scgx.cells.coordinates import from_table, genome_of, with_columns
        from scgx.genome.regions import select
        from scgx.h5ad.features import modalities
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.select import select_columns
        from scgx.h5ad.totals import missing_totals, write_totals
        from scgx.h5ad.writer import create

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            kinds = modalities(cells.var)
            found = from_table(cells.var, chrom_col=chrom_col)
            genome = genome_of(cells.var, cells.scgx.get("genome"), found.places)
            places, genome = _complete(cells, found, kinds, genome)
            chosen = select(wishes, places.chrom, places.start, places.end, genome=genome)
            columns = np.flatnonzero(chosen.keep)
            if not len(columns) and not allow_empty:
                here = list(dict.fromkeys(name for name in places.chrom if name))
                known = ", ".join(here[:8]) + (f" and {len(here) - 8} more" if here[8:] else "")
                what = f"no feature lies on {chroms}"
                raise DataError(what, fix=f"chromosomes here: {known}", file=cells.name)
            _report(cells, found, chosen, kinds)
            var = cells.var
            if places is not found.places or found.from_names:
                var = with_columns(var, places, kinds)
            totals = missing_totals(cells) if len(columns) < cells.n_var else {}
            with create(dst.path, like=None if dst.piped else cells) as out:
                select_columns(cells, out, columns, var=var, totals=totals)
                write_totals(cells, out, totals)
                out.copy_rest(cells, skip=("var", "varm", "varp"))
                if genome:
                    out.uns("scgx/genome", genome)
                sign(out, [cells], keep=history)


def _complete(
    cells: Cells, found: Found, kinds: np.ndarray, genome: str
) -> tuple[Coordinates, str]:
    """The places found, with those of a fetched annotation where genes have none; the assembly."""
    import numpy as np

    from scgx.cells.coordinates import GENES, gene_names

    placed = found.places.placed
    lacking = [kind for kind in dict.fromkeys(kinds) if not placed[kinds == kind].any()]
    if placed.any() and not any(kind in GENES for kind in lacking):
        return found.places, genome

    from scgx.cells.annotate import annotate
    from scgx.genome import identity

    rows = np.isin(kinds, GENES)
    prefixes = (identity.species(names[rows]) for names in gene_names(cells.var))
    name = _annotation.name_for(genome, next(filter(None, prefixes), ""))
    path = _annotation.cached(name) if name else None
    if path is None:
        which = f"{' or '.join(lacking)} feature" if lacking else "feature"
        option = f"--annotation {name}" if name else "--gtf FILE"
        fix = f"scgx annotate-coords {option} adds them"
        raise DataError(f"no {which} has a chromosome", fix=fix, file=cells.name)
    genes = _annotation.read(streams.Source(path, str(name)))
    places, report = annotate(cells.var, found, genes)
    known = f"{report.share:.1%} of {report.genes:,} genes known"
    progress.say(f"coordinates from {genes.source}: {known}")
    return places, genome or genes.genome


def _report(cells: Cells, found: Found, chosen: Selection, kinds: np.ndarray) -> None:
    """Say what was kept, what was left out because nobody knows where it lies, and what is odd."""
    n = int(chosen.keep.sum())
    parts = [
        f"{kind} {int(chosen.keep[kinds == kind].sum()):,} of {int((kinds == kind).sum()):,}"
        for kind in dict.fromkeys(kinds)
    ]
    detail = f" ({', '.join(parts)})" if len(parts) > 1 else ""
    progress.say(f"kept {n:,} of {cells.n_var:,} features{detail}")
    if chosen.missing:
        progress.say(f"left out {chosen.missing:,} features without a chromosome")
    if chosen.unplaced:
        progress.warn(f"{chosen.unplaced:,} features have a chromosome but no position")
    if found.unknown:
        most = sorted(found.unknown.items(), key=lambda item: -item[1])[:3]
        shown = ", ".join(f"{name!r} ({count:,})" for name, count in most)
        progress.say(f"{len(found.unknown):,} unknown chromosome names, kept as they are: {shown}")
    for number, name in found.renamed.items():
        progress.say(f"chromosome {number} read as {name}")
    for wish in chosen.empty:
        progress.warn(f"no feature lies on {wish}")
    if chosen.shared:
        progress.say(
            f"{chosen.shared:,} of them lie in the pseudoautosomal regions, which X and Y share"
            " (^PAR leaves them out)"
        )
    if n == cells.n_var and n:
        progress.warn("every feature was kept")
