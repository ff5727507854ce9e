"""Addresses: which may be asked, where they may lead, and how they may be shown.

Only https is asked, or http on this machine (a loopback address), or http with a checksum given. A
redirect may not leave https, nor point into the local network; what was asked for on loopback stays
there. User names, passwords and signed query values are sent to the host they were given for, and
are never shown or written down.

`SCGX_BASE_URLS` maps the beginnings of addresses to others, `https://host=https://mirror/host`,
separated by blanks: for institutes with a mirror of their own.
"""

import base64
import hashlib
import ipaddress
import os
import re
import urllib.request
from http.client import HTTPMessage
from typing import IO
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit, urlunsplit

from scgx.errors import UnsafeError, UsageError

HOPS = 10
_SECRET = re.compile(r"token|key|secret|passw|signature|sig$|credential|auth|^x-amz", re.IGNORECASE)
_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) scgx"


def public(url: str) -> str:
    """The address as it may be shown and stored: no user, no password, no signed values."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if any(_SECRET.search(name) for name, _ in query):
        query = [(name, "..." if _SECRET.search(name) else value) for name, value in query]
        parts = parts._replace(query=urlencode(query, safe="."))
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


def key(url: str) -> str:
    """A name for an address that is safe as a file name and says nothing about it."""
    return hashlib.sha256(public(url).encode()).hexdigest()[:32]


def host(url: str) -> str:
    """The host, for messages."""
    return (urlsplit(url).hostname or "?")[:80]


def mirrored(url: str) -> str:
    """The address after `SCGX_BASE_URLS`."""
    for pair in os.environ.get("SCGX_BASE_URLS", "").split():
        before, _, after = pair.partition("=")
        if after and (url == before or url.startswith(before.rstrip("/") + "/")):
            return after.rstrip("/") + url[len(before.rstrip("/")) :]
    return url


def check(url: str, *, checksum: bool = False) -> None:
    """Refuse what must not be asked: other schemes (code 2), plain http without a checksum (6)."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"not an address: {error}") from None
    if re.search(r"[\x00-\x20\x7f]", url):
        raise UsageError("an address holds no blanks or control characters")
    if parts.scheme not in ("http", "https"):
        raise UsageError(
            f"cannot fetch {parts.scheme or 'an address without scheme'}:", fix="https"
        )
    if not parts.hostname:
        raise UsageError("the address names no host")
    if parts.scheme == "http" and not (is_loopback(parts.hostname) or checksum):
        raise UnsafeError("http can be altered on its way", fix="use https, or give --sha256")


def is_loopback(name: str) -> bool:
    """Whether a host is this machine."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _ip(name)
    return address is not None and address.is_loopback


def _is_local(name: str) -> bool:
    """Whether a host is not out on the internet: loopback, link-local, private, or no full name."""
    address = _ip(name)
    if address is None:
        return is_loopback(name) or "." not in name or name.endswith((".local", ".internal"))
    return not address.is_global


def _ip(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]+", name, re.IGNORECASE):  # http://2130706433/ is 127.0.0.1
        number = int(name, 0) if not name.startswith("0") or "x" in name.lower() else int(name, 8)
        return ipaddress.IPv4Address(number % 2**32)
    return None


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows at most `HOPS` redirects, each of them checked before it is asked."""

    max_redirections = max_repeats = HOPS + 1

    def __init__(self, origin: str) -> None:
        self.origin = urlsplit(origin)
        self.hops = 0

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> object:
        """Check the hop, then let the standard library take it."""
        location = headers.get("location") or headers.get("uri") or ""
        self.hops += 1
        try:
            self._check(urljoin(req.full_url, location))
        except UnsafeError:
            fp.close()
            raise
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def _check(self, target: str) -> None:
        parts, asked = urlsplit(target), self.origin.hostname or ""
        if self.hops > HOPS:
            raise UnsafeError(f"{asked} redirects more than {HOPS} times")
        if is_loopback(asked):
            if parts.scheme not in ("http", "https") or not is_loopback(parts.hostname or ""):
                raise UnsafeError(f"{asked} redirects away from this machine")
            return
        if parts.scheme != "https" and parts.scheme != self.origin.scheme:
            raise UnsafeError(f"{asked} redirects to {parts.scheme}:, which is not followed")
        if _is_local(parts.hostname or ""):
            raise UnsafeError(f"{asked} redirects into the local network")


def opener(url: str) -> urllib.request.OpenerDirector:
    """Follows checked redirects; proxies of the environment, but never for this machine; TLS always
    verified. Only http and https exist for it: no file, no ftp, no data."""
    local = is_loopback(urlsplit(url).hostname or "")
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if local else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(url),
    ):
        director.add_handler(handler)
    return director


def request(url: str, headers: dict[str, str] | None = None) -> urllib.request.Request:
    """A request as a browser would make it (some hosts refuse programs), identity encoding asked.
    Credentials become a header that redirects do not carry on."""
    parts = urlsplit(url)
    user, at, netloc = parts.netloc.rpartition("@")
    path = quote(parts.path, safe="/%:@!$&'()*+,;=~-._")
    asked = urllib.request.Request(
        urlunsplit(parts._replace(netloc=netloc, path=path, fragment=""))
    )
    asked.add_header("User-Agent", _AGENT)
    asked.add_header("Accept", "*/*")
    asked.add_header("Accept-Encoding", "identity")
    for name, value in (headers or {}).items():
        asked.add_header(name, value)
    if at:
        token = base64.b64encode(unquote(user).encode()).decode()
        asked.add_unredirected_header("Authorization", f"Basic {token}")
    return asked
