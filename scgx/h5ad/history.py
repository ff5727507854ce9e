"""What made a file, from what: one record per command in uns["scgx"]["history"], as samtools' @PG.

No clock and no host: the same input and seed give the same bytes. An array of JSON strings, since that
is what every version of AnnData carries through.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from scgx import __version__, invocation
from scgx.errors import InputError
from scgx.h5ad import trailer
from scgx.h5ad.writer import Writer

Units = Mapping[str, Mapping[str, str]]


class Input(Protocol):
    """What a record names: cells, or a file of another kind."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def scgx(self) -> dict[str, object]: ...


class Origin(NamedTuple):
    """An input that is no AnnData and has no history of its own, such as text."""

    name: str
    fingerprint: str

    @classmethod
    def of(cls, path: Path, name: str) -> "Origin":
        """A file by its name and a hash of its size and both ends."""
        return cls(name, trailer.fingerprint(path))

    @property
    def scgx(self) -> dict[str, object]:
        """Nothing that scgx has written."""
        return {}


def records(cells: Input) -> list[dict[str, object]]:
    """The history of a file, oldest first."""
    lines = cells.scgx.get("history", [])
    try:
        found = [json.loads(line) for line in np.atleast_1d(np.asarray(lines, object)).tolist()]
    except (ValueError, TypeError):
        raise InputError(
            "uns['scgx/history'] is no list of JSON", fix="remove uns['scgx']", file=cells.name
        ) from None
    return [record for record in found if isinstance(record, dict)]


def record(inputs: Sequence[Input], seed: int | None = None) -> dict[str, object]:
    """This command's own record."""
    made: dict[str, object] = {
        "program": "scgx",
        "version": __version__,
        "command": invocation.command_line(),
        "inputs": [{"name": cells.name, "id": cells.fingerprint} for cells in inputs],
    }
    if seed is not None:
        made["seed"] = seed
    return made


def chain(inputs: Sequence[Input], seed: int | None = None) -> list[str]:
    """The records of all inputs, once each, and this command's, as JSON strings."""
    lines: dict[str, None] = {}
    for cells in inputs:
        for old in records(cells):
            lines[json.dumps(old, sort_keys=True)] = None
    lines[json.dumps(record(inputs, seed), sort_keys=True)] = None
    return list(lines)


def sign(
    out: Writer,
    inputs: Sequence[Input],
    *,
    seed: int | None = None,
    units: Units | None = None,
    keep: bool = True,
    before: Sequence[str] = (),
) -> None:
    """Write history (unless `keep` is False: then none at all) and units of what changed.

    `before` are records of other inputs, such as a model's.
    """
    if units:
        for layer, words in units.items():
            for modality, word in words.items():
                out.uns(f"scgx/units/{layer}/{modality}", word)
    if keep:
        lines = dict.fromkeys([*before, *chain(inputs, seed)])
        out.uns("scgx/history", np.array(list(lines), dtype=object))
    elif "uns" in out.h5 and "scgx" in out.h5["uns"] and "history" in out.h5["uns"]["scgx"]:
        del out.h5["uns"]["scgx"]["history"]
