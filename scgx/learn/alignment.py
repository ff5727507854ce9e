"""A match of cells as a file: who is whose partner, how surely, and what that says of labels.

X has a row for each cell of one side and a column for each of the other one: the weights of the match,
whose rows sum to 1 or are empty. obs says the best partner of each cell and how likely it is. The
places of both sides in the common space are in obsm and varm, for `score`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad import history
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.streams import Sink
from scgx.h5ad.writer import Writer, create
from scgx.learn import matching
from scgx.learn.matching import Matched, Places, Potentials, Sharp
from scgx.learn.meeting import FEWEST_PAIRS, Meeting, Part
from scgx.progress import say, warn

SPACE = "X_common"
FEWEST_IN_GROUP = 2


@dataclass(frozen=True)
class Request:
    """How cells are to be matched: the method, within which groups, one to one, how many weights a
    row; the temperature, where it is not to be learned; a column whose labels cross over.
    """

    method: str = "transport"
    by: str | None = None
    one_to_one: bool = False
    keep: int = matching.MOST_KEPT
    temperature: float | None = None
    sharpness: float | None = None
    transfer: str | None = None
    history: bool = True


@dataclass(frozen=True)
class Aligned:
    """The match of all cells: `sharp` is how, `places` those of the common space (hubs freed)."""

    matched: Matched
    places: Places
    sharp: Sharp
    lonely: int  # rows whose group has no cell on the other side


def align(meeting: Meeting, left: Part, right: Part, ask: Request) -> Aligned:
    """Match the cells of two parts."""
    meeting.prepare(left if left.side == "inputs" else right)
    places = meeting.places(left, right)
    sharp = _sharp(meeting, places, ask)
    say(f"temperature {sharp.temperature:.3g}, sharpened {sharp.sharpness:g} times")
    room = left.cells.memory // 2 // (12 * max(len(left.rows), 1))
    keep = max(1, min(ask.keep, room))
    if keep < min(ask.keep, len(right.rows)):
        say(f"{keep} weights a row fit in --memory")
    groups = _groups(left, right, ask.by)
    made = [
        _one(Places(places.left[rows], places.right[columns]), sharp, ask, keep, left.cells.memory)
        for rows, columns in groups
    ]
    found, extra = _joined(groups, made, (len(left.rows), len(right.rows)))
    placed = matching.freed(places, extra, sharp.temperature)
    lonely = len(left.rows) - sum(len(rows) for rows, _columns in groups)
    return Aligned(found, placed, sharp, lonely)


def _sharp(meeting: Meeting, places: Places, ask: Request) -> Sharp:
    if ask.temperature is not None:
        return Sharp(ask.temperature, ask.sharpness or 1.0)
    known = meeting.pairs
    if known is None:
        warn(
            f"under {FEWEST_PAIRS} validation cells with both modalities: the temperature is a guess"
            " (--pairs FILE has pairs, or name --temperature)"
        )
        return Sharp(matching.USUAL * matching.spread(places), ask.sharpness or 1.0)
    learned = matching.learn(known, "softmax" if ask.method == "softmax" else "transport")
    return learned if ask.sharpness is None else learned._replace(sharpness=ask.sharpness)


def _groups(left: Part, right: Part, by: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which rows of the left meet which of the right: positions among the cells of either part."""
    if by is None:
        return [(np.arange(len(left.rows)), np.arange(len(right.rows)))]
    words = [part.cells.obs.strings(by)[part.rows] for part in (left, right)]
    levels = sorted({w for w in words[0] if w is not None} & {w for w in words[1] if w is not None})
    if not levels:
        raise DataError(f"no level of {by!r} is on both sides", fix="leave --by out")
    groups = [(np.flatnonzero(words[0] == w), np.flatnonzero(words[1] == w)) for w in levels]
    kept = [pair for pair in groups if min(map(len, pair)) >= FEWEST_IN_GROUP]
    if not kept:
        raise DataError(f"every level of {by!r} has a single cell", fix="leave --by out")
    return kept


def _one(
    places: Places, sharp: Sharp, ask: Request, keep: int, memory: int
) -> tuple[Matched, Potentials]:
    if 4 * matching.ROWS * 4 * len(places.right) > memory:
        raise DataError(
            f"{len(places.right):,} cells at a time do not fit in --memory",
            fix="--by COLUMN matches within groups",
        )
    found, potentials = matching.match(places, sharp, ask.method, keep)
    if ask.one_to_one:
        found = matching.one_to_one(places, sharp, found, memory)
    return found, potentials


def _joined(
    groups: list[tuple[np.ndarray, np.ndarray]],
    made: list[tuple[Matched, Potentials]],
    shape: tuple[int, int],
) -> tuple[Matched, Potentials]:
    """Matches within groups as one match of all cells."""
    best, confidence = np.full(shape[0], -1), np.zeros(shape[0], np.float32)
    mutual = np.zeros(shape[0], bool)
    extra = Potentials(np.zeros(shape[0], np.float32), np.zeros(shape[1], np.float32))
    for (rows, columns), (found, potentials) in zip(groups, made, strict=True):
        best[rows] = np.where(found.best >= 0, columns[found.best], -1)
        confidence[rows], mutual[rows] = found.confidence, found.mutual
        extra.rows[rows], extra.columns[columns] = potentials
    weights, odds = (
        _spread([(*pair, each[0][i]) for pair, each in zip(groups, made, strict=True)], shape)
        for i in (0, 1)
    )
    return Matched(weights, odds, best, confidence, mutual), extra


def _spread(
    blocks: list[tuple[np.ndarray, np.ndarray, sparse.csr_array]], shape: tuple[int, int]
) -> sparse.csr_array:
    """Blocks of a matrix, each of some rows and some columns (sorted), as one CSR matrix."""
    lengths = np.zeros(shape[0], np.int64)
    for rows, _columns, block in blocks:
        lengths[rows] = np.diff(block.indptr)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    data, indices = np.empty(indptr[-1], np.float32), np.empty(indptr[-1], np.int32)
    for rows, columns, block in blocks:
        inside = np.arange(block.nnz) - np.repeat(block.indptr[:-1], np.diff(block.indptr))
        at = np.repeat(indptr[rows], np.diff(block.indptr)) + inside
        data[at], indices[at] = block.data, columns[block.indices]
    return sparse.csr_array((data, indices, indptr), shape=shape)


def write(dst: Sink, meeting: Meeting, left: Part, right: Part, ask: Request) -> None:
    """Match, and write one h5ad."""
    if ask.transfer is not None:
        right.cells.obs.strings(ask.transfer)  # refuses an unknown one, and names the nearest
    done = align(meeting, left, right, ask)
    found = done.matched
    with create(dst.path) as out:
        out.frame("obs", _obs(left, right, found, ask.transfer))
        out.frame("var", right.cells.obs.take(right.rows))
        with out.matrix("X", len(right.rows), np.float32) as append:
            for start in range(0, len(left.rows), matching.ROWS):
                append(found.weights[start : start + matching.ROWS])
        out.array(f"obsm/{SPACE}", done.places.left)
        out.array(f"varm/{SPACE}", done.places.right)
        _describe(out, meeting, left, right, (ask, done))
        inputs = [left.cells] if left.cells is right.cells else [left.cells, right.cells]
        units = {"X": {"rna": "unknown"}}  # weights are in the unit of no modality
        history.sign(
            out, inputs, units=units, keep=ask.history, before=meeting.found.header.history
        )
    _tell(left, right, done)


def _obs(left: Part, right: Part, found: Matched, transfer: str | None) -> Frame:
    names = right.cells.obs_names[right.rows]
    there = found.best >= 0
    partner = names[np.maximum(found.best, 0)]
    partner[~there] = None
    frame = left.cells.obs.take(left.rows)
    frame = frame.with_column("match", partner)
    frame = frame.with_column("match_confidence", np.where(there, found.confidence, 0))
    frame = frame.with_column("match_mutual", found.mutual)
    if transfer is None:
        return frame
    words, share = _transferred(right, found, transfer)
    frame = frame.with_column(f"{transfer}_transferred", categorical(words))
    return frame.with_column(f"{transfer}_transferred_p", share)


def _transferred(right: Part, found: Matched, column: str) -> tuple[np.ndarray, np.ndarray]:
    """For each cell the label that its likely partners have most, and that label's share."""
    words = right.cells.obs.strings(column)[right.rows]
    known = np.array([word is not None for word in words], dtype=bool)
    names, codes = np.unique(words[known].astype(str), return_inverse=True)
    if not len(names):
        raise DataError(f"no cell has a {column}", file=right.cells.name)
    shape = (len(words), len(names))
    member = sparse.csr_array((np.ones(len(codes)), (np.flatnonzero(known), codes)), shape=shape)
    share = (found.probability @ member).toarray()
    total = share.sum(axis=1)
    best = names.astype(object)[share.argmax(axis=1)]
    best[total <= 0] = None
    return best, (share.max(axis=1) / np.where(total > 0, total, 1)).astype(np.float32)


def _describe(
    out: Writer, meeting: Meeting, left: Part, right: Part, how: tuple[Request, Aligned]
) -> None:
    """uns["scgx"]: the task, the model, how cells were matched, and whom the model was trained on."""
    (ask, done), header = how, meeting.found.header
    sharp, width = done.sharp, done.places.left.shape[1] - matching.HUBS
    modality = {"inputs": header.inputs.modality, "outputs": header.outputs.modality}
    out.uns("scgx/task", "matching")
    about = {"name": header.model, "id": meeting.found.id, "config": header.config}
    out.uns("scgx/model", json.dumps({**about, "seed": header.seed}, sort_keys=True))
    facts: dict[str, object] = {"method": ask.method, "one_to_one": ask.one_to_one}
    facts |= {"rows": modality[left.side], "columns": modality[right.side]}
    facts |= {"temperature": sharp.temperature, "sharpness": sharp.sharpness, "by": ask.by or ""}
    facts |= {"transfer": ask.transfer or "", "dimensions": width}
    out.uns("scgx/matching", json.dumps(facts, sort_keys=True))
    out.uns("scgx/split_id", header.split)
    out.uns("scgx/train_cells", meeting.found.summary["train_cells"])
    for name in ("genome", "split"):
        if isinstance(left.cells.scgx.get(name), str):
            out.uns(f"scgx/{name}", left.cells.scgx[name])


def _tell(left: Part, right: Part, done: Aligned) -> None:
    found = done.matched
    matched = int((found.best >= 0).sum())
    say(
        f"{matched:,} of {len(left.rows):,} cells matched among {len(right.rows):,};"
        f" {int(found.mutual.sum()):,} pairs are each other's best,"
        f" median confidence {float(np.median(found.confidence)) if matched else 0:.3f}"
    )
    if done.lonely:
        say(f"{done.lonely:,} cells are of groups that the other side lacks: their rows are empty")
