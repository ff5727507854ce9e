"""Batches hold the rows of the files, each as often as it should come, in an order of chance."""

import json
import pickle

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scgx
from scgx.errors import DataError, InputError, UsageError
from scgx.learn.batches import Batches
from scgx.learn.order import Shard, plan

N, GENES, PEAKS = 700, 40, 25
TYPES = ["B", "NK", "T"]


def make(path, seed=0, n=N, genes=None, kind="csr", types=TYPES, **written):
    """Cells with genes (in the order given) and peaks; values are those of the seed, by name."""
    draw = np.random.default_rng(seed)
    names = [f"g{i}" for i in range(GENES)] if genes is None else genes
    rna = pd.DataFrame(draw.poisson(0.6, (n, GENES)), columns=[f"g{i}" for i in range(GENES)])
    rna = rna.reindex(columns=names, fill_value=1).to_numpy()
    X = np.hstack([rna, draw.poisson(0.2, (n, PEAKS))]).astype(np.float32)
    layout = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[kind]
    cells = anndata.AnnData(layout(X))
    cells.obs_names = [f"{path.stem}-{i}" for i in range(n)]
    cells.var_names = [*names, *(f"chr1:{i}-{i + 1}" for i in range(PEAKS))]
    cells.var["feature_types"] = ["Gene Expression"] * len(names) + ["Peaks"] * PEAKS
    cells.obs["cell_type"] = pd.Categorical(
        draw.choice(types, n, p=None if len(types) != 3 else [0.8, 0.15, 0.05])
    )
    cells.obs["depth"] = X.sum(axis=1)
    cells.obs["split"] = draw.choice(["train", "val", "test"], n, p=[0.6, 0.2, 0.2])
    cells.layers["double"] = layout(2 * X)
    cells.obsm["activity"] = sparse.csr_matrix(X[:, :5] * 3)
    cells.obsm["table"] = pd.DataFrame(X[:, :2], columns=["a", "b"], index=cells.obs_names)
    cells.uns["activity_var_names"] = np.array([f"g{i}" for i in range(5)], dtype=object)
    cells.write_h5ad(path, **written)
    return cells


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    path = tmp_path_factory.mktemp("batches") / "one.h5ad"
    return path, make(path)


def dense_of(x):
    return x if isinstance(x, np.ndarray) else x.toarray()


def gathered(data, name=None):
    """All batches of an epoch as (rows, dense values)."""
    batches = list(data)
    values = [b.x if name is None else b.values[name] for b in batches]
    return (
        np.concatenate([b.rows for b in batches]),
        np.concatenate([dense_of(x) for x in values]),
    )


@pytest.mark.parametrize("shuffle", ["block", "full", None])
@pytest.mark.parametrize("dense", [True, False])
def test_batches_are_the_rows_of_the_file(one, shuffle, dense):
    path, cells = one
    X = cells.X.toarray()[:, :GENES]
    with Batches(path, 64, modality="rna", obs=["cell_type", "depth"], split="train",
                 shuffle=shuffle, dense=dense, block=8, buffer=128) as data:  # fmt: skip
        train = np.flatnonzero(cells.obs["split"] == "train")
        assert (data.rows == train).all() and len(data) == -(-len(train) // 64)
        seen = []
        for batch in data:
            assert isinstance(batch.x, np.ndarray if dense else sparse.csr_array)
            np.testing.assert_array_equal(dense_of(batch.x), X[batch.rows])
            words = data.vocabulary["cell_type"][batch.obs["cell_type"]]
            assert (words == cells.obs["cell_type"].astype(str).to_numpy()[batch.rows]).all()
            assert (batch.obs["depth"] == cells.obs["depth"].to_numpy()[batch.rows]).all()
            seen.append(batch.rows)
        rows = np.concatenate(seen)
        assert (np.sort(rows) == train).all()
        assert (rows == train).all() == (shuffle is None)
        assert list(data.features["rna"]) == list(cells.var_names[:GENES])


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize("written", [{}, {"compression": "gzip"}, {"compression": "lzf"}])
def test_layout_changes_nothing(one, tmp_path, kind, written):
    path, cells = one
    make(tmp_path / "other.h5ad", kind=kind, **written)
    with Batches(path, 50, modality="rna", split=None) as a:
        with Batches(tmp_path / "other.h5ad", 50, modality="rna", split=None) as b:
            for mine, theirs in zip(a, b, strict=True):
                assert (mine.rows == theirs.rows).all() and (mine.x != theirs.x).nnz == 0
                assert theirs.x.has_canonical_format and theirs.x.dtype == np.float32


def test_memory_and_prefetch_change_nothing(one):
    path, _cells = one
    kept = []
    for options in ({}, {"memory": 1}, {"prefetch": 0}, {"prefetch": 3, "memory": 20_000}):
        with Batches(path, 32, modality="rna", buffer=256, **options) as data:
            kept.append(gathered(data))
    for rows, values in kept[1:]:
        assert (rows == kept[0][0]).all() and (values == kept[0][1]).all()


@pytest.mark.parametrize("spool", [0, 50_000, None])
def test_a_spool_changes_nothing(one, tmp_path, spool):
    path, _cells = one
    make(tmp_path / "packed.h5ad", compression="gzip")
    with Batches(path, 32, modality="rna", buffer=256) as a:
        with Batches(tmp_path / "packed.h5ad", 32, modality="rna", buffer=256, spool=spool) as b:
            for _epoch in range(3):
                mine, theirs = gathered(a), gathered(b)
                assert (mine[0] == theirs[0]).all() and (mine[1] == theirs[1]).all()


def test_a_closed_loader_reads_no_more(one):
    path, _cells = one
    data = Batches(path, 32, modality="rna")
    data.close()
    with pytest.raises(UsageError, match="closed"):
        next(iter(data))
    data = Batches(path, 32, modality="rna", buffer=64)
    running = iter(data)
    next(running)
    data.close()
    with pytest.raises(UsageError, match="closed"):
        next(running)


def test_the_same_seed_is_the_same_order_and_another_epoch_is_not(one):
    path, _cells = one
    orders = []
    for seed in (1, 1, 2):
        with Batches(path, 32, modality="rna", seed=seed) as data:
            orders.append([gathered(data)[0] for _ in range(2)])
    assert (orders[0][0] == orders[1][0]).all() and (orders[0][1] == orders[1][1]).all()
    assert (orders[0][0] != orders[2][0]).any() and (orders[0][0] != orders[0][1]).any()


def test_one_shard_of_a_loader_visits_rows_as_training_does(one):
    path, _cells = one
    with Batches(path, 64, modality="rna", split=None, seed=4) as data:
        assert (gathered(data)[0] == plan(np.arange(N), 4, 0)).all()


@pytest.mark.parametrize("total", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [1, 16, 100])
@pytest.mark.parametrize("shuffle", ["block", "full", None])
def test_shards_share_every_row_once_in_equally_many_batches(one, total, size, shuffle):
    path, _cells = one
    with Batches(path, size, modality="rna", split=None, shuffle=shuffle, buffer=128) as data:
        shards = [list(data.batches(3, shard=Shard(k, total))) for k in range(total)]
    rows = np.concatenate([b.rows for shard in shards for b in shard])
    assert (np.sort(rows) == np.arange(N)).all()
    assert len({len(shard) for shard in shards}) == 1
    assert all(0 < len(b) <= max(size, 2) for shard in shards for b in shard)


def test_whole_batches_alone_where_the_last_is_dropped(one):
    path, _cells = one
    with Batches(path, 64, modality="rna", split=None, drop_last=True) as data:
        assert [len(b) for b in data] == [64] * (N // 64) and len(data) == N // 64


@pytest.mark.parametrize("stop", [1, 3, 8])
def test_a_loaded_state_goes_on_where_it_was(one, stop):
    path, _cells = one
    options = {"modality": "rna", "obs": ["cell_type"], "buffer": 128, "seed": 5}
    with Batches(path, 48, **options) as data:
        list(data)
        whole = [b.rows for b in data] + [b.rows for b in data]
    with Batches(path, 48, **options) as data:
        list(data)
        for _batch, _ in zip(data, range(stop)):
            pass
        state = json.loads(json.dumps(data.state_dict()))
    with Batches(path, 48, **options) as data:
        data.load_state_dict(state)
        rest = [b.rows for b in data] + [b.rows for b in data]
    assert len(rest) == len(whole) - state["batch"] and state["epoch"] == 1
    for mine, theirs in zip(rest, whole[state["batch"] :], strict=True):
        assert (mine == theirs).all()


def test_an_epoch_that_was_left_early_is_not_gone_on_with(one):
    path, _cells = one
    with Batches(path, 48, modality="rna", seed=2) as data:
        epochs = [np.concatenate([b.rows for b in data.batches(k)]) for k in range(3)]
        assert (next(iter(data)).rows == epochs[0][:48]).all()
        for batch in data:
            assert (batch.rows == epochs[1][:48]).all()
            break
        assert data.state_dict()["epoch"] == 1 and data.state_dict()["batch"] == 1
        assert (gathered(data)[0] == epochs[2]).all()


def test_a_state_of_another_order_is_refused(one):
    path, _cells = one
    with Batches(path, 48, modality="rna", seed=1) as a, Batches(path, 48, modality="rna") as b:
        with pytest.raises(DataError, match="another loader"):
            b.load_state_dict(a.state_dict())


def test_batches_stay_as_they_are_while_others_are_made(one):
    path, cells = one
    X = cells.X.toarray()[:, :GENES]
    with Batches(path, 600, modality="rna", split=None, dense=True, buffer=600) as data:
        held = [b for _ in range(5) for b in data]
    for batch in held:
        np.testing.assert_array_equal(batch.x, X[batch.rows])


def test_arrays_that_nobody_holds_are_handed_out_again():
    from scgx.h5ad.gather import Recycled

    recycled = Recycled()
    first = recycled.empty(1 << 17, np.dtype("f4"))
    place = first.ctypes.data
    again = recycled.empty(1 << 17, np.dtype("f4"))
    assert again.ctypes.data != place
    view = first.reshape(2, -1)[:, 5:]
    del first
    assert recycled.empty(1 << 17, np.dtype("f4")).ctypes.data != place
    del view
    assert recycled.empty(1 << 16, np.dtype("f4")).ctypes.data == place


def test_paired_modalities_are_of_the_same_cells(one):
    path, cells = one
    X = cells.X.toarray()
    words = ["rna", "atac", "layer:double", "obsm:activity", "adt=obsm:table"]
    with Batches(path, 100, modality=words, split="val") as data:
        assert [len(data.features[w]) for w in words] == [GENES, PEAKS, GENES, 5, 2]
        assert list(data.features["obsm:activity"]) == [f"g{i}" for i in range(5)]
        assert list(data.features["adt=obsm:table"]) == ["a", "b"]
        for batch in data:
            mine = X[batch.rows]
            truth = [
                mine[:, :GENES],
                mine[:, GENES:],
                2 * mine[:, :GENES],
                3 * mine[:, :5],
                mine[:, :2],
            ]
            for word, values in zip(words, truth, strict=True):
                np.testing.assert_array_equal(batch.values[word].toarray(), values)


def test_a_layer_holds_the_values_in_place_of_X(one):
    path, cells = one
    with Batches(path, 100, modality="atac", layer="double", split=None) as data:
        rows, values = gathered(data)
    assert (values == 2 * cells.X.toarray()[rows][:, GENES:]).all()


def test_units_are_those_asked_for(one):
    path, cells = one
    X = cells.X.toarray()[:, :GENES]
    with Batches(path, 100, modality="rna", units="log1p-cp10k", split=None) as data:
        rows, values = gathered(data)
    totals = np.maximum(X.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(values, np.log1p(X / totals * 1e4)[rows], rtol=1e-6)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Files with other gene orders, genes of their own, other labels and other layouts."""
    folder = tmp_path_factory.mktemp("many")
    names = [f"g{i}" for i in range(GENES)]
    back = names[::-1]
    fewer = [*names[10:30], "own"]
    cells = [
        make(folder / "a.h5ad", 1, 300),
        make(folder / "b.h5ad", 2, 200, back, types=["T", "mast"], compression="gzip"),
        make(folder / "c.h5ad", 3, 100, fewer, "dense", types=["B"]),
    ]
    return [folder / f"{name}.h5ad" for name in "abc"], cells


@pytest.mark.parametrize("features", [None, "inner", "outer", ["g12", "own", "nowhere", "g3"]])
def test_files_are_aligned_by_name_and_mixed(three, features):
    paths, cells = three
    with Batches(
        paths, 60, modality="rna", split=None, features=features, obs=["cell_type"]
    ) as data:
        names = list(data.features["rna"])
        assert list(data.vocabulary["cell_type"]) == ["B", "NK", "T", "mast"]
        assert data.datasets == ["a", "b", "c"]
        genes = [
            list(one.var_names[one.var["feature_types"] == "Gene Expression"]) for one in cells
        ]
        if features is None or features == "inner":
            assert names == [f"g{i}" for i in range(10, 30)]
        elif features == "outer":
            assert names == [*genes[0], "own"]
        else:
            assert names == features
        tables = [one.to_df().reindex(columns=names, fill_value=0).to_numpy() for one in cells]
        truth = np.concatenate(tables)
        labels = np.concatenate([one.obs["cell_type"].astype(str) for one in cells])
        assert (data.measured["rna"] == [[n in own for n in names] for own in genes]).all()
        rows = []
        for batch in data:
            np.testing.assert_array_equal(batch.x.toarray(), truth[batch.rows])
            assert (
                data.vocabulary["cell_type"][batch.obs["cell_type"]] == labels[batch.rows]
            ).all()
            assert (batch.dataset == np.searchsorted([300, 500, 600], batch.rows, "right")).all()
            assert set(batch.dataset.tolist()) == {0, 1, 2}
            rows.append(batch.rows)
        assert (np.sort(np.concatenate(rows)) == np.arange(600)).all()


def test_units_of_a_pair_are_said_for_each(one):
    path, _ = one
    units = {"rna": "log1p-cp10k", "atac": "binary"}
    with Batches(path, 100, modality=["rna", "atac"], units=units, split=None) as data:
        batch = next(iter(data))
        assert set(batch.values["atac"].data) == {1.0}
        assert batch.values["rna"].data.max() > 1.5
        assert (batch.values["rna"].data != np.rint(batch.values["rna"].data)).any()
    with pytest.raises(UsageError, match="no modality asked for"):
        Batches(path, 100, modality="rna", units=units)


@pytest.mark.parametrize("modality", ["rna", "adt"])
def test_named_features_are_normalised_by_all_of_them(tmp_path, modality):
    path = str(tmp_path / "cite.h5ad")
    scgx.fetch("demo", output=path, cells=60, genes=12, modality="adt", quiet=True)
    ask = {"modality": modality, "shuffle": None, "split": None, "dense": True}
    ask["units"] = "clr" if modality == "adt" else "log1p-cp10k"
    with Batches(path, 60, **ask) as data:
        every, names = next(iter(data)).x, data.features[modality]
    with Batches(path, 60, features=names[3:6], **ask) as data:
        np.testing.assert_allclose(next(iter(data)).x, every[:, 3:6], rtol=1e-6)


def test_files_in_other_units_are_brought_to_one(three, tmp_path):
    paths, cells = three
    logged = cells[1].copy()
    logged.X = sparse.csr_matrix(np.log1p(cells[1].X.toarray()))
    logged.write_h5ad(tmp_path / "logged.h5ad")
    kept = []
    for second in (paths[1], tmp_path / "logged.h5ad"):
        with Batches(
            [paths[0], second], 90, modality="rna", units="log1p-cp10k", split=None
        ) as data:
            kept.append(gathered(data))
    np.testing.assert_allclose(kept[0][1], kept[1][1], rtol=1e-4)


def test_a_given_vocabulary_is_kept_and_other_words_are_missing(three):
    paths, cells = three
    with Batches(paths, 60, modality="rna", split=None, obs=["cell_type"],
                 vocabulary={"cell_type": ["T", "B"]}) as data:  # fmt: skip
        assert list(data.vocabulary["cell_type"]) == ["T", "B"]
        labels = np.concatenate([one.obs["cell_type"].astype(str) for one in cells])
        codes = {"T": 0, "B": 1}
        for batch in data:
            wanted = [codes.get(word, -1) for word in labels[batch.rows]]
            assert batch.obs["cell_type"].tolist() == wanted


def test_balanced_labels_are_equally_likely(one):
    path, cells = one
    with Batches(
        path, 70, modality="rna", split=None, obs=["cell_type"], balance="cell_type"
    ) as data:
        drawn = np.concatenate([b.obs["cell_type"] for _ in range(10) for b in data])
        weights = data.class_weights("cell_type")
    share = np.bincount(drawn) / len(drawn)
    assert len(drawn) == 10 * N and np.abs(share - 1 / 3).max() < 0.02
    counts = cells.obs["cell_type"].value_counts().reindex(TYPES).to_numpy()
    np.testing.assert_allclose(weights, N / (3 * counts))


def test_weights_draw_in_proportion(one):
    path, _cells = one
    weights = np.zeros(N)
    weights[:4] = [1, 1, 1, 5]
    with Batches(path, 4, modality="rna", split=None, weights=weights) as data:
        assert data.rows.tolist() == [0, 1, 2, 3]
        drawn = np.concatenate([b.rows for _ in range(500) for b in data])
    assert abs((drawn == 3).mean() - 5 / 8) < 0.05
    with Batches(path, 64, modality="rna", weights="depth") as data:
        assert sum(map(len, data)) == len(data.rows)


def test_what_was_not_measured_is_never_read(tmp_path):
    from scgx.h5ad.frame import Frame, categorical
    from scgx.h5ad.measured import Measured, write_measured
    from scgx.h5ad.writer import create

    mask = np.array([[1, 1], [1, 0], [0, 1]], dtype=bool)
    seen = []
    for hidden in (0.0, 7.0):
        path = tmp_path / "m.h5ad"
        X = np.array([[1, 2, hidden], [3, 4, hidden], [5, hidden, 6]], dtype=np.float32)
        codes = np.array([0, 0, 1])
        with create(path) as out:
            names = np.array(["x", "y", "z"], dtype=object)
            out.frame("obs", Frame(names, {"dataset": categorical(["s", "s", "t"])}))
            out.frame("var", Frame(np.array(["g0", "g1", "g2"], dtype=object)))
            with out.matrix("X", 3, np.float32) as append:
                append(sparse.csr_array(X))
            write_measured(out, Measured(mask, np.array(["s", "t"], dtype=object), codes))
        with Batches(path, 3, split=None, shuffle=None) as data:
            (batch,) = data
            assert data.datasets == ["s", "t"] and batch.dataset.tolist() == [0, 0, 1]
            assert (data.measured["rna"] == mask.T).all()
            seen.append(batch.x.toarray())
    assert (seen[0] == seen[1]).all() and seen[0].tolist() == [[1, 2, 0], [3, 4, 0], [5, 0, 6]]


def test_a_copy_in_another_process_goes_on_with_the_same_batches(one):
    path, _cells = one
    with Batches(path, 64, modality="rna", seed=3) as data:
        list(data)
        copy = pickle.loads(pickle.dumps(data))  # noqa: S301 - as a worker gets it
        with copy:
            mine, theirs = gathered(data), gathered(copy)
    assert (mine[0] == theirs[0]).all() and (mine[1] == theirs[1]).all()


def test_corrupt_indices_are_refused(one, tmp_path):
    import shutil

    import h5py

    for place, value, words in ((5, 10_000, "outside"), (1, None, "twice")):
        path = tmp_path / "bad.h5ad"
        shutil.copy(one[0], path)
        with h5py.File(path, "r+") as file:
            indices = file["X/indices"]
            indices[place] = indices[0] if value is None else value
        with pytest.raises(InputError, match=words) as caught:
            with Batches(path, 64, modality="rna", split=None) as data:
                list(data)
        assert caught.value.file == str(path)


def test_a_request_that_cannot_be_met_is_refused(one, three):
    path, _cells = one
    for options, words in (
        ({}, "rna and atac"),
        ({"modality": "adt"}, "no adt"),
        ({"modality": "layer:nope"}, "no layers/nope"),
        ({"modality": "rna", "obs": ["cell_typ"]}, "no column"),
        ({"modality": "rna", "weights": np.full(N, np.nan)}, "missing"),
        ({"modality": "rna", "features": ["nowhere"]}, "shared"),
    ):
        with pytest.raises(DataError, match=words):
            Batches(path, 10, **options)
    for options in (
        {"shuffle": "no"},
        {"split": "tran"},
        {"weights": np.ones(3)},
        {"batch_size": 0},
        {"features": "Outer"},
        {"memory": "512M"},
        {"seed": -1},
    ):
        with pytest.raises(UsageError):
            Batches(path, **{"modality": "rna", **options})
    with pytest.raises(InputError, match="no such file"):
        Batches("nowhere.h5ad", modality="rna")
    with Batches(path, 10, modality="rna") as data, pytest.raises(DataError, match="has none"):
        next(data.batches(0, shard=Shard(0, N + 1)))


def test_the_loader_is_part_of_the_api():
    import scgx

    assert scgx.Batches is Batches and "Batches" in dir(scgx)


def test_real_files_are_read_as_anndata_reads_them(real_data):
    paths = [
        real_data / "pbmc-zheng-sorted" / "zheng_sorted_counts.h5ad",
        real_data / "pbmc-68k-reduced" / "pbmc68k_reduced_counts.h5ad",
    ]
    tables = [anndata.read_h5ad(path).to_df() for path in paths]
    labels = pd.concat(
        [anndata.read_h5ad(path).obs["cell_type_coarse"].astype(str) for path in paths]
    )
    with Batches(paths, 512, split=None, obs=["cell_type_coarse"], shuffle="block") as data:
        genes = data.features["rna"]
        truth = np.concatenate([table[genes].to_numpy() for table in tables])
        for batch in data:
            np.testing.assert_array_equal(batch.x.toarray(), truth[batch.rows])
            words = data.vocabulary["cell_type_coarse"][batch.obs["cell_type_coarse"]]
            assert (words == labels.to_numpy()[batch.rows]).all()
