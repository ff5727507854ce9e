"""Small AnnData files written with h5py alone, so that nothing of scgx vouches for scgx."""

from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

N_OBS, N_VAR = 40, 12
TEXT = h5py.string_dtype("utf-8")


def counts(seed: int = 0, shape: tuple[int, int] = (N_OBS, N_VAR)) -> np.ndarray:
    """Whole numbers, two thirds of them zero, float32."""
    draw = np.random.default_rng(seed)
    values = draw.poisson(2.0, shape) * (draw.random(shape) < 0.5)
    return values.astype(np.float32)


def cells(
    path: Path,
    X: np.ndarray | sparse.spmatrix | sparse.sparray | None = None,
    *,
    obs: list[str] | None = None,
    var: list[str] | None = None,
    chrom: list[str] | None = None,
) -> Path:
    """An h5ad with `donor`, `batch` and `cell_type` in obs, and every third gene on chrX."""
    X = sparse.csr_matrix(counts()) if X is None else X
    n, m = X.shape
    obs = [f"cell{i}" for i in range(n)] if obs is None else obs
    var = [f"gene{i}" for i in range(m)] if var is None else var
    chrom = ["chrX" if i % 3 == 0 else "chr1" for i in range(m)] if chrom is None else chrom
    with h5py.File(path, "w") as file:
        mark(file, "anndata", "0.1.0")
        table = frame(file, "obs", obs)
        text(table, "donor", [f"d{i % 5}" for i in range(n)])
        categorical(table, "cell_type", [i % 3 for i in range(n)], ["a", "b", "c"])
        table.attrs["column-order"] = np.array(["donor", "cell_type"], dtype=TEXT)
        table = frame(file, "var", var)
        text(table, "chrom", chrom)
        table["start"] = np.arange(m) * 1000
        table["end"] = np.arange(m) * 1000 + 500
        text(table, "feature_types", ["Gene Expression"] * m)
        table.attrs["column-order"] = np.array(
            ["chrom", "start", "end", "feature_types"], dtype=TEXT
        )
        matrix(file, "X", X)
        for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            mark(file.create_group(name), "dict", "0.1.0")
    return path


def mark(item: h5py.HLObject, kind: str, version: str) -> None:
    """AnnData's two attributes."""
    item.attrs["encoding-type"], item.attrs["encoding-version"] = kind, version


def frame(group: h5py.Group, name: str, index: list[str]) -> h5py.Group:
    """An empty table with an index."""
    item = group.create_group(name)
    mark(item, "dataframe", "0.2.0")
    item.attrs["_index"] = "_index"
    item.attrs["column-order"] = np.array([], dtype=TEXT)
    text(item, "_index", index)
    return item


def text(group: h5py.Group, name: str, words: list[str]) -> None:
    """A column of strings."""
    group.create_dataset(name, data=np.array(words, dtype=object), dtype=TEXT)
    mark(group[name], "string-array", "0.2.0")


def categorical(group: h5py.Group, name: str, codes: list[int], words: list[str]) -> None:
    """A categorical column."""
    item = group.create_group(name)
    mark(item, "categorical", "0.2.0")
    item.attrs["ordered"] = False
    item["codes"] = np.array(codes, dtype=np.int8)
    mark(item["codes"], "array", "0.2.0")
    text(item, "categories", words)


def matrix(group: h5py.Group, name: str, X: object, **options: object) -> None:
    """A matrix as it is: CSR, CSC or dense."""
    if not sparse.issparse(X):
        group.create_dataset(name, data=X, **options)
        mark(group[name], "array", "0.2.0")
        return
    item = group.create_group(name)
    mark(item, f"{X.format}_matrix", "0.1.0")
    item.attrs["shape"] = np.array(X.shape)
    for part in ("data", "indices", "indptr"):
        item.create_dataset(part, data=getattr(X, part), **options)


def multiome(path: Path, n: int = 80, n_genes: int = 15, n_peaks: int = 30, seed: int = 0) -> Path:
    """Genes that follow peaks: cells with both modalities, by donor and cell type."""
    draw = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    rate = draw.gamma(0.5, 1.0, (3, n_peaks))
    peaks = draw.poisson(rate[kind])
    genes = draw.poisson(0.2 + peaks[:, :n_genes] + peaks[:, n_genes : 2 * n_genes])
    X = sparse.csr_matrix(np.hstack([genes, peaks]).astype(np.float32))
    names = [f"gene{i}" for i in range(n_genes)]
    names += [f"chr{'X' if i % 3 == 0 else 1}:{1000 * i}-{1000 * i + 500}" for i in range(n_peaks)]
    cells(path, X, var=names)
    with h5py.File(path, "r+") as file:
        table = file["var"]
        del table["feature_types"]
        text(table, "feature_types", ["Gene Expression"] * n_genes + ["Peaks"] * n_peaks)
    return path
