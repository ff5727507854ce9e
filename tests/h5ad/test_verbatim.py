"""What is copied as it is does not carry a contradiction on."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from support import files

from scgx.errors import InputError
from scgx.h5ad import verbatim


def _change(path: Path, where: str, values: np.ndarray) -> None:
    with h5py.File(path, "r+") as file:
        attributes = dict(file[where].attrs)
        del file[where]
        file[where] = values
        file[where].attrs.update(attributes)


def test_a_sound_file_passes(tmp_path: Path) -> None:
    with h5py.File(files.cells(tmp_path / "s.h5ad")) as file:
        for name in file:
            verbatim.check(file[name], name, "s")


@pytest.mark.parametrize(
    ("where", "change", "words"),
    [
        ("X/indptr", lambda v: v[::-1].copy(), "X/indptr does not count the stored entries"),
        ("X/indptr", lambda v: np.r_[v[:-1], v[-1] + 1], "does not count the stored entries"),
        ("X/indptr", lambda v: np.r_[v[:3], v[2] - 1, v[4:]], "does not count the stored entries"),
        ("X/indptr", lambda v: v[:-1], "X/indptr has shape"),
        ("X/indices", lambda v: v[:-1], "X has more or fewer indices than values"),
        ("obs/cell_type/codes", lambda v: np.r_[v[:-1], 99], "a code out of the range"),
        ("obs/cell_type/codes", lambda v: v[:-1], "obs/cell_type has .* values for .* names"),
    ],
)
def test_a_contradiction_is_named(tmp_path: Path, where: str, change, words: str) -> None:
    path = files.cells(tmp_path / "s.h5ad")
    with h5py.File(path) as file:
        values = change(file[where][()])
    _change(path, where, values)
    with h5py.File(path) as file, pytest.raises(InputError, match=words):
        verbatim.check(file[where.split("/")[0]], where.split("/")[0], "s")
