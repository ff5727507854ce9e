"""Labels of several studies brought to common ones, by rules in a file and never by guess.

A rule is a line of two columns: the label of the source, a tab, the common label; `-` drops the cells.
What is reported is what goes wrong in practice: labels without a rule, rules without a label, and
labels that differ only in case or in blanks that nobody sees.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scgx.errors import InputError

DROP = "-"
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
_HEADERS = ({"source", "label", "from", "fine"}, {"common", "target", "to", "coarse", "label"})


def clean(label: str) -> str:
    """A label without blanks around it and with single ones inside; no-break blanks are blanks,
    characters without width are nothing.
    """
    return " ".join(label.translate(_UNSEEN).split())


class Mapped(NamedTuple):
    """Labels of n cells: `words` object (None where missing or dropped), `dropped` bool (n,).

    `unmapped` and `mapped` count cells by label; `gone` counts cells by label that was dropped.
    """

    words: np.ndarray
    dropped: np.ndarray
    mapped: dict[str, int]
    unmapped: dict[str, int]
    gone: dict[str, int]


@dataclass
class LabelMap:
    """Rules by source label; `used` remembers which of them have matched."""

    rules: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def apply(self, labels: Iterable[str | None]) -> Mapped:
        """Common labels; one without a rule stays as it is, but for its blanks."""
        words = [None if label is None else clean(label) for label in labels]
        counts: dict[str, int] = {}
        for word in words:
            if word is not None:
                counts[word] = counts.get(word, 0) + 1
        rule = self.rules.get
        unmapped = {w: n for w, n in counts.items() if rule(w) is None}
        gone = {w: n for w, n in counts.items() if rule(w) == DROP}
        mapped = {w: n for w, n in counts.items() if w not in unmapped and w not in gone}
        self.used.update(word for word in counts if word in self.rules)
        common = [None if w is None or w in gone else self.rules.get(w, w) for w in words]
        dropped = np.array([w in gone for w in words], dtype=bool)
        return Mapped(np.array(common, dtype=object), dropped, mapped, unmapped, gone)

    @property
    def unused(self) -> list[str]:
        """Rules that have matched no label yet."""
        return [source for source in self.rules if source not in self.used]


def read(path: Path, name: str) -> LabelMap:
    """Rules of a text file; lines with # and empty ones are left out, a header is known by its words.

    InputError with the line for what is no rule, and for two rules of one label that differ.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        fix = "two columns: source label, tab, common label"
        raise InputError("is no text in UTF-8", fix=fix, file=name) from None
    found = LabelMap()
    for number, line in enumerate(text.splitlines(), 1):
        if not clean(line) or line.startswith("#"):
            continue
        cells = [clean(cell) for cell in line.split("\t")]
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) != 2 or not cells[0]:
            raise InputError(
                f"line {number} is no rule: {line[:60]!r}",
                fix="two columns: source label, tab, common label or -",
                file=name,
            )
        source, common = cells
        header = [cell.lower() in words for cell, words in zip(cells, _HEADERS)]
        if not found.rules and all(header):
            continue
        if found.rules.setdefault(source, common) != common:
            raise InputError(
                f"line {number}: {source!r} is {found.rules[source]!r} and {common!r}",
                fix="one rule for a label",
                file=name,
            )
    if not found.rules:
        raise InputError("has no rule", fix="source label, tab, common label", file=name)
    return found


def alike(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Labels that differ only in case, together."""
    groups: dict[str, list[str]] = {}
    for label in sorted(set(labels)):
        groups.setdefault(label.casefold(), []).append(label)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def nearest(label: str, known: Iterable[str]) -> str:
    """The known label that one may have meant, in whatever case; "" without any near."""
    words = {word.casefold(): word for word in known}
    found = difflib.get_close_matches(label.casefold(), words, n=1, cutoff=0.75)
    return words[found[0]] if found else ""
