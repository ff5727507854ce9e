"""A web server on this machine that misbehaves as it is told to."""

import contextlib
import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from scgx.datasets._dataset import File

BODY = b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 400
HTML = b"<!DOCTYPE html><html><title>Just a moment...</title></html>"
Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each path with its behaviour; `hits` counts requests, `ranges` notes what they asked."""

    protocol_version = "HTTP/1.1"
    web: "Web"
    hit = 0

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.web.hits.append(path)
        self.web.headers.append(dict(self.headers))
        self.hit = self.web.hits.count(path)
        self.close_connection = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.web.pages.get(path, not_found)(self)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    @property
    def wanted(self) -> int:
        """First byte of the Range header, -1 where there is none."""
        words = self.headers.get("Range", "")
        return int(words[6:].rstrip("-")) if words else -1

    def answer(self, status: int, headers: dict[str, object], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def not_found(handler: Handler) -> None:
    handler.answer(404, {"Content-Length": len(HTML)}, HTML)


def serve(body: bytes, etag: str = '"1"') -> Behaviour:
    """A good server: ranges, If-Range, ETag, Content-Length."""

    def page(handler: Handler) -> None:
        start = handler.wanted
        if start >= len(body):
            handler.answer(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": 0})
        elif start >= 0 and handler.headers.get("If-Range", etag) == etag:
            rest = body[start:]
            span = f"bytes {start}-{len(body) - 1}/{len(body)}"
            headers = {"Content-Range": span, "Content-Length": len(rest), "ETag": etag}
            handler.answer(206, headers, rest)
        else:
            handler.answer(200, {"Content-Length": len(body), "ETag": etag}, body)

    return page


def cut(body: bytes, at: int, *, etag: str = '"1"', times: int = 1) -> Behaviour:
    """Breaks off after `at` bytes, the first `times` times."""

    def page(handler: Handler) -> None:
        if handler.hit > times:
            serve(body, etag)(handler)
        else:
            handler.answer(200, {"Content-Length": len(body), "ETag": etag}, body[:at])

    return page


def stall(body: bytes, at: int, *, seconds: float = 1.0) -> Behaviour:
    """Sends `at` bytes and then nothing for so long, once."""

    def page(handler: Handler) -> None:
        if handler.hit > 1:
            serve(body)(handler)
        else:
            handler.answer(200, {"Content-Length": len(body), "ETag": '"1"'}, body[:at])
            time.sleep(seconds)

    return page


def chunked(body: bytes, *, whole: bool) -> Behaviour:
    def page(handler: Handler) -> None:
        handler.answer(200, {"Transfer-Encoding": "chunked"})
        half = body[: len(body) // 2]
        for piece in (half, body[len(half) :]) if whole else (half,):
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if whole:
            handler.wfile.write(b"0\r\n\r\n")

    return page


def status(code: int, headers: dict[str, object] | None = None, *, times: int = 99) -> Behaviour:
    def page(handler: Handler) -> None:
        if handler.hit > times:
            serve(BODY)(handler)
        else:
            handler.answer(code, {"Content-Length": 0, **(headers or {})})

    return page


def says(body: bytes, headers: dict[str, object] | None = None) -> Behaviour:
    """Status 200 with this body whatever was asked."""
    return lambda handler: handler.answer(
        200, {"Content-Length": len(body), **(headers or {})}, body
    )


def unframed(body: bytes) -> Behaviour:
    """No Content-Length: the end of the connection is the end of the file, or of the cable."""
    return lambda handler: handler.answer(200, {}, body)


def packed(body: bytes) -> Behaviour:
    return says(gzip.compress(body), {"Content-Encoding": "gzip"})


def redirect(to: str) -> Behaviour:
    return lambda handler: handler.answer(302, {"Location": to, "Content-Length": 0})


def known(url: str, body: bytes = BODY, *, format: str = "h5ad") -> File:
    """A file of the registry whose size and sha256 are known."""
    sha256 = hashlib.sha256(body).hexdigest()
    return File(format=format, urls=(url,), bytes=len(body), sha256=sha256)


class Web:
    """The server: `pages` maps paths to behaviours, which the static methods make."""

    body = BODY
    html = HTML
    serve, cut, stall, chunked = (staticmethod(f) for f in (serve, cut, stall, chunked))
    status, says, unframed, packed = (staticmethod(f) for f in (status, says, unframed, packed))
    redirect, known = staticmethod(redirect), staticmethod(known)

    def __init__(self, base: str) -> None:
        self.base = base
        self.pages: dict[str, Behaviour] = {}
        self.hits: list[str] = []
        self.headers: list[dict[str, str]] = []

    def url(self, path: str, behaviour: Behaviour) -> str:
        self.pages[path] = behaviour
        return self.base + path


@contextlib.contextmanager
def serving() -> Iterator[Web]:
    """A server on loopback, until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Web(f"http://127.0.0.1:{server.server_address[1]}")
    server.RequestHandlerClass = type("Bound", (Handler,), {"web": made})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
