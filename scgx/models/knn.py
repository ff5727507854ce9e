"""Nearest neighbours: the mean profile of the k training cells that look most alike.

Likeness is the cosine between LSI components (TF-IDF and SVD for chromatin, PCA for log values).
Assumes nothing about form, and so shows what form is worth. The artifact carries the training
cells' components and their sparse profiles. Of labels, the neighbours vote.
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
from scgx.learn.labels import LabelledData
from scgx.learn.lsi import Lsi
from scgx.learn.residual import targets, training_targets
from scgx.learn.selection import correlation, judges, parts
from scgx.progress import Report

FROM = {"atac", "activity", "rna", "adt"}
TO = {"rna", "atac", "adt", "activity"}
LABELS = FROM
NEIGHBOURS = (25, 50, 100, 200, 400)
ROWS_AT_ONCE = 512
PRIOR = 1.0  # votes that are spread over all classes, so that no class is impossible


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
        near = _nearest(self.cells, self.lsi.transform(block.x, block.present), self.neighbours)
        return (_averaging(near, len(self.cells)) @ self.profiles).toarray()

    def _choose(self, data: TrainingData, *, seed: int) -> int:
        rows = judges(data, seed=seed)
        among = np.searchsorted(data.train, rows.fit)
        pool = Model(self.lsi, self.cells[among], self.profiles[among], 0)
        candidates = [k for k in NEIGHBOURS if k <= len(among)] or [len(among)]
        near = np.concatenate(
            [
                _nearest(pool.cells, self.lsi.transform(data.x(rows.judge[part])), candidates[-1])
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


@dataclass(frozen=True)
class ClassifierConfig:
    """How many neighbours, in which space."""

    rank: int = knob(50, least=1)  # components in which cells are compared
    neighbours: int = knob(15, least=1)  # that vote


class Classifier:
    """The training cells in components, and the vote of each."""

    def __init__(
        self, lsi: Lsi, cells: np.ndarray, codes: np.ndarray, weight: np.ndarray, neighbours: int
    ) -> None:
        self.lsi = lsi
        self.cells = cells  # (n_train, rank) float32, unit length
        self.codes = codes  # (n_train,) int64 classes
        self.weight = weight  # (classes,) float32: what the vote of a cell of each class counts
        self.neighbours = neighbours

    @classmethod
    def fit(
        cls, data: LabelledData, config: ClassifierConfig, *, seed: int, report: Report
    ) -> Self:
        """Keep all training rows in few components."""
        x = data.x(data.train)
        lsi = Lsi.fit(x, modality=data.lens.panel.modality, rank=config.rank, seed=seed)
        neighbours = min(config.neighbours, len(data.train))
        cells = _unit(lsi.transform(x))
        weight = np.sqrt(data.class_weights)  # whole weights let a rare class win every close vote
        return cls(lsi, cells, data.y(data.train), weight, neighbours)

    def save(self) -> Mapping[str, bytes]:
        cells = {
            "cells": self.cells,
            "codes": self.codes,
            "weight": self.weight,
            "neighbours": np.array([self.neighbours], np.int64),
        }
        return {
            "lsi.safetensors": pack_arrays(self.lsi._asdict()),
            "cells.safetensors": pack_arrays(cells),
        }

    @classmethod
    def restore(cls, config: ClassifierConfig, members: Mapping[str, bytes]) -> Self:
        found = unpack_arrays(members["cells.safetensors"])
        lsi = Lsi(**unpack_arrays(members["lsi.safetensors"]))
        k = int(found["neighbours"][0])
        return cls(lsi, found["cells"], found["codes"], found["weight"], k)

    def scores(self, block: CellBlock) -> np.ndarray:
        """(n, classes) float32: logarithms of shares of the vote."""
        near = _nearest(self.cells, self.lsi.transform(block.x, block.present), self.neighbours)
        codes, classes = self.codes[near], len(self.weight)
        flat = (np.arange(len(near))[:, None] * classes + codes).ravel()
        counted = np.bincount(flat, self.weight[codes].ravel(), len(near) * classes)
        votes = counted.reshape(len(near), classes) + PRIOR / classes
        return np.log(votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)


def _nearest(cells: np.ndarray, components: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k nearest training cells (n, k), nearest first; ties by their order."""
    likeness = (_unit(components).astype(np.float64) @ cells.T).astype(np.float32)
    near = np.sort(np.argpartition(-likeness, min(k, likeness.shape[1] - 1), axis=1)[:, :k])
    order = np.argsort(-np.take_along_axis(likeness, near, axis=1), axis=1, kind="stable")
    return np.take_along_axis(near, order, axis=1)


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def _averaging(near: np.ndarray, n: int) -> sparse.csr_array:
    """(rows, n) matrix whose product with profiles is the mean over each row's neighbours."""
    rows, k = near.shape
    columns = np.sort(near, axis=1).ravel()
    share = np.full(rows * k, 1 / k, np.float32)
    return sparse.csr_array((share, columns, np.arange(0, rows * k + 1, k)), shape=(rows, n))
