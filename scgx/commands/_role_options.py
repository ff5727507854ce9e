"""The options that say what is learned, of whom and how: those of `train`, spelled once."""

from pathlib import Path
from typing import Annotated

import typer

from scgx.commands import _options as opt

SourceOpt = Annotated[
    str | None,
    typer.Option("--from", help="modality to predict from", autocompletion=opt.MODALITIES),
]
TargetOpt = Annotated[
    str | None, typer.Option("--to", help="modality to predict", autocompletion=opt.MODALITIES)
]
ConditionOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--condition",
        metavar="COLUMN",
        help="--label of a generator: a further column, repeatable",
    ),
]
BalanceOpt = Annotated[
    bool | None,
    typer.Option(
        "--balance/--no-balance",
        help="--label: every class weighs the same (default, but of generators)",
    ),
]
LeastOpt = Annotated[
    int | None,
    typer.Option("--min-cells-per-class", metavar="N", min=1, help="--label: default 10"),
]
MostOpt = Annotated[
    int | None,
    typer.Option(
        "--max-per-class", metavar="N", min=1, help="--label of an embedding: default 5000"
    ),
]
LabelMapOpt = Annotated[
    Path | None,
    typer.Option("--label-map", metavar="FILE", help="--label: fine<TAB>coarse, kept for use"),
]
FeaturesOpt = Annotated[
    str | None,
    typer.Option(
        "--features", metavar="N|marked|FILE", help="--label: learn from these features only"
    ),
]
PanelOpt = Annotated[
    Path | None,
    typer.Option(
        "--panel", metavar="FILE", help="--label: only the features of FILE (cells, or names)"
    ),
]
AugmentOpt = Annotated[
    int | None,
    typer.Option(
        "--augment", metavar="N", min=0, help="--label: N shallower copies with fewer genes"
    ),
]
SetOpt = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="a knob of the model")
]
ConfigOpt = Annotated[Path | None, typer.Option("--config", help="knobs as TOML")]
CovariateOpt = Annotated[
    list[str] | None,
    typer.Option("--covariate", metavar="COLUMN", help="obs column, repeatable"),
]
ControlOpt = Annotated[
    str | None,
    typer.Option("--control", metavar="VALUE", help="--label of perturbations: who has none"),
]
TargetsOpt = Annotated[
    Path | None, typer.Option("--targets", metavar="FILE", help="fit these features only")
]
UnitsOpt = Annotated[
    str | None,
    typer.Option("--units", help="units of genes: log1p-cp10k (default) or log1p-counts"),
]
NaOpt = Annotated[
    str | None, typer.Option("--na", metavar="mask|WEIGHT", help="weight of missing values")
]
