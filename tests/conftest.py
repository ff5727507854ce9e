"""Fixtures that every test may use: the real data, a small maker of files, a runner of real processes."""

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("SCGX_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files; tests that need it are skipped only where it is absent."""
    if not REAL.is_dir():
        if "SCGX_DATA" in os.environ:
            pytest.fail(f"SCGX_DATA names {REAL}, which is not a folder")
        pytest.skip("real data are not here (set SCGX_DATA)")
    return REAL
