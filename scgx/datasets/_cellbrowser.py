"""Any set of the UCSC Cell Browser by its address there: `ucsc:organoidreportcard/primary10X`.

A set is a text matrix with a table of its cells or, where it is large, Matrix Market with the same
table; which of the two is seen when it is asked for.
"""

import re
from dataclasses import replace

from scgx.datasets._dataset import Dataset, File
from scgx.errors import UsageError

PREFIX = "ucsc:"
_SITE = "https://cells.ucsc.edu"


def dataset(name: str) -> Dataset:
    """The set of that name; a UsageError where it cannot be one."""
    place = name.removeprefix(PREFIX).strip("/")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", place) or ".." in place:
        raise UsageError(f"{name!r} is no set of the cell browser", fix="ucsc:NAME/OF/SET")
    files = (_file(place, "matrix", "exprMatrix.tsv.gz"), _file(place, "meta", "meta.tsv"))
    return Dataset(
        name=f"{PREFIX}{place}",
        kind="rna",
        content="a set of the UCSC Cell Browser",
        files=files,
        recipe="text",
        licence="not stated (cite the authors)",
        citation="the authors of the set, see its page",
        page=f"{_SITE}/?ds={place.replace('/', '+')}",
    )


def otherwise(found: Dataset) -> Dataset | None:
    """The same set as Matrix Market; None for a set that is from elsewhere."""
    if not found.name.startswith(PREFIX) or found.recipe != "text":
        return None
    place = found.name.removeprefix(PREFIX)
    names = ("matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz", "meta.tsv")
    files = tuple(_file(place, name.partition(".")[0], name) for name in names)
    return replace(found, files=files, recipe="mtx")


def _file(place: str, part: str, name: str) -> File:
    form = name.partition(".")[2]
    return File(format=form, urls=(f"{_SITE}/{place}/{name}",), part=part)
