"""Matrix Market folders: what scipy reads of them, exactly, or the number of the line that is wrong."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmread, mmwrite
from support import files

from scgx.errors import DataError, InputError
from scgx.h5ad import mtx, mtx_lines
from scgx.h5ad.reader import open_cells

FOLDERS = (
    "int-ids",
    "1.2.0/filtered_gene_bc_matrices/hg19_chr21",
    "3.0.0/filtered_feature_bc_matrix",
)


def read(path: Path, **options: object) -> tuple[np.ndarray, np.dtype, object]:
    """Values, their type, and the open file's tables."""
    with open_cells(path, **options) as cells:
        return cells.rows("X", np.arange(cells.n_obs)).toarray(), cells.matrix().dtype, cells.var


def folder(path: Path, X: object, *, order: str = "cells", field: str = "integer") -> Path:
    """A folder of version 3 with the cells x features of X, its lines in some order."""
    path.mkdir()
    matrix = sparse.coo_array(X)
    lines = list(zip(matrix.coords[1] + 1, matrix.coords[0] + 1, matrix.data, strict=True))
    if order == "shuffled":
        np.random.default_rng(1).shuffle(lines)
    else:
        lines.sort(key=lambda line: (line[1], -line[0]) if order == "cells" else line[0])
    text = f"%%MatrixMarket matrix coordinate {field} general\n% made\n"
    text += f"{X.shape[1]} {X.shape[0]} {len(lines)}\n"
    number = {
        "integer": lambda v: f" {int(v)}",
        "real": lambda v: f" {v!r}",
        "pattern": lambda v: "",
    }
    text += "".join(f"{int(g)} {int(c)}{number[field](float(v))}\n" for g, c, v in lines)
    (path / "matrix.mtx").write_text(text)
    rows = "".join(f"id{i}\tgene{i}\tGene Expression\n" for i in range(X.shape[1]))
    (path / "features.tsv").write_text(rows)
    (path / "barcodes.tsv").write_text("".join(f"cell{i}\n" for i in range(X.shape[0])))
    return path


def squeeze(path: Path) -> Path:
    """The same folder with every file gzip."""
    for one in path.iterdir():
        one.with_name(one.name + ".gz").write_bytes(gzip.compress(one.read_bytes()))
        one.unlink()
    return path


@pytest.mark.parametrize("name", FOLDERS)
def test_a_real_folder_is_what_scipy_reads_of_it(real_data, name):
    path = real_data / "compat-10x" / name
    wanted = mmread(next(path.glob("matrix.mtx*"))).toarray().T
    found, _, var = read(path)
    np.testing.assert_array_equal(found, wanted)
    assert len(set(var.index)) == wanted.shape[1]
    assert set(var.strings("feature_types")) == {"Gene Expression"}


def test_ten_x_folder_and_hdf5_are_the_same_cells(real_data):
    path = real_data / "compat-10x"
    with open_cells(path / "3.0.0" / "filtered_feature_bc_matrix") as one:
        with open_cells(path / "cellranger-3.0.0.h5") as other:
            assert one.obs_names.tolist() == other.obs_names.tolist()
            assert one.var_names.tolist() == other.var_names.tolist()
            every = np.arange(one.n_obs)
            assert (one.rows("X", every) != other.rows("X", every)).nnz == 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["cells", "features", "shuffled"])
def test_the_order_of_lines_and_the_size_of_blocks_change_nothing(
    tmp_path, monkeypatch, order, packed
):
    X = files.counts(0, (700, 60))
    X[:, 5] = X[100:200] = X[-1] = 0
    path = folder(tmp_path / "m", X, order=order)
    path = squeeze(path) if packed else path
    monkeypatch.setattr(mtx_lines, "CHUNK", 2000)
    monkeypatch.setattr(mtx, "_PIECE", 999)
    found, dtype, _ = read(path, memory=1 << 17)
    np.testing.assert_array_equal(found, X)
    assert dtype == np.int32


def test_a_matrix_may_lie_the_other_way_round_and_without_its_last_newline(tmp_path):
    X = files.counts(3, (20, 7))
    path = folder(tmp_path / "m", X)
    mmwrite(path / "matrix.mtx", sparse.coo_matrix(X.astype(int)))
    text = (path / "matrix.mtx").read_bytes()
    (path / "matrix.mtx").write_bytes(text.rstrip(b"\n"))
    np.testing.assert_array_equal(read(path)[0], X)


@pytest.mark.parametrize(
    ("values", "field", "dtype"),
    [
        ([1, 2**31 - 1, 3], "integer", np.int32),
        ([1, 2**40, -3], "integer", np.int64),
        ([1.5, 2.0, 3.0], "real", np.float32),
        ([1e308, 5e-324, -1.0], "real", np.float64),
        ([1.5, 0.1, 1e-300], "real", np.float64),
        ([1, 1, 1], "pattern", np.int32),
    ],
)
def test_values_are_exact_in_as_many_bits_as_they_need(tmp_path, values, field, dtype):
    X = np.diag(np.array(values, dtype=np.float64))[:, [0, 1, 2, 0]]
    found, kind, _ = read(folder(tmp_path / "m", X, field=field))
    np.testing.assert_array_equal(found, X)
    assert kind == dtype


def test_numbers_may_carry_a_sign_or_an_exponent(tmp_path):
    for field, words, wanted in (
        ("integer", ("+5", "-6", "007"), [5, -6, 7]),
        ("real", ("+5.5", "-6e-1", ".5E+1"), [5.5, -0.6, 5.0]),
    ):
        text = BODY.replace("integer", field)
        for old, new in zip(("1 1 5", "2 1 6", "3 2 7"), words, strict=True):
            text = text.replace(old, old[:-1] + new)
        found, _, _ = read(small(tmp_path / field, text))
        assert [found[0, 0], found[0, 1], found[1, 2]] == wanted


def test_crlf_tabs_and_blank_lines_are_read(tmp_path):
    X = files.counts(3, (20, 7))
    path = folder(tmp_path / "m", X)
    head, *lines = (path / "matrix.mtx").read_bytes().split(b"\n")
    text = b"\r\n".join([head, *(line.replace(b" ", b"\t") for line in lines), b"", b""])
    (path / "matrix.mtx").write_bytes(text)
    for name in ("features.tsv", "barcodes.tsv"):
        one = path / name
        one.write_bytes(b"\xef\xbb\xbf" + one.read_bytes().replace(b"\n", b"\r\n"))
    found, _, var = read(path)
    np.testing.assert_array_equal(found, X)
    assert var.index[0] == "id0"


@pytest.mark.parametrize(
    "names",
    [
        ("GSM1_matrix.mtx.gz", "GSM1_genes.tsv.gz", "GSM1_barcodes.tsv.gz"),
        ("E-X.counts.mtx", "E-X.counts.mtx_rows", "E-X.counts.mtx_cols"),
        ("counts.mtx", "counts_features.tsv", "counts.barcodes.tsv"),
        ("my.mtx", "features.txt", "cells.txt"),
    ],
)
def test_names_are_found_beside_the_matrix(tmp_path, names):
    X = files.counts(3, (20, 7))
    path = folder(tmp_path / "m", X)
    other = tmp_path / "other"
    other.mkdir()
    for old, new in zip(("matrix.mtx", "features.tsv", "barcodes.tsv"), names, strict=True):
        text = (path / old).read_bytes()
        (other / new).write_bytes(gzip.compress(text) if new.endswith(".gz") else text)
    for argument in (other, other / names[0]):
        np.testing.assert_array_equal(read(argument)[0], X)


def test_a_line_of_titles_is_understood_and_places_of_peaks_are_kept(tmp_path, capsys):
    X = files.counts(3, (20, 2))
    path = folder(tmp_path / "m", X)
    (path / "features.tsv").write_text(
        "id\tname\ttype\tchrom\tstart\tend\n"
        "E1\tA\tGene Expression\tchr1\t5\t9\nchr2:1-4\tchr2:1-4\tPeaks\tchr2\t1\t4\n"
    )
    _, _, var = read(path)
    assert "titles" in capsys.readouterr().err
    assert var.index.tolist() == ["E1", "chr2:1-4"]
    assert var["start"].tolist() == [5, 1]
    assert var.strings("chrom").tolist() == ["chr1", "chr2"]


def test_ids_and_symbols_in_one_name_are_told_apart(tmp_path):
    path = folder(tmp_path / "m", files.counts(3, (20, 2)))
    (path / "features.tsv").write_text("ENSG00000000003|TSPAN6\nENSG00000000005|TNMD\n")
    _, _, var = read(path)
    assert var.index.tolist() == ["ENSG00000000003", "ENSG00000000005"]
    assert var.strings("gene_name").tolist() == ["TSPAN6", "TNMD"]


def test_a_folder_by_genome_asks_which(tmp_path, real_data):
    inner = real_data / "compat-10x" / FOLDERS[1]
    for genome in ("hg19", "mm10"):
        shutil.copytree(inner, tmp_path / "g" / genome)
    with pytest.raises(DataError, match="10x-genome"):
        read(tmp_path / "g")
    assert read(tmp_path / "g", genome_10x="mm10")[0].shape == (12, 343)


BODY = "%%MatrixMarket matrix coordinate integer general\n3 2 3\n1 1 5\n2 1 6\n3 2 7\n"
WRONG = {
    "a row too far": (BODY.replace("3 2 7", "4 2 7"), "line 5: row 4"),
    "numbered from 0": (BODY.replace("1 1 5", "0 1 5"), "line 3: row 0 .*from 0"),
    "a column too far": (BODY.replace("3 2 7", "3 9 7"), "line 5: column 9"),
    "a fraction": (BODY.replace("2 1 6", "2 1 6.5"), "line 4"),
    "a word": (BODY.replace("2 1 6", "2 1 NA"), "line 4"),
    "two fields": (BODY.replace("2 1 6", "2 1"), "line 4"),
    "four fields": (BODY.replace("2 1 6", "2 1 6 1"), "line 4"),
    "a comment among the entries": (BODY.replace("2 1 6", "% 1 6"), "line 4"),
    "a value of 80 bits": (BODY.replace("1 6", "1 999999999999999999999"), "line 4"),
    "a value of 5,000 digits": (BODY.replace("1 6", "1 " + 5000 * "9"), "line 4"),
    "a value beyond all numbers": (
        BODY.replace("integer", "real").replace("2 1 6", "2 1 1e999"),
        "line 4",
    ),
    "cut": (BODY[:-6], "2 entries where 3"),
    "too many": (BODY + "1 2 7\n", "more entries where 3"),
    "twice": (BODY.replace("2 1 6", "1 1 6"), "given twice"),
    "twice, apart": (BODY.replace("3 2 7", "1 1 7"), "given twice"),
    "two points": (BODY.replace("integer", "real").replace("2 1 6", "2 1 6.5.1"), "line 4"),
    "a sign within": (BODY.replace("integer", "real").replace("2 1 6", "2 1 6-1"), "line 4"),
    "not a number": (BODY.replace("integer", "real").replace("2 1 6", "2 1 nan"), "line 4"),
    "no sizes": (BODY.replace("3 2 3\n", ""), "line 3|line 2|entries|3 x"),
    "sizes of a word": (BODY.replace("3 2 3", "3 2 x"), "line 2"),
    "other names": (BODY.replace("3 2 3", "4 2 3"), "4 x 2 where there are 3 features"),
}


def small(path: Path, text: str) -> Path:
    path.mkdir()
    (path / "matrix.mtx").write_text(text)
    (path / "features.tsv").write_text("a\nb\nc\n")
    (path / "barcodes.tsv").write_text("x\ny\n")
    return path


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_with_its_line(tmp_path, case):
    text, words = WRONG[case]
    with pytest.raises(InputError, match=words) as raised:
        read(small(tmp_path / "m", text))
    assert len(str(raised.value)) <= 300


@pytest.mark.parametrize("kind", ["coordinate integer symmetric", "array real general",
                                  "coordinate complex general"])  # fmt: skip
def test_matrices_that_no_counts_come_in_are_refused_in_words(tmp_path, kind):
    with pytest.raises(DataError):
        read(small(tmp_path / "m", BODY.replace("coordinate integer general", kind)))


def test_a_matrix_without_names_says_which_are_missing(tmp_path):
    path = small(tmp_path / "m", BODY)
    (path / "barcodes.tsv").unlink()
    with pytest.raises(InputError, match=r"no barcodes\.tsv lies beside it"):
        read(path)


def test_a_gzip_that_is_cut_is_one_error(tmp_path):
    path = squeeze(folder(tmp_path / "m", files.counts(0, (400, 60))))
    packed = (path / "matrix.mtx.gz").read_bytes()
    (path / "matrix.mtx.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"truncated|damaged"):
        read(path)


def test_no_entries_at_all_are_empty_cells(tmp_path):
    path = small(tmp_path / "m", BODY.partition("1 1 5")[0].replace("3 2 3", "3 2 0"))
    assert read(path)[0].tolist() == [[0, 0, 0], [0, 0, 0]]
