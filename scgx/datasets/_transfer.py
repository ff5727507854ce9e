"""One attempt to move bytes from one address into a `.part` file, and what it can come to.

The `.part` file has a note beside it (address, ETag, total), so that the next attempt, in this
process or another, can ask for the rest with Range and If-Range. What cannot be continued safely is
begun again: another answer than 206, another total, another ETag, another start. Nothing here
decides whether to try once more; `_download` does.
"""

import gzip
import http.client
import json
import os
import re
import socket
import ssl
import time
import urllib.error
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from pathlib import Path

from scgx.datasets import _address, _content
from scgx.datasets._cache import CHUNK, write_whole
from scgx.errors import InputError, NetworkError, UnsafeError

SYNC = 64 << 20  # bytes between two flushes to the disk: what a power cut may cost
_MAY_PASS = (408, 421, 425, 429, 500, 502, 503, 504, 507, 508, 509, 520, 521, 522, 523, 524, 529)


class Again(Exception):
    """The attempt failed in a way that another may not; `wait` seconds if the server said so."""

    def __init__(self, reason: str, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class Asked:
    """What is to be fetched from where; sizes in bytes, None where unknown."""

    url: str  # after mirrors
    format: str
    bytes: int | None
    known: bool  # a checksum will tell whether the bytes are right
    stall: float  # seconds without a byte
    need: Callable[[int], None]  # refuses when the disk is too small for so many more bytes
    limit: int | None  # refuse more bytes than these
    at: Callable[[int], None]  # told how many bytes are there


def attempt(asked: Asked, part: Path) -> None:
    """Fetch what is missing of `part`; returns when it is as long as the server says it should be.

    Raises `Again`, or what another attempt at the same address would not change: `NetworkError` for
    its status, `InputError` for a page in place of data, `UnsafeError` for where it redirects to.
    """
    have = part.stat().st_size if part.exists() else 0
    note = _note(part)
    headers = _resume(asked, have, note) if have else {}
    if not headers:
        have = 0
    response, host = _open(asked, headers), _address.host(asked.url)
    if response is None:  # 416: there is nothing after what we have, or it is not what it was
        if _complete(asked, have, note):
            return
        _discard(part)
        raise Again("the server has no such range")
    with response:
        start = _start(response, have, note)
        total = _total(response, start)
        if None not in (asked.bytes, total) and asked.bytes != total and not _encoding(response):
            raise NetworkError(f"{host} offers {total:,} bytes, {asked.bytes:,} are expected")
        asked.need((total or 0) - start)
        _write_note(part, asked, response, total)
        _receive(asked, response, part, start, total)
        if encoding := _encoding(response):
            _decode(asked, part, encoding)


def _resume(asked: Asked, have: int, note: dict[str, object]) -> dict[str, str]:
    """Headers that ask for the rest; none when what we have cannot be continued."""
    same = note.get("url") == _address.public(asked.url) and not note.get("encoding")
    if asked.bytes is not None and have > asked.bytes:
        return {}
    validator = note.get("etag") or note.get("last_modified")
    if same and isinstance(validator, str):
        return {"Range": f"bytes={have}-", "If-Range": validator}
    return {"Range": f"bytes={have}-"} if asked.known and not note.get("encoding") else {}


def _open(asked: Asked, headers: dict[str, str]) -> HTTPResponse | None:
    """The response, None for 416; every other failure as `Again` or an error."""
    host = _address.host(asked.url)
    request = _address.request(asked.url, headers)
    try:
        response = _address.opener(asked.url).open(request, timeout=asked.stall)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and headers:
                return None
            if error.code not in _MAY_PASS:
                raise NetworkError(f"{host} answers {error.code} ({error.reason})") from None
            wait = _retry_after(error.headers.get("Retry-After"))
            raise Again(f"{host} answers {error.code}", wait=wait) from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise _trouble(host, error) from None
    if response.status == 202:
        response.close()
        raise Again(f"{host} answers 202 (accepted, nothing yet)")
    if response.status not in (200, 206) or (response.status == 206 and not headers):
        response.close()
        raise NetworkError(f"{host} answers {response.status}, which is not understood")
    return response


def _trouble(host: str, error: Exception) -> Exception:
    """What a connection that fails means: worth another attempt, or (a bad certificate) not."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, UnsafeError):
        return reason
    if isinstance(reason, ssl.SSLCertVerificationError):
        return NetworkError(f"the certificate of {host} is not valid: {reason.verify_message}")
    if isinstance(reason, socket.gaierror):
        return Again(f"{host} cannot be found (is there a network?)")
    if isinstance(reason, TimeoutError):
        return Again(f"{host} does not answer")
    if isinstance(reason, ConnectionRefusedError):
        return Again(f"{host} refuses the connection")
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return Again(f"{host}: {words}".lower()[:120])


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, given in seconds or as a date; at most two minutes."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), 120.0)


def _start(response: HTTPResponse, have: int, note: dict[str, object]) -> int:
    """Where the bytes begin that the server is about to send: after ours, or at 0."""
    if response.status == 200:
        return 0
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range") or "")
    etag, total = response.headers.get("ETag"), note.get("total")
    if match is None or int(match[1]) != have:
        raise Stale("the server sends another part than was asked for")
    if isinstance(total, int) and match[2] not in ("*", str(total)):
        raise Stale("the file has changed on the server")
    if etag and note.get("etag") and etag != note["etag"]:
        raise Stale("the file has changed on the server")
    return have


class Stale(Again):
    """What has arrived so far is of no use; the next attempt begins at 0."""


def _total(response: HTTPResponse, start: int) -> int | None:
    """Length of the whole file as the server states it, None where it does not."""
    if response.status == 206:
        total = (response.headers.get("Content-Range") or "").rpartition("/")[2]
        return int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length") or ""
    return int(length) if length.isdigit() else None


def _encoding(response: HTTPResponse) -> str:
    """The content encoding when the server applied one though none was asked for."""
    value = (response.headers.get("Content-Encoding") or "").strip().lower()
    return "" if value == "identity" else value


def _receive(
    asked: Asked, response: HTTPResponse, part: Path, start: int, total: int | None
) -> None:
    """Write the body behind `start`; looks at the first bytes before more is written."""
    size, synced = start, start
    head = b"" if start == 0 else None
    framed = bool(response.chunked) or "Content-Length" in response.headers
    with open(part, "r+b" if start else "wb") as file:
        file.truncate(start)
        file.seek(start)
        asked.at(start)
        while data := _read(response, asked):
            if head is not None:
                head = (head + data)[: _content.HEAD]
                if len(head) == _content.HEAD:
                    _look(asked, response, head, part)
                    head = None
            file.write(data)
            size += len(data)
            asked.at(size)
            if asked.limit is not None and size > asked.limit:
                raise InputError(f"the answer is longer than {asked.limit:,} bytes")
            if size - synced >= SYNC:
                file.flush()
                os.fsync(file.fileno())
                synced = size
    if total is not None and size < total:
        raise Again(f"{_address.host(asked.url)} stopped after {size:,} of {total:,} bytes")
    if head is not None:
        _look(asked, response, head, part)
    if not framed and asked.bytes is None and not asked.known:
        _discard(part)
        raise InputError(
            "the server does not say how long the file is, so nobody can tell if it is whole",
            fix="give --sha256",
        )


def _read(response: HTTPResponse, asked: Asked) -> bytes:
    host = _address.host(asked.url)
    try:
        return response.read1(CHUNK)
    except http.client.IncompleteRead:
        raise Again(f"{host} stopped in the middle") from None
    except (TimeoutError, http.client.HTTPException, OSError) as error:
        if isinstance(error, TimeoutError):
            raise Again(f"{host} sent nothing for {asked.stall:.0f} s") from None
        raise _trouble(host, error) from None


def _look(asked: Asked, response: HTTPResponse, head: bytes, part: Path) -> None:
    if _encoding(response):
        return  # judged after it is decoded
    try:
        _content.refuse(head, asked.format, _address.host(asked.url))
    except (InputError, UnsafeError):
        _discard(part)
        raise


def _decode(asked: Asked, part: Path, encoding: str) -> None:
    """Undo an encoding that the server was asked not to apply. A `.gz` file that is only labelled
    as encoded stays as it is: the test is whether the decoded bytes are a gzip file."""
    if encoding not in ("gzip", "x-gzip"):
        _discard(part)
        raise NetworkError(f"{_address.host(asked.url)} packs the file as {encoding[:20]}")
    plain = part.with_suffix(".plain")
    try:
        with gzip.open(part, "rb") as packed, open(plain, "wb") as file:
            while data := packed.read(CHUNK):
                asked.need(len(data))
                file.write(data)
    except (OSError, EOFError, zlib.error) as error:
        _discard(part)
        plain.unlink(missing_ok=True)
        if getattr(error, "errno", None):
            raise
        raise Again("the packed answer is damaged") from None
    with open(plain, "rb") as file:
        head = file.read(_content.HEAD)
    if asked.format.endswith(".gz") and not head.startswith(_content.GZIP):
        plain.unlink()
    else:
        os.replace(plain, part)
        _content.refuse(head, asked.format, _address.host(asked.url))


def _complete(asked: Asked, have: int, note: dict[str, object]) -> bool:
    return have in (asked.bytes, note.get("total"))


def _write_note(part: Path, asked: Asked, response: HTTPResponse, total: int | None) -> None:
    etag = response.headers.get("ETag")
    note = {
        "url": _address.public(asked.url),
        "etag": etag if etag and not etag.startswith("W/") else None,
        "last_modified": response.headers.get("Last-Modified"),
        "total": total,
        "encoding": _encoding(response),
    }
    write_whole(part.with_suffix(".json"), json.dumps(note, sort_keys=True))


def _note(part: Path) -> dict[str, object]:
    try:
        found = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_suffix(".json").unlink(missing_ok=True)


def discard(part: Path) -> None:
    """Remove a download in progress and its note."""
    _discard(part)
