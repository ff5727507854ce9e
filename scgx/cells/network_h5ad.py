"""A drawn screen as one h5ad, its truth in `uns["truth"]` and its graph in `varp["network"]`.

X holds counts (or log1p-CP10k without counting); obs has perturbation, cell_type, donor and batch. The
truth is what each perturbation changes before any noise: `change` of log1p-CP10k, `level` in the log
units of the network, both (perturbations, genes) in the order of `perturbations` and `genes`.
"""

from pathlib import Path

import numpy as np
from scipy import sparse

from scgx.cells import network
from scgx.errors import MachineError, UsageError
from scgx.h5ad import history, writer
from scgx.h5ad.frame import Categorical, Frame
from scgx.progress import bar, say

UNITS = ("counts", "log1p-cp10k")
LEAST = 5  # cells of each perturbation


def write(
    path: Path, plan: network.Plan, *, units: str = "counts", keep_history: bool = True
) -> None:
    """Draw the cells of a plan and write them; same plan, same bytes.

    Raises `UsageError` where the numbers contradict each other.
    """
    check(plan, units)
    try:
        world = network.plan_world(plan)
    except MemoryError:
        what = f"not enough memory to plan {plan.cells:,} cells of {plan.genes:,} genes"
        raise MachineError(what, fix="fewer of them") from None
    edges = world.weights.nnz
    with writer.create(path) as out:
        with (
            out.matrix("X", plan.genes, np.float32) as append,
            bar("simulate", plan.cells) as advance,
        ):
            for block in network.draw(world, counted=units == "counts"):
                rows = block.counts
                if rows is None:
                    rows = sparse.csr_array(network.log1p_cp10k(block.log_rate), dtype=np.float32)
                append(rows)
                advance(rows.shape[0])
        out.frame("obs", _obs(world))
        out.frame("var", _var(world))
        with out.matrix("varp/network", plan.genes, np.float32) as append:
            append(world.network)
        _truth(out, world)
        said = {"X": {"rna": units}}
        history.sign(out, [], seed=plan.seed, units=said, keep=keep_history)
    say(
        f"{plan.cells:,} cells, {plan.genes:,} genes, {int(world.genes.regulator.sum()):,} of them"
        f" regulators, {edges:,} links, {len(world.conditions) - 1:,} perturbations"
    )


def check(plan: network.Plan, units: str) -> None:
    """Refuse numbers that cannot be drawn."""
    if units not in UNITS:
        raise UsageError(f"no units {units!r}", fix=f"--units {' or '.join(UNITS)}")
    if plan.kind not in network.KINDS:
        raise UsageError(f"no kind {plan.kind!r}", fix=f"there is {', '.join(network.KINDS)}")
    if plan.effect not in network.EFFECTS:
        raise UsageError(f"no effect {plan.effect!r}", fix=f"there is {', '.join(network.EFFECTS)}")
    if plan.genes < 5 or not 1 <= plan.perturbations <= plan.genes:
        raise UsageError(
            f"{plan.perturbations} perturbations of {plan.genes} genes cannot be",
            fix="at least 5 genes, and no more perturbations than genes",
        )
    pairs = plan.perturbations * (plan.perturbations - 1) // 2
    if plan.doubles > pairs:
        raise UsageError(f"{plan.perturbations} genes make {pairs} pairs, not {plan.doubles}")
    for name, value in (("controls", plan.controls), ("dropout", plan.dropout)):
        if not 0 <= value < 1 or (name == "controls" and not value):
            raise UsageError(f"--{name} {value} is no share", fix=f"--{name} 0.2")
    if not (0 <= plan.noise < np.inf and 0 < plan.depth < np.inf):
        raise UsageError(
            f"--noise {plan.noise:g} and --depth {plan.depth:g} cannot be drawn",
            fix="--noise of 0 or more, --depth over 0",
        )
    each = plan.cells * (1 - plan.controls) / (plan.perturbations + plan.doubles)
    if min(each, plan.cells * plan.controls) < LEAST:
        raise UsageError(
            f"{plan.cells:,} cells are under {LEAST} for each of"
            f" {plan.perturbations + plan.doubles:,} perturbations and the controls",
            fix="more --cells, or fewer --perturbations and --doubles",
        )
    if len(str(plan.seed)) > 18:
        raise UsageError(f"--seed {plan.seed} must be a whole number from 0 to 10^18")


def _obs(world: network.World) -> Frame:
    cells, plan = world.cells, world.plan
    batch = cells.donor % plan.batches
    columns = {
        "perturbation": _levels(cells.condition, [one.label for one in world.conditions]),
        "cell_type": _levels(cells.cell_type, _numbered("type", plan.cell_types)),
        "donor": _levels(cells.donor, _numbered("D", plan.donors)),
        "batch": _levels(batch, _numbered("B", plan.batches)),
    }
    return Frame(cells.names, dict(columns))


def _var(world: network.World) -> Frame:
    genes = world.genes
    modality = Categorical(
        np.zeros(len(genes.ids), dtype=np.int8), np.array(["Gene Expression"], dtype=object)
    )
    return Frame(
        genes.ids,
        {"gene_name": genes.names, "feature_types": modality, "regulator": genes.regulator},
    )


def _truth(out: writer.Writer, world: network.World) -> None:
    plan = world.plan
    level, change = network.truth(world)
    labels = [one.label for one in world.conditions[1:]]
    out.uns("truth/perturbations", np.array(labels, dtype=object))
    out.uns("truth/genes", world.genes.ids)
    out.uns("truth/change", change)
    out.uns("truth/level", level)
    out.uns("truth/kind", plan.kind)
    out.uns("truth/effect", plan.effect)
    out.uns("truth/strength", np.float64(network.EFFECTS[plan.effect]))
    for name in ("noise", "depth", "dropout", "dispersion"):
        out.uns(f"truth/{name}", np.float64(getattr(plan, name)))


def _numbered(word: str, n: int) -> list[str]:
    return [f"{word}{i}" for i in range(1, n + 1)]


def _levels(codes: np.ndarray, names: list[str]) -> Categorical:
    """Of the levels that cells have, in the order given."""
    used, narrow = np.unique(codes, return_inverse=True)
    small = np.int8 if len(used) < 128 else np.int32
    return Categorical(narrow.astype(small), np.array(names, dtype=object)[used])
