"""Cells whose places are scored: embeddings by name, types, batches, cycle and order of cells."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import columns_of, present
from scgx.metrics._cycle import Principal, explained_by
from scgx.metrics._sets import Space
from scgx.tasks import _pairing
from scgx.tasks._conversion import reading, totals
from scgx.tasks._request import Request

CYCLE = ("S_score", "G2M_score")


ORDER = "pseudotime"  # columns of obs that begin or end so


Array = np.ndarray


@dataclass(frozen=True)
class Ground:
    """The scored cells in the order of their names: rows of the truth, what is known of them."""

    label: str
    batch: str | None
    rows: Array
    types: Array  # codes (n,)
    names: tuple[str, ...]  # of the types
    batches: Array | None
    cycle: Array | None
    before: dict[int, float] | None
    orders: dict[str, Array]
    split: _pairing.Split
    left_out: int
    notes: list[str]


@dataclass(frozen=True)
class Embedding:
    """One array of obsm of a guess; `scgx` says who it was fitted on, as that of a prediction does."""

    cells: Cells
    key: str
    label: str

    @property
    def name(self) -> str:
        """What its column is called."""
        return self.label

    @property
    def scgx(self) -> dict[str, object]:
        """Hashes of training cells and the split, where the file says so of this array."""
        told = self.cells.scgx.get("embeddings")
        about = told.get(self.key) if isinstance(told, dict) else None
        return about if isinstance(about, dict) else {}

    def vectors(self, names: Array) -> Array:
        """Of the cells named, float64 (n, d); DataError for missing cells and for NaN."""
        rows = _pairing.find(self.cells.obs_names, names)
        if lacking := int((rows < 0).sum()):
            raise DataError(
                f"lacks {lacking:,} of {len(rows):,} scored cells",
                fix="embed all cells of the truth",
                file=self.cells.name,
            )
        whole = self.cells.matrix(f"obsm/{self.key}").slice(0, self.cells.n_obs)
        values = (whole if isinstance(whole, np.ndarray) else whole.toarray())[rows]
        if not np.isfinite(values).all():
            raise DataError(f"obsm[{self.key!r}] holds NaN or Inf", file=self.cells.name)
        return values.astype(np.float64)


def embeddings_of(ask: Request) -> list[Embedding]:
    """What is scored of each guess: --basis, else what scgx embedded, else all of obsm."""
    found = []
    for cells in ask.guesses:
        there = cells.keys("obsm")
        told = cells.scgx.get("embeddings")
        keys = [key for key in told if key in there] if isinstance(told, dict) else []
        if ask.basis:
            keys = [key if key in there else f"X_{key}" for key in ask.basis]
        for key in keys or there:
            if key not in there:
                raise DataError(
                    f"has no obsm[{key!r}]",
                    fix=f"there: {', '.join(there) or 'none'}",
                    file=cells.name,
                )
            found.append((cells, key))
        if not (keys or there):
            raise DataError("has no embedding in obsm", fix="scgx embed makes one", file=cells.name)
    alone = len({key for _, key in found}) == len(found)
    files = dict(zip(map(id, ask.guesses), _pairing.short_names(ask.guesses), strict=True))
    return [
        Embedding(cells, key, key.removeprefix("X_") if alone else f"{files[id(cells)]}:{key}")
        for cells, key in found
    ]


def ground_of(ask: Request, found: list[Embedding]) -> Ground:
    """Test cells of a known type that no embedding was fitted on; DataError with under twenty."""
    truth = ask.truth
    label = ask.label or "cell_type"
    words = truth.obs.strings(label)
    split = _pairing.split_of(truth)
    notes = (
        list(split.notes) if split.found else ["the truth has no split: all its rows are scored"]
    )
    for cells in (truth, *ask.guesses):
        cells.require_unique("obs")
    position = {name: i for i, name in enumerate(truth.obs_names)}
    for cells in ask.guesses:
        _pairing.refuse_strangers(cells, position)
    labelled = np.array([word is not None for word in words[split.test]], dtype=bool)
    if lacking := int((~labelled).sum()):
        notes.append(f"{lacking:,} of {len(labelled):,} scored cells have no {label}: left out")
    rows = split.test[labelled]
    seen = _pairing.trained(truth, found, rows, split)  # type: ignore[arg-type]
    if left_out := int(seen.sum()):
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    rows = rows[~seen]
    if len(rows) < 20:
        raise DataError(f"{len(rows)} cells are too few to score an embedding", file=truth.name)
    rows = rows[np.argsort(truth.obs_names[rows].astype(str), kind="stable")]
    names, types = np.unique(words[rows].astype(str), return_inverse=True)
    batch = _batch(ask, split, rows, notes)
    batches = None
    if batch is not None:
        known = ["missing" if word is None else word for word in truth.obs.strings(batch)[rows]]
        levels, batches = np.unique(np.array(known, dtype=str), return_inverse=True)
        if len(levels) < 2:
            batches = None
    cycle = None
    if all(name in truth.obs for name in CYCLE):
        cycle = np.column_stack([truth.obs.numbers(name)[rows] for name in CYCLE])
    before = None if cycle is None else _before(truth, rows, batches, cycle, notes)
    orders = {
        name: truth.obs.numbers(name)[rows]
        for name in truth.obs.columns
        if name.startswith(ORDER) or name.endswith(ORDER)
    }
    orders = {name: values for name, values in orders.items() if np.isfinite(values).sum() > 3}
    for member, there, lacks in (
        ("asw_batch", batches, "two batches among the scored cells (--batch names their column)"),
        ("cc_cons", before, "S_score and G2M_score with RNA"),
        ("ti_cons_batch", orders, "pseudotime in obs"),
    ):
        if there is None or not len(there):
            notes.append(f"{member} is left out of the mean: no {lacks}")
    return Ground(
        label, batch, rows, types, tuple(names.tolist()), batches, cycle if before else None, before,
        orders, split, left_out, notes,
    )  # fmt: skip


def _batch(ask: Request, split: _pairing.Split, rows: Array, notes: list[str]) -> str | None:
    """The column of batches: the one named, else obs["batch"], else that of the split."""
    obs = ask.truth.obs
    if ask.batch is not None:
        obs.strings(ask.batch)  # refuses an unknown one, and names the nearest
        return ask.batch
    for name in ("batch", split.by):
        if name and name in obs and len(set(obs.strings(name)[rows].tolist())) > 1:
            notes.append(f"batches are those of {name!r} (--batch names another column)")
            return name
    return None


def _before(
    truth: Cells, rows: Array, batches: Array | None, cycle: Array, notes: list[str]
) -> dict[int, float] | None:
    """By batch, the variance of RNA that the cell cycle explains; None without RNA."""
    if "rna" not in present(truth.var):
        return None
    how = reading(truth, "rna", "log1p-cp10k", None)
    columns = columns_of(truth, "rna")
    codes = np.zeros(len(rows), int) if batches is None else batches
    found = {}
    for code in np.unique(codes):
        some = rows[codes == code]
        depth = totals(truth, how, some, "rna") if how.depth else np.ones(len(some))
        log = how.convert(truth.rows(how.key, some, columns), depth)
        if len(some) < 4:
            continue
        space = Space.fit(_sparse(log))
        scores = _sparse(log) @ space.axes - space.mean @ space.axes
        share = explained_by(Principal(scores, scores.var(axis=0)), cycle[codes == code])
        if share is not None:
            found[int(code)] = share
    return found or None


def _sparse(block: object) -> sparse.csr_array:
    return sparse.csr_array(block, dtype=np.float64)
