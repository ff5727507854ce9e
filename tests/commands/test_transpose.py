"""`scgx transpose` as a process: pipes, suffixes, tables beside, what it refuses, what it leaves."""

import gzip
import json
import signal
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from support.processes import fresh, leftovers

MATRIX = b"gene\tc1\tc2\tc3\ng1\t1\t0\t2\ng2\t0\t3\t0\n"
VALUES = [[1, 0], [0, 3], [2, 0]]


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    path = tmp_path / "matrix.tsv"
    path.write_bytes(MATRIX)
    return path


def test_text_becomes_cells_with_their_origin_signed(scgx, matrix, tmp_path):
    said = scgx("transpose", matrix, "-o", tmp_path / "out.h5ad").err
    made = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert made.X.toarray().tolist() == VALUES and made.X.dtype == np.int32
    record = json.loads(made.uns["scgx"]["history"][-1])
    assert record["command"] == "scgx transpose matrix.tsv -o out.h5ad"
    assert record["inputs"][0]["name"] == "matrix.tsv" and len(record["inputs"][0]["id"]) > 10
    assert "3 cells x 2 genes, int32" in said
    assert "whole" in scgx("check", tmp_path / "out.h5ad").out.decode()


def test_a_pipe_a_redirected_file_and_a_path_are_the_same(matrix, tmp_path):
    outs = []
    with open(matrix, "rb") as redirected:
        for options in (
            {"input": MATRIX},
            {"input": gzip.compress(MATRIX)},
            {"stdin": redirected},
        ):
            done = fresh("transpose", "--no-history", **options)
            assert done.code == 0, done.err
            outs.append(done.out)
    path = tmp_path / "out.h5ad"
    assert fresh("transpose", "--no-history", matrix, "-o", path).code == 0
    assert {*outs} == {path.read_bytes()}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-o", "out.tsv"], b"gene\tg1\tg2\nc1\t1\t0\nc2\t0\t3\nc3\t2\t0\n"),
        (["-o", "out.csv"], b"gene,g1,g2\nc1,1,0\nc2,0,3\nc3,2,0\n"),
        (["--format", "csv", "-o", "out"], b"gene,g1,g2\nc1,1,0\nc2,0,3\nc3,2,0\n"),
        (["-o", "out.tsv.gz"], b"gene\tg1\tg2\nc1\t1\t0\nc2\t0\t3\nc3\t2\t0\n"),
    ],
)
def test_the_suffix_or_format_says_what_is_written(words, text, scgx, matrix, tmp_path):
    scgx("transpose", matrix, *words)
    made = (tmp_path / words[-1]).read_bytes()
    assert (gzip.decompress(made) if words[-1].endswith("gz") else made) == text


def test_h5ad_becomes_text_and_text_the_same_h5ad(scgx, matrix, tmp_path):
    scgx("transpose", matrix, "-o", tmp_path / "cells.h5ad")
    scgx("transpose", tmp_path / "cells.h5ad", "-o", tmp_path / "back.tsv")
    assert (tmp_path / "back.tsv").read_bytes() == MATRIX.replace(b"gene", b"", 1)
    scgx("transpose", tmp_path / "back.tsv", "-o", tmp_path / "again.h5ad")
    assert anndata.read_h5ad(tmp_path / "again.h5ad").X.toarray().tolist() == VALUES


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
@pytest.mark.parametrize("dense", [False, True])
def test_values_written_as_text_read_back_exactly(dtype, dense, scgx, tmp_path):
    draw = np.random.default_rng(0)
    X = (draw.normal(size=(20, 30)) * (draw.random((20, 30)) < 0.3) * 1000).astype(dtype)
    from scipy import sparse

    cells = anndata.AnnData(X if dense else sparse.csr_matrix(X))
    cells.obs_names = [f"a,{i}" for i in range(20)]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    scgx("transpose", tmp_path / "cells.h5ad", "--format", "csv", "-o", tmp_path / "t")
    table = pd.read_csv(tmp_path / "t", index_col=0, float_precision="round_trip")
    assert table.columns.tolist() == cells.obs_names.tolist()
    np.testing.assert_array_equal(table.to_numpy().T.astype(dtype), X)


def test_a_table_beside_is_joined_by_name_and_gaps_are_told(scgx, matrix, tmp_path):
    (tmp_path / "meta.tsv").write_text("cell\tage\tkind\nc3\t7\tx\nzz\t1\ty\nc1\t5\ty\n")
    said = scgx("transpose", matrix, "--obs", tmp_path / "meta.tsv", "-o", tmp_path / "o.h5ad").err
    obs = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    assert obs.index.tolist() == ["c1", "c2", "c3"]
    assert obs["age"].tolist()[::2] == [5, 7] and np.isnan(obs["age"].iloc[1])
    assert obs["kind"].isna().tolist() == [False, True, False]
    assert "1 cells are kept, with nothing known about them" in said


def test_the_ucsc_set_keeps_cells_without_metadata_and_says_so(scgx, real_data, tmp_path):
    folder = real_data / "cellbrowser-cortex-mini"
    out = tmp_path / "out.h5ad"
    said = scgx(
        "transpose", folder / "exprMatrix.tsv.gz", "--obs", folder / "meta.tsv", "-o", out
    ).err
    made = anndata.read_h5ad(out)
    assert made.shape == (7163, 99) and made.obs["WGCNAcluster"].notna().sum() == 4261 - 132
    assert "2,902 cells are kept, with nothing known about them" in said


def test_missing_values_are_refused_unless_they_are_to_be_zero(scgx, tmp_path):
    (tmp_path / "m.csv").write_text("g,a,b\nx,1,NA\n")
    said = scgx("transpose", tmp_path / "m.csv", "-o", tmp_path / "o.h5ad", code=3).line()
    assert "m.csv: line 2, column 'b': a missing value (--na zero" in said
    assert not (tmp_path / "o.h5ad").exists()
    scgx("transpose", tmp_path / "m.csv", "--na", "zero", "-o", tmp_path / "o.h5ad")
    assert anndata.read_h5ad(tmp_path / "o.h5ad").X.toarray().tolist() == [[1], [0]]


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["matrix.tsv", "--na", "skip"], "--na 'skip' is unknown"),
        (["matrix.tsv", "--format", "xlsx"], "--format 'xlsx' is unknown"),
        (["matrix.tsv", "--na", "zero", "-o", "o.tsv"], "--na is of no use to text"),
        (["matrix.tsv", "--obs", "matrix.tsv", "--format", "csv"], "--obs is of no use to text"),
        (["-", "--obs", "-"], "stdin can be read once"),
        (["c.h5ad", "--na", "zero"], "--na is about text, and this is none"),
        (["c.h5ad", "--obs", "matrix.tsv"], "--obs is about text, and this is none"),
    ],
)
def test_options_that_would_do_nothing_are_usage_errors(words, what, scgx, matrix, tmp_path):
    scgx("transpose", matrix, "-o", tmp_path / "c.h5ad")
    assert what in scgx("transpose", *words, code=2).line()


def test_a_fault_or_an_end_in_between_leaves_the_old_output(matrix, tmp_path):
    out, big = tmp_path / "out.tsv", tmp_path / "big.tsv"
    out.write_bytes(b"old")
    big.write_bytes(MATRIX + b"g\t1\t1\t1\n" * 300_000 + b"g\t1\t1\n")
    env = {"TMPDIR": str(tmp_path)}
    done = fresh("transpose", big, "-o", out, env=env)
    assert done.code == 3 and "line 300,004 has 3 fields where others have 4" in done.err
    assert out.read_bytes() == b"old" and leftovers(tmp_path) == []


def test_an_interrupt_leaves_nothing_behind(forked, tmp_path):
    big, out = tmp_path / "big.tsv", tmp_path / "o.h5ad"
    big.write_bytes(MATRIX + b"".join(b"g%d\t1\t1\t1\n" % i for i in range(1_000_000)))
    env = {"TMPDIR": str(tmp_path)}
    for delay in (0.05, 0.3, 0.6):
        out.unlink(missing_ok=True)
        done = forked("transpose", big, "-o", out, env=env, kill=(signal.SIGTERM, delay))
        assert done.code in (0, 143), done
        assert leftovers(tmp_path) == []
        assert out.exists() or done.code == 143
        if out.exists():  # the signal may come when all is written
            assert anndata.read_h5ad(out).shape == (3, 1_000_002)
