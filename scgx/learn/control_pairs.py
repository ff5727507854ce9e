"""Minibatches of a screen for models that are made elsewhere: perturbed cells, each with a control.

    with ControlPairs("screen.h5ad", 256) as pairs:
        for batch in pairs:                 # one epoch
            step(batch.control, batch.condition, batch.perturbed)

A control agrees with its perturbed cell in cell type, batch and donor, where the file has them, and is
another one in every epoch. Values are log1p-cp10k. (`train perturb` learns from means, which say more:
docs/decisions/perturbation.md.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

import numpy as np
from scipy import sparse

from scgx.errors import DataError, UsageError
from scgx.h5ad.reader import open_cells
from scgx.learn.fit_response import ResponseRoles, gather
from scgx.progress import warn

MEMORY = 512 << 20


class PairBatch(NamedTuple):
    """Rows aligned: `control` and `perturbed` CSR float32 (n, genes), log1p-cp10k.

    `condition` int64 (n,) counts in `ControlPairs.conditions`; `rows` and `control_rows` int64 (n,)
    are rows of the file.
    """

    control: sparse.csr_array
    perturbed: sparse.csr_array
    condition: np.ndarray
    rows: np.ndarray
    control_rows: np.ndarray


class ControlPairs:
    """Every perturbed cell of a part once in an epoch, with a control of its own stratum.

    Attributes: `conditions` (canonical labels, the control first), `genes` (names), `columns` (what
    pairs agree in), `epoch` (the next one). The same file, seed and epoch give the same pairs.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int = 512,
        *,
        label: str | None = None,
        control: str | None = None,
        covariate: Sequence[str] = (),
        split: Literal["train", "val"] = "train",
        seed: int = 0,
        memory: int = MEMORY,
    ) -> None:
        """Open the file, and find who can be paired; label, control, covariate as in `scgx train`.

        UsageError for a part that is not `train` or `val`; DataError where no cell can be paired.
        """
        if split not in ("train", "val"):
            raise UsageError(f"split {split!r} has no pairs", fix="train or val")
        if batch_size < 1:
            raise UsageError(f"batch_size {batch_size} is under 1")
        self._batch_size, self._seed, self.epoch = batch_size, seed, 0
        with ExitStack() as stack:
            cells = stack.enter_context(open_cells(path, memory=memory))
            roles = ResponseRoles(label, control, tuple(covariate))
            self._data, parts = gather(cells, roles, seed=seed)
            told = self._data.told
            part = parts.train if split == "train" else parts.val
            strata = told.groups[part]
            own = told.screen.codes[part] == 0
            self._controls = {
                int(s): part[own & (strata == s)] for s in np.unique(strata[own]) if s >= 0
            }
            able = ~own & np.isin(strata, list(self._controls))
            if not able.any():
                raise DataError(
                    f"no perturbed cell of {split} has a control of its own kind",
                    fix="covariate= names fewer columns, or split again",
                    file=cells.name,
                )
            if without := int((~own & ~able).sum()):
                warn(f"{without:,} perturbed cells have no control of their own kind: left out")
            self._rows = part[able]
            self.conditions = tuple(one.label for one in told.conditions)
            self.genes = tuple(self._data.features.names.tolist())
            self.columns = told.strata.columns
            self._open = stack.pop_all()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._rows) // self._batch_size)

    def __iter__(self) -> Iterator[PairBatch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(self._rows)
        partner = np.empty(len(order), np.int64)
        strata = self._data.told.groups[order]
        for stratum, controls in self._controls.items():
            here = strata == stratum
            partner[here] = rng.choice(controls, int(here.sum()))
        codes = self._data.told.screen.codes[order].astype(np.int64)
        for start in range(0, len(order), self._batch_size):
            some = slice(start, start + self._batch_size)
            yield PairBatch(
                self._values(partner[some]), self._values(order[some]), codes[some],
                order[some], partner[some],
            )  # fmt: skip

    def _values(self, rows: np.ndarray) -> sparse.csr_array:
        """A control may be there for several cells: it is read once."""
        each, place = np.unique(rows, return_inverse=True)
        return self._data.x(each)[place]

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
