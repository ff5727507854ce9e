"""What arrives is cut, damaged, or of another kind: on a path, redirected, and on a pipe (A1 to A6)."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import pty
import zipfile
from pathlib import Path

import pytest
from support import files
from support.processes import Zygote, fresh, leftovers

WAYS = ("path", "redirected", "pipe")


def run(forked: Zygote, way: str, file: Path, out: Path) -> tuple[int, str]:
    """filter-chrom of a file that comes in one of three ways; (code, its one line)."""
    env = {"TMPDIR": str(out.parent)}
    words = ["filter-chrom", "X", file if way == "path" else "-", "-o", out, "-q"]
    stdin = file if way == "redirected" else "/dev/null"
    feed = file.read_bytes() if way == "pipe" else None
    ended = forked(*words, stdin=stdin, feed=feed, env=env)
    line = ended.line() if ended.code else ended.err
    assert leftovers(out.parent) == []
    return ended.code, line


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A whole file that h5py wrote."""
    return files.cells(tmp_path_factory.mktemp("foreign") / "f.h5ad").read_bytes()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, forked: Zygote) -> bytes:
    """A whole file that scgx wrote."""
    folder = tmp_path_factory.mktemp("ours")
    made = folder / "ours.h5ad"
    ended = forked("filter-chrom", "X", files.cells(folder / "f.h5ad"), "-o", made)
    assert ended.code == 0, ended.err
    return made.read_bytes()


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_input_asks_about_the_previous_command(
    way: str, forked: Zygote, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.h5ad"
    empty.write_bytes(b"")
    code, line = run(forked, way, empty, tmp_path / "out.h5ad")
    assert code == 3
    assert "empty (did the" in line


def test_stdin_that_is_a_terminal_or_closed_is_refused_at_once() -> None:
    master, slave = pty.openpty()
    try:
        ended = fresh("info", stdin=slave)
    finally:
        os.close(master)
        os.close(slave)
    assert ended.code == 2
    assert "stdin is a terminal (name a file" in ended.line()
    closed = fresh("info", preexec_fn=lambda: os.close(0))
    assert closed.code == 3
    assert "stdin is closed" in closed.line()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.99, None])
@pytest.mark.parametrize("whose", ["foreign", "ours"])
def test_a_cut_file_is_refused_with_its_sizes(
    whose: str, share: float | None, way: str, forked: Zygote, tmp_path: Path, request: object
) -> None:
    whole: bytes = request.getfixturevalue(whose)  # type: ignore[attr-defined]
    cut = tmp_path / "cut.h5ad"
    image = len(whole) - (0 if whose == "foreign" else 34)
    cut.write_bytes(whole[: image - 1 if share is None else int(image * share)])
    code, line = run(forked, way, cut, tmp_path / "out.h5ad")
    assert code == 3
    assert "truncated" in line or "cut" in line
    if share is not None and share > 0.01:
        assert f"{cut.stat().st_size:,} of {image:,} bytes" in line
    assert not (tmp_path / "out.h5ad").exists()


def test_a_file_cut_anywhere_in_its_trailer_is_whole_but_unsigned(
    ours: bytes, forked: Zygote, tmp_path: Path
) -> None:
    for lost in (1, 20, 34):
        file = tmp_path / "cut.h5ad"
        file.write_bytes(ours[:-lost])
        checked = forked("check", file)
        assert checked.code == 0, lost
        assert b"unsigned" in checked.out


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_trailer_is_never_an_error(
    way: str, ours: bytes, forked: Zygote, tmp_path: Path
) -> None:
    file = tmp_path / "unsigned.h5ad"
    file.write_bytes(ours[:-34])
    assert run(forked, way, file, tmp_path / "out.h5ad")[0] == 0


@pytest.mark.parametrize("damage", ["bit", "zeros"])
def test_damage_to_our_files_never_passes(
    damage: str, ours: bytes, forked: Zygote, tmp_path: Path
) -> None:
    """On a pipe and under `check` any damage is seen; on a path it is seen, or nothing changes."""
    step = len(ours) // 16
    clean = tmp_path / "clean.h5ad"
    clean.write_bytes(ours)
    forked("filter-chrom", "X", clean, "-o", tmp_path / "right.h5ad", "-q", "--no-history")
    right = (tmp_path / "right.h5ad").read_bytes()
    for start in range(40, len(ours) - 34, step):
        bad = bytearray(ours)
        if damage == "bit":
            bad[start] ^= 1 << (start % 8)
        elif any(ours[start : start + 64]):
            bad[start : start + 64] = bytes(64)
        if bytes(bad) == ours:
            continue
        file, out = tmp_path / "bad.h5ad", tmp_path / "out.h5ad"
        file.write_bytes(bad)
        assert forked("check", file).code in (4, 8), start
        if start % 3 == 0:
            assert run(forked, "pipe", file, out)[0] == 3, start
        ended = forked("filter-chrom", "X", file, "-o", out, "-q", "--no-history")
        assert ended.code in (0, 3, 6), (start, ended)
        if ended.code == 0:
            assert out.read_bytes() == right, start


def _zip(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


KINDS: dict[str, tuple[bytes, int, str]] = {
    "html": (b"\n\n<!DOCTYPE html><html>login</html>", 3, "web page"),
    "bzip2": (bz2.compress(b"x" * 999), 3, "bzip2"),
    "xz": (lzma.compress(b"x" * 999), 3, "xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(99), 3, "zstd"),
    "gzip of text": (gzip.compress(b"gene,c1\nA,1\n"), 3, "gzip"),
    "cut gzip": (gzip.compress(os.urandom(9999))[:5000], 3, "gzip"),
    "csv": (b"gene,c1,c2\nA,1,2\n", 3, "transpose"),
    "matrix market": (b"%%MatrixMarket matrix coordinate\n1 1 1\n1 1 1\n", 3, "Matrix Market"),
    "json": (json.dumps({"a": 1}).encode(), 3, "JSON"),
    "pickle": (pickle.dumps({"a": 1}), 6, "pickle"),
    "zip with a pickle": (_zip(**{"archive/data.pkl": b"x"}), 6, "pickle"),
    "zip": (_zip(**{"a.txt": b"x"}), 3, "zip"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", 3, "Git-LFS"),
    "noise": (bytes(range(256)) * 9, 3, "unknown kind"),
    "first bytes of HDF5": (b"\x89HDF\r\n", 3, "cut HDF5"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_another_kind_of_file_is_named(kind: str, way: str, forked: Zygote, tmp_path: Path) -> None:
    data, expected, word = KINDS[kind]
    file = tmp_path / "named.h5ad"
    file.write_bytes(data)
    code, line = run(forked, way, file, tmp_path / "out.h5ad")
    assert (code, word in line) == (expected, True), line
    assert ("named.h5ad" if way == "path" else "stdin") in line
    checked = forked("check", file)
    assert checked.code in ((4,) if kind == "cut gzip" else (2, 8)) and checked.err == ""


@pytest.mark.parametrize("way", WAYS)
def test_gzip_around_cells_is_unpacked(
    way: str, foreign: bytes, forked: Zygote, tmp_path: Path
) -> None:
    file = tmp_path / "packed.h5ad.gz"
    file.write_bytes(gzip.compress(foreign, 1))
    assert run(forked, way, file, tmp_path / "out.h5ad") == (0, "")


def test_what_is_no_data_is_said_in_words(real_data: Path, forked: Zygote, tmp_path: Path) -> None:
    for name, word in (
        ("html-instead-of-data.rds", "web page"),
        ("git-lfs-pointer.tsv.gz", "Git-LFS"),
    ):
        for way in WAYS:
            code, line = run(forked, way, real_data / "broken" / name, tmp_path / "out.h5ad")
            assert (code, word in line) == (3, True), line


def test_a_heap_of_zeros_does_not_hang(foreign: bytes, forked: Zygote, tmp_path: Path) -> None:
    """libhdf5 loops for ever over an object of size 0 in the heap that holds the strings."""
    heap = foreign.index(b"GCOL")
    for place in (heap + 16, heap + 16 * 40):
        bad = tmp_path / "bad.h5ad"
        bad.write_bytes(foreign[:place] + bytes(512) + foreign[place + 512 :])
        code, line = run(forked, "path", bad, tmp_path / "out.h5ad")
        assert (code, "heap" in line) == (3, True)
