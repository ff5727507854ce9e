"""Fixtures that every test may use: the real data, a runner of real processes."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import Zygote

from scgx import progress

REAL = Path(os.environ.get("SCGX_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(autouse=True)
def _spoken() -> Iterator[None]:
    """Who speaks and whether it speaks is forgotten after each test."""
    yield
    progress.configure(prefix="scgx", quiet=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files; tests that need it are skipped only where it is absent."""
    if not REAL.is_dir():
        if "SCGX_DATA" in os.environ:
            pytest.fail(f"SCGX_DATA names {REAL}, which is not a folder")
        pytest.skip("real data are not here (set SCGX_DATA)")
    return REAL


@pytest.fixture(scope="session")
def forked() -> Iterator[Zygote]:
    """Command lines in forked copies of one loaded process."""
    zygote = Zygote()
    yield zygote
    zygote.close()
