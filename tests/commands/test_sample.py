"""`scgx sample` as a process: what it keeps, what it says, what it refuses."""

from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from scgx.h5ad.history import records
from scgx.h5ad.reader import open_cells

BMMC = "multiome-bmmc-neurips/set1.rna.h5ad"


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Three hundred cells of ten donors and three types, split, a third of them without an age."""
    draw = np.random.default_rng(0)
    made = anndata.AnnData(sp.csr_matrix(draw.poisson(1.0, (300, 5)).astype(np.float32)))
    made.obs_names = [f"c{i}" for i in range(300)]
    made.obs["donor"] = [f"d{i % 10}" for i in range(300)]
    made.obs["type"] = ["AAABBC"[i % 6] for i in range(300)]
    made.obs["age"] = np.where(np.arange(300) % 3 == 0, np.nan, np.arange(300))
    made.obs["split"] = [["train", "test"][i % 2] for i in range(300)]
    made.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def names_of(path: Path) -> list[str]:
    return anndata.read_h5ad(path).obs_names.tolist()


def test_every_condition_holds_and_everything_else_is_the_same(scgx, cells, tmp_path):
    out = tmp_path / "out.h5ad"
    words = ["--where", "type=A,B", "--where", "age>=100", "--where", "donor!=d1"]
    said = scgx("sample", cells, *words, "-o", out).err
    whole, kept = anndata.read_h5ad(cells), anndata.read_h5ad(out)
    wanted = whole[
        whole.obs.type.isin(["A", "B"]) & (whole.obs.age >= 100) & (whole.obs.donor != "d1")
    ]
    assert kept.obs_names.tolist() == wanted.obs_names.tolist()
    assert np.array_equal(kept.X.toarray(), wanted.X.toarray())
    assert kept.obs["split"].tolist() == wanted.obs["split"].tolist()
    assert f"kept {len(wanted)} of 300 cells" in said
    assert "100 cells have no age" in said and "type=A,B (250)" in said
    with open_cells(out) as made:
        assert "seed" not in records(made)[-1]


@pytest.mark.filterwarnings("ignore:Element")  # as anndata once wrote
def test_a_cell_type_of_a_real_file(scgx, real_data, tmp_path):
    out = tmp_path / "out.h5ad"
    whole = anndata.read_h5ad(real_data / BMMC)
    kind = whole.obs["cell_type"].value_counts().index[0]
    scgx("sample", real_data / BMMC, "--where", f"cell_type={kind}", "-o", out)
    kept, wanted = anndata.read_h5ad(out), whole[whole.obs["cell_type"] == kind]
    assert kept.obs_names.tolist() == wanted.obs_names.tolist()
    assert (kept.X != wanted.X).nnz == 0
    assert kept.X.dtype == wanted.X.dtype and kept.X.format == wanted.X.format


def test_a_draw_depends_on_names_and_seed_alone(scgx, cells, tmp_path):
    whole = anndata.read_h5ad(cells)
    whole[np.random.default_rng(1).permutation(300)].copy().write_h5ad(tmp_path / "mixed.h5ad")
    outs = [tmp_path / f"{i}.h5ad" for i in range(3)]
    scgx("sample", cells, "--n", 50, "-o", outs[0])
    scgx("sample", tmp_path / "mixed.h5ad", "--n", 50, "-o", outs[1])
    scgx("sample", cells, "--n", 50, "--seed", 1, "-o", outs[2])
    first, mixed, other = map(names_of, outs)
    assert len(first) == 50 and set(first) == set(mixed) != set(other)
    assert first == sorted(first, key=lambda name: int(name[1:]))
    with open_cells(outs[2]) as made:
        assert records(made)[-1]["seed"] == 1


@pytest.mark.parametrize(
    ("words", "counts"),
    [
        (["--fraction", 0.1, "--by", "type"], {"A": 15, "B": 10, "C": 5}),
        (["--n", 60, "--by", "type"], {"A": 30, "B": 20, "C": 10}),
        (["--per-group", 70, "--by", "type"], {"A": 70, "B": 70, "C": 50}),
        (["--where", "type!=C", "--fraction", 1], {"A": 150, "B": 100}),
        (["--n", 500], {"A": 150, "B": 100, "C": 50}),
    ],
)
def test_draws_by_level_are_as_large_as_asked(scgx, words, counts, cells, tmp_path):
    scgx("sample", cells, *words, "-o", tmp_path / "out.h5ad")
    kinds = anndata.read_h5ad(tmp_path / "out.h5ad").obs["type"].tolist()
    assert {kind: kinds.count(kind) for kind in set(kinds)} == counts


def test_a_sample_of_split_cells_keeps_the_shares_of_its_parts(scgx, cells, tmp_path):
    """The draw is not the one that split deals by."""
    scgx("split", cells, "--fractions", "0.5,0,0.5", "-o", tmp_path / "split.h5ad")
    scgx("sample", tmp_path / "split.h5ad", "--n", 100, "-o", tmp_path / "out.h5ad")
    parts = anndata.read_h5ad(tmp_path / "out.h5ad").obs["split"].tolist()
    assert 30 < parts.count("train") < 70


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--where", "tpe=A"], 4, "did you mean 'type'"),
        (["--where", "type=D"], 4, "no cell has type 'D' (there is A, B, C)"),
        (["--where", "age>1e6"], 4, "no cell meets age>1e6"),
        (
            ["--where", "type=A", "--where", "type=B"],
            4,
            "no cell meets all of type=A (150), type=B (100)",
        ),
        (["--where", "type>=3"], 4, "holds words"),
        (["--n", 5, "--by", "donr"], 4, "did you mean 'donor'"),
        (["--where", "type"], 2, "is no condition"),
        ([], 2, "--where"),
        (["--n", 5, "--fraction", 0.1], 2, "--n and --fraction"),
        (["--fraction", 1.5], 2, "up to 1"),
        (["--fraction", "nan"], 2, "up to 1"),
        (["--per-group", 5], 2, "--by"),
        (["--by", "donor", "--where", "type=A"], 2, "--by says how"),
    ],
)
def test_what_cannot_be_met_is_refused_in_one_line(scgx, words, code, says, cells, tmp_path):
    out = tmp_path / "out.h5ad"
    said = scgx("sample", cells, *words, "-o", out, code=code).err
    assert says in said
    assert len(said.splitlines()) == 1
    assert not out.exists()


def test_it_reads_and_writes_pipes(scgx, cells):
    done = scgx("sample", "--n", 10, "-q", stdin=cells)
    assert done.out.startswith(b"\x89HDF") and not done.err
