"""No command is an exception: whatever reads cells meets a bad file with a code and one line."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from support import files
from support.processes import Zygote, leftovers

from scgx import registry

# how each command is called on one file of cells (BAD), beside good ones
CALLS: dict[str, list[str]] = {
    "align": ["RIDGE", "BAD", "-o", "OUT"],
    "annotate-coords": ["BAD", "-o", "OUT"],
    "classify": ["TYPES", "BAD", "-o", "OUT"],
    "concat": ["BAD", "GOOD", "--names", "a,b", "--genes", "outer", "-o", "OUT"],
    "embed": ["pca", "BAD", "-o", "OUT"],
    "explain": ["TYPES", "--cells", "BAD"],
    "filter-chrom": ["X", "BAD", "-o", "OUT"],
    "generate": ["CELLS", "--like", "BAD", "--library-size", "BAD", "-o", "OUT"],
    "hvg": ["BAD", "--flavor", "pearson", "-o", "OUT"],
    "info": ["BAD"],
    "join": ["BAD", "GOOD", "--as", "rna,atac", "-o", "OUT"],
    "link": ["BAD", "--format", "h5ad", "-o", "OUT"],
    "log": ["BAD"],
    "normalize": ["BAD", "-o", "OUT"],
    "pairs": ["BAD", "--within", "donor", "--genes", "3", "-o", "OUT"],
    "plot": ["BAD", "--color", "cell_type", "--color", "gene3"],
    "predict": ["MODEL", "BAD", "-o", "OUT"],
    "qc": ["BAD", "-o", "OUT"],
    "sample": ["BAD", "--n", "79", "-o", "OUT"],
    "score": ["GOOD", "BAD", "--modality", "rna"],
    "split": ["--by", "donor", "BAD", "-o", "OUT"],
    "transpose": ["BAD", "-o", "OUT"],
    "train": ["mean", "BAD", "--from", "atac", "--to", "rna", "-o", "OUT"],
    "tune": ["ridge", "BAD", "--from", "atac", "--to", "rna", "--trials", "1", "-o", "OUT"],
}
ELSEWHERE = {"check", "fetch", "simulate"}  # has its own codes; read no cells


def index_out_of_range(file: h5py.File) -> None:
    file["X/indices"][3] = 10**6


def offsets_that_fall(file: h5py.File) -> None:
    file["X/indptr"][5] = 10**6


def link_out(file: h5py.File) -> None:
    file["uns/link"] = h5py.ExternalLink("/etc/passwd", "/x")


def code_out_of_range(file: h5py.File) -> None:
    file["obs/cell_type/codes"][0] = 77


def obs_too_long(file: h5py.File) -> None:
    del file["obs"]
    files.frame(file, "obs", [f"cell{i}" for i in range(99)])


def no_var(file: h5py.File) -> None:
    del file["var"]


def giant(file: h5py.File) -> None:
    del file["obs/donor"]
    file["obs"].create_dataset("donor", (10**12,), "f8", chunks=(1 << 17,))


FAULTS: dict[str, tuple[Callable[[h5py.File], None], int]] = {
    "index out of range": (index_out_of_range, 3),
    "offsets that fall": (offsets_that_fall, 3),
    "link out of the file": (link_out, 6),
    "code out of range": (code_out_of_range, 3),
    "obs too long": (obs_too_long, 3),
    "no var": (no_var, 3),
    "giant column": (giant, 6),
}
# log reads uns alone; split copies X verbatim, and who reads it next will refuse it
UNREAD = {("log", "*"), ("split", "index out of range"), ("split", "offsets that fall")}


def test_every_command_is_in_the_table() -> None:
    assert set(CALLS) | ELSEWHERE == set(registry.names("commands"))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.multiome(tmp_path_factory.mktemp("good") / "good.h5ad")


@pytest.fixture(scope="module")
def model(good: Path, forked: Zygote) -> Path:
    made = good.with_name("mean.scgx")
    assert forked("train", "mean", good, "--from", "atac", "--to", "rna", "-o", made).code == 0
    words = ("train", "ridge", good, "--from", "atac", "--to", "rna")
    assert forked(*words, "-o", good.with_name("ridge.scgx")).code == 0
    words = ("train", "logistic", good, "--label", "cell_type", "--min-cells-per-class", "1")
    ended = forked(*words, "-o", good.with_name("types.scgx"))
    assert ended.code == 0, ended.err
    words = ("train", "nb", good, "--label", "cell_type", "--min-cells-per-class", "1")
    ended = forked(*words, "--from", "rna", "-o", good.with_name("cells.scgx"))
    assert ended.code == 0, ended.err
    return made


def call(command: str, bad: Path, good: Path, model: Path, out: Path) -> list[str]:
    places = {"BAD": bad, "GOOD": good, "MODEL": model, "OUT": out}
    places["TYPES"] = model.with_name("types.scgx")
    places["RIDGE"] = model.with_name("ridge.scgx")
    places["CELLS"] = model.with_name("cells.scgx")
    return [command, *(str(places.get(word, word)) for word in CALLS[command])]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("command", CALLS)
def test_bad_cells_are_refused_with_the_same_code_everywhere(
    command: str, fault: str, good: Path, model: Path, forked: Zygote, tmp_path: Path
) -> None:
    change, code = FAULTS[fault]
    bad, out = tmp_path / "bad.h5ad", tmp_path / "out"
    bad.write_bytes(good.read_bytes())
    with h5py.File(bad, "r+") as file:
        change(file)
    out.write_bytes(b"old")
    env = {"TMPDIR": str(tmp_path)}
    ended = forked(*call(command, bad, good, model, out), env=env)
    if ended.code == 0 and {(command, fault), (command, "*")} & UNREAD:
        return
    lines = [line for line in ended.err.splitlines() if "bad.h5ad" in line]
    assert ended.code == code, ended
    assert "Traceback" not in ended.err and ended.out == b"", ended
    assert len(lines) == 1 and len(lines[0]) <= 200, ended
    assert out.read_bytes() == b"old" and leftovers(tmp_path) == []


@pytest.mark.parametrize("command", CALLS)
def test_a_missing_a_cut_and_a_wrong_file_are_named_by_every_command(
    command: str, good: Path, model: Path, forked: Zygote, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for name, data, words in (
        ("missing.h5ad", None, "no such file"),
        ("cut.h5ad", good.read_bytes()[:-999], "truncated"),
        ("page.h5ad", b"<html>", "web page"),
    ):
        bad = tmp_path / name
        if data is not None:
            bad.write_bytes(data)
        ended = forked(*call(command, bad, good, model, out))
        assert (ended.code, words in ended.line()) == (3, True), ended
        assert name in ended.line()
        assert not out.exists()


@pytest.mark.parametrize(
    "command", [name for name in CALLS if "OUT" in CALLS[name] and name != "join"]
)
def test_every_output_is_whole_and_reproducible(
    command: str, good: Path, model: Path, forked: Zygote, tmp_path: Path
) -> None:
    made = []
    for _ in range(2):
        out = tmp_path / "out"
        words = call(command, good, good, model, out)
        ended = forked(*words, env={"TMPDIR": str(tmp_path)})
        assert ended.code == 0, ended.err
        assert forked("check", out).out.split()[1] == b"whole"
        made.append(out.read_bytes())
    assert made[0] == made[1]
    assert leftovers(tmp_path) == []
    assert np.frombuffer(made[0], "u1").size > 500
