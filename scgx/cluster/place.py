"""Where workers come from, by one word: this machine, SLURM, Kubernetes, or a scheduler that runs.

    local, local:N          N processes here (default: one per core)
    slurm, slurm:FILE       jobs of SLURM; FILE is TOML with a table [slurm]
    kubernetes[:FILE]       pods of Dask's operator; a table [kubernetes]
    tcp://HOST:PORT         a scheduler that somebody else has started

A profile holds what the launchers of Dask themselves take, under short names; what it leaves out comes
from Dask's own configuration. Nothing of Dask is needed to read a word or a profile.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scgx.errors import DataError, InputError, UsageError

Launcher = Literal["slurm", "kubernetes"]
Kind = Literal["local", "address"] | Launcher

WORDS = "local, local:N, slurm:FILE, kubernetes:FILE or tcp://HOST:PORT"

# of a profile: what Dask calls an option, and its type
SLURM: dict[str, tuple[str, type]] = {
    "queue": ("queue", str),
    "account": ("account", str),
    "cores": ("cores", int),
    "memory": ("memory", str),
    "walltime": ("walltime", str),
    "interface": ("interface", str),
    "directives": ("job_extra_directives", list),
    "prologue": ("job_script_prologue", list),
    "logs": ("log_directory", str),
    "python": ("python", str),
    "workers": ("", int),
}
KUBERNETES: dict[str, tuple[str, type]] = {
    "name": ("name", str),
    "namespace": ("namespace", str),
    "image": ("image", str),
    "resources": ("resources", dict),
    "env": ("env", dict),
    "claim": ("", str),
    "mount": ("", str),
    "workers": ("n_workers", int),
}
_TABLES: dict[Launcher, dict[str, tuple[str, type]]] = {
    "slurm": SLURM,
    "kubernetes": KUBERNETES,
}


@dataclass(frozen=True)
class Place:
    """Where to work: a kind, how many workers (None: its own default), an address, options."""

    kind: Kind
    workers: int | None = None
    address: str = ""
    options: Mapping[str, object] = field(default_factory=dict)  # as the profile spells them

    def as_dask(self) -> dict[str, Any]:
        """The options as Dask's launcher spells them, those left out that are ours."""
        known = SLURM if self.kind == "slurm" else KUBERNETES
        named = {known[key][0]: value for key, value in self.options.items()}
        return {key: value for key, value in named.items() if key}


def parse(word: str) -> Place:
    """A place of its word. UsageError for another word, DataError for a profile that says nonsense,
    InputError for one that cannot be read.
    """
    kind, _, rest = word.partition(":")
    if word == "local":
        return Place("local")
    if kind == "local" and rest.isdigit() and int(rest) > 0:
        return Place("local", int(rest))
    for launcher in _TABLES:
        if kind == launcher:
            options = _profile(Path(rest), launcher) if rest else {}
            workers = options.get("workers")
            return Place(launcher, workers if isinstance(workers, int) else None, options=options)
    if re.fullmatch(r"(\w+://)?[\w.\-\[\]:]+:\d+", word) and kind != "local":
        return Place("address", address=word)
    raise UsageError(f"--dask {word!r} is no cluster", fix=WORDS)


def _profile(path: Path, kind: Launcher) -> dict[str, object]:
    """The table of a launcher in a profile, checked."""
    name = str(path)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            "no such file", fix=f"--dask {kind}:FILE is a profile", file=name
        ) from None
    except OSError as error:
        words = (error.strerror or str(error)).lower()
        raise InputError(f"cannot be read: {words}", file=name) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is no TOML: {str(error).lower()}", file=name) from None
    if strange := sorted(told.keys() - _TABLES.keys()):
        raise DataError(
            f"has a table [{strange[0]}]", fix="there are [slurm] and [kubernetes]", file=name
        )
    table, known = told.get(kind), _TABLES[kind]
    if not isinstance(table, dict):
        raise DataError(f"has no table [{kind}]", fix=f"[{kind}], then its options", file=name)
    for key, value in table.items():
        if key not in known:
            raise DataError(
                f"[{kind}] knows no {key!r}", fix=f"it knows {', '.join(known)}", file=name
            )
        wanted = known[key][1]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise DataError(f"[{kind}] {key} is no {_NAMES[wanted]}", file=name)
        if isinstance(value, int) and value < 1:
            raise DataError(f"[{kind}] {key} is less than 1", file=name)
    if kind == "kubernetes" and ("claim" in table) != ("mount" in table):
        raise DataError("[kubernetes] claim and mount go together", file=name)
    return dict(table)


_NAMES = {str: "text", int: "whole number", list: "list", dict: "table"}
