"""What was done to each cell of a screen: labels of many layouts as one canonical form.

`A+B`, `B+A`, `A+ctrl`, `ctrl+A`, `A_B`, `A-1 || B-2`, `NTC-5`, `non-targeting`: studies write the same
thing in different ways, and a split by raw labels would put A+B into training and B+A into the test.
Labels are made canonical before anything is split: target genes sorted and joined by `+`, guides
stripped of their numbers, everything that names no target a control. Columns beside them help where
there are any: `genetic_perturbation_strategy` (cellxgene) says who is a control, `nperts` (scPerturb)
how many targets a label has. A dose other than 1 is written `GENE=DOSE`; -1 is a knock-down, where 1
is what the screen itself does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scgx.errors import DataError
from scgx.h5ad.frame import Frame
from scgx.registry import suggest

CONTROL = "control"
COLUMNS = (
    "perturbation", "condition", "perturbation_name", "genetic_perturbation_id", "gene_target",
    "target_gene", "gene", "guide_identity", "guide_id", "treatment",
)  # fmt: skip
STRATA = ("cell_type", "cell_line", "donor", "donor_id", "batch", "gem_group")
"""Columns in which a control is to agree with a perturbed cell, where nobody says which."""
_NO_TARGET = re.compile(
    r"(?:(?:control|ctrl|ctl|neg[-_ ]?(?:ctrl|control)|negative[-_ ]?control|non[-_ ]?target(?:ing)?"
    r"|safe[-_ ]?target(?:ing)?|scrambled?|(?:probe)?ntc)(?:[-_ ]?\d+)*(?:[-_]\w*)?"
    r"|nt(?:[-_]\d+)*|unperturbed|no[-_ ]perturbations?|none|mock|vehicle|dmso|untreated"
    r"|unstim(?:ulated)?|wt|wild[-_ ]?type|62\(mod\))",
    re.IGNORECASE,
)
_GUIDE = re.compile(r"(?:sg(?=[A-Z]))?(.+?)[-_.](?:sg|g)?\d+")
# Weissman's guides (`AAAS_-_53715438.23-P1P2`) and plasmids (`SPI1_pDS255`): no part of the target
_VECTOR = re.compile(r"_[+-]_\d+(?:\.\d+)?(?:-(?:P1P2|P1|P2|ENST\w+))?|_p[A-Z]{2,3}\d{3}$")
_JOINED = re.compile(r"\s*(?:\+|\|\||&|,|;)\s*")
STRATEGY = "genetic_perturbation_strategy"
UNTOUCHED = ("control", "no perturbations")  # of that column
NUMBER = "nperts"
_DOSED = re.compile(r"(.+)=(-?\d+(?:\.\d+)?(?:e-?\d+)?)")


class Perturbation(NamedTuple):
    """Target genes, sorted, and the dose of each; the control has none."""

    targets: tuple[str, ...] = ()
    doses: tuple[float, ...] = ()

    @property
    def label(self) -> str:
        """Its canonical name."""
        if not self.targets:
            return CONTROL
        words = (
            target if dose == 1 else f"{target}={_written(dose)}"
            for target, dose in zip(self.targets, self.doses)
        )
        return "+".join(words)


class Screen(NamedTuple):
    """A column of obs as perturbations: those it has, the control first, then by name.

    `codes` int64 (n,) says which of them each cell has, -1 where the column is empty. `renamed` is
    how many labels were not in canonical form.
    """

    column: str
    conditions: tuple[Perturbation, ...]
    codes: np.ndarray
    renamed: int

    @property
    def labels(self) -> list[str]:
        """Canonical names in the order of the codes."""
        return [one.label for one in self.conditions]

    @property
    def control(self) -> np.ndarray:
        """Which cells are unperturbed, bool (n,)."""
        return self.codes == 0


def parse(text: str) -> Perturbation:
    """What a person typed: `GATA1`, `CEBPA+KLF1`, `STAT1=-1`; DataError for a dose that is none."""
    parts: list[tuple[str, float]] = []
    for word in _JOINED.split(text.strip()):
        name, mark, dose = word.partition("=")
        try:
            amount = float(dose) if mark else 1.0
        except ValueError:
            amount = math.nan
        if not math.isfinite(amount):
            raise DataError(f"{word!r} has no number as its dose", fix="GENE=-1")
        if any(name.strip() == known and amount != other for known, other in parts):
            raise DataError(f"{text!r} gives {name.strip()} two doses", fix="one for each gene")
        parts.append((name.strip(), amount))
    return _made(parts)


def read_label(label: str) -> Perturbation:
    """A canonical name as what it stands for, whatever the names in it look like."""
    return _made(map(_dosed, (word.strip() for word in _JOINED.split(label.strip()))))


def is_control(label: str) -> bool:
    """Does a label name no target at all?"""
    words = _JOINED.split(_VECTOR.sub("", label.strip()))
    return all(_NO_TARGET.fullmatch(word) for word in words)


def screen_of(
    obs: Frame,
    column: str | None = None,
    control: str | None = None,
    *,
    genes: Collection[str] = (),
) -> Screen:
    """The perturbations of a table of cells.

    Without `column` the first known column that has controls is taken. `control` is the label of
    the unperturbed cells, where it is none of the usual words. `genes` are the features of the
    file: they tell `A_B`, two targets, from a name with an underscore. DataError where no column
    fits or no cell is a control.
    """
    name = column or _detect(obs)
    if name not in obs:
        raise DataError(f"no column {name!r} in obs", fix=suggest(name, list(obs.columns)))
    raw = _told(obs, name) if control is None else obs.strings(name)
    known = sorted({label for label in raw if label is not None})
    if control is not None and control not in known:
        raise DataError(f"no cell has {name} {control!r}", fix=suggest(control, known[:200]))
    read = _reader(name, known, control, set(genes), _numbers(obs, raw))
    meant = {label: read(label) for label in known}
    conditions = (Perturbation(), *sorted(set(meant.values()) - {Perturbation()}))
    if Perturbation() not in meant.values():
        shown = ", ".join(repr(label) for label in known[:3])
        raise DataError(
            f"no cell of {name} is a control (it has {shown})", fix="name it with --control VALUE"
        )
    if len(conditions) < 2:
        raise DataError(f"every cell of {name} is a control", fix="--label names another column")
    place = {one: code for code, one in enumerate(conditions)}
    number = {label: place[one] for label, one in meant.items()}
    codes = np.array([-1 if label is None else number[label] for label in raw], dtype=np.int64)
    renamed = sum(one.label != label for label, one in meant.items())
    return Screen(name, conditions, codes, renamed)


def is_screen(obs: Frame, column: str) -> bool:
    """Is it a column of perturbations: a known name, and controls in it?"""
    if column not in COLUMNS or column not in obs:
        return False
    known = {label for label in _told(obs, column) if label is not None}
    return len(known) >= 2 and any(map(is_control, known)) and not all(map(is_control, known))


def familiarity(one: Perturbation, singles: Iterable[str]) -> str:
    """How new a perturbation is, as GEARS names it, for those who saw these single targets."""
    seen = set(singles)
    times = sum(target in seen for target in one.targets)
    if len(one.targets) == 1:
        return "seen_single" if times else "unseen_single"
    return f"combo_seen{times}"


def require_cells(screen: Screen, rows: np.ndarray | None = None) -> None:
    """DataError where most perturbations (of some rows) are of one cell: that is no response."""
    codes = screen.codes if rows is None else screen.codes[rows]
    sizes = np.bincount(codes[codes > 0])
    sizes = sizes[sizes > 0]
    if len(sizes) and np.median(sizes) < 2:
        raise DataError(
            f"{int((sizes == 1).sum()):,} of {len(sizes):,} perturbations have one cell here: no"
            " response can be told from noise",
            fix="take more cells of each",
        )


def _told(obs: Frame, column: str) -> np.ndarray:
    """The labels; those who are controls by another column are that, whatever their label."""
    raw = obs.strings(column).copy()
    if column == "genetic_perturbation_id" and STRATEGY in obs:
        raw[np.isin(obs.strings(STRATEGY).astype(str), UNTOUCHED)] = CONTROL
    if NUMBER in obs:
        none = obs.numbers(NUMBER) == 0
        raw[none & np.array([label is not None for label in raw], dtype=bool)] = CONTROL
    return raw


def _numbers(obs: Frame, raw: np.ndarray) -> dict[str, int]:
    """How many targets a label has, where the file says."""
    if NUMBER not in obs:
        return {}
    numbers = obs.numbers(NUMBER)
    return {
        label: int(number)
        for label, number in zip(raw, numbers)
        if label is not None and not np.isnan(number)
    }


def _detect(obs: Frame) -> str:
    for name in COLUMNS:
        if is_screen(obs, name):
            return name
    raise DataError(
        "no column of obs names perturbations and controls",
        fix="--label COLUMN --control VALUE",
    )


def _reader(
    column: str,
    known: Sequence[str],
    control: str | None,
    genes: set[str],
    numbers: Mapping[str, int],
) -> Callable[[str], Perturbation]:
    """How labels of this column are read, from all that it has."""
    guides = column in ("genetic_perturbation_id", "guide_id", "guide_identity")
    known = [_VECTOR.sub("", label.strip()) for label in known]
    joined = any(_JOINED.search(label) for label in known)
    each = [word for label in known for word in _JOINED.split(label) if not is_control(word)]
    numbered = guides and 2 * sum(_GUIDE.fullmatch(word) is not None for word in each) > len(each)
    alone = {label for label in known if "_" not in label} | genes

    def words(label: str, number: int) -> list[str]:
        if joined and _JOINED.search(label):
            return _JOINED.split(label)
        first = label.split("__")[0]
        pieces = first.split("_")
        if len(pieces) > 1 and number == len(pieces):
            return pieces
        if len(pieces) > 1 and all(p in alone or _NO_TARGET.fullmatch(p) for p in pieces):
            return pieces
        return [first]

    def read(label: str) -> Perturbation:
        if label == control or (control is None and is_control(label)):
            return Perturbation()
        bare = _VECTOR.sub("", label.strip())
        named = words(bare, numbers.get(label, 0))
        parts = [word for word in named if not (word == control or _NO_TARGET.fullmatch(word))]
        if numbered:
            parts = [(m.group(1) if (m := _GUIDE.fullmatch(word)) else word) for word in parts]
        return _made(map(_dosed, parts))

    return read


def _written(dose: float) -> str:
    """A dose in words that `parse` reads again: no sign that would join two targets."""
    return f"{dose:.12g}".replace("e+", "e")


def _dosed(word: str) -> tuple[str, float]:
    """A target and its dose, as canonical labels say it: `STAT1=-1`."""
    found = _DOSED.fullmatch(word)
    return (found[1], float(found[2])) if found else (word, 1.0)


def _made(parts: Iterable[tuple[str, float]]) -> Perturbation:
    """Targets in order, each once; what has no target is the control."""
    doses = {name: dose for name, dose in parts if name and not _NO_TARGET.fullmatch(name)}
    ordered = sorted(doses.items())
    return Perturbation(tuple(n for n, _ in ordered), tuple(d for _, d in ordered))
