"""`scgx tune`: search the knobs of a model."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer

from scgx.cluster import work as place
from scgx.commands import _options as opt
from scgx.commands import _role_options as role
from scgx.commands import _train_processes as processes
from scgx.commands import _tune_emit as emission
from scgx.commands._completion import models, words
from scgx.commands._train_roles import Roles
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "learn"


def tune(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="as scgx train takes it", autocompletion=models),
    ],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    trials: Annotated[int, typer.Option("--trials", min=1, help="how many, in all")] = 50,
    space: Annotated[
        Path | None,
        typer.Option("--space", metavar="FILE", help="TOML: the knobs and their values"),
    ] = None,
    print_space: Annotated[
        bool, typer.Option("--print-space", help="print the space that MODEL ships and leave")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", help="on validation rows: nll, f1-macro, pearson-per-feature, ..."
        ),
    ] = None,
    sampler: Annotated[
        Literal["tpe", "random", "grid"],
        typer.Option(
            "--sampler",
            help="how values are proposed",
            autocompletion=words("tpe", "random", "grid"),
        ),
    ] = "tpe",
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="stop trials that fall behind the median")
    ] = True,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="processes on this machine")] = 1,
    dask: opt.DaskOpt = None,
    emit: Annotated[
        str | None,
        typer.Option(
            "--emit",
            metavar="FORM",
            help="print trials to be run elsewhere: commands, kubernetes[:FILE] (TOML)",
            autocompletion=words("commands", "kubernetes"),
        ),
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="judge the models that emitted commands have made")
    ] = False,
    study: Annotated[
        Path | None,
        typer.Option("--study", metavar="DIR", help="where the search is kept (OUTPUT.study)"),
    ] = None,
    source: role.SourceOpt = None,
    target: role.TargetOpt = None,
    label: opt.LabelOpt = None,
    condition: role.ConditionOpt = None,
    balance: role.BalanceOpt = None,
    min_cells_per_class: role.LeastOpt = None,
    label_map: role.LabelMapOpt = None,
    features: role.FeaturesOpt = None,
    panel: role.PanelOpt = None,
    augment: role.AugmentOpt = None,
    set_: role.SetOpt = None,
    config: role.ConfigOpt = None,
    covariate: role.CovariateOpt = None,
    control: role.ControlOpt = None,
    targets: role.TargetsOpt = None,
    units: role.UnitsOpt = None,
    na: role.NaOpt = None,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="all trials as TSV")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="history and importance, as png, svg or pdf")
    ] = None,
    json: opt.JsonOpt = False,
    seed: opt.SeedOpt = 0,
    device: opt.DeviceOpt = "auto",
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    quiet: opt.QuietOpt = False,
    worker: Annotated[
        str | None, typer.Option("--worker", hidden=True, help="of --jobs: what INPUT is called")
    ] = None,
) -> None:
    """Search the knobs of a model: trials of `train`, chosen by a metric on validation rows.

    Roles and --set are those of train, and what --set fixes is not searched. The first trial has the
    model's defaults. Every trial is a plain train whose command line is kept, and the best one is the
    output. Test rows are never read: score the output on them, beside a model of defaults. The search
    is kept in a folder beside the output, and the same command goes on with it, after Ctrl-C as after
    a crash, in as many processes at once as there are, on any machines that share the folder; a
    larger --trials adds trials. --dask does that with the workers of a cluster. --emit commands
    prints a train command per trial, for sh, parallel or sbatch --array, --emit kubernetes an indexed
    Job, and the same with --collect in its place judges what they made. A profile (kubernetes:FILE)
    says image, claim, mount, namespace, resources, env, and workers at once.

    A space is TOML: lr = { low = 1e-4, high = 1e-2, log = true } or hidden = [64, 128]. Trials are
    stopped by the validation loss of the model: leave what changes that loss itself out of the
    space, or say --no-prune.

    Example:
    scgx tune logistic --print-space
    scgx tune logistic split.h5ad --label cell_type --trials 4 -o types.scgx
    scgx tune ridge split.h5ad --from atac --to rna --emit commands -o r.scgx > trials.sh
    scgx tune ridge split.h5ad --from atac --to rna --emit kubernetes -o k.scgx > job.json
    """
    given_options = dict(locals())
    roles = Roles(
        source, target, units, targets, na, label, control, tuple(covariate or ()),
        tuple(condition or ()), balance, min_cells_per_class, None, label_map, features, panel,
        augment,
    )  # fmt: skip
    if print_space:
        from scgx.learn import tune_space

        tune_space.space_of(model, None, labels=roles.kind(model) == "labels")
        sys.stdout.write(tune_space.text_of(model, None))
        return
    streams.glance(input)
    for written in (output, table, plot):
        streams.apart(written, input, panel or "-")
    streams.distinct(output, table, plot, *(("-",) if json else ()))
    from scgx.commands import _tune_workers as workers
    from scgx.learn.threads import limit

    place.check(dask, is_said=True)
    if dask is not None and (jobs > 1 or emit or collect):
        raise UsageError("--dask has workers of its own", fix="leave --jobs, --emit, --collect out")
    threads = workers.share(jobs, threads)
    limit(threads)
    roles.check(model)
    kind = roles.kind(model)
    budget = parse_memory(memory) // jobs
    streams.use_tmpdir(tmpdir)
    from scgx.learn import tune_objective as objective
    from scgx.learn import tune_space
    from scgx.learn.knobs import settings_of

    if (emit or collect) and output == "-" and study is None:
        raise UsageError("where are the models of the trials?", fix="-o PATH, or --study DIR")
    if emit and (collect or json or table or plot or jobs > 1):
        raise UsageError(
            "--emit prints commands and does nothing else", fix="--collect comes later"
        )
    elsewhere = emission.checked(emit)
    processes.require_alone("leave torchrun out; --jobs and --dask start their own")
    goal = objective.metric_of(kind, metric)
    looked = tune_space.space_of(model, space, labels=kind == "labels")
    tune_space.require_free(looked, list(set_ or []))

    def settings(assignments: Sequence[str]) -> object:
        return settings_of(
            model,
            [*(set_ or []), *assignments],
            config,
            covariates=None if kind == "response" else covariate,
            epochs=None,
            device=device,
            labels=kind == "labels",
        )

    given = [
        *roles.words(),
        *(word for one in set_ or [] for word in ("--set", one)),
        *(["--config", str(config)] if config else []),
        *(["--device", device] if device != "auto" else []),
        *(["--seed", str(seed)] if seed else []),
    ]
    bounds = ["--memory", memory] if memory and emit else []
    with ExitStack() as stack:
        src = stack.enter_context(streams.source(input))
        dst = None if emit or worker is not None else stack.enter_context(streams.sink(output))
        if study is None and output == "-":
            study = Path(stack.enter_context(TemporaryDirectory(dir=streams.tmpdir())))
        from scgx.commands._tune_board import Board
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact
        from scgx.learn import tune as search
        from scgx.learn.tune_study import Plan, Study

        called = src.name if worker is None else "stdin" if worker == "-" else worker
        with open_cells(src.path, name=called, memory=budget) as cells:
            judge = objective.Judge(cells, goal, seed, control)
            common = search.Search(
                train=[
                    "scgx",
                    "train",
                    model,
                    input if worker is None else worker,
                    *given,
                    *bounds,
                ],
                settings=settings,
                fit=lambda told, report: roles.fit(model, cells, told, seed=seed, report=report),
                judge=judge,
                prunes=prune,
            )
            about = {
                "model": model,
                "metric": goal,
                "seed": seed,
                "options": " ".join(roles.words() + list(set_ or [])),
                "space": tune_space.described(looked),
                "defaults": str(settings([])),
                "data": cells.fingerprint,
            }
            plan = Plan(about, looked, objective.direction(goal), trials, sampler, seed)
            folder = study or Path(f"{output}.study")
            _ = judge.rows
            first = tune_space.defaults_of(settings([]), looked)
            with Study.opened(folder, plan, first) as held:
                if emit:
                    lines = search.emit(held, common)
                    sys.stdout.write(emission.text(lines, elsewhere, folder))
                    return
                if collect:
                    search.collect(held, common)
                elif dask is not None:
                    own = {"input": os.path.realpath(src.path), "study": folder, "worker": input}
                    own |= {"memory": str(budget), "dask": None, "metric": goal}
                    if workers.lacks(held):
                        with place.opened(dask, streams.scratch, threads=threads):
                            workers.everywhere(tune, given_options | own, held)
                else:
                    more = [
                        *("tune", model, str(src.path), *given, "--study", str(folder)),
                        *("--trials", str(trials), "--metric", goal, "--sampler", sampler),
                        *("--prune" if prune else "--no-prune", "--worker", input),
                        *("--memory", str(budget)),
                        *(["--space", str(space)] if space else []),
                        *(["--threads", str(threads)] if threads else []),
                        *(["--tmpdir", tmpdir] if tmpdir else []),
                        *(["--quiet"] if quiet else []),
                    ]
                    with workers.helping(jobs - 1, more):
                        search.run(held, common)
                if dst is None:
                    return
                best, found = search.chosen(held, common, output)
                artifact.write(dst.path, found.header, found.summary, found.members)
                board = Board(held, common)
                if table is not None:
                    board.write(table)
                if plot is not None:
                    board.draw(plot)
                if json:
                    board.print_json(best)
                else:
                    board.show(sys.stderr if output == "-" else sys.stdout)
