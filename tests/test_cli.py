"""argv in, exit code out: every way a command can end, as a code and at most one line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import fresh, shell

import scgx
from scgx import cli, errors, registry
from scgx.commands import info


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """The command line listens to signals; the test process must not go on to."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


ENDS = [
    (None, 0, ""),
    (errors.MachineError("the disk is full", file="x.h5ad"), 1, "x.h5ad: the disk is full"),
    (errors.UsageError("two inputs"), 2, "two inputs"),
    (errors.InputError("is cut", fix="copy it again"), 3, "is cut (copy it again)"),
    (errors.DataError("no such column"), 4, "no such column"),
    (errors.NetworkError("no answer"), 5, "no answer"),
    (errors.UnsafeError("is a pickle"), 6, "is a pickle"),
    (OSError(28, "No space left on device", "out.h5ad"), 1, "out.h5ad: no space left on device"),
    (MemoryError(), 1, "not enough memory"),
    (KeyboardInterrupt(), 130, ""),
    (errors.Terminated(), 143, ""),
    (errors.Terminated(signal.SIGHUP), 129, ""),
    (BrokenPipeError(), 141, ""),
    (errors.ReaderGone(), 141, ""),
]


@pytest.mark.parametrize(("end", "code", "words"), ENDS, ids=[repr(end[0])[:40] for end in ENDS])
def test_every_end_has_a_code_and_at_most_one_line(
    end: BaseException | None,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(input: str = "-") -> None:
        """Ends as the test wants."""
        if end is not None:
            raise end

    monkeypatch.setattr(info, "info", command)
    assert cli.run(["info"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    if words:
        assert said.err.startswith(f"scgx info: {words}")
        assert said.err.count("\n") == 1
    else:
        assert said.err == ""


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(input: str = "-") -> None:
        """Has a bug."""
        raise ZeroDivisionError

    monkeypatch.setattr(info, "info", command)
    with pytest.raises(ZeroDivisionError):
        cli.run(["info"])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["filter-chrm", "X"], "did you mean 'filter-chrom'?"),
        (["train", "cnm", __file__], "did you mean 'cnn'?"),
        (["fetch", "zhu2032"], "did you mean 'zhu2023'?"),
        (["split", "--fraction", "1"], "--fractions"),
        (["filter-chrom"], "CHROMS"),
        (["train", "mean", "--seed", "-1"], "--seed"),
        (["info", "--memory", "2X"], "--memory"),
    ],
)
def test_a_typing_error_is_answered_with_what_was_meant(line: list[str], words: str) -> None:
    ended = fresh(*line)
    assert ended.code == 2
    assert words in ended.line()


def test_alone_it_shows_its_help() -> None:
    ended = fresh()
    assert b"Usage: scgx" in ended.out + ended.err.encode()
    assert b"filter-chrom" in ended.out + ended.err.encode()


def test_version_is_that_of_the_package() -> None:
    assert fresh("--version").out.decode() == f"scgx {scgx.__version__}\n"


def test_a_file_with_a_newline_in_its_name_stays_one_line(tmp_path: Path) -> None:
    ended = fresh("info", str(tmp_path / "a\nb.h5ad"))
    assert ended.code == 3
    assert "a\\nb.h5ad" in ended.line()


def test_a_reader_that_leaves_is_no_error() -> None:
    ended = shell("set -o pipefail; scgx fetch demo -q --cells 60 | head -c8 | tail -c4")
    assert ended.code in (0, 141)
    assert ended.err == ""


@pytest.mark.parametrize("line", ["fetch demo -q --cells 60", "fetch --list", "--version"])
def test_a_closed_stdout_is_one_line(line: str) -> None:
    ended = shell(f"scgx {line} >&-")
    assert ended.code == 1
    assert "stdout is closed" in ended.err and ended.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_who_is_told_to_go_leaves_no_spool_behind(number: signal.Signals, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "scgx", "info", "--tmpdir", str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE) as waiting:
        assert waiting.stdin is not None
        waiting.stdin.write(b"\x89HDF")
        waiting.stdin.flush()
        while not list(tmp_path.iterdir()):
            time.sleep(0.01)
        waiting.send_signal(number)
        assert waiting.wait(20) == 128 + number
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_help_answers_while_stdin_is_never_closed() -> None:
    ended = shell("sleep 5 | (scgx --help; kill $(jobs -p) 2>/dev/null; true)")
    assert b"filter-chrom" in ended.out


def test_a_function_is_as_quiet_as_it_is_asked_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = str(tmp_path / "cells.h5ad")
    scgx.fetch("demo", output=cells, cells=60)
    scgx.filter_chrom("X", cells, str(tmp_path / "loud.h5ad"))
    assert "scgx filter-chrom: kept" in capsys.readouterr().err
    scgx.filter_chrom("X", cells, str(tmp_path / "quiet.h5ad"), quiet=True)
    assert capsys.readouterr().err == ""


def test_every_command_is_importable_from_the_package() -> None:
    for name in registry.names("commands"):
        assert callable(getattr(scgx, name.replace("-", "_")))
    assert not hasattr(scgx, "no_such_command")


def test_a_call_from_python_is_recorded_as_the_line_it_stands_for():
    from scgx import api, registry

    words = {"model": "ridge", "input": "x", "source": "atac", "set_": ["rank=1", "penalty=2"]}
    function = registry.load("commands", "train").train
    found = api._words(function, words | {"resume": True, "seed": 3})
    line = "ridge x --from atac --set rank=1 --set penalty=2 --resume --seed 3"
    assert found == line.split()


def test_words_and_paths_from_python_are_taken_as_the_command_wants_them() -> None:
    from scgx import api

    assert api._fitted(list[str] | None, "KLF1") == ["KLF1"]
    assert api._fitted(list[str], Path("a.h5ad")) == ["a.h5ad"]
    assert api._fitted(list[str] | None, ("A", "B")) == ["A", "B"]
    assert api._fitted(Path | None, "like.tsv") == Path("like.tsv")
    assert api._fitted(str, Path("a.h5ad")) == "a.h5ad"
    assert api._fitted(str | None, None) is None
    assert api._fitted(int, 3) == 3 and api._fitted(bool, True) is True


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_that_became_another_error_is_still_one(monkeypatch, number, code):
    class Late:
        def __set_name__(self, owner: type, name: str) -> None:
            raise KeyboardInterrupt if number == signal.SIGINT else errors.Terminated(number)

    def build(command: str) -> object:
        return type("Made", (), {"value": Late()})  # up to Python 3.11 a RuntimeError

    monkeypatch.setattr(cli, "build", build)
    assert cli.run(["info"]) == code
