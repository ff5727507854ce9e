"""Runners of command lines, and a server in place of the web, that tests of commands share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.processes import Ended, Zygote
from support.web import Web, serving

Run = Callable[..., Ended]


@pytest.fixture
def scgx(forked: Zygote, tmp_path: Path) -> Run:
    """Run a command line in the test's folder, files by their short names; checks the exit code."""

    def run(*words: object, code: int = 0, stdin: Path | str = "/dev/null") -> Ended:
        inside = [isinstance(word, Path) and word.is_relative_to(tmp_path) for word in words]
        short = [
            word.relative_to(tmp_path) if within and isinstance(word, Path) else word
            for word, within in zip(words, inside, strict=True)
        ]
        done = forked(*short, cwd=tmp_path, stdin=stdin)
        assert done.code == code, done.err
        return done

    return run


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server, and an empty cache for the processes that are started."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCGX_TRIES", "2")
    monkeypatch.setenv("SCGX_STALL", "2")
    with serving() as made:
        yield made


@pytest.fixture
def run(forked: Zygote) -> Run:
    """Runs a command line, with this test's settings of scgx."""

    def run(*words: object, **options: object) -> Ended:
        env = {name: value for name, value in os.environ.items() if name.startswith("SCGX_")}
        return forked(*words, env=env, **options)

    return run
