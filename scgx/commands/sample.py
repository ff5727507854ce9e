"""`scgx sample`: some of the cells, by what obs says of them or at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scgx import progress
from scgx.cells import where as conditions
from scgx.commands import _options as opt
from scgx.errors import DataError, UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    import numpy as np

    from scgx.h5ad.frame import Frame

PANEL = "shape"

WhereOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="EXPR",
        help="cell_type=B,T or n_genes>=200 or \"age > 5 and not type == 'B'\"; all must hold",
    ),
]
NumberOpt = Annotated[
    int | None, typer.Option("--n", metavar="N", min=1, help="draw so many of them")
]
FractionOpt = Annotated[
    float | None,
    typer.Option("--fraction", metavar="F", help="draw this share of them, over 0 and up to 1"),
]
ByOpt = Annotated[
    str | None, typer.Option("--by", metavar="COLUMN", help="draw the same share of each level")
]
PerGroupOpt = Annotated[
    int | None,
    typer.Option("--per-group", metavar="N", min=1, help="draw at most N cells of each level"),
]


def sample(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    where: WhereOpt = None,
    n: NumberOpt = None,
    fraction: FractionOpt = None,
    by: ByOpt = None,
    per_group: PerGroupOpt = None,
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Take the cells that meet conditions on obs, or draw some at random, or both.

    A list is any of its values; a missing value meets no condition. Draws go by name: the same
    names and seed give the same cells in any order of the rows. The cells keep their order, and a
    split that the file has.

    Example:
    scgx fetch demo | scgx sample --where age_group!=infancy --where donor=D1,D2 > some.h5ad
    scgx fetch demo | scgx sample --n 300 --by cell_type > few.h5ad
    scgx fetch demo | scgx sample --per-group 40 --by donor > even.h5ad
    """
    wishes = [conditions.parse(text) for text in where or []]
    _check_usage(wishes, n, fraction, by, per_group)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src, streams.sink(output) as dst:
        from scgx.h5ad.history import sign
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.rows import WRITTEN, select_rows
        from scgx.h5ad.writer import create

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            try:
                rows = _matching(cells.obs, wishes)
                rows = _drawn(cells.obs, rows, n, fraction, by, per_group, seed)
            except DataError as error:
                error.file = error.file or cells.name
                raise
            progress.say(f"kept {len(rows):,} of {cells.n_obs:,} cells")
            with create(dst.path, like=None if dst.piped else cells) as out:
                for lost in select_rows(cells, out, rows):
                    progress.warn(f"left out {lost}, which has no rows that could be taken")
                out.copy_rest(cells, skip=WRITTEN)
                drew = n or fraction or per_group
                sign(out, [cells], seed=seed if drew else None, keep=history)


def _check_usage(
    wishes: list[conditions.Wish],
    n: int | None,
    fraction: float | None,
    by: str | None,
    per_group: int | None,
) -> None:
    """Refuse what contradicts itself or asks for nothing, before anything is read."""
    given = {"--n": n, "--fraction": fraction, "--per-group": per_group}
    draws = [name for name, value in given.items() if value is not None]
    if len(draws) > 1:
        raise UsageError(f"{' and '.join(draws)} say twice how many to draw", fix="give one")
    if not draws and not wishes:
        fix = "--where COLUMN=VALUE, --n N or --fraction F"
        raise UsageError("nothing says which cells to take", fix=fix)
    if fraction is not None and not 0 < fraction <= 1:
        raise UsageError(f"--fraction {fraction} is no share", fix="over 0 and up to 1")
    if per_group is not None and by is None:
        raise UsageError("--per-group needs its groups", fix="name their column with --by COLUMN")
    if by is not None and not draws:
        raise UsageError("--by says how to draw, and nothing how many", fix="--n, --per-group N")


def _matching(obs: Frame, wishes: list[conditions.Wish]) -> np.ndarray:
    """The rows that meet every condition; says what each of several met."""
    import numpy as np

    from scgx.cells.sample import mask, missing

    if not len(obs):
        raise DataError("has no cells to take")
    keep = np.ones(len(obs), dtype=bool)
    said, met_by = [], []
    for wish in wishes:
        met = mask(obs, wish)
        if not met.any():
            raise DataError(f"no cell meets {wish}")
        for part in conditions.conditions(wish):
            if absent := missing(obs, part.column):
                said.append(f"{absent:,} cells have no {part.column}")
        met_by.append(f"{wish} ({int(met.sum()):,})")
        keep &= met
    if not keep.any():
        raise DataError("no cell meets all of " + ", ".join(met_by))
    for line in dict.fromkeys(said):
        progress.say(line)
    if len(wishes) > 1:
        progress.say("cells that meet each: " + ", ".join(met_by))
    return np.flatnonzero(keep)


def _drawn(
    obs: Frame,
    rows: np.ndarray,
    n: int | None,
    fraction: float | None,
    by: str | None,
    per_group: int | None,
    seed: int,
) -> np.ndarray:
    """Some of the rows, at random, or all of them where no number was given."""
    from scgx.cells import sample as core

    groups = core.labels(obs, by)[rows] if by else None
    names = obs.index[rows]
    if groups is not None and (absent := sum(group is None for group in groups)):
        progress.say(f"{absent:,} cells have no {by} and count as a group of their own")
    if per_group is not None and groups is not None:
        return rows[core.draw_each(names, per_group, groups, seed=seed)]
    if fraction is not None:
        n = core.share(fraction, len(rows))
    if n is None:
        return rows
    if n > len(rows):
        progress.warn(f"--n {n:,} is more than the {len(rows):,} cells there are: all are kept")
    return rows[core.draw(names, n, seed=seed, groups=groups)]
