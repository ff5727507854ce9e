"""A large annotation is parsed once; what comes out of the cache is what was parsed."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from scgx.cells import gene_tables
from scgx.genome import annotation
from scgx.genome.annotation import Genes

FOLDER = Path("scgx-cache/genes")


@pytest.fixture
def parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An empty cache for files of any size; which of them are parsed."""
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "scgx-cache"))
    monkeypatch.setattr(gene_tables, "SMALL", 0)
    seen: list[str] = []

    def read(path: Path, *, name: str, start_base: int | None = None) -> Genes:
        seen.append(name)
        return real(path, name=name, start_base=start_base)

    real = annotation.read
    monkeypatch.setattr(annotation, "read", read)
    return seen


def equal(one: Genes, other: Genes) -> None:
    for field in fields(Genes):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert type(a) is type(b), field.name
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype, field.name
            np.testing.assert_array_equal(a, b, err_msg=field.name)
        elif field.name != "source":
            assert a == b, field.name


FILES = [
    "genes-coordinates/gene_coordinates_homo_sapiens.csv.gz",
    "genes-coordinates/gencode_v48_genes_only.gtf.gz",
    "gtf-dialects/FBgn0031208.gff",
    "gtf-dialects/ensembl_gtf.txt",
]


@pytest.mark.parametrize("name", FILES)
def test_the_second_reading_gives_the_same_and_parses_nothing(
    name: str, real_data: Path, parsed: list[str]
) -> None:
    first = gene_tables.read(real_data / name, name="one")
    again = gene_tables.read(real_data / name, name="two")
    assert parsed == ["one"] and (first.source, again.source) == ("one", "two")
    equal(first, again)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "genes.bed"
    path.write_text("chr1\t100\t200\tA\t0\t+\nweird name\t5\t9\tB\t0\t-\n")
    return path


def test_another_file_or_another_way_to_read_it_is_parsed_anew(
    table: Path, parsed: list[str]
) -> None:
    gene_tables.read(table, name="0", start_base=0)
    assert gene_tables.read(table, name="1", start_base=1).start[0] == 99
    table.write_text(table.read_text().replace("100", "101"))
    assert gene_tables.read(table, name="2", start_base=0).start[0] == 101
    equal(
        gene_tables.read(table, name="3", start_base=0),
        annotation.read(table, name="", start_base=0),
    )
    assert parsed == ["0", "1", "2", ""]


def test_a_damaged_table_is_made_again_and_the_oldest_make_room(
    table: Path, parsed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gene_tables, "KEPT", 2)
    gene_tables.read(table, name="a")
    (kept,) = (tmp_path / FOLDER).glob("*")
    whole = kept.read_bytes()
    for bad in (b"", whole[:200], whole.replace(b"weird", b"beard"), b"pickled" * 99):
        kept.write_bytes(bad)
        equal(gene_tables.read(table, name="b"), gene_tables.read(table, name="c"))
    assert parsed == ["a", "b", "b", "b", "b"]
    for line in range(4):
        table.write_text(f"chr1\t{line}\t200\tA\t0\t+\n")
        gene_tables.read(table, name="d")
    assert len(list((tmp_path / FOLDER).iterdir())) == 2


def test_small_files_and_caches_that_cannot_be_used_are_done_without(
    table: Path, parsed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gene_tables, "SMALL", 1 << 20)
    gene_tables.read(table, name="a")
    assert not (tmp_path / FOLDER).exists()
    monkeypatch.setattr(gene_tables, "SMALL", 0)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "file" / "cache"))
    assert len(gene_tables.read(table, name="b")) == len(gene_tables.read(table, name="b")) == 2
    assert parsed == ["a", "b", "b"]
