"""Convolutions near each gene, and the state of the whole cell."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from scgx.h5ad.frame import categorical
from scgx.learn.selection import correlation
from scgx.learn.windows import basis, edges, gather, near
from scgx.models.cnn import Config, Model
from scgx.progress import Report

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
FAST = Config(
    reach=50_000, scales=4, channels=4, depth=2, embedding=4, rank=4, state=6, penalty=16.0,
    hidden=16, members=2, epochs=8, batch_size=32, dropout=0.1, device="cpu",
)  # fmt: skip


def fitted(data, config=FAST, seed=0):
    return Model.fit(data, config, seed=seed, report=Report())


def held_out_correlation(data, model):
    truth = data.y(data.test).toarray()
    return correlation(truth, model.predict(data.block(data.test))).mean()


def unplaced(features):
    nowhere = np.full(len(features), -1, np.int64)
    return replace(
        features,
        chrom=np.full(len(features), None, object),
        start=nowhere,
        end=nowhere,
        tss=nowhere,
    )


@pytest.fixture
def local(paired):
    """Every gene follows its own peak, and nothing else: forty unrelated directions."""
    data = paired()
    rng = np.random.default_rng(5)
    x = (rng.random(data.values.shape) < 0.5).astype(np.float32)
    y = 2 * x[:, : len(data.outputs)] + rng.random((len(x), len(data.outputs)))
    return data.but(values=sparse.csr_array(x), targets=sparse.csr_array(y.astype(np.float32)))


@pytest.mark.parametrize("source", ["atac", "activity"])
@pytest.mark.parametrize("head", ["shared", "per-gene"])
def test_it_finds_signal(paired, source, head):
    data = paired(source)
    model = fitted(data, replace(FAST, head=head))
    guess = model.predict(data.block(data.test))
    assert guess.dtype == np.float32 and guess.shape == (len(data.test), len(data.outputs))
    assert guess.min() >= 0
    assert held_out_correlation(data, model) > 0.25


def test_windows_find_what_only_the_neighbourhood_of_a_gene_tells(local):
    config = replace(FAST, epochs=24, patience=24, lr=0.01, reach=4000)
    alone = held_out_correlation(local, fitted(local, replace(config, reach=0)))
    assert held_out_correlation(local, fitted(local, config)) > alone + 0.3


def test_shuffled_pairing_leaves_nothing_to_find(paired):
    data = paired()
    rows = np.random.default_rng(0).permutation(len(data.obs))
    shuffled = data.but(targets=data.targets[rows])
    assert abs(held_out_correlation(shuffled, fitted(shuffled))) < 0.1


@pytest.mark.parametrize("head", ["shared", "per-gene"])
def test_save_and_restore_give_the_same_bits(paired, head):
    data = paired()
    config = replace(FAST, covariates=("cell_type",), head=head, epochs=2)
    model = fitted(data, config)
    again = Model.restore(config, model.save())
    block = data.block(data.test)
    assert model.predict(block).tobytes() == again.predict(block).tobytes()
    assert again.save() == model.save() == fitted(data, config).save()


@pytest.mark.parametrize("per_gene", [False, True])
def test_every_weight_receives_a_gradient(paired, per_gene):
    from scgx.models import _cnn_net as net
    from scgx.models._mlp_net import Body, Shape, squared_error

    data = paired()
    borders = edges(50_000, 4)
    found = near(data.inputs, data.outputs, reach=50_000)
    what = basis(found, borders, (len(data.inputs), len(data.outputs)))
    windows = gather(data.x(data.train), what, len(borders) - 1)
    shape = Shape(6, (3,), len(data.outputs))
    sight = net.Sight(len(borders) - 1, 4, 3, 4, per_gene)
    network = net.build(2, shape, Body(16, 2, 4, 0.0), sight, start=None, seed=0).train()
    n = len(data.train)
    guess = network(
        torch.randn(n, 6),
        torch.arange(n)[:, None] % 3,
        net.Near.of(windows, torch.device("cpu")),
    )
    squared_error(guess, torch.randn(n, len(data.outputs)), None).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and (weight.grad != 0).any(), name


def test_the_number_of_weights_grows_with_depth(paired):
    data = paired()
    sizes = [
        sum(p.numel() for p in model.network.parameters())
        for model in (fitted(data, replace(FAST, depth=depth, epochs=1)) for depth in (1, 2, 3))
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_an_empty_window_says_nothing_and_genes_without_a_place_use_the_state(paired):
    data = paired()
    model = fitted(data, replace(FAST, epochs=2))
    assert model.fixed.bins > 0
    nowhere = data.but(outputs=unplaced(data.outputs))
    blind = fitted(nowhere, replace(FAST, epochs=2))
    assert blind.fixed.bins == 0 and blind.network.neighbourhood is None
    silent = model.network.neighbourhood
    from scgx.models._cnn_net import Near

    zero = Near(torch.tensor([0]), torch.tensor([3]), torch.zeros(1, model.fixed.bins))
    assert (silent(zero, torch.randn(1, len(model.fixed.standard.centre))) == 0).all()


def test_no_others_are_spoken_of_where_every_gene_has_inputs_near_it(local, capsys):
    fitted(local, replace(FAST, epochs=1))
    assert "40 of 40 genes have inputs near them\n" in capsys.readouterr().err


def test_the_bits_of_a_cell_do_not_depend_on_the_others_of_its_block(paired):
    data = paired()
    model = fitted(data, replace(FAST, epochs=2))
    rng = np.random.default_rng(0)
    first = rng.permutation(len(data.obs))[:256]
    second = np.concatenate([first[100:200], rng.permutation(len(data.obs))[:156]])
    whole, again = model.predict(data.block(first)), model.predict(data.block(second))
    assert whole[100:200].tobytes() == again[:100].tobytes()


def test_columns_that_move_with_their_names_change_nothing_and_without_them_much(local):
    config = replace(FAST, reach=4000, epochs=20, lr=0.01)
    model = fitted(local, config)
    block = local.block(local.test)
    guess = model.predict(block)
    order = np.random.default_rng(0).permutation(len(local.inputs))
    moved = local.but(
        values=sparse.csr_array(local.values[:, order]), inputs=local.inputs.take(order)
    )
    told = fitted(moved, config).predict(moved.block(local.test))
    assert np.abs(told - guess).mean() < 0.02 * guess.std()
    untold = model.predict(replace(block, x=sparse.csr_array(block.x[:, order])))
    assert np.abs(untold - guess).mean() > 0.2 * guess.std()


def test_a_covariate_is_learned_and_an_unseen_level_is_the_unknown_one(paired):
    data = paired()
    model = fitted(data, replace(FAST, covariates=("cell_type",), epochs=20))
    assert held_out_correlation(data, model) > held_out_correlation(data, fitted(data))
    block = data.block(data.test)

    def told(word):
        obs = block.obs.with_column("cell_type", categorical(np.full(len(block.obs), word, object)))
        return model.predict(replace(block, obs=obs))

    assert (told("never seen") == told("nor this")).all()
    assert (told("A") != told("B")).any()


def test_a_masked_target_moves_nothing(paired):
    data = paired()
    weights = np.ones(data.targets.shape, np.float32)
    weights[data.train[:40], 3] = 0
    masked = data.but(na=0.0, weights=weights)
    targets = data.targets.toarray()
    targets[data.train[:40], 3] = 50
    other = masked.but(targets=sparse.csr_array(targets))
    config = replace(FAST, epochs=2)
    assert fitted(masked, config).save() == fitted(other, config).save()


def test_a_training_that_stops_goes_on_to_the_same_bytes(paired, tmp_path):
    data = paired()
    config = replace(FAST, epochs=4, windows=100)
    straight = fitted(data, config).save()

    class Stops(type(data)):
        def batches(self, rows, size, *, epoch, **options):
            if epoch > 2:
                raise KeyboardInterrupt
            return super().batches(rows, size, epoch=epoch, **options)

    kept = tmp_path / "cnn.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        Model.fit(Stops(**vars(data)), config, seed=0, report=Report(checkpoint=kept))
    report = Report(checkpoint=kept, resume=True)
    assert Model.fit(data, config, seed=0, report=report).save() == straight


def test_the_hash_seed_of_python_changes_no_byte_of_cnn_or_mlp():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from conftest import make_paired\nimport test_cnn, test_mlp\n"
        "from dataclasses import replace\nimport hashlib\n"
        "digest = hashlib.sha256()\n"
        "for test in (test_cnn, test_mlp):\n"
        "    config = replace(test.FAST, epochs=2, covariates=('cell_type',))\n"
        "    digest.update(b''.join(test.fitted(make_paired(), config).save().values()))\n"
        "sys.stdout.write(digest.hexdigest())\n"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            stdout=subprocess.PIPE,
        )
        for hash_seed in ("1", "2")
    ]
    found = [run.communicate()[0] for run in runs]
    assert found[0] == found[1] and len(found[0]) == 64


def test_peaks_are_foreseen_from_genes_around_them_by_cross_entropy(paired):
    data = paired("rna", "atac")
    model = fitted(data)
    guess = model.predict(data.block(data.test))
    assert guess.min() >= 0 and guess.max() <= 1
    truth = data.y(data.test).toarray()
    mean = data.y(data.train).toarray().mean(axis=0).clip(1e-3, 1 - 1e-3)

    def entropy(p):
        p = np.clip(p, 1e-3, 1 - 1e-3)
        return -(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean()

    assert entropy(guess) < entropy(np.broadcast_to(mean, truth.shape))
    assert correlation(truth, guess).mean() > 0.1
