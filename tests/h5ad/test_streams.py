"""What comes in is seekable, what goes out is whole; nothing is left behind."""

import os
from pathlib import Path

import pytest

from scgx.errors import InputError, MachineError, UsageError
from scgx.h5ad import streams


@pytest.fixture(autouse=True)
def _spool_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    streams.use_tmpdir(None)


def test_a_path_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    with streams.source(tmp_path / "a") as src:
        assert src.path == tmp_path / "a"


def test_a_missing_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").write_bytes(b"x")
    with pytest.raises(InputError, match="did you mean 'cells.h5ad'"):
        with streams.source(tmp_path / "cels.h5ad"):
            pass
    with pytest.raises(InputError):
        streams.glance("-", str(tmp_path / "nothing"))


def test_an_output_appears_only_when_the_work_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        with streams.sink(target) as dst:
            dst.path.write_bytes(b"half")
            raise ZeroDivisionError
    assert target.read_bytes() == b"old"
    with streams.sink(target) as dst:
        dst.path.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("name", ["a.h5mu", "a.zarr", "a.Loom"])
def test_a_name_of_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not written here"):
        with streams.sink(tmp_path / name):
            pass
    with streams.sink(tmp_path / "a.h5mu", mudata=True) as dst:
        dst.path.write_bytes(b"x")
    assert os.listdir(tmp_path) == ["a.h5mu"]


def test_modes_follow_the_umask_or_the_file_that_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    before = os.umask(0o027)
    try:
        with streams.sink(target) as dst:
            dst.path.write_bytes(b"x")
        assert target.stat().st_mode & 0o777 == 0o640
        target.chmod(0o600)
        with streams.sink(target) as dst:
            dst.path.write_bytes(b"y")
        assert target.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


def test_temporary_files_of_other_hosts_are_left_alone(tmp_path: Path) -> None:
    other = tmp_path / ".scgx-ffffffff-999999-abc.part"
    other.write_bytes(b"alive elsewhere")
    streams.sweep(tmp_path)
    assert other.exists()


def test_a_temporary_file_may_be_renamed_away(tmp_path: Path) -> None:
    with streams.temporary(tmp_path) as path:
        path.rename(tmp_path / "kept")
    assert os.listdir(tmp_path) == ["kept"]


def test_what_is_read_is_not_replaced_by_something_else(tmp_path: Path) -> None:
    cells = tmp_path / "cells.h5ad"
    cells.write_bytes(b"cells")
    (tmp_path / "link").symlink_to(cells)
    streams.apart("-", "-", cells)
    streams.apart(None, cells)
    streams.apart(tmp_path / "other", "-", cells)
    for written in (cells, tmp_path / "link", tmp_path / "." / "cells.h5ad"):
        with pytest.raises(UsageError, match="would be replaced"):
            streams.apart(written, "-", cells)


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "a")
    streams.distinct(tmp_path / "a", None, tmp_path / "b", "-", os.devnull, os.devnull)
    for both in ((tmp_path / "a", tmp_path / "link"), ("-", None, "-")):
        with pytest.raises(UsageError, match="one file"):
            streams.distinct(*both)


def test_a_device_that_never_ends_is_not_spooled() -> None:
    with pytest.raises(InputError, match="zeros"), streams.source("/dev/zero"):
        pass


def test_refusals_have_their_codes(tmp_path: Path) -> None:
    with pytest.raises(UsageError), streams.sink(tmp_path):
        pass
    with pytest.raises(MachineError), streams.sink(tmp_path / "no" / "out"):
        pass
    streams.use_tmpdir(str(tmp_path / "no"))
    with pytest.raises(MachineError, match="--tmpdir"):
        streams.tmpdir()
    streams.use_tmpdir(None)
