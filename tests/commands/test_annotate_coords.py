"""`scgx annotate-coords` as a process, on real files."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from scgx.commands.annotate_coords import annotate_coords
from scgx.errors import DataError
from scgx.h5ad.reader import open_cells

SNARE = "multiome-snare-mouse-cortex/snare_rna_counts.h5ad"
BMMC = "multiome-bmmc-neurips/set1.rna.h5ad"
MM10 = "genes-coordinates/gencode.vM25.protein_coding.genes.mm10.bed"
HG19 = "genes-coordinates/CollapsedGeneBounds.hg19.bed"
HG38 = "genes-coordinates/gencode_v48_genes_only.gtf.gz"
HG38_TABLE = "genes-coordinates/gene_coordinates_homo_sapiens.csv.gz"


def scgx(
    *words: object, code: int = 0, stdin: bytes | None = None, **environment: str
) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scgx", *map(str, words)]
    done = subprocess.run(
        command, input=stdin, capture_output=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == code, done.stderr.decode()
    return done


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Six cells of four genes and a peak, out of order, with everything that is aligned to var."""
    rng = np.random.default_rng(0)
    data = anndata.AnnData(rng.poisson(1.0, (6, 5)).astype(np.float32))
    data.obs_names = [f"c{i}" for i in range(6)]
    data.var_names = ["TP53", "XIST", "MT-CO1", "nothing", "chr1:5-9"]
    data.var["feature_types"] = ["Gene Expression"] * 4 + ["Peaks"]
    data.var["number"] = range(5)
    data.layers["l"] = data.X * 2
    data.varm["m"] = np.arange(5.0).reshape(5, 1)
    data.varp["p"] = np.arange(25.0).reshape(5, 5)
    data.raw = data.copy()
    data.write_h5ad(tmp_path / "small.h5ad")
    return tmp_path / "small.h5ad"


GTF = (
    'chr17\tx\tgene\t7661779\t7687546\t.\t-\t.\tgene_id "ENSG00000141510.19"; gene_name "TP53";\n'
    'chrX\tx\tgene\t73820649\t73852714\t.\t-\t.\tgene_id "ENSG00000229807.1"; gene_name "XIST";\n'
    'chrM\tx\tgene\t5904\t7445\t.\t+\t.\tgene_id "ENSG00000198804.2"; gene_name "MT-CO1";\n'
)


def test_features_are_placed_and_sorted_with_all_that_belongs_to_them(small, tmp_path):
    (tmp_path / "g.gtf.gz").write_bytes(gzip.compress(GTF.encode()))
    said = scgx(
        "annotate-coords",
        small,
        "--gtf",
        tmp_path / "g.gtf.gz",
        "-o",
        tmp_path / "o.h5ad",
        "--report",
        tmp_path / "report.tsv",
        "--genome",
        "hg38",
    ).stderr.decode()
    before, after = anndata.read_h5ad(small), anndata.read_h5ad(tmp_path / "o.h5ad")
    assert after.var_names.tolist() == ["TP53", "XIST", "MT-CO1", "nothing", "chr1:5-9"]
    assert after.var["chrom"].tolist()[:3] == ["chr17", "chrX", "chrM"]
    assert pd.isna(after.var["chrom"].iloc[3])
    assert after.var["start"].tolist() == [7_661_778, 73_820_648, 5_903, -1, 5]
    assert after.var["tss"].tolist() == [7_687_545, 73_852_713, 5_903, -1, -1]
    assert after.uns["scgx"]["genome"] == "GRCh38"
    assert np.array_equal(after.X, before.X)
    assert "matched 3 of 4 genes (0 by id, 3 by symbol)" in said
    assert "1 unmatched: nothing" in said
    assert "1 features have no place" in said
    report = pd.read_csv(tmp_path / "report.tsv", sep="\t", index_col="feature")
    assert report["matched"].tolist() == ["symbol", "symbol", "symbol", "unmatched", "in the file"]
    assert report["start"].tolist()[:3] == [7_661_778, 73_820_648, 5_903]


def test_sorting_moves_everything_that_is_aligned_to_features(small, tmp_path):
    swapped = GTF.replace("chr17", "chr9").replace("chrM", "chr2")
    (tmp_path / "g.gtf").write_text(swapped)
    command = ("annotate-coords", small, "--gtf", tmp_path / "g.gtf")
    scgx(*command, "-o", tmp_path / "o.h5ad")
    before, after = anndata.read_h5ad(small), anndata.read_h5ad(tmp_path / "o.h5ad")
    order = [2, 0, 1, 3, 4]
    assert after.var["number"].tolist() == order
    assert np.array_equal(after.X, before.X[:, order])
    assert np.array_equal(after.layers["l"], before.layers["l"][:, order])
    assert np.array_equal(after.varm["m"], before.varm["m"][order])
    assert np.array_equal(after.varp["p"], before.varp["p"][np.ix_(order, order)])
    assert after.raw.var_names.tolist() == before.var_names.tolist()
    scgx(*command, "-o", tmp_path / "u.h5ad", "--no-sort")
    assert anndata.read_h5ad(tmp_path / "u.h5ad").var["number"].tolist() == [0, 1, 2, 3, 4]


def test_strict_refuses_any_gap(small, tmp_path):
    (tmp_path / "g.gtf").write_text(GTF)
    said = scgx(
        "annotate-coords",
        small,
        "--gtf",
        tmp_path / "g.gtf",
        "--strict",
        "-o",
        tmp_path / "o.h5ad",
        code=4,
    ).stderr.decode()
    assert "1 unmatched, 1 without a place (--strict)" in said
    assert not (tmp_path / "o.h5ad").exists()


def test_real_mouse_symbols_match_the_annotation_of_their_genome(real_data, tmp_path):
    out = tmp_path / "o.h5ad"
    done = scgx("annotate-coords", real_data / SNARE, "--bed", real_data / MM10)
    out.write_bytes(done.stdout)
    said = done.stderr
    before, after = anndata.read_h5ad(real_data / SNARE), anndata.read_h5ad(out)
    assert b"matched 1,591 of 1,677 genes (0 by id, 1,591 by symbol)" in said
    assert after.uns["scgx"]["genome"] == "GRCm38"
    assert (after[before.obs_names, before.var_names].X != before.X).nnz == 0
    placed = after.var[after.var["start"] >= 0]
    assert len(placed) == 1591
    assert placed["chrom"].notna().all()
    for _, group in placed.groupby("chrom", observed=True):
        assert group["start"].is_monotonic_increasing


def test_real_ids_match_in_gtf_and_in_table_alike(real_data, tmp_path):
    first, second = tmp_path / "1.h5ad", tmp_path / "2.h5ad"
    said = scgx("annotate-coords", real_data / BMMC, "--gtf", real_data / HG38, "-o", first).stderr
    assert b"matched 598 of 600 genes (598 by id, 0 by symbol)" in said
    annotate_coords(str(real_data / BMMC), str(second), bed=str(real_data / HG38_TABLE))
    with open_cells(first) as one, open_cells(second) as other:
        pd.testing.assert_frame_equal(one.var.to_pandas(), other.var.to_pandas())


@pytest.mark.parametrize(
    ("file", "bed", "words"),
    [
        (SNARE, HG19, "knows 0.1% of 1,677 genes"),
        (BMMC, HG19, "the data are of GRCh38 (hg38), not GRCh37 (hg19)"),
        (BMMC, MM10, "not GRCm38 (mm10)"),
    ],
)
def test_an_annotation_of_another_genome_is_refused(real_data, tmp_path, file, bed, words):
    out = tmp_path / "o.h5ad"
    with pytest.raises(DataError) as caught:
        annotate_coords(str(real_data / file), str(out), bed=str(real_data / bed))
    assert words in str(caught.value)
    assert not out.exists()


def test_a_declared_genome_that_the_annotation_contradicts_is_refused(real_data, tmp_path):
    with pytest.raises(DataError, match="is of GRCm38 .mm10., not GRCm39 .mm39."):
        annotate_coords(
            str(real_data / SNARE), str(tmp_path / "o"), bed=str(real_data / MM10), genome="mm39"
        )


def test_annotating_twice_changes_nothing_and_a_pipe_is_a_path(small, tmp_path):
    (tmp_path / "g.gtf").write_text(GTF)
    command = ("annotate-coords", "-", "--gtf", tmp_path / "g.gtf", "--no-history")
    once = scgx(*command, stdin=small.read_bytes()).stdout
    scgx("annotate-coords", small, *command[2:], "-o", tmp_path / "o.h5ad")
    assert once == (tmp_path / "o.h5ad").read_bytes()
    (tmp_path / "once.h5ad").write_bytes(once)
    twice = scgx(*command, stdin=once).stdout
    (tmp_path / "twice.h5ad").write_bytes(twice)
    frames = [anndata.read_h5ad(tmp_path / name).var for name in ("once.h5ad", "twice.h5ad")]
    pd.testing.assert_frame_equal(*frames)


def test_an_annotation_may_come_through_a_pipe(small, tmp_path):
    (tmp_path / "g.gtf.gz").write_bytes(gzip.compress(GTF.replace("\tgene\t", "\texon\t").encode()))
    line = f"{sys.executable} -m scgx annotate-coords {small} --gtf <(cat {tmp_path}/g.gtf.gz)"
    line += f" > {tmp_path}/o"
    subprocess.run(["bash", "-c", line], check=True, capture_output=True)
    assert anndata.read_h5ad(tmp_path / "o").var["chrom"].notna().sum() == 4


def test_an_annotation_that_was_not_fetched_says_how(small, tmp_path):
    said = scgx(
        "annotate-coords",
        small,
        "--annotation",
        "gencode-human",
        "-o",
        tmp_path / "o",
        code=4,
        SCGX_CACHE=str(tmp_path / "cache"),
    ).stderr.decode()
    assert "annotation gencode-human is not in the cache (run: scgx fetch gencode-human)" in said


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--gtf", "none.gtf"], 3, "none.gtf: no such file"),
        (["--gtf", "a", "--bed", "b"], 2, "more than one annotation"),
        (["--gtf", "-", "-"], 2, "'-' is given twice"),
        (["--annotation", "demo"], 2, "demo is no annotation"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, words, code, said):
    if words[-1] != "-":
        (tmp_path / "in.h5ad").write_text("x")
        words = [*words, str(tmp_path / "in.h5ad")]
    done = scgx("annotate-coords", *words, "-o", tmp_path / "o", code=code)
    assert said in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_a_file_without_any_place_is_refused(real_data, tmp_path):
    said = scgx("annotate-coords", real_data / SNARE, "-o", tmp_path / "o", code=4).stderr.decode()
    assert "no feature has a place (give --gtf, --bed or --annotation)" in said


def test_a_file_of_an_old_anndata_keeps_what_is_aligned(real_data, tmp_path):
    path = real_data / "compat-h5ad" / "anndata-v0.5.0.adata.h5ad"
    with open_cells(path) as cells:
        names = cells.var_names
        loadings, embedding = cells.h5["varm"]["PCs"], cells.h5["obsm"]["X_umap"]
    bed = "".join(f"chr1\t{1000 - i}\t{2000 - i}\t{name}\n" for i, name in enumerate(names))
    (tmp_path / "g.bed").write_text(bed)
    annotate_coords(
        str(path), str(tmp_path / "o.h5ad"), bed=str(tmp_path / "g.bed"), overwrite=True
    )
    with open_cells(tmp_path / "o.h5ad") as after:
        assert after.var_names.tolist() == names[::-1].tolist()
        assert np.array_equal(after.h5["varm/PCs"][:], loadings[::-1], equal_nan=True)
        assert np.array_equal(after.h5["obsm/X_umap"][:], embedding)


def test_genes_with_ids_only_gain_symbols(tmp_path):
    (tmp_path / "g.gtf").write_text(GTF)
    ids = ["ENSG00000141510.3", "ENSG00000229807", "ENSG00000000001"]
    cells = anndata.AnnData(np.ones((2, 3), np.float32), var=pd.DataFrame(index=ids))
    cells.write_h5ad(tmp_path / "ids.h5ad")
    scgx(
        "annotate-coords", tmp_path / "ids.h5ad", "--gtf", tmp_path / "g.gtf", "-o", tmp_path / "o"
    )
    assert anndata.read_h5ad(tmp_path / "o").var["gene_name"].tolist() == ["TP53", "XIST", ""]
