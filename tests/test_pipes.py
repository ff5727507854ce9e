"""Pipes and paths are the same: every way in and every way out gives the same bytes."""

import os
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import sparse
from support import files
from support.processes import Zygote, leftovers, shell

WAYS_IN = ("path", "redirected", "pipe", "fifo", "dev stdin", "dev stdin redirected")
COMMANDS = {
    "filter-chrom": ["filter-chrom", "X"],
    "split": ["split", "--by", "donor"],
    "normalize": ["normalize", "--modality", "rna"],
    "annotate-coords": ["annotate-coords", "--no-sort"],
    "qc": ["qc", "--min-genes", "q10", "--min-cells", "2"],
    "hvg": ["hvg", "--n", "4", "--flavor", "pearson"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return files.multiome(tmp_path_factory.mktemp("whole") / "whole.h5ad")


def through(forked: Zygote, way: str, file: Path, words: list[str], folder: Path) -> bytes:
    """stdout of a command whose input comes in one of six ways; no spool is left behind."""
    env = {"TMPDIR": str(folder)}
    options: dict[str, object] = {"env": env}
    name: object = {"path": file, "dev stdin": "/dev/stdin"}.get(way, "-")
    sender = None
    if way in ("pipe", "dev stdin"):
        options["feed"] = file.read_bytes()
    elif way == "redirected":
        options["stdin"] = file
    elif way == "dev stdin redirected":
        name, options["stdin"] = "/dev/stdin", file
    elif way == "fifo":
        name = folder / "fifo"
        os.mkfifo(folder / "fifo")
        sender = threading.Thread(target=(folder / "fifo").write_bytes, args=[file.read_bytes()])
        sender.start()
    ended = forked(*words, name, **options)
    if sender:
        sender.join()
    assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
    assert leftovers(folder) == []
    return ended.out


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("way", WAYS_IN)
def test_every_way_in_gives_the_same_bytes(
    way: str, command: str, whole: Path, forked: Zygote, tmp_path: Path
) -> None:
    words = [*COMMANDS[command], "--no-history", "-q"]
    right = tmp_path / "right.h5ad"
    assert forked(*words, whole, "-o", right).code == 0
    assert through(forked, way, whole, words, tmp_path) == right.read_bytes()


@pytest.mark.parametrize("words", [["info", "--json"], ["log"], ["log", "--json"]])
def test_words_about_a_file_are_the_same_either_way(
    words: list[str], whole: Path, forked: Zygote, tmp_path: Path
) -> None:
    direct = through(forked, "path", whole, words, tmp_path)
    for way in ("pipe", "redirected"):
        other = through(forked, way, whole, words, tmp_path)
        assert other.replace(b'"stdin"', f'"{whole}"'.encode()) == direct


def test_every_way_out_gives_the_same_bytes(whole: Path, forked: Zygote, tmp_path: Path) -> None:
    words = ["filter-chrom", "X", whole, "-q", "--no-history"]
    out = tmp_path / "out.h5ad"
    assert forked(*words, "-o", out).code == 0
    right = out.read_bytes()
    for more in ([], ["-o", "-"], ["-o", "/dev/stdout"], ["-o", "/dev/fd/1"]):
        assert forked(*words, *more).out == right, more
    assert forked(*words, stdout=tmp_path / "redirected.h5ad").code == 0
    assert (tmp_path / "redirected.h5ad").read_bytes() == right


def test_a_redirected_file_is_opened_in_place(whole: Path, forked: Zygote, tmp_path: Path) -> None:
    """There is nowhere to spool it to, and nothing is spooled."""
    out = tmp_path / "out.h5ad"
    env = {"TMPDIR": str(tmp_path / "nowhere")}
    assert forked("filter-chrom", "X", "-o", out, stdin=whole, env=env).code == 0
    assert forked("filter-chrom", "X", "-o", out, feed=whole.read_bytes(), env=env).code == 1


def test_a_redirected_file_that_somebody_began_to_read_is_spooled(
    whole: Path, tmp_path: Path
) -> None:
    padded = tmp_path / "padded"
    padded.write_bytes(b"1234567" + whole.read_bytes())
    line = '{ dd bs=1 count=7 of="$2" 2>"$2"; scgx info --json; } <"$1"'
    ended = shell(line, [padded, tmp_path / "a"])
    assert (ended.code, b'"cells": 80' in ended.out) == (0, True), ended.err


def test_commands_join_into_a_line_of_shell(whole: Path, tmp_path: Path) -> None:
    line = (
        "set -o pipefail; "
        'cat "$1" | scgx split --by donor -q | scgx filter-chrom X -q | scgx info --json'
    )
    ended = shell(line, [whole])
    assert (ended.code, b'"features": 15' in ended.out) == (0, True), ended.err
    line = 'scgx info --json <(scgx filter-chrom X "$1" -q)'
    ended = shell(line, [whole])
    assert (ended.code, b'"features": 15' in ended.out) == (0, True), ended.err


def test_check_reads_what_comes(whole: Path, forked: Zygote) -> None:
    data = whole.read_bytes()
    assert (forked("check", "-", feed=data).code, forked("check", "-", stdin=whole).code) == (0, 0)
    assert forked("check", "-", feed=data[:-99]).code == 4
    assert forked("check", "-").code == 2
    ended = shell('scgx check <(cat "$1") "$1"', [whole])
    assert (ended.code, ended.out.count(b"unsigned")) == (0, 2), ended


def test_a_failed_command_fails_the_whole_line(whole: Path, tmp_path: Path) -> None:
    """Nothing reaches the pipe after an error, and the next command asks what happened."""
    line = (
        'scgx filter-chrom chr99 "$1" -q | scgx info >"$2"; echo "${PIPESTATUS[@]}"; '
        'head -c 9999 "$1" | scgx filter-chrom X -q | scgx info >>"$2"; echo "${PIPESTATUS[@]}"'
    )
    ended = shell(line, [whole, tmp_path / "out"])
    assert ended.out.decode().splitlines() == ["4 3", "0 3 3"]
    assert ended.err.count("stdin is empty (did the previous command fail?)") == 2
    assert (tmp_path / "out").read_bytes() == b""


def test_packing_is_kept_on_a_path_and_dropped_on_a_pipe(forked: Zygote, tmp_path: Path) -> None:
    path, out = files.cells(tmp_path / "in.h5ad"), tmp_path / "out.h5ad"
    with h5py.File(path, "r+") as file:
        del file["X"]
        X = sparse.csr_matrix(files.counts())
        files.matrix(file, "X", X, compression="gzip", compression_opts=3, shuffle=True)
    assert forked("filter-chrom", "X", path, "-o", out).code == 0
    piped = tmp_path / "piped.h5ad"
    piped.write_bytes(forked("filter-chrom", "X", path).out)
    with h5py.File(out) as kept, h5py.File(piped) as plain:
        assert kept["X/data"].compression == "gzip" and kept["X/data"].compression_opts == 3
        assert plain["X/data"].compression is None
        assert kept["X/data"].fletcher32 and plain["X/data"].fletcher32
        assert kept["X/data"].dtype == np.float32
        assert np.array_equal(kept["X/data"][()], plain["X/data"][()])
