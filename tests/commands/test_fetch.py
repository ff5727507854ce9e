"""`scgx fetch` as a person runs it, against a server on this machine that stands in for the web."""

import gzip
import hashlib
import json
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse
from support import files, zhu2023
from support.processes import command, environment, leftovers, shell

from scgx.h5ad.reader import open_cells


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


def test_the_cards_own_line_works_offline(tmp_path):
    assert shell("scgx fetch demo | scgx filter-chrom X > x.h5ad", cwd=tmp_path).code == 0
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
    assert run("fetch", "mine", "-o", tmp_path / "g.h5ad").code == 4
    assert b" cached " in run("fetch", "--list").out


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
    "not yet": (["fetch", "zhu2023-geo"], 4),
    "offline, not cached": (["fetch", "pbmc3k", "--offline"], 5),
    "file://": (["fetch", "file:///etc/passwd"], 2),
    "http:// without checksum": (["fetch", "http://example.org/x.h5ad"], 6),
    "a checksum that is none": (["fetch", "https://example.org/x", "--sha256", "12"], 2),
    "--cells of a dataset": (["fetch", "pbmc3k", "--cells", "5"], 2),
    "--seed of a dataset": (["fetch", "pbmc3k", "--seed", "5"], 2),
    "--from-file twice": (["fetch", "pbmc3k", "--from-file", "a", "--from-file", "b"], 2),
    "--from-file that is absent": (["fetch", "pbmc3k", "--from-file", "absent.h5ad"], 3),
    "a demo of nothing": (["fetch", "demo", "--cells", "3"], 2),
    "a modality that is not there": (["fetch", "demo", "--modality", "activity"], 4),
    "peaks of antibodies": (["fetch", "demo", "--modality", "adt", "--peaks", "50"], 2),
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
    assert {row["name"] for row in rows if not row["ready"]} >= {"zhu2023-geo"}
    one = json.loads(run("fetch", "--info", "norman2019", "--json").out)
    assert one["files"][0]["md5"] == "c870e6967d91c017d9da827bab183cd6"
    assert b"CC BY 4.0" in run("fetch", "--info", "norman2019").out


# --- zhu2023: stand-ins for the API, both files and the annotation


@pytest.fixture
def zhu(web, tmp_path, monkeypatch) -> zhu2023.StandIn:
    """The stand-ins are served, and this test's processes are led to them."""
    made = zhu2023.make(web, tmp_path)
    for name, value in made.env.items():
        monkeypatch.setenv(name, value)
    return made


def test_the_cards_line_on_zhu2023_works_with_an_empty_cache(zhu, tmp_path):
    line = "scgx fetch zhu2023 | scgx filter-chrom X > x.h5ad"
    ran = shell(line, cwd=tmp_path)
    assert ran.code == 0, ran.err
    with open_cells(tmp_path / "x.h5ad") as cells:
        assert cells.shape == (38, 20)
        kinds = cells.var.strings("feature_types").tolist()
        assert kinds == ["Gene Expression"] * 10 + ["Gene Activity"] * 10
        assert cells.var["start"].tolist() == [1_000_000 * (i + 1) - 1 for i in range(10)] * 2
        assert cells.scgx["units"]["X"] == {"rna": "log1p-counts", "activity": "log1p-counts"}
        assert cells.scgx["genome"] == "GRCh38"
        assert cells.scgx["source"]["rna"]["version"] == "rna-1"
        assert "zhu2023" in cells.scgx["history"][0]
        found = cells.rows("X", np.arange(38)).toarray()
        rows = [zhu.cells.index(name) for name in cells.obs_names]
    assert (found[:, :10] == zhu.rna[rows, :10]).all()
    assert (found[:, 10:] == zhu.activity[rows, :10]).all()


def test_one_modality_of_zhu2023_downloads_one_file(zhu, web, tmp_path, run):
    ended = run("fetch", "zhu2023", "--modality", "rna", "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    assert x_of(tmp_path / "a.h5ad").shape == (40, 30)
    assert "/data/atac.h5ad" not in web.hits


def test_zhu2023_works_offline_once_it_is_cached(zhu, web, tmp_path, run):
    assert run("fetch", "zhu2023", "--offline", "-o", tmp_path / "a.h5ad").code == 5
    assert run("fetch", "zhu2023", "-o", tmp_path / "a.h5ad").code == 0
    asked = len(web.hits)
    assert run("fetch", "zhu2023", "--offline", "-o", tmp_path / "b.h5ad").code == 0
    assert len(web.hits) == asked
    assert (x_of(tmp_path / "a.h5ad") == x_of(tmp_path / "b.h5ad")).all()


def test_an_api_that_is_down_is_answered_from_the_last_time(zhu, web, tmp_path, run):
    assert run("fetch", "zhu2023", "-o", tmp_path / "a.h5ad").code == 0
    web.pages["/api" + zhu2023.API] = web.status(410)
    ended = run("fetch", "zhu2023", "-o", tmp_path / "b.h5ad")
    assert ended.code == 0, ended.err
    assert "last time" in ended.err


def test_a_new_version_is_said_by_its_id(zhu, web, tmp_path, run):
    """F25."""
    run("fetch", "zhu2023", "-o", tmp_path / "a.h5ad")
    newer = zhu2023.answer(tmp_path).replace(b"rna-1", b"rna-2")
    web.pages["/api" + zhu2023.API] = web.says(newer)
    assert "rna-2" in run("fetch", "zhu2023", "-o", tmp_path / "b.h5ad").err


@pytest.mark.parametrize(
    "answer",
    [b"[]", b"{}", b'{"datasets": 5}', b'{"datasets": [{"title": "x"}]}', b'{"datasets": []}'],
)
def test_an_api_that_changed_is_code_3(zhu, web, tmp_path, answer, run):
    web.pages["/api" + zhu2023.API] = web.says(answer)
    ended = run("fetch", "zhu2023", "-q", "-o", tmp_path / "a.h5ad")
    assert ended.code == 3, ended.err
    assert ended.line()


def test_titles_that_do_not_tell_are_refused_and_by_hand_works(zhu, web, tmp_path, run):
    web.pages["/api" + zhu2023.API] = web.says(zhu2023.answer(tmp_path, ("ATAC, one", "")))
    assert run("fetch", "zhu2023", "-q", "-o", tmp_path / "a.h5ad").code == 3
    by_hand = ("--from-file", tmp_path / "rna.h5ad", "--from-file", tmp_path / "atac.h5ad")
    ended = run("fetch", "zhu2023", *by_hand, "-o", tmp_path / "a.h5ad")
    assert ended.code == 0, ended.err
    assert x_of(tmp_path / "a.h5ad").shape == (38, 60)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_fetch_that_is_ended_leaves_no_output_and_goes_on(web, tmp_path, run, number, code):
    body = files.cells(tmp_path / "a.h5ad").read_bytes()
    half = len(body) // 2
    url = web.url("/x.h5ad", web.stall(body, half, seconds=30))
    patient = environment(SCGX_STALL="30")
    words = command("fetch", url, "-o", tmp_path / "b.h5ad")
    process = subprocess.Popen(words, env=patient, stderr=subprocess.DEVNULL)
    part = tmp_path / "cache" / "partial"
    while not any(p.stat().st_size for p in part.glob("*.part")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait() == code
    assert not (tmp_path / "b.h5ad").exists()
    assert run("fetch", url, "-o", tmp_path / "b.h5ad").code == 0
    assert web.headers[-1]["Range"] == f"bytes={half}-"
    assert (x_of(tmp_path / "a.h5ad") == x_of(tmp_path / "b.h5ad")).all()
    assert leftovers(tmp_path) == []


def test_a_mudata_file_becomes_h5ad(web, tmp_path, real_data, run):
    body = (real_data / "multiome-pbmc10x-muon" / "test_rna_atac.h5mu").read_bytes()
    ended = run("fetch", web.url("/a.h5mu", web.serve(body)), "-o", tmp_path / "b.h5ad")
    assert ended.code == 0, ended.err
    with open_cells(tmp_path / "b.h5ad") as cells:
        assert set(cells.var.strings("feature_types")) == {"Gene Expression", "Peaks"}
