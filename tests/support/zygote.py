"""Runs command lines in forked copies of itself: real processes without the cost of start-up.

Reads one JSON request per line on the descriptor given as first argument, answers on the second.
A request may ask for a signal after a delay, for a limit on file sizes, for a working directory.
"""

import json
import os
import resource
import signal
import sys
import time

import scgx.cells.coordinates
import scgx.genome.regions
import scgx.h5ad.foreign
import scgx.h5ad.history
import scgx.h5ad.select
import scgx.h5ad.totals
import scgx.h5ad.writer
import scgx.learn.describe  # noqa: F401 - loaded once, for every copy
from scgx import cli

_PATIENCE = 30


def _child(request: dict[str, object], ready: int) -> None:
    for number, key, flags in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", _WRITE),
        (2, "stderr", _WRITE),
    ):
        descriptor = os.open(str(request[key]), flags, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(str(request["cwd"]))
    os.environ.update(request["env"])
    if request["fsize"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["fsize"], request["fsize"]))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.close(ready)
    cli.main(request["argv"])
    sys.stdout.flush()
    os._exit(0)


def _run(request: dict[str, object]) -> dict[str, int]:
    waits, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(request, ready)
    os.close(ready)
    os.read(waits, 1)  # nothing comes; it ends when the child closes its end
    os.close(waits)
    if request["signal"]:
        time.sleep(request["delay"])
        os.kill(pid, request["signal"])
    signal.signal(signal.SIGALRM, lambda *_: os.kill(pid, signal.SIGKILL))
    signal.alarm(_PATIENCE)
    _, status, usage = os.wait4(pid, 0)
    signal.alarm(0)
    return {"code": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss * 1024}


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC

if __name__ == "__main__":
    cli.build()  # imports every command
    with open(int(sys.argv[1])) as requests, open(int(sys.argv[2]), "w") as answers:
        for line in requests:
            answers.write(json.dumps(_run(json.loads(line))) + "\n")
            answers.flush()
