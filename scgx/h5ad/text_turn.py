"""A text matrix as its transposed text: the bytes of every value as they are, in bounded memory.

Each block of lines is turned by itself, in threads: the values of a column side by side. The blocks
wait in a temporary file; then all of them are read side by side, so many columns at a time, and what
each holds of a column makes up a line. Every byte is written twice and read twice, whatever the size.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from scgx.errors import InputError
from scgx.h5ad import streams, text_faults, text_header, text_stream
from scgx.h5ad import text_kernels as kernels
from scgx.h5ad.text_header import Layout
from scgx.h5ad.text_stream import Lines
from scgx.h5ad.text_write import packed_text
from scgx.h5ad.threads import ahead, side_by_side
from scgx.progress import bar, say

Array = np.ndarray
_FIRST = 2  # the number of the first line of values
_LINES = 8 << 20


class Turned(NamedTuple):
    """A block with the values of a column side by side; `ends`: where each column's end."""

    names: list[bytes]
    ends: Array
    values: Array


class _Spill:
    """Turned blocks in a temporary file, each its offsets and then its values."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.blocks: list[tuple[int, int]] = []  # where the offsets begin, and the values

    def add(self, block: Turned) -> None:
        """Write a block behind the others."""
        at = self.file.tell()
        self.blocks.append((at, at + block.ends.nbytes))
        self.file.write(block.ends.data)
        self.file.write(block.values.data)

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        """What all blocks hold of a range of columns, one after the other, and where each begins.

        Bytes, and starts (blocks x columns + 1).
        """
        starts = np.zeros((len(self.blocks), stop - start + 1), dtype=np.int64)
        skipped = 1 if start == 0 else 0  # the first column begins at 0, which is not written
        for row, (offsets, _) in zip(starts, self.blocks):
            self._fill(offsets + 8 * (start - 1 + skipped), row[skipped:])
        firsts = starts[:, 0].copy()
        sizes = starts[:, -1] - firsts
        begins = np.cumsum(sizes) - sizes
        starts += (begins - firsts)[:, None]
        pieces = np.empty(int(sizes.sum()), dtype=np.uint8)
        for (_, values), first, begin, size in zip(self.blocks, firsts, begins, sizes):
            self._fill(values + int(first), pieces[begin : begin + size])
        return pieces, starts

    def _fill(self, at: int, into: Array) -> None:
        if os.preadv(self.file.fileno(), [into.view(np.uint8).data], at) != into.nbytes:
            raise OSError(f"{self.file.name} is shorter than what was written to it")


def to_text(
    source: Path,
    out_path: Path,
    *,
    memory: int,
    separator: bytes | None = None,
    packed: bool = False,
    name: str | None = None,
) -> tuple[int, int]:
    """Write a text matrix (plain, gzip, bzip2, zstd) transposed; (lines of values, columns).

    `memory` in bytes; `separator` of the output (default: that of the input); `packed`: as gzip.
    InputError (3) with its line for what is no rectangle.
    """
    name = name or str(source)
    pieces = ahead(text_stream.chunks(source, name, 1 << 20))
    layout, rest = text_header.begin(pieces, memory // 8, name)
    mark = separator or layout.separator
    words: list[bytes] = []
    totals = np.zeros(layout.width, dtype=np.int64)
    with _temporary() as file, bar("reading", None) as advance, open(out_path, "wb") as out:
        spill = _Spill(file)
        blocks = text_stream.blocks(rest, layout.line, memory, name)
        for block in side_by_side(lambda lines: _turn(lines, layout, mark, name), blocks):
            totals += np.diff(block.ends, prepend=0)
            words += block.names
            spill.add(block)
            advance(len(block.names))
        text_header.report_repeats(words, "name", "line", _FIRST)
        text_header.report_repeats(layout.columns, "name", "column", 1)
        file.flush()
        pack: Callable[..., Any] = packed_text if packed else _plain
        first = mark.join([_spelled(word, layout, mark) for word in [layout.corner, *words]])
        out.write(pack(first + b"\n"))
        ranges = _ranges(totals, min(memory // 64, _LINES))
        for lines in side_by_side(lambda part: pack(_lines(spill, part, layout, mark)), ranges):
            out.write(lines)
    say(f"{layout.width:,} lines of {len(words):,} values")
    return layout.width, len(words)


@contextlib.contextmanager
def _temporary() -> Iterator[BinaryIO]:
    with streams.temporary(streams.tmpdir()) as path, open(path, "r+b") as file:
        yield file


def _turn(lines: Lines, layout: Layout, mark: bytes, name: str) -> Turned:
    """A block of lines, with its values by column."""
    (block, first, n), separator = lines, layout.separator[0]
    buf = np.frombuffer(block, dtype=np.uint8)
    starts, stops = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    lengths, tally = np.zeros(layout.width, dtype=np.int64), np.zeros(11, dtype=np.int64)
    foreign = mark[0] if mark != layout.separator else 10
    kernels.measure(buf, separator, foreign, layout.width, starts, stops, lengths, tally)
    text_faults.explain(tally, block, first + _FIRST, layout, name)
    names = [block[a:b] for a, b in zip(starts.tolist(), stops.tolist())]
    if b"" in names:
        raise InputError(f"line {first + _FIRST + names.index(b''):,} has no name", file=name)
    ends = np.cumsum(lengths)
    values = np.empty(int(ends[-1]) + 1, dtype=np.uint8)
    kernels.spread(buf, separator, mark[0], layout.width, stops + 1, ends - lengths, values)
    return Turned(names, ends, values[:-1])


def _ranges(totals: Array, size: int) -> Iterator[tuple[int, int]]:
    """Ranges of columns of about `size` bytes, one column at least."""
    ends = np.cumsum(totals)
    start, done = 0, 0
    while start < len(totals):
        stop = max(start + 1, int(np.searchsorted(ends, done + size, side="right")))
        yield start, stop
        start, done = stop, int(ends[stop - 1])


def _lines(spill: _Spill, part: tuple[int, int], layout: Layout, mark: bytes) -> Array:
    """Whole lines of the output for a range of columns."""
    pieces, starts = spill.read(*part)
    names = [_spelled(word, layout, mark) for word in layout.columns[slice(*part)]]
    ends = np.cumsum([len(word) for word in names])
    out = np.empty(len(pieces) + int(ends[-1]) + len(names), dtype=np.uint8)
    kernels.gather(pieces, starts, np.frombuffer(b"".join(names), dtype=np.uint8), ends, out)
    return out


def _plain(data: Array | bytes) -> Array | bytes:
    return data


def _spelled(word: bytes, layout: Layout, mark: bytes) -> bytes:
    """A name for the output: as it was, unless another separator changes what needs quotes."""
    if mark == layout.separator:
        return word
    if word[:1] == b'"' == word[-1:] and len(word) > 1:
        word = word[1:-1].replace(b'""', b'"')
    if mark in word or word.startswith(b'"'):
        return b'"' + word.replace(b'"', b'""') + b'"'
    return word
