"""`scgx simulate`: cells whose truth is known, a perturbation screen or a paired multiome."""

from typing import Annotated, Any

import typer

from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.errors import UsageError
from scgx.h5ad import streams

PANEL = "get"

PAIRED = ("multiome", "cite")
KINDS = ("linear", "nonlinear", *PAIRED)
EFFECTS = ("over-expression", "knock-down", "knock-out")

KindOpt = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="linear|nonlinear|multiome|cite",
        help="how genes follow their regulators; or genes with peaks, with antibodies",
        autocompletion=words(*KINDS),
    ),
]
CellsOpt = Annotated[int, typer.Option("--cells", metavar="N", min=1, help="how many")]
GenesOpt = Annotated[int, typer.Option("--genes", metavar="N", min=1, help="how many")]
PeaksOpt = Annotated[
    int | None, typer.Option("--peaks", metavar="N", min=1, help="of multiome (default 1,500)")
]
PerturbationsOpt = Annotated[
    int | None,
    typer.Option("--perturbations", metavar="N", min=1, help="genes perturbed alone (default 20)"),
]
DoublesOpt = Annotated[
    int | None,
    typer.Option("--doubles", metavar="N", min=0, help="pairs of them perturbed (default 10)"),
]
EffectOpt = Annotated[
    str | None,
    typer.Option(
        "--effect",
        metavar="WORD",
        help="over-expression (default), knock-down or knock-out",
        autocompletion=words(*EFFECTS),
    ),
]
ControlsOpt = Annotated[
    float | None,
    typer.Option("--controls", metavar="F", help="share of cells unperturbed (default 0.2)"),
]
TypesOpt = Annotated[
    int | None, typer.Option("--cell-types", metavar="N", min=1, help="how many (default 3)")
]
DonorsOpt = Annotated[
    int | None, typer.Option("--donors", metavar="N", min=1, help="how many (default 4)")
]
BatchesOpt = Annotated[
    int | None, typer.Option("--batches", metavar="N", min=1, help="of donors (default 2)")
]
NoiseOpt = Annotated[
    float | None,
    typer.Option("--noise", metavar="SD", help="of a gene's level, in log units (default 0.3)"),
]
DepthOpt = Annotated[
    float | None, typer.Option("--depth", metavar="N", help="counts of a cell (default 5,000)")
]
DropoutOpt = Annotated[
    float | None,
    typer.Option(
        "--dropout", metavar="F", help="chance that a gene of a cell is lost (default 0.1)"
    ),
]
UnitsOpt = Annotated[
    str | None,
    typer.Option(
        "--units",
        metavar="counts|log1p-cp10k",
        help="what X holds; log1p-cp10k is of the true rates, no count drawn",
        autocompletion=words("counts", "log1p-cp10k"),
    ),
]


def simulate(
    output: opt.OutputOpt = "-",
    kind: KindOpt = "linear",
    cells: CellsOpt = 3000,
    genes: GenesOpt = 300,
    peaks: PeaksOpt = None,
    perturbations: PerturbationsOpt = None,
    doubles: DoublesOpt = None,
    effect: EffectOpt = None,
    controls: ControlsOpt = None,
    cell_types: TypesOpt = None,
    donors: DonorsOpt = None,
    batches: BatchesOpt = None,
    noise: NoiseOpt = None,
    depth: DepthOpt = None,
    dropout: DropoutOpt = None,
    units: UnitsOpt = None,
    seed: opt.SeedOpt = 0,
    tmpdir: opt.TmpdirOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Draw the cells of a perturbation screen from a gene network, the truth stored with them.

    linear: x = Wx + b + Gaussian noise, so effects add up. nonlinear: regulators saturate and
    promoters have thresholds, so pairs interact and cell types differ. obs has perturbation (A, A+B,
    control), cell_type, donor and batch; varp["network"] the graph (from, to); uns["truth"] what
    every perturbation changes without noise, and how strong the noise is. A model that fails on such
    cells has a bug; one that fails on real cells alone has hard data. multiome: what
    `scgx fetch demo` draws, of any size; cite: the same cells with 30 antibodies in place of peaks.

    Example:
    scgx simulate --cells 1000 --perturbations 8 --doubles 4 | scgx split --by perturbation > split.h5ad
    scgx simulate --kind nonlinear --effect knock-out --cells 1000 --seed 7 > knocked-out.h5ad
    scgx simulate --kind multiome --cells 100 --genes 50 --peaks 200 > paired.h5ad
    """
    screen = {
        "perturbations": perturbations, "doubles": doubles, "effect": effect, "controls": controls,
        "cell_types": cell_types, "donors": donors, "batches": batches, "noise": noise,
        "depth": depth, "dropout": dropout,
    }  # fmt: skip
    given: dict[str, Any] = {k: value for k, value in screen.items() if value is not None}
    _check_usage(kind, {**given, **({"units": units} if units else {})}, peaks)
    streams.use_tmpdir(tmpdir)
    with streams.sink(output) as dst:
        if kind in PAIRED:
            from scgx.cells import cite_h5ad, multiome_h5ad
            from scgx.datasets import demo

            (cite_h5ad if kind == "cite" else multiome_h5ad).write(
                dst.path,
                cells=cells,
                genes=genes,
                peaks=peaks or demo.PEAKS,
                seed=seed,
                keep_history=history,
            )
            return
        from scgx.cells import network_h5ad
        from scgx.cells.network import Plan

        plan = Plan(cells=cells, genes=genes, kind=kind, seed=seed, **given)
        network_h5ad.write(dst.path, plan, units=units or "counts", keep_history=history)


def _check_usage(kind: str, screen: dict[str, object], peaks: int | None) -> None:
    """Refuse an unknown kind, and options that belong to another one."""
    if kind not in KINDS:
        raise UsageError(f"no kind {kind!r}", fix=f"--kind {', '.join(KINDS)}")
    if kind in PAIRED and screen:
        name = next(iter(screen)).replace("_", "-")
        raise UsageError(f"--{name} is for a screen", fix="--kind linear or nonlinear")
    if kind != "multiome" and peaks is not None:
        raise UsageError("--peaks is for --kind multiome")
