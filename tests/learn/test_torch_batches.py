"""The adapter for torch gives every row once, whoever of how many asks."""

import warnings

import numpy as np
import pytest

from scgx.learn.batches import Batches
from scgx.learn.order import Shard

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from scgx.learn.torch_batches import TorchBatches  # noqa: E402

N = 530
pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    import anndata
    from scipy import sparse

    path = tmp_path_factory.mktemp("torch") / "t.h5ad"
    draw = np.random.default_rng(0)
    cells = anndata.AnnData(sparse.csr_matrix(draw.poisson(0.5, (N, 30)).astype("f4")))
    cells.obs_names, cells.var_names = [str(i) for i in range(N)], [f"g{i}" for i in range(30)]
    cells.obs["label"] = np.arange(N).astype("f8")
    cells.obs["word"] = draw.choice(["a", "b"], N)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells.write_h5ad(path)
    return path


def opened(path, **options):
    return Batches(path, 32, split=None, obs=["label", "word"], buffer=128, **options)


def loaded(dataset, **options):
    """Rows of one pass through a DataLoader."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        return [batch.rows.numpy() for batch in DataLoader(dataset, batch_size=None, **options)]


@pytest.mark.parametrize("dense", [True, False])
def test_tensors_are_what_batches_are(path, dense):
    with opened(path, dense=dense) as data, opened(path, dense=dense) as other:
        for theirs, mine in zip(TorchBatches(data), other, strict=True):
            x = theirs.x if dense else theirs.x.to_dense()
            truth = mine.x if dense else mine.x.toarray()
            assert (x.numpy() == truth).all() and x.dtype == torch.float32
            assert (theirs.obs["label"].numpy() == theirs.rows.numpy()).all()
            assert theirs.obs["word"].dtype == torch.int64


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_every_row_and_step_together(path, world):
    with opened(path) as data:
        parts = [loaded(TorchBatches(data, rank=rank, world_size=world)) for rank in range(world)]
        assert all(len(p) == len(TorchBatches(data, rank=0, world_size=world)) for p in parts)
    rows = np.concatenate([rows for part in parts for rows in part])
    assert (np.sort(rows) == np.arange(N)).all()


@pytest.mark.parametrize("persistent", [True, False])
def test_workers_share_the_rows_of_their_process(path, persistent):
    with opened(path, dense=True) as data:
        rows = []
        for rank in range(2):
            dataset = TorchBatches(data, rank=rank, world_size=2)
            loader = DataLoader(
                dataset, batch_size=None, num_workers=2, persistent_workers=persistent
            )
            for epoch in range(2):
                dataset.set_epoch(epoch)
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
                    seen = np.concatenate([batch.rows.numpy() for batch in loader])
                rows.append(seen)
        truth = [
            np.sort(
                np.concatenate([b.rows for k in (0, 1) for b in data.batches(e, shard=Shard(k, 4))])
            )
            for e in range(2)
        ]
    for epoch in range(2):
        both = np.concatenate([rows[epoch], rows[2 + epoch]])
        assert (np.sort(both) == np.arange(N)).all()
        assert (np.sort(rows[epoch]) == truth[epoch]).all()


def test_passes_are_epochs_unless_told(path):
    with opened(path) as data:
        dataset = TorchBatches(data)
        passes = [np.concatenate(loaded(dataset)) for _ in range(3)]
        dataset.set_epoch(5)
        assert dataset.epoch == 5
        loaded(dataset)
        assert dataset.epoch == 6
        dataset.set_epoch(1)
        again = np.concatenate(loaded(dataset))
    assert (passes[1] == again).all() and (passes[0] != passes[1]).any()


def test_a_pass_that_was_left_early_is_not_gone_on_with(path):
    with opened(path) as data:
        dataset = TorchBatches(data)
        next(iter(dataset))
        truth = np.concatenate([batch.rows for batch in data.batches(1)])
        assert (np.concatenate(loaded(dataset)) == truth).all() and dataset.epoch == 2


def test_a_loaded_state_goes_on_where_it_was(path):
    with opened(path) as data:
        whole = loaded(TorchBatches(data, rank=1, world_size=2))
        dataset = TorchBatches(data, rank=1, world_size=2)
        for _batch, _ in zip(dataset, range(4)):
            pass
        state = dataset.state_dict()
        resumed = TorchBatches(data, rank=1, world_size=2)
        resumed.load_state_dict(state)
        rest = loaded(resumed)
        assert len(rest) == len(whole) - state["batch"] and resumed.epoch == 1
    for mine, theirs in zip(rest, whole[state["batch"] :], strict=True):
        assert (mine == theirs).all()
