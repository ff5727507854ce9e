"""Runs of a long 1-D dataset, read past HDF5 where the bytes on disk are the values.

HDF5 serialises everything behind one lock and copies chunk by chunk. Where a dataset is contiguous or
chunked without filters, its chunk addresses are asked for once and the bytes are read straight into
one array; deflate chunks are read raw and unpacked in threads, outside of that lock. Everything else
(checksums among it, which HDF5 verifies) goes through HDF5.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import h5py
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

from scgx.errors import InputError

T = TypeVar("T")
_THREADS = min(4, os.cpu_count() or 1)


class Slabs:
    """`read(lo, hi)` of a 1-D dataset of numbers, by the fastest way that its layout allows."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.dtype = dataset.dtype
        self._read = _reader(dataset)

    def read(self, lo: int, hi: int) -> np.ndarray:
        """Values lo..hi; an array of its own."""
        return self._read(lo, hi)


def _reader(dataset: h5py.Dataset) -> Callable[[int, int], np.ndarray]:
    through_hdf5: Callable[[int, int], np.ndarray] = lambda lo, hi: dataset[lo:hi]
    native = dataset.dtype.kind in "iuf" and dataset.dtype.isnative
    if not native or dataset.ndim != 1 or dataset.size == 0:
        return through_hdf5
    offset = dataset.id.get_offset() if dataset.chunks is None else None
    if offset is not None:
        return _Contiguous(dataset, offset).read
    if dataset.chunks is None:
        return through_hdf5
    filters = _filters(dataset)
    if filters == []:
        return _Chunked(dataset).read
    if filters in ([h5py.h5z.FILTER_DEFLATE], [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE]):
        return _Deflated(dataset, shuffled=len(filters) == 2).read
    return through_hdf5


def _filters(dataset: h5py.Dataset) -> list[int]:
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]


def _descriptor(dataset: h5py.Dataset) -> int:
    """The file's own descriptor: the same open file, whatever became of its name."""
    return int(dataset.file.id.get_vfd_handle())


def _fill(descriptor: int, view: memoryview, offset: int, name: str) -> None:
    while view:
        got = os.preadv(descriptor, [view], offset)
        if got == 0:
            raise InputError(f"{name} ends before its last value", fix="the file is truncated")
        view, offset = view[got:], offset + got


class _Contiguous:
    def __init__(self, dataset: h5py.Dataset, offset: int) -> None:
        self.dataset, self.offset, self.descriptor = dataset, offset, _descriptor(dataset)

    def read(self, lo: int, hi: int) -> np.ndarray:
        values = np.empty(max(0, hi - lo), dtype=self.dataset.dtype)
        start = self.offset + lo * values.itemsize
        _fill(self.descriptor, values.view(np.uint8).data, start, self.dataset.name)
        return values


class _Chunked:
    """Chunks of raw values; neighbours on disk are read with one call."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset, self.size = dataset, dataset.chunks[0]
        self.descriptor = _descriptor(dataset)
        self.offsets, _ = _chunk_table(dataset)

    def read(self, lo: int, hi: int) -> np.ndarray:
        values = np.empty(max(0, hi - lo), dtype=self.dataset.dtype)
        width, at = values.itemsize, lo
        view = values.view(np.uint8).data
        chunk_bytes = self.size * width
        while at < hi:
            first = at // self.size
            last = first
            while (last + 1) * self.size < hi and (
                self.offsets[last + 1] == self.offsets[last] + chunk_bytes
            ):
                last += 1
            stop = min(hi, (last + 1) * self.size)
            if self.offsets[first] < 0:
                values[at - lo : stop - lo] = self.dataset.fillvalue
            else:
                start = int(self.offsets[first]) + (at - first * self.size) * width
                part = view[(at - lo) * width : (stop - lo) * width]
                _fill(self.descriptor, part, start, self.dataset.name)
            at = stop
        return values


class _Deflated:
    """Deflate chunks, shuffled or not, unpacked side by side."""

    def __init__(self, dataset: h5py.Dataset, *, shuffled: bool) -> None:
        self.dataset, self.size, self.shuffled = dataset, dataset.chunks[0], shuffled
        self.descriptor = _descriptor(dataset)
        self.offsets, self.lengths = _chunk_table(dataset)
        self.masks = not self._plain()
        self.pool = ThreadPoolExecutor(_THREADS)

    def _plain(self) -> bool:
        """No chunk was stored with a filter left out."""
        return bool((self.lengths >= 0).all())

    def read(self, lo: int, hi: int) -> np.ndarray:
        if self.masks:
            return self.dataset[lo:hi]
        values = np.empty(max(0, hi - lo), dtype=self.dataset.dtype)

        def unpack(chunk: int) -> None:
            start = chunk * self.size
            a, b = max(lo, start), min(hi, start + self.size)
            if self.offsets[chunk] < 0:
                values[a - lo : b - lo] = self.dataset.fillvalue
            else:
                values[a - lo : b - lo] = self._chunk(chunk)[a - start : b - start]

        chunks = range(lo // self.size, -(-hi // self.size)) if hi > lo else range(0)
        for _done in self.pool.map(unpack, chunks):
            pass
        return values

    def _chunk(self, chunk: int) -> np.ndarray:
        length, dtype = int(self.lengths[chunk]), self.dataset.dtype
        packed = bytearray(length)
        _fill(self.descriptor, memoryview(packed), int(self.offsets[chunk]), self.dataset.name)
        size = self.size * dtype.itemsize
        worker = isal_zlib.decompressobj()
        try:
            raw = worker.decompress(packed, size + 1)
        except IsalError as error:  # type: ignore[misc]
            raise InputError(f"{self.dataset.name} is damaged: {error}") from None
        if len(raw) != size:
            raise InputError(f"{self.dataset.name} has a chunk of {len(raw):,} bytes, not {size:,}")
        if not self.shuffled:
            return np.frombuffer(raw, dtype=dtype)
        planes = np.frombuffer(raw, dtype=np.uint8).reshape(dtype.itemsize, self.size)
        return np.ascontiguousarray(planes.T).view(dtype).ravel()


def _chunk_table(dataset: h5py.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Offset and stored length of every chunk, int64; offset -1 never written, length -1 unfiltered."""
    count = -(-dataset.shape[0] // dataset.chunks[0])
    offsets = np.full(count, -1, dtype=np.int64)
    lengths = np.zeros(count, dtype=np.int64)

    def note(info: h5py.h5d.StoreInfo) -> None:
        chunk = info.chunk_offset[0] // dataset.chunks[0]
        offsets[chunk] = info.byte_offset
        lengths[chunk] = info.size if info.filter_mask == 0 else -1

    dataset.id.chunk_iter(note)
    return offsets, lengths


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made in a thread while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        iterator = iter(items)
        done = object()
        coming = pool.submit(next, iterator, done)
        while (item := coming.result()) is not done:
            coming = pool.submit(next, iterator, done)
            yield item  # type: ignore[misc]
