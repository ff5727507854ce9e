"""Arrays that were freed are no longer held."""

import subprocess
import sys

import pytest

SCRIPT = """
import numpy as np
from scgx.h5ad.malloc import give_back_freed
give_back_freed()
give_back_freed()
def held():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
np.ones(31 << 20, np.uint8)  # freed: glibc would keep arrays of this size in its heap from now on
before = held()
arrays = [np.ones(12 << 20, np.uint8) for _ in range(20)]
del arrays[::2]
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="there glibc may be what allocates")
def test_of_arrays_that_lie_between_others_nothing_is_kept():
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < (10 * 12 + 20) << 20
