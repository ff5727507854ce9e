"""`scgx check`: is a file whole, as `samtools quickcheck` asks of a BAM."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from scgx.commands import _options as opt

PANEL = "look"

_BITS = {"missing": 1, "kind": 2, "truncated": 4, "corrupt": 8, "unsigned": 0, "whole": 0}


def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="h5ad or .scgx files; one may be -")
    ],
    json: opt.JsonOpt = False,
    quiet: opt.QuietOpt = False,
) -> None:
    """Say whether files are whole, truncated, corrupt or unsigned; reads them once.

    The exit code is 0 when all are whole or unsigned, else the sum of what was found:
    1 cannot be read, 2 not cells and no model, 4 truncated, 8 corrupt.

    Example:
    scgx fetch demo -o demo.h5ad && scgx check demo.h5ad
    """
    bits, found = 0, []
    for name in files:
        state, detail = _look_at(name)
        bits |= _BITS[state]
        found.append({"file": name, "state": state, "detail": detail})
        if not quiet and not json:
            sys.stdout.write(f"{name}\t{state}\t{detail}\n")
    if json:
        import json as encoder

        sys.stdout.write(encoder.dumps(found, indent=1) + "\n")
    if bits:
        raise typer.Exit(bits)


def _look_at(name: str) -> tuple[str, str]:
    """State and detail of one file; one that is not there is answered before anything is loaded."""
    if name != "-" and not Path(name).exists():
        return "missing", "no such file"
    from scgx.learn.describe import verdict_of

    verdict = verdict_of(name)
    return verdict.state, verdict.detail
