"""Names of cells as numbers: what says whether a cell was trained on, without storing its name."""

from collections.abc import Iterable

import numpy as np
import xxhash


def hash_names(names: Iterable[str]) -> np.ndarray:
    """xxh3-64 of each name, uint64 (n,), in the order given."""
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter(
        (digest(name.encode("utf-8", "surrogatepass")) for name in names), dtype=np.uint64
    )


def make_unique(names: Iterable[str]) -> np.ndarray:
    """Names with `-1`, `-2` ... appended to repeats, as AnnData does; never makes a new clash."""
    names = list(names)
    taken = set(names)
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        count = seen.get(name)
        seen[name] = 0 if count is None else count
        fresh = name
        while count is not None and fresh in taken:
            seen[name] += 1
            fresh = f"{name}-{seen[name]}"
        taken.add(fresh)
        unique.append(fresh)
    return np.array(unique, dtype=object)
