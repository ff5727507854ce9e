"""A perceptron on LSI components."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.frame import categorical
from scgx.learn.selection import correlation
from scgx.models.mlp import FROM, TO, Config, Model
from scgx.progress import Report

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
FAST = Config(
    components=8, hidden=16, rank=4, members=2, epochs=12, batch_size=32, dropout=0.1, device="cpu"
)


def fitted(data, config=FAST, seed=0):
    return Model.fit(data, config, seed=seed, report=Report())


def held_out_correlation(data, model):
    truth = data.y(data.test).toarray()
    return correlation(truth, model.predict(data.block(data.test))).mean()


def parameters(model):
    return sum(p.numel() for p in model.network.parameters())


@pytest.mark.parametrize(
    ("source", "target"), [("atac", "rna"), ("rna", "atac"), ("activity", "adt")]
)
def test_it_finds_signal_in_units_of_its_target(paired, source, target):
    assert source in FROM and target in TO
    data = paired(source, target)
    model = fitted(data)
    guess = model.predict(data.block(data.test))
    assert guess.dtype == np.float32 and guess.shape == (len(data.test), len(data.outputs))
    assert held_out_correlation(data, model) > 0.2
    if target == "atac":
        assert guess.min() >= 0 and guess.max() <= 1


def test_shuffled_pairing_leaves_nothing_to_find(paired):
    data = paired()
    rows = np.random.default_rng(0).permutation(len(data.obs))
    shuffled = data.but(targets=data.targets[rows])
    assert abs(held_out_correlation(shuffled, fitted(shuffled))) < 0.1


def test_save_and_restore_give_the_same_bits(paired):
    data = paired()
    config = replace(FAST, covariates=("cell_type",))
    model = fitted(data, config)
    again = Model.restore(config, model.save())
    block = data.block(data.test)
    assert model.predict(block).tobytes() == again.predict(block).tobytes()
    assert again.save() == model.save()


def test_same_seed_same_bytes_and_another_seed_others(paired):
    data = paired()
    assert fitted(data).save() == fitted(data).save()
    assert fitted(data).save() != fitted(data, seed=1).save()


def test_test_rows_do_not_enter_the_fit(paired):
    data = paired()
    targets = data.targets.toarray()
    targets[data.test] = 99
    other = data.but(targets=sparse.csr_array(targets))
    assert fitted(data).save() == fitted(other).save()


def test_every_weight_receives_a_gradient(paired):
    from scgx.models._mlp_net import Body, Shape, committee, squared_error

    network = committee(2, Shape(6, (3, 4), 10), Body(16, 2, 4, 0.0), start=None, seed=0).train()
    codes = torch.stack([torch.arange(30) % 3, torch.arange(30) % 4], dim=1)
    squared_error(network(torch.randn(30, 6), codes), torch.randn(30, 10), None).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None and (weight.grad != 0).any(), name


def test_the_number_of_weights_grows_with_depth(paired):
    data = paired()
    sizes = [parameters(fitted(data, replace(FAST, depth=depth, epochs=1))) for depth in (1, 2, 3)]
    assert sizes[0] < sizes[1] < sizes[2]


def test_columns_that_move_with_their_names_change_nothing_and_without_them_much(paired):
    data = paired()
    model = fitted(data)
    block = data.block(data.test)
    order = np.random.default_rng(0).permutation(len(data.inputs))
    moved = data.but(values=sparse.csr_array(data.values[:, order]), inputs=data.inputs.take(order))
    told = fitted(moved).predict(moved.block(data.test))
    assert np.abs(told - model.predict(block)).mean() < 0.1 * model.predict(block).std()
    untold = model.predict(_shuffled(block, order))
    assert np.abs(untold - model.predict(block)).mean() > 0.1 * model.predict(block).std()


def _shuffled(block, order):
    return replace(block, x=sparse.csr_array(block.x[:, order]))


def test_a_covariate_is_learned_and_an_unseen_level_is_the_unknown_one(paired):
    data = paired()
    config = replace(FAST, covariates=("cell_type",), epochs=20)
    model = fitted(data, config)
    assert held_out_correlation(data, model) > held_out_correlation(data, fitted(data))
    block = data.block(data.test)

    def told(word):
        obs = block.obs.with_column("cell_type", categorical(np.full(len(block.obs), word, object)))
        return model.predict(replace(block, obs=obs))

    assert (told("never seen") == told("nor this")).all()
    assert (told("A") != told("B")).any()
    with pytest.raises(DataError, match="no column 'cell_type'"):
        model.predict(replace(block, obs=block.obs.without(["cell_type"])))


def test_a_masked_target_moves_nothing(paired):
    data = paired()
    weights = np.ones(data.targets.shape, np.float32)
    weights[data.train[:40], 3] = 0
    masked = data.but(na=0.0, weights=weights)
    targets = data.targets.toarray()
    targets[data.train[:40], 3] = 50
    other = masked.but(targets=sparse.csr_array(targets))
    assert fitted(masked).save() == fitted(other).save()
    assert fitted(masked).save() != fitted(data).save()


def test_a_training_that_stops_goes_on_to_the_same_bytes(paired, tmp_path):
    data = paired()
    straight = fitted(data).save()

    class Stops(type(data)):
        def batches(self, rows, size, *, epoch, **options):
            if epoch > 5:
                raise KeyboardInterrupt
            return super().batches(rows, size, epoch=epoch, **options)

    kept = tmp_path / "mlp.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        Model.fit(Stops(**vars(data)), FAST, seed=0, report=Report(checkpoint=kept))
    report = Report(checkpoint=kept, resume=True)
    assert Model.fit(data, FAST, seed=0, report=report).save() == straight


def test_a_mistyped_setting_does_not_load_torch():
    code = "import sys, scgx.models.mlp, scgx.models.cnn; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
