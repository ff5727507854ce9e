"""Runs of a long 1-D dataset, read past HDF5 where the bytes on disk are the values.

HDF5 serialises everything behind one lock and copies chunk by chunk. Where a dataset is contiguous or
chunked without filters, its chunk addresses are asked for once and the bytes are read straight into
one array; deflated chunks, shuffled and with fletcher32 or without, are read raw and undone in threads,
outside of that lock, their checksums verified as HDF5 does. Everything else goes through HDF5, chunks
with nothing but a checksum among it (its loop over the bytes is faster than numpy's), unless a hash of
the whole file is being compared, which is several times faster than either (`trailer.vouched`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import h5py
import numpy as np
from isal import isal_zlib
from isal.igzip_lib import IsalError

from scgx.errors import InputError
from scgx.h5ad.threads import THREADS

_CHECKED = (
    1_000_000  # bytes of a chunk whose checksum is exact here, deflated to a little more or not
)
CHECKSUM_ALONE = [h5py.h5z.FILTER_FLETCHER32]
_UNDONE = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}


class Slabs:
    """`read(lo, hi)` of a 1-D dataset of numbers, by the fastest way that its layout allows."""

    def __init__(self, dataset: h5py.Dataset, *, vouched: bool = False) -> None:
        """`vouched`: the whole file's hash answers for the bytes, checksums are stepped over."""
        self.dataset = dataset
        self.dtype = dataset.dtype
        self._read = _reader(dataset, vouched)

    def read(self, lo: int, hi: int, space: np.ndarray | None = None) -> np.ndarray:
        """Values lo..hi: in `space` (as many, of this dtype) where given, else an array of its own."""
        values = np.empty(max(0, hi - lo), dtype=self.dtype) if space is None else space
        self._read(lo, hi, values)
        return values


def _reader(dataset: h5py.Dataset, vouched: bool) -> Callable[[int, int, np.ndarray], None]:
    def through_hdf5(lo: int, hi: int, values: np.ndarray) -> None:
        if hi > lo:
            dataset.read_direct(values, np.s_[lo:hi])

    native = dataset.dtype.kind in "iuf" and dataset.dtype.isnative
    if not native or dataset.ndim != 1 or dataset.size == 0:
        return through_hdf5
    offset = dataset.id.get_offset() if dataset.chunks is None else None
    if offset is not None:
        return _Contiguous(dataset, offset).read
    if dataset.chunks is None:
        return through_hdf5
    filters = filters_of(dataset)
    if filters == [] or (vouched and filters == CHECKSUM_ALONE):
        chunked = _Chunked(dataset, 4 * len(filters))
        return chunked.read if chunked.plain else through_hdf5
    undone = h5py.h5z.FILTER_DEFLATE in filters and set(filters) <= _UNDONE
    small = dataset.chunks[0] * dataset.dtype.itemsize <= _CHECKED
    checked = h5py.h5z.FILTER_FLETCHER32 in filters
    if undone and len(set(filters)) == len(filters) and (small or not checked):
        return _Filtered(dataset, filters).read
    return through_hdf5


def filters_of(dataset: h5py.Dataset) -> list[int]:
    """The filters that its chunks went through, in the order in which they were applied."""
    plist = dataset.id.get_create_plist()
    return [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]


def descriptor_of(dataset: h5py.Dataset) -> int:
    """The file's own descriptor: the same open file, whatever became of its name."""
    return int(dataset.file.id.get_vfd_handle())


def fill(descriptor: int, view: memoryview, offset: int, name: str) -> None:
    """Read bytes of the file into all of `view`; `name` is for the message where it ends early."""
    while view:
        got = os.preadv(descriptor, [view], offset)
        if got == 0:
            raise InputError(f"{name} ends before its last value", fix="the file is truncated")
        view, offset = view[got:], offset + got


class _Contiguous:
    def __init__(self, dataset: h5py.Dataset, offset: int) -> None:
        self.dataset, self.offset, self.descriptor = dataset, offset, descriptor_of(dataset)

    def read(self, lo: int, hi: int, values: np.ndarray) -> None:
        start = self.offset + lo * values.itemsize
        fill(self.descriptor, values.view(np.uint8).data, start, self.dataset.name)


class _Chunked:
    """Chunks of raw values, each with so many bytes behind it; neighbours without are read at once."""

    def __init__(self, dataset: h5py.Dataset, behind: int) -> None:
        self.dataset, self.size = dataset, dataset.chunks[0]
        self.descriptor = descriptor_of(dataset)
        self.offsets, lengths = chunk_table(dataset)
        stored = self.size * dataset.dtype.itemsize + behind
        self.plain = bool(((lengths == stored) | (self.offsets < 0)).all())

    def read(self, lo: int, hi: int, values: np.ndarray) -> None:
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
                fill(self.descriptor, part, start, self.dataset.name)
            at = stop


class _Filtered:
    """Deflated chunks, undone side by side; checksums are verified."""

    def __init__(self, dataset: h5py.Dataset, filters: list[int]) -> None:
        self.dataset, self.size, self.filters = dataset, dataset.chunks[0], filters
        self.descriptor = descriptor_of(dataset)
        self.offsets, self.lengths = chunk_table(dataset)
        self.plain = bool((self.lengths >= 0).all())  # no chunk was stored without its filters
        self.pool = ThreadPoolExecutor(THREADS)

    def read(self, lo: int, hi: int, values: np.ndarray) -> None:
        if not self.plain:
            if hi > lo:
                self.dataset.read_direct(values, np.s_[lo:hi])
            return

        def undo(chunk: int) -> None:
            start = chunk * self.size
            a, b = max(lo, start), min(hi, start + self.size)
            if self.offsets[chunk] < 0:
                values[a - lo : b - lo] = self.dataset.fillvalue
            else:
                values[a - lo : b - lo] = self._chunk(chunk)[a - start : b - start]

        chunks = range(lo // self.size, -(-hi // self.size)) if hi > lo else range(0)
        for _done in self.pool.map(undo, chunks):
            pass

    def _chunk(self, chunk: int) -> np.ndarray:
        dtype, name = self.dataset.dtype, self.dataset.name
        stored = np.empty(int(self.lengths[chunk]), dtype=np.uint8)
        fill(self.descriptor, stored.data, int(self.offsets[chunk]), name)
        size, raw = self.size * dtype.itemsize, stored
        for code in reversed(self.filters):
            if code == h5py.h5z.FILTER_FLETCHER32:
                raw = _checked(raw, name)
            elif code == h5py.h5z.FILTER_DEFLATE:
                raw = inflated(raw, size, name)
            else:
                planes = raw.reshape(dtype.itemsize, self.size)
                raw = np.ascontiguousarray(planes.T).ravel()
        if len(raw) != size:
            raise InputError(f"{name} has a chunk of {len(raw):,} bytes, not {size:,}")
        return raw.view(dtype)


def _checked(raw: np.ndarray, name: str) -> np.ndarray:
    """The bytes before a fletcher32 checksum that agrees with them.

    The sums are those of HDF5 (H5checksum.c): 16-bit words read with the high byte first, a last odd
    byte as a high one, modulo 65,535. Modulo that number, swapping the bytes of a word is multiplying
    it by 256, so they are added up as they lie. Exact in float64: 65,535 x n^2 / 2 stays under 2^53 for
    the half million words of a chunk.
    """
    if not 4 < len(raw) <= 1 << 20:
        raise InputError(f"{name} is corrupt: a chunk of {len(raw):,} bytes has no checksum")
    even = raw[:-4] if len(raw) % 2 == 0 else np.append(raw[:-4], np.uint8(0))
    words = even.view("<u2").astype(np.float64)
    once = int(words.sum())
    twice = int((words * _descending(len(words))).sum())
    stored = int.from_bytes(raw[-4:].tobytes(), "little")
    if (256 * once - (stored & 0xFFFF)) % 65_535 or (256 * twice - (stored >> 16)) % 65_535:
        raise InputError(f"{name} is corrupt: a checksum does not agree", fix="make the file again")
    return raw[:-4]


@lru_cache(maxsize=8)
def _descending(n: int) -> np.ndarray:
    return np.arange(n, 0, -1, dtype=np.float64)


def inflated(raw: np.ndarray, size: int, name: str) -> np.ndarray:
    """At most `size` bytes out of a zlib stream; a chunk cannot be a bomb."""
    try:
        data = isal_zlib.decompressobj().decompress(raw.data, size + 1)
    except IsalError as error:  # type: ignore[misc]
        raise InputError(f"{name} is damaged: {error}") from None
    if len(data) != size:
        raise InputError(f"{name} has a chunk of {len(data):,} bytes, not {size:,}")
    return np.frombuffer(data, dtype=np.uint8)


def chunk_table(dataset: h5py.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Offset and stored length of every chunk, int64; offset -1 never written, length -1 unfiltered."""
    size = dataset.chunks[0]
    count = -(-dataset.shape[0] // size)
    offsets = np.full(count, -1, dtype=np.int64)
    lengths = np.zeros(count, dtype=np.int64)
    found: list[tuple[int, int, int]] = []

    def note(info: h5py.h5d.StoreInfo) -> None:
        start, unfiltered, offset, length = info
        found.append((start[0], offset, -1 if unfiltered else length))

    dataset.id.chunk_iter(note)
    if found:
        table = np.array(found, dtype=np.int64)
        offsets[table[:, 0] // size] = table[:, 1]
        lengths[table[:, 0] // size] = table[:, 2]
    return offsets, lengths
