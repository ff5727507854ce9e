"""Which rows train and which validate: what `scgx split` stored, else a part carved here."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.progress import say

PARTS = ("train", "val", "test")


class Parts(NamedTuple):
    """Rows of each part, int64 sorted; the grouping of the split; its id ("" without one)."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    groups: np.ndarray | None
    id: str
    by: str | None


def parts_of(cells: Cells) -> Parts | None:
    """The stored split, or None where the file has none."""
    if "split" not in cells.obs:
        return None
    words = cells.obs.strings("split")
    strange = sorted({str(w) for w in words if w not in (*PARTS, None)})
    if strange:
        raise DataError(
            f"obs['split'] has {strange[0]!r}", fix="scgx split writes it", file=cells.name
        )
    rows = [np.flatnonzero(words == part) for part in PARTS]
    if without := int((words == None).sum()):  # noqa: E711 - element by element
        say(f"{without:,} of {len(words):,} cells have no part in obs['split']: left out")
    about = describe(cells)
    by = about.get("by")
    groups = cells.obs.strings(str(by)) if by and str(by) in cells.obs else None
    return Parts(
        rows[0], rows[1], rows[2], groups, str(about.get("id", "")), str(by) if by else None
    )


def describe(cells: Cells) -> dict[str, object]:
    """uns["scgx"]["split"] as a dict; empty where absent or foreign."""
    text = cells.scgx.get("split")
    if not isinstance(text, str):
        return {}
    try:
        about = json.loads(text)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def for_training(cells: Cells, seed: int) -> Parts:
    """The stored split; without one every row trains, but for a tenth that validates."""
    stored = parts_of(cells)
    if stored is None:
        order = np.random.default_rng(seed).permutation(cells.n_obs)
        held = max(1, cells.n_obs // 10) if cells.n_obs >= 20 else 0
        say("no split in the file: trains on every row, a random tenth of them validates")
        return Parts(np.sort(order[held:]), np.sort(order[:held]), order[:0], None, "", None)
    if not len(stored.train):
        raise DataError("the split has no train rows", fix="scgx split", file=cells.name)
    return stored
