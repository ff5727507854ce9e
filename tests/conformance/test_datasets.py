"""Every dataset is complete: licence, citation, addresses and checksums of the right form."""

import re

import pytest

from scgx import registry
from scgx.datasets import _catalog
from scgx.genome import builds

NAMES = _catalog.names()
UNITS = {"counts", "log1p-cp10k", "log1p-counts", "tfidf", "binary", "clr", "scaled-counts",
         "scaled", "unknown"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_its_row_is_complete(name: str) -> None:
    dataset = _catalog.load(name)
    assert dataset.name == name
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name)
    assert dataset.kind and dataset.content
    assert dataset.licence, "state it, or say 'not stated'"
    assert dataset.citation, "say whom to cite"
    assert dataset.units is None or set(re.split(r"[,;/ ]+", dataset.units)) & UNITS
    assert dataset.annotation is None or dataset.annotation in NAMES
    assert dataset.files or dataset.page or dataset.recipe == "demo" or dataset.ready


@pytest.mark.parametrize("name", NAMES)
def test_addresses_and_checksums_have_the_right_form(name: str) -> None:
    for file in _catalog.load(name).files:
        assert file.format
        for url in file.urls:
            assert re.fullmatch(r"(https|ftp|http)://[^\s]+", url), url
        assert file.md5 is None or re.fullmatch(r"[0-9a-f]{32}", file.md5)
        for digest in (
            file.sha256,
            file.member_sha256,
        ):  # or its first 16 digits, if no more is known
            assert digest is None or re.fullmatch(r"[0-9a-f]{16}([0-9a-f]{48})?", digest)
        for size in (file.bytes, file.member_bytes):
            assert size is None or size > 0


@pytest.mark.parametrize("name", NAMES)
def test_its_genome_is_one_that_we_know(name: str) -> None:
    genome = _catalog.load(name).genome
    for one in re.split(r"[,;+/ ]+", genome or ""):
        assert not one or builds.assembly(one) or one in ("hg19", "GRCh37"), one


def test_names_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert set(registry.names("datasets")) <= set(NAMES)
