"""Options that recur, spelled once: one option has one meaning everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from scgx.commands._completion import words

MODALITIES = words("rna", "atac", "adt", "activity")

InputArg = Annotated[str, typer.Argument(metavar="[INPUT]", help="cells: a path, or - for stdin")]
OutputOpt = Annotated[
    str, typer.Option("-o", "--output", metavar="PATH", help="where to write; - is stdout")
]
MemoryOpt = Annotated[
    str | None,
    typer.Option("--memory", metavar="SIZE", help="data to hold at a time (2G; default: half)"),
]
TmpdirOpt = Annotated[
    str | None, typer.Option("--tmpdir", metavar="DIR", help="where pipes are spooled ($TMPDIR)")
]
Genome10xOpt = Annotated[
    str | None, typer.Option("--10x-genome", metavar="NAME", help="the group of an old 10x file")
]
SeedOpt = Annotated[int, typer.Option("--seed", min=0, help="same seed, same bytes")]
ThreadsOpt = Annotated[
    int | None, typer.Option("--threads", min=1, help="threads of the numerical libraries")
]
DaskOpt = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="WHERE",
        help="workers: local, local:N, slurm:FILE, kubernetes:FILE (TOML), or tcp://HOST:PORT",
        autocompletion=words("local", "local:", "slurm:", "kubernetes:", "tcp://"),
    ),
]
DeviceOpt = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda",
        help="where to fit",
        autocompletion=words("auto", "cpu", "cuda"),
    ),
]
LayerOpt = Annotated[
    str | None, typer.Option("--layer", metavar="NAME", help="a layer in place of X")
]
ModalityOpt = Annotated[
    str | None,
    typer.Option(
        "--modality",
        metavar="rna|atac|adt|activity",
        help="only these features",
        autocompletion=MODALITIES,
    ),
]
LabelOpt = Annotated[
    str | None, typer.Option("--label", metavar="COLUMN", help="the column of obs to aim at")
]
BasisOpt = Annotated[
    list[str] | None,
    typer.Option("--basis", metavar="KEY", help="which embedding of obsm: pca, X_pca; repeatable"),
]
BatchOpt = Annotated[
    str | None,
    typer.Option("--batch", metavar="COLUMN", help="of embeddings: the column of batches"),
]
ColorOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--color",
        metavar="COLUMN|GENE",
        help="a panel for each: a column of obs, a gene; repeatable",
    ),
]
RowsOpt = Annotated[
    str | None,
    typer.Option(
        "--rows",
        metavar="test|val|train|all",
        help="default: test, if split",
        autocompletion=words("test", "val", "train", "all"),
    ),
]
MinOverlapOpt = Annotated[
    float,
    typer.Option("--min-overlap", min=0, max=1, help="share of inputs that must be there"),
]
PlotOpt = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="a picture: png, svg or pdf")
]
QuietOpt = Annotated[bool, typer.Option("-q", "--quiet", help="say nothing but warnings")]
JsonOpt = Annotated[bool, typer.Option("--json", help="one JSON object, for programs")]
HistoryOpt = Annotated[
    bool, typer.Option("--history/--no-history", help="record what made the output")
]
