"""The same scores within each donor, age group or type."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from scgx.h5ad.frame import Frame
from scgx.metrics._panel import Design
from scgx.tasks._evaluate import Truth, evaluate
from scgx.tasks._rows import Rows, Some
from scgx.tasks._scores import Level

METRICS = ("pearson_per_feature", "pearson_per_cell", "rmse", "r2_oos")


def levels(
    truth: Truth,
    shown: Sequence[tuple[str, Rows]],
    columns: Sequence[str],
    obs: Frame,
    design: Design,
) -> Iterator[Level]:
    """Scores of everything `shown` for each level of each column of the scored cells' obs."""
    for column in columns:
        words = np.array(["missing" if w is None else w for w in obs.strings(column)], dtype=object)
        for level in sorted(set(words)):
            chosen = np.flatnonzero(words == level)
            part = truth.some(chosen)
            inside = replace(
                design, parts=np.zeros(len(chosen), dtype=np.intp), weights=np.zeros((0, 1)),
                types=None, type_names=(), rival=None,
            )  # fmt: skip
            values = {}
            for name, rows in shown:
                results = evaluate(part, Some(rows, chosen), inside, METRICS)
                values[name] = {key: result.value for key, result in results.items()}
            yield Level(column, str(level), len(chosen), values)
