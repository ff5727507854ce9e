"""Links as a file: a table, browser pairs (BEDPE), or the cells with links in varp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from scgx.cells.coordinates import GENES
from scgx.errors import DataError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import Features, present
from scgx.h5ad.names import hash_names
from scgx.h5ad.writer import create
from scgx.learn import attribution, linking
from scgx.learn.artifact import Artifact
from scgx.learn.data import TrainingData
from scgx.learn.linking import Knobs, Linked
from scgx.learn.nearby import Nearby, nearby
from scgx.learn.parts import for_training
from scgx.learn.train import Roles, gather, restore
from scgx.progress import say

FORMATS = ("tsv", "bedpe", "h5ad")
KEY = "scgx_links"


@dataclass(frozen=True)
class Request:
    """How far a peak may be from a gene, where promoters begin, how values are pooled; the highest
    false discovery rate that is written, None for all pairs.
    """

    reach: int
    upstream: int
    knobs: Knobs
    fdr: float | None = None
    history: bool = True


@dataclass(frozen=True)
class Links:
    """All pairs of a file with what is known of them; `weight` is what a model makes of them."""

    peaks: Features
    genes: Features
    pairs: Nearby
    columns: tuple[np.ndarray, np.ndarray]  # of peaks and of genes in the file
    linked: Linked
    weight: np.ndarray | None
    kept: np.ndarray  # positions of the pairs that are written


def find(cells: Cells, found: Artifact | None, ask: Request) -> Links:
    """Links of the training rows of a file (of all rows, where it has no split)."""
    kinds = present(cells.var)
    gene = next((kind for kind in GENES if kind in kinds), None)
    if gene is None or "atac" not in kinds:
        raise DataError(f"links are of peaks and genes, it has {', '.join(kinds)}",
                        fix="scgx join puts both into one file", file=cells.name)  # fmt: skip
    parts = for_training(cells, ask.knobs.seed)
    rows = np.sort(np.concatenate([parts.train, parts.val])) if not parts.id else parts.train
    data = gather(cells, Roles("atac", gene), parts)
    for features, fix in (
        (data.inputs, "scgx annotate-coords reads them from names"),
        (data.outputs, "scgx annotate-coords --gtf FILE"),
    ):
        if not features.located.any():
            raise DataError(f"no {features.modality} feature has a place", fix=fix, file=cells.name)
    pairs = nearby(data.inputs, data.outputs, reach=ask.reach, upstream=ask.upstream)
    if not len(pairs):
        raise DataError(f"no peak lies within {ask.reach:,} bases of a gene", file=cells.name)
    say(f"{len(pairs):,} pairs of {len(np.unique(pairs.gene)):,} genes and"
        f" {len(np.unique(pairs.peak)):,} peaks, over {len(rows):,} cells")  # fmt: skip
    linked = linking.correlate(data, rows, pairs, ask.knobs)
    weight = None if found is None else _weight(found, data, rows, pairs, ask.knobs.seed)
    tested = linked.around or linked.peak
    kept = np.arange(len(pairs)) if ask.fdr is None else np.flatnonzero(tested.q <= ask.fdr)
    say(f"{int((tested.q <= 0.05).sum()):,} pairs at a false discovery rate of 5 %")
    columns = data.source.columns, data.target.columns
    return Links(data.inputs, data.outputs, pairs, columns, linked, weight, kept)


def _weight(
    found: Artifact, data: TrainingData, rows: np.ndarray, pairs: Nearby, seed: int
) -> np.ndarray:
    """What a model makes of each pair; its features must be those of the file, in any order."""
    header = found.header
    if header.task != "modality" or header.inputs.modality != "atac":
        raise DataError("predicts no genes from peaks", fix="scgx train --from atac --to rna",
                        file=found.name)  # fmt: skip
    mine = data.inputs.names.tolist(), data.outputs.names.tolist()
    theirs = list(header.inputs.names), list(header.outputs.names)
    if sorted(mine[0]) != sorted(theirs[0]) or not set(theirs[1]) <= set(mine[1]):
        raise DataError("has other peaks or genes than the file", fix="train it on this file",
                        file=found.name)  # fmt: skip
    trained = found.summary["train_cells"]
    if not np.isin(hash_names(data.obs.index[rows]), trained).any():
        say("the model was trained on none of these cells")
    place = {name: i for i, name in enumerate(theirs[0])}
    peak = np.array([place[name] for name in mine[0]])
    order = np.argsort(peak)
    to_gene = {name: i for i, name in enumerate(theirs[1])}
    gene = np.array([to_gene.get(name, -1) for name in mine[1]])
    known = gene[pairs.gene] >= 0
    weight = np.zeros(len(pairs), np.float32)
    ordered = data.in_order(order)
    asked = gene[pairs.gene[known]], peak[pairs.peak[known]]
    weight[known] = attribution.attribute(restore(found), ordered, rows, asked, seed)
    return weight


def write(path: Path, cells: Cells, links: Links, form: str, *, keep_history: bool) -> None:
    """Write links in one of the formats."""
    if form == "h5ad":
        _h5ad(path, cells, links, keep_history)
        return
    header, line = (_tsv_header(links), _tsv_line) if form == "tsv" else ("", _bedpe_line)
    with open(path, "w", encoding="utf-8") as file:
        file.write(header)
        _lines(file.write, links, line)


def _lines(put: Callable[[str], object], links: Links, line: Callable[[Links, int], str]) -> None:
    for i in links.kept:
        put(line(links, int(i)) + "\n")


def _tsv_header(links: Links) -> str:
    columns = ["gene", "peak", "chrom", "start", "end", "tss", "from_tss", "from_gene", "place",
               "assigned", "r", "z", "q"]  # fmt: skip
    columns += ["around_r", "around_z", "around_q"] if links.linked.around is not None else []
    return "\t".join(columns + (["weight"] if links.weight is not None else [])) + "\n"


def _tsv_line(links: Links, i: int) -> str:
    pairs, peak, gene = links.pairs, links.pairs.peak[i], links.pairs.gene[i]
    words = [
        links.genes.names[gene], links.peaks.names[peak], links.peaks.chrom[peak],
        links.peaks.start[peak], links.peaks.end[peak], links.genes.tss[gene],
        pairs.from_start[i], pairs.from_body[i], pairs.place[i], int(pairs.assigned[i]),
    ]  # fmt: skip
    tested = [links.linked.peak, *([links.linked.around] if links.linked.around else [])]
    words += [f"{column[i]:.6g}" for each in tested for column in each]
    words += [] if links.weight is None else [f"{links.weight[i]:.6g}"]
    return "\t".join(map(str, words))


def _bedpe_line(links: Links, i: int) -> str:
    """Peak, start of the gene, name, score (r of the pair, 0 to 1000), strands."""
    peak, gene = links.pairs.peak[i], links.pairs.gene[i]
    tested = links.linked.around or links.linked.peak
    tss = max(int(links.genes.tss[gene]), int(links.genes.start[gene]), 0)
    tss = int(links.genes.tss[gene]) if links.genes.tss[gene] >= 0 else tss
    words = [
        links.peaks.chrom[peak], links.peaks.start[peak], links.peaks.end[peak],
        links.genes.chrom[gene], tss, tss + 1,
        f"{links.peaks.names[peak]}:{links.genes.names[gene]}",
        int(round(1000 * min(max(float(tested.r[i]), 0), 1))), ".", links.genes.strand[gene] or ".",
    ]  # fmt: skip
    return "\t".join(map(str, words))


def _h5ad(path: Path, cells: Cells, links: Links, keep_history: bool) -> None:
    """The cells as they are; varp[KEY] has the correlation of gene (row) and peak (column)."""
    n = cells.n_var
    pairs, kept = links.pairs, links.kept
    tested = links.linked.around or links.linked.peak
    at = links.columns[1][pairs.gene[kept]], links.columns[0][pairs.peak[kept]]
    found = {KEY: tested.r, f"{KEY}_q": tested.q}
    if links.weight is not None:
        found[f"{KEY}_weight"] = links.weight
    with create(path, like=cells) as out:
        for key, values in found.items():
            matrix = sparse.csr_array(
                sparse.coo_array((values[kept].astype(np.float32), at), shape=(n, n))
            )
            with out.matrix(f"varp/{key}", n, np.float32) as append:
                append(matrix)
        out.copy_rest(cells, skip=[f"varp/{key}" for key in found])
        history.sign(out, [cells], keep=keep_history)
