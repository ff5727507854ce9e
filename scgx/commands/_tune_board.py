"""The leader board of a search: best first, as a table, as JSON, as a file, as a picture."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from scgx import progress
from scgx.h5ad import streams

if TYPE_CHECKING:
    from scgx.learn.tune import Search
    from scgx.learn.tune_study import Row, Study

SHOWN = 10


class Board:
    """The trials of a study in the order of what they reached."""

    def __init__(self, study: Study, search: Search) -> None:
        self.study, self.metric = study, search.judge.metric
        rows = [row for row in study.rows() if row.state not in ("interrupted", "waiting")]
        self.rows = sorted(rows, key=self._place)
        self.knobs = list(study.plan.space)
        self.importance = study.importance()

    def _place(self, row: Row) -> tuple[bool, float, int]:
        value = 0.0 if row.value is None else -self.study.plan.direction * row.value
        return row.value is None, value, row.number

    def show(self, file: TextIO) -> None:
        """The best as a table, and what the value hung on."""
        lines = [self._cells(row) for row in self.rows[:SHOWN]]
        progress.table("", ["trial", "state", self.metric, *self.knobs], lines, file=file)
        if len(self.rows) > SHOWN:
            file.write(f"... and {len(self.rows) - SHOWN} more: --table FILE has all\n")
        if self.importance:
            shares = ", ".join(f"{name} {share:.0%}" for name, share in self.importance.items())
            file.write(f"the {self.metric} hangs on {shares}\n")

    def write(self, path: Path) -> None:
        """All trials as TSV."""
        lines = [["trial", "state", self.metric, *self.knobs, "reason", "command"]]
        lines += [[*self._cells(row, exact=True), row.reason, row.command] for row in self.rows]
        text = "".join("\t".join(" ".join(cell.split()) for cell in line) + "\n" for line in lines)
        with streams.sink(str(path)) as dst:
            dst.path.write_text(text, encoding="utf-8")

    def print_json(self, best: Row) -> None:
        """One object: the best, all trials, importance."""
        about = {
            "metric": self.metric,
            "direction": self.study.plan.direction,
            "best": best.number,
            "importance": self.importance,
            "trials": [
                {
                    "trial": row.number,
                    "state": row.state,
                    "value": row.value,
                    "knobs": row.values,
                    "reason": row.reason,
                    "command": row.command,
                    "epochs": row.epochs,
                }
                for row in self.rows
            ],
        }
        sys.stdout.write(json.dumps(about, indent=1) + "\n")

    def draw(self, path: Path) -> None:
        """History and importance as a picture."""
        from scgx.plots.search import Point, search

        points = [
            Point(row.number, row.value, self.study.is_default(row.number), row.values)
            for row in sorted(self.rows, key=lambda row: row.number)
            if row.state in ("complete", "pruned", "failed")
        ]
        search(
            points,
            self.importance,
            path,
            metric=self.metric,
            direction=self.study.plan.direction,
        )

    def _cells(self, row: Row, *, exact: bool = False) -> list[str]:
        value = "" if row.value is None else f"{row.value:.17g}" if exact else f"{row.value:.5g}"
        return [str(row.number), row.state, value, *self._values(row, exact=exact)]

    def _values(self, row: Row, *, exact: bool) -> Sequence[str]:
        found = [row.values.get(name, "") for name in self.knobs]
        return [f"{v:.4g}" if isinstance(v, float) and not exact else str(v) for v in found]
