"""`scgx fetch` as a person runs it, against a server on this machine that stands in for the web."""

import gzip
import hashlib
import json
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from support import files
from support.processes import Ended, Zygote, command, environment
from support.web import Web, serving

from scgx.h5ad.reader import open_cells

API = "/curation/v1/collections/ceb895f4-ff9f-403a-b7c3-187a9657ac2c"


@pytest.fixture
def web(tmp_path, monkeypatch) -> Iterator[Web]:
    """A server, and an empty cache for the processes that are started."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCGX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCGX_TRIES", "2")
    monkeypatch.setenv("SCGX_STALL", "2")
    with serving() as made:
        yield made


@pytest.fixture
def run(forked: Zygote) -> Callable[..., Ended]:
    """Runs a command line, with this test's settings of scgx."""

    def run(*words: object, **options: object) -> Ended:
        env = {name: value for name, value in os.environ.items() if name.startswith("SCGX_")}
        return forked(*words, env=env, **options)

    return run


def catalog(folder: Path, monkeypatch: pytest.MonkeyPatch, **row: str) -> None:
    """A table with one dataset of our own."""
    row = {"name": "mine", "kind": "rna", "content": "mine", **row}
    path = folder / "mine.tsv"
    path.write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    monkeypatch.setenv("SCGX_CATALOG", str(path))


def x_of(path: Path) -> np.ndarray:
    with open_cells(path) as cells:
        matrix = cells.rows("X", np.arange(cells.n_obs))
    return matrix.toarray() if sparse.issparse(matrix) else matrix


def test_the_cards_own_line_works_offline(tmp_path, run):
    line = "scgx fetch demo | scgx filter-chrom X > x.h5ad".replace("scgx", " ".join(command()))
    subprocess.run(
        line, shell=True, check=True, cwd=tmp_path, env=environment(), capture_output=True
    )
    with open_cells(tmp_path / "x.h5ad") as cells:
        assert set(cells.var.strings("chrom")) == {"chrX"}
        assert cells.n_obs == 1200


def test_the_demo_has_the_size_and_the_modality_asked_for(tmp_path, run):
    sizes = ("--cells", 60, "--genes", 20, "--peaks", 50, "--seed", 3)
    ended = run("fetch", "demo", *sizes, "--modality", "atac", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    with open_cells(tmp_path / "a.h5ad") as cells:
        assert cells.shape == (60, 50)
        assert cells.scgx["units"]["X"] == {"rna": "counts", "atac": "counts"}


def test_an_unpacked_h5ad_keeps_everything_and_says_where_it_is_from(
    web, tmp_path, monkeypatch, run
):
    body = gzip.compress(files.cells(tmp_path / "a.h5ad").read_bytes())
    url = web.url("/a.h5ad.gz", web.serve(body))
    catalog(tmp_path, monkeypatch, recipe="cells", format="h5ad.gz", urls=url, units="counts")
    ended = run("fetch", "mine", "-o", tmp_path / "b.h5ad")
    assert ended.code == 0, ended.err
    assert (x_of(tmp_path / "a.h5ad") == x_of(tmp_path / "b.h5ad")).all()
    with open_cells(tmp_path / "b.h5ad") as cells:
        source = cells.scgx["source"]
        assert cells.scgx["units"]["X"] == {"rna": "counts"}
    assert source["name"] == "mine"
    assert source["file"]["sha256"] == hashlib.sha256(body).hexdigest()
    assert source["file"]["url"] == url


def test_units_that_the_values_belie_are_not_recorded(web, tmp_path, monkeypatch, run):
    body = files.cells(tmp_path / "a.h5ad", files.counts() * 1.5).read_bytes()
    url = web.url("/a.h5ad", web.serve(body))
    catalog(tmp_path, monkeypatch, recipe="cells", format="h5ad", urls=url, units="counts")
    ended = run("fetch", "mine", "-o", tmp_path / "b.h5ad")
    assert "should be counts but looks like" in ended.err
    with open_cells(tmp_path / "b.h5ad") as cells:
        assert "units" not in cells.scgx


def test_a_10x_file_becomes_h5ad(web, tmp_path, monkeypatch, real_data, run):
    body = (real_data / "compat-10x" / "cellranger-3.0.0.h5").read_bytes()
    url = web.url("/a.h5", web.serve(body))
    catalog(tmp_path, monkeypatch, recipe="cells", format="10x", urls=url)
    ended = run("fetch", "mine", "-o", tmp_path / "b.h5ad")
    assert ended.code == 0, ended.err
    with open_cells(tmp_path / "b.h5ad") as cells:
        assert cells.shape == (1107, 507)


def test_a_zip_member_becomes_h5ad(web, tmp_path, monkeypatch, run):
    files.cells(tmp_path / "a.h5ad")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.h5ad", "norman/perturb_processed.h5ad")
    url = web.url("/a.zip", web.serve((tmp_path / "a.zip").read_bytes()))
    row = {"recipe": "cells", "format": "zip", "urls": url, "member": "perturb_processed.h5ad"}
    catalog(tmp_path, monkeypatch, **row)
    ended = run("fetch", "mine", "-o", tmp_path / "b.h5ad")
    assert ended.code == 0, ended.err
    assert (x_of(tmp_path / "a.h5ad") == x_of(tmp_path / "b.h5ad")).all()


def test_an_annotation_is_the_file_it_is(web, tmp_path, monkeypatch, run):
    body = gzip.compress(b"##gtf\nchr1\tx\tgene\t1\t5\n", mtime=0)
    url = web.url("/g.gtf.gz", web.serve(body))
    catalog(tmp_path, monkeypatch, kind="annotation", recipe="raw", format="gtf.gz", urls=url)
    assert run("fetch", "mine").out == body
    run("fetch", "mine", "-o", tmp_path / "g.gtf")
    assert (tmp_path / "g.gtf").read_bytes() == gzip.decompress(body)
    assert web.hits == ["/g.gtf.gz"]


def test_any_address_is_fetched_under_the_same_rules(web, tmp_path, run):
    body = files.cells(tmp_path / "a.h5ad").read_bytes()
    url = web.url("/x", web.serve(body))
    digest = hashlib.sha256(body).hexdigest()
    assert run("fetch", url, "--sha256", digest, "-o", tmp_path / "b.h5ad").code == 0
    assert (x_of(tmp_path / "a.h5ad") == x_of(tmp_path / "b.h5ad")).all()
    other = web.url("/other", web.serve(body))
    ended = run("fetch", other, "--sha256", "0" * 64, "-q", "-o", tmp_path / "c.h5ad")
    assert ended.code == 5
    assert "sha256" in ended.line()
    assert not (tmp_path / "c.h5ad").exists()


def test_a_password_is_in_no_message_no_history_and_no_cache(web, tmp_path, run):
    url = web.url("/x", web.serve(files.cells(tmp_path / "a.h5ad").read_bytes()))
    secret = url.replace("http://", "http://me:hushhush@") + "?token=psst"
    ended = run("fetch", secret, "-o", tmp_path / "b.h5ad")
    assert ended.code == 0, ended.err
    kept = (tmp_path / "b.h5ad").read_bytes().decode("latin-1") + ended.err
    for path in (tmp_path / "cache").rglob("*.json"):
        kept += path.read_text()
    assert "hushhush" not in kept
    assert "psst" not in kept


REFUSED = {
    "unknown name": (["fetch", "pbmc3k-multiom"], 2),
    "no name": (["fetch"], 2),
    "not yet": (["fetch", "allen-m1"], 4),
    "offline, not cached": (["fetch", "pbmc3k", "--offline"], 5),
    "file://": (["fetch", "file:///etc/passwd"], 2),
    "http:// without checksum": (["fetch", "http://example.org/x.h5ad"], 6),
    "a checksum that is none": (["fetch", "https://example.org/x", "--sha256", "12"], 2),
    "--cells of a dataset": (["fetch", "pbmc3k", "--cells", "5"], 2),
    "--seed of a dataset": (["fetch", "pbmc3k", "--seed", "5"], 2),
    "--from-file twice": (["fetch", "pbmc3k", "--from-file", "a", "--from-file", "b"], 2),
    "--from-file that is absent": (["fetch", "pbmc3k", "--from-file", "absent.h5ad"], 3),
    "a demo of nothing": (["fetch", "demo", "--cells", "3"], 2),
    "a modality that is not there": (["fetch", "demo", "--modality", "adt"], 4),
    "--json alone": (["fetch", "demo", "--json"], 2),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_line_and_its_code(web, tmp_path, case, run):
    words, code = REFUSED[case]
    ended = run(*words, cwd=tmp_path)
    assert ended.code == code, ended.err
    assert ended.line()


def test_a_page_in_place_of_data_is_code_3_and_404_is_code_5(web, tmp_path, run):
    page, gone = web.url("/a.h5ad", web.says(web.html)), web.base + "/gone.h5ad"
    assert run("fetch", page, "-o", tmp_path / "a").code == 3
    assert run("fetch", gone, "-o", tmp_path / "a").code == 5
    assert not (tmp_path / "a").exists()


def test_the_list_names_every_dataset_as_text_and_as_json(run):
    rows = json.loads(run("fetch", "--list", "--json").out)
    text = run("fetch", "--list").out.decode()
    assert all(row["name"] in text for row in rows)
    assert {row["name"] for row in rows if not row["ready"]} >= {"allen-m1", "zhu2023-geo"}
    one = json.loads(run("fetch", "--info", "norman2019", "--json").out)
    assert one["files"][0]["md5"] == "c870e6967d91c017d9da827bab183cd6"
    assert b"CC BY 4.0" in run("fetch", "--info", "norman2019").out


# --- zhu2023: stand-ins for the API, both files and the annotation


GENES = [f"ENSG{i:011d}" for i in range(1, 31)]


def stand_in(web: Web, folder: Path, monkeypatch: pytest.MonkeyPatch, **title: str) -> None:
    """Thirty genes, ten of them on X; ATAC has its cells in another order and lacks two."""
    draw = np.random.default_rng(0)
    names = [
        f"ACGTACGTAC{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16]}T-1" for i in range(40)
    ]
    order = draw.permutation(40)[:38]
    rna = np.log1p(draw.poisson(1.0, (40, 30))).astype(np.float32)
    atac = np.log1p(draw.poisson(2.0, (40, 30))).astype(np.float32)
    for word, values, cells in (
        ("rna", rna, names),
        ("atac", atac[order], [names[i] for i in order]),
    ):
        path = files.cells(folder / f"{word}.h5ad", sparse.csr_matrix(values), obs=cells, var=GENES)
        _without_coordinates(path)
        web.url(f"/data/{word}.h5ad", web.serve(path.read_bytes()))
    listed = [
        {
            "title": title.get(word, f"Multi-omic profiling, {word.upper()}"),
            "dataset_version_id": f"{word}-1",
            "assets": [
                {"filetype": "RDS", "url": "https://datasets.cellxgene.cziscience.com/x.rds"},
                {
                    "filetype": "H5AD",
                    "filesize": (folder / f"{word}.h5ad").stat().st_size,
                    "url": f"https://datasets.cellxgene.cziscience.com/{word}.h5ad",
                },
            ],
        }
        for word in ("rna", "atac")
    ]
    web.url("/api" + API, web.says(json.dumps({"datasets": listed}).encode()))
    lines = ["##provider: GENCODE, GRCh38"]
    for i, gene in enumerate(GENES):
        chrom, start = ("chrX" if i < 10 else "chr2"), 1_000_000 * (i + 1)
        name = f'gene_id "{gene}.7"; gene_name "G{i}"; gene_type "protein_coding";'
        lines.append(f"{chrom}\tHAVANA\tgene\t{start}\t{start + 5000}\t.\t+\t.\t{name}")
    gtf = web.url("/genes.gtf.gz", web.serve(gzip.compress("\n".join(lines).encode() + b"\n")))
    row = {"name": "gencode-human", "kind": "annotation", "recipe": "raw", "format": "gtf.gz"}
    catalog(folder, monkeypatch, **row, genome="GRCh38", urls=gtf)
    bases = f"https://api.cellxgene.cziscience.com={web.base}/api"
    bases += f" https://datasets.cellxgene.cziscience.com={web.base}/data"
    monkeypatch.setenv("SCGX_BASE_URLS", bases)


def _without_coordinates(path: Path) -> None:
    import h5py

    with h5py.File(path, "r+") as file:
        for name in list(file["var"]):
            if name != "_index":
                del file["var"][name]
        file["var"].attrs["column-order"] = np.array([], dtype=files.TEXT)


def test_the_cards_line_on_zhu2023_works_with_an_empty_cache(web, tmp_path, monkeypatch, run):
    stand_in(web, tmp_path, monkeypatch)
    line = "scgx fetch zhu2023 | scgx filter-chrom X > x.h5ad".replace("scgx", " ".join(command()))
    ran = subprocess.run(
        line, shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    with open_cells(tmp_path / "x.h5ad") as cells:
        assert cells.shape == (38, 20)
        assert (
            cells.var.strings("feature_types").tolist()
            == ["Gene Expression"] * 10 + ["Gene Activity"] * 10
        )
        assert cells.var["start"].tolist() == [1_000_000 * (i + 1) - 1 for i in range(10)] * 2
        assert cells.scgx["units"]["X"] == {"rna": "log1p-counts", "activity": "log1p-counts"}
        assert cells.scgx["genome"] == "GRCh38"
        assert "zhu2023" in cells.scgx["history"][0]
        pairs = cells.rows("X", np.arange(38)).toarray()
        names = cells.obs_names.tolist()
    with open_cells(tmp_path / "atac.h5ad") as atac:
        where = [atac.obs_names.tolist().index(name) for name in names]
        assert (pairs[:, 10:] == atac.rows("X", np.array(where)).toarray()[:, :10]).all()


def test_zhu2023_works_offline_once_it_is_cached(web, tmp_path, monkeypatch, run):
    stand_in(web, tmp_path, monkeypatch)
    assert run("fetch", "zhu2023", "--offline", "-o", tmp_path / "a.h5ad").code == 5
    assert run("fetch", "zhu2023", "-o", tmp_path / "a.h5ad").code == 0
    asked = len(web.hits)
    assert run("fetch", "zhu2023", "--offline", "-o", tmp_path / "b.h5ad").code == 0
    assert len(web.hits) == asked
    first, second = x_of(tmp_path / "a.h5ad"), x_of(tmp_path / "b.h5ad")
    assert (first == second).all()


def test_an_api_that_is_down_is_answered_from_the_last_time(web, tmp_path, monkeypatch, run):
    stand_in(web, tmp_path, monkeypatch)
    assert run("fetch", "zhu2023", "-o", tmp_path / "a.h5ad").code == 0
    web.pages["/api" + API] = web.status(410)
    ended = run("fetch", "zhu2023", "-o", tmp_path / "b.h5ad")
    assert ended.code == 0, ended.err
    assert "last time" in ended.err


def test_a_new_version_is_said_by_its_id(web, tmp_path, monkeypatch, run):
    """F25."""
    stand_in(web, tmp_path, monkeypatch)
    run("fetch", "zhu2023", "-o", tmp_path / "a.h5ad")
    page: dict[str, bytes] = {}
    web.pages["/api" + API](_Recorder(page))
    web.pages["/api" + API] = web.says(page["body"].replace(b"rna-1", b"rna-2"))
    assert "rna-2" in run("fetch", "zhu2023", "-o", tmp_path / "b.h5ad").err


class _Recorder:
    def __init__(self, page: dict[str, bytes]) -> None:
        self.page = page

    def answer(self, status: int, headers: dict[str, object], body: bytes = b"") -> None:
        self.page["body"] = body


@pytest.mark.parametrize(
    "answer",
    [b"[]", b"{}", b'{"datasets": 5}', b'{"datasets": [{"title": "x"}]}', b'{"datasets": []}'],
)
def test_an_api_that_changed_is_code_3(web, tmp_path, monkeypatch, answer, run):
    stand_in(web, tmp_path, monkeypatch)
    web.pages["/api" + API] = web.says(answer)
    ended = run("fetch", "zhu2023", "-q", "-o", tmp_path / "a.h5ad")
    assert ended.code == 3, ended.err
    assert ended.line()


def test_titles_that_do_not_tell_are_refused_and_by_hand_works(web, tmp_path, monkeypatch, run):
    stand_in(web, tmp_path, monkeypatch, rna="Part one of ATAC")
    assert run("fetch", "zhu2023", "-q", "-o", tmp_path / "a.h5ad").code == 3
    by_hand = ("--from-file", tmp_path / "rna.h5ad", "--from-file", tmp_path / "atac.h5ad")
    ended = run("fetch", "zhu2023", *by_hand, "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    assert x_of(tmp_path / "a.h5ad").shape == (38, 60)


def test_a_killed_fetch_leaves_no_output_and_goes_on(web, tmp_path, run):
    body = files.cells(tmp_path / "a.h5ad").read_bytes()
    url = web.url("/x.h5ad", web.stall(body, len(body) // 2))
    process = subprocess.Popen(command("fetch", url, "-o", tmp_path / "b.h5ad"), env=environment())
    part = tmp_path / "cache" / "partial"
    while not any(p.stat().st_size for p in part.glob("*.part")):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (tmp_path / "b.h5ad").exists()
    assert run("fetch", url, "-o", tmp_path / "b.h5ad").code == 0
    assert web.headers[-1]["Range"] == f"bytes={len(body) // 2}-"
    assert (x_of(tmp_path / "a.h5ad") == x_of(tmp_path / "b.h5ad")).all()
