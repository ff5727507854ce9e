"""Cells of a perturbation screen, drawn from a gene regulatory network that is known.

A share of the genes regulate. Every gene has a level d, in log units around its own mean, and at the
steady state

    d = t + g(W f(d)) + noise + u

with W sparse, t what a cell type adds, and u what was done to the cell. *Linear*: f and g are the
identity, so that x = Wx + b + noise with Gaussian noise: what perturbations do adds up, in every cell
the same. *Nonlinear*: f is a Hill function of the regulator (a logistic one in log units), and a
promoter opens at a threshold of its own, so that pairs interact and cell types differ. Genes come in
modules, with regulators of their own. Regulators regulate each other in circles; the rows of W there
sum to at most `CONTRACTION`, so there is exactly one steady state and iterating finds it. All other
genes listen only. The levels of regulators vary twice as much as those of other genes: what they do
shows in cells that nobody perturbed, too.

Over-expression and knock-down add to the level of the target, which its regulators may dampen; a
knock-out holds it down whatever they say. Donors and batches shift what is captured, behind the
network. Counts are negative binomial around the captured level; a gene of a cell may be lost.
Cells are drawn in fixed blocks, each from its own random stream: a million cells take no more memory
than a thousand, and fewer cells are the first of more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import sparse

from scgx.cells.multiome import barcodes, stream
from scgx.cells.perturbations import Perturbation

Array: TypeAlias = np.ndarray

KINDS = ("linear", "nonlinear")
EFFECTS = {"over-expression": 1.6, "knock-down": -1.6, "knock-out": -4.0}
"""What is done, and by how much in log units: e^1.6 is fivefold."""
BLOCK = 512  # cells per random stream; part of the recipe, so never change it
CONTRACTION = 0.6  # most that the weights on a regulator sum to
LISTENING = 2.0  # most that the weights on any other gene sum to
STEPS = 60  # 0.6^60 is 5e-14
HILL = 2.0
STEEP = 4.0  # of a promoter of a gene that is no regulator
RESTLESS = 2.0  # how much more the levels of regulators vary
MODULE = 6  # regulators
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Plan:
    """What to draw. `noise` is the deviation of a level (twice that of regulators); `depth` the
    counts of a cell; `dropout` the chance that a gene of a cell is lost; `controls` the share of cells
    that nothing was done to.
    """

    cells: int = 3000
    genes: int = 300
    perturbations: int = 20
    doubles: int = 10
    kind: str = "linear"
    effect: str = "over-expression"
    cell_types: int = 3
    donors: int = 4
    batches: int = 2
    controls: float = 0.2
    noise: float = 0.3
    depth: float = 5000.0
    dropout: float = 0.1
    dispersion: float = 10.0
    seed: int = 0


class Genes(NamedTuple):
    """One entry per gene; `level` is the mean log share of a cell's counts."""

    ids: Array
    names: Array
    regulator: Array
    level: Array


class Cells(NamedTuple):
    """One entry per cell: barcode, and indices of condition (0: control), type and donor."""

    names: Array
    condition: Array
    cell_type: Array
    donor: Array


class Drawn(NamedTuple):
    """A block of cells: levels d float32 (cells, genes), and log rates before counting."""

    start: int
    level: Array
    log_rate: Array
    counts: sparse.csr_array | None


@dataclass(frozen=True)
class World:
    """Everything that is fixed before a cell is drawn.

    `weights` (genes, regulators) says how much each gene follows each regulator; `places` int64
    (regulators,) where those are among the genes.
    """

    plan: Plan
    genes: Genes
    places: Array
    weights: sparse.csr_array
    threshold: Array  # (genes,), of nonlinear promoters
    deviation: Array  # (genes,) float32, of the noise
    conditions: tuple[Perturbation, ...]  # the control first
    targets: tuple[Array, ...]  # of each condition, as indices of regulators
    type_shift: Array  # (types, genes)
    capture: Array  # (donors, genes), batch included
    type_share: Array  # (types,)
    cells: Cells

    @property
    def network(self) -> sparse.csr_array:
        """The graph (genes, genes): entry (i, j) is how much gene j follows gene i."""
        edges = self.weights.tocoo()
        n = len(self.genes.ids)
        graph = sparse.csr_array((edges.data, (self.places[edges.col], edges.row)), shape=(n, n))
        graph.sort_indices()
        return graph.astype(np.float32)


def plan_world(plan: Plan) -> World:
    """Fix the network, what is perturbed and who the cells are. Deterministic in the seed."""
    rng = stream(plan.seed, 10)
    regulators = min(plan.genes, max(plan.perturbations, plan.genes // 10, 2))
    places = np.sort(rng.permutation(plan.genes)[:regulators])
    genes = _genes(rng, plan.genes, places)
    module = np.arange(regulators) % max(1, regulators // MODULE)
    weights = _weights(rng, plan.genes, places, module)
    conditions, targets = _conditions(rng, plan, genes.names[places], module)
    shape = (plan.cell_types, plan.genes)
    own = rng.random(shape) < 0.3
    type_shift = np.where(own, rng.normal(0.0, 0.6, shape), 0.0)
    donor = rng.normal(0.0, 0.08, (plan.donors, plan.genes))
    batch = rng.normal(0.0, 0.12, (plan.batches, plan.genes))
    share = rng.gamma(8.0, 1.0, plan.cell_types)
    share = share / share.sum()
    return World(
        plan=plan,
        genes=genes,
        places=places,
        weights=weights,
        threshold=rng.uniform(0.2, 1.2, plan.genes),
        deviation=(plan.noise * np.where(genes.regulator, RESTLESS, 1.0)).astype(np.float32),
        conditions=conditions,
        targets=targets,
        type_shift=type_shift,
        capture=donor + batch[np.arange(plan.donors) % plan.batches],
        type_share=share,
        cells=_cells(plan, len(conditions), share),
    )


def draw(world: World, *, counted: bool = True) -> Iterator[Drawn]:
    """The cells of a world, `BLOCK` at a time; counts as float32 CSR of whole numbers."""
    for start in range(0, world.plan.cells, BLOCK):
        yield _draw_block(world, start, counted=counted)


def steady(world: World, drive: Array, shift: Array, held: Array) -> Array:
    """Levels d float64 (genes, cells) for what drives every gene (genes, cells); `shift` and `held`
    (regulators, cells) are what was done, NaN in `held` where nothing is.
    """
    listen = world.weights[world.places]
    is_held = ~np.isnan(held)
    fixed = np.where(is_held, held, 0.0)
    own = drive[world.places] + shift
    level = np.where(is_held, fixed, own)
    for _ in range(STEPS):
        level = np.where(is_held, fixed, own + _heard(world, listen, level))
    everywhere = drive + _heard(world, world.weights, level, world.threshold[:, None])
    everywhere[world.places] = level
    return everywhere


def done(world: World, condition: Array) -> tuple[Array, Array]:
    """`shift` and `held` of `steady`, float64 (regulators, cells), for a condition per cell."""
    shape = (len(world.places), len(condition))
    shift, held = np.zeros(shape), np.full(shape, np.nan)
    much = EFFECTS[world.plan.effect]
    into = held if world.plan.effect == "knock-out" else shift
    for cell, code in enumerate(condition):
        into[world.targets[code], cell] = much
    return shift, held


def log1p_cp10k(log_rate: Array) -> Array:
    """What counting without noise would give, of log rates (cells, genes)."""
    rate = np.exp(log_rate - log_rate.max(axis=1, keepdims=True))
    return np.log1p(1e4 * rate / rate.sum(axis=1, keepdims=True))


def truth(world: World) -> tuple[Array, Array]:
    """What every condition but the control changes, without any noise, mean over cell types by their
    shares: of the level (log units), and of log1p-CP10k; float32 (conditions - 1, genes) each.
    """
    types, n = len(world.type_share), len(world.conditions)
    levels = np.zeros((n - 1, len(world.genes.ids)), np.float64)
    seen = np.zeros_like(levels)
    for kind in range(types):
        made = np.zeros((n, levels.shape[1]))
        for start in range(0, n, BLOCK):
            condition = np.arange(start, min(n, start + BLOCK))
            drive = np.tile(world.type_shift[kind][:, None], (1, len(condition)))
            made[condition] = steady(world, drive, *done(world, condition)).T
        levels += world.type_share[kind] * (made[1:] - made[0])
        profile = log1p_cp10k(made + world.genes.level)
        seen += world.type_share[kind] * (profile[1:] - profile[0])
    return levels.astype(np.float32), seen.astype(np.float32)


def _heard(
    world: World, weights: sparse.csr_array, level: Array, threshold: Array | None = None
) -> Array:
    """What genes hear of the regulators' levels (regulators, cells)."""
    if world.plan.kind == "linear":
        return weights @ level
    heard = weights @ (4.0 / HILL * (_logistic(HILL * level) - 0.5))
    if threshold is None:
        return np.tanh(heard)
    return 2.0 * (_logistic(STEEP * (heard - threshold)) - _logistic(-STEEP * threshold))


def _logistic(values: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-values))


def _draw_block(world: World, start: int, *, counted: bool) -> Drawn:
    """All random numbers but the last are drawn for `BLOCK` cells, so a shorter one is a prefix."""
    plan = world.plan
    rng = stream(plan.seed, 11, start)
    rows = slice(start, min(start + BLOCK, plan.cells))
    n, genes = rows.stop - start, plan.genes
    noise = rng.standard_normal((BLOCK, genes), dtype=np.float32)[:n] * world.deviation
    depth = rng.normal(0.0, 0.3, BLOCK)[:n]
    drive = (world.type_shift[world.cells.cell_type[rows]] + noise).T
    level = steady(world, drive, *done(world, world.cells.condition[rows])).T
    log_rate = level + world.genes.level + world.capture[world.cells.donor[rows]]
    counts = None
    if counted:
        lost = rng.random((BLOCK, genes), dtype=np.float32)[:n] < np.float32(plan.dropout)
        spread = rng.standard_gamma(plan.dispersion, (BLOCK, genes), dtype=np.float32)[:n]
        mean = np.exp(np.minimum(log_rate + depth[:, None], 0.0), dtype=np.float64)
        mean *= plan.depth / plan.dispersion * spread
        mean[lost] = 0.0
        counts = sparse.csr_array(rng.poisson(mean).astype(np.float32))
    return Drawn(start, level.astype(np.float32), log_rate, counts)


def _genes(rng: np.random.Generator, n: int, places: Array) -> Genes:
    """Levels spread as in cells; regulators are not rare, or nobody could see them at work."""
    level = rng.normal(0.0, 1.0, n)
    level[places] = np.maximum(level[places], 0.0)
    level -= np.log(np.exp(level).sum())
    regulator = np.zeros(n, dtype=bool)
    regulator[places] = True
    ids = np.array([f"ENSG98{i:09d}" for i in range(1, n + 1)], dtype=object)
    names = np.array([f"SIM{i}" for i in range(1, n + 1)], dtype=object)
    return Genes(ids, names, regulator, level)


def _weights(rng: np.random.Generator, n: int, places: Array, module: Array) -> sparse.csr_array:
    """One to four regulators for each gene, never itself; most of them of the module of the gene, and
    two in five weights repress.
    """
    most = min(4, len(places) - 1)
    number = rng.integers(1, most + 1, n)
    row = np.repeat(np.arange(n), number)
    home = rng.integers(0, module.max() + 1, n)
    home[places] = module
    chosen = []
    for gene in range(n):
        reach = rng.random(len(places)) + 0.8 * (module != home[gene]) * (rng.random() < 0.8)
        reach[places == gene] = np.inf
        chosen.append(np.argsort(reach, kind="stable")[: number[gene]])
    column = np.concatenate(chosen)
    weight = rng.lognormal(0.0, 0.4, len(row)) * np.where(rng.random(len(row)) < 0.4, -1.0, 1.0)
    bound = np.full(n, LISTENING)
    bound[places] = CONTRACTION
    bound *= rng.uniform(0.5, 1.0, n)
    weight *= (bound / np.bincount(row, np.abs(weight), n))[row]
    made = sparse.csr_array((weight, (row, column)), shape=(n, len(places)))
    made.sort_indices()
    return made


def _conditions(
    rng: np.random.Generator, plan: Plan, names: Array, module: Array
) -> tuple[tuple[Perturbation, ...], tuple[Array, ...]]:
    """Control, singles in the order of the genes, doubles: half of them within a module."""
    singles = np.sort(rng.permutation(len(names))[: plan.perturbations])
    first, second = np.triu_indices(len(singles), 1)
    order = rng.permutation(len(first))
    together = module[singles[first[order]]] == module[singles[second[order]]]
    near = order[together][: (plan.doubles + 1) // 2]
    far = order[~together][: plan.doubles - len(near)]
    more = order[together][len(near) : plan.doubles - len(far)]
    chosen = np.sort(np.concatenate([near, far, more]))
    targets = [np.empty(0, np.int64), *(np.array([one]) for one in singles)]
    targets += [singles[[first[i], second[i]]] for i in chosen]
    conditions = []
    for each in targets:
        own = tuple(sorted(str(name) for name in names[each]))
        conditions.append(Perturbation(own, (1.0,) * len(own)))
    return tuple(conditions), tuple(targets)


def _cells(plan: Plan, conditions: int, share: Array) -> Cells:
    """Conditions in even numbers among any first cells (by the golden ratio), the rest drawn."""
    rng = stream(plan.seed, 12)
    number = np.arange(1, plan.cells + 1)
    place = (number * GOLDEN + rng.random()) % 1.0
    condition = np.where(
        place < plan.controls,
        0,
        1 + ((place - plan.controls) / (1 - plan.controls) * (conditions - 1)).astype(np.int64),
    )
    draws = rng.random((plan.cells, 2))
    kind = np.searchsorted(np.cumsum(share), draws[:, 0]).clip(max=len(share) - 1)
    donor = (draws[:, 1] * plan.donors).astype(np.int64)
    return Cells(barcodes(plan.cells), condition.clip(max=conditions - 1), kind, donor)
