"""How far apart two sets of cells are: what separates them less what spreads each."""

from scgx.metrics._apart import energy
from scgx.metrics._sets import Design, Pair, Repeats, Result


class Metric:
    """Energy distance in components."""

    id = "energy"
    definition = (
        "2 E|x-y| - E|x-x'| - E|y-y'| between real and made cells, Euclidean, unbiased, in so "
        "many components of the real training cells"
    )
    direction = -1
    gene_sets = False
    task = "generation"
    variants = ("50", "10")

    def __init__(self, design: Design) -> None:
        self._seen = {width: Repeats() for width in self.variants}

    def update(self, pair: Pair) -> None:
        """Take in one draw of cells."""
        for variant, seen in self._seen.items():
            x, y = (side.components[:, : int(variant)] for side in (pair.real, pair.fake))
            seen.add(energy(x, y), len(x))

    def result(self, variant: str = "50") -> Result:
        """The mean over draws of cells."""
        return self._seen[variant].result()
