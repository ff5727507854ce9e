"""`zhu2023`: RNA and chromatin (as gene activity) of the same nuclei of the developing human cortex.

CELLxGENE gives every version of a file a new address and may withdraw old ones, so the addresses are
asked for at fetch time: the collection's answer lists its datasets, and RNA and ATAC are told apart by
their titles (and later by what the files say of their features). What was resolved last is kept, so
that a cached copy works offline, and a new version is said by its id.
"""

import json
import re

from scgx import progress
from scgx.datasets import _download
from scgx.datasets._cache import Cache
from scgx.datasets._dataset import Dataset, File
from scgx.errors import InputError, NetworkError

COLLECTION = "ceb895f4-ff9f-403a-b7c3-187a9657ac2c"
API = f"https://api.cellxgene.cziscience.com/curation/v1/collections/{COLLECTION}"

DATASET = Dataset(
    name="zhu2023",
    kind="multiome",
    content="about 45,549 nuclei, developing human cortex, 6 stages: RNA and gene-level ATAC activity",
    recipe="pair",
    genome="GRCh38",
    units="log1p-counts",
    annotation="gencode-human",
    licence="CC BY for CELLxGENE data (unverified for this collection)",
    citation="Zhu et al. 2023, Sci. Adv. 9(41) eadg3754, doi 10.1126/sciadv.adg3754",
    traps="X is log1p of raw counts without depth normalisation; join by barcode; ATAC is per gene",
    page=f"https://cellxgene.cziscience.com/collections/{COLLECTION}",
)

PARTS = ("rna", "activity")
_ATAC = re.compile(r"atac|chromatin|accessib|gene activit", re.IGNORECASE)
_RNA = re.compile(r"rna|expression|transcript|gex", re.IGNORECASE)


def resolve(cache: Cache, wish: _download.Wish) -> tuple[File, ...]:
    """Where RNA and gene activity are today; offline, or without an answer, where they were last.

    Raises `NetworkError` when nothing is known, `InputError` when the answer is not understood.
    """
    before = cache.recall(DATASET.name)
    if wish.offline:
        if not before:
            raise NetworkError("never fetched, and --offline", file=DATASET.name)
        return _files(before)
    try:
        answer = _download.read(cache, API, wish)
    except NetworkError as error:
        if not before:
            raise
        progress.warn(f"{error.what}; using what was found last time")
        return _files(before)
    found = choose(answer)
    for part, old in before.items():
        if isinstance(old, dict) and old.get("id") != found.get(part, {}).get("id"):
            progress.warn(f"there is a new version of {part}: {found[part]['id']}")
    cache.remember(DATASET.name, found)
    return _files(found)


def choose(answer: bytes) -> dict[str, dict[str, object]]:
    """RNA and activity among the datasets of a collection: id, url and bytes of each."""
    try:
        listed = json.loads(answer)["datasets"]
        candidates = [found for entry in listed if (found := _asset(entry))]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            "the collection API answers in a way that is not understood",
            fix="get both files by hand: --from-file RNA --from-file ATAC",
            file=DATASET.name,
        ) from None
    atac = [c for c in candidates if _ATAC.search(str(c["title"]))]
    others = [c for c in candidates if c not in atac]
    rna = others if len(others) == 1 else [c for c in others if _RNA.search(str(c["title"]))]
    if len(atac) != 1 or len(rna) != 1:
        titles = "; ".join(f"{str(c['title'])[:40]} {c['id']}" for c in candidates) or "none"
        raise InputError(
            f"cannot tell RNA from ATAC among: {titles[:90]}",
            fix="--from-file RNA --from-file ATAC",
            file=DATASET.name,
        )
    return {"rna": rna[0], "activity": atac[0]}


def _asset(entry: dict[str, object]) -> dict[str, object] | None:
    """The h5ad of one dataset of the collection."""
    assets = entry["assets"]
    assert isinstance(assets, list)
    for asset in assets:
        if str(asset["filetype"]).upper() == "H5AD":
            url, size = str(asset["url"]), asset.get("filesize")
            if not url.startswith("https://"):
                raise ValueError(url)
            version = str(entry.get("dataset_version_id") or entry.get("dataset_id") or "?")
            title = str(entry.get("title") or "")
            return {"id": version[:40], "title": title, "url": url, "bytes": size or None}
    return None


def _files(found: dict[str, object] | dict[str, dict[str, object]]) -> tuple[File, ...]:
    made = []
    for part in PARTS:
        row = found.get(part)
        if not isinstance(row, dict) or "url" not in row:
            raise InputError("what is kept of the last fetch is damaged", file=DATASET.name)
        size = row.get("bytes")
        size = size if isinstance(size, int) else None
        urls, version = (str(row["url"]),), str(row.get("id") or "")
        made.append(File(format="h5ad", urls=urls, part=part, version=version, bytes=size))
    return tuple(made)
