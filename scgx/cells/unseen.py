"""Which perturbations of a screen train and which test: whole conditions, targets, or combinations.

What is new about a held-out condition decides how hard it is, so it is asked for by name:
`conditions` deals every condition alone (the target of a held-out one may occur in a training pair),
`targets` deals genes, and whatever touches a held-out gene is held out (nothing of it was ever seen),
`combinations` keeps all single perturbations for training and deals the combinations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from scgx.cells import split
from scgx.cells.perturbations import Perturbation, Screen, familiarity
from scgx.cells.split import Array, Fractions
from scgx.errors import DataError, UsageError
from scgx.h5ad.names import hash_names

KINDS = ("conditions", "targets", "combinations")
CONTROLS = Fractions(0.4, 0.1, 0.5)
"""Parts of the control cells: a test subtracts its own, so it needs as many as training."""
_TRIES = 20


def deal(
    screen: Screen, kind: str, fractions: Fractions, *, seed: int, fixed: Mapping[str, int]
) -> Array:
    """The part of every condition of a screen (the control, first, is 0), int8 (conditions,).

    `fixed` names conditions whose part is settled. DataError where there are too few to deal.
    """
    if kind not in KINDS:
        raise UsageError(f"--unseen {kind!r} is not known", fix=", ".join(KINDS))
    sizes = np.bincount(screen.codes[screen.codes >= 0], minlength=len(screen.conditions))
    parts = np.array([fixed.get(label, -1) for label in screen.labels], dtype=np.int8)
    parts[0] = 0
    if kind == "targets":
        return _by_target(screen, sizes, parts, fractions, seed)
    if kind == "combinations":
        alone = np.array([len(one.targets) < 2 for one in screen.conditions])
        parts[alone & (parts < 0)] = 0
        if not (parts < 0).any() and not fixed:
            raise DataError(f"{screen.column} has no combinations", fix="--unseen conditions")
    free = np.flatnonzero(parts < 0)
    if free.size:
        names = np.array(screen.labels, dtype=object)[free]
        cells = np.repeat(names, np.maximum(sizes[free], 1))
        dealt = split.by_group(cells, fractions, seed=seed)
        part_of = dict(zip(cells.tolist(), dealt.tolist()))
        parts[free] = [part_of[name] for name in names]
    return parts


def table(screen: Screen, parts: Array) -> list[list[str]]:
    """How new what is held out is: a row per kind, with numbers of conditions in val and test."""
    singles = [
        one.targets[0]
        for one, part in zip(screen.conditions, parts)
        if len(one.targets) == 1 and part == 0
    ]
    counts = {
        part: Counter(
            familiarity(one, singles)
            for one, p in zip(screen.conditions, parts)
            if p == part and one.targets
        )
        for part in (1, 2)
    }
    kinds = sorted(set(counts[1]) | set(counts[2]))
    return [[kind, str(counts[1][kind]), str(counts[2][kind])] for kind in kinds]


def _by_target(
    screen: Screen, sizes: Array, parts: Array, fractions: Fractions, seed: int
) -> Array:
    """Genes are dealt; a condition goes to the latest part that any of its targets is in."""
    genes = sorted({gene for one in screen.conditions for gene in one.targets})
    wanted = [part for part in (2, 1) if fractions[part] > 0]
    if len(genes) <= len(wanted):
        raise DataError(f"{len(genes)} targets cannot be dealt to {len(wanted) + 1} parts")
    tries = [
        _settle(screen.conditions, parts, sizes, fractions, _order(genes, seed, attempt))
        for attempt in range(_TRIES)
    ]
    total = max(1, int(sizes[1:].sum()))

    def distance(dealt: Array) -> float:
        shares = [sizes[1:][dealt[1:] == part].sum() / total for part in range(3)]
        return float(sum((share - want) ** 2 for share, want in zip(shares, fractions)))

    best = min(tries, key=distance)
    for part in (0, *wanted):
        if not (best[1:] == part).any():
            raise DataError(
                f"the targets cannot be dealt so that {split.PARTS[part]} has a condition",
                fix="other --fractions, or --unseen conditions",
            )
    return best


def _order(genes: list[str], seed: int, attempt: int) -> list[str]:
    ranks = hash_names(f"{seed}\0{attempt}\0{gene}" for gene in genes)
    return [genes[i] for i in np.argsort(ranks, kind="stable")]


def _settle(
    conditions: tuple[Perturbation, ...],
    fixed: Array,
    sizes: Array,
    fractions: Fractions,
    order: list[str],
) -> Array:
    """One way of dealing: genes in this order to the test, then to val, while their share lasts."""
    touched = {
        gene: np.array([gene in one.targets for one in conditions]) & (fixed < 0) for gene in order
    }
    dealt = np.where(fixed < 0, 0, fixed).astype(np.int8)
    total = sizes[1:].sum()
    left = list(order)
    for part in (2, 1):
        have = float(sizes[dealt == part].sum())
        for gene in list(left):
            new = touched[gene] & (dealt < part)
            more = float(sizes[new].sum())
            if fractions[part] == 0 or have + more / 2 > fractions[part] * total:
                continue
            dealt[new] = part
            have += more
            left.remove(gene)
    return dealt
