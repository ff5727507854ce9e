"""Which cell of a guess belongs to which cell of the truth: by name, and never a trained one."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import modalities
from scgx.h5ad.isotypes import isotype_controls
from scgx.h5ad.names import hash_names

Array = np.ndarray

LEAK = 0.05  # barcodes recur between studies; more than this share of trained names is no chance


class Split(NamedTuple):
    """What the truth says about its parts; `id` and `by` are empty where it says nothing.

    `notes` says how many cells are in no part.
    """

    test: Array
    train: Array
    id: str
    by: str
    found: bool
    notes: tuple[str, ...] = ()


class Guess(NamedTuple):
    """One file of predictions: rows and columns of it, in the order of the scored names."""

    cells: Cells
    name: str
    rows: Array
    columns: Array
    coverage: float


class Pairing(NamedTuple):
    """The scored cells and features: positions in the truth, both in the order of their names."""

    rows: Array
    names: Array
    columns: Array
    modality: str
    guesses: tuple[Guess, ...]
    left_out: int
    notes: tuple[str, ...]

    def covered(self) -> "Pairing":
        """Only the cells that every guess covers."""
        kept = np.all([guess.rows >= 0 for guess in self.guesses], axis=0)
        if not kept.any():
            raise DataError("no test row is covered by every guess", fix="score them one by one")
        guesses = tuple(guess._replace(rows=guess.rows[kept]) for guess in self.guesses)
        return self._replace(rows=self.rows[kept], names=self.names[kept], guesses=guesses)


def split_of(truth: Cells) -> Split:
    """The parts of the truth; without a split every row is a test row."""
    recorded = truth.scgx.get("split")
    facts = json.loads(recorded) if isinstance(recorded, str) else {}
    nothing = np.zeros(0, dtype=np.int64)
    if "split" not in truth.obs:
        return Split(np.arange(truth.n_obs), nothing, "", "", False)
    words = truth.obs.strings("split")
    test, train = np.flatnonzero(words == "test"), np.flatnonzero(words == "train")
    if not len(test):
        raise DataError(
            "no row has split = test", fix="scgx split makes test rows", file=truth.name
        )
    outside = sum(word is None for word in words)
    left = f"{outside:,} of {len(words):,} cells have no part in obs['split'] and are not scored"
    by = str(facts.get("by") or "")
    return Split(test, train, str(facts.get("id", "")), by, True, (left,) if outside else ())


def pair(truth: Cells, guesses: Sequence[Cells], split: Split, modality: str | None) -> Pairing:
    """Match every guess to the truth by names; refuse what cannot be scored honestly."""
    for cells in (truth, *guesses):
        cells.require_unique("obs", "var")
    notes = list(split.notes)
    position = {name: i for i, name in enumerate(truth.obs_names)}
    for guess in guesses:
        refuse_strangers(guess, position)
    wanted = split.test[np.argsort(truth.obs_names[split.test].astype(str), kind="stable")]
    seen = trained(truth, guesses, wanted, split)
    wanted, left_out = wanted[~seen], int(seen.sum())
    if left_out:
        notes.append(f"{left_out:,} test cells share a name with a trained cell and are left out")
    columns, kind = _features(truth, guesses, modality)
    every = int(np.count_nonzero(modalities(truth.var) == kind))
    if kind == "adt":
        columns, controls = _without_controls(truth, columns)
        every -= controls
        if controls:
            notes.append(f"{controls:,} isotype controls bind nothing and are not scored")
    shared = truth.var_names[columns]
    if len(columns) < every:
        notes.append(f"{len(columns):,} of {every:,} {kind} features are in every guess")
    names = truth.obs_names[wanted]
    labels = short_names(guesses)
    paired = []
    for guess, label in zip(guesses, labels, strict=True):
        rows = find(guess.obs_names, names)
        if not np.any(rows >= 0):
            raise DataError("holds none of the test rows", file=guess.name)
        covered = float(np.mean(rows >= 0))
        more = int(np.count_nonzero(find(names, guess.obs_names) < 0))
        if more:
            notes.append(f"{label}: {more:,} rows are no test rows and are not scored")
        extra = guess.n_var - len(columns) - int(isotype_controls(guess.var).sum())
        if extra > 0:
            notes.append(f"{label}: {extra:,} of its features are not scored")
        paired.append(Guess(guess, label, rows, find(guess.var_names, shared), covered))
    return Pairing(wanted, names, columns, kind, tuple(paired), left_out, tuple(notes))


def training_rows(train: Cells, truth: Cells, pairing: Pairing) -> tuple[Array, Array]:
    """Rows of another file that trained (all, without a split), and its scored columns."""
    train.require_unique("obs", "var")
    rows = np.arange(train.n_obs)
    if "split" in train.obs:
        rows = np.flatnonzero(train.obs.strings("split") == "train")
    rows = rows[~np.isin(hash_names(train.obs_names[rows]), hash_names(pairing.names))]
    if not len(rows):
        raise DataError("has no training rows besides the scored cells", file=train.name)
    columns = find(train.var_names, truth.var_names[pairing.columns])
    lacking = int(np.count_nonzero(columns < 0))
    if lacking:
        raise DataError(
            f"lacks {lacking:,} of the {len(columns):,} scored features",
            fix="name a file with the same features as --train",
            file=train.name,
        )
    names = train.obs_names[rows].astype(str)
    return rows[np.argsort(names, kind="stable")], columns


def refuse_strangers(guess: Cells, position: dict[str, int]) -> None:
    """DataError where a guess has cells that the truth lacks; `position` has the names of the truth."""
    strangers = [name for name in guess.obs_names if name not in position]
    if strangers:
        raise DataError(
            f"{len(strangers):,} of {guess.n_obs:,} rows are not in the truth: {strangers[0]!r}",
            fix="score the file it was predicted from",
            file=guess.name,
        )


def trained(truth: Cells, guesses: Sequence[Cells], rows: Array, split: Split) -> Array:
    """Which of the scored rows some guess was trained on; too many, or one split, is refused."""
    hashes = hash_names(truth.obs_names[rows])
    found = np.zeros(len(rows), dtype=bool)
    for guess in guesses:
        seen = guess.scgx.get("train_cells")
        if not isinstance(seen, np.ndarray):
            continue
        mine = np.isin(hashes, seen.astype(np.uint64))
        same = bool(split.id) and split.id == str(guess.scgx.get("split_id", ""))
        if mine.any() and (same or mine.mean() > LEAK):
            raise DataError(
                f"{int(mine.sum()):,} of {len(rows):,} scored cells were trained on",
                fix="train on the training rows of this split, or score other cells",
                file=guess.name,
            )
        found |= mine
    return found


def _features(truth: Cells, guesses: Sequence[Cells], modality: str | None) -> tuple[Array, str]:
    """Columns of the truth that every guess has, sorted by name, and their modality."""
    kinds = modalities(truth.var)
    shared = set(truth.var_names.tolist())
    for guess in guesses:
        shared &= set(guess.var_names.tolist())
        if not shared:
            raise DataError(
                "shares no feature with the truth",
                fix="names of features must agree; scgx info shows them",
                file=guess.name,
            )
    columns = np.array([i for i, name in enumerate(truth.var_names) if name in shared])
    found = sorted(set(kinds[columns].tolist()))
    if modality is None and len(found) > 1:
        raise DataError(
            f"the guess holds several modalities ({', '.join(found)})",
            fix=f"name one: --modality {found[0]}",
        )
    chosen = modality or found[0]
    columns = columns[kinds[columns] == chosen]
    if not len(columns):
        raise DataError(f"no {chosen} feature is in every guess", fix=f"there is {found[0]}")
    order = np.argsort(truth.var_names[columns].astype(str), kind="stable")
    return columns[order], chosen


def _without_controls(truth: Cells, columns: Array) -> tuple[Array, int]:
    """The columns that are no isotype controls, and how many controls the truth has."""
    controls = isotype_controls(truth.var)
    kept = columns[~controls[columns]]
    if not len(kept):
        raise DataError("only isotype controls are in every guess", fix="predict other antibodies")
    return kept, int(controls.sum())


_TAKEN = ("truth", "replicate")  # columns of their own, in tables and JSON


def short_names(guesses: Sequence[Cells]) -> list[str]:
    """A short, unique name for each guess: its model; its file where that is not known or shared."""
    files = [guess.name.rsplit("/", 1)[-1].removesuffix(".h5ad") or "guess" for guess in guesses]
    models = []
    for guess in guesses:
        recorded = guess.scgx.get("model")
        facts = json.loads(recorded) if isinstance(recorded, str) else {}
        models.append(str(facts.get("name") or ""))
    labels: list[str] = []
    for model, file in zip(models, files, strict=True):
        label = model if model and models.count(model) == 1 else file
        while label in (*labels, *_TAKEN):
            label += "'"
        labels.append(label)
    return labels


def find(names: Array, wanted: Array) -> Array:
    """Where each wanted name is among `names`, -1 where it is not."""
    position = {name: i for i, name in enumerate(names)}
    return np.array([position.get(name, -1) for name in wanted], dtype=np.int64)
