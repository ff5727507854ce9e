"""Workers of Dask, started by Dask's own launchers: the home of Dask.

A function travels once, as a plugin, which workers that come later get too; its parts are tasks. A
worker that dies costs the parts that it was at: others do them again, `DEATHS` times at most. An error
that a function raises ends the run at once, for a fault of the data is no fault of a worker.

Functions travel as pickles between processes of one user, as all of Dask does: whoever may connect to a
scheduler may run code on it. No file is ever read that way. An open file travels as its path, and the
worker opens it by itself (`h5ad.reader`).
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import dask
import dask.array
import distributed
from distributed.protocol.pickle import dumps, loads

from scgx import __version__, progress
from scgx.cluster.place import Place
from scgx.cluster.wanted import ask
from scgx.errors import MachineError, UsageError

Part = TypeVar("Part")
Answer = TypeVar("Answer")

AHEAD = 2  # parts under way for each worker, so that none waits for the next
DEATHS = 3  # workers that may die of a part before it is given up
PATIENCE = 10.0  # seconds without a worker after which that is said
CONNECT = 30  # seconds for a scheduler to answer
POLL = 1.0  # seconds between looks at what runs on for long
PAGES = "127.0.0.1:0"  # where Dask shows itself: to this machine alone, at any free port

_functions: dict[str, Any] = {}  # of a worker: what was brought, as bytes until it is asked


class Brings(distributed.WorkerPlugin):
    """Brings a function to a worker."""

    def __init__(self, name: str, function: bytes) -> None:
        self.name, self.function = name, function

    def setup(self, worker: distributed.Worker) -> None:
        """Keep it; it is opened by the first task that asks."""
        _functions[self.name] = self.function

    def teardown(self, worker: distributed.Worker) -> None:
        """Let it go, and the files that it holds open."""
        _functions.pop(self.name, None)


class Nowhere(io.TextIOBase):
    """A stream that forgets."""

    def write(self, text: str, /) -> int:
        """Forget it."""
        return len(text)


class Hushes(distributed.WorkerPlugin):
    """What a worker of ours prints is for nobody: our stdout is for data."""

    name = "scgx-stdout"

    def setup(self, worker: distributed.Worker) -> None:
        """Send its stdout nowhere, that of libraries to its stderr."""
        sys.stdout = Nowhere()
        os.dup2(2, 1)


def _answer(name: str, *part: Any) -> Any:
    """On a worker: what the function of this name says of a part."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    progress.configure(quiet=True)
    worker = distributed.get_worker()
    tasks, key = worker.state.tasks, worker.get_current_task()
    ask(lambda: key in tasks and tasks[key].state == "executing")
    held = _functions[name]
    if isinstance(held, bytes):
        held = _functions[name] = loads(held)
    return held(*part)


def _name_of(dask_worker: distributed.Worker) -> str:
    return str(dask_worker.name)


@dataclass
class Pool:
    """Workers that can be asked; `workers`: as many as were wanted, more or fewer may be there.

    `sharing`: how many of them share the memory of this machine.
    """

    client: distributed.Client
    workers: int
    sharing: int

    LOST: ClassVar = (distributed.CancelledError, distributed.KilledWorker, OSError)

    def there(self) -> set[str]:
        """Addresses of the workers that are there."""
        return set(self.client.ncores())

    def mapped(self, function: Callable[[Part], Answer], parts: Iterable[Part]) -> Iterator[Answer]:
        """The answers in order, a bounded number of parts under way."""
        waiting: deque[distributed.Future] = deque()
        with self._brought(function) as name:
            try:
                for part in parts:
                    waiting.append(self.client.submit(_answer, name, part, pure=False))
                    if len(waiting) > AHEAD * self.workers:
                        yield _result(waiting.popleft())
                while waiting:
                    yield _result(waiting.popleft())
            finally:
                self.client.cancel(list(waiting))

    def everywhere(self, function: Callable[[], object], poll: Callable[[], None]) -> None:
        """Run a function once on each worker, those that come later too, until every run has ended.

        `poll` is called every second. The run of a worker that dies is begun again elsewhere.
        """
        running: list[distributed.Future] = []
        with self._brought(function) as name:
            try:
                while not running or not all(one.done() for one in running):
                    for _ in range(len(self.client.ncores()) - len(running)):
                        running.append(self.client.submit(_answer, name, pure=False))
                    time.sleep(POLL)
                    poll()
                    if failed := next((one for one in running if one.status == "error"), None):
                        _result(failed)
                for one in running:
                    _result(one)
            finally:
                self.client.cancel(running)

    @contextlib.contextmanager
    def stacked(
        self, function: Callable[[Part], Any], parts: Sequence[Part], rows: Sequence[int], like: Any
    ) -> Iterator[Any]:
        """A dask array of the blocks `function(part)`, of so many rows each and of the kind of `like`.

        Worker i modulo their number, in the order of their names, makes and keeps block i.
        """
        with self._brought(function) as name:
            futures = [
                self.client.submit(
                    _answer, name, part, pure=False, workers=[worker], allow_other_workers=True
                )
                for part, worker in zip(parts, cycle(self._names()))
            ]
            distributed.wait(futures)
            for future in futures:
                if future.status != "finished":
                    _result(future)
            yield _array(futures, [(n, *like.shape[1:]) for n in rows], like)

    def kept(self, values: Sequence[Any]) -> Any:
        """A dask array of blocks that are here; they go to the workers that `stacked` would take."""
        futures = [
            self.client.scatter(block, workers=[worker], hash=False)
            for block, worker in zip(values, cycle(self._names()))
        ]
        return _array(futures, [block.shape for block in values], values[0][:0])

    def _names(self) -> list[str]:
        """Addresses of the workers, in the order of their names."""
        told = self.client.run(_name_of)
        return sorted(told, key=lambda address: str(told[address]))

    @contextlib.contextmanager
    def _brought(self, function: Callable[..., Any]) -> Iterator[str]:
        """Send a function to all workers, those that come later too; what it is called there."""
        name = f"scgx-{uuid.uuid4().hex}"
        self.register(Brings(name, dumps(function)), name)
        try:
            yield name
        finally:
            with contextlib.suppress(OSError, ValueError, TimeoutError):
                self.client.unregister_worker_plugin(name)

    def register(self, plugin: distributed.WorkerPlugin, name: str) -> None:
        """Send a plugin to all workers, those that come later too."""
        for left in reversed(range(DEATHS)):
            try:
                self.client.register_plugin(plugin, name=name)
                return
            except OSError:  # a worker has just died
                if not left:
                    raise MachineError("the workers of Dask are gone", fix="run it again") from None

    def greet(self) -> None:
        """Wait for a worker; MachineError where it cannot take part."""

        def version() -> str:  # nested, so that it travels to workers that have no scgx
            from scgx import __version__

            return __version__

        since, said = time.monotonic(), False
        while not self.client.ncores():
            if not said and time.monotonic() - since > PATIENCE:
                progress.say("waiting for the first worker")
                said = True
            time.sleep(0.05)
        try:
            found = self.client.submit(version, pure=False).result()
        except ImportError:
            found = "none"
        if found != __version__:
            raise MachineError(
                f"the workers have scgx {found}, this is {__version__}",
                fix="install the same version where they run",
            )


def _array(
    futures: Sequence[distributed.Future], shapes: Sequence[tuple[int, ...]], like: Any
) -> Any:
    blocks = [
        dask.array.from_delayed(future, shape, meta=like)
        for future, shape in zip(futures, shapes, strict=True)
    ]
    return dask.array.concatenate(blocks)


def _result(future: distributed.Future) -> Any:
    try:
        return future.result()
    except distributed.KilledWorker:
        raise MachineError(
            f"{DEATHS + 1} workers died of the same block", fix="give each of them more memory"
        ) from None
    except distributed.CancelledError:
        raise MachineError("the scheduler of Dask is gone", fix="run it again") from None


@contextlib.contextmanager
def opened(place: Place, folder: Path, threads: int) -> Iterator[Pool]:
    """Workers of a place until the block ends; `folder` is theirs."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_silent())
        settings = {
            "temporary-directory": str(folder),
            "distributed.scheduler.allowed-failures": DEATHS,
            "distributed.worker.memory.terminate": False,
            "distributed.worker.memory.pause": False,
            "distributed.comm.timeouts.connect": CONNECT,
            "distributed.nanny.pre-spawn-environ": {
                "MALLOC_TRIM_THRESHOLD_": 65_536,
                **dict.fromkeys(
                    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads
                ),
            },
        }
        stack.enter_context(dask.config.set(settings))
        cluster = _launched(place)
        if cluster is not None:
            stack.callback(cluster.close)
        try:
            client = distributed.Client(
                place.address or cluster, timeout=CONNECT, set_as_default=False
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise MachineError(
                f"no scheduler of Dask answers at {place.address or place.kind}",
                fix="dask scheduler starts one",
            ) from error
        stack.callback(client.close)
        wanted = place.workers or len(client.ncores()) or 1
        made = Pool(client, wanted, wanted if place.kind == "local" else 1)
        made.greet()
        if place.kind != "address":
            made.register(Hushes(), Hushes.name)
        if place.workers is None:
            made.workers = max(1, len(client.ncores()))
            made.sharing = made.workers if place.kind == "local" else 1
        yield made


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """What is lost is told here, and not by loggers of libraries."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for one, level in zip(loggers, before):
            one.setLevel(level)


def _launched(place: Place) -> Any:
    """A cluster that is ours to close; None where somebody else's is to be joined."""
    if place.kind == "address":
        return None
    if place.kind == "local":
        return _local(place.workers or len(os.sched_getaffinity(0)))
    return (_slurm if place.kind == "slurm" else _kubernetes)(place)


def _local(workers: int) -> Any:
    """Processes of this machine, at ports that only this machine reaches."""
    try:
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1",
            dashboard_address=PAGES, worker_dashboard_address=PAGES, memory_limit=None,
            silence_logs=logging.CRITICAL,
        )  # fmt: skip
    except RuntimeError as error:
        raise MachineError(
            f"the workers do not start: {_line(error)}",
            fix="a script calls scgx under if __name__ == '__main__'",
        ) from error


def _slurm(place: Place) -> Any:
    """Jobs of SLURM, each with a worker per core."""
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise MachineError(
            "--dask slurm needs dask-jobqueue, which is not installed",
            fix="pip install 'scgx[scale]'",
        ) from None
    options = place.as_dask()
    for key in ("cores", "memory"):
        options.setdefault(key, dask.config.get(f"jobqueue.slurm.{key}", None))
        if options[key] is None:
            raise UsageError(f"a job of SLURM needs {key}", fix="[slurm] in --dask slurm:FILE")
    options["processes"] = options["cores"]
    try:
        cluster = SLURMCluster(
            **options, scheduler_options={"dashboard_address": PAGES}, silence_logs="critical"
        )
    except (ValueError, TypeError, RuntimeError) as error:
        raise MachineError(f"SLURM cannot be asked: {_line(error)}") from error
    try:
        cluster.scale(place.workers or options["cores"])
    except (OSError, RuntimeError) as error:
        cluster.close()
        raise MachineError(f"SLURM takes no job: {_line(error)}") from error
    return cluster


def _kubernetes(place: Place) -> Any:
    """Pods of Dask's operator; a volume claim is mounted in the workers, where files then lie."""
    try:
        from dask_kubernetes.operator import KubeCluster, make_cluster_spec
    except ImportError:
        raise MachineError(
            "--dask kubernetes needs dask-kubernetes, which is not installed",
            fix="pip install 'scgx[kubernetes]'",
        ) from None
    options = place.as_dask()
    namespace = options.pop("namespace", None)
    options.setdefault("name", f"scgx-{uuid.uuid4().hex[:10]}")
    options.setdefault("n_workers", 1)
    spec = make_cluster_spec(**{"worker_command": ["dask", "worker", "--nthreads", "1"], **options})
    if claim := place.options.get("claim"):
        pod = spec["spec"]["worker"]["spec"]
        pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
        mounts = [{"name": "data", "mountPath": place.options["mount"]}]
        pod["containers"][0]["volumeMounts"] = mounts
    try:
        return KubeCluster(custom_cluster_spec=spec, namespace=namespace, quiet=True)
    except (OSError, ValueError, RuntimeError, TimeoutError) as error:
        raise MachineError(
            f"Kubernetes gives no cluster: {_line(error)}",
            fix="kubectl, and Dask's operator there?",
        ) from error


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
