"""Files whose content is not what it should be: each has its code and one line (A17 to A22)."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from support import files
from support.processes import Zygote, leftovers

Edit = Callable[[h5py.File], None]
MIB = 1 << 20


def put(file: h5py.File, name: str, values: object, **options: object) -> None:
    """Replace a dataset, keeping its attributes."""
    attributes = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    file.create_dataset(name, data=values, **options)
    for key, value in attributes.items():
        file[name].attrs[key] = value


def edit(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    """Change the values of one dataset."""
    return lambda file: put(file, name, change(file[name][()]))


def at(place: int, value: object) -> Callable[[np.ndarray], np.ndarray]:
    """Set one value."""

    def change(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[place] = value
        return values

    return change


def declared(name: str, shape: tuple[int, ...], chunks: tuple[int, ...], dtype: str = "f8") -> Edit:
    """A dataset that declares a size and stores nothing."""

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")

    return change


def bomb(file: h5py.File) -> None:
    """400 MB of zeros in 400 KB, in a column of obs, which is read whole."""
    table = file["obs"]
    table.create_dataset("zeros", (400 * MIB // 8,), "f8", chunks=(MIB,), compression="gzip")
    for i in range(50):
        table["zeros"][i * MIB : (i + 1) * MIB] = 0


def deep(file: h5py.File) -> None:
    group = file["uns"]
    for _ in range(1500):
        group = group.create_group("g")


def many(file: h5py.File) -> None:
    for i in range(10_500):
        file["uns"].create_group(f"g{i}")


def filtered(file: h5py.File) -> None:
    """A dataset whose filter nobody here has (zstd, 32015)."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(file["obsm"].id, b"packed", h5py.h5t.NATIVE_FLOAT, space, dcpl=plist)


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((files.N_OBS, 2), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "X", (files.N_OBS, 2))
    file["obsm"].create_virtual_dataset("v", layout)


def loop(file: h5py.File) -> None:
    file["uns/again"] = file["uns"]


def pointers(file: h5py.File) -> None:
    file["obsm"].create_dataset("r", (files.N_OBS,), h5py.ref_dtype)


def opaque(file: h5py.File) -> None:
    file["obsm"].create_dataset("o", data=np.zeros(files.N_OBS, "V7"))


def external(file: h5py.File) -> None:
    file["obsm"].create_dataset(
        "e", (files.N_OBS, 2), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
    )


def link(value: object) -> Edit:
    return lambda file: file["uns"].__setitem__("link", value)


def renamed(axis: str, words: list[str | bytes]) -> Edit:
    def change(file: h5py.File) -> None:
        values = file[f"{axis}/_index"][()]
        values[: len(words)] = words
        put(file, f"{axis}/_index", values, dtype=files.TEXT)

    return change


def without(name: str) -> Edit:
    return lambda file: file.__delitem__(name)


def shape(rows: int, columns: int) -> Edit:
    return lambda file: file["X"].attrs.__setitem__("shape", np.array([rows, columns]))


def dense(values: np.ndarray, **options: object) -> Edit:
    def change(file: h5py.File) -> None:
        del file["X"]
        files.matrix(file, "X", values, **options)

    return change


def longer_obs(file: h5py.File) -> None:
    del file["obs"]
    files.frame(file, "obs", [f"cell{i}" for i in range(files.N_OBS + 3)])


def twice(file: h5py.File) -> None:
    """The first row stores its second entry in the column of its first."""
    indices, indptr = file["X/indices"][()], file["X/indptr"][()]
    row = int(np.flatnonzero(np.diff(indptr) > 1)[0])
    indices[indptr[row] + 1] = indices[indptr[row]]
    put(file, "X/indices", indices)


def non_monotone(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[5] = values[6] + 3
    return values


REFUSED: dict[str, tuple[Edit, int, str]] = {
    "external link": (link(h5py.ExternalLink("/etc/passwd", "/x")), 6, "/uns/link"),
    "soft link": (link(h5py.SoftLink("/obs")), 6, "/uns/link"),
    "soft link to itself": (link(h5py.SoftLink("/uns/link")), 6, "/uns/link"),
    "external storage": (external, 6, "/obsm/e"),
    "virtual dataset": (virtual, 6, "/obsm/v"),
    "unknown filter": (filtered, 6, "32015"),
    "references": (pointers, 6, "/obsm/r"),
    "opaque bytes": (opaque, 6, "/obsm/o"),
    "group loop": (loop, 6, "/uns/again"),
    "1,500 deep": (deep, 6, "deeper than 16"),
    "10,500 objects": (many, 6, "more than 10,000"),
    "data of 10^13": (declared("X/data", (10**13,), (MIB,)), 3, "X/indptr"),
    "indptr of 10^13": (declared("X/indptr", (10**13,), (MIB,), "i8"), 6, "X/indptr"),
    "names of 10^13": (declared("obs/_index", (10**13,), (MIB,), "S8"), 6, "obs/_index"),
    "a column of 10^13": (declared("obs/c", (10**13,), (MIB,)), 6, "obs/c"),
    "uns of 10^13": (declared("uns/u", (10**13,), (MIB,)), 6, "uns/u"),
    "dense X of 10^13": (
        declared("X", (10**6, 10**7), (1000, 1000)),
        3,
        "X is 1,000,000 x 10,000,000",
    ),
    "obsm of 10^13": (declared("obsm/m", (10**6, 10**7), (1, MIB)), 3, "obsm/m"),
    "gzip bomb": (bomb, 6, "obs/zeros"),
    "index beyond the matrix": (edit("X/indices", at(3, 10**8)), 3, "reach outside"),
    "negative index": (edit("X/indices", at(3, -5)), 3, "reach outside"),
    "indices of text": (
        edit("X/indices", lambda v: np.array(["a"] * len(v), dtype="S1")),
        3,
        "no integers",
    ),
    "indptr of 10^9": (edit("X/indptr", at(5, 10**9)), 3, "indptr"),
    "indptr not monotone": (edit("X/indptr", non_monotone), 3, "indptr"),
    "indptr too short": (edit("X/indptr", lambda v: v[:-1]), 3, "indptr"),
    "entry stored twice": (twice, 3, "twice"),
    "more values than indices": (edit("X/data", lambda v: v[:-1]), 3, "X"),
    "shape attribute too wide": (shape(files.N_OBS, 10**15), 3, "X is"),
    "shape attribute too short": (shape(files.N_OBS - 1, files.N_VAR), 3, "X is"),
    "obs longer than X": (longer_obs, 3, "X is"),
    "code out of range": (edit("obs/cell_type/codes", at(0, 99)), 3, "cell_type"),
    "column too short": (edit("obs/donor", lambda v: v[:-1].astype("S")), 3, "obs/donor"),
    "no obs": (without("obs"), 3, "no obs"),
    "no var": (without("var"), 3, "no var"),
    "no index": (without("obs/_index"), 3, "no index"),
    "X without data": (without("X/data"), 3, "X"),
    "text that is not UTF-8": (renamed("var", [b"\xff\xfe"]), 3, "UTF-8"),
    "three dimensions": (dense(np.zeros((files.N_OBS, files.N_VAR, 2))), 4, "3 dimensions"),
    "X of text": (dense(np.full((files.N_OBS, files.N_VAR), b"a")), 4, "no numbers"),
    "complex X": (dense(np.zeros((files.N_OBS, files.N_VAR), "c8")), 4, "no numbers"),
    "chunk of 4 GiB": (declared("uns/u", (2**31,), (2**29,)), 6, "uns/u"),
    "layer of another shape": (
        lambda file: file["layers"].__setitem__("l", np.zeros((3, files.N_VAR))),
        3,
        "layers/l is",
    ),
    "obsm of another length": (
        lambda file: file["obsm"].__setitem__("m", np.zeros((3, 2))),
        3,
        "obsm/m",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_bad_file_is_refused_in_one_line_and_the_old_output_stays(
    fault: str, forked: Zygote, tmp_path: Path
) -> None:
    """So do `info`, which may show what it can, and `check`, which has its own codes."""
    change, code, words = REFUSED[fault]
    bad, out = files.cells(tmp_path / "bad.h5ad"), tmp_path / "out.h5ad"
    with h5py.File(bad, "r+") as file:
        change(file)
    out.write_bytes(b"old")
    env = {"TMPDIR": str(tmp_path)}
    ended = forked("filter-chrom", "X", bad, "-o", out, "-q", "--memory", "2G", env=env)
    line = ended.line()
    assert ended.code == code, line
    assert words in line and "bad.h5ad" in line
    assert out.read_bytes() == b"old"
    assert leftovers(tmp_path) == []
    shown = forked("info", bad)
    assert shown.code in (0, 3, 4, 6) and "Traceback" not in shown.err
    if shown.code:
        shown.line()
    checked = forked("check", bad)
    assert checked.code in (0, 2, 8) and checked.err == ""
    assert max(ended.peak, shown.peak, checked.peak) < 500 * MIB


def test_a_history_that_is_no_json_is_one_line(tmp_path: Path, forked: Zygote) -> None:
    small = files.cells(tmp_path / "small.h5ad")
    with h5py.File(small, "r+") as file:
        put(file, "uns/scgx/history", np.array(["{bad"], dtype=object), dtype=h5py.string_dtype())
    for command in (["log"], ["filter-chrom", "X", "-q"]):
        ended = forked(*command, small, *(["-o", small.with_name("x")] if command[1:] else []))
        assert ended.code == 3 and "uns['scgx/history'] is no list of JSON" in ended.line()


def test_a_value_of_another_program_called_scgx_gives_way(tmp_path: Path, forked: Zygote) -> None:
    small = files.cells(tmp_path / "small.h5ad")
    with h5py.File(small, "r+") as file:
        file.create_dataset("uns/scgx", data="hello", dtype=h5py.string_dtype())
    done = small.with_name("x.h5ad")
    assert forked("filter-chrom", "X", small, "-o", done).code == 0
    with h5py.File(done) as file:
        assert "history" in file["uns/scgx"]
