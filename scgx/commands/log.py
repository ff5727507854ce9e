"""`scgx log`: how a file was made."""

import sys
from typing import Annotated, Literal

import typer

from scgx.commands import _options as opt
from scgx.commands._completion import words
from scgx.h5ad import streams

PANEL = "look"

FORMS = ("sh", "make", "snakemake")


def log(
    input: opt.InputArg = "-",
    form: Annotated[
        Literal["sh", "make", "snakemake"],
        typer.Option("--as", help="a script or a workflow", autocompletion=words(*FORMS)),
    ] = "sh",
    json: opt.JsonOpt = False,
    tmpdir: opt.TmpdirOpt = None,
) -> None:
    """Print how a file was made, as a shell script (or its records with --json).

    What a step wrote to stdout gets the name under which the next one read it. --as make and --as
    snakemake print a workflow that makes the file again, step by step. Files that no step makes have
    to be there.

    Example:
    scgx fetch demo | scgx filter-chrom X | scgx log
    scgx log ridge.scgx --as make
    """
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src:
        from scgx.commands import _log_workflow as workflow
        from scgx.errors import UsageError
        from scgx.learn.describe import records_of

        if json and form != "sh":
            raise UsageError(f"--json and --as {form} are two forms", fix="leave one out")
        records = records_of(src.path, src.name)
        if json:
            import json as encoder

            sys.stdout.write(encoder.dumps(records, indent=1, sort_keys=True) + "\n")
            return
        if form != "sh":
            made = workflow.steps(records, src.name)
            write = workflow.makefile if form == "make" else workflow.snakefile
            sys.stdout.write(write(made))
            return
        lines = ["#!/bin/sh"]
        said = workflow.script(records, src.name)
        for line, piped in zip(said, workflow.pipelines(records)):
            for record in piped:
                names = [one for one in record.get("inputs") or [] if one["name"] != "stdin"]
                read = ", ".join(f"{given['name']} ({str(given['id'])[:16]})" for given in names)
                if record is piped[0] or read:
                    about = f"# {record['program']} {record['version']}"
                    lines.append(about + (f"; read {read}" if read else ""))
                if isinstance(search := record.get("search"), dict):
                    lines.append(f"# trial {search['trial']} of {search['command']}")
            lines.append(line)
        if not records:
            lines.append("# no history in this file")
        sys.stdout.write("\n".join(lines) + "\n")
