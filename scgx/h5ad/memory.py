"""How many bytes of data a command may hold at a time."""

import os
import re
from pathlib import Path

from scgx.errors import UsageError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_memory(text: str | None) -> int:
    """`2G`, `500M`, `2GiB` or bytes, as an integer; None is half of what there is."""
    if text is None:
        return default_memory()
    match = re.fullmatch(r"\s*([0-9]+\.?[0-9]*)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if not match:
        raise UsageError(f"--memory {text!r} is no size", fix="write 500M or 2G")
    size = int(float(match[1]) * _UNITS[match[2].upper()])
    if size < 16 << 20:
        raise UsageError(f"--memory {text} is under 16M, with which nothing can be done")
    return size


def default_memory() -> int:
    """Half of the memory that the machine, or the cgroup that we run in, has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = Path(limit)
        if path.is_file():
            words = path.read_text().strip()
            if words.isdigit():
                total = min(total, int(words))
    return total // 2
