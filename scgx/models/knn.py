"""Nearest neighbours: the mean profile of the k training cells that look most alike.

Likeness is the cosine between LSI components (TF-IDF and SVD for chromatin, PCA for log values).
Assumes nothing about form, and so shows what form is worth. The artifact carries the training
cells' components and their sparse profiles.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from scgx.learn.artifact import pack_arrays, unpack_arrays
from scgx.learn.block import CellBlock
from scgx.learn.config import knob
from scgx.learn.data import TrainingData
from scgx.learn.lsi import Lsi
from scgx.learn.residual import targets, training_targets
from scgx.learn.selection import correlation, judges, parts
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
NEIGHBOURS = (25, 50, 100, 200, 400)
ROWS_AT_ONCE = 512


@dataclass(frozen=True)
class Config:
    """How many neighbours, in which space."""

    rank: int = knob(50, least=1)  # components in which cells are compared
    neighbours: int = 0  # 0 chooses among 25, 50, 100, 200, 400


class Model:
    """The training cells, in components and in profiles."""

    def __init__(
        self, lsi: Lsi, cells: np.ndarray, profiles: sparse.csr_array, neighbours: int
    ) -> None:
        self.lsi = lsi
        self.cells = cells  # (n_train, rank) float32, unit length
        self.profiles = profiles  # (n_train, n_out)
        self.neighbours = neighbours

    @classmethod
    def fit(cls, data: TrainingData, config: Config, *, seed: int, report: Report) -> Self:
        """Choose the number of neighbours on judging rows, then keep all training rows."""
        x = data.x(data.train)
        lsi = Lsi.fit(x, modality=data.inputs.modality, rank=config.rank, seed=seed)
        model = cls(lsi, _unit(lsi.transform(x)), training_targets(data), config.neighbours)
        if not config.neighbours:
            model.neighbours = model._choose(data, seed=seed)
            report.say(f"{model.neighbours} neighbours (by held-out correlation)")
        model.neighbours = min(model.neighbours, len(data.train))
        return model

    def save(self) -> Mapping[str, bytes]:
        cells = {
            "cells": self.cells,
            "data": self.profiles.data.astype(np.float32),
            "indices": self.profiles.indices.astype(np.int64),
            "indptr": self.profiles.indptr.astype(np.int64),
            "shape": np.array(self.profiles.shape, np.int64),
            "neighbours": np.array([self.neighbours], np.int64),
        }
        return {
            "lsi.safetensors": pack_arrays(self.lsi._asdict()),
            "cells.safetensors": pack_arrays(cells),
        }

    @classmethod
    def restore(cls, config: Config, members: Mapping[str, bytes]) -> Self:
        cells = unpack_arrays(members["cells.safetensors"])
        profiles = sparse.csr_array(
            (cells["data"], cells["indices"], cells["indptr"]), shape=tuple(cells["shape"])
        )
        lsi = Lsi(**unpack_arrays(members["lsi.safetensors"]))
        return cls(lsi, cells["cells"], profiles, int(cells["neighbours"][0]))

    def predict(self, block: CellBlock) -> np.ndarray:
        """(n, n_out) float32: the mean of the neighbours' profiles."""
        near = self._nearest(self.lsi.transform(block.x, block.present), self.neighbours)
        return (_averaging(near, len(self.cells)) @ self.profiles).toarray()

    def _nearest(self, components: np.ndarray, k: int) -> np.ndarray:
        """Rows of the k nearest training cells (n, k), nearest first; ties by their order."""
        likeness = (_unit(components).astype(np.float64) @ self.cells.T).astype(np.float32)
        near = np.sort(np.argpartition(-likeness, min(k, likeness.shape[1] - 1), axis=1)[:, :k])
        order = np.argsort(-np.take_along_axis(likeness, near, axis=1), axis=1, kind="stable")
        return np.take_along_axis(near, order, axis=1)

    def _choose(self, data: TrainingData, *, seed: int) -> int:
        rows = judges(data, seed=seed)
        among = np.searchsorted(data.train, rows.fit)
        pool = Model(self.lsi, self.cells[among], self.profiles[among], 0)
        candidates = [k for k in NEIGHBOURS if k <= len(among)] or [len(among)]
        near = np.concatenate(
            [
                pool._nearest(self.lsi.transform(data.x(rows.judge[part])), candidates[-1])
                for part in parts(len(rows.judge), ROWS_AT_ONCE)
            ]
        )
        truth = sparse.csc_array(targets(data, rows.judge))
        profiles = sparse.csc_array(pool.profiles)
        score = dict.fromkeys(candidates, 0.0)
        for part in parts(truth.shape[1], 2_048):
            some, real = sparse.csr_array(profiles[:, part]), truth[:, part].toarray()
            for k in candidates:
                guess = (_averaging(near[:, :k], len(among)) @ some).toarray()
                score[k] += float(correlation(real, guess).sum())
        return max(candidates, key=lambda k: score[k])


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def _averaging(near: np.ndarray, n: int) -> sparse.csr_array:
    """(rows, n) matrix whose product with profiles is the mean over each row's neighbours."""
    rows, k = near.shape
    columns = np.sort(near, axis=1).ravel()
    share = np.full(rows * k, 1 / k, np.float32)
    return sparse.csr_array((share, columns, np.arange(0, rows * k + 1, k)), shape=(rows, n))
