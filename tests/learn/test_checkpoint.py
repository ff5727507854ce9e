"""One training at a time writes a checkpoint."""

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from scgx.errors import MachineError
from scgx.learn.checkpoint import Snapshot, alone, keep, unpack
from scgx.progress import Report

HOLD = """
import sys, time
from pathlib import Path
from scgx.learn.checkpoint import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_training_to_the_same_output_is_refused_and_another_is_not(tmp_path: Path) -> None:
    with alone(tmp_path / "m.scgx"):
        with pytest.raises(MachineError, match="another training writes this model"):
            alone(tmp_path / "m.scgx").__enter__()
        with alone(tmp_path / "n.scgx"):
            pass
    with alone(tmp_path / "m.scgx"):
        pass
    assert os.listdir(tmp_path) == []


def test_the_lock_of_a_killed_training_is_free(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path / "m.scgx")]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(MachineError):
            alone(tmp_path / "m.scgx").__enter__()
        holder.kill()
    with alone(tmp_path / "m.scgx"):
        pass
    assert os.listdir(tmp_path) == []


def test_a_folder_that_takes_no_lock_stops_nobody(tmp_path: Path) -> None:
    with alone(tmp_path / "absent" / "m.scgx"):
        pass


def test_a_snapshot_is_written_without_a_second_copy_of_all_and_read_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {f"weights/{i}.bias": rng.random(250_000) for i in range(10)}
    arrays["best/0"] = np.arange(3, dtype=np.int64)
    state = Snapshot({"of": "this", "step": 2}, arrays)
    tracemalloc.start()
    keep(tmp_path / "c", state, Report(), what="weights")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000  # of 20,000,000 bytes
    found = unpack((tmp_path / "c").read_bytes(), tmp_path / "c")
    assert found.plain == state.plain and found.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(found.arrays[name], array)
    assert os.listdir(tmp_path) == ["c"]
