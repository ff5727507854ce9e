"""`scgx link` on drawn cells, whose peaks rule genes by rules that are in the file."""

from pathlib import Path

import numpy as np
import pytest
from support.processes import fresh

import scgx
from scgx.errors import DataError, UsageError
from scgx.h5ad.reader import open_cells


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("link")
    whole, split = str(folder / "whole.h5ad"), str(folder / "split.h5ad")
    scgx.fetch("demo", output=whole, cells=600, genes=60, peaks=240, quiet=True)
    scgx.split(whole, split, stratify="cell_type", quiet=True)
    scgx.train("ridge", split, str(folder / "ridge.scgx"), source="atac", target="rna", quiet=True)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    header, *lines = [line.split("\t") for line in path.read_text().splitlines()]
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_a_table_has_a_line_for_each_pair(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "links.tsv"
    scgx.link(str(shop / "split.h5ad"), str(out), quiet=True, model=str(shop / "ridge.scgx"))
    found = rows(out)
    assert len(found) > 60
    assert {"promoter", "body", "distal"} >= {row["place"] for row in found} - {"upstream"}
    for row in found:
        assert 0 <= float(row["q"]) <= 1 and -1.001 <= float(row["r"]) <= 1.001
    peaks = [row["peak"] for row in found if row["assigned"] == "1"]
    assert len(peaks) == len(set(peaks))
    r, weight = (np.array([float(row[key]) for row in found]) for key in ("r", "weight"))
    assert np.corrcoef(r, weight)[0, 1] > 0.1


def test_only_links_up_to_a_rate_are_written(shop: Path, tmp_path: Path) -> None:
    for rate, name in ((1.0, "all"), (0.3, "some")):
        scgx.link(str(shop / "split.h5ad"), str(tmp_path / name), fdr=rate, locus=0, quiet=True)
    every, some = rows(tmp_path / "all"), rows(tmp_path / "some")
    assert len(some) < len(every)
    assert all(float(row["q"]) <= 0.3 for row in some)
    assert "around_r" not in every[0]


def test_browser_pairs_have_ten_columns(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "links.bedpe"
    scgx.link(str(shop / "split.h5ad"), str(out), format="bedpe", quiet=True)
    lines = [line.split("\t") for line in out.read_text().splitlines()]
    assert {len(line) for line in lines} == {10}
    assert all(line[0] == line[3] and int(line[1]) < int(line[2]) for line in lines)
    assert all(0 <= int(line[7]) <= 1000 for line in lines)


def test_varp_has_genes_by_peaks(shop: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "links.h5ad", tmp_path / "links.tsv"
    scgx.link(str(shop / "split.h5ad"), str(out), format="h5ad", locus=0, quiet=True)
    scgx.link(str(shop / "split.h5ad"), str(table), locus=0, quiet=True)
    with open_cells(out) as cells, open_cells(shop / "split.h5ad") as before:
        assert cells.shape == before.shape
        place = {name: i for i, name in enumerate(cells.var_names)}
        group = cells.h5["varp/scgx_links"]
        shape = tuple(group.attrs["shape"])
        from scipy import sparse

        stored = (group["data"][()], group["indices"][()], group["indptr"][()])
        links = sparse.csr_array(stored, shape=shape)
    assert shape == (cells.n_var, cells.n_var)
    for row in rows(table)[:40]:
        value = links[place[row["gene"]], place[row["peak"]]]
        assert value == pytest.approx(float(row["r"]), abs=1e-5)


@pytest.mark.parametrize("suffix", ["tsv", "bedpe", "h5ad", "txt"])
def test_the_suffix_says_the_format(shop: Path, tmp_path: Path, suffix: str) -> None:
    bare, told = tmp_path / f"a.{suffix}", tmp_path / "told"
    split = str(shop / "split.h5ad")
    scgx.link(split, str(bare), history=False, quiet=True)
    format = "tsv" if suffix == "txt" else suffix
    scgx.link(split, str(told), format=format, history=False, quiet=True)
    assert bare.read_bytes() == told.read_bytes()


def test_a_pool_of_all_cells_is_made_smaller_and_numbers_out_of_range_are_refused(
    shop: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "links.tsv"
    scgx.link(str(shop / "split.h5ad"), str(out), pool=100_000)
    assert "a quarter of the training cells" in capsys.readouterr().err
    r = [float(line.split("\t")[10]) for line in out.read_text().splitlines()[1:]]
    assert np.std(r) > 0.05
    for option in ("--reach", "--upstream", "--locus"):
        done = fresh("link", shop / "split.h5ad", option, "99999999999999999999")
        assert done.code == 2
        assert option in done.line()


def test_what_cannot_be_linked_is_refused(shop: Path, tmp_path: Path) -> None:
    out, rna = str(tmp_path / "out"), str(tmp_path / "rna.h5ad")
    scgx.fetch("demo", output=rna, cells=60, genes=20, peaks=60, modality="rna", quiet=True)
    with pytest.raises(DataError, match="peaks and genes"):
        scgx.link(rna, out, quiet=True)
    with pytest.raises(UsageError, match="unknown"):
        scgx.link(str(shop / "split.h5ad"), out, format="gff", quiet=True)
    with pytest.raises(DataError, match="other peaks or genes"):
        small, model = str(tmp_path / "small.h5ad"), str(tmp_path / "small.scgx")
        scgx.fetch("demo", output=small, cells=80, genes=20, peaks=60, quiet=True)
        scgx.train("mean", small, model, source="atac", target="rna", quiet=True)
        scgx.link(str(shop / "split.h5ad"), out, model=model, quiet=True)
    assert not Path(out).exists()
