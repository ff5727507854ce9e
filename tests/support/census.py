"""A Census of 300 cells: as tables in memory, and written as the real one is, with tiledbsoma."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from scgx.cells.census import Table
from scgx.h5ad.frame import Frame

KINDS = ("naive B cell", "T cell", "CD4-positive, alpha-beta T cell")


class Tables:
    """The Census as pandas tables and one matrix; answers as a store does."""

    def __init__(self, n: int = 300, g: int = 40, d: int = 4) -> None:
        draw = np.random.default_rng(0)
        counts = draw.poisson(1.0, (n, g)) * (draw.random((n, g)) < 0.4)
        owner = np.arange(n) % d
        self.mask = draw.random((g, d)) < 0.8  # of datasets 0 to d - 1; the last has no cell
        self.mask[:10] = True
        self.mask[39] = False
        counts *= self.mask[:, owner].T
        self.counts = sparse.csr_array(counts.astype(np.float32))
        self.obs_table = pd.DataFrame(
            {
                "soma_joinid": np.arange(n, dtype=np.int64),
                "dataset_id": [f"ds{i}" for i in owner],
                "cell_type": [KINDS[i % 3] for i in range(n)],
                "is_primary_data": draw.random(n) < 0.8,
                "nnz": np.diff(self.counts.indptr).astype(np.int64),
            }
        )
        sizes = np.bincount(owner, minlength=d)
        self.var_table = pd.DataFrame(
            {
                "soma_joinid": np.arange(g, dtype=np.int64),
                "feature_id": [f"ENSG{i:011}" for i in range(g)],
                "feature_name": [f"G{i}" for i in range(g)],
                "feature_type": ["protein_coding" if i % 2 else "lncRNA" for i in range(g)],
                "feature_length": np.arange(g, dtype=np.int64) + 100,
                "nnz": (counts > 0).sum(axis=0).astype(np.int64),
                "n_measured_obs": (self.mask @ sizes).astype(np.int64),
            }
        )
        self.dataset_table = pd.DataFrame(
            {
                "soma_joinid": np.arange(d + 1, dtype=np.int64),
                "dataset_id": [f"ds{i}" for i in range(d + 1)],
                "citation": [f"Somebody {2020 + i}" for i in range(d + 1)],
            }
        )
        self.asked: list[str] = []

    def columns(self) -> dict[str, str]:
        kinds = {"i": "number", "b": "truth", "O": "word"}
        return {name: kinds.get(self.obs_table[name].dtype.kind, "word") for name in self.obs_table}

    def obs(self, where: str) -> Table:
        self.asked.append("obs")
        table = self.obs_table.query(where) if where else self.obs_table
        return Table(table["soma_joinid"].to_numpy(), Frame.from_pandas(table))

    def var(self) -> Table:
        self.asked.append("var")
        return Table(self.var_table["soma_joinid"].to_numpy(), Frame.from_pandas(self.var_table))

    def datasets(self) -> Table:
        ids = self.dataset_table["soma_joinid"].to_numpy()
        return Table(ids, Frame.from_pandas(self.dataset_table))

    def presence(self, datasets: np.ndarray, genes: np.ndarray) -> np.ndarray:
        self.asked.append("presence")
        return self.mask[np.ix_(genes, datasets)]

    def blocks(
        self, cells: np.ndarray, genes: np.ndarray, cuts: Sequence[tuple[int, int]]
    ) -> Iterator[sparse.csr_array]:
        for start, stop in cuts:
            self.asked.append(f"X of {len(genes)}")
            yield self.counts[cells[start:stop]][:, genes]


def write(path: Path, tables: Tables) -> Path:
    """The same as a SOMA store."""
    import pyarrow as pa
    import tiledbsoma as soma

    later: list[tuple[str, pa.Table]] = []  # words are known to a table once it is closed

    def frame(parent: object, key: str, table: pd.DataFrame) -> None:
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        span = [[0, len(table) - 1]]
        made = parent.add_new_dataframe(
            key, schema=arrow.schema, index_column_names=["soma_joinid"], domain=span
        )
        later.append((made.uri, arrow))

    def matrix(parent: object, key: str, values: sparse.coo_array, kind: object) -> None:
        made = parent.add_new_sparse_ndarray(key, type=kind, shape=values.shape)
        rows, columns = (side.astype(np.int64) for side in values.coords)
        data = {"soma_dim_0": rows, "soma_dim_1": columns, "soma_data": pa.array(values.data, kind)}
        made.write(pa.Table.from_pydict(data))

    with soma.Collection.create(str(path)) as census:
        frame(census.add_new_collection("census_info"), "datasets", tables.dataset_table)
        data = census.add_new_collection("census_data")
        human = data.add_new_collection("homo_sapiens", soma.Experiment)
        obs = tables.obs_table.astype({"cell_type": "category", "dataset_id": "category"})
        frame(human, "obs", obs)
        rna = human.add_new_collection("ms").add_new_collection("RNA", soma.Measurement)
        frame(rna, "var", tables.var_table)
        matrix(rna.add_new_collection("X"), "raw", tables.counts.tocoo(), pa.float32())
        presence = sparse.coo_array(tables.mask.T.astype(np.uint8))
        matrix(rna, "feature_dataset_presence_matrix", presence, pa.uint8())
    for uri, arrow in later:
        with soma.DataFrame.open(uri, "w") as made:
            made.write(arrow)
    return path
