"""Self-training: a classifier moved to the cells that it is asked about.

Between studies the model's borders lie a little off, while the cells' own clouds lie as they lie. So
the most confident half of every class teaches a second, small classifier that sees nothing but these
cells: logistic regression on the first components of their own expression. Its answer is averaged
with the model's, which picks the teachers anew, a few times. Who teaches, and what is said in the
end, is averaged over a cell's neighbours: a slip of the model in a few cells then teaches nobody.
The second classifier knows nothing of the training study, so capture and depth cannot mislead it;
the model keeps the names.

This is transductive: what a cell is called depends on the others of its file. Where all cells are of
one study with the training cells there is nothing to gain. Settings were chosen on held-out cells
under simulated shift (docs/decisions/classifiers.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import sparse

from scgx.learn.calibration import softmax
from scgx.learn.lsi import Lsi
from scgx.learn.multinomial import balanced, regress
from scgx.learn.vote import averaged, nearest

RANK = 15  # components
ROUNDS = 4
TEACHERS = 0.5  # of the cells that are called a class
FEWEST = 10  # teachers of a class, if it has them
LEAST = 1e-4  # no probability counts as smaller
SAMPLE = 20_000  # cells that the components are fitted on
ENOUGH = 50  # cells; fewer have no shape


def adapted(
    probability: np.ndarray,
    blocks: Callable[[np.ndarray], Iterator[sparse.csr_array]],
    *,
    modality: str,
    seed: int = 0,
) -> np.ndarray:
    """Probabilities float32 (n, classes) after self-training, from those of the model (n, classes).

    `blocks(rows)` gives the inputs of these rows, in order, some at a time. Fewer than 50 cells, or
    cells that are all of one class, keep the model's answer.
    """
    n = len(probability)
    if n < ENOUGH:
        return probability
    components = own_components(n, blocks, modality=modality, seed=seed)
    if components is None:
        return probability
    near = nearest(components)
    prior = np.log(probability.astype(np.float64) + LEAST)
    now = probability.astype(np.float64)
    for _ in range(ROUNDS):
        around = (now + averaged(now, near)) / 2
        called = around.argmax(axis=1)
        chosen = teachers(around, called)
        if len(np.unique(called[chosen])) < 2:
            return probability
        weight = balanced(called[chosen], probability.shape[1])
        taught = regress(components[chosen], called[chosen], weight, probability.shape[1])
        own = softmax(components @ taught[:-1] + taught[-1])
        now = softmax((prior + np.log(own + LEAST)) / 2)
    return ((now + averaged(now, near)) / 2).astype(np.float32)


def teachers(probability: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Rows, sorted, of the most confident half of each class; ten at least, if there are so many."""
    rows = []
    for code in range(probability.shape[1]):
        mine = np.flatnonzero(called == code)
        most = np.argsort(-probability[mine, code], kind="stable")
        rows.append(mine[most[: max(FEWEST, int(TEACHERS * len(mine)))]])
    return np.sort(np.concatenate(rows))


def own_components(
    n: int,
    blocks: Callable[[np.ndarray], Iterator[sparse.csr_array]],
    *,
    modality: str,
    seed: int,
) -> np.ndarray | None:
    """The cells in their own components, float64 (n, rank), the first of deviation one."""
    rng = np.random.default_rng(seed)
    some = np.arange(n) if n <= SAMPLE else np.sort(rng.choice(n, SAMPLE, replace=False))
    x = sparse.csr_array(sparse.vstack(list(blocks(some)), format="csr"))
    lsi = Lsi.fit(x, modality=modality, rank=RANK, seed=seed)
    made = np.concatenate([lsi.transform(block) for block in blocks(np.arange(n))])
    spread = made.std(axis=0, dtype=np.float64).max(initial=0)
    return made.astype(np.float64) / spread if spread > 0 else None
