"""Rows that arrive in pieces, put together on disk: the second pass of a transposition.

A matrix that is turned comes as pieces that each hold a few entries of every row. Each piece lies in
a temporary file, its rows in order; then all pieces are read side by side, so many rows at a time,
and a row is what its pieces hold of it, one after the other. Every byte is written once and read
once, and what is held is a piece, or a range of rows, whatever the size of the whole.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from scipy import sparse

from scgx.h5ad import streams
from scgx.h5ad.matrix import cut

Array = np.ndarray
_LENGTHS = np.dtype(np.int32)


class SparseSpill:
    """Pieces of the same rows as CSR; each has all the rows, and some of the columns."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int], dtype: np.dtype) -> None:
        self.file, self.shape, self.dtype = file, shape, dtype
        self.index = np.dtype(np.int32 if shape[1] < 2**31 else np.int64)
        self.counts = np.zeros(shape[0], dtype=np.int64)
        self.pieces: list[tuple[int, int]] = []  # where a piece begins in the file, its entries

    def add(self, indptr: Array, indices: Array, data: Array) -> None:
        """A piece: row offsets (int, n_rows + 1), columns and values in the order of the rows."""
        lengths = np.diff(indptr)
        self.pieces.append((self.file.tell(), len(data)))
        self.counts += lengths
        for part, dtype in ((lengths, _LENGTHS), (indices, self.index), (data, self.dtype)):
            self.file.write(np.ascontiguousarray(part, dtype=dtype).data)

    def rows(self, memory: int) -> Iterator[sparse.csr_array]:
        """All rows in order, entries of a row in the order of the pieces, in blocks that fit."""
        self.file.flush()
        offsets = np.concatenate([[0], np.cumsum(self.counts)])
        done = np.zeros(len(self.pieces), dtype=np.int64)
        for start, stop in cut(offsets, max(1, memory // (4 * (self.dtype.itemsize + 8)))):
            yield self._together(start, stop, offsets[start : stop + 1] - offsets[start], done)

    def _together(self, start: int, stop: int, indptr: Array, done: Array) -> sparse.csr_array:
        """One range of rows; `done` counts the entries that were read of each piece."""
        indices = np.empty(int(indptr[-1]), dtype=self.index)
        data = np.empty(int(indptr[-1]), dtype=self.dtype)
        free = indptr[:-1].copy()  # where the next entry of each row goes
        for number, (at, entries) in enumerate(self.pieces):
            lengths = self._read(at + start * _LENGTHS.itemsize, stop - start, _LENGTHS)
            before = np.cumsum(lengths, dtype=np.int64) - lengths
            n, first = int(before[-1] + lengths[-1]), int(done[number])
            place = np.repeat(free - before, lengths) + np.arange(n)
            at += self.shape[0] * _LENGTHS.itemsize
            indices[place] = self._read(at + first * self.index.itemsize, n, self.index)
            at += entries * self.index.itemsize
            data[place] = self._read(at + first * self.dtype.itemsize, n, self.dtype)
            free += lengths
            done[number] += n
        shape = (stop - start, self.shape[1])
        return sparse.csr_array((data, indices, indptr), shape=shape, copy=False)

    def _read(self, at: int, n: int, dtype: np.dtype) -> Array:
        return _read(self.file, at, n, dtype)


class DenseSpill:
    """Pieces of the same rows as dense arrays, to stand side by side."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int], dtype: np.dtype) -> None:
        self.file, self.shape, self.dtype = file, shape, dtype
        self.pieces: list[tuple[int, int]] = []  # where a piece begins in the file, its columns

    def add(self, values: Array) -> None:
        """A piece: all rows x some columns."""
        self.pieces.append((self.file.tell(), values.shape[1]))
        self.file.write(np.ascontiguousarray(values, dtype=self.dtype).data)

    def rows(self, memory: int) -> Iterator[Array]:
        """All rows in order, the columns of the pieces side by side, in blocks that fit."""
        self.file.flush()
        step = max(1, memory // max(1, 4 * self.shape[1] * self.dtype.itemsize))
        for start in range(0, self.shape[0], step):
            n = min(step, self.shape[0] - start)
            block = np.empty((n, self.shape[1]), dtype=self.dtype)
            left = 0
            for at, width in self.pieces:
                at += start * width * self.dtype.itemsize
                part = _read(self.file, at, n * width, self.dtype)
                block[:, left : left + width] = part.reshape(n, width)
                left += width
            yield block


def _read(file: BinaryIO, at: int, n: int, dtype: np.dtype) -> Array:
    file.seek(at)
    values = np.empty(n, dtype=dtype)
    if file.readinto(values.view(np.uint8).data) != values.nbytes:  # type: ignore[attr-defined]
        raise OSError(f"{file.name} is shorter than what was written to it")
    return values


@contextlib.contextmanager
def spill_file() -> Iterator[BinaryIO]:
    """A temporary file to write pieces to and to read them from."""
    with streams.temporary(streams.tmpdir()) as path, open(Path(path), "r+b") as file:
        yield file
