"""`score --task embedding`: PCA, LSI, or both beside each other, fitted on the training rows."""

from collections.abc import Callable

import numpy as np

from scgx import registry
from scgx.commands._score_shipped import Ask
from scgx.errors import UsageError
from scgx.h5ad.cells import Cells
from scgx.learn import apply, fit_embedding
from scgx.learn.knobs import settings_of
from scgx.learn.model import Embeds, kind_of
from scgx.progress import Report, hushed


def fitter(ask: Ask) -> Callable[[str, np.ndarray], np.ndarray]:
    """A function that fits the model named (`a+b`: two of them) and places rows of the truth."""

    def fitted(name: str, rows: np.ndarray) -> np.ndarray:
        parts = [_placed(ask, one, rows) for one in name.split("+")]
        if len(parts) == 1:
            return parts[0][0]
        return np.hstack([values / size for values, size in parts])

    return fitted


def _placed(ask: Ask, name: str, rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Vectors (len(rows), d) in the order of rows, and their size on the training rows."""
    if kind_of(registry.load("models", name), labels=False) != "embedding":
        raise UsageError(f"--baseline {name} embeds nothing", fix="pca, lsi, pca+lsi do")
    cells = ask.train or ask.truth
    settings = settings_of(name, [], None, covariates=None, epochs=None, device="auto")
    with hushed():
        roles = fit_embedding.EmbeddingRoles()
        made = fit_embedding.fit(name, cells, roles, settings, seed=ask.seed, report=Report())
        alignment = apply.align(ask.truth, made.header, 0.05)
    order = np.argsort(rows)
    values = np.empty((len(rows), len(made.header.outputs.names)))
    values[order] = np.concatenate(list(_blocks(made.model, ask.truth, alignment, rows[order])))
    return values, float(np.sqrt(made.summary["explained_variance"].sum()))


def _blocks(model: object, cells: Cells, alignment: apply.Alignment, rows: np.ndarray):  # type: ignore[no-untyped-def]
    assert isinstance(model, Embeds)
    for together in apply.blocks(cells, alignment, rows):
        made = [(place, model.embed(block)[: len(place)]) for place, block in together]
        yield apply.in_place(made)
