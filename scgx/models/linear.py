"""Linear model of genes and perturbations: changes as G K P, so that unseen targets have an answer.

G are places of genes, from the profiles of the training conditions; the place P of a perturbation is
that of the gene it targets, and K is learned by ridge. A target that is not among the genes has no
place, and is refused. Ahlmann-Eltze et al., Nature Methods 2025 (their linear model, lambda .1).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from scgx.cells.perturbations import Perturbation
from scgx.errors import DataError
from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.config import knob
from scgx.learn.effects import Effects
from scgx.learn.lsi import column_mean, truncated_svd
from scgx.learn.response_data import ResponseData
from scgx.progress import Report

RESPONDS = {"rna"}
FROM: set[str] = set()
TO: set[str] = set()


@dataclass(frozen=True)
class Config:
    """How genes are placed, and how much is believed."""

    rank: int = knob(10, least=1)  # components of the places of genes
    alpha: float = 0.1  # penalty of K
    places: Literal["conditions", "cells"] = "conditions"  # what genes are placed by


class Model:
    """Changes of any target that is a gene of the file."""

    def __init__(
        self,
        effects: Effects,
        symbols: list[str],
        places: np.ndarray,
        inner: np.ndarray,
        base: np.ndarray,
    ) -> None:
        """`places` (genes, rank), `inner` (rank, rank), `base` (strata, genes): the mean change."""
        self.effects, self.places, self.inner, self.base = effects, places, inner, base
        self.symbols = symbols
        self.row = {symbol: i for i, symbol in enumerate(symbols)}

    @classmethod
    def fit(cls, data: ResponseData, config: Config, *, seed: int, report: Report) -> Self:
        """Ridge on the changes of the conditions whose targets are genes."""
        effects = Effects.fit(data)
        symbols = data.symbols
        places = _places(data, effects, config, seed)
        row = {symbol: i for i, symbol in enumerate(symbols)}
        able = [
            i for i, code in enumerate(effects.condition)
            if all(target in row for target in effects.conditions[code].targets)
        ]  # fmt: skip
        if len(able) < 2:
            raise DataError(
                f"the targets of {len(able)} training perturbations are genes of the file, and"
                " linear needs 2",
                fix="one-hot-ridge and additive need none",
            )
        strata = effects.control.shape[0]
        base = np.stack([effects.mean(s, by_cell=False) for s in range(strata)])
        of = [effects.conditions[effects.condition[i]] for i in able]
        p = np.stack([_place(places, row, one) for one in of], axis=1)
        y = (effects.change[able] - base[effects.stratum[able]]).T.astype(np.float64)
        g = places.astype(np.float64)
        ridge = config.alpha * np.eye(g.shape[1])
        inner = np.linalg.solve(g.T @ g + ridge, g.T @ y @ p.T) @ np.linalg.inv(p @ p.T + ridge)
        return cls(effects, symbols, places, inner.astype(np.float32), base.astype(np.float32))

    def save(self) -> Mapping[str, bytes]:
        arrays = {"places": self.places, "inner": self.inner, "base": self.base}
        told = json.dumps(self.symbols).encode()
        return {
            **self.effects.save(),
            "linear.safetensors": pack_arrays(arrays),
            "genes.json": told,
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        arrays = unpack_arrays(members["linear.safetensors"])
        symbols = json.loads(members["genes.json"])
        return cls(
            Effects.restore(members), symbols, arrays["places"], arrays["inner"], arrays["base"]
        )

    def refuses(self, one: Perturbation) -> str | None:
        """Every target has to be a gene of the file."""
        missing = [target for target in one.targets if target not in self.row]
        return (
            f"{' and '.join(missing)} not among the genes, so nothing tells what it does"
            if missing
            else None
        )

    def change(self, one: Perturbation, stratum: int) -> np.ndarray:
        """Float32 (genes,)."""
        place = _place(self.places, self.row, one).astype(np.float32)
        base = self.base[stratum] if stratum >= 0 else self.base.mean(axis=0)
        return (base + self.places @ (self.inner @ place)).astype(np.float32)


def _place(places: np.ndarray, row: Mapping[str, int], one: Perturbation) -> np.ndarray:
    """The sum of the places of its targets, times their doses, float64 (rank,)."""
    return np.sum(
        [dose * places[row[t]].astype(np.float64) for t, dose in zip(one.targets, one.doses)],
        axis=0,
    )


def _places(data: ResponseData, effects: Effects, config: Config, seed: int) -> np.ndarray:
    """Genes in a few components, float32 (genes, rank), from training profiles or training cells."""
    if config.places == "cells":
        rows = data.train[:: max(1, len(data.train) // 20_000)]
        x = data.x(rows)
        svd = truncated_svd(x, config.rank, centre=column_mean(x), seed=seed)
        return np.ascontiguousarray(svd.axes * np.sqrt(len(svd.values)), dtype=np.float32)
    profiles = np.vstack([effects.control, effects.control[effects.stratum] + effects.change])
    centred = profiles.astype(np.float64) - profiles.mean(axis=1, keepdims=True)
    centred -= centred.mean(axis=0)
    left, values, _right = np.linalg.svd(centred.T, full_matrices=False)
    rank = min(config.rank, int((values > 1e-9).sum()))
    sign = np.sign(left[np.abs(left).argmax(axis=0), np.arange(left.shape[1])])
    return np.ascontiguousarray((left * sign * values)[:, :rank], dtype=np.float32)
