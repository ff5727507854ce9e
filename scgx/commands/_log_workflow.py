"""The history of a file as a workflow: who makes which file from which, for make and for Snakemake.

A step is a pipeline of commands that ends in a file. Records name what they read; what a step wrote is
the -o of its last command, else what the next commands read and nobody else has made. A file that no
step makes is one that has to be there. What was written twice (in place) cannot be said as a workflow.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scgx.errors import DataError

Record = Mapping[str, Any]
STDIN = "stdin"  # what a record, and a source, call it


class Step(NamedTuple):
    """Commands joined by pipes, the files that they read, and the one that they write."""

    commands: tuple[str, ...]
    inputs: tuple[str, ...]
    output: str
    is_redirected: bool  # no command names it: `> output`

    @property
    def line(self) -> str:
        """As bash would run it."""
        into = f" > {shlex.quote(self.output)}" if self.is_redirected else ""
        return " | ".join(self.commands) + into


def inputs_of(record: Record) -> list[str]:
    """Names of what a command read, as its record has them."""
    given = record.get("inputs")
    return [str(one["name"]) for one in given] if isinstance(given, list) else []


def pipelines(records: Sequence[Record]) -> list[list[Record]]:
    """Records in a row, each of which read what the one before it had written to stdout."""
    found: list[list[Record]] = []
    for record in records:
        if found and STDIN in inputs_of(record) and not output_of(str(found[-1][-1]["command"])):
            found[-1].append(record)
        else:
            found.append([record])
    return found


def output_of(command: str) -> str:
    """The file that a command line names as its output; "" for stdout."""
    words = shlex.split(command)
    for i, word in enumerate(words):
        name = ""
        if word in ("-o", "--output"):
            name = words[i + 1] if i + 1 < len(words) else ""
        elif word.startswith("--output="):
            name = word.partition("=")[2]
        elif word.startswith("-o") and not word.startswith("--"):
            name = word[2:]
        if name:
            return "" if name == "-" else os.path.normpath(name)
    return ""


def steps(records: Sequence[Record], name: str) -> list[Step]:
    """The steps that make a file called `name`, in order; DataError where they are no workflow."""
    lines = pipelines(records)
    if not lines:
        raise DataError("has no history", fix="--no-history left it out", file=name)
    made = [output_of(str(line[-1]["command"])) for line in lines]
    wanting: list[int] = []  # steps that wrote to stdout
    for i, line in enumerate(lines):
        unknown = [name for name in dict.fromkeys(_read(line)) if name not in made]
        first = max(0, len(wanting) - len(unknown))
        for step, read in zip(wanting[first:], unknown):
            made[step] = read
        wanting = [step for step in wanting if not made[step]]
        if not made[i]:
            wanting.append(i)
    named = [bool(output_of(str(line[-1]["command"]))) for line in lines]
    verb = str(lines[-1][-1]["command"]).split()[1:2]
    result = f"result.{'scgx' if verb in (['train'], ['tune']) else 'h5ad'}"
    made[-1] = made[-1] or (result if name == STDIN else os.path.basename(name))
    for i in wanting[:-1] if wanting[-1:] == [len(lines) - 1] else wanting:
        made[i] = f"step-{i + 1}.h5ad"
    if twice := next((output for output in made if made.count(output) > 1), None):
        raise DataError(
            f"{twice} was written more than once, which no workflow can say",
            fix="--as sh",
            file=name,
        )
    return [
        _step(line, made, i, is_redirected=not is_named)
        for i, (line, is_named) in enumerate(zip(lines, named))
    ]


def script(records: Sequence[Record], name: str) -> list[str]:
    """A line of a shell for each pipeline, redirected where it was, if that is known."""
    lines = pipelines(records)
    try:
        found = [step.line for step in steps(records, name)]
    except DataError:
        found, before = [], ""
        for line in lines:
            said = [str(record["command"]) for record in line]
            if before and STDIN in inputs_of(line[0]):
                said[0] += f" < {before}"
            found.append(" | ".join(said))
            before = output_of(said[-1])
        return found
    if name == STDIN and not output_of(str(lines[-1][-1]["command"])):
        found[-1] = found[-1].rpartition(" > ")[0]
    return found


def _step(line: list[Record], made: list[str], i: int, *, is_redirected: bool) -> Step:
    output = made[i]
    commands = tuple(str(record["command"]) for record in line)
    if any("\n" in command or "\r" in command for command in commands):
        raise DataError("a command of its history has a line break in a word", fix="--as sh")
    words = [os.path.normpath(word) for command in commands for word in shlex.split(command)]
    read = [*_read(line), *(word for word in words if word in made)]
    if i and STDIN in inputs_of(line[0]):
        commands = (f"{commands[0]} < {shlex.quote(made[i - 1])}", *commands[1:])
        read.append(made[i - 1])
    return Step(
        commands, tuple(dict.fromkeys(n for n in read if n != output)), output, is_redirected
    )


def _read(line: Sequence[Record]) -> list[str]:
    """Files that commands read: those of their records, and models, which records do not list."""
    found = []
    for record in line:
        words = shlex.split(str(record["command"]))
        found += [name for name in inputs_of(record) if name != STDIN]
        found += [word for word in words[2:] if word.endswith(".scgx") and "=" not in word]
    own = output_of(str(line[-1]["command"]))
    return [name for name in map(os.path.normpath, found) if name != own]


def makefile(plan: Sequence[Step]) -> str:
    """A Makefile for GNU make; the last step is what it makes."""
    lines = [
        "# made by scgx log --as make",
        "SHELL := bash",
        ".SHELLFLAGS := -eu -o pipefail -c",
        ".DELETE_ON_ERROR:",
        f".DEFAULT_GOAL := {_target(plan[-1].output)}",
    ]
    for step in plan:
        lines += ["", f"{_target(step.output)}: {' '.join(map(_target, step.inputs))}".rstrip()]
        if folder := os.path.dirname(step.output):
            lines.append(f"\tmkdir -p {shlex.quote(folder).replace('$', '$$')}")
        lines.append("\t" + step.line.replace("$", "$$"))
    return "\n".join(lines) + "\n"


def _target(name: str) -> str:
    """A file name as make reads it."""
    for letter in "\\ #%:":
        name = name.replace(letter, f"\\{letter}")
    return name.replace("$", "$$")


def snakefile(plan: Sequence[Step]) -> str:
    """A Snakefile; the last step is what it makes."""
    lines = [
        "# made by scgx log --as snakemake",
        "rule all:",
        f"    input: {_literal(plan[-1].output)}",
    ]
    for number, step in enumerate(plan, 1):
        verb = step.commands[-1].split()[1:2] or ["step"]
        lines += ["", f"rule {''.join(c if c.isalnum() else '_' for c in verb[0])}_{number}:"]
        if step.inputs:
            lines.append(f"    input: {', '.join(map(_literal, step.inputs))}")
        lines.append(f"    output: {_literal(step.output)}")
        lines.append(f"    shell: {_literal(step.line)}")
    return "\n".join(lines) + "\n"


def _literal(text: str) -> str:
    """A string for Python, in which Snakemake finds nothing to fill in."""
    return json.dumps(text.replace("{", "{{").replace("}", "}}"))
