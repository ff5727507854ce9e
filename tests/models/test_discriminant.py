"""The discriminant: what it finds that others miss, and that held-out cells keep it honest."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scgx.h5ad import writer
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.reader import open_cells
from scgx.learn.fit_labels import LabelRoles, gather, scores_of
from scgx.models import discriminant, logistic
from scgx.progress import Report

N, GENES = 900, 60


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Three types, and a rare one whose cells are one of these with a little of something else."""
    rng = np.random.default_rng(0)
    kind = rng.choice(3, N)
    rates = rng.gamma(0.7, 3, (3, GENES))[kind]
    rare = rng.random(N) < 0.06
    rates[rare, :8] += 4
    words = np.array(["b", "nk", "t"], object)[kind]
    words[rare] = "platelet"
    obs = Frame(
        np.array([f"c{i}" for i in range(N)], object),
        {
            "type": categorical(words),
            "split": categorical(np.array(["train", "test"], object)[np.arange(N) % 2]),
        },
    )
    path = tmp_path / "cells.h5ad"
    with writer.create(path) as out:
        out.frame("obs", obs)
        out.frame("var", Frame(np.array([f"g{i}" for i in range(GENES)], object)))
        with out.matrix("X", GENES, np.float32) as append:
            append(sparse.csr_array(rng.poisson(rates).astype(np.float32)))
    return path


def test_a_rare_class_that_looks_like_every_other_is_ranked_above_them(cells: Path) -> None:
    with open_cells(cells) as opened:
        data, parts = gather(opened, LabelRoles("type", "rna", least=3), seed=0)
        y = data.y(parts.test)
        rare = data.classes.index("platelet")
        made = {}
        for module in (discriminant, logistic):
            model = module.Model.fit(data, module.Config(), seed=0, report=Report())
            scores = scores_of(model, data, parts.test)
            made[module] = (scores.argmax(axis=1) == y).mean()
            odds = scores[:, rare] - np.delete(scores, rare, axis=1).max(axis=1)
            above = odds[y == rare][:, None] > odds[y != rare][None]
            assert above.mean() > 0.9
        assert made[discriminant] > 0.8


def test_features_beyond_the_most_variable_count_for_nothing(cells: Path) -> None:
    with open_cells(cells) as opened:
        data, _ = gather(opened, LabelRoles("type", "rna", least=3), seed=0)
        model = discriminant.Model.fit(
            data, discriminant.Config(features=10), seed=0, report=Report()
        )
        used = np.flatnonzero(np.abs(model.slope).sum(axis=1))
        assert len(used) == 10
        assert data.moments.variance[used].min() >= np.sort(data.moments.variance)[-10]


def test_without_regard_for_balance_the_probabilities_are_as_frequent_as_the_classes(
    cells: Path,
) -> None:
    with open_cells(cells) as opened:
        data, _ = gather(opened, LabelRoles("type", "rna", least=3), seed=0)
        rare = data.classes.index("platelet")
        shares = []
        for balance in (0.0, 1.0):
            config = discriminant.Config(balance=balance)
            model = discriminant.Model.fit(data, config, seed=0, report=Report())
            scores = scores_of(model, data, data.train).astype(np.float64)
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares.append((p / p.sum(axis=1, keepdims=True))[:, rare].mean())
        assert shares[0] == pytest.approx((data.y(data.train) == rare).mean(), abs=0.03)
        assert shares[1] > shares[0]
