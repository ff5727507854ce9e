"""`scgx log`: how a file was made."""

import sys

from scgx.commands import _options as opt
from scgx.h5ad import streams

PANEL = "look"


def log(
    input: opt.InputArg = "-",
    json: opt.JsonOpt = False,
    tmpdir: opt.TmpdirOpt = None,
) -> None:
    """Print how a file was made, as a shell script (or its records with --json).

    Example:
    scgx fetch demo | scgx filter-chrom X | scgx log
    """
    streams.use_tmpdir(tmpdir)
    with streams.source(input) as src:
        from scgx.learn.describe import records_of

        records = records_of(src.path, src.name)
        if json:
            import json as encoder

            sys.stdout.write(encoder.dumps(records, indent=1, sort_keys=True) + "\n")
            return
        lines = ["#!/bin/sh"]
        for i, record in enumerate(records):
            inputs = record.get("inputs")
            names = inputs if isinstance(inputs, list) else []
            piped = bool(i) and [given["name"] for given in names] == ["stdin"]
            if piped:  # it read what the command before it had written
                lines[-1] += f" | {record['command']}"
                continue
            read = ", ".join(f"{given['name']} ({str(given['id'])[:16]})" for given in names)
            lines.append(
                f"# {record['program']} {record['version']}" + (f"; read {read}" if read else "")
            )
            lines.append(str(record["command"]))
        if not records:
            lines.append("# no history in this file")
        sys.stdout.write("\n".join(lines) + "\n")
