"""Model files that are none, and cells that a model must not answer (M1 to M9, P2 to P6)."""

import hashlib
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import load, save
from support import files
from support.processes import Zygote, leftovers

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.multiome(tmp_path_factory.mktemp("whole") / "whole.h5ad")


@pytest.fixture(scope="module")
def model(whole: Path, forked: Zygote) -> Path:
    made = whole.with_name("ridge.scgx")
    words = ["train", "ridge", whole, "--from", "atac", "--to", "rna", "-o", made, "-q"]
    assert forked(*words, "--set", "rank=5", "--set", "penalty=0.1").code == 0
    return made


def members(model: Path) -> Members:
    with zipfile.ZipFile(model) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, parts: Members, **options: int) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def forged(parts: Members) -> Members:
    """The same with hashes that agree: what an enemy would send."""
    header = json.loads(parts["scgx.json"])
    rest = {name: data for name, data in parts.items() if name != "scgx.json"}
    header["members"] = {name: hashlib.sha256(data).hexdigest() for name, data in rest.items()}
    return {"scgx.json": json.dumps(header).encode(), **rest}


def with_header(**changes: object) -> Callable[[Members], Members]:
    def change(parts: Members) -> Members:
        header = json.loads(parts["scgx.json"]) | changes
        return parts | {"scgx.json": json.dumps(header).encode()}

    return change


def with_weights(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Members], Members]:
    """Every array of the model itself changed."""

    def apply(parts: Members) -> Members:
        name = next(n for n in parts if n.endswith(".safetensors") and n != "summary.safetensors")
        arrays = {key: np.ascontiguousarray(change(a)) for key, a in load(parts[name]).items()}
        return forged(parts | {name: save(arrays)})

    return apply


def declared(parts: Members) -> Members:
    """Weights that declare 10^13 numbers."""
    name = next(n for n in parts if n.endswith(".safetensors") and n != "summary.safetensors")
    head = json.dumps({"w": {"dtype": "F64", "shape": [10**13], "data_offsets": [0, 8 * 10**13]}})
    return forged(parts | {name: struct.pack("<Q", len(head)) + head.encode() + bytes(64)})


def without_weights(parts: Members) -> Members:
    return forged({n: d for n, d in parts.items() if n in ("scgx.json", "summary.safetensors")})


def nan(values: np.ndarray) -> np.ndarray:
    return np.full_like(values, np.nan) if values.dtype.kind == "f" else values


FORGED: dict[str, tuple[Callable[[Members], Members], int, str]] = {
    "newer format": (with_header(format=99, version="9.9"), 3, "made by scgx 9.9"),
    "no such model": (with_header(model="oracle"), 3, "oracle"),
    "knob of another version": (with_header(config={"wings": 2}), 3, "wings"),
    "header of another shape": (with_header(inputs=[1, 2]), 3, "header"),
    "names that are no names": (
        with_header(outputs={"modality": "rna", "units": "log1p-cp10k", "names": 7}),
        3,
        "header",
    ),
    "weights of another shape": (with_weights(lambda a: a[: max(1, len(a) // 2)]), 3, ""),
    "weights of no numbers": (with_weights(nan), 3, "NaN"),
    "weights of 10^13": (declared, 3, "weights"),
    "no weights": (without_weights, 3, ""),
    "another member": (lambda p: p | {"extra.json": b"{}"}, 3, "members"),
    "a pickle inside": (lambda p: forged(p | {"data.pkl": pickle.dumps(1)}), 6, "pickle"),
    "a path inside": (lambda p: forged(p | {"../../x.json": b"{}"}), 6, "plain"),
}


@pytest.mark.parametrize("fault", FORGED)
def test_a_forged_model_is_refused_in_one_line(
    fault: str, whole: Path, model: Path, forked: Zygote, tmp_path: Path
) -> None:
    change, code, words = FORGED[fault]
    bad, out = packed(tmp_path / "bad.scgx", change(members(model))), tmp_path / "out.h5ad"
    ended = forked("predict", bad, whole, "-o", out, "-q", env={"TMPDIR": str(tmp_path)})
    line = ended.line()
    assert (ended.code, words in line) == (code, True), line
    assert "bad.scgx" in line
    assert not out.exists() and leftovers(tmp_path) == []
    assert ended.peak < 500 << 20
    assert forked("info", bad).code in (0, 3, 6)


def test_a_packed_bomb_is_refused(whole: Path, model: Path, forked: Zygote, tmp_path: Path) -> None:
    parts = members(model) | {"zeros.json": bytes(300 << 20)}
    bad = packed(tmp_path / "bad.scgx", parts, compression=zipfile.ZIP_DEFLATED)
    ended = forked("predict", bad, whole, "-q")
    assert (ended.code, "no plain stored file" in ended.line()) == (6, True)
    assert ended.peak < 500 << 20


OTHERS: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 3, "empty"),
    "pickle": (pickle.dumps({"w": 1}, protocol=4), 6, "pickle"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), 3, "HDF5"),
    "text": (b"weights: 1 2 3\n", 3, "text"),
    "html": (b"<!DOCTYPE html>", 3, "web page"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_no_models(kind: str, whole: Path, forked: Zygote, tmp_path: Path) -> None:
    data, code, word = OTHERS[kind]
    bad = tmp_path / "bad.scgx"
    bad.write_bytes(data)
    ended = forked("predict", bad, whole, "-q")
    assert (ended.code, word in ended.line()) == (code, True)


def test_a_torch_file_is_refused_unopened(whole: Path, forked: Zygote, tmp_path: Path) -> None:
    """A pickle that would leave a file behind if anybody opened it."""
    mark = tmp_path / "owned"

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (open, (str(mark), "w"))

    bad = packed(tmp_path / "m.pt", {"archive/data.pkl": pickle.dumps(Payload())})
    for words in (["predict", bad, whole], ["info", bad], ["check", bad]):
        ended = forked(*words)
        assert ended.code in (2, 6), words
    assert not mark.exists()


@pytest.mark.parametrize("way", ["cut", "bit"])
def test_no_damage_to_a_model_passes(
    way: str, whole: Path, model: Path, forked: Zygote, tmp_path: Path
) -> None:
    data, bad = model.read_bytes(), tmp_path / "bad.scgx"
    for i in range(8):
        place = (2 * i + 1) * len(data) // 16
        damaged = data[:place]
        if way == "bit":
            damaged += bytes([data[place] ^ 4]) + data[place + 1 :]
        bad.write_bytes(damaged)
        ended = forked("predict", bad, whole, "-q")
        assert ended.code in (3, 6), (place, ended)
        ended.line()
        assert forked("check", bad).code in ((4,) if way == "cut" else (2, 8))


def test_model_and_cells_may_not_both_be_stdin(forked: Zygote) -> None:
    ended = forked("predict", "-", "-")
    assert (ended.code, "both" in ended.line()) == (2, True)


def edited(whole: Path, path: Path, change: Callable[[h5py.File], None]) -> Path:
    path.write_bytes(whole.read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def rename(pattern: str) -> Callable[[h5py.File], None]:
    """Other names for all peaks."""

    def change(file: h5py.File) -> None:
        names = [name.decode() for name in file["var/_index"][()]]
        peaks = (pattern.format(i) for i in range(len(names)))
        file["var/_index"][...] = [n if n.startswith("gene") else next(peaks) for n in names]

    return change


def of_mouse(file: h5py.File) -> None:
    file["uns"].create_group("scgx")["genome"] = "GRCm39"


def scaled(file: h5py.File) -> None:
    values = file["X/data"][()]
    file["X/data"][...] = values - 3.5


def twins(file: h5py.File) -> None:
    names = file["var/_index"][()]
    names[-1] = names[-2]
    file["var/_index"][...] = names


CELLS: dict[str, tuple[Callable[[h5py.File], None], int, str]] = {
    "other peaks": (rename("chr9:{0}-9{0}"), 4, "0 of the model's 30"),
    "two of one name": (twins, 4, "more than once"),
    "z-scores": (scaled, 4, "scaled"),
}


@pytest.mark.parametrize("fault", CELLS)
def test_cells_that_a_model_must_not_answer_are_refused(
    fault: str, whole: Path, model: Path, forked: Zygote, tmp_path: Path
) -> None:
    change, code, words = CELLS[fault]
    other = edited(whole, tmp_path / "other.h5ad", change)
    ended = forked("predict", model, other, "-o", tmp_path / "out.h5ad", "-q")
    assert (ended.code, words in ended.line()) == (code, True), ended.err


def test_another_genome_is_refused(whole: Path, forked: Zygote, tmp_path: Path) -> None:
    def human(file: h5py.File) -> None:
        file["uns"].create_group("scgx")["genome"] = "GRCh38"

    first = edited(whole, tmp_path / "human.h5ad", human)
    other = edited(whole, tmp_path / "mouse.h5ad", of_mouse)
    made = tmp_path / "mean.scgx"
    assert forked("train", "mean", first, "--from", "atac", "--to", "rna", "-o", made).code == 0
    ended = forked("predict", made, other, "-q")
    assert (ended.code, "GRCm39" in ended.line() and "GRCh38" in ended.line()) == (4, True)


def test_missing_peaks_are_masked_and_counted_down_to_the_bar(
    whole: Path, model: Path, forked: Zygote, tmp_path: Path
) -> None:
    """P2, P3: what is missing is said; below --min-overlap the command refuses."""
    out, part = tmp_path / "out.h5ad", tmp_path / "part.h5ad"
    assert forked("filter-chrom", "X", whole, "-o", part).code == 0
    ended = forked("predict", model, part, "-o", out)
    assert (ended.code, "10 of 30 atac features" in ended.err) == (0, True)
    ended = forked("predict", model, part, "-o", out, "--min-overlap", "0.5", "-q")
    assert (ended.code, "10 of the model's 30" in ended.line()) == (4, True)
