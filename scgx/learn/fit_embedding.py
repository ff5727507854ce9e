"""Fit an embedding: one modality, no target; an artifact with its components comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scgx import __version__, registry
from scgx.errors import DataError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import present
from scgx.h5ad.names import hash_names
from scgx.learn import artifact, config
from scgx.learn.data import Side
from scgx.learn.embedding_data import EmbeddingData
from scgx.learn.model import Embeds
from scgx.learn.parts import Parts, for_training
from scgx.learn.places import features_at, find
from scgx.learn.train import Fitted, feature_table, measured_by_all, totals_word
from scgx.progress import Report, say

MOST = 5_000


@dataclass(frozen=True)
class EmbeddingRoles:
    """What is embedded, and which training cells are looked at."""

    source: str | None = None  # modality; the first that the model embeds, where the file has it
    at: str | None = None  # a matrix beside X that holds it
    label: str | None = (
        None  # a column of obs: at most `most` training cells of each of its classes
    )
    most: int = MOST


def fit(
    name: str, cells: Cells, roles: EmbeddingRoles, settings: object, *, seed: int, report: Report
) -> Fitted:
    """Fit the embedding `name` on the training rows of `cells`."""
    module = registry.load("models", name)
    cells.require_unique("obs")
    modality = roles.source or modality_of(cells, name)
    if modality not in module.EMBEDS:
        able = ", ".join(sorted(module.EMBEDS))
        raise DataError(f"model {name!r} embeds no {modality}", fix=f"it embeds {able}")
    parts = for_training(cells, seed)
    train = parts.train if roles.label is None else balanced(cells, parts.train, roles, seed=seed)
    place = find(cells, modality, roles.at)
    assert place.conversion is not None
    columns = place.columns
    if place.in_var:
        columns = measured_by_all(cells, columns, parts, modality)
    features = features_at(cells, place.key, columns, modality)
    if len(np.unique(features.names.astype(str))) < len(features):
        cells.require_unique("var")
    side = Side(features, columns, place.conversion)
    data = EmbeddingData(cells, side, train)
    say(place.conversion.words)
    say(f"{name}: {len(features):,} {modality} features, {len(train):,} cells train")
    if len(train) < 3 or not (data.moments.variance > 0).any():
        raise DataError(
            f"no {modality} feature varies over {len(train):,} training cells",
            fix="more cells are needed, or ones with counts",
            file=cells.name,
        )
    model = module.Model.fit(data, settings, seed=seed, report=report)
    variance, ratio = explained(model)
    summary = {
        "train_cells": np.sort(hash_names(cells.obs_names[train])),
        "explained_variance": variance.astype(np.float64),
        "explained_ratio": ratio.astype(np.float64),
    }
    names = [f"{module.COMPONENT}{i + 1}" for i in range(len(variance))]
    outputs = artifact.Table("embedding", "embedding", names)
    tables = feature_table(cells, side, roles.at), outputs
    fitted = parts._replace(train=train)
    return Fitted(model, _header(name, cells, tables, fitted, settings, seed, report), summary)


def explained(model: object) -> tuple[np.ndarray, np.ndarray]:
    """Variance of each component on the training rows, and its share in all of it."""
    assert isinstance(model, Embeds)
    return model.explained


def modality_of(cells: Cells, name: str) -> str:
    """The modality of the file that the model embeds; genes first where it has several."""
    able, here = registry.load("models", name).EMBEDS, present(cells.var)
    for modality in ("rna", "activity", "adt", "atac"):
        if modality in able and modality in here:
            return modality
    raise DataError(
        f"has {' and '.join(here) or 'no features'}, and {name} embeds {', '.join(sorted(able))}",
        fix="pca is for genes and antibodies, lsi for chromatin",
        file=cells.name,
    )


def balanced(cells: Cells, train: np.ndarray, roles: EmbeddingRoles, *, seed: int) -> np.ndarray:
    """At most `most` training rows of each class, sorted, whatever the order of the file."""
    assert roles.label is not None
    words = cells.obs.strings(roles.label)[train]
    known = np.array([word is not None for word in words], dtype=bool)
    if not known.any():
        fix = "name another column with --label"
        raise DataError(f"no training cell has a {roles.label}", fix=fix, file=cells.name)
    by_name = np.argsort(hash_names(cells.obs_names[train]), kind="stable")
    shuffled = np.random.default_rng(seed).permutation(by_name)
    names, codes = np.unique(words[known].astype(str), return_inverse=True)
    every = np.full(len(train), -1)
    every[known] = codes
    kept = [shuffled[every[shuffled] == code][: roles.most] for code in range(len(names))]
    rows = np.sort(train[np.concatenate(kept)])
    say(
        f"{len(rows):,} of {len(train):,} training cells: at most {roles.most:,} of each of"
        f" {len(names)} {roles.label}"
    )
    return rows


def _header(
    name: str,
    cells: Cells,
    tables: tuple[artifact.Table, artifact.Table],
    parts: Parts,
    settings: object,
    seed: int,
    report: Report,
) -> artifact.Header:
    return artifact.Header(
        model=name,
        task="embedding",
        config=config.to_json(settings),
        inputs=tables[0],
        outputs=tables[1],
        version=__version__,
        seed=seed,
        genome=str(cells.scgx.get("genome", "")),
        split=parts.id,
        trained_on={"train": len(parts.train)},
        totals=totals_word(cells, tables[0].modality),
        history=history.chain([cells], seed),
        records=artifact.timeless(report.records),
    )
