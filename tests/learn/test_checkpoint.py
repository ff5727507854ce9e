"""One training at a time writes a checkpoint."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scgx.errors import MachineError
from scgx.learn.checkpoint import alone

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
