"""Pairs of perturbed cells and controls: of one kind, every cell once, another control each time."""

from pathlib import Path

import numpy as np
import pytest
from support.tables import read

import scgx
from scgx.errors import DataError, UsageError


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    scgx.simulate(
        str(folder / "all.h5ad"), cells=600, genes=20, perturbations=5, doubles=4, cell_types=2,
        batches=2, donors=2, quiet=True,
    )  # fmt: skip
    scgx.split(
        str(folder / "all.h5ad"), str(folder / "s.h5ad"), by="perturbation",
        fractions="0.6,0.2,0.2", quiet=True,
    )  # fmt: skip
    return folder / "s.h5ad"


@pytest.mark.parametrize("split", ["train", "val"])
def test_partners_agree_in_type_batch_and_donor_and_every_cell_comes_once(screen: Path, split: str):
    table = read(screen)
    words, parts = table.obs.strings("perturbation"), table.obs.strings("split")
    with scgx.ControlPairs(screen, 64, split=split) as pairs:
        assert set(pairs.columns) == {"cell_type", "batch", "donor"}
        assert len(pairs.genes) == table.X.shape[1]
        batches = list(pairs)
        assert len(batches) == len(pairs)
        rows = np.concatenate([b.rows for b in batches])
        control = np.concatenate([b.control_rows for b in batches])
        condition = np.concatenate([b.condition for b in batches])
        assert [pairs.conditions[c] for c in condition] == words[rows].tolist()
    assert set(parts[rows]) == set(parts[control]) == {split}
    assert set(words[control]) == {"control"}
    for column in pairs.columns:
        assert (table.obs.strings(column)[rows] == table.obs.strings(column)[control]).all()
    perturbed = np.flatnonzero((parts == split) & (words != "control"))
    assert len(np.unique(rows)) == len(rows)
    assert set(rows) <= set(perturbed.tolist())
    assert split == "val" or len(rows) == len(perturbed)


def test_values_are_those_of_the_rows_in_log1p_cp10k(screen: Path) -> None:
    counts = read(screen).X.astype(np.float64)
    truth = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    with scgx.ControlPairs(screen, 50) as pairs:
        batch = next(iter(pairs))
    assert batch.perturbed.dtype == np.float32
    np.testing.assert_allclose(batch.perturbed.toarray(), truth[batch.rows], rtol=1e-5)
    np.testing.assert_allclose(batch.control.toarray(), truth[batch.control_rows], rtol=1e-5)


def test_a_seed_fixes_the_pairs_and_an_epoch_changes_them(screen: Path) -> None:
    def partners(seed: int, memory: int = 512 << 20) -> list[dict[int, int]]:
        with scgx.ControlPairs(screen, 64, seed=seed, memory=memory) as pairs:
            return [
                {r: c for b in pairs for r, c in zip(b.rows.tolist(), b.control_rows.tolist())}
                for _ in range(2)
            ]

    first = partners(0)
    assert first == partners(0, memory=16 << 20)
    assert first[0] != first[1] and first[0].keys() == first[1].keys()
    assert first != partners(1)


def test_what_cannot_be_paired_is_refused(screen: Path) -> None:
    with pytest.raises(UsageError, match="has no pairs"):
        scgx.ControlPairs(screen, split="test")
    with pytest.raises(UsageError, match="under 1"):
        scgx.ControlPairs(screen, 0)
    with pytest.raises(DataError, match="no column"):
        scgx.ControlPairs(screen, label="nothing")
