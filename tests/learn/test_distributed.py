"""Several processes learn what one learns: losses, weights, refusals; and one that fails ends all."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.processes import environment, fresh  # noqa: E402
from support.together import everything, start  # noqa: E402

from scgx.learn import launched  # noqa: E402
from scgx.learn.order import plan  # noqa: E402
from scgx.learn.shares import Share, chunks  # noqa: E402

pytestmark = pytest.mark.torch
WORKS = ("noise", "weights", "contrast", "norm", "no validation", "resumed")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return everything(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    begun = start([sys.executable, "-m", "support.together", str(folder)], 3)
    ended = [each.communicate(timeout=120)[1].decode() for each in begun]
    assert [each.returncode for each in begun] == [0, 0, 0], ended
    return [json.loads((folder / f"{i}.json").read_text()) for i in range(3)]


@pytest.mark.parametrize("work", WORKS)
def test_the_curve_is_that_of_one_process(alone, together, work):
    for records in (each[work] for each in together):
        assert len(records) == len(alone[work])
        for mine, one in zip(records, alone[work]):
            for key in mine.keys() - {"said"}:
                assert mine[key] == (one[key] and pytest.approx(one[key], rel=1e-4)), key
        assert records[-1]["said"] == pytest.approx(alone[work][-1]["said"], rel=1e-3, abs=1e-4)


def test_all_processes_end_with_the_same_weights(together):
    for work in WORKS:
        assert all(each[work] == together[0][work] for each in together)


def test_a_loss_that_is_not_finite_in_one_process_stops_all(together):
    assert all("the loss is nan at epoch 1" in each["not finite"] for each in together)


def test_fewer_rows_than_processes_are_refused(together):
    assert all("fewer training cells in a step" in each["too few"] for each in together)


def test_a_process_with_other_data_stops_all(together):
    assert all("have different data or settings" in each["other data"] for each in together)


@pytest.mark.parametrize(("n", "size", "total"), [(81, 16, 2), (20_000, 100, 3), (5, 8, 4)])
def test_every_row_is_in_one_share_and_batches_are_those_of_one_process(n, size, total):
    order = plan(np.arange(n), 0, 1)
    whole = [chunk[cut] for chunk, cuts in chunks(order, size) for cut in cuts]
    parts = [
        [chunk[cut] for chunk, cuts in chunks(order, size, share=Share(i, total)) for cut in cuts]
        for i in range(total)
    ]
    rows = np.concatenate([row for part in parts for row in part])
    assert sorted(rows) == list(range(n))
    assert np.array_equal(np.concatenate([part[0] for part in parts if part]), whole[0])
    dealt = [
        [chunk[c] for chunk, cuts in chunks(order, size, share=Share(i, total, True)) for c in cuts]
        for i in range(total)
    ]
    for i, batch in enumerate(whole):
        assert np.array_equal(dealt[i % total][i // total], batch)


def test_memory_changes_no_batch():
    order = plan(np.arange(20_000), 0, 1)
    found = [
        [chunk[cut].tolist() for chunk, cuts in chunks(order, 96, most=most) for cut in cuts]
        for most in (1, 500, 16_384)
    ]
    assert found[0] == found[1] == found[2]


def test_a_process_alone_has_no_place_among_others(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert launched.place() == launched.Place()


JOINED = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("ridge", "cells.h5ad", "--from", "atac", "--to", "rna"), "leave torchrun out"),
        (("mlp", "-", "--from", "atac", "--to", "rna"), "cannot share a pipe"),
    ],
)
def test_what_needs_one_process_says_so_once(tmp_path, argv, words):
    (tmp_path / "cells.h5ad").write_bytes(b"cells")
    first = fresh("train", *argv, "-o", "m.scgx", cwd=tmp_path, env=JOINED)
    assert (first.code, words in first.line()) == (2, True)
    second = fresh("train", *argv, "-o", "m.scgx", cwd=tmp_path, env={**JOINED, "RANK": "1"})
    assert (second.code, second.err) == (2, "")


def test_a_search_is_started_once(tmp_path):
    (tmp_path / "cells.h5ad").write_bytes(b"cells")
    argv = ("tune", "mlp", "cells.h5ad", "--label", "type", "-o", "m.scgx")
    first = fresh(*argv, cwd=tmp_path, env=JOINED)
    assert (first.code, "leave torchrun out" in first.line()) == (2, True)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    made = fresh("simulate", "--kind", "multiome", "--cells", "150", "--genes", "40", "--peaks",
                 "120", "-o", "drawn.h5ad", cwd=folder)  # fmt: skip
    assert made.code == 0, made.err
    assert fresh("split", "drawn.h5ad", "--by", "donor", "-o", "s.h5ad", cwd=folder).code == 0
    return folder / "s.h5ad"


def train(cells, folder, *more):
    return [
        *(
            sys.executable,
            "-m",
            "scgx",
            "train",
            "mlp",
            str(cells),
            "--from",
            "atac",
            "--to",
            "rna",
        ),
        *("--log", str(folder / "log.jsonl"), "-o", str(folder / "mlp.scgx"), *more),
    ]


def test_the_first_process_alone_writes_and_speaks(cells, tmp_path):
    begun = start(train(cells, tmp_path, "--epochs", "2"), 2)
    said = [each.communicate(timeout=120)[1].decode() for each in begun]
    assert [each.returncode for each in begun] == [0, 0], said
    assert "training on the cpu" in said[0]
    assert said[1] == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl", "mlp.scgx"]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_one_that_is_killed_ends_the_others_in_a_line_and_keeps_the_checkpoint(cells, tmp_path):
    begun = start(train(cells, tmp_path, "--epochs", "5000", "--set", "patience=5000"), 2)
    while not (tmp_path / "mlp.scgx.checkpoint").exists():
        assert begun[0].poll() is None, begun[0].communicate()[1].decode()
    begun[1].kill()
    said = begun[0].communicate(timeout=120)[1].decode()
    begun[1].communicate()
    assert begun[0].returncode == 1
    assert said.splitlines()[-1] == (
        "scgx train: another process of this training has ended (what it said is why)"
    )
    assert "Traceback" not in said
    assert not (tmp_path / "mlp.scgx").exists()
    assert (tmp_path / "mlp.scgx.checkpoint").exists()


@pytest.mark.slow
def test_torchrun_itself_starts_it(cells, tmp_path):
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [str(torchrun), "--nproc-per-node", "2", "-m", "--"]
    done = subprocess.run(
        [*command, *train(cells, tmp_path, "--epochs", "3")[2:]],
        env=environment(), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = (tmp_path / "log.jsonl").read_text().splitlines()
    alone = fresh(*train(cells, tmp_path, "--epochs", "3")[3:], timeout=300)
    assert alone.code == 0, alone.err
    one = (tmp_path / "log.jsonl").read_text().splitlines()
    for mine, other in zip(map(json.loads, two), map(json.loads, one), strict=True):
        assert mine["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)
