"""`scgx generate`: synthetic cells of stated conditions, as counts; or pairs of a joint model."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from scgx.commands import _options as opt
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "learn"


def generate(
    model: Annotated[str, typer.Argument(metavar="MODEL.scgx", help="a trained generator, or -")],
    output: opt.OutputOpt = "-",
    per_class: Annotated[
        int | None, typer.Option("--per-class", metavar="N", min=1, help="N cells of every class")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", metavar="N", min=1, help="N cells, mixed as in training")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", metavar="FILE", help="the conditions of its cells")
    ] = None,
    cells: Annotated[
        str | None,
        typer.Option("--cells", metavar="FILE", help="its cells, as they would be --condition"),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="TSV", help="cells, or with --n shares, of conditions"),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option("--condition", metavar="COLUMN=VALUE", help="for all cells, repeatable"),
    ] = None,
    library_size: Annotated[
        str,
        typer.Option("--library-size", metavar="empirical|fixed:N|FILE", help="how deep cells are"),
    ] = "empirical",
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Make synthetic cells of the classes and conditions that a generator has learned.

    X holds counts of the features that it was trained on; obs the label and the other conditions.
    What is not said of a condition is drawn as it goes with the label in training. Combinations that
    no training cell had are marked in obs["scgx_unseen"]. The table of --weights has conditions as
    columns and then `n`, or `weight` together with --n. --cells asks what the cells of a file would
    be like if one condition were another: each keeps its depth and what else it is, and
    obs["scgx_source"] names it. A joint model (multivae) draws both modalities of --n cells;
    --condition says what is known of a covariate. The same seed gives the same cells.

    Example:
    scgx train nb demo.h5ad --label cell_type -o nb.scgx && scgx generate nb.scgx --n 90 -o a.h5ad
    """
    from scgx.errors import UsageError

    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    ways = {"--per-class": per_class, "--like": like, "--weights": weights, "--cells": cells}
    named = [name for name, value in ways.items() if value is not None]
    if len(named) > 1 or (n is not None and named and weights is None):
        both = [*named, "--n"] if n is not None else named
        raise UsageError(
            f"{' and '.join(both[:2])} each say how many cells", fix="name one of them"
        )
    if cells is not None and library_size != "empirical":
        raise UsageError("--cells keep their depth", fix="leave --library-size out")
    if not named and n is None:
        raise UsageError("how many cells?", fix="--per-class, --n, --like, --weights or --cells")
    from_file = library_size != "empirical" and not library_size.startswith("fixed:")
    deep_from = library_size if from_file else None
    if [model, like, cells, deep_from].count("-") > 1:
        raise UsageError("only one of the files can be stdin", fix="name the others by path")
    read = (like, cells, deep_from, weights)
    streams.apart(output, model, *(name for name in read if name is not None))
    with ExitStack() as stack:
        trained = stack.enter_context(streams.source(model))
        mixed_from = cells if like is None else like
        mixed_src = None if mixed_from is None else stack.enter_context(streams.source(mixed_from))
        deep_src = None if deep_from is None else stack.enter_context(streams.source(deep_from))
        dst = stack.enter_context(streams.sink(output))
        from scgx.learn.threads import limit

        limit(threads)
        from scgx.h5ad.history import Input, Origin
        from scgx.h5ad.memory import default_memory
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact, generation, pair_generation, transfer, wanted

        stated = wanted.parse_conditions(condition or [])
        wish = wanted.Wanted(per_class, n, stated, budget or default_memory())
        fixed = generation.fixed_depth(library_size)
        found = artifact.read(trained.path, trained.name)
        if found.header.task == "modality":
            if named or n is None or library_size != "empirical":
                raise UsageError(
                    f"{found.header.model} draws pairs, of no class and as deep as those of training",
                    fix="--n says how many",
                )
            pairs = pair_generation.PairOrder(n, stated, seed, budget or default_memory(), history)
            pair_generation.write(found, pairs, dst.path, [Origin.of(trained.path, trained.name)])
            return
        about = wanted.conditions_of(found)
        given = None
        inputs: list[Input] = [Origin.of(trained.path, trained.name)]
        if mixed_src is not None:
            file = open_cells(mixed_src.path, name=mixed_src.name, memory=budget)
            inputs.append(mixed := stack.enter_context(file))
            if cells is not None:
                given = transfer.given(found, mixed, wish.fixed)
                codes = wanted.switched(about, given.codes, wish)
            else:
                codes = wanted.like(about, mixed, wish)
        elif weights is not None:
            codes = wanted.from_table(about, weights, wish)
        else:
            codes = wanted.by_number(about, wish)
        depths = None if fixed is None else generation.equal_depths(fixed)
        if deep_src is not None:
            file = open_cells(deep_src.path, name=deep_src.name, memory=budget)
            inputs.append(deep := stack.enter_context(file))
            depths = generation.depths_of(found, deep)
        order = generation.Order(codes, depths, seed, budget, history, given)
        generation.write(found, order, dst.path, inputs)
