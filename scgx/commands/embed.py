"""`scgx embed`: places for cells, from a model or fitted on the spot."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from scgx import progress
from scgx.cluster import work
from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

PANEL = "learn"

FITTED = ("pca", "lsi")  # on the spot, by their name
DERIVED = ("umap", "concat")  # from embeddings that the file has


def embed(
    what: Annotated[
        str,
        typer.Argument(
            metavar="MODEL.scgx|pca|lsi|umap|concat",
            help="a trained model, or what is fitted here",
            autocompletion=words(*FITTED, *DERIVED),
        ),
    ],
    input: opt.InputArg = "-",
    output: opt.OutputOpt = "-",
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="KEY", help="its name in obsm (default: X_MODEL)"),
    ] = None,
    basis: opt.BasisOpt = None,
    batch: opt.BatchOpt = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="a knob of pca or lsi")
    ] = None,
    modality: opt.ModalityOpt = None,
    label: opt.LabelOpt = None,
    max_per_class: Annotated[
        int | None,
        typer.Option(
            "--max-per-class", metavar="N", min=1, help="--label of pca, lsi: cells (default 5000)"
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            metavar="kmeans:N|hdbscan",
            help='groups of cells, into obs["scgx_cluster"]',
        ),
    ] = None,
    plot: opt.PlotOpt = None,
    color: opt.ColorOpt = None,
    min_overlap: opt.MinOverlapOpt = 0.05,
    device: opt.DeviceOpt = "auto",
    seed: opt.SeedOpt = 0,
    memory: opt.MemoryOpt = None,
    threads: opt.ThreadsOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    dask: opt.DaskOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Give every cell a place in few dimensions, in obsm; all else is copied as it is.

    A trained pca, lsi or joint model places the cells of any file; --modality picks one side of a
    joint model where the file has both. pca and lsi by name are fitted on the training rows first,
    and umap is laid out on the training rows of --basis (X_pca by default). concat puts embeddings
    beside each other, each scaled to the same total variance (times 0.5 in --basis lsi=0.5), with
    --batch in each batch. --label lets at most --max-per-class training cells of each class into the
    fit. Clusters are of all cells in what was made (kmeans of umap: in its basis; hdbscan needs few
    dimensions, as umap has), and classify --majority-vote takes them.

    Example:
    scgx embed pca split.h5ad --set rank=20 --cluster kmeans:5 -o placed.h5ad
    scgx embed pca split.h5ad | scgx embed lsi | scgx embed concat --basis pca --basis lsi=0.5 > xy
    """
    from scgx.errors import InputError, UsageError
    from scgx.registry import suggest

    if name is not None and (not name.strip() or "/" in name):
        raise UsageError(f"--name {name!r} is no key of obsm", fix="as in --name X_mine")
    named = what in (*FITTED, *DERIVED)
    if not named and what != "-" and not Path(what).exists():
        near = suggest(what, [*FITTED, *DERIVED])
        raise InputError("no such file, and nothing that is fitted here", fix=near, file=what)
    streams.glance(*([] if named else [what]), input)
    if not named and what == "-" and input == "-":
        raise UsageError("model and cells cannot both be stdin", fix="name one of them")
    streams.apart(output, what)
    streams.apart(plot, input, what)
    streams.distinct(output, plot)
    _check(what, basis, batch, set_, label, max_per_class, color, plot)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    work.check(dask)
    with ExitStack() as stack:
        trained = None if named else stack.enter_context(streams.source(what))
        src = stack.enter_context(streams.source(input))
        dst = stack.enter_context(streams.sink(output))
        where = _told_where(what, dask)
        stack.enter_context(work.opened(where, streams.scratch, threads=threads))
        from scgx.learn.threads import limit

        limit(threads)
        from scgx.h5ad.reader import open_cells
        from scgx.learn import artifact, clusters, colours, embedding, spaces
        from scgx.learn.fit_embedding import MOST, EmbeddingRoles, fit
        from scgx.learn.knobs import settings_of

        grouping = None if cluster is None else clusters.parse(cluster)
        if plot is not None:
            from scgx import plots

            plots.check_kind(plot)
        with open_cells(src.path, name=src.name, memory=budget, genome_10x=genome_10x) as cells:
            beneath = None
            coming = clusters.COLUMN if grouping is not None else None
            colours.check(cells, color or [], coming=coming)
            if what in DERIVED:
                of = spaces.Basis(tuple(basis or ["X_pca"]), batch, name)
                made, beneath = spaces.derived(what, cells, of, seed=seed)
            else:
                if trained is not None:
                    found = artifact.read(trained.path, trained.name)
                else:
                    settings = settings_of(
                        what, list(set_ or []), None, covariates=None, epochs=None,
                        device=device if what == "pca" else "auto",
                    )  # fmt: skip
                    roles = EmbeddingRoles(modality, None, label, max_per_class or MOST)
                    report = progress.Report(None)
                    found = fit(what, cells, roles, settings, seed=seed, report=report).held()
                made = embedding.by_model(
                    found, cells, name, modality=modality, min_overlap=min_overlap
                )
            wish = embedding.Wish(grouping, beneath, seed, history)
            embedding.write(made, cells, dst, wish)
        if plot is not None:
            chosen = color or ([coming] if coming else [label] if label else [])
            with open_cells(dst.path, name=src.name, memory=budget) as placed:
                shown = colours.panels(placed, chosen)
                plots.cells(spaces.read(placed, made.key)[:, :2], shown, made.key, plot)


def _told_where(what: str, dask: str | None) -> str | None:
    """The cluster, where it has anything to do; says what it does not do."""
    if dask is not None and what in (*FITTED, *DERIVED):
        placing = "; workers place the cells" if what in FITTED else ""
        progress.say(f"--dask: {what} is made in this process{placing}")
    return None if what in DERIVED else dask


def _check(
    what: str,
    basis: list[str] | None,
    batch: str | None,
    set_: list[str] | None,
    label: str | None,
    most: int | None,
    color: list[str] | None,
    plot: Path | None,
) -> None:
    from scgx.errors import UsageError

    for option, value, able in (
        ("--basis", basis, DERIVED), ("--batch", batch, ("concat",)), ("--set", set_, FITTED),
        ("--label", label, FITTED), ("--max-per-class", most, FITTED),
    ):  # fmt: skip
        if value is not None and what not in able:
            raise UsageError(f"{option} is of {' and '.join(able)}", fix="leave it out")
    if most is not None and label is None:
        raise UsageError("balanced by which classes?", fix="name their column with --label COLUMN")
    if color and plot is None:
        raise UsageError("--color is of a picture", fix="name it with --plot FILE")
    if what in DERIVED and what == "umap" and len(basis or []) > 1:
        raise UsageError("umap takes one --basis", fix="scgx embed concat makes one of several")
