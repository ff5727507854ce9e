"""`scgx train`: fit a model, write one file."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from scgx import progress, registry
from scgx.cluster import work
from scgx.commands import _options as opt
from scgx.commands import _role_options as role
from scgx.commands._completion import models
from scgx.commands._train_roles import Roles
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "learn"

MODELS = ", ".join(registry.names("models"))


def train(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODELS, autocompletion=models)],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    source: role.SourceOpt = None,
    target: role.TargetOpt = None,
    label: opt.LabelOpt = None,
    condition: role.ConditionOpt = None,
    balance: role.BalanceOpt = None,
    min_cells_per_class: role.LeastOpt = None,
    max_per_class: role.MostOpt = None,
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
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="passes over the data")
    ] = None,
    knobs: Annotated[
        bool, typer.Option("--knobs", help="print the knobs of MODEL and leave")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the checkpoint")] = False,
    log: Annotated[Path | None, typer.Option("--log", help="one JSON line per epoch")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="loss curves, as png, svg or pdf")
    ] = None,
    seed: opt.SeedOpt = 0,
    device: opt.DeviceOpt = "auto",
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    dask: opt.DaskOpt = None,
    quiet: opt.QuietOpt = False,
) -> None:
    """Fit a model on the training rows and write it as one file without pickles.

    Roles: --from and --to name modalities, where more than one direction is possible (layer:NAME
    and obsm:KEY hold gene activity beside X, adt=obsm:KEY another modality), and may be left out
    for a joint model of a file with two; --label names a column of obs whose classes are learned,
    and --features then what they are learned from. For cells of another study, --panel takes the
    genes that its file has, and --augment shows the model copies of the training cells by other
    chemistries. A generator learns to draw cells of the classes of --label, and of any --condition,
    from counts of its --features (default: 2000). An embedding takes no target; --label then lets
    each class in with --max-per-class cells at most. A model of responses learns what the
    perturbations of --label do to cells like the controls, those that agree in each --covariate;
    column, controls and covariates are found where the layout is known. All else about a model is
    --set key=value. A model that trains in epochs keeps a checkpoint beside the output
    (PATH.checkpoint); Ctrl-C leaves it there, and --resume goes on from it to the same weights.

    Example:
    scgx train ridge --knobs
    scgx fetch demo | scgx split --by donor | scgx train ridge --from atac --to rna -o ridge.scgx
    scgx fetch demo | scgx train logistic --label cell_type -o types.scgx
    scgx train one-hot-ridge screen.h5ad --label perturbation -o response.scgx
    """
    roles = Roles(
        source, target, units, targets, na, label, control, tuple(covariate or ()),
        tuple(condition or ()), balance, min_cells_per_class, max_per_class, label_map, features,
        panel, augment,
    )  # fmt: skip
    if knobs:
        from scgx.learn import config as described
        from scgx.learn.model import parts_for

        about = parts_for(
            registry.load("models", model), labels=roles.kind(model) == "labels"
        ).config
        progress.table("", ["knob", "type", "default", "what"], described.describe(about))
        return
    streams.glance(input)
    for written in (output, log, plot):
        streams.apart(written, input, panel or "-")
    streams.distinct(output, log, plot)
    from scgx.learn.threads import limit

    limit(threads)
    roles.check(model)
    _check_cluster(model, dask)
    if plot is not None:
        from scgx import plots

        plots.check_kind(plot)
    kind = roles.kind(model)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    from scgx.learn.knobs import missing_weight, read_names, settings_of

    missing_weight(na)
    read_names(targets)
    settings = settings_of(
        model,
        list(set_ or []),
        config,
        covariates=None if kind == "response" else covariate,
        epochs=epochs,
        device=device,
        labels=kind == "labels",
    )
    if (resume or log or (plot and kind != "embedding")) and not hasattr(settings, "epochs"):
        from scgx.errors import UsageError

        raise UsageError(
            f"model {model!r} does not train in epochs", fix="leave --log, --plot and --resume out"
        )
    from scgx.commands import _train_processes

    here = _train_processes.here(model, settings, input)
    checkpoint = None if output == "-" else Path(f"{output}.checkpoint")
    if resume and checkpoint is None:
        from scgx.errors import UsageError

        raise UsageError("--resume needs the output of the first run", fix="give the same -o PATH")
    with ExitStack() as stack:
        src = stack.enter_context(streams.source(input))
        if checkpoint is not None and hasattr(settings, "epochs") and here.is_first:
            from scgx.learn.checkpoint import alone

            stack.enter_context(alone(Path(output)))
        dst = stack.enter_context(streams.sink(output)) if here.is_first else None
        stack.enter_context(work.opened(dask, streams.scratch, threads=threads))
        from scgx.h5ad.reader import open_cells

        written = log if here.is_first else None
        report = progress.Report(written, checkpoint=checkpoint, resume=resume)
        with open_cells(src.path, name=src.name, memory=budget // here.local_total) as cells:
            fitted = roles.fit(model, cells, settings, seed=seed, report=report)
            if dst is None:
                return
            fitted.write(dst.path)
        if plot is not None:
            if kind == "embedding":
                plots.explained(fitted.summary["explained_ratio"], plot)
            else:
                plots.curve(report.records, plot)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)


def _check_cluster(model: str, dask: str | None) -> None:
    work.check(dask, is_said=True)
    if dask is not None and not getattr(registry.load("models", model), "DASK", False):
        from scgx.errors import UsageError

        raise UsageError(
            f"model {model!r} does not train on Dask",
            fix="xgboost does; torchrun trains in several processes",
        )
