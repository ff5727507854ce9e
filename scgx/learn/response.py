"""Responses as a file: control cells as they would be under each perturbation that was asked for.

A predicted cell knows the control that it was made of (`obs["scgx_control"]`), so that a score can
subtract exactly that one and no noise of the controls stands on both sides of a correlation.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.cells.perturbations import Perturbation, Screen, read_label
from scgx.cluster.work import mapped
from scgx.errors import DataError, InputError, MachineError
from scgx.h5ad import history
from scgx.h5ad.cells import Cells
from scgx.h5ad.frame import Frame, categorical
from scgx.h5ad.names import hash_names
from scgx.h5ad.streams import Sink
from scgx.h5ad.writer import create
from scgx.learn import apply
from scgx.learn.artifact import Artifact, Screened
from scgx.learn.asked import parsed, screen_in
from scgx.learn.block import CellBlock
from scgx.learn.model import Responds, Response, Shifts
from scgx.learn.parts import parts_of
from scgx.learn.prediction import choose_rows, var_of
from scgx.learn.strata import Strata
from scgx.learn.train import restore
from scgx.progress import bar, say, warn
from scgx.registry import suggest

CONTROLS = 500
_SHOWN = "scgx info shows what it was trained on"
STEP = 32  # rows of a slice: a cell's answer does not depend on what else is asked


@dataclass(frozen=True)
class Asked:
    """Which perturbations (None: those of the file), of which rows, from how many controls each."""

    perturbations: tuple[str, ...] | None
    rows: str | None = None
    controls: int = CONTROLS  # of a stratum, for each perturbation
    min_overlap: float = 0.05
    history: bool = True


class _Plan(NamedTuple):
    """Every perturbation that is answered, with the rows of its controls; and what is refused."""

    answered: list[tuple[Perturbation, np.ndarray]]
    refused: dict[str, str]


def write(found: Artifact, cells: Cells, dst: Sink, asked: Asked) -> None:
    """Predict and write one h5ad; DataError where nothing can be answered."""
    told = found.header.response
    if told is None:
        raise InputError("is a model of responses that names no screen", file=found.name)
    alignment = apply.align(cells, found.header, asked.min_overlap)
    model = restore(found)
    if not isinstance(model, Responds | Shifts):
        raise DataError("this model answers no perturbation", file=found.name)
    strata = Strata(tuple(told.covariates), tuple(tuple(each) for each in told.strata))
    plan = _plan(model, cells, found, strata, asked)
    rows = np.concatenate([rows for _one, rows in plan.answered])
    genes = _measured(alignment, rows)
    width = len(genes)
    if lost := len(found.header.outputs.names) - width:
        say(
            f"{lost:,} genes of the model are not in the controls: no control has a level to change"
        )
    _require_room(len(rows) * width * 4, dst.path.parent)
    groups = strata.codes(cells.obs)
    spread: list[np.ndarray] = []
    with create(dst.path) as out:
        with (
            out.matrix("X", width, np.float32, is_sparse=False) as append,
            bar("predict", len(rows)) as advance,
        ):
            for block in answers(model, cells, (alignment, groups), plan.answered, found.name):
                append(block.x if not lost else block.x[:, genes])
                advance(len(block.x))
                if block.spread is not None:
                    spread.append(block.spread)
        out.frame("obs", _obs(cells.obs, plan, told, spread))
        out.frame("var", var_of(found.header.outputs, genes))
        out.uns("scgx/task", "perturbation")
        out.uns("scgx/model", json.dumps(_about(found, told), sort_keys=True))
        out.uns("scgx/refused", json.dumps(plan.refused, sort_keys=True))
        out.uns("scgx/split_id", found.header.split)
        out.uns("scgx/train_cells", found.summary["train_cells"])
        for name in ("train_mean", "perturbed_mean"):
            out.uns(f"scgx/{name}", found.summary[name][genes])
        for name in ("genome", "split", "observational"):
            if isinstance(cells.scgx.get(name), str):
                out.uns(f"scgx/{name}", cells.scgx[name])
        units = {"X": {"rna": found.header.outputs.units}}
        history.sign(out, [cells], units=units, keep=asked.history, before=found.header.history)
    say(
        f"{len(plan.answered):,} perturbations, {len(rows):,} cells, {width:,} genes in"
        f" {found.header.outputs.units}"
    )


def _measured(alignment: apply.Alignment, rows: np.ndarray) -> np.ndarray:
    """Places of the genes that all of these controls have; the others have no level to change."""
    present = alignment.present.copy()
    if (known := alignment.measured) is not None:
        seen = known.mask[alignment.columns[present]][:, np.unique(known.codes[rows])]
        present[present] = seen.all(axis=1)
    return np.flatnonzero(present)


def _plan(model: object, cells: Cells, found: Artifact, strata: Strata, asked: Asked) -> _Plan:
    told = found.header.response
    assert told is not None and isinstance(model, Responds | Shifts)
    screen = screen_in(cells, told, needed=asked.perturbations is None)
    rows = choose_rows(cells, asked.rows, found.header.split)
    controls = rows if screen is None else rows[screen.control[rows]]
    if not len(controls):
        where = (
            "test rows have" if parts_of(cells) is not None and asked.rows is None else "rows have"
        )
        raise DataError(f"the {where} no control cells", fix="--rows all", file=cells.name)
    groups = strata.codes(cells.obs)
    if strange := int((groups[controls] < 0).sum()):
        say(f"{strange:,} controls are of a {', '.join(strata.columns)} never seen in training")
    outputs = found.header.outputs
    known = {target for label in told.counts for target in read_label(label).targets}
    symbols = {
        name: str(symbol)
        for name, symbol in zip(outputs.names, outputs.gene_name)
        if symbol and name not in known
    }
    wanted = _wanted(screen, rows, groups, asked, symbols)
    answered, refused = [], {}
    for one, places in wanted:
        reason = model.refuses(one)
        own = controls if places is None else controls[np.isin(groups[controls], places)]
        if reason is None and not len(own):
            reason = "no control of its stratum"
        if reason is not None:
            refused[one.label] = reason
            continue
        answered.append((one, _some(cells, own, groups, asked.controls)))
    for label, reason in list(refused.items())[:3]:
        warn(f"{label} is not answered: {reason}")
    if len(refused) > 3:
        warn(f"{len(refused):,} perturbations are not answered in all")
    if not answered:
        raise DataError(
            f"none of {len(wanted):,} perturbations can be answered",
            fix=_heard(wanted[0][0], known) if asked.perturbations is not None else _SHOWN,
            file=found.name,
        )
    return _Plan(answered, refused)


def _heard(one: Perturbation, known: set[str]) -> str:
    """Where the first of its targets that training lacks is near to one that it has, that one."""
    strange = [target for target in one.targets if target not in known]
    return suggest(strange[0], sorted(known)) if strange else _SHOWN


def _wanted(
    screen: Screen | None,
    rows: np.ndarray,
    groups: np.ndarray,
    asked: Asked,
    symbols: Mapping[str, str],
) -> list[tuple[Perturbation, np.ndarray | None]]:
    """Perturbations with the strata in which they are asked for (None: in all)."""
    if asked.perturbations is not None:
        each = [parsed(text, symbols) for text in asked.perturbations]
        return [(one, None) for one in dict.fromkeys(each)]
    assert screen is not None
    codes = screen.codes[rows]
    wanted = [int(code) for code in np.unique(codes[codes > 0])]
    if not wanted:
        raise DataError("none of these rows is perturbed", fix="--perturb GENE, or --rows all")
    return [(screen.conditions[code], np.unique(groups[rows[codes == code]])) for code in wanted]


def _some(cells: Cells, rows: np.ndarray, groups: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows of each stratum, whatever their order, sorted."""
    ranks = hash_names(cells.obs_names[rows])
    kept = []
    for group in np.unique(groups[rows]):
        here = np.flatnonzero(groups[rows] == group)
        kept.append(rows[here[np.argsort(ranks[here], kind="stable")[:most]]])
    return np.sort(np.concatenate(kept))


def answers(
    model: Responds | Shifts,
    cells: Cells,
    seen: tuple[apply.Alignment, np.ndarray],
    asked: Iterable[tuple[Perturbation, np.ndarray]],
    name: str,
) -> Iterator[Response]:
    """Controls as they would be under each perturbation, up to 512 of its rows a time."""
    alignment, groups = seen
    parts = ((one, run, groups[run]) for one, rows in asked for run in apply.runs(rows))
    return mapped(partial(_answered, model, cells, alignment, name), parts)


def _answered(
    model: Responds | Shifts,
    cells: Cells,
    alignment: apply.Alignment,
    name: str,
    part: tuple[Perturbation, np.ndarray, np.ndarray],
) -> Response:
    """Up to 512 rows, of these strata, as they would be under a perturbation."""
    one, run, groups = part
    made, unsure = [], []
    (together,) = apply.blocks(cells, alignment, run)
    for place, block in together:
        try:
            answer = _answer(model, _trimmed(block, len(place)), groups[place], one)
        except (IndexError, ValueError) as error:
            what = f"its weights do not fit its features: {error}"
            raise InputError(what, fix="train it again", file=name) from error
        made.append((place, answer.x[: len(place)]))
        if answer.spread is not None:
            unsure.append((place, answer.spread[: len(place)]))
    return Response(apply.in_place(made), apply.in_place(unsure) if unsure else None)


def _trimmed(block: CellBlock, n: int) -> CellBlock:
    """The first n rows of a block that is padded to 512, and padding up to whole slices."""
    kept = min(block.x.shape[0], -(-n // STEP) * STEP)
    return CellBlock(
        block.x[:kept], block.obs.take(np.arange(kept)), block.totals[:kept], block.present
    )


def _answer(
    model: Responds | Shifts, block: CellBlock, groups: np.ndarray, one: Perturbation
) -> Response:
    strata = np.concatenate([groups, np.full(block.x.shape[0] - len(groups), groups[-1])])
    if isinstance(model, Responds):
        return model.respond(block, strata, one)
    moved = block.x.toarray()
    for stratum in np.unique(strata):
        moved[strata == stratum] += model.change(one, int(stratum))
    return Response(moved)


def _obs(obs: Frame, plan: _Plan, told: Screened, spread: list[np.ndarray]) -> Frame:
    """The controls' rows again for every perturbation, which they now carry; how unsure each is."""
    labels = [one.label for one, rows in plan.answered for _row in rows]
    rows = np.concatenate([rows for _one, rows in plan.answered])
    source = obs.index[rows]
    names = np.array([f"{cell}:{label}" for cell, label in zip(source, labels)], dtype=object)
    kept = obs.take(rows).without([told.column, "split", "split_control"])
    frame = Frame(names, kept.columns)
    frame = frame.with_column("perturbation", categorical(labels))
    frame = frame.with_column("scgx_control", source)
    return frame.with_column("scgx_spread", np.concatenate(spread)) if spread else frame


def _about(found: Artifact, told: Screened) -> dict[str, object]:
    header = found.header
    about = {"name": header.model, "id": found.id, "config": header.config, "seed": header.seed}
    about |= {"label": told.column, "covariates": told.covariates}
    return about | ({"control": told.control} if told.control else {})


def _require_room(need: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if need > free:
        raise MachineError(
            f"the prediction needs {need / 1e9:.1f} GB and {folder} has {free / 1e9:.1f}",
            fix="--controls N keeps fewer cells",
        )
