"""How many processes were started to learn one model together, as `torchrun` says it.

A launcher tells its processes who they are through the environment; nothing here loads torch.
"""

import os
from typing import NamedTuple

from scgx.errors import UsageError


class Place(NamedTuple):
    """This process: its number of all, and its number of those on this machine."""

    number: int = 0
    total: int = 1
    local: int = 0
    local_total: int = 1

    @property
    def is_first(self) -> bool:
        """Is it the one that speaks and writes?"""
        return self.number == 0


def place() -> Place:
    """Where this process stands; (0 of 1) where it was started by itself."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    said = [os.environ.get(name) for name in names]
    if said[0] is None or said[1] is None or "MASTER_ADDR" not in os.environ:
        return Place()
    try:
        number, total = int(said[0]), int(said[1])
        local, local_total = int(said[2] or number), int(said[3] or total)
    except ValueError:
        told = ", ".join(f"{name}={value}" for name, value in zip(names, said))
        raise UsageError(f"a launcher said {told}", fix="start it with torchrun") from None
    return Place(number, total, local, local_total)
