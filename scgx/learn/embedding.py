"""Places for cells as a file: obsm gains an embedding, all else is the input, verbatim.

What an embedding was fitted on goes with it (uns["scgx"]["embeddings"][KEY]): `score` refuses cells
that it was fitted on. Loadings go to varm, so that any tool can go back to features.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from scgx.cluster.work import mapped
from scgx.errors import DataError, InputError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import categorical
from scgx.h5ad.names import hash_names
from scgx.h5ad.streams import Sink
from scgx.h5ad.writer import create
from scgx.learn import apply, clusters, two_sided
from scgx.learn.apply import Alignment
from scgx.learn.artifact import Artifact
from scgx.learn.model import Embeds, Joins
from scgx.learn.parts import describe
from scgx.learn.train import restore
from scgx.progress import bar, say, warn

LOADINGS = {"X_pca": "PCs"}  # as scanpy calls them


@dataclass(frozen=True)
class Loaded:
    """What features weigh: rows of var (p,), float32 (p, d); variances and shares of components."""

    columns: np.ndarray
    axes: np.ndarray
    variance: np.ndarray
    ratio: np.ndarray


@dataclass(frozen=True)
class Made:
    """An embedding on its way: its name in obsm, how wide, blocks of rows, and where it comes from."""

    key: str
    width: int
    blocks: Iterator[np.ndarray]
    about: dict[str, object]
    train_cells: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint64))
    split: str = ""
    loaded: Loaded | None = None
    before: tuple[str, ...] = ()  # history of a model


@dataclass(frozen=True)
class Wish:
    """What else was asked for: clusters of which vectors (None: of the embedding), and how.

    HDBSCAN looks for dense places, which many dimensions have none of: of a layout it takes the plane.
    """

    cluster: tuple[str, int] | None = None
    beneath: np.ndarray | None = None
    seed: int = 0
    history: bool = True

    @property
    def made(self) -> bool:
        """Are clusters those of what is made, and not of what it was made of?"""
        return self.cluster is not None and (self.beneath is None or self.cluster[0] == "hdbscan")


def by_model(
    found: Artifact, cells: Cells, key: str | None, *, modality: str | None, min_overlap: float
) -> Made:
    """What a trained model makes of every cell; `modality` is the side of a joint model to use."""
    model, header = restore(found), found.header
    rows = np.arange(cells.n_obs)
    loaded = None
    if isinstance(model, Joins):
        pair = two_sided.pair_of(cells, header, modality, min_overlap)
        blocks = two_sided.embed(model, cells, pair, rows, found.name)
        sides = zip((header.inputs, header.outputs), pair, strict=True)
        used = [table.modality for table, side in sides if side is not None]
        say(f"{header.model}: cells by their {' and '.join(used)}")
    elif isinstance(model, Embeds):
        used = [header.inputs.modality]
        if modality not in (None, *used):
            raise DataError(f"embeds {used[0]} and no {modality}", file=found.name)
        alignment = apply.align(cells, header, min_overlap)
        blocks = mapped(partial(_embedded, model, cells, alignment, found.name), apply.runs(rows))
        loaded = _loaded(model, alignment)
    else:
        raise DataError(
            f"is a {header.model} model of {header.task} and embeds nothing",
            fix="scgx train pca, lsi or a joint model",
            file=found.name,
        )
    first, rest = _peek(blocks)
    about: dict[str, object] = {"name": header.model, "id": found.id, "config": header.config}
    about |= {"seed": header.seed, "from": used}
    return Made(
        key or f"X_{header.model}", first.shape[1], rest, about, found.summary["train_cells"],
        header.split, loaded, tuple(header.history),
    )  # fmt: skip


def _embedded(
    model: Embeds, cells: Cells, alignment: Alignment, name: str, run: np.ndarray
) -> np.ndarray:
    """Places of up to 512 cells."""
    (together,) = apply.blocks(cells, alignment, run)
    try:
        made = [(place, model.embed(block)[: len(place)]) for place, block in together]
    except (IndexError, ValueError) as error:
        what = f"its weights do not fit its features: {error}"
        raise InputError(what, fix="train it again", file=name) from error
    return apply.in_place(made)


def _loaded(model: Embeds, alignment: Alignment) -> Loaded | None:
    if alignment.conversion.key.startswith("obsm/"):
        return None
    chosen, axes = model.loadings()
    columns = alignment.columns[chosen]
    there = columns >= 0
    return Loaded(columns[there], axes[there], *model.explained)


def _peek(blocks: Iterator[np.ndarray]) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """The first block, and all of them."""
    first = next(blocks, None)
    if first is None:
        raise DataError("there are no cells", fix="is it the file you meant?")

    def every() -> Iterator[np.ndarray]:
        yield first
        yield from blocks

    return first, every()


def of_array(
    key: str, values: np.ndarray, about: dict[str, object], origin: tuple[np.ndarray, str]
) -> Made:
    """An embedding that lies in memory, (n, d); `origin`: hashes of who it was fitted on, the split."""
    blocks = (values[i : i + apply.ROWS] for i in range(0, len(values), apply.ROWS))
    return Made(key, values.shape[1], blocks, about, *origin)


def origin_of(cells: Cells, keys: Sequence[str], rows: np.ndarray) -> tuple[np.ndarray, str]:
    """Who embeddings of the file were fitted on, and `rows` of it too, as sorted hashes; the split."""
    told = cells.scgx.get("embeddings")
    known = [told.get(key) for key in keys] if isinstance(told, dict) else []
    parts = [hash_names(cells.obs_names[rows])]
    for about in known:
        seen = about.get("train_cells") if isinstance(about, dict) else None
        if isinstance(seen, np.ndarray):
            parts.append(seen.astype(np.uint64))
    return np.unique(np.concatenate(parts)), str(describe(cells).get("id", ""))


def write(made: Made, cells: Cells, dst: Sink, wish: Wish) -> None:
    """Write one h5ad: the input, the embedding, and clusters if they are wanted."""
    place, varm = f"obsm/{made.key}", f"varm/{LOADINGS.get(made.key, made.key[2:] + '_loadings')}"
    kept: list[np.ndarray] = []
    with create(dst.path, like=None if dst.piped else cells) as out:
        with (
            out.matrix(place, made.width, np.float32, is_sparse=False) as append,
            bar("embed", cells.n_obs) as advance,
        ):
            for block in made.blocks:
                append(block)
                if wish.made:
                    kept.append(block)
                advance(len(block))
        if made.loaded is not None:
            axes = np.zeros((cells.n_var, made.width), np.float32)
            axes[made.loaded.columns] = made.loaded.axes
            out.array(varm, axes)
        out.copy_rest(cells, skip=(place, varm) if made.loaded is not None else (place,))
        if made.loaded is not None and made.key in LOADINGS:
            out.uns(f"{made.key[2:]}/variance", made.loaded.variance)
            out.uns(f"{made.key[2:]}/variance_ratio", made.loaded.ratio)
        if wish.cluster is not None:
            vectors = np.concatenate(kept) if wish.made or wish.beneath is None else wish.beneath
            words = clusters.found(vectors, wish.cluster, seed=wish.seed)
            out.column("obs", clusters.COLUMN, categorical(words))
            _tell(words, wish.cluster)
        about = f"scgx/embeddings/{made.key}"
        out.uns(f"{about}/model", json.dumps(made.about, sort_keys=True))
        out.uns(f"{about}/train_cells", made.train_cells)
        out.uns(f"{about}/split_id", made.split)
        history.sign(out, [cells], seed=wish.seed, keep=wish.history, before=made.before)
    say(f"obsm[{made.key!r}]: {cells.n_obs:,} cells, {made.width} components")


def _tell(words: np.ndarray, wish: tuple[str, int]) -> None:
    known = [word for word in words if word is not None]
    n = len(set(known))
    left = f", {len(words) - len(known):,} cells in none" if len(known) < len(words) else ""
    tell = warn if len(known) < len(words) / 2 else say
    tell(f"obs[{clusters.COLUMN!r}]: {n} clusters by {wish[0]} of all cells{left}")
