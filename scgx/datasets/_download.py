"""Get a file, verified and whole, or say why not: cache, mirrors in order, attempts, resumption.

Attempts at one address go on with growing pauses while they fail in ways that may pass (5xx, a
connection that breaks or stalls); what arrived is kept and continued. Bytes that are not what they
must be are put aside as `.bad` and fetched once more from the beginning. Then the next mirror.
"""

import os
import random
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scgx import progress
from scgx.datasets import _address, _content, _transfer
from scgx.datasets._cache import CHUNK, Cache, Entry, hashes
from scgx.datasets._dataset import File
from scgx.errors import InputError, NetworkError, ScgxError, UsageError


@dataclass(frozen=True)
class Policy:
    """How patient a download is. `SCGX_STALL` and `SCGX_TRIES` set the first two."""

    stall: float = 30.0  # seconds without a byte before the connection is given up
    tries: int = 5  # attempts in a row that bring nothing new, per address
    pause: float = 1.0  # seconds before the second attempt; doubles, with a random part
    longest: float = 30.0

    def before(self, failures: int) -> float:
        """Seconds to wait after so many failures; partly random, so that not all come at once."""
        return min(self.pause * 2 ** (failures - 1), self.longest) * random.uniform(0.5, 1.0)

    @classmethod
    def of_environment(cls) -> "Policy":
        """The policy that the environment asks for."""
        stall, tries = os.environ.get("SCGX_STALL", "30"), os.environ.get("SCGX_TRIES", "5")
        try:
            return cls(stall=max(0.1, float(stall)), tries=max(1, int(tries)))
        except ValueError:
            raise UsageError(f"SCGX_STALL={stall} and SCGX_TRIES={tries} must be numbers") from None


@dataclass(frozen=True)
class Wish:
    """How a file is wanted."""

    offline: bool = False
    verify: bool = False
    policy: Policy = Policy()


def fetch(cache: Cache, file: File, wish: Wish, *, label: str) -> Entry:
    """One file of a dataset from the cache or the network.

    Raises `NetworkError` (5) when no address gives the right bytes, `InputError` (3) when what they
    give is no data, `UnsafeError` (6), `MachineError` (1) for the disk.
    """
    if found := _cached(cache, file, wish.verify):
        return found
    if wish.offline:
        raise NetworkError("not in the cache, and --offline", fix="fetch it once", file=label)
    key = file.sha256[:32] if file.sha256 else _address.key(file.urls[0])
    with cache.lock(key):
        if found := _cached(cache, file, False):
            return found
        return _from_network(cache, file, wish, label, cache.partial(key))


def _cached(cache: Cache, file: File, verify: bool) -> Entry | None:
    """What the cache has, if it is what is asked for today."""
    found = cache.find(sha256=file.sha256, urls=file.urls, verify=verify)
    if found is None or _wrong(file, found.bytes, found.md5, found.sha256):
        return None
    return found


def from_file(cache: Cache, file: File, path: Path, *, label: str) -> Entry:
    """A file that was got by hand: the same checks, then into the cache."""
    if not path.is_file():
        raise InputError("no such file", file=str(path))
    cache.need(path.stat().st_size)
    with open(path, "rb") as handle:
        _content.refuse(handle.read(_content.HEAD), file.format, str(path))
    key = _address.key(f"file:{os.getpid()}:{path.resolve()}")
    part = cache.partial(key)
    with cache.lock(key):
        try:
            with open(path, "rb") as source, open(part, "wb") as copy:
                shutil.copyfileobj(source, copy, CHUNK)
            md5, sha256 = hashes(part)
            if wrong := _wrong(file, part.stat().st_size, md5, sha256):
                raise InputError(f"is not {label}: {wrong}", file=str(path))
            return cache.store(part, md5=md5, sha256=sha256, urls=file.urls, url="")
        finally:
            part.unlink(missing_ok=True)


def read(cache: Cache, url: str, wish: Wish, *, limit: int = 16 << 20) -> bytes:
    """A small answer (JSON of an API), not kept; under the same rules as a file."""
    part = cache.partial(_address.key(f"{os.getpid()}:{url}"))
    try:
        _attempts(cache, File(format="json"), url, part, wish, limit=limit)
        return part.read_bytes()
    finally:
        _transfer.discard(part)


def _from_network(cache: Cache, file: File, wish: Wish, label: str, part: Path) -> Entry:
    """Mirrors in order; the error of the last one is the one that is raised."""
    failure: ScgxError | None = None
    for url in file.urls:
        if failure is not None:
            progress.say(f"{failure.what}; trying {_address.host(url)}")
        try:
            return _from_one(cache, file, url, wish, label, part)
        except (NetworkError, InputError) as error:
            failure = error
    if failure is None:
        raise NetworkError("has no address to fetch from", file=label)
    failure.file = failure.file or label
    raise failure


def _from_one(cache: Cache, file: File, url: str, wish: Wish, label: str, part: Path) -> Entry:
    """One address: attempts until the bytes are there, then the checks; wrong bytes once more."""
    wrong: str | None = None
    for _ in range(2):
        with progress.bar(f"fetching {label}", file.bytes) as advance:
            _attempts(cache, file, url, part, wish, advance=advance)
        md5, sha256 = hashes(part)
        wrong = _wrong(file, part.stat().st_size, md5, sha256)
        if wrong is None:
            entry = cache.store(part, md5=md5, sha256=sha256, urls=file.urls, url=url)
            _transfer.discard(part)
            return entry
        progress.say(f"{label}: {wrong}; the bytes are put aside")
        os.replace(part, part.with_suffix(".bad"))
        _transfer.discard(part)
    raise NetworkError(f"{_address.host(url)} sends wrong bytes: {wrong}", file=label)


def _attempts(
    cache: Cache,
    file: File,
    url: str,
    part: Path,
    wish: Wish,
    *,
    advance: Callable[[float], None] | None = None,
    limit: int | None = None,
) -> None:
    """Attempts at one address, until it is whole or has failed `tries` times without news."""
    actual = _address.mirrored(url)
    _address.check(actual, checksum=bool(file.sha256))
    shown = 0

    def at(position: int) -> None:
        nonlocal shown
        if advance is not None and position > shown:
            advance(position - shown)
            shown = position

    asked = _transfer.Asked(
        url=actual,
        format=file.format,
        bytes=file.bytes,
        known=bool(file.sha256 or file.md5),
        stall=wish.policy.stall,
        need=cache.need,
        limit=limit,
        at=at,
    )
    failures, most = 0, 0
    while (trouble := _try(asked, part)) is not None:
        have = part.stat().st_size if part.exists() else 0
        failures = 1 if have > most else failures + 1
        most = max(most, have)
        if failures >= wish.policy.tries:
            raise NetworkError(f"{trouble}, {failures} times", fix="try later, or --from-file")
        pause = wish.policy.before(failures) if trouble.wait is None else trouble.wait
        progress.say(f"{trouble}; again in {pause:.0f} s")
        time.sleep(pause)


def _try(asked: _transfer.Asked, part: Path) -> _transfer.Again | None:
    """One attempt: None when the file is there, else what went wrong."""
    try:
        _transfer.attempt(asked, part)
    except _transfer.Again as trouble:
        if isinstance(trouble, _transfer.Stale):
            _transfer.discard(part)
        return trouble
    return None


def _wrong(file: File, size: int, md5: str, sha256: str) -> str | None:
    """What is wrong with a file's bytes, None when nothing is known to be."""
    if file.sha256 and not sha256.startswith(file.sha256):
        return f"its sha256 is {sha256[:16]}..., not {file.sha256[:16]}..."
    if file.md5 and md5 != file.md5:
        return f"its md5 is {md5}, not {file.md5}"
    if file.bytes is not None and size != file.bytes:
        return f"it has {size:,} bytes, not {file.bytes:,}"
    return None
