"""Runs of a dataset, read past HDF5, are what HDF5 reads."""

import h5py
import numpy as np
import pytest

from scgx.errors import InputError
from scgx.h5ad.slabs import Slabs

N = 30_001
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (1000,)},
    "gzip": {"chunks": (1000,), "compression": "gzip"},
    "gzip, shuffled": {"chunks": (1000,), "compression": "gzip", "shuffle": True},
    "checksums": {"chunks": (1000,), "fletcher32": True},
    "all three": {"chunks": (1000,), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"chunks": (1000,), "compression": "lzf"},
}
RANGES = [(0, N), (5, 6), (999, 1001), (1500, 25_000), (N - 1, N), (7, 7)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["i4", "i8", "f4", "f8", "u2", "i1", ">i4"])
def test_every_layout_reads_as_hdf5_reads_it(tmp_path, layout, dtype):
    values = np.random.default_rng(0).integers(-100, 100, N).astype(dtype)
    if np.dtype(dtype).kind == "u":
        values = np.random.default_rng(0).integers(0, 65_536, N).astype(dtype)
    with h5py.File(tmp_path / "f.h5", "w", libver="latest") as file:
        file.create_dataset("x", data=values, **LAYOUTS[layout])
    with h5py.File(tmp_path / "f.h5") as file:
        slabs = Slabs(file["x"])
        for lo, hi in RANGES:
            np.testing.assert_array_equal(slabs.read(lo, hi), values[lo:hi])
            space = np.full(hi - lo, 7, dtype=slabs.dtype)
            assert slabs.read(lo, hi, space) is space
            np.testing.assert_array_equal(space, values[lo:hi])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_checksums_are_stepped_over_where_a_hash_answers_for_the_bytes(tmp_path, layout):
    path, values = tmp_path / "f.h5", np.random.default_rng(0).random(N, dtype="f4")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, **LAYOUTS[layout])
    with h5py.File(path) as file:
        slabs = Slabs(file["x"], vouched=True)
        for lo, hi in RANGES:
            np.testing.assert_array_equal(slabs.read(lo, hi), values[lo:hi])


@pytest.mark.parametrize("n", [260_000, 400_000])
def test_the_checksum_of_a_large_chunk_is_left_to_hdf5(tmp_path, n):
    values = np.random.default_rng(0).random(n, dtype="f4")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        options = {"chunks": (n,), "compression": "gzip", "fletcher32": True}
        file.create_dataset("x", data=values, **options)
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(Slabs(file["x"]).read(0, n), values)


def test_chunks_never_written_are_the_fill_value(tmp_path):
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file.create_dataset("x", (5000,), "f4", chunks=(1000,), fletcher32=True, fillvalue=3)
        file["x"][1500:1600] = 1
    with h5py.File(tmp_path / "f.h5") as file:
        np.testing.assert_array_equal(Slabs(file["x"]).read(0, 5000), file["x"][()])


def test_no_changed_bit_of_a_deflated_chunk_passes_its_checksum(tmp_path):
    path = tmp_path / "f.h5"
    values = np.random.default_rng(1).integers(0, 2000, N).astype("i4")
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, **LAYOUTS["all three"])
        info = file["x"].id.get_chunk_info(3)
    whole = path.read_bytes()
    draw = np.random.default_rng(2)
    for _trial in range(60):
        data = bytearray(whole)
        data[info.byte_offset + draw.integers(info.size)] ^= 1 << draw.integers(8)
        path.write_bytes(data)
        with h5py.File(path) as file, pytest.raises(InputError, match="corrupt"):
            Slabs(file["x"]).read(0, N)
