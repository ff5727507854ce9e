"""A runner of command lines that the tests of join, split and normalize share."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.processes import Ended, Zygote

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
