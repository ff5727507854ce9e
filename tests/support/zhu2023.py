"""Small stand-ins for zhu2023: the collection API, both files in CELLxGENE's layout, a GTF."""

import gzip
import json
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from scipy import sparse

from support import files
from support.web import Web

API = "/curation/v1/collections/ceb895f4-ff9f-403a-b7c3-187a9657ac2c"
DATA = "https://datasets.cellxgene.cziscience.com"
AGES = ["adolescence", "adulthood", "childhood", "infancy"]
TYPES = ["Astrocytes", "Oligodendrocytes", "RG"]


class StandIn(NamedTuple):
    """What was made: the settings that lead scgx to it, and the values in the order of RNA."""

    env: dict[str, str]
    rna: np.ndarray
    activity: np.ndarray
    cells: list[str]


def make(web: Web, folder: Path, *, cells: int = 40, genes: int = 30) -> StandIn:
    """`genes` genes, a third of them on X; ATAC has its cells in another order and lacks two.

    Activity drives expression, so that there is something to find.
    """
    draw = np.random.default_rng(0)
    names = ["".join("ACGT"[i >> 2 * k & 3] for k in range(8)) + "ACGTACGT-1" for i in range(cells)]
    donor, kind = np.arange(cells) % 8, draw.integers(0, 3, cells)
    state = draw.normal(0, 0.6, (cells, genes)) + draw.normal(0, 0.6, (3, genes))[kind]
    rna = np.log1p(draw.poisson(np.exp(state))).astype(np.float32)
    activity = np.log1p(draw.poisson(np.exp(state + 1))).astype(np.float32)
    order = draw.permutation(cells)[: cells - 2]
    ids = [f"ENSG{i:011d}" for i in range(1, genes + 1)]
    for word, values, rows in (("rna", rna, np.arange(cells)), ("atac", activity, order)):
        path = folder / f"{word}.h5ad"
        _file(path, values[rows], [names[i] for i in rows], ids, donor[rows], kind[rows])
        web.url(f"/data/{word}.h5ad", web.serve(path.read_bytes()))
    web.url("/api" + API, web.says(answer(folder)))
    (folder / "mine.tsv").write_text(
        "name\tkind\trecipe\tformat\tgenome\turls\n"
        f"gencode-human\tannotation\traw\tgtf.gz\tGRCh38\t{_gtf(web, ids)}\n"
    )
    bases = f"https://api.cellxgene.cziscience.com={web.base}/api {DATA}={web.base}/data"
    env = {"SCGX_BASE_URLS": bases, "SCGX_CATALOG": str(folder / "mine.tsv")}
    return StandIn(env, rna, activity, names)


def answer(folder: Path, titles: tuple[str, str] = ("", "")) -> bytes:
    """What the collection API says."""
    listed = []
    for word, title in zip(("rna", "atac"), titles, strict=True):
        size = (folder / f"{word}.h5ad").stat().st_size
        h5ad = {"filetype": "H5AD", "filesize": size, "url": f"{DATA}/{word}.h5ad"}
        listed.append(
            {
                "title": title or f"Multi-omic profiling, {word.upper()}",
                "dataset_version_id": f"{word}-1",
                "assets": [{"filetype": "RDS", "url": f"{DATA}/x.rds"}, h5ad],
            }
        )
    return json.dumps({"datasets": listed}).encode()


def _file(
    path: Path, X: np.ndarray, obs: list[str], var: list[str], donor: np.ndarray, kind: np.ndarray
) -> None:
    """CELLxGENE's layout: log values in X, counts in raw, no feature_types, no coordinates."""
    with h5py.File(path, "w") as file:
        files.mark(file, "anndata", "0.1.0")
        table = files.frame(file, "obs", obs)
        files.categorical(table, "donor_id", donor.tolist(), [f"donor{i}" for i in range(8)])
        files.categorical(table, "author_cell_type", kind.tolist(), TYPES)
        files.categorical(table, "age_group", (donor % 4).tolist(), AGES)
        files.categorical(table, "sex", (donor // 4).tolist(), ["female", "male"])
        columns = ["donor_id", "author_cell_type", "age_group", "sex"]
        table.attrs["column-order"] = np.array(columns, dtype=files.TEXT)
        _genes(files.frame(file, "var", var))
        files.matrix(file, "X", sparse.csr_matrix(X))
        raw = file.create_group("raw")
        files.mark(raw, "raw", "0.1.0")
        _genes(files.frame(raw, "var", var))
        files.matrix(raw, "X", sparse.csr_matrix(np.rint(np.expm1(X))))
        for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            files.mark(file.create_group(name), "dict", "0.1.0")
        files.text(file["uns"], "schema_version", ["5.2.0"])


def _genes(table: h5py.Group) -> None:
    n = len(table["_index"])
    files.text(table, "feature_name", [f"G{i}" for i in range(n)])
    files.categorical(table, "feature_biotype", [0] * n, ["gene"])
    order = np.array(["feature_name", "feature_biotype"], dtype=files.TEXT)
    table.attrs["column-order"] = order


def _gtf(web: Web, ids: list[str]) -> str:
    lines = ["##provider: GENCODE, GRCh38"]
    for i, gene in enumerate(ids):
        chrom, start = ("chrX" if i < len(ids) // 3 else "chr2"), 1_000_000 * (i + 1)
        name = f'gene_id "{gene}.7"; gene_name "G{i}"; gene_type "protein_coding";'
        lines.append(f"{chrom}\tHAVANA\tgene\t{start}\t{start + 5000}\t.\t+\t.\t{name}")
    return web.url("/genes.gtf.gz", web.serve(gzip.compress("\n".join(lines).encode() + b"\n")))
