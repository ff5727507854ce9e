"""Two workers of Dask that the tests of a process share, and cells for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import scgx
from scgx.cluster.place import Place

pytest.importorskip("distributed")


@dataclass(frozen=True)
class Workers:
    """Two of them, as `--dask` takes them."""

    address: str
    pool: Any

    def processes(self) -> list[int]:
        """Their process ids."""
        return list(self.pool.client.run(_process).values())


def _process() -> int:
    import os

    return os.getpid()


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two processes, started once."""
    from scgx.cluster import pool

    folder = tmp_path_factory.mktemp("dask")
    with pool.opened(Place("local", 2), folder, 1) as made:
        yield Workers(made.client.scheduler.address, made)


@pytest.fixture(scope="session")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Split demo cells of 1,500 rows: more than one block."""
    folder = tmp_path_factory.mktemp("cells")
    whole, parted = folder / "d.h5ad", folder / "s.h5ad"
    scgx.fetch("demo", output=str(whole), cells=1_500, genes=40, peaks=60, quiet=True)
    scgx.split(str(whole), str(parted), by="donor", quiet=True)
    return parted
