"""Many runs of a dataset, read past HDF5, are what HDF5 reads."""

import h5py
import numpy as np
import pytest

from scgx.errors import InputError
from scgx.h5ad import spool as spools
from scgx.h5ad.ranges import Ranges
from scgx.h5ad.spool import Spool

N = 30_001
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (1000,)},
    "gzip": {"chunks": (1000,), "compression": "gzip"},
    "gzip, shuffled": {"chunks": (1000,), "compression": "gzip", "shuffle": True},
    "checksums": {"chunks": (1000,), "fletcher32": True},
    "odd checksums": {"chunks": (999,), "fletcher32": True},
    "gzip, checksums": {"chunks": (1000,), "compression": "gzip", "fletcher32": True},
    "all three": {"chunks": (1000,), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"chunks": (1000,), "compression": "lzf"},
}


def written(path, layout, dtype="i4"):
    values = np.random.default_rng(0).integers(0, 100, N).astype(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, **LAYOUTS[layout])
    return values


def read(ranges, lows, highs, dtype):
    out = np.empty(int((highs - lows).sum()), dtype)
    ranges.read(lows, highs, out)
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["i4", "i8", "f4", "f8", "u2", "i1", ">i4"])
@pytest.mark.parametrize("keep", [0, 1 << 20])
def test_every_layout_reads_as_hdf5_reads_it(tmp_path, layout, dtype, keep):
    values = written(tmp_path / "f.h5", layout, dtype)
    draw = np.random.default_rng(1)
    with h5py.File(tmp_path / "f.h5") as file:
        spool = Spool(keep)
        ranges = Ranges(file["x"], spool)
        for turn in range(6):
            edges = np.sort(draw.choice(N + 1, 2 * draw.integers(1, 60), replace=False))
            lows, highs = (np.array([0]), np.array([N])) if turn == 3 else (edges[::2], edges[1::2])
            truth = np.concatenate([values[a:b] for a, b in zip(lows, highs)])
            native = values.dtype.newbyteorder("=")
            np.testing.assert_array_equal(read(ranges, lows, highs, native), truth)
            np.testing.assert_array_equal(read(ranges, lows, highs, np.float64), truth)
        spool.close()


def test_nothing_is_read_where_nothing_is_wanted(tmp_path):
    written(tmp_path / "f.h5", "gzip")
    with h5py.File(tmp_path / "f.h5") as file:
        none = np.array([5, 7])
        assert len(read(Ranges(file["x"]), none, none, "i4")) == 0


def test_chunks_never_written_are_the_fill_value(tmp_path):
    for options in ({}, {"fletcher32": True}, {"compression": "gzip"}):
        with h5py.File(tmp_path / "f.h5", "w") as file:
            file.create_dataset("x", (5000,), "f4", chunks=(1000,), fillvalue=3, **options)
            file["x"][1500:1600] = 1
        with h5py.File(tmp_path / "f.h5") as file:
            lows, highs = np.array([100, 1550]), np.array([1540, 5000])
            truth = np.concatenate([file["x"][100:1540], file["x"][1550:5000]])
            spool = Spool(1 << 20)
            np.testing.assert_array_equal(read(Ranges(file["x"], spool), lows, highs, "f4"), truth)
            spool.close()


@pytest.mark.parametrize("layout", ["gzip", "checksums", "gzip, checksums", "all three"])
def test_a_changed_bit_is_found(tmp_path, layout):
    path = tmp_path / "f.h5"
    written(path, layout)
    with h5py.File(path) as file:
        info = file["x"].id.get_chunk_info(3)
    with open(path, "r+b") as raw:
        raw.seek(info.byte_offset + info.size // 2)
        byte = raw.read(1)[0]
        raw.seek(-1, 1)
        raw.write(bytes([byte ^ 4]))
    with h5py.File(path) as file:
        with pytest.raises(InputError):
            read(Ranges(file["x"]), np.array([3000]), np.array([4000]), "i4")


def test_a_full_disk_stops_keeping_and_nothing_else(tmp_path, monkeypatch):
    values = written(tmp_path / "f.h5", "gzip")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spools.os, "pwrite", full)
    with h5py.File(tmp_path / "f.h5") as file:
        spool = Spool(1 << 20)
        ranges = Ranges(file["x"], spool)
        for _ in range(2):
            got = read(ranges, np.array([10]), np.array([2500]), "i4")
            np.testing.assert_array_equal(got, values[10:2500])
        spool.close()


def test_values_are_undone_once_where_they_are_kept(tmp_path, monkeypatch):
    values = written(tmp_path / "f.h5", "gzip")
    with h5py.File(tmp_path / "f.h5") as file:
        spool = Spool(1 << 20)
        ranges = Ranges(file["x"], spool)
        read(ranges, np.array([0]), np.array([N]), "i4")
        monkeypatch.setattr(ranges, "_undo", None)
        got = read(ranges, np.array([10, 999]), np.array([20, 2500]), "i4")
        np.testing.assert_array_equal(got, np.append(values[10:20], values[999:2500]))
        spool.close()
