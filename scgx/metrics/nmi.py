"""How much clusters say about types, and types about clusters."""

from scgx.metrics._communities import agreement
from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places, undefined


class Metric:
    """Normalised mutual information of types and Louvain clusters."""

    id = "nmi"
    definition = (
        "normalised mutual information (arithmetic mean) of types and Louvain clusters "
        "(scikit-network) of the graph of 15 nearest neighbours, the largest over 20 "
        "resolutions 0.1 to 2.0: chosen on the types, so optimistic"
    )
    direction = 1
    gene_sets = False
    task = "embedding"

    def __init__(self, design: Design) -> None:
        self._design = design
        self._places: Places | None = None

    def update(self, places: Places) -> None:
        """Take in the cells, all at once."""
        self._places = places

    def result(self) -> Result:
        """At the resolution that suits the types best."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        found = agreement(places, self._design)
        return Result(found.nmi, found.nmi_draws, len(places.types))
