"""Parts come back in order, at most so many at once, and outlive a worker; faults are one error."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scgx.cluster import work
from scgx.cluster.place import parse
from scgx.errors import DataError, MachineError, UsageError
from scgx.h5ad import streams

pool = pytest.importorskip("scgx.cluster.pool")


@pytest.fixture
def opened(workers: Any) -> Iterator[Any]:
    """The shared workers, as the cluster that is open."""
    workers.pool.client.wait_for_workers(2)
    with work.opened(workers.address, streams.scratch):
        yield work.pool()


def test_without_a_cluster_parts_are_worked_out_here() -> None:
    assert list(work.mapped(lambda part: (part, os.getpid()), range(3))) == [
        (part, os.getpid()) for part in range(3)
    ]
    assert work.pool() is None and work.sharing() == 1


def test_answers_come_in_order_from_other_processes(opened: Any) -> None:
    answers = list(work.mapped(lambda part: (part, os.getpid()), range(20)))
    assert [part for part, _ in answers] == list(range(20))
    assert os.getpid() not in {process for _, process in answers}


def test_no_more_parts_are_under_way_than_keep_workers_busy(opened: Any) -> None:
    taken = []

    def parts() -> Iterator[int]:
        for part in range(100):
            taken.append(part)
            yield part

    answers = work.mapped(lambda part: part, parts())
    assert next(answers) == 0
    assert len(taken) <= pool.AHEAD * opened.workers + 1
    answers.close()


def test_a_worker_that_is_killed_costs_a_retry(opened: Any, tmp_path: Path) -> None:
    def killed_once(part: int) -> int:
        mark = tmp_path / "killed"
        if part == 4 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return part

    assert list(work.mapped(killed_once, range(12))) == list(range(12))
    assert (tmp_path / "killed").exists()


def test_a_fault_of_the_data_is_raised_once_and_not_tried_again(
    opened: Any, tmp_path: Path
) -> None:
    def refuses(part: int) -> int:
        if part == 3:
            with open(tmp_path / "tries", "a") as file:
                file.write("x")
            raise DataError("three is too many", fix="two", file="cells.h5ad")
        return part

    with pytest.raises(DataError, match=r"cells.h5ad: three is too many \(two\)"):
        list(work.mapped(refuses, range(8)))
    assert (tmp_path / "tries").read_text() == "x"


def test_a_part_that_kills_every_worker_is_given_up(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Dask raises where a part outlives no worker is one line; to kill four would take long."""
    import distributed

    def killed() -> None:
        raise distributed.KilledWorker("part", None, 3)  # type: ignore[arg-type]

    with pytest.raises(MachineError, match="4 workers died of the same block"):
        pool._result(SimpleNamespace(result=killed))


def test_each_worker_runs_what_is_to_run_everywhere(opened: Any, tmp_path: Path) -> None:
    polled = []

    def meet() -> None:
        (tmp_path / str(os.getpid())).touch()
        for _ in range(300):
            if len(list(tmp_path.iterdir())) == 2:
                return
            time.sleep(0.1)
        raise DataError("nobody else came")

    opened.everywhere(meet, lambda: polled.append(1))
    assert polled


def test_a_scheduler_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECT", 1)
    with pytest.raises(MachineError, match=r"no scheduler of Dask answers at tcp://127.0.0.1:9"):
        with work.opened("tcp://127.0.0.1:9", streams.scratch):
            pass


def test_another_version_is_refused(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "__version__", "9.9")
    with pytest.raises(MachineError, match=r"the workers have scgx .*, this is 9.9"):
        opened.greet()


def test_dask_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "scgx.cluster.pool", None)
    monkeypatch.delattr("scgx.cluster.pool")
    with pytest.raises(MachineError, match=r"not installed \(pip install 'scgx\[scale\]'\)"):
        with work.opened("local:1", streams.scratch):
            pass


def test_jobs_of_slurm_are_as_the_profile_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobqueue = pytest.importorskip("dask_jobqueue")
    path = tmp_path / "site.toml"
    path.write_text(
        "[slurm]\nqueue = 'long'\naccount = 'lab'\ncores = 4\nmemory = '16GB'\nworkers = 8\n"
        "walltime = '02:00:00'\ndirectives = ['--qos=low']\nprologue = ['module load scgx']\n"
    )
    wanted = []
    monkeypatch.setattr(jobqueue.SLURMCluster, "scale", lambda self, n: wanted.append(n))
    cluster = pool._slurm(parse(f"slurm:{path}"))
    try:
        script = cluster.job_script()
    finally:
        cluster.close()
    assert wanted[0] == 8
    for line in (
        "#SBATCH -p long", "#SBATCH -A lab", "#SBATCH -t 02:00:00", "#SBATCH --cpus-per-task=4",
        "#SBATCH --qos=low", "module load scgx",
    ):  # fmt: skip
        assert line in script.splitlines(), script
    assert "--nworkers 4" in script and "--nthreads 1" in script


def test_a_job_without_cores_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("dask_jobqueue")
    path = tmp_path / "site.toml"
    path.write_text("[slurm]\nqueue = 'long'\n")
    with pytest.raises(UsageError, match="a job of SLURM needs cores"):
        pool._slurm(parse(f"slurm:{path}"))


def test_pods_mount_the_claim_of_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a stand-in for Dask's operator, of which no test machine has any."""
    import sys

    asked: dict[str, Any] = {}

    def cluster(**options: Any) -> object:
        asked.update(options)
        return object()

    def specified(**options: Any) -> dict[str, Any]:
        asked.update(options)
        return {"spec": {"worker": {"spec": {"containers": [{"name": "worker"}]}}}}

    operator = SimpleNamespace(KubeCluster=cluster, make_cluster_spec=specified)
    monkeypatch.setitem(sys.modules, "dask_kubernetes", SimpleNamespace(operator=operator))
    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", operator)
    path = tmp_path / "site.toml"
    path.write_text(
        "[kubernetes]\nname = 'cells'\nnamespace = 'lab'\nimage = 'scgx:1'\nworkers = 5\n"
        "claim = 'data'\nmount = '/data'\n"
    )
    pool._kubernetes(parse(f"kubernetes:{path}"))
    assert (asked["name"], asked["image"], asked["n_workers"]) == ("cells", "scgx:1", 5)
    assert asked["namespace"] == "lab"
    pod = asked["custom_cluster_spec"]["spec"]["worker"]["spec"]
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "data"}
    assert pod["containers"][0]["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]


def test_kubernetes_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "dask_kubernetes.operator", None)
    with pytest.raises(MachineError, match=r"pip install 'scgx\[kubernetes\]'"):
        pool._kubernetes(parse("kubernetes"))
