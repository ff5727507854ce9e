"""Whatever happens at whatever moment, the output is the old one or the new one, and whole.

Kill loop: a signal at a random moment. n-th failure: the n-th open, write, fsync, truncation or rename
fails, once or from then on. The suite runs a short version; `make torture` runs all of it.
"""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import files
from support.processes import Ended, Zygote, leftovers

SHIM = Path(__file__).parent / "support" / "shim.c"
SIGNALS = {"KILL": signal.SIGKILL, "TERM": signal.SIGTERM, "INT": signal.SIGINT}
CODES = {"KILL": (-9,), "TERM": (143, -15), "INT": (130, -2)}
STRIDE = (1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 35, 45, 60, 80, 110, 150, 200)


class Bench:
    """One command over an old output, and what old and new are byte for byte."""

    def __init__(self, folder: Path, zygote: Zygote) -> None:
        self.folder, self.zygote = folder / "bench", zygote
        self.folder.mkdir()
        self.out = self.folder / "out.h5ad"
        source = files.cells(folder / "in.h5ad", files.counts(3, (1500, 400)))
        self.words = ["filter-chrom", "chr1", source, "-q", "--no-history", "-o", self.out]
        zygote("filter-chrom", "X", source, "-q", "--no-history", "-o", folder / "old.h5ad")
        self.old = (folder / "old.h5ad").read_bytes()
        self.reset()
        start = time.monotonic()
        assert self.run().code == 0
        self.seconds = time.monotonic() - start
        self.new = self.out.read_bytes()
        assert self.new != self.old

    def reset(self) -> None:
        self.out.write_bytes(self.old)

    def run(self, **options: object) -> Ended:
        env = {"TMPDIR": str(self.folder), **options.pop("env", {})}  # type: ignore[dict-item]
        return self.zygote(*self.words, env=env, **options)  # type: ignore[arg-type]

    def state(self) -> str:
        """`old`, `new`, or what must never be."""
        found = self.out.read_bytes() if self.out.exists() else b""
        return {self.old: "old", self.new: "new"}.get(found, f"{len(found)} bytes of neither")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, forked: Zygote) -> Bench:
    return Bench(tmp_path_factory.mktemp("kill"), forked)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The same in a process whose system calls can be made to fail."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("fail")
    shim = folder / "shim.so"
    flags = ["-shared", "-fPIC", "-O1", "-o", shim, SHIM, "-ldl"]
    if subprocess.run([compiler, *flags], capture_output=True).returncode:
        pytest.skip("the shim does not compile here")
    zygote = Zygote(preload=shim)
    yield Bench(folder, zygote)
    zygote.close()


def _said(out: bytes) -> bytes:
    """What we wrote: HDF5 itself prints a line when h5py is interrupted while it is imported."""
    lines = out.splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"Failed to find converter"))


def kill_often(bench: Bench, name: str, times: int) -> None:
    draw = random.Random(name)
    states = []
    for _ in range(times):
        bench.reset()
        delay = draw.uniform(0, 1.1 * bench.seconds)
        ended = bench.run(kill=(SIGNALS[name], delay))
        state = bench.state()
        states.append(state)
        assert state in ("old", "new"), (delay, ended)
        assert ended.code in ((0,) if state == "new" else ()) + CODES[name], (delay, ended)
        assert ended.err == "" and _said(ended.out) == b"", (delay, ended)
        if name != "KILL":
            assert leftovers(bench.folder) == [], delay
    assert "old" in states
    assert bench.run().code == 0
    assert leftovers(bench.folder) == []


def fail_at(bench: Bench, n: int, *, lasting: bool) -> bool:
    """One run whose n-th operation fails; False when it has fewer than n."""
    mark = bench.folder.parent / "mark"
    mark.unlink(missing_ok=True)
    bench.reset()
    env = {
        "SCGX_FAIL_UNDER": str(bench.folder),
        "SCGX_FAIL_AT": str(n),
        "SCGX_FAIL_MARK": str(mark),
    }
    ended = bench.run(env=env | ({"SCGX_FAIL_ON": "1"} if lasting else {}))
    state = bench.state()
    assert state in ("old", "new"), (n, ended)
    assert leftovers(bench.folder) == [], (n, ended)
    if not mark.exists():
        assert (ended.code, state) == (0, "new"), (n, ended)
        return False
    if ended.code:
        ended.line()
        assert ended.code == 1, (n, ended)
    else:
        assert state == "new", (n, ended)
    return True


@pytest.mark.parametrize("name", SIGNALS)
def test_a_killed_command_leaves_the_old_output_or_the_new_one(name: str, bench: Bench) -> None:
    kill_often(bench, name, 12)


@pytest.mark.parametrize("lasting", [False, True])
def test_a_failed_operation_leaves_the_old_output_or_the_new_one(
    lasting: bool, failing: Bench
) -> None:
    done = [n for n in STRIDE if fail_at(failing, n, lasting=lasting)]
    assert len(done) > 5


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNALS)
def test_two_hundred_kills_lose_nothing(name: str, bench: Bench) -> None:
    kill_often(bench, name, 200)


@pytest.mark.slow
@pytest.mark.parametrize("lasting", [False, True])
def test_every_single_failure_loses_nothing(lasting: bool, failing: Bench) -> None:
    n = 1
    while fail_at(failing, n, lasting=lasting):
        n += 1
    assert n > 10
