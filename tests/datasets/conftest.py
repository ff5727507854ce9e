"""A misbehaving server and an empty cache."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.web import Web, serving

from scgx.datasets import _cache
from scgx.datasets._cache import Cache


@pytest.fixture
def web() -> Iterator[Web]:
    """A server on loopback."""
    with serving() as made:
        yield made


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """An empty cache of this test's own."""
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "cache"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return _cache.open_cache()
