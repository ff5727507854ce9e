"""Trees that do not fit: on disk while they grow, and the same in every bit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad import streams, writer
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells
from scgx.learn.fit_labels import LabelRoles, gather
from scgx.learn.labels import LabelledData
from scgx.models import xgboost as models
from scgx.models.xgboost import Config, Model
from scgx.progress import Report

pytestmark = pytest.mark.torch
FEW = Config(trees=3, depth=3, device="cpu")
N, GENES, PAGE = 900, 60, 128


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Counts of three types; `split` says who trains."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 3, N)
    counts = rng.poisson(rng.gamma(0.5, 2, (3, GENES))[kind]).astype(np.float32)
    obs = Frame(
        np.array([f"c{i}" for i in range(N)], object),
        {
            "type": categorical(np.array(["b", "nk", "t"], object)[kind]),
            "split": categorical(np.array(["train", "train", "val"], object)[np.arange(N) % 3]),
        },
    )
    with writer.create(tmp_path / "cells.h5ad") as out:
        out.frame("obs", obs)
        out.frame("var", Frame(np.array([f"g{i}" for i in range(GENES)], object)))
        with out.matrix("X", GENES, np.float32) as append:
            append(sparse.csr_array(counts))
    return tmp_path / "cells.h5ad"


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "ROWS", PAGE)


def test_on_disk_trees_are_the_same_and_no_more_than_a_page_is_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    streams.use_tmpdir(str(spool))
    most: list[int] = []
    seen: list[str] = []
    read, build = LabelledData.x, models._matrix

    def counted(self: LabelledData, rows: np.ndarray) -> sparse.csr_array:
        most.append(len(rows))
        return read(self, rows)

    def watched(*args: object, **options: object) -> object:
        made = build(*args, **options)  # type: ignore[arg-type]
        seen.extend(file.name for file in spool.rglob("*") if file.is_file())
        return made

    monkeypatch.setattr(LabelledData, "x", counted)
    monkeypatch.setattr(models, "_matrix", watched)
    with open_cells(path) as cells:
        data, _ = gather(cells, LabelRoles("type", "rna"), seed=0)
        whole = Model.fit(data, FEW, seed=0, report=Report())
        assert not seen
        monkeypatch.setattr(models, "PER_VALUE", data.memory)
        paged = Model.fit(data, FEW, seed=0, report=Report())
    assert any("train" in name for name in seen)
    assert max(most) <= PAGE
    assert paged.save() == whole.save()
    assert not list(spool.iterdir())
    streams.use_tmpdir(None)


def test_what_is_needed_every_round_is_counted_before_anything_is_done(path: Path) -> None:
    with open_cells(path, memory=16 << 20) as cells:
        data, _ = gather(cells, LabelRoles("type", "rna"), seed=0)
        with pytest.raises(DataError, match="60 features need") as caught:
            Model.fit(data, Config(depth=15, device="cpu"), seed=0, report=Report())
    assert "--memory" in str(caught.value.fix)


@pytest.mark.parametrize("augment", [0, 1])
def test_an_absent_feature_is_no_zero_unless_trees_have_learned_that(
    path: Path, augment: int
) -> None:
    with open_cells(path) as cells:
        roles = LabelRoles("type", augment=augment, hidden=0.5)
        data, _ = gather(cells, roles, seed=0)
        model = Model.fit(data, FEW, seed=0, report=Report())
        whole = data.block(data.val)
    here = np.arange(GENES) % 2 == 0
    lacking = sparse.csr_array(whole.x.toarray() * here)
    asked = model.scores(replace(whole, x=lacking, present=here))
    zeros = model.scores(replace(whole, x=lacking))
    anything = model.scores(replace(whole, present=here))
    if augment:
        np.testing.assert_array_equal(asked, zeros)
    else:
        np.testing.assert_array_equal(asked, anything)
        assert np.abs(asked - zeros).max() > 0.01
    again = Model.restore(FEW, model.save())
    np.testing.assert_array_equal(again.scores(replace(whole, x=lacking, present=here)), asked)
