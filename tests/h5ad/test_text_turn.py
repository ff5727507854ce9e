"""Text to text: the bytes of every value as they are, in every layout, in many blocks."""

import gzip
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scgx.errors import InputError
from scgx.h5ad import text_stream
from scgx.h5ad.text_turn import to_text

SMALL = 16 << 20


def turned(folder: Path, text: bytes, **options: object) -> bytes:
    """The transposed text."""
    source, out = folder / "matrix", folder / "out"
    source.write_bytes(text)
    to_text(source, out, memory=SMALL, **options)
    return out.read_bytes()


def plainly(text: bytes, separator: bytes = b"\t") -> bytes:
    """The same, as anybody would write it."""
    rows = [line.split(separator) for line in text.splitlines()]
    return b"".join(separator.join(column) + b"\n" for column in zip(*rows, strict=True))


def drawn(lines: int, columns: int, seed: int = 0) -> bytes:
    """A table of numbers in many spellings."""
    draw = np.random.default_rng(seed)
    words = [b"0", b"1", b"17", b"1e-3", b"0.2448283", b"NA", b"-2", b"", b"1234567890123456789"]
    rows = [[b"gene", *(b"cell%d" % i for i in range(columns))]]
    codes = draw.choice(len(words), (lines, columns), p=[0.6, 0.2] + [0.2 / 7] * 7)
    rows += [[b"g%d" % i, *(words[c] for c in codes[i])] for i in range(lines)]
    return b"".join(b"\t".join(row) + b"\n" for row in rows)


field = st.text("0123456789.eNA-+ x", max_size=6).map(str.encode)


@settings(max_examples=100, deadline=None)
@given(data=st.data(), lines=st.integers(1, 6), columns=st.integers(1, 6))
def test_it_is_what_anybody_would_write(data, lines, columns, tmp_path_factory):
    draw = st.lists(field, min_size=columns, max_size=columns)
    rows = [[b"x", *(b"c%d" % i for i in range(columns))]]
    rows += [[b"g%d" % i, *data.draw(draw)] for i in range(lines)]
    text = b"".join(b"\t".join(row) + b"\n" for row in rows)
    assert turned(tmp_path_factory.mktemp("any"), text) == plainly(text)


@pytest.mark.parametrize(("lines", "columns"), [(5000, 40), (40, 5000), (1, 1), (3, 30_000)])
def test_many_blocks_and_ranges_are_put_together_in_order(lines, columns, tmp_path, monkeypatch):
    monkeypatch.setattr("scgx.h5ad.text_turn._LINES", 10_000)
    text = drawn(lines, columns)
    assert turned(tmp_path, text) == plainly(text)


def test_twice_is_the_identity_to_the_byte(tmp_path):
    text = drawn(3000, 50)
    assert turned(tmp_path, turned(tmp_path, text)) == text


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_carriage_returns_a_mark_and_a_missing_end_are_no_values(pack, tmp_path):
    text = drawn(30, 4)
    odd = b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n").removesuffix(b"\r\n")
    assert turned(tmp_path, pack(odd)) == plainly(text)


def test_a_header_one_short_gets_an_empty_first_cell(tmp_path):
    text = b'"c1","c2"\n"g,1",1,2\n"g2",3,4\n'
    assert turned(tmp_path, text) == b',"g,1","g2"\n"c1",1,3\n"c2",2,4\n'


def test_another_separator_changes_quotes_of_names_only_where_it_must(tmp_path):
    text = b'gene\tc1\t"c2"\ng,1\t1\t2\n"g ""2"\t3\t4\n'
    assert turned(tmp_path, text, separator=b",") == b'gene,"g,1",g "2\nc1,1,3\nc2,2,4\n'
    with pytest.raises(InputError, match="line 3, column 'c2': the new separator stands in"):
        turned(tmp_path, b"g\tc1\tc2\na\t1\t2\nb\t1\t2,5\n", separator=b",")


def test_packed_output_is_the_same_text_and_the_same_bytes_each_time(tmp_path):
    text = drawn(300, 20)
    packed = turned(tmp_path, text, packed=True)
    assert packed[4:8] == bytes(4)  # no time of writing
    assert turned(tmp_path, text, packed=True) == packed and gzip.decompress(packed) == plainly(
        text
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"g\ta\tb\nx\t1\t2\ny\t1\n", "line 3 has 2 fields where others have 3"),
        (b"g\ta\tb\nx\t1\t2\n\ny\t1\t2\n", "line 3 is empty"),
        (b'g\ta\tb\nx\t1\t2\ny\t1\t"2\n', "line 3: a quote is not closed"),
        (b"g\ta\tb\nx\t1\t2\n\t1\t2\n", "line 3 has no name"),
    ],
)
def test_what_is_no_rectangle_is_refused_with_its_line(text, words, tmp_path):
    with pytest.raises(InputError, match=words):
        turned(tmp_path, text)


def test_repeated_names_are_kept_and_told(tmp_path, capsys):
    text = b"g\ta\tb\ta\nx\t1\t2\t3\nx\t4\t5\t6\n"
    assert turned(tmp_path, text) == plainly(text)
    said = capsys.readouterr().err
    assert "'x' is on lines 2 and 3" in said and "'a' is on columns 1 and 3" in said


def test_a_line_longer_than_the_budget_is_refused(tmp_path):
    (tmp_path / "m").write_bytes(b"g\ta\nx\t1\ny\t" + b"1" * 1_000_000 + b"\n")
    pieces = text_stream.chunks(tmp_path / "m", "m", 1000)
    with pytest.raises(Exception, match="holds a line of over 10,000 bytes .raise --memory"):
        list(text_stream.blocks(pieces, 5, 80_000, "m"))


@pytest.mark.skipif(shutil.which("datamash") is None, reason="datamash is not here")
def test_real_counts_equal_the_bytes_of_datamash(real_data, tmp_path):
    packed = (real_data / "pbmc-zheng-donorA" / "pbmcA_genes_by_cells.tsv.gz").read_bytes()
    plain = gzip.decompress(packed)
    theirs = subprocess.run(["datamash", "transpose"], input=plain, capture_output=True, check=True)
    assert turned(tmp_path, packed) == theirs.stdout
