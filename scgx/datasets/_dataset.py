"""What scgx knows about a dataset: where it lies, how to tell it is right, how it becomes an h5ad.

A plugin is one file with a `DATASET`, or one line of `catalog.tsv`. Only the standard library is
used here, so that listing them answers at once.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class File:
    """One file of a dataset. `urls` serve the same bytes and are tried in order."""

    format: str  # h5ad, h5ad.gz, 10x, zip, tar.gz, tsv, ... ; what `recipe` must understand
    urls: tuple[str, ...] = ()
    part: str = ""  # which of several: rna, atac, protein, peaks
    version: str = ""  # the source's own id of this state of the file, where it has one
    bytes: int | None = None
    md5: str | None = None
    sha256: str | None = None
    member: str | None = None  # of a zip the one member that is read, of a tar the folder
    member_bytes: int | None = None
    member_sha256: str | None = None


@dataclass(frozen=True)
class Dataset:
    """One dataset. An empty `recipe` means that nothing here can convert it yet."""

    name: str
    kind: str  # multiome, cite, rna, perturbation, annotation, ...
    content: str
    files: tuple[File, ...] = ()
    recipe: str = ""  # cells, pair, raw, text, mtx, census, demo; "" = not yet
    genome: str | None = None
    units: str | None = None  # of X, where the source states or somebody measured it
    annotation: str | None = None  # the dataset of kind annotation that its genes belong to
    licence: str = "not stated"
    citation: str = ""
    traps: str = ""
    page: str = ""  # where a person may read about it, or a file to fetch by hand

    @property
    def ready(self) -> bool:
        """Whether `scgx fetch` can turn it into a file today."""
        return bool(self.recipe)

    @property
    def size(self) -> int | None:
        """Bytes to download, when all of them are known."""
        known = [file.bytes for file in self.files]
        return sum(b for b in known if b) if known and all(known) else None

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return asdict(self)
