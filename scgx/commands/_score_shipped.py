"""`score --baseline NAME`: a shipped model, fitted on the training rows, as one more column."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from scgx import progress, registry
from scgx.errors import DataError, UsageError
from scgx.h5ad.cells import Cells
from scgx.h5ad.features import present
from scgx.learn.apply import align, predict
from scgx.learn.knobs import settings_of
from scgx.learn.train import Roles, fit
from scgx.tasks._pairing import Pairing
from scgx.tasks._rows import Held, Rows


@dataclass(frozen=True)
class Ask:
    """What the fit needs besides the pairing."""

    truth: Cells
    train: Cells | None
    source: str | None
    covariates: Sequence[str]
    seed: int
    memory: int


def fitter(ask: Ask) -> Callable[[str, Pairing, str], Rows]:
    """A function that fits the model named and predicts the scored cells."""

    def fitted(name: str, pairing: Pairing, units: str) -> Rows:
        cells = ask.train or ask.truth
        if ask.train is None and "split" not in cells.obs:
            raise DataError(
                f"--baseline {name} needs training rows",
                fix="scgx split the truth, or name --train FILE",
                file=cells.name,
            )
        need = 4 * len(pairing.rows) * len(pairing.columns)
        if need > ask.memory // 2:
            raise DataError(
                f"the prediction of {name} needs {need / 1e9:.1f} GB", fix="raise --memory"
            )
        wants = getattr(registry.load("models", name).Config, "__dataclass_fields__", {})
        covariates = list(ask.covariates) if "covariates" in wants else None
        settings = settings_of(name, [], None, covariates=covariates, epochs=None, device="auto")
        source = _source(cells, ask.source, pairing.modality)
        roles = Roles(source, pairing.modality, units if units.startswith("log1p") else None)
        report = progress.Report()
        made = fit(name, cells, roles, settings, seed=ask.seed, report=report)
        alignment = align(ask.truth, made.header, 0.05)
        columns = _columns(made.header.outputs.names, ask.truth.var_names[pairing.columns])
        order = np.argsort(pairing.rows)
        values = np.empty((len(order), len(columns)), dtype=np.float32)
        done = 0
        for block in predict(made.model, ask.truth, alignment, pairing.rows[order], name):
            values[order[done : done + len(block)]] = block[:, columns]
            done += len(block)
        return Held(values)

    return fitted


def source_of(guesses: Sequence[Cells]) -> str | None:
    """The modality that the guesses say they come from."""
    for guess in guesses:
        recorded = guess.scgx.get("model")
        facts = json.loads(recorded) if isinstance(recorded, str) else {}
        if facts.get("from"):
            return str(facts["from"])
    return None


def _source(cells: Cells, given: str | None, target: str) -> str:
    """The modality that is predicted from: as the guess did it, else the only other one."""
    others = [modality for modality in present(cells.var) if modality != target]
    if given in others:
        return given
    if len(others) != 1:
        raise UsageError(
            f"--baseline needs one modality besides {target}, {cells.name} has "
            f"{', '.join(others) or 'none'}",
            fix="score a guess of scgx predict, which says where it comes from",
        )
    return others[0]


def _columns(names: Sequence[str], wanted: np.ndarray) -> np.ndarray:
    """Where the wanted outputs are; DataError where one is none of the model's."""
    position = {name: i for i, name in enumerate(names)}
    lacking = [name for name in wanted if name not in position]
    if lacking:
        raise DataError(
            f"{len(lacking):,} scored features are not in the training file: {lacking[0]!r}"
        )
    return np.array([position[name] for name in wanted], dtype=np.int64)
