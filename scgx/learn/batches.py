"""Minibatches of cells from files of any size, for any framework.

    with Batches(["a.h5ad", "b.h5ad"], 512, modality="rna", obs=["cell_type"]) as data:
        for batch in data:                  # one epoch
            step(batch.x, batch.obs["cell_type"])

Rows come sparse (CSR) or dense, with their labels as codes, in an order that depends on the seed and
the epoch alone. A thread reads the next few hundred runs of rows while these are used; memory is
bounded whatever the files' size. docs/loaders.md has the measurements, `torch_batches` the adapter.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import xxhash
from scipy import sparse

from scgx.errors import DataError, InputError, ScgxError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.gather import Recycled, Stack, dense, pick
from scgx.h5ad.measured import Measured, measured_of
from scgx.h5ad.reader import open_cells
from scgx.h5ad.spool import Spool
from scgx.learn.chosen import choose
from scgx.learn.modality import Features, Modality, align, datasets_of, source_at
from scgx.learn.order import BUFFER, RUN, Order, Shard, Shuffle
from scgx.learn.places import place_of
from scgx.learn.reading import Reading, Window
from scgx.learn.vocabulary import labels

Values: TypeAlias = sparse.csr_array | np.ndarray
MEMORY = 512 << 20


@dataclass(frozen=True)
class Batch:
    """Cells of one step, rows of all fields aligned.

    `values`: per modality, (cells, features); `obs`: per column, codes (int32, -1 missing) or numbers;
    `rows`: int64, numbered through all files; `dataset`: int32, which row of `Batches.measured` holds.
    """

    values: Mapping[str, Values]
    obs: Mapping[str, np.ndarray]
    rows: np.ndarray
    dataset: np.ndarray

    @property
    def x(self) -> Values:
        """The first, or only, modality."""
        return next(iter(self.values.values()))

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class _Ask:
    """What a loader was asked for, which is all that a copy in another process needs."""

    paths: tuple[str, ...]
    batch_size: int
    modality: str | Sequence[str] | None
    obs: Sequence[str]
    split: str | None
    layer: str | None
    units: str | Mapping[str, str] | None
    features: Features | Mapping[str, Features]
    shuffle: Shuffle
    balance: str | None
    weights: str | np.ndarray | None
    vocabulary: Mapping[str, Sequence[str]] | None
    dense: bool
    dtype: np.dtype
    seed: int
    drop_last: bool
    prefetch: int
    memory: int
    block: int
    buffer: int
    spool: int | None


class Batches:
    """Minibatches of one file or several. Iterating is one epoch; the next one is in another order.

    Attributes: `rows` (int64, of the split), `features` (names per modality), `vocabulary` (words per
    categorical column of obs), `datasets` (names), `measured` (per modality bool (datasets, features):
    what is False was not measured, and is no zero), `epoch` (under way, or the next one).
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        batch_size: int = 512,
        *,
        modality: str | Sequence[str] | None = None,
        obs: Sequence[str] = (),
        split: str | None = "train",
        layer: str | None = None,
        units: str | Mapping[str, str] | None = None,
        features: Features | Mapping[str, Features] = None,
        shuffle: Shuffle = "block",
        balance: str | None = None,
        weights: str | np.ndarray | None = None,
        vocabulary: Mapping[str, Sequence[str]] | None = None,
        dense: bool = False,
        dtype: npt.DTypeLike = np.float32,
        seed: int = 0,
        drop_last: bool = False,
        prefetch: int = 1,
        memory: int = MEMORY,
        block: int = RUN,
        buffer: int = BUFFER,
        spool: int | None = None,
    ) -> None:
        """Open the files and choose rows and features.

        Values are read only where units need the depth of cells, features are named, and obs has no
        total_counts_MODALITY: depth is then summed over all features first.

        modality: `rna`, `atac`, `adt`, `activity` (by var["feature_types"]), `layer:NAME`, `obsm:KEY`,
            or several, whose rows are the same cells; None is the only one of the file
        obs: columns that come with the batches
        split: `train`, `val` or `test` of obs["split"], or None for every row
        layer: the layer that holds the values in place of X
        units: convert to `log1p-cp10k`, `binary`, `clr`, ... (see `scgx normalize`); None is as stored;
            a mapping says it per modality
        features: `inner` (of several files, those that all have), `outer`, or names in order; a
            mapping says it per modality
        shuffle: `block`, `full` (true random: slow on disk) or None (rows in order)
        balance: a column of obs whose labels are to be equally likely; cells without one are left out
        weights: drawn with replacement in proportion to a column of obs, or to an array (one per row
            of all files)
        vocabulary: words of columns of obs, in order; others are missing (-1)
        prefetch: buffers that are read ahead
        memory: bytes that buffers may take
        block, buffer: rows that are read, and shuffled, together
        spool: bytes of disk for the values of compressed files, which are undone once and not in
            every epoch; None is a quarter of what is free in the temporary folder, 0 is none

        Raises InputError, DataError, UsageError.
        """
        many = [paths] if isinstance(paths, str | Path) else list(paths)
        if not many or batch_size < 1 or prefetch < 0 or block < 1:
            raise UsageError(
                "a loader needs files, batch_size and block of 1 or more, prefetch of 0"
            )
        if shuffle not in ("block", "full", None):
            raise UsageError(f"shuffle={shuffle!r} is not known", fix="block, full or None")
        if balance is not None and weights is not None:
            raise UsageError("balance and weights say two things about one draw")
        if not isinstance(memory, int) or seed < 0:
            raise UsageError("memory is whole bytes (512 << 20), and seed is 0 or more")
        for path in many:
            if not Path(path).exists():
                raise InputError("no such file", file=str(path))
        self._ask = _Ask(
            tuple(map(str, many)), batch_size, modality, tuple(obs), split, layer, units, features,
            shuffle, balance, weights, vocabulary, dense, np.dtype(dtype), seed, drop_last, prefetch,
            memory, block, buffer, spool,
        )  # fmt: skip
        self.epoch = 0
        self._position = 0  # batches of this epoch that were handed out
        self._loaded = False
        self._open()

    def _open(self) -> None:
        with contextlib.ExitStack() as stack:
            self._process = os.getpid()
            files = [stack.enter_context(open_cells(path)) for path in self._ask.paths]
            spool = Spool(self._ask.spool)
            stack.callback(spool.close)
            self._prepare(files, spool)
            self._closing = weakref.finalize(self, stack.pop_all().close)

    def _prepare(self, files: Sequence[Cells], spool: Spool) -> None:
        ask = self._ask
        self._offsets = np.cumsum([0] + [cells.n_obs for cells in files])
        self._identity = [cells.fingerprint for cells in files]
        inside = [measured_of(cells) for cells in files]
        self.datasets, self._dataset = datasets_of(files, inside)
        self._modalities = self._find(files, inside)
        self._stacks: dict[tuple[str, ...], Stack] = {}
        for one in self._modalities.values():
            if one.keys not in self._stacks:
                sources = [source_at(place, spool) for place in one.places]
                self._stacks[one.keys] = Stack(files, sources, self._offsets)
        spool.tell()
        self._columns = {name: labels(files, name, ask.vocabulary) for name in ask.obs}
        rows, weights = choose(files, ask.split, ask.balance, ask.weights)
        self._order = Order(
            rows, ask.batch_size, ask.shuffle, ask.seed, weights, ask.block, ask.buffer, ask.drop_last
        )  # fmt: skip
        self._recycled = Recycled()
        self._running: weakref.WeakSet[Generator[Window, None, None]] = weakref.WeakSet()

    def _find(
        self, files: Sequence[Cells], inside: Sequence[Measured | None]
    ) -> dict[str, Modality]:
        """The modalities asked for, over all files."""
        ask = self._ask
        words = [ask.modality] if isinstance(ask.modality, str | None) else list(ask.modality)
        if not words or len(set(words)) < len(words):
            raise UsageError(f"modality={ask.modality!r} names none, or one twice")
        if isinstance(ask.units, Mapping) and (strange := sorted(ask.units.keys() - set(words))):
            raise UsageError(f"units are of {strange[0]!r}, which is no modality asked for")
        made = {}
        for word in words:
            unit = ask.units.get(str(word)) if isinstance(ask.units, Mapping) else ask.units
            places = [place_of(cells, word, unit, ask.layer) for cells in files]
            asked = ask.features
            wanted = asked.get(str(word)) if isinstance(asked, Mapping) else asked
            made[str(word or places[0].modality)] = align(places, wanted, inside)
        return made

    @property
    def rows(self) -> np.ndarray:
        """The rows that epochs are made of, int64 ascending, numbered through all files."""
        return self._order.rows

    @property
    def features(self) -> dict[str, np.ndarray]:
        """Names of the features of each modality, in the order of its columns."""
        return {name: one.features for name, one in self._modalities.items()}

    @property
    def measured(self) -> dict[str, np.ndarray]:
        """Per modality, what each dataset measured: bool (datasets, features)."""
        return {name: one.measured for name, one in self._modalities.items()}

    @property
    def vocabulary(self) -> dict[str, np.ndarray]:
        """Words of the categorical columns of obs, in the order of their codes."""
        found = {name: column.words for name, column in self._columns.items()}
        return {name: words for name, words in found.items() if words is not None}

    def class_weights(self, column: str) -> np.ndarray:
        """What makes classes weigh the same in a loss, float64 (words,): mean 1 over the rows."""
        one = self._columns[column]
        if one.words is None:
            raise DataError(f"obs[{column!r}] holds numbers and no classes")
        codes = one.values[self.rows]
        counts = np.bincount(codes[codes >= 0], minlength=len(one.words))
        there = counts > 0
        weights = np.zeros(len(counts))
        weights[there] = counts.sum() / (there.sum() * counts[there])
        return weights

    def locate(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(which file, which row in it) of rows that are numbered through all files."""
        file = np.searchsorted(self._offsets, rows, side="right") - 1
        return file, rows - self._offsets[file]

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.cuts()) - 1

    def cuts(self, shard: Shard = Shard()) -> np.ndarray:
        """Where the batches of a shard begin and end among its rows, int64 (batches + 1,)."""
        return self._order.cuts(shard)

    def __iter__(self) -> Iterator[Batch]:
        """An epoch in an order of its own; what is left of one where a state was loaded."""
        if self._position and not self._loaded:  # somebody left the last one early
            self.epoch, self._position = self.epoch + 1, 0
        self._loaded = False
        for batch in self.batches(self.epoch, start=self._position):
            self._position += 1
            yield batch
        self.epoch, self._position = self.epoch + 1, 0

    def batches(self, epoch: int, *, shard: Shard = Shard(), start: int = 0) -> Iterator[Batch]:
        """Batches of an epoch, from the `start`-th on, of one of `shard.total` equal parts of it."""
        self._require_open()
        if self._process != os.getpid():
            self._open()
        order, cuts = self._order.of(epoch, shard), self._order.cuts(shard)
        reading = Reading(self._stacks, self._ask.prefetch, self._ask.memory)
        windows = reading.windows(order, cuts, start, self._order.window)
        self._running.add(windows)
        for window in windows:
            for places in window.places:
                yield self._batch(window, places)
                self._require_open()

    def _batch(self, window: Window, places: np.ndarray) -> Batch:
        rows = window.rows[places]
        file, own = self.locate(rows)
        dataset = self._dataset[rows]
        values: dict[str, Values] = {}
        for name, one in self._modalities.items():
            entries, starts, lengths = window.found[one.keys]
            given = (starts[places], lengths[places], dataset)
            try:
                block = pick(entries, given, one.tables, self._ask.dtype, self._recycled)
                block = one.convert(block, file, own)
            except ScgxError as error:
                alone = int(file[0]) if (file == file[0]).all() else None
                error.file = error.file or (None if alone is None else self._ask.paths[alone])
                raise
            values[name] = dense(block, self._recycled) if self._ask.dense else block
        obs = {name: column.values[rows] for name, column in self._columns.items()}
        return Batch(values, obs, rows, dataset)

    def state_dict(self) -> dict[str, object]:
        """Where it is: what `load_state_dict` needs to go on with the next batch; fit for JSON."""
        return {"data": self._fingerprint(), "epoch": self.epoch, "batch": self._position}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Go on from there: the batches that are left come as they would have come.

        DataError where the state is of other files, rows, features or settings.
        """
        self.check_state(state)
        self.epoch, self._position = int(str(state["epoch"])), int(str(state["batch"]))
        self._loaded = True

    def check_state(self, state: Mapping[str, object]) -> None:
        """Refuse a state of another loader."""
        if state.get("data") != self._fingerprint():
            raise DataError(
                "the state is of another loader", fix="same files, seed and settings as then"
            )

    def _fingerprint(self) -> str:
        """A name for what comes in which order, whatever the files are called."""
        ask, digest = self._ask, xxhash.xxh3_128("|".join(self._identity).encode())
        for name, one in self._modalities.items():
            unit = one.places[0].conversion and one.places[0].conversion.want
            digest.update(repr((name, one.keys, unit, one.features.tolist())).encode())
        digest.update(self.rows.tobytes())
        if self._order.weights is not None:
            digest.update(self._order.weights.tobytes())
        shape = (ask.batch_size, ask.shuffle, ask.seed, ask.drop_last, ask.block, ask.buffer)
        digest.update(repr(shape).encode())
        return digest.hexdigest()

    def close(self) -> None:
        """Close the files, when what is being read has been; then nothing can be read any more."""
        for windows in list(self._running):
            windows.close()
        self._closing()

    def _require_open(self) -> None:
        if not self._closing.alive:
            raise UsageError("the loader is closed", fix="read within `with Batches(...)`")

    def __enter__(self) -> Batches:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        kept = ("_ask", "epoch", "_position", "_loaded")
        return {name: getattr(self, name) for name in kept}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._open()
