"""What was fitted to the cells of a file, and on which of them: `uns["scgx"]["fitted"]`.

A score on test rows is honest only if nothing was learnt from them. Each command that learns something
(features, bounds, weights) leaves a record, and `score` reads them.
"""

import json
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells


class Rows(NamedTuple):
    """The rows that something may be learnt from, int64, and whether they are training rows alone."""

    rows: np.ndarray
    train: bool

    def __str__(self) -> str:
        count = f"{len(self.rows):,}"
        return f"{count} training cells" if self.train else f"{count} cells, as there is no split"


def training_rows(cells: Cells) -> Rows:
    """The training rows, or all where there is no split; a split may have none."""
    if "split" not in cells.obs:
        return Rows(np.arange(cells.n_obs), False)
    return Rows(np.flatnonzero(cells.obs.strings("split") == "train"), True)


def rows_to_fit(cells: Cells) -> Rows:
    """The same; DataError for a split without training rows."""
    found = training_rows(cells)
    if found.train and not len(found.rows):
        raise DataError("no cell is in train", fix="scgx split", file=cells.name)
    return found


def record(cells: Cells, by: str, rows: Rows) -> str:
    """What is recorded of a fit: by which method, on which rows, how many, of which split."""
    facts: dict[str, object] = {
        "by": by,
        "rows": "train" if rows.train else "all",
        "cells": len(rows.rows),
    }
    if rows.train and (split := _split_id(cells)):
        facts["split"] = split
    return json.dumps(facts, sort_keys=True)


def not_on_train(cells: Cells) -> list[str]:
    """In words, what was learnt from other rows than the training rows of this file's split."""
    kept = cells.scgx.get("fitted")
    said: list[str] = []
    for what, group in sorted(kept.items()) if isinstance(kept, dict) else []:
        for name, text in sorted(group.items()) if isinstance(group, dict) else []:
            try:
                facts = json.loads(str(text))
            except ValueError:
                continue
            if isinstance(facts, dict) and (rows := _elsewhere(facts, cells)):
                said.append(f"{_WORDS.get(what, f'{what} of {name} fitted')} on {rows}")
    return list(dict.fromkeys(said))


_WORDS = {"features": "features chosen", "bounds": "bounds of quality control fitted"}


def _elsewhere(facts: dict[str, object], cells: Cells) -> str:
    """Which rows, where they are not those that train now."""
    if facts.get("rows") == "all":
        return "all rows"
    here, then = _split_id(cells), facts.get("split")
    return "the training rows of another split" if here and then and here != then else ""


def _split_id(cells: Cells) -> str:
    text = cells.scgx.get("split")
    try:
        facts = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return ""
    return str(facts.get("id", "")) if isinstance(facts, dict) else ""
