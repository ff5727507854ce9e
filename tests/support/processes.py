"""Real processes of scgx: started afresh, or forked from one that has loaded everything."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Ended(NamedTuple):
    """How a process ended: exit code (negative: signal), what it wrote, its peak memory in bytes."""

    code: int
    out: bytes
    err: str
    peak: int = 0

    def line(self) -> str:
        """The one line of an error: no traceback, at most 200 characters, nothing on stdout."""
        lines = [line for line in self.err.splitlines() if not _is_talk(line)]
        assert "Traceback" not in self.err, self.err
        assert self.out == b"", self.out[:100]
        assert len(lines) == 1, self.err
        assert len(lines[0]) <= 200, f"{len(lines[0])} characters: {lines[0]}"
        assert lines[0].startswith("scgx"), lines[0]
        return lines[0]


def _is_talk(line: str) -> bool:
    return " warning: " in line


def command(*argv: object) -> list[str]:
    """The command line of a fresh process."""
    return [sys.executable, "-m", "scgx", *map(str, argv)]


def environment(**changes: str | None) -> dict[str, str]:
    """This environment, changed; None removes. One thread, so that tests may run side by side."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", **changes}
    return {name: value for name, value in env.items() if value is not None}


def fresh(*argv: object, **options: object) -> Ended:
    """Run in a new process; options are those of `subprocess.run`, and `env` holds changes."""
    env = environment(**options.pop("env", {}))
    options = {"stdin": subprocess.DEVNULL, "timeout": 60} | options
    if "input" in options:
        options.pop("stdin")
    if "stdout" not in options:
        options["stdout"] = subprocess.PIPE
    done = subprocess.run(command(*argv), stderr=subprocess.PIPE, env=env, **options)
    return Ended(done.returncode, done.stdout or b"", done.stderr.decode(errors="replace"))


class Zygote:
    """Forks a loaded process per command line: 20 ms each where a fresh one takes 500."""

    def __init__(self, preload: Path | None = None) -> None:
        """`preload` is a library that the dynamic linker puts before all others."""
        asks, self._requests = os.pipe()
        self._answers, replies = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.zygote", str(asks), str(replies)],
            pass_fds=(asks, replies),
            env=environment(
                PYTHONPATH=str(HERE.parent), LD_PRELOAD=str(preload) if preload else None
            ),
            stdin=subprocess.DEVNULL,
        )
        os.close(asks)
        os.close(replies)
        self._reader = os.fdopen(self._answers)

    def __call__(
        self,
        *argv: object,
        stdin: Path | str = "/dev/null",
        feed: bytes | None = None,
        stdout: Path | str | None = None,
        cwd: Path | str = "/",
        env: Mapping[str, str] | None = None,
        fsize: int = 0,
        kill: tuple[int, float] = (0, 0.0),
    ) -> Ended:
        """Run one command line. `feed` comes in through a pipe; `kill` is a signal and the seconds
        after which it is sent.
        """
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            out, err = Path(folder, "out"), Path(folder, "err")
            if feed is not None:
                stdin = Path(folder, "pipe")
                stack.enter_context(_feeding(stdin, feed))
            request = {
                "argv": list(map(str, argv)),
                "stdin": str(stdin),
                "stdout": str(stdout or out),
                "stderr": str(err),
                "cwd": str(cwd),
                "env": dict(env or {}),
                "fsize": fsize,
                "signal": int(kill[0]),
                "delay": kill[1],
            }
            os.write(self._requests, (json.dumps(request) + "\n").encode())
            answer = json.loads(self._reader.readline())
            written = b"" if stdout else out.read_bytes()
            return Ended(answer["code"], written, err.read_text(errors="replace"), answer["peak"])

    def close(self) -> None:
        """End the process that forks."""
        os.close(self._requests)
        self._process.wait()
        self._reader.close()


@contextlib.contextmanager
def _feeding(fifo: Path, data: bytes) -> Iterator[None]:
    """A named pipe through which somebody sends these bytes."""

    def send() -> None:
        with contextlib.suppress(BrokenPipeError), open(fifo, "wb", buffering=0) as pipe:
            pipe.write(data)

    os.mkfifo(fifo)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()


def leftovers(*folders: Path) -> list[str]:
    """Temporary files of scgx that somebody forgot."""
    return [path.name for folder in folders for path in folder.glob(".scgx-*")]


def shell(line: str, values: Sequence[object] = (), **options: object) -> Ended:
    """Run a line of bash with `scgx` as a function; $1 ... are `values`. Code of the last command."""
    env = environment(**options.pop("env", {}))
    script = f'scgx() {{ "{sys.executable}" -m scgx "$@"; }}\n{line}\n'
    words = ["bash", "-c", script, "bash", *map(str, values)]
    options = {"timeout": 300} | options
    done = subprocess.run(words, capture_output=True, env=env, **options)
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
