"""Many short runs of a long 1-D dataset at once, into one array.

What a shuffled epoch asks for: hundreds of runs all over the file. Where the bytes on disk are the
values, each run is a few `preadv` by chunk address, in threads. Chunks that were deflated, shuffled or
given a checksum are read raw and undone in threads, outside of HDF5's lock, each once however many runs
touch it, and only as far as its last value that is wanted; with a spool, each once for all epochs. A
checksum is verified the first time its chunk is read; from then on its values are read alone. All else
goes through HDF5.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from typing import BinaryIO, NamedTuple

import h5py
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

from scgx.errors import InputError
from scgx.h5ad.gather_kernels import fletcher_agrees, unshuffle
from scgx.h5ad.slabs import chunk_table, descriptor_of, fill, filters_of
from scgx.h5ad.spool import Spool, write

_READERS = min(8, os.cpu_count() or 1)
_MOST = 32 << 20  # bytes of a chunk that is undone here
_UNDONE = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


class _Pieces(NamedTuple):
    """Parts of the runs, cut at chunks: which chunk, from which value in it, how many; in order."""

    chunk: np.ndarray
    start: np.ndarray
    size: np.ndarray


class Ranges:
    """`read(lows, highs, out)` of a 1-D dataset of numbers."""

    def __init__(self, dataset: h5py.Dataset, keep: Spool | None = None) -> None:
        """`keep`: where undone values may be kept."""
        self.dataset = dataset
        self.name = str(dataset.name)
        self.filters = filters_of(dataset)
        self.direct = self._addresses()
        self.kept: BinaryIO | None = None
        if self.direct and keep and h5py.h5z.FILTER_DEFLATE in self.filters:
            self.kept = keep.room(len(self.offsets) * self.size * dataset.dtype.itemsize)

    def _addresses(self) -> bool:
        """Learn where the bytes are; False where HDF5 has to be asked."""
        dataset = self.dataset
        native = dataset.dtype.kind in "iuf" and dataset.dtype.isnative and dataset.size
        if not native:
            return False
        self.descriptor = descriptor_of(dataset)
        if dataset.chunks is None:
            offset = dataset.id.get_offset()
            self.size, self.offsets = dataset.size, np.array([offset or -1])
            self.plain = np.ones(1, dtype=bool)
            return offset is not None
        self.size = dataset.chunks[0]
        self.offsets, self.lengths = chunk_table(dataset)
        self.plain = np.full(len(self.offsets), not self.filters) | (self.offsets < 0)
        known = set(self.filters) <= _UNDONE and len(set(self.filters)) == len(self.filters)
        small = self.size * dataset.dtype.itemsize <= _MOST
        return not self.filters or bool(known and small and (self.lengths >= 0).all())

    def read(self, lows: np.ndarray, highs: np.ndarray, out: np.ndarray) -> None:
        """Values lows[0]..highs[0], lows[1]..highs[1], ... one after the other into all of `out`.

        Runs ascend and do not overlap. InputError for what is damaged.
        """
        if out.dtype != self.dataset.dtype:
            exact = np.empty(len(out), dtype=self.dataset.dtype)
            self.read(lows, highs, exact)
            out[:] = exact
        elif self.direct:
            self._read(lows, highs, out)
        else:
            at = 0
            for low, high in zip(lows.tolist(), highs.tolist()):
                out[at : at + high - low] = self.dataset[low:high]
                at += high - low

    def _read(self, lows: np.ndarray, highs: np.ndarray, out: np.ndarray) -> None:
        pieces = _cut(lows, highs, self.size)
        ends = np.cumsum(pieces.size)
        plain = self.plain[pieces.chunk]
        tasks = []
        for a, b in _groups(pieces, plain):
            part = _Pieces(*(field[a:b] for field in pieces))
            target = out[int(ends[a] - pieces.size[a]) : int(ends[b - 1])]
            tasks.append(partial(self._copy if plain[a] else self._undo, part, target))
        for _done in _pool(os.getpid()).map(lambda task: task(), tasks):
            pass

    def _copy(self, pieces: _Pieces, out: np.ndarray) -> None:
        """Pieces of chunks whose bytes are the values; neighbours on disk with one call."""
        width = out.itemsize
        view = out.view(np.uint8).data
        offsets = self.offsets[pieces.chunk]
        absent = offsets < 0
        descriptor = self.descriptor if self.kept is None else self.kept.fileno()
        if self.kept is not None:
            offsets = pieces.chunk * (self.size * width)
        begins = offsets + pieces.start * width
        sizes = pieces.size * width
        joined = (begins[:-1] + sizes[:-1] == begins[1:]) & ~absent[:-1] & ~absent[1:]
        first = np.flatnonzero(np.concatenate([[True], ~joined]))
        stops = np.cumsum(sizes)
        lows = (stops - sizes)[first].tolist()
        highs = np.append(stops[first[1:] - 1], stops[-1]).tolist()
        for low, high, begin, none in zip(lows, highs, begins[first].tolist(), absent[first]):
            if none:
                out[low // width : high // width] = self.dataset.fillvalue
            else:
                fill(descriptor, view[low:high], begin, self.name)

    def _undo(self, pieces: _Pieces, out: np.ndarray) -> None:
        """Pieces of chunks that went through filters."""
        ends = pieces.start + pieces.size
        last = np.append(pieces.chunk[1:] != pieces.chunk[:-1], True)
        needed = ends[last][np.cumsum(last) - last]  # pieces ascend: the last one reaches farthest
        at, before, values = 0, -1, out
        for chunk, start, end, need in zip(
            pieces.chunk.tolist(), pieces.start.tolist(), ends.tolist(), needed.tolist()
        ):
            if chunk != before:
                whole = self.size if self.kept is not None else need
                values, before = self._chunk(chunk, whole, out.dtype), chunk
            out[at : at + end - start] = values[start:end]
            at += end - start

    def _chunk(self, chunk: int, need: int, dtype: np.dtype) -> np.ndarray:
        """The first `need` values of a chunk at least."""
        raw = np.empty(int(self.lengths[chunk]), dtype=np.uint8)
        fill(self.descriptor, raw.data, int(self.offsets[chunk]), self.name)
        size = self.size * dtype.itemsize
        for code in reversed(self.filters):
            if code == h5py.h5z.FILTER_FLETCHER32:
                if len(raw) < 5 or not fletcher_agrees(raw):
                    what = f"{self.name} is corrupt: a checksum does not agree"
                    raise InputError(what, fix="make the file again")
                raw = raw[:-4]
            elif code == h5py.h5z.FILTER_DEFLATE and code == self.filters[0]:
                size = need * dtype.itemsize
                raw = _inflated(raw, size, need == self.size, self.name)
            elif code == h5py.h5z.FILTER_DEFLATE:
                raw = _inflated(raw, size, True, self.name)
            elif len(raw) == size:
                values = np.empty((self.size, dtype.itemsize), dtype=np.uint8)
                unshuffle(raw.reshape(dtype.itemsize, self.size), values)
                raw = values.ravel()
        if len(raw) != size:
            raise InputError(f"{self.name} has a chunk of {len(raw):,} bytes, not {size:,}")
        if self.filters == [h5py.h5z.FILTER_FLETCHER32]:
            self.plain[chunk] = True  # verified
        elif self.kept is not None:
            self.plain[chunk] = write(self.kept, raw.data, chunk * size)
        return raw.view(dtype)


def _inflated(raw: np.ndarray, size: int, whole: bool, name: str) -> np.ndarray:
    """`size` bytes of a zlib stream. Its own checksum is compared where it is read to its end, which
    some run does in every epoch; more bytes than a chunk has are not made.
    """
    stream = isal_zlib.decompressobj()
    try:
        data = stream.decompress(raw.data, size + 1 if whole else size)
    except IsalError as error:  # type: ignore[misc]
        raise InputError(f"{name} is damaged: {error}") from None
    if whole and not stream.eof:
        raise InputError(f"{name} has a chunk that ends early or late", fix="the file is corrupt")
    return np.frombuffer(data, dtype=np.uint8)


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork has none of its parent's."""
    return ThreadPoolExecutor(_READERS)


def _cut(lows: np.ndarray, highs: np.ndarray, size: int) -> _Pieces:
    """Runs, cut where a chunk ends."""
    some = highs > lows
    lows, highs = lows[some], highs[some]
    first = lows // size
    counts = (highs - 1) // size - first + 1
    run = np.repeat(np.arange(len(lows)), counts)
    chunk = first[run] + np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = np.maximum(lows[run], chunk * size)
    stop = np.minimum(highs[run], (chunk + 1) * size)
    return _Pieces(chunk, start - chunk * size, stop - start)


def _groups(pieces: _Pieces, plain: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pieces a..b for one task each: all plain or all not, a chunk never in two tasks."""
    n = len(pieces.chunk)
    if not n:
        return
    share = max(1, int(pieces.size.sum()) // (4 * _READERS))
    task = (np.cumsum(pieces.size) - pieces.size) // share
    same = (pieces.chunk[1:] == pieces.chunk[:-1]) & ~plain[1:]
    new = ((task[1:] != task[:-1]) & ~same) | (plain[1:] != plain[:-1])
    starts = np.concatenate([[0], np.flatnonzero(new) + 1, [n]])
    yield from zip(starts[:-1].tolist(), starts[1:].tolist())
