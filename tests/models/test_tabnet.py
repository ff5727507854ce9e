"""TabNet: masks that are sparse and sum to one, norms of few cells, and what pre-training is for."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import scgx
from scgx.h5ad.reader import open_cells
from scgx.learn import artifact
from scgx.learn.fit_labels import LabelRoles, gather
from scgx.learn.prepared import Standard
from scgx.models.tabnet import Config, Model
from scgx.progress import Report

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
SMALL = Config(width=8, epochs=2, device="cpu")


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    scgx.fetch("demo", output=str(folder / "a"), cells=400, genes=60, modality="rna", quiet=True)
    scgx.split(str(folder / "a"), str(folder / "b.h5ad"), stratify="cell_type", quiet=True)
    return folder / "b.h5ad"


def fitted(path: Path, config: Config, report: Report) -> Model:
    with open_cells(path) as opened:
        data, _ = gather(opened, LabelRoles("cell_type", "rna"), seed=0)
        return Model.fit(data, config, seed=0, report=report)


def by_sorting(scores: np.ndarray) -> np.ndarray:
    """Sparsemax as its paper writes it."""
    falling = -np.sort(-scores, axis=1)
    sums = falling.cumsum(axis=1) - 1
    kept = (falling > sums / np.arange(1, scores.shape[1] + 1)).sum(axis=1, keepdims=True)
    return np.maximum(scores - np.take_along_axis(sums, kept - 1, axis=1) / kept, 0)


@pytest.mark.parametrize("spread", [0, 1e-3, 0.1, 1, 100])
def test_sparsemax_is_that_of_its_paper(spread: float) -> None:
    from scgx.models._tabnet_net import sparsemax

    scores = np.random.default_rng(0).normal(0, spread, (20, 300))
    found = sparsemax(torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(found, by_sorting(scores), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_slope_of_sparsemax_is_that_of_small_steps() -> None:
    from scgx.models._tabnet_net import sparsemax

    scores = torch.randn((3, 7), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sparsemax, (scores,))


def test_ghosts_are_normalised_apart_and_one_cell_by_what_was_seen() -> None:
    from scgx.models._tabnet_net import GhostNorm

    norm = GhostNorm(3, Config(ghost=4))
    x = torch.randn((8, 3))
    norm.train()
    for part in norm(x).split(4):
        torch.testing.assert_close(part.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    alone = norm(x[:1])
    torch.testing.assert_close(alone, norm.eval()(x[:1]))


def test_a_cell_looks_at_few_genes_and_at_none_that_the_file_lacks() -> None:
    from scgx.models import _tabnet_net as net

    network = net.network_of((500, 4), SMALL, seed=0).train()
    present = np.arange(500) % 3 > 0
    free = torch.from_numpy(present.astype(np.float32))[None]
    with torch.no_grad():
        _, seen = network(torch.randn((6, 500)), free)
    for mask in seen.masks:
        torch.testing.assert_close(mask.sum(dim=1), torch.ones(6), rtol=1e-4, atol=0)
        assert not mask[:, ~present].any()
        assert (mask > 0).sum(dim=1).max() < 250


def test_pretraining_teaches_the_encoder_and_is_behind_what_is_resumed(cells: Path) -> None:
    report = Report()
    said: list[str] = []
    report.say = said.append  # type: ignore[assignment, method-assign]
    plain = fitted(cells, SMALL, Report()).save()
    settings = replace(SMALL, pretrain=3)
    taught = fitted(cells, settings, report).save()
    line = next(line for line in said if "pre-trained 3 epochs" in line)
    first, then = (float(word) for word in re.findall(r"\d+\.\d+", line))
    assert then < first
    assert taught["network.safetensors"] != plain["network.safetensors"]
    assert fitted(cells, settings, Report()).save() == taught
    assert len(report.records) == 2


def test_masks_show_the_gene_that_makes_the_class(tmp_path: Path) -> None:
    from scgx.learn.block import CellBlock
    from scgx.models import _tabnet_net as net

    network = net.network_of((30, 2), SMALL, seed=0)
    with torch.no_grad():
        for attend in network.encoder.attend:
            attend[1].bias[7] = 100.0
    x = sparse.csr_array(np.random.default_rng(0).random((5, 30)).astype(np.float32))
    ones = np.ones(30, np.float32)
    block = CellBlock(x, None, np.ones(5), np.ones(30, bool))  # type: ignore[arg-type]
    shares, count = net.attention(network, Standard(0 * ones, ones), iter([block]))
    called = np.flatnonzero(count)
    assert count.sum() == 5 and (shares.argmax(axis=0)[called] == 7).all()
    np.testing.assert_allclose(shares.sum(axis=0)[called], 1, rtol=1e-5)


def test_without_cells_attention_is_that_of_the_training_cells(cells: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.scgx"
    words = {"label": "cell_type", "epochs": 2, "set_": ["width=8"], "quiet": True}
    scgx.train("tabnet", str(cells), str(path), **words)
    found = artifact.read(path)
    masks = artifact.unpack_arrays(found.members["masks.safetensors"])["masks"]
    made = Model.restore(Config(width=8), found.members)
    why = made.explain(iter(()))
    np.testing.assert_array_equal(why.weights, masks)
    assert "training cells" in why.kind and masks.min() >= 0 and masks.any()


def test_a_share_that_lies_on_the_threshold_does_not_go_to_and_fro(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from scgx.models._tabnet_net import sparsemax

    drawn = np.random.default_rng(0).normal(0, 0.1, (4_000, 40)).round(3)
    steps, where = [0], torch.where

    def counted(*words: torch.Tensor) -> torch.Tensor:
        steps[0] += 1
        assert steps[0] < 1_000, "no end"
        return where(*words)

    monkeypatch.setattr(torch, "where", counted)
    found = sparsemax(torch.from_numpy(drawn.astype(np.float32))).numpy()
    np.testing.assert_allclose(found, by_sorting(drawn), atol=1e-6)
