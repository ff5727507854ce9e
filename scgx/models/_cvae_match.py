"""The last step of `cvae`: drawn cells of a class have the mean of its training cells, gene by gene.

A decoder that is stopped in time, and a latent that is drawn from a mixture, leave what tells a class
from the others a little too small. Each condition has a shift of its own in the decoder, so the
logarithm of what is missing goes there. A gene with few counts is left nearly as it was.
"""

from collections.abc import Callable, Mapping

import numpy as np

from scgx.learn.generative import GenerativeData

SWEEPS = 3
EACH, MOST = 1_000, 50_000  # cells that are drawn of a class, and in all
ROWS = 512

Expect = Callable[[Mapping[str, np.ndarray], np.ndarray, np.random.Generator], np.ndarray]


def matched(
    data: GenerativeData,
    weights: Mapping[str, np.ndarray],
    expect: Expect,
    *,
    lean: float,
    seed: int,
) -> dict[str, np.ndarray]:
    """The weights with other shifts. `expect` says the expected counts (n, genes) of drawn cells with
    some weights and codes (n, columns); `lean` is how many counts of a gene count for no shift.
    """
    about = data.conditions
    made = dict(weights)
    have = [np.zeros((size, len(data.columns))) for size in about.sizes]
    for block in data.blocks(data.train):
        for column, total in enumerate(have):
            for level in np.unique(block.codes[:, column]):
                mine = block.x[block.codes[:, column] == level]
                total[level] += np.asarray(mine.sum(axis=0), np.float64).ravel()
    each = int(np.clip(MOST // about.sizes[0], 50, EACH))
    codes, worth = _cells(data, each)
    for column, total in enumerate(have):
        name = f"decode_shift.each.{column}.weight"
        for _ in range(SWEEPS):
            drawn = _totals(made, (codes, worth, column), expect, total.shape, seed)
            share = drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-12)
            want = share * total.sum(axis=1, keepdims=True)
            missing = np.log((total + lean) / (want + lean))
            made[name] = (made[name] + missing).astype(np.float32)
    return made


def _cells(data: GenerativeData, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of as many cells of every class, and how many training cells one stands for."""
    about = data.conditions
    codes, worth = [], []
    for label in range(about.sizes[0]):
        mine = about.seen[:, 0] == label
        some = about.allot(each, about.seen[mine], about.counts[mine])
        codes.append(some)
        worth.append(np.full(len(some), about.counts[mine].sum() / max(len(some), 1)))
    return np.concatenate(codes), np.concatenate(worth)


def _totals(
    weights: Mapping[str, np.ndarray],
    cells: tuple[np.ndarray, np.ndarray, int],
    expect: Expect,
    shape: tuple[int, ...],
    seed: int,
) -> np.ndarray:
    """Expected counts of drawn cells by level of a condition (levels, genes); always the same cells."""
    codes, worth, column = cells
    found = np.zeros(shape)
    for start in range(0, len(codes), ROWS):
        some, size = codes[start : start + ROWS], worth[start : start + ROWS]
        counts = expect(weights, some, np.random.default_rng([seed, 2, start]))
        for level in np.unique(some[:, column]):
            mine = some[:, column] == level
            found[level] += size[mine] @ counts[mine]
    return found
