"""One spelling for a chromosome: `X`, `ChrX`, `23` and `NC_000023.11` are all `chrX`.

Files mix spellings, even within one column, and a plain `== "chrX"` then finds two features of
eight. Everything that compares chromosomes goes through `normalise` first. `chrX_random` is a
contig of its own and never chrX. What is not recognised keeps its name and is counted, so that it
can be said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

import numpy as np

from scgx.genome.tables import rows

MISSING = {"", ".", "na", "nan", "none", "null", "<na>", "n/a"}
_SEX_NUMBERS = {
    23: "chrX",
    24: "chrY",
    25: "chrX",
    26: "chrM",
}  # as PLINK numbers human chromosomes
_PREFIX = re.compile(r"(chr(?:omosome|om)?)[ _]?(?=[0-9IVXYWZMUL])", re.IGNORECASE)
_NUMBER = re.compile(r"0*(\d{1,3})(?:\.0)?")
_ARM = re.compile(r"\d{1,2}[A-Z]")
_ACCESSION = re.compile(r"(?!ENS)[A-Z]{1,4}_?\d{4,}(?:\.\d+|v\d+)?")
_CONTIG = re.compile(
    r"(?:chr)?(?:Un|HSCHR|HG\d|H_|scaffold|contig|ctg|tig|super)\w*[\w.-]*|EBV|chrEBV",
    re.IGNORECASE,
)
_MITOCHONDRION = {"M", "MT", "MITO", "MTDNA", "MITOCHONDRION"}


class Chroms(NamedTuple):
    """Chromosomes in one spelling: `names` (object array; None is missing) and what was odd."""

    names: np.ndarray
    unknown: dict[str, int]  # names that are neither chromosomes nor contigs, with their number
    renamed: dict[
        str, str
    ]  # numbers that were read as sex chromosomes or mitochondrion: 23 -> chrX


@cache
def _accessions() -> dict[str, str]:
    return {row["accession"]: row["chrom"] for row in rows("refseq.tsv")}


@cache
def canonical(name: str) -> str | None:
    """A chromosome (`chrX`) or a contig in its one spelling; None where the name is neither.

    A number stays a number here (`23` is `chr23`): only a whole column can tell whether it is X.
    """
    text = name.strip()
    accession = _accessions().get(text.split(".")[0])
    if accession:
        return accession
    prefix = _PREFIX.match(text)
    body = text[prefix.end() :] if prefix else text
    base, underscore, rest = body.partition("_")
    number = _NUMBER.fullmatch(base)
    if number:
        base = str(int(number[1]))
    elif base.upper() in _MITOCHONDRION:
        base = "M"
    elif base.upper() in {"X", "Y", "W", "Z"} or (base.upper() == "UN" and underscore):
        base = base.upper() if base.upper() != "UN" else "Un"
    elif not (_ARM.fullmatch(base) or (base and set(base) <= set("IVX"))):
        return text if _ACCESSION.fullmatch(text) or _CONTIG.fullmatch(text) else None
    if underscore and not (prefix or rest.endswith(("random", "alt", "fix", "hap"))):
        return None
    return f"chr{base}{underscore}{rest}"


def is_missing(name: object) -> bool:
    """True for None, NaN and the words that stand for them."""
    return name is None or name != name or str(name).strip().lower() in MISSING


def normalise(names: Iterable[object]) -> Chroms:
    """Chromosome names of any spelling, mixed or not, in one.

    Numbers 23 to 26 without a prefix are X, Y, X and M, as PLINK numbers them, unless the column
    belongs to a species with so many chromosomes (a prefixed `chr23`, or a number above 26).
    """
    raw = np.asarray(list(names), dtype=object)
    spelled: dict[object, str | None] = {}
    unknown: dict[str, int] = {}
    renamed: dict[str, str] = {}
    distinct = list(dict.fromkeys("" if is_missing(name) else str(name).strip() for name in raw))
    human = not has_many_chromosomes(distinct)
    for text in distinct:
        number = _NUMBER.fullmatch(text)
        if not text:
            spelled[text] = None
        elif human and number and int(number[1]) in _SEX_NUMBERS:
            spelled[text] = renamed[text] = _SEX_NUMBERS[int(number[1])]
        else:
            known = canonical(text)
            spelled[text] = known or text
            if known is None:
                unknown[text] = 0
    out = np.empty(len(raw), dtype=object)
    for i, name in enumerate(raw):
        text = "" if is_missing(name) else str(name).strip()
        out[i] = spelled[text]
        if text in unknown:
            unknown[text] += 1
    return Chroms(out, unknown, renamed)


def has_many_chromosomes(names: Iterable[str]) -> bool:
    """True where 23 is a chromosome of its own: dog, zebrafish, chicken.

    A prefixed `chr23` to `chr26` says so, and so does any number above 26; bare numbers up to 26
    alone do not, because PLINK writes human sex chromosomes like that.
    """
    for name in names:
        prefix = _PREFIX.match(name)
        number = _NUMBER.fullmatch(name[prefix.end() :] if prefix else name)
        if number and (int(number[1]) > 26 or (prefix and int(number[1]) >= 23)):
            return True
    return False


def resolve(query: str, available: Iterable[str | None]) -> str:
    """What a user means by a chromosome, in a file that has `available` (normalised) names."""
    known = {name for name in available if name}
    spelled = canonical(query) or query.strip()
    if spelled in known:
        return spelled
    number = _NUMBER.fullmatch(query.strip())
    if number and int(number[1]) in _SEX_NUMBERS and not has_many_chromosomes(known):
        return _SEX_NUMBERS[int(number[1])]
    return spelled


@cache
def rank(name: str) -> tuple[int, int, str]:
    """1 to n, other arms and letters, X, Y, M, then contigs by name."""
    body = name.removeprefix("chr") if name.startswith("chr") else ""
    if body.isdigit():
        return (0, int(body), "")
    if body in {"X", "Z", "Y", "W", "M"}:
        return (2, "XZYWM".index(body), "")
    if body and len(body) <= 5 and "_" not in body and body != "EBV":
        leading = re.match(r"\d+", body)
        return (1, int(leading[0]) if leading else 0, body)
    return (3, 0, name)


def ranks(names: np.ndarray) -> np.ndarray:
    """Place of every chromosome in genome order as int64; missing ones come last."""
    present = sorted({name for name in names if name is not None}, key=rank)
    place: dict[str | None, int] = {name: i for i, name in enumerate(present)}
    place[None] = len(present)
    return np.array([place[name] for name in names], dtype=np.int64)


def genome_order(chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The permutation that sorts by chromosome, start and end; stable, missing places last."""
    return np.lexsort((end, start, ranks(chrom)))
