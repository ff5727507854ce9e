"""Scores as tables for a person, as rows for a file, and as JSON for a program."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import NamedTuple

from scgx.progress import escape
from scgx.tasks._bootstrap import interval
from scgx.tasks._scores import BASELINE, CEILING, CONTROL, GUESS, ORACLE, Entry, Scores


class Table(NamedTuple):
    """A title, names of columns, and rows of words or numbers."""

    title: str
    columns: list[str]
    rows: list[list[object]]


def tables(scores: Scores, *, whole: bool = False) -> Iterator[Table]:
    """What is printed: the overview, each guess in detail, the levels; the long ones if `whole`."""
    yield _overview(scores)
    for entry in scores.of(GUESS):
        yield _detail(scores, entry)
        for extra in scores.extras:
            if extra.guess == entry.name and (whole or not extra.aside):
                rows = [list(row) for row in extra.rows]
                yield Table(f"{entry.name}: {extra.name}", list(extra.columns), rows)
    for extra in scores.extras:
        if not extra.guess:
            yield Table(extra.name, list(extra.columns), [list(row) for row in extra.rows])
    for column in dict.fromkeys(level.column for level in scores.levels):
        yield _levels(scores, column)


def _overview(scores: Scores) -> Table:
    """Metrics down, everything that was scored across."""
    shown = [*scores.of(GUESS), *scores.of(BASELINE, CONTROL), *scores.of(ORACLE)]
    ceiling = scores.of(CEILING)
    names = [entry.name for entry in shown]
    half = ["replicate"] if scores.replicate else []
    columns = ["metric", "better", *names, *half, *(entry.name for entry in ceiling)]
    rows: list[list[object]] = []
    for metric, protocol in scores.protocols.items():
        values = [_value(entry, metric) for entry in shown]
        replicate = scores.replicate.get(metric)
        values += [None if replicate is None else replicate.mean] * len(half)
        values += [_value(entry, metric) for entry in ceiling]
        rows.append([metric, protocol.direction, *values])
    title = f"{scores.n_cells:,} cells x {scores.n_features:,} {scores.what} ({scores.units})"
    return Table(title, columns, rows)


def _detail(scores: Scores, entry: Entry) -> Table:
    scaled = ["replicate", "scale"] if scores.replicate else []
    columns = ["metric", "value", "low", "high", "baseline", "best", *scaled, "n", "degenerate"]
    rows: list[list[object]] = []
    for metric in scores.protocols:
        result = entry.results[metric]
        bounds = interval(result.draws, result.value) or (None, None)
        best = scores.best_baseline(metric)
        replicate = scores.replicate.get(metric)
        scale, why = scores.scaled(entry, metric)
        ceiling = [
            None if replicate is None else replicate.mean, "no range" if why == "no range" else scale
        ]  # fmt: skip
        rows.append(
            [
                metric, result.value, *bounds,
                None if best is None else _value(best, metric),
                None if best is None else best.name,
                *(ceiling if scaled else ()), result.n, result.n_degenerate,
            ]
        )  # fmt: skip
    title = f"{entry.name}: 95 % interval over {scores.bootstrap}; "
    depth = " (half depth)" if scores.task == "modality" else ""
    title += f"scale 0 = best baseline, 1 = replicate{depth}; " if scores.replicate else ""
    title += f"coverage {entry.coverage:.1%}"
    return Table(title, columns, rows)


def _levels(scores: Scores, column: str) -> Table:
    levels = [level for level in scores.levels if level.column == column]
    names = list(levels[0].values)
    metrics = list(next(iter(levels[0].values.values())))
    rows: list[list[object]] = [
        [level.level, level.n, metric, *(level.values[name].get(metric) for name in names)]
        for level in levels
        for metric in metrics
    ]
    return Table(f"per {column}", [column, "n", "metric", *names], rows)


def words(table: Table) -> list[list[str]]:
    """Rows as short text: three digits for what is near one, a dash for what is not defined."""
    return [[_word(cell) for cell in row] for row in table.rows]


def tsv(scores: Scores) -> str:
    """All tables in one text, each under a line with # and its title; numbers in full."""
    parts = []
    for table in tables(scores, whole=True):
        lines = ["\t".join(map(escape, table.columns))]
        lines += ["\t".join("NA" if c is None else escape(str(c)) for c in r) for r in table.rows]
        parts.append(f"# {table.title}\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def to_json(scores: Scores) -> dict[str, object]:
    """Keyed by metric id: protocol, digest, and what every entry reached."""
    metrics = {}
    for metric, protocol in scores.protocols.items():
        replicate, best = scores.replicate.get(metric), scores.best_baseline(metric)
        metrics[metric] = {
            "protocol": asdict(protocol),
            "digest": protocol.digest,
            "direction": protocol.direction,
            "best_baseline": None if best is None else best.name,
            "replicate": None if replicate is None else replicate._asdict(),
            "values": {
                entry.name: _facts(scores, entry, metric)
                for entry in scores.entries
                if metric in entry.results
            },
        }
    plain = (
        "task", "truth", "headline", "modality", "units", "normalisation", "n_cells", "n_features",
        "bootstrap", "groups", "left_out", "seed", "notes",
    )  # fmt: skip
    return {
        **{name: getattr(scores, name) for name in plain},
        "coverage": {entry.name: entry.coverage for entry in scores.of(GUESS)},
        "kinds": {entry.name: entry.kind for entry in scores.entries},
        "metrics": metrics,
        "levels": [asdict(level) for level in scores.levels],
        "tables": [asdict(extra) for extra in scores.extras],
        "verdicts": [asdict(verdict) for verdict in scores.verdicts],
    }


def _facts(scores: Scores, entry: Entry, metric: str) -> dict[str, object]:
    result = entry.results[metric]
    facts: dict[str, object] = {
        "value": result.value,
        "interval": interval(result.draws, result.value),
        "n": result.n,
        "n_degenerate": result.n_degenerate,
    }
    if result.note:
        facts["note"] = result.note
    if entry.kind == GUESS:
        scale, why = scores.scaled(entry, metric)
        facts["scaled"] = scale
        if why:
            facts["scaled_note"] = why
    return facts


def _value(entry: Entry, metric: str) -> float | None:
    return entry.results[metric].value if metric in entry.results else None


def _word(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4f}" if abs(cell) < 100 else f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
