"""Cells x features as text: a line per row of X, names in the first line and the first column.

Numbers are written as the shortest text that reads back as the same number of the same kind.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from isal import igzip

from scgx.errors import InputError
from scgx.h5ad.blocks import Block
from scgx.h5ad.cells import Cells
from scgx.progress import bar

_BLOCK = 1 << 20
packed_text = partial(
    igzip.compress, mtime=0
)  # of no time, so that the same text is the same bytes


def write_text(
    cells: Cells, out_path: Path, *, memory: int, separator: bytes, packed: bool = False
) -> None:
    """Write X as text, `packed` as gzip; `memory` in bytes. InputError (3) for a complex X."""
    matrix = cells.matrix("X")
    if matrix.dtype.kind not in "biuf":
        raise InputError(f"X holds {matrix.dtype}, which is not written as text", file=cells.name)
    pack = packed_text if packed else bytes
    with open(out_path, "wb") as out, bar("writing", cells.n_obs) as advance:
        lines, held = [], 0
        for line in _lines(cells, separator.decode(), min(memory // 64, _BLOCK)):
            lines.append(line)
            held += len(line)
            if held >= _BLOCK:
                out.write(pack(b"".join(lines)))
                advance(len(lines))
                lines, held = [], 0
        out.write(pack(b"".join(lines)))


def _lines(cells: Cells, mark: str, memory: int) -> Iterator[bytes]:
    """The first line, then one per row."""
    names = [spelled(name, mark) for name in cells.var_names.tolist()]
    yield (mark.join(["", *names]) + "\n").encode()
    for block in cells.blocks("X", memory=memory):
        for name, words in zip(cells.obs_names[block.start :].tolist(), _rows(block)):
            yield (mark.join([spelled(name, mark), *words]) + "\n").encode()


def _rows(block: Block) -> Iterator[list[str]]:
    """The values of each row as text."""
    if isinstance(block.X, np.ndarray):
        yield from map(_words, block.X)
        return
    indptr, indices, words = block.X.indptr.tolist(), block.X.indices, _words(block.X.data)
    zero = _words(np.zeros(1, dtype=block.X.dtype))[0]
    for start, stop in zip(indptr, indptr[1:]):
        row = [zero] * block.X.shape[1]
        for column, word in zip(indices[start:stop].tolist(), words[start:stop]):
            row[column] = word
        yield row


def _words(values: np.ndarray) -> list[str]:
    """Numbers as text; whole ones of float32 and float64 keep their point, as Python writes them."""
    if values.dtype.kind == "b":
        values = values.astype(np.int8)
    if values.dtype.kind in "iu" or values.dtype == np.float64:
        return list(map(str, values.tolist()))
    return list(map(str, values.astype("U32").tolist()))


def spelled(name: str, mark: str) -> str:
    """A name as a field: in quotes where it holds the separator, a quote or a line end."""
    if any(c in name for c in (mark, '"', "\n", "\r")):
        return '"' + name.replace('"', '""') + '"'
    return name
