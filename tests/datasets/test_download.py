"""Every fault of a server that users have met: the right bytes, or one error with the right code."""

import dataclasses
import errno
import gzip
import hashlib
import os
import ssl
import subprocess
import sys
import threading
import urllib.error
from pathlib import Path

import pytest

from scgx.datasets import _download, _transfer
from scgx.datasets._dataset import File
from scgx.datasets._download import Policy, Wish
from scgx.errors import InputError, MachineError, NetworkError, ScgxError, UnsafeError

FAST = Wish(policy=Policy(stall=0.3, tries=3, pause=0.01))

# fault -> what the page does. All of these must end with the right bytes.
MENDED = {
    "plain": lambda w: w.serve(w.body),
    "cut at 0": lambda w: w.cut(w.body, 0),
    "cut at 1": lambda w: w.cut(w.body, 1),
    "cut half way": lambda w: w.cut(w.body, len(w.body) // 2),
    "cut one byte short": lambda w: w.cut(w.body, len(w.body) - 1),
    "cut twice": lambda w: w.cut(w.body, 5000, times=2),
    "F4 stall before the first byte": lambda w: w.stall(w.body, 0),
    "F4 stall half way": lambda w: w.stall(w.body, len(w.body) // 2),
    "F2 503 with Retry-After": lambda w: w.status(503, {"Retry-After": 0}, times=1),
    "F2 500 twice": lambda w: w.status(500, times=2),
    "F27 429 with a date": lambda w: w.status(
        429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, times=2
    ),
    "202 and nothing yet": lambda w: w.status(202, times=1),
    "chunked": lambda w: w.chunked(w.body, whole=True),
    "no length, checksum known": lambda w: w.unframed(w.body),
    "F12 packed though not asked": lambda w: w.packed(w.body),
}


def fetch(cache, file, wish=FAST):
    return _download.fetch(cache, file, wish, label="thing")


@pytest.mark.parametrize("fault", MENDED)
def test_a_fault_that_passes_ends_with_the_right_bytes(web, cache, fault):
    file = web.known(web.url("/a.h5ad", MENDED[fault](web)))
    entry = fetch(cache, file)
    assert entry.path.read_bytes() == web.body
    assert list((cache.root / "partial").glob("*.part")) == []
    assert entry.path.stat().st_mode & 0o777 == 0o600


# fault -> (what the page does, which error). With these nothing may lie in the cache.
REFUSED = {
    "F1 404": (lambda w: w.status(404), NetworkError, "404"),
    "F1 410": (lambda w: w.status(410), NetworkError, "410"),
    "F1 403": (lambda w: w.status(403), NetworkError, "403"),
    "F2 500 for ever": (lambda w: w.status(500), NetworkError, "500"),
    "F5 always cut": (lambda w: w.cut(w.body, 99, times=99), NetworkError, "stopped"),
    "F5 chunked, cut": (lambda w: w.chunked(w.body, whole=False), NetworkError, "stopped"),
    "F5 no length, cut": (lambda w: w.unframed(w.body[:999]), NetworkError, "sha256"),
    "F10 wrong bytes": (lambda w: w.says(w.body[:-1] + b"x"), NetworkError, "sha256"),
    "F10 wrong size": (lambda w: w.serve(w.body + b"x"), NetworkError, "expected"),
    "F5 length that lies": (
        lambda w: lambda h: h.answer(200, {"Content-Length": 10**6}, w.body),
        NetworkError,
        "stopped",
    ),
    "F11 web page": (lambda w: w.says(w.html), InputError, "web page"),
    "F11 JSON": (lambda w: w.says(b'{"error": "no"}'), InputError, "JSON"),
    "F11 empty": (lambda w: w.says(b""), InputError, "nothing"),
    "LFS pointer": (
        lambda w: w.says(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        InputError,
        "LFS",
    ),
    "another format": (lambda w: w.says(b"PK\x03\x04" + bytes(600)), InputError, "zip"),
    "a pickle": (lambda w: w.says(b"\x80\x04\x95" + bytes(600)), UnsafeError, "pickle"),
    "F12 packed in a strange way": (
        lambda w: w.says(w.body, {"Content-Encoding": "br"}),
        NetworkError,
        "br",
    ),
    "F13 to file:": (lambda w: w.redirect("file:///etc/passwd"), UnsafeError, "redirects"),
    "F13 to ftp:": (lambda w: w.redirect("ftp://example.org/x"), UnsafeError, "redirects"),
    "F13 away from here": (lambda w: w.redirect("http://169.254.1.1/"), UnsafeError, "redirects"),
    "F13 for ever": (lambda w: w.redirect("/a.h5ad"), UnsafeError, "more than 10"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_that_stays_is_one_error_and_nothing_cached(web, cache, fault):
    page, error, words = REFUSED[fault]
    sized = web.known(web.url("/a.h5ad", page(web)))
    file = dataclasses.replace(sized, bytes=None) if "F11" in fault or "LFS" in fault else sized
    if fault in ("another format", "a pickle", "F10 wrong bytes", "F5 length that lies"):
        file = dataclasses.replace(file, bytes=None)
    with pytest.raises(error, match=words) as raised:
        fetch(cache, file)
    assert len(str(raised.value)) <= 200
    assert not list((cache.root / "sha256").iterdir())
    assert not list((cache.root / "partial").glob("*.part")) or "F5" in fault


def test_a_redirect_within_this_machine_to_a_web_page_is_refused(web, cache):
    web.url("/login", web.says(web.html))
    file = File(format="h5ad", urls=(web.url("/a.h5ad", web.redirect("/login")),))
    with pytest.raises(InputError, match="web page"):
        fetch(cache, file)


def test_a_cut_download_asks_only_for_the_rest(web, cache):
    file = web.known(web.url("/a.h5ad", web.cut(web.body, 7000)))
    fetch(cache, file)
    assert web.headers[1]["Range"] == "bytes=7000-"
    assert web.headers[1]["If-Range"] == '"1"'
    assert len(web.hits) == 2


def test_a_killed_download_goes_on_where_it_was(web, cache):
    """F15: what another process left behind is continued, and not fetched again."""
    file = web.known(web.url("/a.h5ad", web.cut(web.body, 7000, times=1)))
    with pytest.raises(NetworkError):
        fetch(cache, file, dataclasses.replace(FAST, policy=Policy(stall=0.3, tries=1)))
    assert [p.stat().st_size for p in (cache.root / "partial").glob("*.part")] == [7000]
    fetch(cache, file)
    assert web.headers[1]["Range"] == "bytes=7000-"


def test_a_server_without_ranges_starts_again(web, cache):
    """F6: 200 where 206 was asked for must not be appended."""

    def page(handler):
        web.says(web.body)(handler) if handler.hit > 1 else web.cut(web.body, 50)(handler)

    assert fetch(cache, web.known(web.url("/a.h5ad", page))).path.read_bytes() == web.body


@pytest.mark.parametrize(
    "span", ["bytes 0-99/{n}", "bytes 50-{m}/{more}", "bytes x", "bytes 51-{m}/{n}", ""]
)
def test_a_range_that_was_not_asked_for_starts_again(web, cache, span):
    """F7."""
    n = len(web.body)

    def page(handler):
        if handler.hit == 1:
            web.cut(web.body, 50)(handler)
        elif handler.wanted > 0:
            words = span.format(n=n, m=n - 1, more=n + 5)
            headers = {"Content-Range": words, "Content-Length": n - 50}
            handler.answer(206, headers, web.body[50:])
        else:
            web.serve(web.body)(handler)

    assert fetch(cache, web.known(web.url("/a.h5ad", page))).path.read_bytes() == web.body


@pytest.mark.parametrize("obeys_if_range", [True, False])
def test_a_file_that_changed_on_the_server_is_not_mixed(web, cache, obeys_if_range):
    """F8: half of the old file and half of the new one is neither."""
    old, new = web.body, web.body[:8] + web.body[8:][::-1]

    def page(handler):
        if handler.hit == 1:
            web.cut(old, 5000, etag='"old"')(handler)
        elif handler.wanted >= 0 and not obeys_if_range:
            rest, span = new[handler.wanted :], f"bytes {handler.wanted}-{len(new) - 1}/{len(new)}"
            headers = {"Content-Range": span, "Content-Length": len(rest), "ETag": '"new"'}
            handler.answer(206, headers, rest)
        else:
            web.serve(new, '"new"')(handler)

    file = File(format="h5ad", urls=(web.url("/a.h5ad", page),))
    assert fetch(cache, file).path.read_bytes() == new


def test_a_whole_part_is_recognised_by_416(web, cache):
    """F9: all bytes were there, only the rename was missing."""
    file = web.known(web.url("/a.h5ad", web.serve(web.body)))
    part = cache.partial(file.sha256[:32])
    part.write_bytes(web.body)
    assert fetch(cache, file).path.read_bytes() == web.body
    assert len(web.hits) == 1


def test_a_part_that_is_another_file_is_thrown_away_at_416(web, cache):
    file = dataclasses.replace(web.known(web.url("/a.h5ad", web.serve(web.body))), bytes=None)
    cache.partial(file.sha256[:32]).write_bytes(web.body + b"more than there is")
    assert fetch(cache, file).path.read_bytes() == web.body


def test_wrong_bytes_are_put_aside_and_fetched_once_more(web, cache):
    """F10."""

    def page(handler):
        good = handler.hit > 1
        web.says(web.body if good else web.body[:-1] + b"?")(handler)

    assert fetch(cache, web.known(web.url("/a.h5ad", page))).path.read_bytes() == web.body
    assert len(list((cache.root / "partial").glob("*.bad"))) == 1


def test_a_mirror_helps_where_the_first_address_fails(web, cache):
    first, second = web.url("/gone", web.status(404)), web.url("/a", web.serve(web.body))
    file = dataclasses.replace(web.known(first), urls=(first, second))
    assert fetch(cache, file).url == second


def test_a_gz_file_is_the_same_whatever_the_server_labels_it(web, cache):
    """F12: packed once more, or only said to be packed: the file itself arrives."""
    body = gzip.compress(os.urandom(5000))
    for number, page in enumerate((web.packed(body), web.says(body, {"Content-Encoding": "gzip"}))):
        url = web.url(f"/{number}.gz", page)
        assert fetch(cache, File(format="gtf.gz", urls=(url,))).path.read_bytes() == body


def test_a_file_of_unknown_length_and_checksum_is_not_trusted(web, cache):
    with pytest.raises(InputError, match="how long"):
        fetch(cache, File(format="h5ad", urls=(web.url("/a", web.unframed(web.body)),)))


def test_two_names_for_the_same_bytes_share_one_entry(web, cache):
    one = fetch(cache, File(format="h5ad", urls=(web.url("/a", web.serve(web.body)),)))
    two = fetch(cache, web.known(web.url("/b", web.serve(web.body))))
    assert one.path == two.path
    assert web.hits == ["/a"]


def test_sixteen_at_once_download_once(web, cache):
    """F14, A26: in threads here, in processes below."""
    file = web.known(web.url("/a.h5ad", web.serve(web.body)))
    threads = [threading.Thread(target=fetch, args=(cache, file)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert web.hits == ["/a.h5ad"]


PROGRAM = """
import sys
from scgx.datasets import _cache, _download
from scgx.datasets._dataset import File
file = File(format="h5ad", urls=(sys.argv[1],), sha256=sys.argv[2])
print(_download.fetch(_cache.open_cache(), file, _download.Wish(), label="x").sha256)
"""


def test_processes_that_ask_at_once_download_once(web, cache):
    url = web.url("/a.h5ad", web.stall(web.body, 100))
    web.pages["/a.h5ad"] = web.serve(web.body)
    digest = hashlib.sha256(web.body).hexdigest()
    arguments = [sys.executable, "-c", PROGRAM, url, digest]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    said = {process.communicate()[0].strip() for process in running}
    assert said == {digest}
    assert len(web.hits) == 1


def test_a_lock_whose_holder_died_is_free(web, cache):
    file = web.known(web.url("/a.h5ad", web.serve(web.body)))
    program = (
        "import sys, os, signal\nfrom scgx.datasets import _cache\n"
        "with _cache.open_cache().lock(sys.argv[1]):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, file.sha256[:32]], check=False)
    assert fetch(cache, file).path.read_bytes() == web.body


def test_offline_uses_the_cache_and_asks_nobody(web, cache):
    """F26."""
    file = web.known(web.url("/a.h5ad", web.serve(web.body)))
    with pytest.raises(NetworkError, match="offline"):
        fetch(cache, file, Wish(offline=True))
    fetch(cache, file)
    assert fetch(cache, file, Wish(offline=True)).path.read_bytes() == web.body
    assert len(web.hits) == 1


@pytest.mark.parametrize("verify", [False, True])
def test_a_cached_file_that_was_altered_is_fetched_again(web, cache, verify):
    """F17: seen by size and time stamp, or by its hash under --verify."""
    file = web.known(web.url("/a.h5ad", web.serve(web.body)))
    path = fetch(cache, file).path
    stamp = path.stat().st_mtime_ns
    path.write_bytes(web.body[:-1] + b"?")
    if verify:
        os.utime(path, ns=(stamp, stamp))
    wish = dataclasses.replace(FAST, verify=verify)
    assert fetch(cache, file, wish).path.read_bytes() == web.body
    assert len(web.hits) == 2


def test_a_file_got_by_hand_passes_the_same_checks(web, cache, tmp_path):
    good, bad, page = tmp_path / "good", tmp_path / "bad", tmp_path / "page"
    good.write_bytes(web.body)
    bad.write_bytes(web.body + b"x")
    page.write_bytes(web.html)
    file = web.known("https://example.org/a.h5ad")
    for path in (bad, page, tmp_path / "absent"):
        with pytest.raises(InputError):
            _download.from_file(cache, file, path, label="x")
    assert _download.from_file(cache, file, good, label="x").path.read_bytes() == web.body
    assert fetch(cache, file, Wish(offline=True)).bytes == len(web.body)


def test_a_full_disk_is_said_before_the_download(web, cache, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("scgx.datasets._cache.shutil.disk_usage", lambda path: usage)
    with pytest.raises(MachineError, match="free"):
        fetch(cache, web.known(web.url("/a.h5ad", web.serve(web.body))))


def test_nobody_there_is_a_network_error(cache):
    """F3: a port where nobody listens, and a name that does not exist."""
    for url in ("http://127.0.0.1:9/x", "https://scgx-does-not-exist.invalid/x"):
        with pytest.raises(NetworkError):
            fetch(cache, File(format="h5ad", urls=(url,)))


def test_credentials_are_sent_but_neither_stored_nor_shown(web, cache, capsys):
    """F28."""
    url = web.url("/a.h5ad", web.cut(web.body, 50)) + "?token=hush&x=1"
    entry = fetch(cache, web.known(url.replace("http://", "http://me:secret@")))
    assert web.headers[0]["Authorization"] == "Basic bWU6c2VjcmV0"
    said = "".join(capsys.readouterr())
    kept = "".join(p.read_text("latin-1") for p in cache.root.rglob("*.json"))
    for text in (said, kept, entry.url):
        assert "secret" not in text
        assert "hush" not in text
    assert "x=1" in entry.url


def test_credentials_do_not_follow_a_redirect(web, cache):
    web.url("/b", web.serve(web.body))
    url = web.url("/a", web.redirect("/b")).replace("http://", "http://me:secret@")
    fetch(cache, web.known(url))
    assert "Authorization" in web.headers[0]
    assert "Authorization" not in web.headers[1]


def test_requests_look_like_a_browser_and_ask_for_no_encoding(web, cache):
    fetch(cache, web.known(web.url("/a", web.serve(web.body))))
    assert web.headers[0]["User-Agent"].startswith("Mozilla/5.0")
    assert web.headers[0]["Accept-Encoding"] == "identity"


def test_errors_name_the_host_and_never_more_than_one_line(web, cache):
    with pytest.raises(ScgxError) as raised:
        fetch(cache, web.known(web.url("/a", web.status(404))))
    assert "127.0.0.1" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_server_chooses_no_file_name(web, cache):
    """F19: a name from a server is data and never a path."""
    name = '"../../../evil"'
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    fetch(cache, web.known(web.url("/a", web.says(web.body, headers))))
    outside = {p.name for p in Path(cache.root).parent.iterdir()}
    assert outside == {"cache"}


def test_a_certificate_that_is_not_valid_is_not_tried_again():
    """F3: never `verify=False`, and no retries: it will not become valid."""
    expired = ssl.SSLCertVerificationError(1, "certificate verify failed")
    expired.verify_message = "certificate has expired"
    error = _transfer._trouble("example.org", urllib.error.URLError(expired))
    assert isinstance(error, NetworkError)
    assert "certificate has expired" in str(error)


def test_proxies_of_the_environment_are_used(web, cache, monkeypatch):
    """F27: the proxy sees the whole address."""
    monkeypatch.setenv("http_proxy", web.base)
    url = "http://example.org/a.h5ad"
    web.pages[url] = web.serve(web.body)
    assert fetch(cache, web.known(url)).path.read_bytes() == web.body
    assert web.hits == [url]


def test_a_disk_that_fills_up_leaves_nothing_under_the_final_name(web, cache, monkeypatch):
    """F16."""
    full = OSError(errno.ENOSPC, "No space left on device")

    def refuse(descriptor):
        raise full

    monkeypatch.setattr(_transfer, "SYNC", 1)
    monkeypatch.setattr(_transfer.os, "fsync", refuse)
    with pytest.raises(OSError, match="No space"):
        fetch(cache, File(format="h5ad", urls=(web.url("/a", web.serve(web.body)),)))
    assert not list((cache.root / "sha256").iterdir())
