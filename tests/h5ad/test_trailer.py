"""The trailer tells a whole file from a cut, a changed and an unsigned one; HDF5 does not see it."""

from pathlib import Path

import h5py
import pytest
from support import files

from scgx.errors import InputError
from scgx.h5ad import trailer


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = files.cells(tmp_path / "s.h5ad")
    trailer.append(path)
    return path


def test_a_signed_file_is_whole_and_still_hdf5(signed: Path) -> None:
    assert trailer.check_length(signed).state == "whole"
    assert trailer.verify(signed).state == "whole"
    with h5py.File(signed) as file:
        assert "X" in file
    found = trailer.read(signed)
    assert found is not None and found[1] == signed.stat().st_size - trailer.SIZE


def test_every_changed_byte_is_seen(signed: Path) -> None:
    data = signed.read_bytes()
    for place in range(0, len(data) - trailer.SIZE, len(data) // 50):
        signed.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert trailer.verify(signed).state in ("corrupt", "truncated"), place


@pytest.mark.parametrize("lost", [1, 10, 33])
def test_a_cut_trailer_leaves_an_unsigned_file(lost: int, signed: Path) -> None:
    signed.write_bytes(signed.read_bytes()[:-lost])
    assert trailer.verify(signed).state == "unsigned"


@pytest.mark.parametrize("kept", [1, 8, 50, 95, 2000])
def test_a_cut_image_is_truncated(kept: int, signed: Path) -> None:
    signed.write_bytes(signed.read_bytes()[:kept])
    assert trailer.verify(signed).state == ("truncated" if kept >= 8 else "unsigned")


def test_bytes_put_before_the_trailer_are_seen(signed: Path) -> None:
    data = signed.read_bytes()
    signed.write_bytes(data[: -trailer.SIZE] + b"more" + data[-trailer.SIZE :])
    assert trailer.check_length(signed).state == "corrupt"


def test_an_edit_in_place_drops_the_signature_or_is_seen(signed: Path) -> None:
    """Another tool's `r+`: a file without trailer is no error; one that keeps it no longer agrees."""
    with h5py.File(signed, "r+") as file:
        file["uns/more"] = list(range(1000))
    assert trailer.verify(signed).state in ("unsigned", "corrupt")


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
def test_the_length_that_hdf5_declares_is_found(libver: str, tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["x"] = list(range(100))
    assert trailer.hdf5_length(path) == path.stat().st_size


def test_a_fingerprint_is_the_hash_or_a_hash_of_both_ends(signed: Path, tmp_path: Path) -> None:
    found = trailer.read(signed)
    assert found is not None and trailer.fingerprint(signed) == found[0]
    plain = tmp_path / "plain"
    plain.write_bytes(b"abc")
    assert trailer.fingerprint(plain).startswith("~")
    first = trailer.fingerprint(tmp_path)
    assert first == trailer.fingerprint(tmp_path)
    (tmp_path / "another").write_bytes(b"x")
    assert trailer.fingerprint(tmp_path) != first


def test_the_hash_answers_for_the_bytes_of_a_signed_file_and_of_no_other(signed: Path) -> None:
    with trailer.vouched(signed, "s") as vouched:
        assert vouched
    unsigned = signed.with_name("u.h5ad")
    unsigned.write_bytes(signed.read_bytes()[: -trailer.SIZE])
    with trailer.vouched(unsigned, "u") as vouched:
        assert not vouched


def test_a_large_file_that_differs_from_its_hash_ends_the_work(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trailer, "_SMALL", 1000)
    with trailer.vouched(signed, "s") as vouched:
        assert vouched
    data = bytearray(signed.read_bytes())
    data[len(data) // 2] ^= 1
    signed.write_bytes(data)
    with (
        pytest.raises(InputError, match="s: corrupt: its bytes differ"),
        trailer.vouched(signed, "s"),
    ):
        pass
    with pytest.raises(KeyError), trailer.vouched(signed, "s"):
        raise KeyError("of the work itself, which is not waited on")
