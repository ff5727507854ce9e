"""`scgx check`: is a file whole, as `samtools quickcheck` asks of a BAM."""

import sys
from typing import Annotated

import typer

from scgx.commands import _options as opt

PANEL = "look"

_BITS = {"missing": 1, "kind": 2, "truncated": 4, "corrupt": 8, "unsigned": 0, "whole": 0}


def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="h5ad or .scgx files")],
    json: opt.JsonOpt = False,
    quiet: opt.QuietOpt = False,
) -> None:
    """Say whether files are whole, truncated, corrupt or unsigned; reads them once.

    The exit code is 0 when all are whole or unsigned, else the sum of what was found:
    1 cannot be read, 2 not cells and no model, 4 truncated, 8 corrupt.

    Example:
    scgx fetch demo -o demo.h5ad && scgx check demo.h5ad
    """
    from scgx.learn.describe import verdict_of

    bits, found = 0, []
    for name in files:
        verdict = verdict_of(name)
        bits |= _BITS[verdict.state]
        found.append({"file": name, "state": verdict.state, "detail": verdict.detail})
        if not quiet and not json:
            sys.stdout.write(f"{name}\t{verdict.state}\t{verdict.detail}\n")
    if json:
        import json as encoder

        sys.stdout.write(encoder.dumps(found, indent=1) + "\n")
    if bits:
        raise typer.Exit(bits)
