"""`scgx normalize`: from one unit to another, and back to counts."""

from typing import Annotated

import typer

from scgx import progress
from scgx.cluster import work
from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.errors import UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "shape"

MethodOpt = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="log1p|tfidf|binary|counts|clr",
        help="what to make of X",
        autocompletion=words("log1p", "tfidf", "binary", "counts", "clr"),
    ),
]
FactorsOpt = Annotated[
    str | None,
    typer.Option("--size-factors", metavar="COLUMN", help="log1p: divide by this column of obs"),
]


def normalize(
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    method: MethodOpt = None,
    modality: opt.ModalityOpt = None,
    layer: opt.LayerOpt = None,
    size_factors: FactorsOpt = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    dask: opt.DaskOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Normalise X: log1p CP10k for RNA, TF-IDF for ATAC, CLR for antibodies, unless told otherwise.

    Counts stay in layers["counts"]; features of other modalities stay as they are. log1p divides
    by obs["total_counts_MODALITY"] where an earlier command dropped features. tfidf learns its
    weights on the cells of obs["split"] == train, on all where there is no split. counts takes X
    back to whole numbers, and refuses where they cannot be known. Isotype controls among antibodies
    are marked in var["isotype_control"], and stay in the mean of clr.

    Example:
    scgx fetch demo | scgx normalize > normal.h5ad
    scgx fetch demo | scgx normalize --method binary --modality atac > binary.h5ad
    """
    if size_factors is not None and method not in (None, "log1p"):
        raise UsageError(f"--size-factors is of no use to {method}", fix="--method log1p")
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    work.check(dask)
    with (
        streams.source(input) as src,
        streams.sink(output) as dst,
        work.opened(dask, streams.scratch),
    ):
        from scgx.cells import convert, recipe
        from scgx.h5ad.fitted import record
        from scgx.h5ad.history import sign
        from scgx.h5ad.isotypes import CONTROL, isotype_controls
        from scgx.h5ad.reader import open_cells
        from scgx.h5ad.writer import create

        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            plan = recipe.plan(cells, method, modality, layer)
            for name, unit in plan.already.items():
                progress.say(f"{name} is {unit} already")
            steps = [recipe.with_totals(cells, step, size_factors) for step in plan.steps]
            fits: dict[str, str] = {}
            for i, step in enumerate(steps):
                if step.method == "tfidf":
                    steps[i], rows = convert.with_weights(cells, step, budget)
                    fits[step.modality] = record(cells, f"normalize {step.method}", rows)
                    progress.say(f"idf of {step.modality} learnt on {rows}")
            with create(dst.path, like=None if dst.piped else cells) as out:
                convert.write(cells, out, steps, budget)
                out.copy_rest(cells)
                for name, text in fits.items():
                    out.uns(f"scgx/fitted/X/{name}", text)
                sign(out, [cells], units=convert.units_after(cells, steps), keep=history)
            if any(step.modality == "adt" for step in steps):
                controls = int(isotype_controls(cells.var).sum())
                if controls:
                    progress.say(f"{controls} isotype controls are marked in var[{CONTROL!r}]")
            for step in steps:
                by = f", per obs[{step.totals!r}]" if step.totals else ""
                progress.say(f"X of {step.modality} is {step.made}, from {step.source}{by}")
            if any(step.factors for step in steps):
                progress.say(
                    "log1p over size factors is not CP10k: its unit is recorded as unknown"
                )
