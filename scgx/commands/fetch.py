"""`scgx fetch`: a public dataset by its name, or any address, as h5ad."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scgx import invocation
from scgx.commands import _fetch_census, _fetch_list
from scgx.commands import _options as opt
from scgx.commands._completion import datasets, words
from scgx.errors import DataError, NetworkError, UsageError
from scgx.h5ad import streams
from scgx.h5ad.memory import parse_memory

if TYPE_CHECKING:
    from scgx.cells.fetched import How
    from scgx.cells.fetched_parts import Got
    from scgx.datasets._cache import Cache, Entry
    from scgx.datasets._dataset import Dataset, File
    from scgx.datasets._download import Wish

PANEL = "get"

NameArg = Annotated[
    str,
    typer.Argument(
        metavar="NAME|URL", help="a dataset (--list), or https://", autocompletion=datasets
    ),
]
SizeOpt = Annotated[int | None, typer.Option(min=1, help="of demo", show_default=False)]
GenesOpt = Annotated[
    str | None,
    typer.Option(
        "--genes",
        metavar="N|WORDS",
        help="of demo: how many; of census: measured:2000, type:protein_coding, names, a file",
    ),
]
WhereOpt = Annotated[
    str | None,
    typer.Option("--where", metavar="EXPR", help="of census: cell_type=B,T or an expression"),
]
OrganismOpt = Annotated[
    str | None,
    typer.Option(
        "--organism",
        metavar="human|mouse",
        help="of census (default: human)",
        autocompletion=words("human", "mouse"),
    ),
]
SeedOpt = Annotated[
    int | None, typer.Option("--seed", min=0, help="of demo: same seed, same bytes")
]
ListOpt = Annotated[bool, typer.Option("--list", help="what there is, as a table")]
InfoOpt = Annotated[
    str | None,
    typer.Option("--info", metavar="NAME", help="all about a dataset", autocompletion=datasets),
]
Sha256Opt = Annotated[str | None, typer.Option("--sha256", metavar="HEX", help="what it must be")]
FileOpt = Annotated[
    list[str] | None,
    typer.Option("--from-file", metavar="PATH", help="the file got by hand, one per part"),
]
OfflineOpt = Annotated[bool, typer.Option("--offline", help="use the cache, ask nobody")]
VerifyOpt = Annotated[bool, typer.Option("--verify", help="hash what is cached again")]


def fetch(
    name: NameArg = "",
    output: opt.OutputOpt = "-",
    list_: ListOpt = False,
    info: InfoOpt = None,
    json: opt.JsonOpt = False,
    sha256: Sha256Opt = None,
    from_file: FileOpt = None,
    offline: OfflineOpt = False,
    verify: VerifyOpt = False,
    modality: opt.ModalityOpt = None,
    cells: SizeOpt = None,
    genes: GenesOpt = None,
    peaks: SizeOpt = None,
    seed: SeedOpt = None,
    where: WhereOpt = None,
    organism: OrganismOpt = None,
    memory: opt.MemoryOpt = None,
    tmpdir: opt.TmpdirOpt = None,
    genome_10x: opt.Genome10xOpt = None,
    history: opt.HistoryOpt = True,
    quiet: opt.QuietOpt = False,
) -> None:
    """Get a public dataset as h5ad: cached, verified, resumed. `demo` is made offline.

    Annotations (gencode-human) come as the file they are; any https address works too, and ucsc:SET for
    any set of the UCSC Cell Browser (ucsc:organoidreportcard/primary10X). `census` is a
    slice of the CELLxGENE Census (pip install 'scgx[census]'): --where says which cells, --genes
    which genes, chosen by who measured them before a count is read; varm["measured"] keeps who did.
    `demo --modality adt` is the same cells with antibodies in place of peaks, as CITE-seq has them.

    Environment: SCGX_CACHE (folder of downloads), SCGX_CATALOG (a table of datasets of one's own),
    SCGX_BASE_URLS (mirrors: https://host=https://mirror), SCGX_STALL (30 s), SCGX_TRIES (5).

    Example:
    scgx fetch demo | scgx filter-chrom X > x.h5ad
    scgx fetch demo --modality adt > cite.h5ad
    scgx fetch --list
    """
    from scgx.datasets import _catalog, _cellbrowser

    if list_ or info:
        _fetch_list.show(_catalog.names() if list_ else [str(info)], json=json, whole=not list_)
        return
    if not name:
        raise UsageError("name a dataset or an address", fix="see scgx fetch --list")
    if json:
        raise UsageError("--json goes with --list and --info")
    dataset = _asked(name, sha256)
    _refuse_misplaced(
        dataset,
        from_file,
        demo={"--cells": cells, "--peaks": peaks, "--seed": seed},
        census={"--where": where, "--organism": organism},
        both={"--genes": genes},
    )
    census = None
    if dataset.recipe == "census":
        asked = _fetch_census.Asked(where, genes, organism, from_file[0] if from_file else None)
        census = _fetch_census.check(dataset, asked)
    budget = parse_memory(memory)
    streams.use_tmpdir(tmpdir)
    with streams.sink(output) as dst:
        from scgx.cells.fetched import How

        how = How(budget, modality, history, genome_10x, dst.piped)
        if dataset.recipe == "demo":
            _draw(dataset, dst.path, how, cells, _count(genes), peaks, seed)
        elif census is not None:
            _fetch_census.write(dataset, census, dst.path, how, offline=offline)
        else:
            wish = _wish(offline=offline, verify=verify)
            try:
                got, annotation = _get(dataset, from_file or [], modality, wish)
            except NetworkError:
                other = _cellbrowser.otherwise(dataset)
                if other is None or from_file or offline:
                    raise
                dataset = other
                got, annotation = _get(dataset, [], modality, wish)
            _write(dataset, got, annotation, dst.path, how, output)


def _draw(
    dataset: Dataset,
    path: Path,
    how: How,
    cells: int | None,
    genes: int | None,
    peaks: int | None,
    seed: int | None,
) -> None:
    """The demo, of the size asked for."""
    from scgx.cells import cite_h5ad, fetched, multiome_h5ad
    from scgx.datasets import demo
    from scgx.h5ad.features import parse_modality

    if how.modality and parse_modality(how.modality) == "adt":
        if peaks is not None:
            raise UsageError("--peaks goes with chromatin", fix="leave --modality adt out")
        cite_h5ad.write(
            path,
            cells=cells or demo.CELLS,
            genes=genes or demo.GENES,
            peaks=demo.PEAKS,
            seed=demo.SEED if seed is None else seed,
            keep_history=how.keep_history,
        )
        return
    with streams.temporary(path.parent) as whole:
        multiome_h5ad.write(
            whole if how.modality else path,
            cells=cells or demo.CELLS,
            genes=genes or demo.GENES,
            peaks=peaks or demo.PEAKS,
            seed=demo.SEED if seed is None else seed,
            keep_history=how.keep_history,
        )
        if how.modality:
            fetched.drop_other(whole, path, dataset, how)


def _write(
    dataset: Dataset, got: list[Got], genes: Entry | None, path: Path, how: How, output: str
) -> None:
    """The output, by the dataset's recipe. A .gtf.gz is unpacked for an output called .gtf."""
    from scgx.cells import fetched

    recipe = dataset.recipe
    if recipe == "address":
        recipe = fetched.sniffed(got[0].entry)
        if recipe == "raw" and output.endswith(".h5ad"):
            dataset = dataclasses.replace(dataset, recipe="text")
            recipe = "text"
    if recipe == "raw":
        if how.modality:
            raise DataError("is no cells: --modality does not apply", file=dataset.name)
        if output.endswith((".h5ad", ".h5mu", ".zarr")):
            raise DataError(
                "is no cells, so no h5ad", fix="name the output otherwise", file=dataset.name
            )
        inner, gz, _ = got[0].file.format.rpartition(".gz")
        unpacked = bool(gz) and output.endswith(f".{inner}")
        fetched.write_raw(got[0], dataset, path, unpacked=unpacked)
    elif recipe == "pair":
        fetched.write_pair(got, dataset, path, how, genes=genes)
    else:
        fetched.write_cells(got, dataset, path, how)


def _asked(name: str, sha256: str | None) -> Dataset:
    """The dataset of a name, or one made up for an address."""
    from scgx.datasets import _address, _catalog
    from scgx.datasets._dataset import Dataset, File

    if sha256 is not None:
        sha256 = sha256.lower().removeprefix("sha256:")
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise UsageError("--sha256 takes 64 hexadecimal digits")
    if "://" in name:
        shown = _address.public(name)
        invocation.hide(name, shown)
        _address.check(_address.mirrored(name), checksum=bool(sha256))
        file = File(format=_format_of(shown), urls=(name,), sha256=sha256)
        return Dataset(shown[-80:], "address", shown, (file,), recipe="address")
    dataset = _catalog.load(name)
    if not dataset.ready:
        formats = ", ".join(dict.fromkeys(file.format for file in dataset.files))
        fix = f"its addresses: scgx fetch --info {name}"
        raise DataError(f"not yet: nothing here converts its {formats}", fix=fix, file=name)
    if sha256 is not None:
        if len(dataset.files) != 1:
            raise UsageError("--sha256 is for one file", fix=f"{name} has none or several")
        files = (dataclasses.replace(dataset.files[0], sha256=sha256),)
        dataset = dataclasses.replace(dataset, files=files)
    return dataset


def _format_of(url: str) -> str:
    """What the end of an address says; the content decides in the end."""
    path = url.partition("?")[0].lower()
    for suffix in (".h5ad.gz", ".gtf.gz", ".gff3.gz", ".bed.gz", ".tsv.gz", ".csv.gz", ".gz"):
        if path.endswith(suffix):
            return suffix[1:] if suffix != ".gz" else "unknown.gz"
    if path.endswith(".h5mu"):
        return "h5mu"
    return "h5ad" if path.endswith((".h5ad", ".h5", ".loom")) else ""


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    text = str(text)  # the Python API gives a number
    if not text.isdigit() or not int(text):
        raise UsageError(f"--genes {text!r} is no number of genes", fix="--genes 300")
    return int(text)


def _refuse_misplaced(
    dataset: Dataset,
    from_file: list[str] | None,
    *,
    demo: Mapping[str, object],
    census: Mapping[str, object],
    both: Mapping[str, object],
) -> None:
    recipes = {"demo": demo, "census": census, "demo and census": both}
    for whose, options in recipes.items():
        for option, value in options.items():
            if value is not None and dataset.recipe not in whose.split(" and "):
                raise UsageError(f"{option} is for {whose}", fix=f"{dataset.name} is what it is")
    if dataset.recipe == "census":
        if from_file and len(from_file) != 1:
            raise UsageError("--from-file names one copy of the Census")
        return
    parts = len(dataset.files) or 2
    if from_file and (dataset.recipe == "demo" or len(from_file) != parts):
        if dataset.recipe == "demo":
            raise UsageError("demo is drawn and read from no file", fix="leave --from-file out")
        raise UsageError(
            f"{dataset.name} is made of {parts} files, --from-file names {len(from_file)}"
        )


def _wish(*, offline: bool, verify: bool) -> Wish:
    from scgx.datasets._download import Policy, Wish

    return Wish(offline, verify, Policy.of_environment())


def _get(
    dataset: Dataset, by_hand: list[str], modality: str | None, wish: Wish
) -> tuple[list[Got], Entry | None]:
    """The files of a dataset (of one modality) and its annotation, in the cache."""
    from scgx.cells.fetched_parts import Got
    from scgx.datasets import _catalog, _download
    from scgx.datasets._cache import open_cache
    from scgx.h5ad.features import parse_modality

    cache = open_cache()
    wanted = parse_modality(modality) if modality else None
    got = []
    for file, path in _files(dataset, cache, wish, by_hand):
        if dataset.recipe == "pair" and wanted not in (None, file.part):
            continue
        label = f"{dataset.name} {file.part}".strip()
        if path is not None:
            entry = _download.from_file(cache, file, Path(path), label=label)
        else:
            entry = _download.fetch(cache, file, wish, label=label)
        got.append(Got(file, entry))
    if not got:
        raise DataError(f"has no {wanted}", file=dataset.name)
    genes = None
    if dataset.annotation:
        file = _catalog.load(dataset.annotation).files[0]
        genes = _download.fetch(cache, file, wish, label=dataset.annotation)
    return got, genes


def _files(
    dataset: Dataset, cache: Cache, wish: Wish, by_hand: list[str]
) -> list[tuple[File, str | None]]:
    from scgx.datasets import _catalog

    if by_hand:
        files = dataset.files or _catalog.parts(dataset.name)
        return list(zip(files, by_hand, strict=True))
    found = dataset.files or _catalog.resolve(dataset.name, cache, wish)
    return [(file, None) for file in found]
