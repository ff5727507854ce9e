"""Do pairs of cells lie in one cluster where they are of one type?"""

from scgx.metrics._communities import agreement
from scgx.metrics._panel import Result
from scgx.metrics._places import Design, Places, undefined


class Metric:
    """Adjusted Rand index of types and Louvain clusters."""

    id = "ari"
    definition = (
        "adjusted Rand index of types and the Louvain clusters (scikit-network) whose "
        "normalised mutual information with the types is largest over 20 resolutions"
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
        """At the resolution of the largest NMI."""
        places = self._places
        if places is None:
            return undefined(0, "no cells")
        found = agreement(places, self._design)
        return Result(found.ari, found.ari_draws, len(places.types))
