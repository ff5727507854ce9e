"""Commands that go block by block: the same bytes from two workers as from one process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.processes import Ended, command, environment
from support.processes import fresh as started

import scgx
from scgx.errors import DataError, InputError, MachineError, UsageError
from scgx.learn import artifact

pytest.importorskip("distributed")


def fresh(*words: object, **options: Any) -> Ended:
    """A command in a process of its own, whose workers may take long to start on a busy machine."""
    return started(*words, timeout=600, **options)


@pytest.fixture(scope="module")
def models(cells: Path) -> Path:
    """The folder of the cells, with models trained on them."""
    here = cells.parent
    given = {"quiet": True}
    scgx.train("ridge", str(cells), str(here / "r.scgx"), source="atac", target="rna", **given)
    scgx.train("pca", str(cells), str(here / "p.scgx"), source="rna", **given)
    scgx.train("logistic", str(cells), str(here / "l.scgx"), label="cell_type", **given)
    return here


def both(make: Callable[..., None], folder: Path, address: str) -> tuple[bytes, bytes]:
    """The file that a command makes without workers, and with them, by the same name."""
    made = []
    for where in (None, address):
        out = folder / "out.h5ad"
        make(output=str(out), dask=where, quiet=True)
        made.append(out.read_bytes())
    return made[0], made[1]


@pytest.mark.parametrize("method", [None, "binary", "tfidf"])
def test_normalize_is_the_same(
    cells: Path, tmp_path: Path, workers: Any, method: str | None
) -> None:
    def make(**options: Any) -> None:
        modality = None if method is None else "atac"
        scgx.normalize(str(cells), method=method, modality=modality, memory="16M", **options)

    one, two = both(make, tmp_path, workers.address)
    assert one == two


def test_predict_is_the_same(models: Path, tmp_path: Path, workers: Any) -> None:
    def make(**options: Any) -> None:
        scgx.predict(str(models / "r.scgx"), str(models / "s.h5ad"), rows="all", **options)

    one, two = both(make, tmp_path, workers.address)
    assert one == two


def test_classify_is_the_same(models: Path, tmp_path: Path, workers: Any) -> None:
    def make(**options: Any) -> None:
        scgx.classify(str(models / "l.scgx"), str(models / "s.h5ad"), **options)

    one, two = both(make, tmp_path, workers.address)
    assert one == two


def test_embed_is_the_same(models: Path, tmp_path: Path, workers: Any) -> None:
    def make(**options: Any) -> None:
        scgx.embed(str(models / "p.scgx"), str(models / "s.h5ad"), **options)

    one, two = both(make, tmp_path, workers.address)
    assert one == two


def test_score_is_the_same(
    models: Path, tmp_path: Path, workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last digit, in panels of some features each."""
    guess = tmp_path / "guess.h5ad"
    scgx.predict(str(models / "r.scgx"), str(models / "s.h5ad"), output=str(guess), quiet=True)
    told = []
    for where in (None, workers.address):
        given = {"label": "cell_type", "memory": "16M", "json": True, "quiet": True}
        scgx.score(str(models / "s.h5ad"), [str(guess)], dask=where, **given)
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]


def test_score_says_what_is_not_done_by_workers(
    models: Path, tmp_path: Path, workers: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / "named.h5ad"
    scgx.classify(str(models / "l.scgx"), str(models / "s.h5ad"), output=str(named), quiet=True)
    scgx.score(str(models / "s.h5ad"), [str(named)], label="cell_type", dask=workers.address)
    assert "scores of labels are not worked out by blocks" in capsys.readouterr().err


def test_history_does_not_say_where_blocks_were_worked_out(
    cells: Path, tmp_path: Path, workers: Any
) -> None:
    out = tmp_path / "n.h5ad"
    scgx.normalize(str(cells), output=str(out), dask=workers.address, quiet=True)
    from scgx.h5ad.reader import open_cells

    with open_cells(out) as made:
        last = json.loads(made.scgx["history"][-1])  # type: ignore[index]
    assert "--dask" not in last["command"]


def test_a_pipe_is_read_by_workers_who_see_its_spool(cells: Path, workers: Any) -> None:
    piped = fresh("normalize", "-q", "--dask", workers.address, input=cells.read_bytes())
    assert piped.code == 0, piped.err
    assert piped.out == fresh("normalize", "-q", input=cells.read_bytes()).out


def test_a_file_that_workers_do_not_see_is_said(
    models: Path, tmp_path: Path, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that mounts another folder there: the path that goes to a worker is wrong."""
    monkeypatch.setattr("scgx.h5ad.reader.os.path.realpath", lambda path: f"/elsewhere{path}")
    with pytest.raises(MachineError, match=r"is not seen by the worker on .*--tmpdir"):
        scgx.predict(
            str(models / "r.scgx"), str(models / "s.h5ad"), str(tmp_path / "o.h5ad"),
            dask=workers.address, quiet=True,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_damage_that_a_worker_finds_is_one_error(
    models: Path, tmp_path: Path, workers: Any
) -> None:
    """Of the kind, and in the words, that it has without workers."""
    import h5py

    bad = tmp_path / "bad.h5ad"
    shutil.copy(models / "s.h5ad", bad)
    with h5py.File(bad, "r+") as file:
        file["X/indices"][-5:] = 10_000
    said = []
    for where in (None, workers.address):
        with pytest.raises(InputError) as failed:
            scgx.predict(
                str(models / "r.scgx"), str(bad), str(tmp_path / "o.h5ad"), rows="all", dask=where,
                quiet=True,
            )  # fmt: skip
        said.append(str(failed.value))
    assert said[0] == said[1] and "reach outside" in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["bad.h5ad"]


@pytest.mark.parametrize(
    "words",
    [
        ("normalize", "CELLS"),
        ("predict", "MODEL", "CELLS"),
        ("classify", "MODEL", "CELLS"),
        ("embed", "MODEL", "CELLS"),
        ("score", "CELLS", "CELLS"),
        ("train", "xgboost", "CELLS", "--label", "cell_type"),
        ("tune", "logistic", "CELLS", "--label", "cell_type"),
    ],
)
def test_a_word_that_is_no_cluster_is_a_usage_error(
    forked: Any, models: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    there = {"CELLS": models / "s.h5ad", "MODEL": models / "r.scgx"}
    done = forked(*(there.get(word, word) for word in words), "--dask", "localy", cwd=tmp_path)
    assert done.code == 2
    assert "--dask 'localy' is no cluster (local, local:N" in done.line()


def test_workers_of_this_machine_leave_nothing_behind(cells: Path, tmp_path: Path) -> None:
    """Two processes of our own, nothing on stdout but the cells, no folder when they are gone."""
    spool = tmp_path / "spool"
    spool.mkdir()
    done = fresh("normalize", cells, "-q", "--dask", "local:2", "--tmpdir", spool)
    assert done.code == 0 and done.err == ""
    again = fresh("normalize", cells, "-q", "--tmpdir", spool)
    assert done.out == again.out
    assert not list(spool.iterdir())


SBATCH = """#!/bin/sh
cp "$1" "$0.job"
setsid sh "$0.job" > "$0.log" 2>&1 &
echo "Submitted batch job $!"
"""


def test_jobs_of_slurm_work_out_blocks(models: Path, tmp_path: Path) -> None:
    """Against a stand-in that runs a job at once; the job is cancelled when all is done."""
    pytest.importorskip("dask_jobqueue")
    here = tmp_path / "bin"
    here.mkdir()
    (here / "sbatch").write_text(SBATCH)
    (here / "scancel").write_text('#!/bin/sh\necho "$1" > "$0.done"\nkill -- "-$1"\n')
    for path in here.iterdir():
        path.chmod(0o755)
    (tmp_path / "site.toml").write_text(
        "[slurm]\ncores = 1\nmemory = '1GB'\nworkers = 1\ninterface = 'lo'\n"
    )
    done = fresh(
        "predict", models / "r.scgx", models / "s.h5ad", "-q", "--dask", "slurm:site.toml",
        cwd=tmp_path, env={"PATH": f"{here}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out == fresh("predict", models / "r.scgx", models / "s.h5ad", "-q").out
    assert (here / "scancel.done").exists()


def test_a_search_is_made_by_workers(cells: Path, tmp_path: Path, workers: Any) -> None:
    """Every trial once, and the best is what its command line says."""
    workers.pool.client.wait_for_workers(2)
    out = tmp_path / "best.scgx"
    given: dict[str, Any] = {"label": "cell_type", "trials": 6, "quiet": True, "metric": "nll"}
    given |= {"table": tmp_path / "t.tsv", "dask": workers.address}
    scgx.tune("logistic", str(cells), str(out), **given)
    lines = (tmp_path / "t.tsv").read_text().splitlines()
    head = lines[0].split("\t")
    rows = [dict(zip(head, line.split("\t"))) for line in lines[1:]]
    assert sorted(int(row["trial"]) for row in rows) == list(range(6))
    assert {row["state"] for row in rows} == {"complete"}
    found = artifact.read(out)
    assert json.loads(found.header.history[-1])["search"]["trials"] == 6
    again = tmp_path / "again.scgx"
    words = json.loads(found.header.history[-1])["command"].split()
    assert fresh(*words[1:-1], again, "-q").code == 0
    assert artifact.read(again).members == found.members


def test_a_search_whose_head_was_killed_goes_on(cells: Path, tmp_path: Path, workers: Any) -> None:
    """-9 in the middle: workers stop by themselves, what was told is kept, the rest is tried."""
    words = [
        "tune", "logistic", cells, "--label", "cell_type", "--dask", workers.address, "-o",
        tmp_path / "b.scgx", "--metric", "nll", "--tmpdir", tmp_path,
    ]  # fmt: skip
    process = subprocess.Popen(
        command(*words, "--trials", "200"), env=environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    told = [process.stderr.readline() for _ in range(3)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert all("complete" in line for line in told), told
    workers.pool.client.submit(int).result()  # a worker has come to an end of what it was at
    before = _told(tmp_path)
    assert 3 <= len(before) < 200
    done = fresh(*words, "--trials", str(len(before) + 4), "-q")
    assert done.code == 0, done.err
    after = _told(tmp_path)
    assert before.items() <= after.items() and len(after) > len(before)
    assert not list(tmp_path.glob(".scgx-*"))


def _told(folder: Path) -> dict[int, float]:
    """Values by number of a journal."""
    values = {}
    for line in (folder / "b.scgx.study" / "journal.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("values"):
            values[record["trial_id"]] = record["values"][0]
    return values


def test_trees_of_two_workers_are_as_good_as_those_of_one_process(
    cells: Path, tmp_path: Path, workers: Any
) -> None:
    """The same for one seed; an artifact like any other, which classifies without Dask."""
    workers.pool.client.wait_for_workers(2)
    made = {}
    for name, where in (("here", None), ("there", workers.address), ("again", workers.address)):
        out = tmp_path / f"{name}.scgx"
        given = {"label": "cell_type", "set_": ["trees=15", "lr=0.3"], "quiet": True}
        scgx.train("xgboost", str(cells), str(out), dask=where, **given)
        made[name] = artifact.read(out)
    assert made["there"].members == made["again"].members
    assert made["there"].header.outputs.names == made["here"].header.outputs.names
    good = {name: _accuracy(cells, tmp_path, name) for name in ("here", "there")}
    assert good["here"] > 0.5
    assert abs(good["here"] - good["there"]) < 0.06


def test_trees_on_workers_without_their_libraries_are_refused_in_a_line(
    cells: Path, tmp_path: Path, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where pyarrow is not installed, which xgboost's training on Dask imports."""
    import sys

    monkeypatch.setitem(sys.modules, "xgboost.dask", None)
    monkeypatch.delitem(sys.modules, "scgx.models._xgboost_dask", raising=False)
    import scgx.models

    monkeypatch.delattr(scgx.models, "_xgboost_dask", raising=False)
    given = {"label": "cell_type", "quiet": True, "dask": workers.address}
    with pytest.raises(MachineError, match=r"xgboost.dask, which is not .*scgx\[scale\]"):
        scgx.train("xgboost", str(cells), str(tmp_path / "x.scgx"), **given)


def _accuracy(cells: Path, folder: Path, model: str) -> float:
    from scgx.h5ad.reader import open_cells

    out = folder / f"{model}.h5ad"
    scgx.classify(str(folder / f"{model}.scgx"), str(cells), str(out), quiet=True)
    with open_cells(out) as named:
        obs = named.obs
        test = obs.strings("split") == "test"
        return float((obs.strings("scgx_label") == obs.strings("cell_type"))[test].mean())


def test_models_that_cannot_are_refused(cells: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not train on Dask"):
        scgx.train("logistic", str(cells), str(tmp_path / "l"), label="cell_type", dask="local")
    with pytest.raises(UsageError, match="workers of its own"):
        scgx.tune(
            "logistic", str(cells), str(tmp_path / "l"), label="cell_type", dask="local", jobs=2
        )
    with pytest.raises(DataError, match="no GPU"):
        _on_a_gpu()


def _on_a_gpu() -> None:
    from types import SimpleNamespace

    from scgx.models import _xgboost_dask

    config: Any = SimpleNamespace(device="cuda")
    _xgboost_dask.grown(None, config, {}, None)  # type: ignore[arg-type]
