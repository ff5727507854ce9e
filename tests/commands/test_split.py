"""`scgx split` as a process, on real files."""

import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse
from support import files

from scgx.h5ad.reader import open_cells

RNA = "multiome-snare-mouse-cortex/snare_rna_counts.h5ad"
BMMC = "multiome-bmmc-neurips/set1.rna.h5ad"


def obs_of(path: Path) -> dict[str, np.ndarray]:
    with open_cells(path) as cells:
        return {name: cells.obs.strings(name) for name in cells.obs.columns}


def record_of(path: Path) -> dict[str, object]:
    with h5py.File(path) as file:
        return json.loads(file["uns/scgx/split"][()])


@pytest.fixture
def donors(tmp_path: Path) -> Path:
    """Three hundred cells of ten donors, two conditions, some of them controls."""
    generator = np.random.default_rng(0)
    cells = anndata.AnnData(generator.poisson(1.0, (300, 5)).astype(np.float32))
    cells.obs_names = [f"c{i}" for i in range(300)]
    cells.obs["donor"] = [f"d{i % 10}" for i in range(300)]
    cells.obs["sick"] = [["yes", "no"][i % 2] for i in range(300)]
    cells.obs["guide"] = [["control", "A", "B", "C", "D"][i % 5] for i in range(300)]
    cells.write_h5ad(tmp_path / "donors.h5ad")
    return tmp_path / "donors.h5ad"


def test_batches_stay_whole_and_the_rest_of_the_file_is_the_same(scgx, real_data, tmp_path):
    out = tmp_path / "out.h5ad"
    said = scgx("split", real_data / RNA, "--by", "batch", "-o", out).err
    obs = obs_of(out)
    pairs = set(zip(obs["batch"], obs["split"], strict=True))
    assert len(pairs) == len(set(obs["batch"])) == 12
    record = record_of(out)
    assert record["by"] == "batch"
    assert sum(record["counts"].values()) == 10_309
    assert "train" in said and "groups" in said
    with h5py.File(real_data / RNA) as before, h5py.File(out) as after:
        assert list(after["obs/split/categories"].asstr()) == ["train", "val", "test"]
        for key in ("X/data", "X/indices", "X/indptr", "obs/cell_type/codes"):
            assert np.array_equal(before[key][()], after[key][()])


def test_named_groups_are_test_and_val(scgx, real_data, tmp_path):
    out = tmp_path / "out.h5ad"
    words = ["--by", "batch", "--test", "09D,09H", "--val", "09L"]
    scgx("split", real_data / RNA, *words, "-o", out)
    obs = obs_of(out)
    assert set(obs["batch"][obs["split"] == "test"]) == {"09D", "09H"}
    assert set(obs["batch"][obs["split"] == "val"]) == {"09L"}
    assert len(set(obs["batch"][obs["split"] == "train"])) == 9


def test_the_same_seed_gives_the_same_split_and_shuffled_rows_too(scgx, donors, tmp_path):
    cells = anndata.read_h5ad(donors)
    cells[np.random.default_rng(1).permutation(300)].copy().write_h5ad(tmp_path / "shuffled.h5ad")
    for source, target in ((donors, "a"), (donors, "b"), (tmp_path / "shuffled.h5ad", "c")):
        scgx("split", source, "--by", "donor", "--stratify", "sick", "-o", tmp_path / target)
    assert record_of(tmp_path / "a") == record_of(tmp_path / "b") == record_of(tmp_path / "c")
    scgx("split", donors, "--by", "donor", "--seed", 5, "-o", tmp_path / "d")
    assert record_of(tmp_path / "d")["id"] != record_of(tmp_path / "a")["id"]


def test_without_a_group_the_output_says_that_cells_are_split(scgx, donors):
    done = scgx("split", stdin=donors)
    assert "one by one" in done.err
    assert done.out.startswith(b"\x89HDF")


def test_controls_are_in_every_part_and_marked(scgx, donors, tmp_path):
    out = tmp_path / "out.h5ad"
    scgx("split", donors, "--by", "guide", "--control", "control", "-o", out)
    obs = obs_of(out)
    controls = obs["guide"] == "control"
    assert set(obs["split"][controls]) == {"train", "val", "test"}
    assert np.array_equal(obs["split_control"] == "True", controls)
    others = set(zip(obs["guide"][~controls], obs["split"][~controls], strict=True))
    assert len(others) == 4
    assert record_of(out)["control"] == "guide=control"


def test_a_column_of_truths_is_taken_over(scgx, real_data, tmp_path):
    out = tmp_path / "out.h5ad"
    words = ["--from-column", "is_train", "--by", "cell_type"]
    said = scgx("split", real_data / BMMC, *words, "-o", out).err
    assert "18 groups of cell_type are in two parts" in said
    obs = obs_of(out)
    assert np.array_equal(obs["split"] == "train", obs["is_train"] == "True")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--by", "donr"], 4, "did you mean 'donor'"),
        (["--by", "donor", "--test", "d77"], 4, "no group is called 'd77'"),
        (["--by", "sick"], 4, "3 parts cannot be made of 2 groups"),
        (["--from-column", "donor"], 4, "is no part of a split"),
        (["--by", "guide", "--control", "ctrl"], 4, "no cell has guide 'ctrl'"),
        (["--test", "d1"], 2, "--by"),
        (["--fractions", "0.5,0.6,0"], 2, "do not sum to 1"),
        (["--fractions", "0.5,0.5"], 2, "not three"),
        (["--control", "x"], 2, "column"),
        (["--from-column", "donor", "--fractions", "1,0,0"], 2, "--from-column"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_in_one_line(
    scgx, words, code, says, donors, tmp_path
):
    out = tmp_path / "out.h5ad"
    said = scgx("split", donors, *words, "-o", out, code=code).err
    assert says in said
    assert len(said.splitlines()) == 1
    assert not out.exists()


def test_one_name_in_two_parts_is_refused(scgx, donors, tmp_path):
    cells = anndata.read_h5ad(donors)
    cells.obs_names = ["same"] * 2 + list(cells.obs_names[2:])
    cells.write_h5ad(tmp_path / "twice.h5ad")
    words = ["--by", "donor", "--test", "d1", "-o", tmp_path / "out.h5ad"]
    said = scgx("split", tmp_path / "twice.h5ad", *words, code=4).err
    assert "in two parts, such as 'same'" in said


@pytest.mark.parametrize("where", ["X", "layers/twice", "obsp/near"])
@pytest.mark.parametrize("how", ["falls", "ends early"])
def test_row_offsets_that_contradict_the_entries_are_not_passed_on(scgx, tmp_path, where, how):
    path = files.cells(tmp_path / "bad.h5ad")
    with h5py.File(path, "r+") as file:
        if where == "layers/twice":
            file.copy("X", file["layers"], "twice")
        if where == "obsp/near":
            files.matrix(file["obsp"], "near", sparse.eye_array(files.N_OBS, format="csr"))
        offsets = file[f"{where}/indptr"][()]
        if how == "falls":
            offsets[3] = offsets[4] + 1
        else:
            offsets[-1] -= 1
        file[f"{where}/indptr"][...] = offsets
    done = scgx("split", path, "-o", tmp_path / "o.h5ad", code=3)
    assert f"{where}/indptr does not count the stored entries" in done.err
    assert not (tmp_path / "o.h5ad").exists()


def test_a_screen_of_one_cell_a_guide_is_refused_by_split_and_train(scgx, tmp_path, real_data):
    screen = real_data / "perturb-cd4-flex-cellxgene" / "small_perturbations.h5ad"
    words = "perturbations have one cell here"
    done = scgx("split", screen, "--by", "perturbation", "-o", tmp_path / "s.h5ad", code=4)
    assert f"479 of 483 {words}" in done.line()
    done = scgx("train", "additive", screen, "--label", "perturbation", "-o", "m.scgx", code=4)
    assert words in done.err
