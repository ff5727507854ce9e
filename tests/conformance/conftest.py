"""Demo cells for the suites that every plugin must pass; each made once per test process."""

from pathlib import Path

import pytest

import scgx


def drawn(folder: Path, *, cells: int, genes: int, peaks: int) -> Path:
    """Demo cells, split by cell and type (donors in all parts: the suites look for signal)."""
    whole, parted = folder / "whole.h5ad", folder / "cells.h5ad"
    scgx.fetch("demo", output=str(whole), cells=cells, genes=genes, peaks=peaks, quiet=True)
    scgx.split(str(whole), str(parted), stratify="cell_type", quiet=True)
    return parted


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells for questions of identity: the smaller the better."""
    return drawn(tmp_path_factory.mktemp("small"), cells=150, genes=20, peaks=60)


@pytest.fixture(scope="session")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells with enough signal per feature that every honest model finds it."""
    return drawn(tmp_path_factory.mktemp("telling"), cells=1300, genes=20, peaks=100)
