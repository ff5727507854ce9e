"""Open cells of any kind.

Kinds other than h5ad (10x, h5mu, zarr, loom, gzip) are turned into a temporary h5ad first, in
`foreign`, so that every command takes every kind and knows one.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import h5py

from scgx.errors import InputError, MachineError
from scgx.h5ad import lengths, sniff, trailer
from scgx.h5ad.cells import OPTIONS, Cells, open_hdf5
from scgx.h5ad.memory import default_memory


@contextlib.contextmanager
def open_cells(
    path: Path | str,
    *,
    name: str | None = None,
    memory: int | None = None,
    genome_10x: str | None = None,
) -> Iterator[Cells]:
    """Open cells of any kind that scgx reads.

    Raises InputError (3) for what is not whole or not cells, UnsafeError (6) for what reaches outside.
    """
    path = Path(path)
    name = name or str(path)
    memory = memory or default_memory()
    kind = sniff.kind(path, name)
    with contextlib.ExitStack() as stack:
        identity = trailer.fingerprint(path)
        if kind == "hdf5":
            verdict = trailer.check(path)
            if verdict.state in ("truncated", "corrupt"):
                raise InputError(f"{verdict.state}: {verdict.detail}", file=name)
            file = stack.enter_context(open_hdf5(path, memory, name))
            inner = sniff.hdf5_kind(file)
            if inner == "h5ad":
                cells = Cells(file, name, memory, identity)
                lengths.check(file, name)
                cells.again = _again, os.path.realpath(path), identity
                yield cells
                return
            kind = inner
            file.close()
        from scgx.h5ad import foreign

        made, kind = stack.enter_context(foreign.as_h5ad(path, kind, name, memory, genome_10x))
        cells = Cells(stack.enter_context(h5py.File(made, "r", **OPTIONS)), name, memory, identity)
        cells.kind = kind
        cells.again = _again, os.path.realpath(made), ""
        yield cells


def _again(path: str, name: str, memory: int, identity: str) -> Cells:
    """The same file in another process, open for as long as anybody has it.

    MachineError where this machine does not see it, or sees another file there.
    """
    here = os.uname().nodename
    if not os.path.exists(path):
        raise MachineError(
            f"is not seen by the worker on {here}",
            fix="a folder that all workers share; --tmpdir is where pipes are spooled",
            file=path,
        )
    stack = contextlib.ExitStack()
    cells = stack.enter_context(open_cells(path, name=name, memory=memory))
    if identity not in ("", cells.fingerprint):
        raise MachineError(f"is another file on {here}", file=path)
    cells.keeps = stack
    return cells
