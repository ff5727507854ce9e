"""The names that belong to a Matrix Market file: which files they lie in, and what those say."""

import contextlib
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from scgx.errors import DataError, InputError
from scgx.h5ad.features import WORDS
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.names import make_unique
from scgx.h5ad.text_header import identities
from scgx.progress import say, warn

_FEATURES = ("features", "genes", "gene", "peaks")
_BARCODES = ("barcodes", "cells", "barcode")
_SUFFIXES = (".tsv", ".txt", ".csv", ".bed", "")


Table: TypeAlias = list[list[str]]


class Files(NamedTuple):
    """The three files of a matrix."""

    matrix: Path
    features: Path
    barcodes: Path


def find(path: Path, name: str, genome: str | None = None) -> Files:
    """The three files of a folder, of a folder of folders by genome, or beside a matrix."""
    matrix = _in_folder(path, name, genome) if path.is_dir() else path
    stem = re.sub(r"(\.mtx)?(\.gz)?$", "", matrix.name)
    prefix = re.sub(r"(?i)(expr)?(matrix|mtx|counts?)$", "", stem)
    sides = []
    for words, tail, usual in (
        (_FEATURES, "_rows", "features.tsv"),
        (_BARCODES, "_cols", "barcodes.tsv"),
    ):
        options = [f"{stem}.mtx{tail}"]
        options += [f"{prefix}{word}{suffix}" for word in words for suffix in _SUFFIXES]
        options += [f"{stem}{mark}{word}.tsv" for word in words for mark in "_."]
        options += [f"{word}{suffix}" for word in words for suffix in _SUFFIXES]
        beside = (matrix.with_name(option + gz) for option in options for gz in ("", ".gz"))
        found = next((one for one in beside if one != matrix and one.is_file()), None)
        if found is None:
            what = f"is Matrix Market text, and no {usual} lies beside it"
            fix = "name the folder of matrix.mtx"
            raise InputError(what, fix=fix, file=name)
        sides.append(found)
    return Files(matrix, *sides)


def _in_folder(folder: Path, name: str, genome: str | None) -> Path:
    here = sorted(one for one in folder.iterdir() if re.search(r"\.mtx(\.gz)?$", one.name))
    if len(here) > 1:
        usual = [one for one in here if re.search(r"(^|[._-])matrix\.mtx(\.gz)?$", one.name)]
        here = usual or here
    if len(here) == 2 and here[1].name == here[0].name + ".gz":
        here = here[:1]
    if len(here) > 1:
        names = ", ".join(one.name for one in here[:3])
        raise DataError(f"holds several matrices: {names}", fix="name one of them", file=name)
    if here:
        return here[0]
    genomes = {one.parent.name: one for one in sorted(folder.glob("*/*matrix.mtx*"))}
    if genome is None and len(genomes) > 1:
        fix = f"choose one with --10x-genome {next(iter(genomes))}"
        raise DataError(f"holds several matrices: {', '.join(genomes)}", fix=fix, file=name)
    if genome is not None and genome not in genomes:
        has = ", ".join(genomes) or "none"
        raise DataError(f"has no folder {genome!r}", fix=f"it has {has}", file=name)
    chosen = genomes[genome or next(iter(genomes))]
    if genome is None:
        say(f"{name}: {chosen.parent.name} in it is read")
    return chosen


def is_matrix(path: Path, name: str) -> bool:
    """Does a file, or what its gzip holds, begin as Matrix Market does?"""
    with open_plain(path, name) as text:
        return text.read(14).lower() == b"%%matrixmarket"


@contextlib.contextmanager
def open_plain(path: Path, name: str) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked where it is gzip; a stream that is cut or damaged is one line."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with igzip.open(path, "rb") if packed else open(path, "rb") as text:
            yield text  # type: ignore[misc]
    except EOFError:
        raise InputError("truncated: its gzip stream has no end", file=name) from None
    except (zlib.error, gzip.BadGzipFile, IsalError) as error:  # type: ignore[misc]
        raise InputError(f"its gzip stream is damaged: {error}", file=name) from None


def words_of(lines: Table) -> np.ndarray:
    """The first field of every line, for names of cells; repeated ones are made unique."""
    return _unique([fields[0] for fields in lines], "names of cells")


def features_of(lines: Table) -> Frame:
    """id, symbol (`gene_name`), type and, from Cell Ranger ARC, the place of every feature."""
    width = min(map(len, lines), default=1)
    fields = list(zip(*(line[:width] for line in lines), strict=True)) or [()]
    ids, symbols = identities(np.array(fields[0], dtype=object))  # UCSC writes ENSG1|SYMBOL
    frame = Frame(_unique(ids.tolist(), "feature ids"))
    if width > 1 or symbols is not None:
        names = np.array(fields[1], dtype=object) if symbols is None else symbols
        frame = frame.with_column("gene_name", names)
    kinds = fields[2] if width > 2 else [WORDS["rna"]] * len(lines)
    frame = frame.with_column("feature_types", categorical(kinds))
    if width > 5 and all(re.fullmatch("[0-9]*", word) for word in (*fields[4], *fields[5])):
        frame = frame.with_column("chrom", categorical(word or None for word in fields[3]))
        for column, words in (("start", fields[4]), ("end", fields[5])):
            places = np.array([int(word) if word else -1 for word in words], dtype=np.int64)
            frame = frame.with_column(column, places)
    return frame


def read_lines(path: Path, name: str) -> Table:
    """The fields of every line."""
    with open_plain(path, f"{name}: {path.name}") as file:
        text = file.read()
    try:
        words = text.decode("utf-8-sig")
    except UnicodeDecodeError:
        words = text.decode("latin-1")
    mark = "," if ".csv" in path.name else "\t"
    lines = words.replace("\r\n", "\n").rstrip("\n").split("\n")
    return [[field.strip('"') for field in line.split(mark)] for line in lines] if words else []


def _unique(words: list[str], what: str) -> np.ndarray:
    if len(set(words)) < len(words):
        warn(f"{what} repeat; they got -1, -2 ...")
        return make_unique(words)
    return np.array(words, dtype=object)
