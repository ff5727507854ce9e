"""Small screens with known effects, and predictions of them, written as `scgx predict` writes them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.names import hash_names
from scgx.h5ad.writer import create

GENES = 40


def effects(names: Sequence[str], seed: int = 0, size: float = 0.4) -> dict[str, np.ndarray]:
    """A change of all genes for each of these single perturbations."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, size, GENES) for name in names}


@dataclass
class Screen:
    """Cells of a screen: labels, parts, values in log1p-cp10k, and further columns of obs."""

    X: np.ndarray
    label: np.ndarray
    part: np.ndarray
    names: np.ndarray
    more: dict[str, np.ndarray] = field(default_factory=dict)
    genes: tuple[str, ...] = tuple(f"g{i}" for i in range(GENES))
    scgx: dict[str, object] = field(default_factory=dict)
    column: str = "perturbation"
    units: str = "log1p-cp10k"
    measured: np.ndarray | None = None  # bool (genes, datasets), with a column `dataset`

    def write(self, path: Path) -> Path:
        with create(path) as out:
            columns = {self.column: categorical(self.label)}
            if len(self.part):
                columns["split"] = categorical(self.part)
            columns |= {name: categorical(words) for name, words in self.more.items()}
            out.frame("obs", Frame(self.names, columns))
            genes = np.array(self.genes, dtype=object)
            kinds = {"feature_types": categorical(["Gene Expression"] * len(genes))}
            out.frame("var", Frame(genes, kinds))
            with out.matrix("X", len(genes), np.float32, is_sparse=False) as append:
                append(self.X.astype(np.float32))
            if self.measured is not None:
                out.array("varm/measured", self.measured)
                out.uns("scgx/measured/key", "dataset")
                known = sorted(set(self.more["dataset"].tolist()))
                out.uns("scgx/measured/datasets", np.array(known, dtype=object))
            out.uns("scgx/units/X/rna", self.units)
            for key, value in self.scgx.items():
                out.uns(f"scgx/{key}", value)
        return path

    def take(self, chosen: np.ndarray) -> "Screen":
        more = {name: words[chosen] for name, words in self.more.items()}
        part = self.part[chosen] if len(self.part) else self.part
        return Screen(self.X[chosen], self.label[chosen], part, self.names[chosen], more, self.genes,
                      dict(self.scgx), self.column, self.units)  # fmt: skip

    def mean(self, label: str, part: str) -> np.ndarray:
        return self.X[(self.label == label) & (self.part == part)].mean(axis=0)


def screen(
    changes: Mapping[str, np.ndarray],
    test: Sequence[str],
    *,
    cells: int = 40,
    noise: float = 0.2,
    seed: int = 0,
    prefix: str = "",
    control: str = "control",
) -> Screen:
    """As many cells of each perturbation, and twice as many controls, half of which test."""
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).uniform(2, 4, GENES)
    label, part, rows = [], [], []
    for name, change in {control: np.zeros(GENES), **changes}.items():
        n = cells if name in changes else 2 * cells
        rows.append(base + change + rng.normal(0, 1, (n, GENES)) * noise)
        label += [name] * n
        part += ["test" if name in test else "train"] * n if name in changes else (
            ["train", "test"] * cells
        )  # fmt: skip
    names = np.array([f"{prefix}c{i}" for i in range(len(label))], dtype=object)
    told = {"split": json.dumps({"by": "perturbation", "id": "s1"})}
    return Screen(
        np.vstack(rows), np.array(label, object), np.array(part, object), names, scgx=told
    )


def predicted(
    truth: Screen,
    changes: Mapping[str, np.ndarray],
    *,
    named: bool = True,
    covariates: Sequence[str] = (),
    refused: Mapping[str, str] | None = None,
    name: str = "oracle",
    control: str = "control",
) -> Screen:
    """The test controls under each of these changes, as `scgx predict` writes them."""
    own = np.flatnonzero((truth.label == control) & (truth.part == "test"))
    rows = np.tile(own, len(changes))
    label = np.repeat(np.array(list(changes), dtype=object), len(own))
    shift = np.repeat(np.array(list(changes.values())), len(own), axis=0)
    names = np.array([f"{truth.names[i]}:{w}" for i, w in zip(rows, label)], dtype=object)
    more = {key: words[rows] for key, words in truth.more.items()}
    if named:
        more["scgx_control"] = truth.names[rows]
    facts = {"name": name, "label": truth.column, "covariates": list(covariates)}
    train = truth.names[truth.part == "train"]
    told = {
        "task": "perturbation", "model": json.dumps(facts), "split_id": "s1",
        "train_cells": np.sort(hash_names(train)), "refused": json.dumps(dict(refused or {})),
    }  # fmt: skip
    return Screen(truth.X[rows] + shift, label, np.zeros(0, object), names, more, truth.genes, told)
