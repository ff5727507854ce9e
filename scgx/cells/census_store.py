"""The CELLxGENE Census as it is stored (SOMA on TileDB), a slice at a time: the home of tiledbsoma.

    census_info/datasets                what every dataset is, and whom to cite
    census_data/ORGANISM/obs            a row per cell
    .../ms/RNA/var                      a row per gene, with nnz and n_measured_obs
    .../ms/RNA/X/raw                    counts, cells x genes, sparse
    .../ms/RNA/feature_dataset_presence_matrix   datasets x genes: who measured what

Schema: https://chanzuckerberg.github.io/cellxgene-census (Census schema 2).
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tiledbsoma
from scipy import sparse

from scgx.cells.census import Table
from scgx.errors import InputError, NetworkError
from scgx.h5ad.frame import Frame

Array = np.ndarray
_WORLD = {"vfs.s3.region": "us-west-2", "vfs.s3.no_sign_request": "true"}


@contextlib.contextmanager
def open_store(address: str, organism: str, *, memory: int) -> Iterator["SomaStore"]:
    """Open a Census: an s3:// address, or the folder of a copy; `organism` as homo_sapiens.

    Raises NetworkError for an address that does not answer, InputError for what is no Census.
    """
    here = Path(address).is_dir()
    settings = {"soma.init_buffer_bytes": str(min(memory // 8, 256 << 20))}
    context = tiledbsoma.SOMATileDBContext(
        tiledb_config={**settings, **({} if here else _WORLD)}  # type: ignore[arg-type]
    )
    try:
        with tiledbsoma.open(address, mode="r", context=context) as census:
            yield SomaStore(census, organism, address)
    except (tiledbsoma.SOMAError, RuntimeError) as error:
        words = (str(error).strip().splitlines() or ["no reason given"])[0][:100]
        if here:
            raise InputError(f"is no Census: {words}", file=address) from None
        raise NetworkError(f"the Census does not answer: {words}", file=address) from None


class SomaStore:
    """An open Census; what `census.write` reads from."""

    def __init__(self, census: Any, organism: str, address: str) -> None:
        try:
            self._info = census["census_info"]
            self._cells = census["census_data"][organism]
            self._genes = self._cells.ms["RNA"]
        except KeyError as error:
            raise InputError(f"is no Census with {organism}: no {error}", file=address) from None

    def columns(self) -> dict[str, str]:
        """The columns of obs and what they hold: `word`, `truth` or `number`."""
        return {field.name: _kind(field.type) for field in self._cells.obs.schema}

    def obs(self, where: str) -> Table:
        """The cells that a SOMA value filter means (all where it is empty)."""
        return _table(self._cells.obs.read(value_filter=where or None))

    def var(self) -> Table:
        """Every gene."""
        return _table(self._genes.var.read())

    def datasets(self) -> Table:
        """Every dataset of the Census."""
        return _table(self._info["datasets"].read())

    def presence(self, datasets: Array, genes: Array) -> Array:
        """Which datasets measured which genes, by their ids; bool (genes, datasets)."""
        matrix = self._genes["feature_dataset_presence_matrix"]
        mask = np.zeros((len(genes), len(datasets)), dtype=bool)
        for part in matrix.read((pa.array(np.sort(datasets)), slice(None))).tables():
            columns, rows, values = (part.column(i).to_numpy() for i in range(3))
            row, known = _places(genes, rows)
            column, _ = _places(datasets, columns)
            mask[row[known], column[known]] = values[known].astype(bool)
        return mask

    def blocks(
        self, cells: Array, genes: Array, cuts: Sequence[tuple[int, int]]
    ) -> Iterator[sparse.csr_array]:
        """Counts of cells and genes (ids, ascending), cells start..stop at a time."""
        matrix = self._genes.X["raw"]
        wanted = pa.array(genes) if 2 * len(genes) < matrix.shape[1] else slice(None)
        for start, stop in cuts:
            ids = cells[start:stop]
            shape = (len(ids), len(genes))
            whole = sparse.csr_array(shape, dtype=np.float32)
            for part in matrix.read((pa.array(ids), wanted)).tables():
                rows, columns, values = (part.column(i).to_numpy() for i in range(3))
                column, known = _places(genes, columns)
                row, _ = _places(ids, rows)
                entries = (values[known], (row[known], column[known]))
                whole = whole + sparse.coo_array(entries, shape=shape).tocsr()
            yield whole


def _table(read: Any) -> Table:
    """A SOMA table by ascending id."""
    table = read.concat().to_pandas().sort_values("soma_joinid", ignore_index=True)
    ids = table["soma_joinid"].to_numpy(dtype=np.int64)
    for name in table.select_dtypes("category"):
        table[name] = table[name].cat.remove_unused_categories()
    return Table(ids, Frame.from_pandas(table))


def _places(ids: Array, wanted: Array) -> tuple[Array, Array]:
    """Where each of `wanted` is in the ascending `ids`, and whether it is there at all."""
    place = np.minimum(np.searchsorted(ids, wanted), max(0, len(ids) - 1))
    return place, ids[place] == wanted if len(ids) else np.zeros(len(wanted), dtype=bool)


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_boolean(type_):
        return "truth"
    numeric = pa.types.is_integer(type_) or pa.types.is_floating(type_)
    return "number" if numeric else "word"
