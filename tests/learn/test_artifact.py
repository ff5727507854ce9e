"""A model file: same bytes for the same model, every damage found, nothing in it that runs."""

import pickle
import random
import zipfile

import numpy as np
import pytest

from scgx.errors import InputError, UnsafeError
from scgx.learn import artifact


def header(**changes):
    side = artifact.Table("atac", "binary", ["p1", "p2"])
    fields = {
        "model": "mean", "task": "modality", "config": {"a": 1}, "inputs": side,
        "outputs": artifact.Table("rna", "log1p-cp10k", ["g1"]), "version": "0", "seed": 0,
        "genome": "", "split": "s", "trained_on": {"train": 3}, "totals": "sum", "history": [],
        "records": [],
    }  # fmt: skip
    return artifact.Header(**(fields | changes))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.scgx"
    weights = artifact.pack_arrays({"w": np.arange(6.0).reshape(2, 3)})
    artifact.write(
        path, header(), {"train_mean": np.ones(1, np.float32)}, {"w.safetensors": weights}
    )
    return path


def test_what_is_written_is_read_and_has_no_clock(model, tmp_path):
    found = artifact.read(model)
    assert found.header.outputs.names == ["g1"]
    assert artifact.unpack_arrays(found.members["w.safetensors"])["w"].tolist() == [
        [0, 1, 2],
        [3, 4, 5],
    ]
    artifact.write(tmp_path / "again.scgx", header(), found.summary, found.members)
    assert (tmp_path / "again.scgx").read_bytes() == model.read_bytes()


def test_no_cut_and_no_changed_byte_goes_unseen(model, tmp_path):
    whole = model.read_bytes()
    expected = artifact.read(model)
    damaged = tmp_path / "d.scgx"
    draw = random.Random(0)
    for trial in range(400):
        data = bytearray(whole)
        if trial % 2:
            del data[draw.randrange(len(data)) :]
        else:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        damaged.write_bytes(data)
        try:
            found = artifact.read(damaged)
        except (InputError, UnsafeError):
            continue
        assert found == expected or found.members == expected.members, trial


def test_pickles_are_refused_and_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    plain = tmp_path / "model.pkl"
    plain.write_bytes(pickle.dumps(Trap()))
    torch_like = tmp_path / "model.pt"
    with zipfile.ZipFile(torch_like, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap()))
    for path in (plain, torch_like):
        with pytest.raises(UnsafeError) as error:
            artifact.read(path)
        assert error.value.code == 6


@pytest.mark.parametrize(
    "name, content, code",
    [
        ("cells", b"\x89HDF\r\n\x1a\n" + b"0" * 100, 3),
        ("page", b"<!DOCTYPE html><html></html>", 3),
        ("empty", b"", 3),
        ("text", b"a,b,c\n1,2,3\n", 3),
    ],
)
def test_other_files_are_named(tmp_path, name, content, code):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        artifact.read(path)
    assert error.value.code == code


def test_a_newer_format_says_who_made_it(tmp_path):
    path = tmp_path / "new.scgx"
    artifact.write(path, header(format=99, version="7.5"), {}, {})
    with pytest.raises(InputError, match="7.5"):
        artifact.read(path)


def test_members_that_are_paths_or_packed_are_unsafe(model, tmp_path):
    data = zipfile.ZipFile(model).read(artifact.HEADER)
    for name, packed in (("../up", zipfile.ZIP_STORED), ("ok", zipfile.ZIP_DEFLATED)):
        path = tmp_path / "x.scgx"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(artifact.HEADER, data)
            archive.writestr(name, b"1" * 100, compress_type=packed)
        with pytest.raises(UnsafeError):
            artifact.read(path)
