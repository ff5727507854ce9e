"""One member of a zip comes out, or the archive is refused for what it tries."""

import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import pytest

from scgx.datasets import _unpack
from scgx.datasets._dataset import File
from scgx.errors import DataError, InputError, MachineError, UnsafeError

WANTED = b"\x89HDF" + bytes(range(256)) * 10


def packed(tmp_path, members, *, change=lambda data: data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    path = tmp_path / "a.zip"
    path.write_bytes(change(buffer.getvalue()))
    return path


def take(path, **changes):
    file = File(format="zip", **{"member": "perturb_processed.h5ad", **changes})
    to = path.with_name("out")
    _unpack.member(path, file, to, label="thing")
    return to.read_bytes()


def test_only_the_member_that_is_named_comes_out(tmp_path):
    members = [("norman/data.pkl", b"\x80\x04"), ("norman/perturb_processed.h5ad", WANTED)]
    path = packed(tmp_path, members)
    digest = hashlib.sha256(WANTED).hexdigest()
    assert take(path, member_sha256=digest, member_bytes=len(WANTED)) == WANTED
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


@pytest.mark.parametrize("changes", [{"member_sha256": "0" * 64}, {"member_bytes": 5}])
def test_a_member_that_is_another_is_refused(tmp_path, changes):
    with pytest.raises(InputError):
        take(packed(tmp_path, [("perturb_processed.h5ad", WANTED)]), **changes)


@pytest.mark.parametrize(
    "members",
    [[("other", b"")], [("a/perturb_processed.h5ad", b"1"), ("b/perturb_processed.h5ad", b"2")]],
)
def test_no_member_or_two_of_that_name_are_refused(tmp_path, members):
    with pytest.raises(DataError):
        take(packed(tmp_path, members))


def _link():
    info = zipfile.ZipInfo("link")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "a/../../x", "C:\\x", "..\\x", _link()], ids=str
)
def test_an_archive_with_names_that_climb_out_is_refused(tmp_path, name):
    with pytest.raises(UnsafeError):
        take(packed(tmp_path, [(name, b""), ("perturb_processed.h5ad", WANTED)]))


def test_an_encrypted_member_is_refused(tmp_path):
    def encrypt(data):
        at = data.index(b"PK\x01\x02")
        flags = struct.pack("<H", 1)
        return data[:6] + flags + data[8 : at + 8] + flags + data[at + 10 :]

    with pytest.raises(UnsafeError):
        take(packed(tmp_path, [("perturb_processed.h5ad", WANTED)], change=encrypt))


def test_entries_that_overlap_are_refused(tmp_path):
    def overlap(data):
        second = data.rindex(b"PK\x01\x02")
        return data[: second + 42] + struct.pack("<I", 0) + data[second + 46 :]

    members = [("perturb_processed.h5ad", WANTED), ("b", WANTED)]
    with pytest.raises((UnsafeError, InputError)):
        take(packed(tmp_path, members, change=overlap))


def test_a_bomb_is_refused_before_it_goes_off(tmp_path):
    path = packed(tmp_path, [("perturb_processed.h5ad", bytes(120_000_000))])
    with pytest.raises(UnsafeError):
        take(path)
    assert not path.with_name("out").exists() or path.with_name("out").stat().st_size == 0


def test_a_directory_of_a_million_members_is_refused_unread(tmp_path):
    def many(data):
        at = data.rindex(b"PK\x05\x06")
        counts = struct.pack("<HHI", 60_000, 60_000, 50_000_000)
        return data[: at + 8] + counts + data[at + 16 :]

    with pytest.raises(UnsafeError, match="too many"):
        take(packed(tmp_path, [("perturb_processed.h5ad", WANTED)], change=many))


@pytest.mark.parametrize("kept", [10, 100, 0.5])
def test_a_cut_archive_is_one_error(tmp_path, kept):
    def cut(data):
        return data[: int(len(data) * kept) if kept < 1 else kept]

    with pytest.raises(InputError):
        take(packed(tmp_path, [("perturb_processed.h5ad", WANTED)], change=cut))


def test_a_damaged_member_is_one_error(tmp_path):
    def damage(data):
        return data[:60] + bytes(20) + data[80:]

    with pytest.raises(InputError):
        take(packed(tmp_path, [("perturb_processed.h5ad", WANTED)], change=damage))


@pytest.mark.parametrize(
    "change", [lambda d: d[:-4], lambda d: d[:20], lambda d: d[:20] + b"x" * 99]
)
def test_a_gzip_that_is_cut_or_damaged_is_one_error(tmp_path, change):
    """F22."""
    (tmp_path / "a.gz").write_bytes(change(gzip.compress(bytes(range(256)) * 50)))
    with pytest.raises(InputError):
        _unpack.gunzip(tmp_path / "a.gz", tmp_path / "a", label="thing")


def test_a_gzip_of_several_members_is_unpacked_whole(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one ") + gzip.compress(b"two"))
    _unpack.gunzip(tmp_path / "a.gz", tmp_path / "a", label="thing")
    assert (tmp_path / "a").read_bytes() == b"one two"


def test_a_gzip_bomb_runs_into_the_budget_of_the_disk(tmp_path, monkeypatch):
    """F21."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    usage = type("Usage", (), {"free": 10_000_000})
    monkeypatch.setattr("scgx.datasets._unpack.shutil.disk_usage", lambda path: usage)
    with pytest.raises(MachineError):
        _unpack.gunzip(tmp_path / "a.gz", tmp_path / "a", label="thing")
    assert (tmp_path / "a").stat().st_size < 10_000_000


def tarred(tmp_path, members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path = tmp_path / "a.tar.gz"
    path.write_bytes(buffer.getvalue())
    return path


def take_mtx(path):
    to = {role: path.with_name(role) for role in ("matrix", "features", "barcodes")}
    _unpack.tar_members(path, File(format="tar.gz", member="m/hg19"), to, label="thing")
    return {role: one.read_bytes() for role, one in to.items()}


NAMES = ("m/hg19/matrix.mtx", "m/hg19/genes.tsv.gz", "m/hg19/barcodes.tsv")


def test_three_files_of_one_folder_come_out_of_a_tar(tmp_path):
    others = [("m/mm10/matrix.mtx", b"no"), ("../barcodes.tsv", b"no"), ("/x", b"no")]
    path = tarred(tmp_path, [*others, *((name, name.encode()) for name in NAMES)])
    assert list(take_mtx(path).values()) == [name.encode() for name in NAMES]
    inside = {"a.tar.gz", "matrix", "features", "barcodes"}
    assert {one.name for one in tmp_path.iterdir()} == inside


def test_a_tar_that_lacks_one_says_which(tmp_path):
    with pytest.raises(DataError, match="features"):
        take_mtx(tarred(tmp_path, [(NAMES[0], b"1"), (NAMES[2], b"2")]))


def test_a_tar_that_has_one_twice_or_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    twice = [(name, b"1") for name in (*NAMES, NAMES[0])]
    with pytest.raises(UnsafeError):
        take_mtx(tarred(tmp_path, twice))
    monkeypatch.setattr(_unpack, "RATIO", 2)
    with pytest.raises(UnsafeError):
        take_mtx(tarred(tmp_path, [(NAMES[0], bytes(1 << 20))]))


@pytest.mark.parametrize("kept", [40, 0.5])
def test_a_tar_that_is_cut_or_none_is_one_error(tmp_path, kept):
    path = tarred(tmp_path, [(name, bytes(range(256)) * 400) for name in NAMES])
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if kept < 1 else kept])
    with pytest.raises((InputError, DataError)):
        take_mtx(path)
