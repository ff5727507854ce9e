"""`scgx score`: is a prediction any good, and better than what costs nothing?"""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scgx import progress
from scgx.cluster import work
from scgx.commands import _options as opt
from scgx.commands._completion import models
from scgx.errors import DataError, UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    from scgx.h5ad.cells import Cells

PANEL = "judge"


def score(
    truth: Annotated[str, typer.Argument(metavar="TRUTH", help="measured cells, or -")],
    guesses: Annotated[list[str], typer.Argument(metavar="GUESS...", help="predictions, or -")],
    task: Annotated[
        str | None, typer.Option("--task", help="what is scored (the guess says, else this)")
    ] = None,
    train: Annotated[
        str | None, typer.Option("--train", metavar="FILE", help="training cells of the baselines")
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            metavar="MODEL",
            help="fit it and print it too; repeatable",
            autocompletion=models,
        ),
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            "--covariate",
            metavar="COLUMN",
            help="of the group mean, or controls agree in it; repeatable",
        ),
    ] = None,
    label: opt.LabelOpt = None,
    per: Annotated[
        list[str] | None,
        typer.Option("--per", metavar="COLUMN", help="a table per level; repeatable"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by", metavar="COLUMN", help="groups of the interval (default: of the split)"
        ),
    ] = None,
    leak_check: Annotated[
        bool,
        typer.Option(
            "--leak-check", help="labels: what a random split would have claimed too much"
        ),
    ] = False,
    basis: opt.BasisOpt = None,
    batch: opt.BatchOpt = None,
    modality: opt.ModalityOpt = None,
    units: Annotated[
        str | None, typer.Option("--units", help="units of guesses that do not say")
    ] = None,
    layer: opt.LayerOpt = None,
    label_map: Annotated[
        Path | None,
        typer.Option("--label-map", metavar="FILE", help="synthetic cells: fine<TAB>coarse"),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=10, help="synthetic cells: at most so many of a class")
    ] = 2_000,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="every table as TSV")
    ] = None,
    plot: opt.PlotOpt = None,
    json: opt.JsonOpt = False,
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    dask: opt.DaskOpt = None,
    quiet: opt.QuietOpt = False,
) -> None:
    """Score predictions on the test rows, beside baselines, a ceiling and an interval.

    Cells and features pair by name. The trivial baselines come from the training rows of TRUTH, else
    from what the guess carries, else from --train. The last lines say whether a guess beats the best
    baseline. Intervals draw whole groups: those of the split, or of --by. --leak-check fits a logistic
    regression twice, on the split of TRUTH and on a random one of the same sizes. Synthetic cells
    are compared as sets: what they teach, how real they look, whether they are copies. Embeddings in
    obsm are judged by --label and --batch, beside PCA and random numbers. Of a match
    (scgx align) the true partner of a cell is the column of its name; --label adds label transfer.
    Responses are changes of means against control cells, other ones in the truth than in a guess.

    Example:
    scgx predict ridge.scgx split.h5ad | scgx score split.h5ad -
    """
    if [truth, *guesses, train].count("-") > 1:
        raise UsageError("only one of the files can be stdin", fix="name the others by path")
    for written in (table, plot):
        streams.apart(written, truth, *guesses, *([train] if train is not None else []))
    streams.distinct(table, plot, "-" if json else None)
    budget = parse_memory(memory)
    if plot is not None:
        from scgx import plots

        plots.check_kind(plot)
    streams.use_tmpdir(tmpdir)
    work.check(dask)
    with ExitStack() as stack:
        wanted = [truth, *guesses, *([train] if train is not None else [])]
        sources = [stack.enter_context(streams.source(name)) for name in wanted]
        rows_to = stack.enter_context(streams.sink(str(table))) if table is not None else None
        from scgx.learn.threads import limit

        limit(threads)
        from scgx import registry
        from scgx.commands import _score_tables
        from scgx.commands._score_shipped import Ask, source_of
        from scgx.commands._score_shipped import fitter as of_modality
        from scgx.commands._score_shipped_cells import fitter as of_cells
        from scgx.commands._score_shipped_labels import fitter as of_labels
        from scgx.commands._score_shipped_places import fitter as of_places
        from scgx.h5ad.fitted import not_on_train
        from scgx.h5ad.reader import open_cells
        from scgx.learn.labels import read_map

        if task is not None:
            registry.load("tasks", task)
        opened = [
            stack.enter_context(open_cells(src.path, name=src.name, memory=budget))
            for src in sources
        ]
        measured, predicted = opened[0], opened[1 : 1 + len(guesses)]
        training = opened[-1] if train is not None else None
        task = task or _task_of(predicted)
        module = registry.load("tasks", task)
        if dask is not None and not getattr(module, "BLOCKWISE", False):
            progress.say(
                f"--dask: scores of {task} are not worked out by blocks, but in this process"
            )
            dask = None
        stack.enter_context(work.opened(dask, streams.scratch, threads=threads))
        if leak_check and task != "labels":
            raise UsageError("--leak-check is of labels", fix="leave it out")
        if (basis or batch) and task != "embedding":
            raise UsageError("--basis and --batch are of embeddings", fix="leave them out")
        fitters: dict[str, Callable[[Ask], Any]] = {
            "labels": of_labels, "generation": of_cells, "embedding": of_places,
        }  # fmt: skip
        fitter = fitters.get(task, of_modality)
        if label_map is not None and task != "generation":
            raise UsageError(
                "--label-map is of synthetic cells", fix="classify --coarse, then score"
            )
        shipped = Ask(measured, training, source_of(predicted), list(covariate or []), seed, budget)
        warned: list[str] = []

        def warn(words: str) -> None:
            progress.warn(words)
            warned.append(words)

        request = module.Request(
            truth=measured, guesses=predicted, train=training, baselines=list(baseline or []),
            fitted=fitter(shipped), label=label, covariates=list(covariate or []),
            per=list(per or []), modality=modality, units=units, layer=layer,
            coarse=None if label_map is None else read_map(label_map), sample=sample,
            by=by, leak_check=leak_check, basis=list(basis or []), batch=batch,
            picture=plot is not None, seed=seed, memory=budget,
            say=progress.say, warn=warn,
        )  # fmt: skip
        try:
            scores = module.score(request)
        except DataError as error:
            error.file = error.file or measured.name  # and not the file that was opened last
            raise
        for note in scores.notes:
            progress.say(note)
        for words in dict.fromkeys(words for cells in opened for words in not_on_train(cells)):
            warn(words)
        scores = replace(scores, notes=(*scores.notes, *warned))
        if rows_to is not None:
            rows_to.path.write_text(_score_tables.tsv(scores), encoding="utf-8")
        if plot is not None and scores.picture is not None:
            kinds: dict[str, Callable[..., None]] = {
                "labels": plots.confusion,
                "generation": plots.made,
                "perturbation": plots.responses,
            }
            drawn = kinds.get(scores.task, plots.score)
            drawn(scores.picture, plot)
        if json:
            import json as encoder

            facts = _score_tables.to_json(scores)
            sys.stdout.write(encoder.dumps(facts, indent=1, sort_keys=True, allow_nan=False) + "\n")
            return
        where = sys.stderr if str(table) == "-" else sys.stdout
        for one in _score_tables.tables(scores):
            progress.table(one.title, one.columns, _score_tables.words(one), file=where)
            where.write("\n")
        for verdict in scores.verdicts:
            where.write(verdict.sentence + "\n")


def _task_of(guesses: "Sequence[Cells]") -> str:
    """What the guesses say they are, or what their columns say; one task at a time."""
    found = {str(guess.scgx.get("task", _by_content(guess))) for guess in guesses}
    if len(found) > 1:
        raise UsageError(f"the guesses are of several tasks: {', '.join(sorted(found))}")
    return found.pop()


def _by_content(guess: "Cells") -> str:
    if "scgx_label" in guess.obs:
        return "labels"
    return "embedding" if guess.scgx.get("embeddings") else "modality"
