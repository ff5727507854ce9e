"""How many made cells are training cells, count for count?"""

from scgx.metrics._sets import CellSet, Design, Pair, Repeats, Result


class Metric:
    """Exact copies."""

    id = "dup_rate"
    definition = (
        "share of made cells whose counts are those of a real training cell, less that of "
        "real held-out cells"
    )
    direction = -1
    gene_sets = False
    task = "generation"

    def __init__(self, design: Design) -> None:
        self._seen = Repeats()
        self._known = design.known

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        self._seen.add(self._share(pair.fake) - self._share(pair.real), len(pair.fake))

    def _share(self, cells: CellSet) -> float:
        return sum(one in self._known for one in cells.digests()) / max(len(cells), 1)

    def result(self) -> Result:
        """The mean over draws of cells."""
        return self._seen.result()
