"""Datasets of different cells in one file: equal to AnnData's own, and absence is never zero."""

import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scgx.h5ad.measured import measured_of
from scgx.h5ad.reader import open_cells

KINDS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


def dataset(seed, names, n=30, kind="csr", dtype=np.float32, prefix="c"):
    """Counts of n cells and the genes named, with tables of several kinds."""
    draw = np.random.default_rng(seed)
    X = draw.poisson(1.0, (n, len(names))).astype(dtype)
    made = anndata.AnnData(KINDS[kind](X))
    made.obs_names = [f"{prefix}{i}" for i in range(n)]
    made.var_names = list(names)
    made.obs["cell_type"] = pd.Categorical(draw.choice(["a", "b", f"only{seed}"], n))
    made.obs["depth"] = X.sum(axis=1).astype(np.int32)
    made.obs["flag"] = draw.random(n) < 0.5
    made.obs["word"] = [f"w{i % 4}" for i in range(n)]
    made.layers["twice"] = KINDS[kind](2 * X)
    made.obsm["X_pca"] = draw.normal(size=(n, 4)).astype(np.float32)
    made.obsm["wide"] = draw.normal(size=(n, seed + 2))
    made.var["kind"] = "x"
    made.uns["same"] = np.arange(3)
    made.uns["differs"] = np.arange(3) + seed
    return made


def written(folder, **datasets):
    paths = []
    for name, made in datasets.items():
        made.write_h5ad(folder / f"{name}.h5ad")
        paths.append(folder / f"{name}.h5ad")
    return paths


def dense(values):
    return values.toarray() if sparse.issparse(values) else np.asarray(values)


@pytest.mark.parametrize("join", ["inner", "outer"])
@pytest.mark.parametrize(
    ("kinds", "dtypes"),
    [
        (("csr", "csr"), (np.float32, np.float32)),
        (("csr", "csc"), (np.float32, np.int32)),
        (("dense", "csr"), (np.float64, np.float32)),
        (("dense", "dense"), (np.int16, np.int32)),
    ],
)
def test_the_result_is_that_of_anndata(scgx, tmp_path, join, kinds, dtypes):
    one = dataset(1, [f"g{i}" for i in range(12)], 30, kinds[0], dtypes[0], "a")
    two = dataset(2, [f"g{i}" for i in (14, 7, 6, 5, 3, 1, 9, 13)], 25, kinds[1], dtypes[1], "b")
    paths = written(tmp_path, one=one, two=two)
    scgx("concat", *paths, "--genes", join, "--memory", "16M", "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = anndata.concat(
            {"one": one, "two": two}, join=join, label="dataset", fill_value=0, uns_merge="same"
        )
    assert set(made.var_names) == set(wanted.var_names)
    assert made.obs_names.tolist() == wanted.obs_names.tolist()
    wanted = wanted[:, made.var_names]
    np.testing.assert_array_equal(dense(made.X), dense(wanted.X))
    np.testing.assert_array_equal(dense(made.layers["twice"]), dense(wanted.layers["twice"]))
    assert made.X.dtype == np.result_type(*dtypes)
    assert set(made.obsm) == {"X_pca"}
    np.testing.assert_array_equal(made.obsm["X_pca"], wanted.obsm["X_pca"])
    for column in ("cell_type", "depth", "flag", "word", "dataset"):
        assert made.obs[column].tolist() == wanted.obs[column].tolist(), column
    assert made.obs["cell_type"].cat.categories.tolist() == ["a", "b", "only1", "only2"]
    assert made.obs["flag"].dtype == bool and made.obs["depth"].dtype == np.int32
    assert made.uns["same"].tolist() == [0, 1, 2] and "differs" not in made.uns
    assert made.var["kind"].tolist() == ["x"] * made.n_vars


def test_columns_that_one_file_lacks_are_missing_there(scgx, tmp_path):
    one, two = dataset(1, "gh", prefix="a"), dataset(2, "gh", prefix="b")
    one.obs["donor"] = pd.Categorical(["d10", "d2"] * 15)
    one.obs["age"] = 40
    one.obs["sick"] = True
    two.obs["depth"] = "deep"
    ended = scgx("concat", *written(tmp_path, one=one, two=two), "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    assert made["donor"].isna().tolist() == [False] * 30 + [True] * 30
    assert made["donor"].cat.categories.tolist() == ["d10", "d2"]
    assert made["age"].tolist()[:30] == [40] * 30 and made["age"][30:].isna().all()
    assert made["sick"].iloc[0] and made["sick"].isna().sum() == 30
    assert made["depth"].iloc[-1] == "deep"
    assert "missing there: donor, age, sick" in ended.err and "are text: depth" in ended.err


def test_who_measured_what_is_kept(scgx, tmp_path):
    paths = written(tmp_path, one=dataset(1, "abc"), two=dataset(2, "bcd"))
    ended = scgx("concat", *paths, "--genes", "outer", "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert made.var_names.tolist() == list("abcd")
    assert made.varm["measured"].tolist() == [[1, 0], [1, 1], [1, 1], [0, 1]]
    assert made.uns["scgx"]["measured"]["datasets"].tolist() == ["one", "two"]
    assert made.obs_names[0] == "c0-one" and made.obs_names.is_unique
    assert "barcodes are in several files" in ended.err and "2 measured by each" in ended.err
    with open_cells(tmp_path / "o.h5ad") as cells:
        measured = measured_of(cells)
        assert measured.of(np.array([0, 59])).tolist() == [[1, 1, 1, 0], [0, 1, 1, 1]]
        assert measured.cells().tolist() == [30, 60, 60, 30]
        assert measured.cells(np.array([0, 1, 59])).tolist() == [2, 3, 3, 1]


def test_what_was_stacked_before_keeps_its_datasets(scgx, tmp_path):
    files = {
        name: dataset(i, genes) for i, (name, genes) in enumerate(zip("pqr", ("ab", "bc", "abcd")))
    }
    p, q, r = written(tmp_path, **files)
    scgx("concat", p, q, "--genes", "outer", "-o", tmp_path / "pq.h5ad")
    scgx("concat", tmp_path / "pq.h5ad", r, "--genes", "outer", "-o", tmp_path / "pqr.h5ad")
    scgx("concat", p, q, r, "--genes", "outer", "-o", tmp_path / "direct.h5ad")
    chained, direct = (anndata.read_h5ad(tmp_path / f"{n}.h5ad") for n in ("pqr", "direct"))
    assert chained.uns["scgx"]["measured"]["datasets"].tolist() == ["p", "q", "r"]
    assert (chained.varm["measured"] == direct.varm["measured"]).all()
    assert (chained.obs["dataset"].to_numpy() == direct.obs["dataset"].to_numpy()).all()
    np.testing.assert_array_equal(dense(chained.X), dense(direct.X))
    words = ("--dataset-key", "study", "-o", tmp_path / "x.h5ad")
    assert "--dataset-key dataset" in scgx("concat", tmp_path / "pq.h5ad", r, *words, code=4).err
    scgx("concat", tmp_path / "pq.h5ad", r, "-o", tmp_path / "inner.h5ad")
    assert anndata.read_h5ad(tmp_path / "inner.h5ad").var_names.tolist() == ["b"]


def test_join_carries_who_measured_what(scgx, tmp_path):
    rna = written(tmp_path, p=dataset(0, "ab", prefix="p"), q=dataset(1, "bc", prefix="q"))
    scgx("concat", *rna, "--genes", "outer", "-o", tmp_path / "rna.h5ad")
    peaks = dataset(5, ["chr1:1-9"], 60)
    peaks.obs_names = anndata.read_h5ad(tmp_path / "rna.h5ad").obs_names
    written(tmp_path, atac=peaks)
    scgx("join", tmp_path / "atac.h5ad", tmp_path / "rna.h5ad", "-o", tmp_path / "both.h5ad")
    with open_cells(tmp_path / "both.h5ad") as cells:
        measured = measured_of(cells)
        assert measured.mask.tolist() == [[1, 1], [1, 0], [1, 1], [0, 1]]
        assert measured.codes.tolist() == [0] * 30 + [1] * 30
    words = ("--format", "h5mu", "-o", tmp_path / "both.h5mu")
    refused = scgx("join", tmp_path / "atac.h5ad", tmp_path / "rna.h5ad", *words, code=4)
    assert "--format h5ad" in refused.err
    other = dataset(5, ["chr1:1-9"], 60)
    other.obs_names, other.obs["dataset"] = peaks.obs_names, "x"
    written(tmp_path, atac=other)
    refused = scgx("join", tmp_path / "atac.h5ad", tmp_path / "rna.h5ad", code=4)
    assert "disagree on the datasets" in refused.err


def test_a_table_of_ids_and_symbols_translates_too(scgx, tmp_path):
    one = dataset(1, ["ENSG00000141510", "ENSG00000012048", "ENSG00000000001"])
    two = dataset(2, ["BRCA1", "TP53", "TWICE"], prefix="b")
    (tmp_path / "s.tsv").write_text(
        "geneId\tsymbol\nENSG00000141510.9\tTP53\nENSGR0000012048.2\tBRCA1\n"
        "ENSG00000012048.2\tBRCA1\nENSG00000000001.1\tTWICE\nENSG00000000002.1\tTWICE\n"
    )
    paths = written(tmp_path, one=one, two=two)
    ended = scgx("concat", *paths, "--symbols", tmp_path / "s.tsv", "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert made.var["gene_name"].tolist() == ["TP53", "BRCA1"]
    assert "2 by symbol, 1 ambiguous" in ended.err


def test_versions_and_both_names_of_a_gene_are_one_gene(scgx, tmp_path):
    one = dataset(1, ["ENSG00000141510.19", "ENSG00000012048.2", "spike"])
    two = dataset(2, ["ENSG00000012048|BRCA1", "ENSG00000141510|TP53"], prefix="b")
    scgx("concat", *written(tmp_path, one=one, two=two), "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert made.var_names.tolist() == ["ENSG00000141510", "ENSG00000012048"]
    assert made.var["gene_name"].tolist() == ["TP53", "BRCA1"]
    np.testing.assert_array_equal(dense(made.X)[30:], dense(two.X)[:, [1, 0]])


def test_ids_and_symbols_need_an_annotation(scgx, tmp_path):
    one = dataset(1, ["ENSG00000141510", "ENSG00000012048"])
    two = dataset(2, ["BRCA1", "TP53", "nothing"], prefix="b")
    paths = written(tmp_path, one=one, two=two)
    refused = scgx("concat", *paths, "-o", tmp_path / "o.h5ad", code=4)
    assert "Ensembl ids in one.h5ad and symbols in two.h5ad" in refused.err
    table = tmp_path / "genes.bed"
    table.write_text(
        "chr17\t7661778\t7687546\tTP53\tENSG00000141510.19\t-\n"
        "chr17\t43044294\t43170245\tBRCA1\tENSG00000012048.2\t-\n"
    )
    ended = scgx("concat", *paths, "--gtf", table, "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert made.var_names.tolist() == ["ENSG00000141510", "ENSG00000012048"]
    assert made.var["gene_name"].tolist() == ["TP53", "BRCA1"]
    assert "2 by symbol, 1 unmatched" in ended.err


def test_case_is_matched_where_files_agree_otherwise(scgx, tmp_path):
    one = dataset(1, ["TP53", "C1orf86", "ACTB"])
    two = dataset(2, ["TP53", "ACTB", "C1ORF86"], prefix="b")
    mouse = dataset(3, ["Trp53", "Actb", "Gapdh"], prefix="m")
    a, b, m = written(tmp_path, one=one, two=two, mouse=mouse)
    ended = scgx("concat", a, b, "-o", tmp_path / "o.h5ad")
    assert anndata.read_h5ad(tmp_path / "o.h5ad").var_names.tolist() == ["TP53", "C1orf86", "ACTB"]
    assert "1 case ignored" in ended.err
    scgx("concat", a, m, "-o", tmp_path / "o.h5ad", code=4)
    scgx("concat", a, m, "--ignore-case", "-o", tmp_path / "o.h5ad")
    assert anndata.read_h5ad(tmp_path / "o.h5ad").var_names.tolist() == ["ACTB"]


def test_a_panel_gives_the_genes_and_their_order(scgx, tmp_path):
    paths = written(tmp_path, one=dataset(1, "abc"), two=dataset(2, "bcd"))
    (tmp_path / "panel.txt").write_text("d\nb\nzzz\n")
    scgx("concat", *paths, "--genes", tmp_path / "panel.txt", "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert made.var_names.tolist() == ["d", "b"]
    assert made.varm["measured"].tolist() == [[0, 1], [1, 1]]


def test_labels_are_mapped_dropped_and_reported(scgx, tmp_path):
    one, two = dataset(1, "ab"), dataset(2, "ab", prefix="b")
    one.obs["label"] = ["B cell\u00a0", "Progenitor", "T"] * 10
    two.obs["label"] = ["b cells", "junk", "t"] * 10
    paths = written(tmp_path, one=one, two=two)
    (tmp_path / "map.tsv").write_text(
        "source\tcommon\nB cell\tB\nb cells\tB\njunk\t-\nProgenitors\t-\n"
    )
    words = ("--label", "label", "--label-map", tmp_path / "map.tsv")
    report = tmp_path / "r.tsv"
    ended = scgx("concat", *paths, *words, "--report", report, "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    assert len(made) == 50 and made["label"].value_counts().to_dict() == {
        "B": 20, "Progenitor": 10, "T": 10, "t": 10,
    }  # fmt: skip
    assert made["label_source"].value_counts()["b cells"] == 10
    assert "'Progenitor' (did you mean 'Progenitors'?)" in ended.err
    assert "rules that match no label: 'Progenitors'" in ended.err
    assert "differ only in case: 'T', 't'" in ended.err and "10 dropped by their label" in ended.err
    lines = report.read_text().splitlines()
    assert "two\tlabel\tjunk\t\tdropped\t10" in lines
    assert "one\tlabel\tProgenitor\tProgenitor\tno rule\t10" in lines
    assert "one\trna\ta\ta\tas written\t" in lines
    refused = scgx("concat", *paths, *words, "--strict", "-o", tmp_path / "p.h5ad", code=4)
    assert "--strict" in refused.err and not (tmp_path / "p.h5ad").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n", "line 1 is no rule"),
        ("a\tb\na\tc\n", "line 2: 'a' is 'b' and 'c'"),
        ("\n", "no rule"),
    ],
)
def test_a_map_that_is_none_is_refused_with_its_line(scgx, tmp_path, text, said):
    paths = written(tmp_path, one=dataset(1, "ab"))
    (tmp_path / "map.tsv").write_text(text)
    words = ("--label", "cell_type", "--label-map", tmp_path / "map.tsv")
    assert said in scgx("concat", *paths, *words, "-o", tmp_path / "o.h5ad", code=3).err


def test_other_units_and_other_columns_of_that_name_are_refused(scgx, tmp_path):
    one, two = dataset(1, "ab"), dataset(2, "ab")
    two.X = np.log1p(two.X.toarray() * 0.37)
    refused = scgx("concat", *written(tmp_path, one=one, two=two), code=4)
    assert "two.h5ad: X of rna is log1p-cp10k, and counts in one.h5ad" in refused.err
    one.obs["dataset"] = "mine"
    refused = scgx("concat", *written(tmp_path, one=one), code=4)
    assert "'dataset' already" in refused.err
    assert (
        "2 names for 1 files" in scgx("concat", tmp_path / "one.h5ad", "--names", "a,b", code=2).err
    )


def test_a_split_is_kept_where_it_is_one(scgx, tmp_path):
    one, two = dataset(1, "ab", prefix="a"), dataset(2, "ab", prefix="b")
    a, b = written(tmp_path, one=one, two=two)
    scgx("concat", a, b, "-o", tmp_path / "ab.h5ad")
    scgx("split", tmp_path / "ab.h5ad", "--by", "word", "-o", tmp_path / "s.h5ad")
    scgx("split", b, "--by", "word", "-o", tmp_path / "t.h5ad")
    ended = scgx("concat", a, tmp_path / "t.h5ad", "-o", tmp_path / "u.h5ad")
    assert "split" not in anndata.read_h5ad(tmp_path / "u.h5ad").obs
    assert "do not share one split" in ended.err


def test_totals_are_kept_only_where_the_same_genes_were_counted(scgx, tmp_path):
    one, two = dataset(1, "abc", prefix="a"), dataset(2, "abc", prefix="b")
    paths = written(tmp_path, one=one, two=two, three=dataset(3, "abd", prefix="d"))
    (tmp_path / "panel.txt").write_text("a\n")
    panel = ("--genes", tmp_path / "panel.txt")
    scgx("concat", *paths[:2], *panel, "-o", tmp_path / "o.h5ad")
    made = anndata.read_h5ad(tmp_path / "o.h5ad").obs
    assert (made["total_counts_rna"] == made["depth"]).all()
    scgx("concat", *paths[1:], *panel, "-o", tmp_path / "o.h5ad")
    assert "total_counts_rna" not in anndata.read_h5ad(tmp_path / "o.h5ad").obs


def test_peaks_that_overlap_become_one(scgx, tmp_path):
    first = ["chr1:100-200", "chr1:150-300", "chr1:300-400", "chrX:5-9"]
    second = ["chr1-190-310", "chr2-1-9"]
    one, two = dataset(1, first, prefix="a"), dataset(2, second, prefix="b")
    ended = scgx(
        "concat",
        *written(tmp_path, one=one, two=two),
        "--peaks",
        "union",
        "-o",
        tmp_path / "o.h5ad",
    )
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert made.var_names.tolist() == ["chr1:100-400", "chr2:1-9", "chrX:5-9"]
    X = dense(one.X)
    np.testing.assert_array_equal(dense(made.X)[:30], np.c_[X[:, :3].sum(1), 0 * X[:, 0], X[:, 3]])
    np.testing.assert_array_equal(dense(made.X)[30:, :2], dense(two.X))
    assert made.varm["measured"].tolist() == [[1, 1], [0, 1], [1, 0]]
    assert "3 features" in ended.err


def test_peaks_go_to_the_reference_peak_that_they_overlap_most(scgx, tmp_path):
    one = dataset(1, ["chr1:100-200", "chr1:180-300", "chr3:1-2"], prefix="a")
    one.X = (one.X > 0).astype(np.float32)
    (tmp_path / "r.bed").write_text("chr2\t1\t9\nchr1\t0\t210\nchr1\t205\t500\n1\t90\t195\n")
    (path,) = written(tmp_path, one=one)
    scgx(
        "concat", path, "--peaks", tmp_path / "r.bed", "--genes", "outer", "-o", tmp_path / "o.h5ad"
    )
    made = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert made.var_names.tolist() == ["chr1:0-210", "chr1:205-500"]
    np.testing.assert_array_equal(dense(made.X), dense(one.X)[:, :2])
    (tmp_path / "one.bed").write_text("chr1\t0\t500\n")
    scgx("concat", path, "--peaks", tmp_path / "one.bed", "-o", tmp_path / "o.h5ad")
    assert dense(anndata.read_h5ad(tmp_path / "o.h5ad").X).max() == 1  # presence stays presence


def test_memory_bounds_the_blocks_and_changes_nothing(scgx, tmp_path):
    one = dataset(1, [f"g{i}" for i in range(300)], 4000, prefix="a")
    two = dataset(2, [f"g{i}" for i in range(100, 400)], 3000, "csc", prefix="b")
    paths = written(tmp_path, one=one, two=two)
    for memory in ("16M", "1G"):
        scgx(
            "concat", *paths, "--no-history", "--memory", memory, "-o", tmp_path / f"{memory}.h5ad"
        )
    assert (tmp_path / "16M.h5ad").read_bytes() == (tmp_path / "1G.h5ad").read_bytes()


def test_zheng_and_kang_share_their_genes_through_an_annotation(scgx, tmp_path, real_data):
    zheng = real_data / "pbmc-zheng-sorted" / "zheng_sorted_counts.h5ad"
    kang = real_data / "pbmc-kang-ctrl" / "kang_ctrl_8types_counts.h5ad"
    gtf = real_data / "genes-coordinates" / "gencode_v48_genes_only.gtf.gz"
    report = tmp_path / "r.tsv"
    words = ("--gtf", gtf, "--label", "cell_type_coarse", "--names", "zheng,kang")
    scgx("concat", zheng, kang, *words, "--report", report, "-o", tmp_path / "o.h5ad")
    with h5py.File(tmp_path / "o.h5ad") as file:
        assert file["X"].attrs["shape"].tolist() == [14_401, 1_180]
    rows = pd.read_csv(report, sep="\t", keep_default_na=False)
    genes = rows[(rows.dataset == "kang") & (rows.kind == "rna")]
    assert (genes.how == "id").mean() >= 0.99
