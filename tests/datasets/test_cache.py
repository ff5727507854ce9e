"""The cache folder: private, and nobody else's."""

import os

import pytest

from scgx.datasets import _cache
from scgx.errors import MachineError, UnsafeError


def test_a_new_cache_is_private(cache):
    assert cache.root.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_everybody_may_write_is_refused(cache):
    os.chmod(cache.root, 0o777)
    with pytest.raises(UnsafeError, match="everybody"):
        _cache.open_cache()


def test_a_cache_that_is_a_link_is_refused(cache, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(cache.root)
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "link"))
    with pytest.raises(UnsafeError, match="link"):
        _cache.open_cache()


def test_somebody_elses_cache_is_refused(cache, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(UnsafeError, match="somebody else"):
        _cache.open_cache()


def test_an_entry_that_is_a_link_is_refused(cache, tmp_path):
    digest = "ab" * 32
    place = cache.root / "sha256" / "ab" / digest
    place.parent.mkdir()
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeError, match="link"):
        cache.find(sha256=digest, urls=())


def test_a_cache_that_cannot_be_made_is_one_line_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MachineError, match="SCGX_CACHE"):
        _cache.open_cache()


def test_a_file_system_without_locks_is_served_by_a_named_lock(cache, monkeypatch):
    def none(descriptor, kind):
        raise OSError(_cache.errno.ENOLCK, "no locks available")

    monkeypatch.setattr(_cache.fcntl, "flock", none)
    stale = cache.root / "partial" / "abc.pid"
    stale.write_text("999999999")
    with cache.lock("abc"):
        assert stale.read_text() == str(os.getpid())
    assert not stale.exists()


def test_looking_something_up_makes_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "cache"))
    assert _cache.existing_cache() is None
    assert not (tmp_path / "cache").exists()
