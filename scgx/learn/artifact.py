"""A trained model is one file: a stored zip whose header names its class.

`scgx.json` comes first: format, model, config, features in and out, units, what it was trained on, and
the sha256 of every member. Then safetensors and JSON. Never a pickle: opening a model runs no code and
reads no other file. Hashes find accidents; that nothing but numbers and text can be in here is what
stops enemies. The zip has no clock in it, so the same training gives the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from scgx.errors import InputError, UnsafeError
from scgx.h5ad.sniff import text_kind

FORMAT = 1
HEADER = "scgx.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_MAX_HEADER = 256 << 20


@dataclass(frozen=True)
class Table:
    """Features of one side of a model, in the order in which it takes or gives them."""

    modality: str
    units: str
    names: list[str]
    chrom: list[str | None] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    strand: list[str | None] = field(default_factory=list)
    tss: list[int] = field(default_factory=list)
    gene_name: list[str | None] = field(default_factory=list)
    gene_id: list[str | None] = field(default_factory=list)
    at: str = ""  # the matrix that held them where that was not X: layers/NAME, obsm/KEY


@dataclass(frozen=True)
class Labels:
    """What a classifier knows of its classes, whose names are those of the outputs.

    `before` and `after` are the reliability on validation cells without and with the temperature.
    """

    column: str
    counts: list[int]  # training cells per class
    coarse: dict[str, str]  # fine to coarse; empty without a map
    temperature: float
    before: dict[str, float]
    after: dict[str, float]


@dataclass(frozen=True)
class Condition:
    """A column of obs that a generator was told: its levels, and training cells of each."""

    column: str
    levels: list[str]
    counts: list[int]


@dataclass(frozen=True)
class Screened:
    """What a model of responses was told: the column of perturbations, and training cells of each.

    `strata` are the combinations of levels of the covariates in which controls and perturbed cells
    were compared; `control` is the label of the unperturbed, where somebody had to say it.
    """

    column: str
    controls: int
    counts: dict[str, int]
    covariates: list[str]
    strata: list[list[str]]
    control: str = ""


@dataclass(frozen=True)
class Header:
    """What a model is and where it comes from; readable without restoring it."""

    model: str
    task: str
    config: dict[str, object]
    inputs: Table
    outputs: Table
    version: str
    seed: int
    genome: str
    split: str  # id of the split it was trained on, "" without one
    trained_on: dict[str, int]  # cells per part
    totals: (
        str  # depth: "obs" from obs["total_counts_..."], "whole" of features left out too, "sum"
    )
    history: list[str]
    records: list[dict[str, object]]  # the training log, one per epoch
    format: int = FORMAT
    members: dict[str, str] = field(default_factory=dict)
    labels: Labels | None = None  # of a classifier
    conditions: list[Condition] = field(default_factory=list)  # of a generator, the label first
    target_totals: str = ""  # of a joint model: `totals` of its outputs
    response: Screened | None = None  # of a model of responses


@dataclass(frozen=True)
class Artifact:
    """A model file in memory: its header, a summary of its training rows, its members."""

    header: Header
    summary: dict[str, np.ndarray]
    members: dict[str, bytes]
    name: str = "model"  # the file, for messages

    @property
    def id(self) -> str:
        """A short identity of the model: a hash of everything in it."""
        digest = hashlib.sha256(json.dumps(self.header.members, sort_keys=True).encode())
        digest.update(json.dumps(self.header.config, sort_keys=True).encode())
        return digest.hexdigest()[:16]


def pack_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as safetensors."""
    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def unpack_arrays(data: bytes) -> dict[str, np.ndarray]:
    """Named arrays out of safetensors; an InputError when it is none, or holds NaN."""
    try:
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"weights are corrupt: {str(error)[:100]}") from None
    for name, array in arrays.items():
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise InputError(f"weights hold NaN, in {name!r}")
    return arrays


def timeless(records: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """What epochs learned; how fast they were stays in --log, since same seed means same bytes."""
    clock = ("cells_per_s", "wait_share")
    return [{k: v for k, v in record.items() if k not in clock} for record in records]


def held(
    header: Header, summary: Mapping[str, np.ndarray], members: Mapping[str, bytes]
) -> Artifact:
    """A model that is used at once, as it would be read from its file."""
    payload = {"summary.safetensors": pack_arrays(summary), **members}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in payload.items()}
    return Artifact(replace(header, members=hashes), dict(summary), dict(members))


def write(
    path: Path, header: Header, summary: Mapping[str, np.ndarray], members: Mapping[str, bytes]
) -> None:
    """Write a model file; `members` are what the model's `save` gave."""
    payload = {"summary.safetensors": pack_arrays(summary), **members}
    described = asdict(held(header, summary, members).header)
    for newer in ("conditions", "target_totals", "response"):
        if not getattr(header, newer):
            del described[newer]  # versions that do not know it read all other models
    if header.response and not header.response.control:
        del described["response"]["control"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        head = json.dumps(described, sort_keys=True, indent=1).encode()
        for name, data in {HEADER: head, **payload}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)


def read(path: Path, name: str | None = None) -> Artifact:
    """Read and check a model file.

    Raises InputError for what is cut, altered or newer, UnsafeError for what could run code.
    """
    name = name or str(path)
    with open(path, "rb") as file:
        head = file.read(64)
    if not head.startswith(b"PK\x03\x04"):
        _refuse(head, name)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, name)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        words = str(error)[:80]
        raise InputError(f"is cut or damaged: {words}", fix="train it again", file=name) from None
    header = _header(members.pop(HEADER, None), name)
    if set(header.members) != set(members):
        raise InputError("its members are not those that its header lists", file=name)
    for member, data in members.items():
        if hashlib.sha256(data).hexdigest() != header.members[member]:
            raise InputError(
                f"{member} differs from what was written", fix="train it again", file=name
            )
    try:
        summary = unpack_arrays(members.pop("summary.safetensors"))
    except KeyError:
        raise InputError("has no summary of its training rows", file=name) from None
    return Artifact(header, summary, members, name)


def _refuse(head: bytes, name: str) -> None:
    if not head:
        raise InputError("is empty", file=name)
    if head.startswith(b"\x89HDF"):
        raise InputError(
            "is HDF5 (cells?) and no model", fix="give the .scgx file first", file=name
        )
    kind = text_kind(head)
    if kind == "a pickle":
        raise UnsafeError("is a pickle, which could run code", file=name)
    raise InputError(f"is {kind} and no model", file=name)


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, bytes]:
    """Every member, none of which can be a path, a link, packed, or of an absurd size."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if any(n.endswith((".pkl", ".pickle", ".joblib", "/data.pkl")) for n in names):
        raise UnsafeError("holds a pickle (a torch file?), which could run code", file=name)
    if HEADER not in names:
        raise InputError("is a zip and no model of scgx", file=name)
    if len(set(names)) != len(names):
        raise UnsafeError("names a member twice", file=name)
    size = Path(archive.filename or "").stat().st_size
    found = {}
    for entry in entries:
        plain = "/" not in entry.filename and "\\" not in entry.filename
        if not plain or entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise UnsafeError(f"member {entry.filename!r} is no plain stored file", file=name)
        if entry.file_size > size:
            raise UnsafeError(
                f"member {entry.filename!r} declares {entry.file_size:,} bytes", file=name
            )
        found[entry.filename] = archive.read(entry)
    return found


def _header(data: bytes | None, name: str) -> Header:
    if data is None or len(data) > _MAX_HEADER:
        raise InputError("has no header", file=name)
    try:
        fields = json.load(io.BytesIO(data))
        newer = int(fields.get("format", 0)) > FORMAT
        if newer:
            raise InputError(
                f"was made by scgx {fields.get('version')}", fix="update scgx", file=name
            )
        tables = {side: _table(fields[side]) for side in ("inputs", "outputs")}
        labels = fields.get("labels")
        told = [Condition(**about) for about in fields.get("conditions", [])]
        screen = fields.get("response")
        more = {
            "labels": Labels(**labels) if labels else None,
            "conditions": told,
            "response": Screened(**screen) if screen else None,
        }
        return Header(**fields | tables | more)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"its header is damaged: {str(error)[:80]}", file=name) from None


def _table(fields: dict[str, object]) -> Table:
    """One side of a model; every column has a value per feature, or none at all."""
    table = Table(**fields)  # type: ignore[arg-type]
    for column in (table.names, table.chrom, table.start, table.end, table.strand, table.tss):
        if not isinstance(column, list) or len(column) not in (0, len(table.names)):
            raise ValueError("its features are no table")
    if not all(isinstance(name, str) for name in table.names):
        raise ValueError("its features have no names")
    return table
