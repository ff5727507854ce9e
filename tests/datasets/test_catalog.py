"""The table of datasets: whole, consistent, honest about what is not there yet."""

import re
from urllib.parse import urlsplit

import pytest

from scgx.datasets import _address, _catalog
from scgx.errors import UnsafeError, UsageError

NAMES = _catalog.names()


def test_names_are_unique_and_the_special_ones_come_first():
    assert len(NAMES) == len(set(NAMES))
    assert "demo" in NAMES[:3]
    assert len(NAMES) > 50


@pytest.mark.parametrize("name", NAMES)
def test_a_dataset_says_what_it_is_and_its_checksums_are_checksums(name):
    found = _catalog.load(name)
    assert found.name == name
    assert found.kind
    assert found.content
    assert found.licence
    assert found.recipe in ("", "cells", "pair", "raw", "text", "mtx", "census", "demo")
    for file in found.files:
        assert file.md5 is None or re.fullmatch(r"[0-9a-f]{32}", file.md5)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{16}([0-9a-f]{48})?", file.sha256)
        for url in file.urls:
            assert urlsplit(url).scheme == "https"
            _address.check(url)
    if found.recipe in ("cells", "raw"):
        assert len(found.files) == 1
    if found.annotation:
        assert _catalog.load(found.annotation).kind == "annotation"


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match="pbmc3k-multiome"):
        _catalog.load("pbmc3k-multiom")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a.org/x", "x", "https://", "https://a b"]
)
def test_only_web_addresses_are_asked(url):
    with pytest.raises(UsageError):
        _address.check(url)


def test_plain_http_needs_a_checksum():
    with pytest.raises(UnsafeError):
        _address.check("http://example.org/x")
    _address.check("http://example.org/x", checksum=True)


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.0.0.1", "10.0.0.1", "169.254.169.254", "[::1]", "printer", "2130706433"],
)
def test_a_redirect_into_the_local_network_is_refused(host):
    handler = _address._Redirects("https://example.org/x")
    with pytest.raises(UnsafeError):
        handler._check(f"https://{host}/x")
    with pytest.raises(UnsafeError):
        handler._check("http://example.org/x")
    handler._check("https://cdn.example.org/x")


def test_a_mirror_replaces_the_beginning_of_an_address(monkeypatch):
    monkeypatch.setenv(
        "SCGX_BASE_URLS", "https://a.org=https://m.org/a https://b.org/x=https://m.org"
    )
    assert _address.mirrored("https://a.org/f") == "https://m.org/a/f"
    assert _address.mirrored("https://b.org/x/f?y=1") == "https://m.org/f?y=1"
    assert _address.mirrored("https://a.org.evil/f") == "https://a.org.evil/f"
