"""`demo`: paired RNA and chromatin, made on the spot. No network, same bytes every time.

The size is that of a tutorial: large enough that an honest model beats the mean profile on donors
it has not seen, small enough that everything about it takes seconds. `scgx.cells.multiome` says how
the cells are drawn.
"""

from scgx.datasets._dataset import Dataset

CELLS, GENES, PEAKS, SEED = 1200, 300, 1500, 0

DATASET = Dataset(
    name="demo",
    kind="multiome",
    content="1,200 cells x (300 genes + 1,500 peaks), drawn: 6 donors, 3 batches, 5 cell types; "
    "--modality adt: genes + 30 antibodies",
    recipe="demo",
    genome="GRCh38",
    units="counts",
    licence="CC0 1.0",
    citation="none: the cells are drawn by scgx, the truth is in uns['truth']",
    traps="gene ids are made up (ENSG99...), so an annotation does not know them",
)
