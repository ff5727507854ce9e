"""`perturb`: no gene loses its name, what is masked says nothing, and known effects are found."""

from pathlib import Path

import numpy as np
import pytest
from support.tables import read

import scgx
from scgx.cells.perturbations import parse
from scgx.errors import DataError, UsageError
from scgx.learn import artifact
from scgx.learn.train import restore
from scgx.models import _perturb_items as items
from scgx.models import _perturb_source as source
from scgx.models import perturb

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from scgx.models import _perturb_net as net  # noqa: E402

GENES = 20


def _network(queries: str = "gene", head: str = "linear") -> "net.Committee":
    rng = np.random.default_rng(0)
    ones = np.ones(GENES, np.float32)
    known = net.Known(rng.normal(0, 1, (GENES, 3)).astype(np.float32), ones, ones)
    shape = net.Shape(GENES, 2, 3)
    made = net.committee(2, shape, net.Body(16, 4, 2, 1, 0.0, head, queries), known, seed=0)
    with torch.no_grad():  # as if trained: the last layers begin at zero
        torch.manual_seed(1)
        for member in made.members:
            torch.nn.init.normal_(member.head[-1].weight)
            torch.nn.init.normal_(member.inner.weight, std=0.1)
    return made


def _changes(made: "net.Committee", x: np.ndarray, words: str, present: np.ndarray | None = None):
    told = items.words_of([parse(words)], {"G1": 1, "G2": 2}, {"G1": 1, "X": 2})
    there = np.ones(GENES, bool) if present is None else present
    return net.changes(made, x.astype(np.float32), told, there)


def test_genes_that_are_not_perturbed_differ_in_what_happens_to_them() -> None:
    x = np.random.default_rng(0).random((3, GENES)) * (np.arange(GENES) % 2)
    made = _changes(_network("gene"), x, "G1")[0]
    assert (made.std(axis=1) > 0.05).all()
    unexpressed = made[:, 4::2]  # zero in every cell, and unperturbed
    assert (unexpressed.std(axis=1) > 0.01).all()


def test_queries_without_a_name_are_the_failure_that_they_were() -> None:
    """GPCP's decoder: a query of zero for every gene that is not perturbed, so one answer for all."""
    x = np.random.default_rng(0).random((3, GENES))
    made = _changes(_network("dose"), x, "G1")[0]
    others = np.delete(made, 1, axis=1)
    assert np.ptp(others, axis=1).max() < 1e-5


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_a_masked_gene_changes_nothing_of_others(head: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((4, GENES))
    other = x.copy()
    other[:, 7] = 5.0
    present = np.arange(GENES) != 7
    made, again = (_changes(_network(head=head), v, "G1+X", present) for v in (x, other))
    np.testing.assert_array_equal(np.delete(made, 7, axis=2), np.delete(again, 7, axis=2))
    seen = _changes(_network(head=head), other, "G1+X")
    assert np.abs(np.delete(seen - made, 7, axis=2)).max() > 1e-4


def test_pairs_do_not_depend_on_the_order_of_targets_nor_on_who_else_is_asked() -> None:
    x = np.random.default_rng(0).random((40, GENES))
    made = _network()
    np.testing.assert_array_equal(_changes(made, x, "G1+G2"), _changes(made, x, "G2+G1"))
    alone = items.words_of([parse("G1")], {"G1": 1}, {})
    both = items.words_of([parse("G1"), parse("G1+X")], {"G1": 1}, {"X": 2})
    first = items.Words(*(part[:1] for part in both))
    every = np.ones(GENES, bool)
    one, padded = (net.changes(made, x.astype(np.float32), w, every) for w in (alone, first))
    np.testing.assert_allclose(one, padded, atol=1e-6)


def test_every_weight_receives_a_gradient() -> None:
    made = _network().train()
    told = items.words_of([parse("G1+X"), parse("G2")], {"G1": 1, "G2": 2}, {"G1": 1, "X": 2})
    x = np.random.default_rng(0).random((2, 4, GENES)).astype(np.float32)
    change = np.random.default_rng(1).random((2, GENES)).astype(np.float32)
    ones = np.ones(GENES, np.float32)
    loss = net.Objective(ones, ones, 0.5)(
        made, source.Batch(np.arange(2), x, told, change, x + 1), torch.device("cpu")
    )
    loss.backward()
    blind = [k for k, p in made.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert not blind


def test_the_same_cells_are_no_distance_apart() -> None:
    x = torch.rand(2, 3, 6, GENES)
    far = net._energy(x, x + 1)
    assert float(net._energy(x, x)) < 0.5 * float(far)


def test_settings_that_do_not_fit_are_refused(screen: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not divided by heads"):
        _train(screen, tmp_path / "m.scgx", set_=["dim=30", "heads=4"])


def test_what_does_not_fit_into_memory_is_refused_with_what_would(screen: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"need \d+ MB") as refused:
        _train(screen, tmp_path / "m.scgx", memory="16M")
    assert "--memory 33M, or --set batch_size=1" in str(refused.value)
    assert not (tmp_path / "m.scgx").exists()
    _train(screen, tmp_path / "m.scgx", memory="16M", epochs=1, set_=["batch_size=1"])


def test_a_step_sees_as_many_conditions_as_its_memory_allows() -> None:
    config = perturb.Config()
    assert perturb._at_once(config, 100) == config.batch_size
    assert perturb._at_once(config, 5_000) * 5_000 * config.cells <= perturb.AT_ONCE
    assert perturb._at_once(config, 60_000) == 1


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear network without drawing counts: what is not found is the model's fault."""
    folder = tmp_path_factory.mktemp("linear")
    scgx.simulate(
        str(folder / "all.h5ad"), cells=3000, genes=25, perturbations=12, doubles=20, seed=3,
        units="log1p-cp10k", noise=0.1, dropout=0.0, cell_types=1, batches=1, donors=1, quiet=True,
    )  # fmt: skip
    scgx.split(
        str(folder / "all.h5ad"), str(folder / "s.h5ad"), by="perturbation", unseen="combinations",
        fractions="0.7,0.15,0.15", quiet=True,
    )  # fmt: skip
    return folder / "s.h5ad"


def _train(cells: Path, model: Path, **options: object) -> None:
    scgx.train("perturb", str(cells), str(model), label="perturbation", quiet=True, **options)


def _delta_r(cells: Path, folder: Path, *settings: str, epochs: int = 25) -> float:
    """Mean r of the change of unseen pairs over genes that are no target, against test controls."""
    _train(cells, folder / "m.scgx", epochs=epochs,
           set_=["dim=16", "heads=2", "latents=8", "members=1", "lr=0.003", *settings])  # fmt: skip
    scgx.predict(str(folder / "m.scgx"), str(cells), str(folder / "p.h5ad"), quiet=True)
    truth, made = read(cells), read(folder / "p.h5ad")
    words, parts = truth.obs.strings("perturbation"), truth.obs.strings("split")
    control = truth.X[(words == "control") & (parts == "test")].mean(axis=0)
    place = {cell: i for i, cell in enumerate(truth.obs.index)}
    source = truth.X[[place[c] for c in made.obs.strings("scgx_control")]]
    labels = made.obs.strings("perturbation").astype(str)
    targets = {name for label in labels for name in label.split("+")}
    kept = np.array([str(s) not in targets for s in truth.var.strings("gene_name")])
    return float(np.mean([
        np.corrcoef((truth.X[words == label].mean(axis=0) - control)[kept],
                    (made.X - source)[labels == label].mean(axis=0)[kept])[0, 1]
        for label in np.unique(labels)
    ]))  # fmt: skip


def test_unseen_pairs_of_a_known_network_are_answered(screen: Path, tmp_path: Path) -> None:
    assert _delta_r(screen, tmp_path, epochs=5) > 0.9


def test_the_transformer_alone_finds_what_queries_without_a_name_cannot(
    screen: Path, tmp_path: Path
) -> None:
    named = _delta_r(screen, tmp_path, "base=none")
    nameless = _delta_r(screen, tmp_path, "base=none", "queries=dose")
    assert named > 0.6
    assert nameless < 0.5 * named


def test_an_unknown_target_is_refused_unless_the_mean_is_asked_for(
    screen: Path, tmp_path: Path
) -> None:
    for word, refuses in (("refuse", True), ("mean", False)):
        _train(screen, tmp_path / "m.scgx", epochs=1, set_=[f"unseen={word}", "members=1"])
        model = restore(artifact.read(tmp_path / "m.scgx"))
        assert bool(model.refuses(parse("MOON"))) is refuses  # type: ignore[attr-defined]
        gene = read(screen).var.strings("gene_name")[0]
        assert model.refuses(parse(str(gene))) is None  # type: ignore[attr-defined]


def test_members_that_differ_say_how_unsure_they_are(screen: Path, tmp_path: Path) -> None:
    _train(
        screen, tmp_path / "m.scgx", epochs=3, set_=["base=none", "members=2", "dim=16", "heads=2"]
    )
    scgx.predict(str(tmp_path / "m.scgx"), str(screen), str(tmp_path / "p.h5ad"), quiet=True)
    assert (read(tmp_path / "p.h5ad").obs.numbers("scgx_spread") >= 0).all()


def test_one_network_alone_does_not_say_that_it_is_sure(screen: Path, tmp_path: Path) -> None:
    _train(screen, tmp_path / "m.scgx", epochs=1, set_=["members=1", "dim=16", "heads=2"])
    scgx.predict(str(tmp_path / "m.scgx"), str(screen), str(tmp_path / "p.h5ad"), quiet=True)
    assert "scgx_spread" not in read(tmp_path / "p.h5ad").obs
