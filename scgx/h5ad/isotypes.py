"""Which antibodies are isotype controls: they bind nothing, so there is nothing to predict or score.

A column of var says so (`isotype_control`), else the name: `IgG1`, `Mouse-IgG2a`, `Rat_IgG2b_control`,
`Isotype_MOPC.21`. Antibodies against immunoglobulins (`IgD`, `IgM`, `IgG Fc`) are none.
"""

from __future__ import annotations

import re

import numpy as np

from scgx.h5ad.features import modalities
from scgx.h5ad.frame import Frame

CONTROL = "isotype_control"
"""The column of var, bool."""

_NAMED = ("gene_name", "gene_symbols", "feature_name", "name")
_SAID = {
    **dict.fromkeys(("true", "1", "1.0", "yes", "t", "y", "control", "isotype"), True),
    **dict.fromkeys(("false", "0", "0.0", "no", "f", "n", ""), False),
}
_HOST = r"(?:mouse|rat|hamster|goat|rabbit|sheep|donkey|ms|m|r)"
_CLASS = r"ig(?:g|m|a|e|y)"
_LIGHT = r"(?: ?(?:k|kappa|l|lambda))?"
_END = r"(?=$| |isotype|control|ctrl|ctr)"
_PATTERNS = [
    re.compile(pattern)
    for pattern in (
        r"(?:^| )isotype|isotype ?(?:control|ctrl|ctr)?(?:$| )",
        rf"(?:^| ){_HOST}? ?igg[1-4][abc]?{_LIGHT}{_END}",
        rf"(?:^| ){_HOST} ?{_CLASS}(?:[1-4][abc]?)?{_LIGHT}{_END}",
        rf"(?:^| ){_CLASS}(?:[1-4][abc]?)?{_LIGHT} ?(?:isotype|control|ctrl|ctr)(?:$| )",
    )
]


def is_control(name: str) -> bool:
    """Does an antibody of this name bind nothing?

    >>> is_control("Mouse-IgG2a"), is_control("IgD"), is_control("CD19")
    (True, False, False)
    """
    words = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
    if re.search(r"\bfc\b|\banti\b|\breceptor\b", words):
        return False
    return any(pattern.search(words) for pattern in _PATTERNS)


def isotype_controls(var: Frame) -> np.ndarray:
    """Mask of the isotype controls among the antibodies of a table of features, bool (n_var,).

    The column decides where it says something, the names where it does not.
    """
    controls = np.zeros(len(var), dtype=bool)
    antibodies = np.flatnonzero(modalities(var) == "adt")
    if not len(antibodies):
        return controls
    tables = [var.index, *(var.strings(name) for name in _NAMED if name in var)]
    said = var.strings(CONTROL) if CONTROL in var else np.full(len(var), None, dtype=object)
    for i in antibodies:
        told = _SAID.get(str(said[i]).lower())
        if told is not None:
            controls[i] = told
        else:
            controls[i] = any(
                names[i] is not None and is_control(str(names[i])) for names in tables
            )
    return controls


def marked(var: Frame) -> Frame | None:
    """The table with the column, where there are controls that it does not mark yet; None otherwise."""
    controls = isotype_controls(var)
    if not controls.any() or CONTROL in var:
        return None
    return var.with_column(CONTROL, controls)
