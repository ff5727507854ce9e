"""A text matrix as its transposed text: the bytes of every value as they are, in bounded memory.

Each block of lines is turned by itself, in threads: the values of a column side by side. Blocks wait
in memory as long as half of the budget lasts, then in a temporary file. Then all of them are read
side by side, so many columns at a time, and what each holds of a column makes up a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from isal import igzip

from scgx.errors import InputError
from scgx.h5ad import text_faults, text_header, text_stream
from scgx.h5ad import text_kernels as kernels
from scgx.h5ad.slabs import ahead, side_by_side
from scgx.h5ad.spill import spill_file
from scgx.h5ad.text_header import Layout
from scgx.progress import bar, say

Array = np.ndarray
_FIRST = 2  # the number of the first line of values
_LINES = 32 << 20


class Turned(NamedTuple):
    """A block with the values of a column side by side; `ends`: where each column's end."""

    names: list[bytes]
    ends: Array
    values: Array


class _Spilled(NamedTuple):
    """The same in a temporary file: its offsets at `at`, its values after them."""

    at: int
    width: int


class _Kept:
    """Turned blocks, in memory while there is room, then on disk; read by ranges of columns."""

    def __init__(self, file: BinaryIO, room: int) -> None:
        self.file, self.room = file, room
        self.blocks: list[Turned | _Spilled] = []

    def add(self, block: Turned) -> None:
        """Keep a block for later."""
        size = block.ends.nbytes + block.values.nbytes
        if size <= self.room:
            self.room -= size
            self.blocks.append(block._replace(names=[]))
            return
        self.blocks.append(_Spilled(self.file.tell(), len(block.ends)))
        self.file.write(block.ends.data)
        self.file.write(block.values.data)

    def read(self, start: int, stop: int) -> tuple[Array, Array]:
        """What all blocks hold of a range of columns, one after the other, and where each begins."""
        starts = np.zeros((len(self.blocks), stop - start + 1), dtype=np.int64)
        base = 0
        for row, block in zip(starts, self.blocks):
            row[:] = self._ends(block, start, stop)
            row += base - row[0]
            base = int(row[-1])
        pieces = np.empty(base, dtype=np.uint8)
        for row, block in zip(starts, self.blocks):
            self._values(block, start, pieces[row[0] : row[-1]])
        return pieces, starts

    def _ends(self, block: Turned | _Spilled, start: int, stop: int) -> Array:
        """Where the column before `start` ends, and each one up to `stop`."""
        before = max(start - 1, 0)
        if isinstance(block, Turned):
            ends = block.ends[before:stop]
        else:
            ends = np.empty(stop - before, dtype=np.int64)
            self._fill(block.at + 8 * before, ends)
        return ends if start else np.concatenate([[0], ends])

    def _values(self, block: Turned | _Spilled, start: int, into: Array) -> None:
        first = int(self._ends(block, start, start)[0])
        if isinstance(block, Turned):
            into[:] = block.values[first : first + len(into)]
        else:
            self._fill(block.at + 8 * block.width + first, into)

    def _fill(self, at: int, into: Array) -> None:
        self.file.seek(at)
        if self.file.readinto(into.view(np.uint8).data) != into.nbytes:  # type: ignore[attr-defined]
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
    with spill_file() as file, bar("reading", None) as advance, open(out_path, "wb") as out:
        kept = _Kept(file, memory // 2)
        blocks = text_stream.blocks(rest, layout.line, memory, name)
        for block in side_by_side(lambda item: _turn(*item, layout, mark, name), blocks):
            totals += np.diff(block.ends, prepend=0)
            words += block.names
            kept.add(block)
            advance(len(block.names))
        text_header.report_repeats(words, "name", "line", _FIRST)
        text_header.report_repeats(layout.columns, "name", "column", 1)
        file.flush()
        pack: Callable[..., Any] = igzip.compress if packed else _plain
        first = mark.join([_spelled(word, layout, mark) for word in [layout.corner, *words]])
        out.write(pack(first + b"\n"))
        parts = (
            (kept.read(start, stop), layout.columns[start:stop])
            for start, stop in _ranges(totals, min(memory // 16, _LINES))
        )
        for lines in side_by_side(lambda part: pack(_lines(*part, layout, mark)), parts):
            out.write(lines)
    say(f"{layout.width:,} lines of {len(words):,} values")
    return layout.width, len(words)


def _turn(block: bytes, first: int, layout: Layout, mark: bytes, name: str) -> Turned:
    """A block of lines, which `first` rows go before, with its values by column."""
    n, separator = block.count(b"\n"), layout.separator[0]
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


def _lines(
    read: tuple[Array, Array], columns: Sequence[bytes], layout: Layout, mark: bytes
) -> Array:
    """Whole lines of the output for a range of columns."""
    pieces, starts = read
    names = [_spelled(word, layout, mark) for word in columns]
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
