"""The drawn CITE-seq experiment as one paired h5ad: genes and antibodies, truth in `uns["truth"]`.

Cells, genes and their counts are those of the multiome of the same seed. The truth says whose protein
each antibody sees (controls see none), and the `oracle_r` of antibodies.
"""

from pathlib import Path

import numpy as np
from scipy import sparse

from scgx.cells import antibodies, multiome
from scgx.cells.multiome_h5ad import GENOME, JUDGED, check_size, obs_of
from scgx.h5ad import history, writer
from scgx.h5ad.frame import Categorical, Frame, categorical
from scgx.h5ad.isotypes import CONTROL


def write(
    path: Path, *, cells: int, genes: int, peaks: int, seed: int, keep_history: bool = True
) -> None:
    """Draw `cells` cells of `genes` genes and 30 antibodies; same seed, same bytes.

    `peaks` is how much chromatin regulates the genes; none of it is written. Raises `UsageError` where
    the size cannot carry the model.
    """
    check_size(cells, genes, peaks, seed)
    world = multiome.plan(cells, genes, peaks, seed)
    panel = antibodies.panel(world)
    judged: list[antibodies.Stained] = []
    with writer.create(path) as out:
        out.frame("obs", obs_of(world))
        out.frame("var", _var(world, panel))
        with out.matrix("X", genes + len(panel.names), np.float32) as append:
            for block in antibodies.draw(world, panel):
                append(sparse.hstack([block.cells.rna, block.adt], format="csr"))
                if block.cells.start < JUDGED:
                    judged.append(block)
        seen = ~panel.control
        out.uns("truth/antibodies/name", panel.names[seen])
        out.uns("truth/antibodies/gene", world.genes.ids[panel.gene[seen]])
        out.uns("truth/antibodies/oracle_r", np.float64(antibodies.oracle_r(panel, judged)))
        out.uns("truth/cell_types", np.array(multiome.CELL_TYPES, dtype=object))
        out.uns("scgx/genome", GENOME)
        units = {"X": {"rna": "counts", "adt": "counts"}}
        history.sign(out, [], seed=seed, units=units, keep=keep_history)


def _var(world: multiome.World, panel: antibodies.Panel) -> Frame:
    genes = world.genes
    n, m = len(genes.ids), len(panel.names)
    words = np.array(["Gene Expression", "Antibody Capture"], dtype=object)
    nowhere = np.full(m, -1, dtype=np.int64)
    return Frame(
        np.concatenate([genes.ids, panel.names]),
        {
            "gene_name": np.concatenate([genes.names, panel.names]),
            "feature_types": Categorical(np.repeat(np.array([0, 1], np.int8), [n, m]), words),
            CONTROL: np.concatenate([np.zeros(n, dtype=bool), panel.control]),
            "chrom": categorical(
                [*genes.chrom, *[None] * m],
                [name for name in multiome.HG38 if name in set(genes.chrom)],
            ),
            "start": np.concatenate([genes.start, nowhere]),
            "end": np.concatenate([genes.end, nowhere]),
            "strand": categorical([*genes.strand, *[None] * m], ["+", "-"]),
            "tss": np.concatenate([genes.tss, nowhere]),
        },
    )
