"""Text matrices as h5ad: every layout against pandas, every fault with its line."""

import bz2
import gzip
import io
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from scgx.errors import InputError
from scgx.h5ad.text import to_h5ad

SMALL = 16 << 20
PACKED = {
    "plain": bytes,
    "gzip": gzip.compress,
    "two members": lambda data: gzip.compress(data[:40]) + gzip.compress(data[40:]),
    "bzip2": bz2.compress,
    "zstd": zstandard.ZstdCompressor().compress,
    "two frames": lambda data: (
        zstandard.ZstdCompressor().compress(data[:40])
        + zstandard.ZstdCompressor().compress(data[40:])
    ),
}


def made(folder: Path, text: bytes | str, **options: object) -> anndata.AnnData:
    """The cells of a text."""
    source, out = folder / "matrix", folder / "out.h5ad"
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    to_h5ad(source, out, memory=SMALL, **options)
    return anndata.read_h5ad(out)


def matrix(lines: int = 30, columns: int = 7, seed: int = 0) -> pd.DataFrame:
    """Genes x cells, mostly zero."""
    draw = np.random.default_rng(seed)
    counts = draw.poisson(0.7, (lines, columns)) * draw.integers(1, 300, (lines, columns))
    names = [f"gene{i}" for i in range(lines)], [f"cell{i}" for i in range(columns)]
    return pd.DataFrame(counts, index=names[0], columns=names[1])


def same(cells: anndata.AnnData, table: pd.DataFrame) -> None:
    """Equal to the table turned: names, order, values."""
    assert cells.obs_names.tolist() == table.columns.tolist()
    assert cells.var_names.tolist() == table.index.tolist()
    np.testing.assert_array_equal(cells.X.toarray(), table.to_numpy().T)


def as_r_writes(text: str) -> str:
    """Names in quotes, and a first line that is one field short."""
    first, *rest = text.splitlines()
    lines = [",".join(f'"{name}"' for name in first.split(",")[1:])]
    lines += ['"' + line.replace(",", '",', 1) for line in rest]
    return "\n".join(lines)


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize("separator", ["\t", ",", ";", " "])
def test_it_equals_pandas_however_separated_and_packed(pack, separator, tmp_path):
    table = matrix()
    text = table.to_csv(sep=separator, index_label="gene").encode()
    cells = made(tmp_path, PACKED[pack](text))
    same(cells, table)
    assert cells.X.dtype == np.int32 and cells.X.has_sorted_indices


@pytest.mark.parametrize(
    "change",
    {
        "no first cell": lambda t: t.replace("gene,", "", 1),
        "empty first cell": lambda t: t.replace("gene,", ",", 1),
        "quoted": lambda t: "\n".join(
            ",".join(f'"{word}"' for word in line.split(",")) for line in t.split("\n") if line
        ),
        "CRLF": lambda t: t.replace("\n", "\r\n"),
        "byte order mark": lambda t: "\ufeff" + t,
        "no last line feed": lambda t: t.rstrip("\n"),
        "blank lines at the end": lambda t: t + "\n\r\n\n",
        "blanks around numbers": lambda t: t.replace(",0", ", 0 "),
        "signs": lambda t: t.replace(",0", ",-0").replace(",1", ",+1"),
        "R": as_r_writes,
    }.items(),
    ids=lambda pair: pair[0],
)  # fmt: skip
def test_every_layout_says_the_same(change, tmp_path):
    table = matrix()
    cells = made(tmp_path, change[1](table.to_csv(index_label="gene")))
    same(cells, table)
    assert cells.X.dtype == np.int32


word = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8
)
number = st.one_of(
    st.integers(-(2**53), 2**53).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda x: f"{x:.7g}"),
    st.sampled_from(["0", "1", "1e-3", "1E5", ".5", "5.", "-0.0", "00012", "1e22", "1e-22", "9e-324"]),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(data=st.data(), n=st.integers(1, 5), m=st.integers(1, 5), separator=st.sampled_from(",\t;"))
def test_any_name_and_any_number_come_through_exactly(data, n, m, separator, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    some = st.lists(word.filter(lambda w: w.strip(' "')), unique=True)
    genes = data.draw(some.filter(bool).map(lambda w: w[:n]))
    cells = data.draw(some.filter(lambda w: len(w) >= 1).map(lambda w: w[:m]))
    values = [[data.draw(number) for _ in cells] for _ in genes]
    table = pd.DataFrame(values, index=genes, columns=cells)
    text = table.to_csv(sep=separator, quoting=2).replace('""', '"x"', 1)
    for row in values:
        for value in row:
            text = text.replace(f'"{value}"', value)
    found = made(folder, text)
    assert found.obs_names.tolist() == cells and found.var_names.tolist() == genes
    exact = np.array([[float(v) for v in row] for row in values])
    np.testing.assert_array_equal(found.X.toarray().astype(float), exact.T)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2147483647"], "int32"),
        (["1", "2147483648"], "int64"),
        (["1", "0.5"], "float32"),
        (["1", "2.0"], "float32"),
        (["16777217", "2.0"], "float64"),
        (["1", "0.1"], "float64"),
        (["1", "1e3"], "float32"),
    ],
)
def test_values_keep_their_kind_in_the_smallest_that_is_exact(values, kind, tmp_path):
    cells = made(tmp_path, f"g\ta\tb\nx\t{values[0]}\t{values[1]}\n")
    assert cells.X.dtype == kind
    assert cells.X.toarray().ravel().tolist() == [float(v) for v in values]


@pytest.mark.parametrize("missing", ["", "NA", "NaN", "nan", "N/A", "null", "None", '"NA"'])
def test_missing_values_are_refused_or_zero_and_counted(missing, tmp_path, capsys):
    text = f"g\ta\tb\nx\t1\t2\ny\t3\t{missing}\n"
    with pytest.raises(InputError, match="line 3, column 'b': a missing value .--na zero"):
        made(tmp_path, text)
    cells = made(tmp_path, text, na="zero")
    assert cells.X.toarray().tolist() == [[1, 3], [2, 0]] and cells.X.dtype == np.int32
    assert "1 missing values are read as zero" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("g\ta\tb\nx\t1\t2\ny\t1\n", "line 3 has 2 fields where others have 3"),
        ("g\ta\tb\nx\t1\t2\ny\t1\t2\t3\n", "line 3 has 4 fields where others have 3"),
        ("g\ta\tb\nx\t1\t2\n\ny\t1\t2\n", "line 3 is empty"),
        ("g\ta\tb\nx\t1\t2\ny\t1\ttwo\n", "line 3, column 'b': 'two' is no number"),
        ("g\ta\tb\nx\t1\t2\ny\t1\tinf\n", "'inf' is no number (values have to be finite)"),
        ("g;a;b\nx;1;2,5\n", "'2,5' is no number (write decimal points"),
        ('g\ta\tb\nx\t1\t"1,234"\n', "is no number (write decimal points"),
        ("g\ta\tb\nx\t1\t1e999\n", "line 2: 1e999 is too large"),
        ("g\ta\tb\nx\t1\t9007199254740993\n", "line 2: 9007199254740993 needs more than 53 bits"),
        ('g\ta\tb\nx\t1\t"2\n', "a quote is not closed"),
        ('g\ta\tb\nx\t1\t2\n"y\t1\t2\n', "line 3: a quote is not closed"),
        ("g\ta\tb\nx\t1\t2\n\t1\t2\n", "line 3 has no name"),
        ("g\ta\t\nx\t1\t2\n", "line 1 has no name for column 2 of 2"),
        ("g\ta\tb\tc\td\nx\t1\t2\n", "line 1 has 5 fields (tab) and line 2 has 3"),
        ("g a\n", "has a first line and no values"),
        ("gene\nx\ny\n", "has no tabs, commas, semicolons or blanks"),
        ("x\t0\t1\t0\ny\t1\t2\t3\n", "line 1 holds numbers where names should be"),
        ("g\ta\rx\t1\r", "ends its lines with CR alone"),
        ("g\ta\tb\nx\t1\t0\x002\n", "binary data of an unknown kind"),
        ("<html><body>no</body></html>\n\n", "is a web page"),
        ("%%MatrixMarket matrix\n1 1 1\n", "is Matrix Market text"),
        ("g\ta\n".encode("utf-16"), "is UTF-16"),
        ("g\ta\tb\nx\t1\t2021-03-01\n", "is no number"),
        ("g\ta\tb\nx\t1\t0x10\n", "is no number"),
        ("g\ta\tb\nx\t1\t1_000\n", "is no number"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused_with_its_line(text, words, tmp_path):
    with pytest.raises(InputError) as caught:
        made(tmp_path, text)
    assert words in str(caught.value) and len(caught.value.what) < 200


@pytest.mark.parametrize("pack", ["gzip", "bzip2", "zstd"])
def test_a_packed_text_that_was_cut_is_an_error_and_no_end(pack, tmp_path):
    text = PACKED[pack](matrix(400, 50).to_csv(sep="\t").encode())
    for cut in (len(text) // 2, len(text) - 3):
        with pytest.raises(InputError, match="truncated|damaged"):
            made(tmp_path, text[:cut])


def test_a_fault_far_down_is_named_by_its_line(tmp_path):
    """Blocks are read in threads; the number counts all that went before."""
    lines = ["g\t" + "\t".join(f"c{i}" for i in range(50))]
    lines += [f"gene{i}\t" + "\t".join(["0"] * 50) for i in range(9000)]
    lines[7777] = "bad" + "\t1" * 49 + "\tx"
    with pytest.raises(InputError, match="line 7,778, column 'c49': 'x' is no number"):
        made(tmp_path, "\n".join(lines))


def test_names_that_repeat_are_told_with_their_places_and_numbered(tmp_path, capsys):
    cells = made(tmp_path, "g\ta\tb\ta\nx\t1\t2\t3\ny\t1\t2\t3\nx\t4\t5\t6\n")
    assert cells.obs_names.tolist() == ["a", "b", "a-1"]
    assert cells.var_names.tolist() == ["x", "y", "x-1"]
    said = capsys.readouterr().err
    assert "cell 'a' is on columns 1 and 3" in said and "gene 'x' is on lines 2 and 4" in said


def test_ids_with_symbols_are_split(tmp_path):
    lines = ["g\ta", "ENSG00000000003.15|TSPAN6\t1", "ENSG00000000005|TNMD\t2"]
    lines += [f"ENSG{i:011d}|X{i}\t0" for i in range(20)] + ["ERCC-1\t3"]
    cells = made(tmp_path, "\n".join(lines))
    assert cells.var_names[:2].tolist() == ["ENSG00000000003.15", "ENSG00000000005"]
    assert cells.var["gene_name"].tolist()[:2] == ["TSPAN6", "TNMD"]
    assert cells.var_names[-1] == cells.var["gene_name"].iloc[-1] == "ERCC-1"


def test_latin_1_is_read_and_said_and_utf_8_is_kept(tmp_path, capsys):
    assert made(tmp_path, "g\tzelle-ä\nß\t1\n").obs_names[0] == "zelle-ä"
    assert capsys.readouterr().err.count("Latin-1") == 0
    assert made(tmp_path, "g\tzelle-ä\nß\t1\n".encode("latin-1")).obs_names[0] == "zelle-ä"
    assert "Latin-1" in capsys.readouterr().err


def test_names_that_look_like_values_stay_names(tmp_path):
    cells = made(tmp_path, "g\t001\t002\nNA\t1\t2\nnan\t1\t2\n007\t1\t2\n")
    assert cells.var_names.tolist() == ["NA", "nan", "007"]
    assert cells.obs_names.tolist() == ["001", "002"]


def test_dates_of_a_spreadsheet_are_told(tmp_path, capsys):
    made(tmp_path, "g\ta\nTP53\t1\n1-Mar\t1\n2-Sep\t1\n")
    assert "2 genes look like dates" in capsys.readouterr().err


@pytest.mark.parametrize(("lines", "columns"), [(3, 40_000), (60_000, 3)])
def test_wide_and_long_matrices_take_many_blocks(lines, columns, tmp_path):
    table = matrix(lines, columns)
    cells = made(tmp_path, table.to_csv(sep="\t"))
    same(cells, table)


def test_the_real_matrix_equals_its_h5ad(real_data, tmp_path):
    folder = real_data / "pbmc-zheng-donorA"
    out = tmp_path / "out.h5ad"
    to_h5ad(folder / "pbmcA_genes_by_cells.tsv.gz", out, memory=SMALL)
    ours, theirs = anndata.read_h5ad(out), anndata.read_h5ad(folder / "pbmcA_counts.h5ad")
    assert ours.obs_names.tolist() == theirs.obs_names.tolist()
    assert ours.var_names.tolist() == theirs.var_names.tolist()
    assert (ours.X != theirs.X).nnz == 0 and ours.X.dtype == np.int32


@pytest.mark.parametrize("name", ["RNAmix_celseq2", "sc_celseq2_5cl_p1", "sc_dropseq"])
def test_every_matrix_of_cellmix_equals_what_pandas_reads(name, real_data, tmp_path):
    path = real_data / "cellmix-sc_mixology" / f"{name}.count.csv.gz"
    to_h5ad(path, tmp_path / "out.h5ad", memory=SMALL)
    same(anndata.read_h5ad(tmp_path / "out.h5ad"), pd.read_csv(path, index_col=0))


def test_the_ucsc_matrix_equals_what_pandas_reads(real_data, tmp_path):
    path = real_data / "cellbrowser-cortex-mini" / "exprMatrix.tsv.gz"
    to_h5ad(path, tmp_path / "out.h5ad", memory=SMALL)
    table = pd.read_csv(path, sep="\t", index_col=0, float_precision="round_trip")
    same(anndata.read_h5ad(tmp_path / "out.h5ad"), table)


def test_the_same_text_makes_the_same_bytes_whatever_the_memory(tmp_path):
    text = matrix(3000, 60).to_csv(sep="\t").encode()
    (tmp_path / "m").write_bytes(text)
    whole = []
    for memory in (SMALL, 1 << 30):
        to_h5ad(tmp_path / "m", tmp_path / "out", memory=memory)
        whole.append((tmp_path / "out").read_bytes())
    assert whole[0] == whole[1]
    assert io.BytesIO(whole[0]).read(4)[1:] == b"HDF"
