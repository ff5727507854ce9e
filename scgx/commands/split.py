"""`scgx split`: which cells train, which tune, which test; stored in the file."""

from typing import Annotated

import typer

from scgx import progress
from scgx.commands import _options as opt
from scgx.errors import UsageError
from scgx.h5ad import streams

PANEL = "shape"

ByOpt = Annotated[
    str | None,
    typer.Option("--by", metavar="COLUMN", help="keep the cells of one donor, batch ... together"),
]
StratifyOpt = Annotated[
    str | None,
    typer.Option("--stratify", metavar="COLUMN", help="keep the shares of its levels in each part"),
]
FractionsOpt = Annotated[
    str | None,
    typer.Option("--fractions", metavar="TRAIN,VAL,TEST", help="shares (default 0.7,0.1,0.2)"),
]
TestOpt = Annotated[
    str | None, typer.Option("--test", metavar="GROUP,...", help="groups of --by that are test")
]
ValOpt = Annotated[
    str | None, typer.Option("--val", metavar="GROUP,...", help="groups of --by that are val")
]
FromOpt = Annotated[
    str | None,
    typer.Option("--from-column", metavar="COLUMN", help="train/val/test or true/false of obs"),
]
ControlOpt = Annotated[
    str | None,
    typer.Option(
        "--control", metavar="[COLUMN=]VALUE", help="cells that are spread over all parts"
    ),
]
UnseenOpt = Annotated[
    str | None,
    typer.Option(
        "--unseen",
        metavar="KIND",
        help="of perturbations: conditions (default), targets or combinations are held out",
    ),
]


def split(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    by: ByOpt = None,
    stratify: StratifyOpt = None,
    fractions: FractionsOpt = None,
    test: TestOpt = None,
    val: ValOpt = None,
    from_column: FromOpt = None,
    control: ControlOpt = None,
    unseen: UnseenOpt = None,
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Split cells into train, val and test, by group, and write it into obs["split"].

    A group goes to one part as a whole: cells of one donor are alike, and a test on cells of a
    donor that was trained on is none. The same names and seed give the same split in any order of
    the rows. --control names the unperturbed cells, which every part needs.

    A column of perturbations is known by its name and its controls (`perturbation`, `condition`,
    A+B, ctrl+A, non-targeting): labels are read as canonical names, half of the controls go to the
    test, and --unseen says what is held out: whole conditions, all that touches some target genes,
    or combinations of targets whose single perturbations all train. A cell line that no model saw
    perturbed is held out by its own column, the controls spread by theirs.

    Example:
    scgx fetch demo | scgx split --by donor > split.h5ad
    scgx fetch demo | scgx split --by donor --stratify cell_type --fractions 0.8,0,0.2 > split.h5ad
    scgx split screen.h5ad --by perturbation --unseen combinations -o unseen.h5ad
    scgx split screen.h5ad --by cell_type --test type2 --control perturbation=control > line.h5ad
    """
    _check_usage(by, stratify, fractions, test, val, from_column, control, unseen)
    from scgx.h5ad.memory import parse_memory

    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src, streams.sink(output) as dst:
        import sys

        from scgx.cells import assign
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.writer import create

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            request = assign.Request(
                by, stratify, fractions, _names(test), _names(val), from_column, control, seed,
                unseen,
            )  # fmt: skip
            made = assign.assign(cells.obs, request, cells.name, genes=cells.var_names)
            for line in made.warnings:
                progress.warn(line)
            for line in made.notes:
                progress.say(line)
            if not quiet:
                progress.table("", made.columns, made.rows, file=sys.stderr)
            with create(dst.path, like=None if dst.piped else cells) as out:
                out.frame("obs", made.obs)
                out.copy_rest(cells)
                out.uns("scgx/split", made.record)
                sign(out, [cells], seed=seed, keep=history)


def _check_usage(
    by: str | None,
    stratify: str | None,
    fractions: str | None,
    test: str | None,
    val: str | None,
    from_column: str | None,
    control: str | None,
    unseen: str | None,
) -> None:
    """Refuse options that contradict each other, before anything is read."""
    if from_column and (stratify or fractions or test or val or control or unseen):
        raise UsageError("--from-column takes the parts as they are", fix="leave the others out")
    if (test or val) and not by:
        raise UsageError("--test and --val name groups of a column", fix="name it with --by COLUMN")
    if unseen and not by:
        raise UsageError("--unseen belongs to a column of perturbations", fix="--by perturbation")
    if (test or val) and stratify and not fractions:
        raise UsageError("--stratify has nothing to deal when groups are named outright")
    if control and "=" not in control and not by:
        raise UsageError("--control needs its column", fix="--control COLUMN=VALUE, or --by COLUMN")


def _names(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]
