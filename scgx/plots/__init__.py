"""Pictures: the one home of matplotlib, which is imported only when something is drawn.

Everything is written to a file whose suffix says the kind; there is never a window. The same input
gives the same bytes (no date, a fixed salt for the ids of SVG).
"""

from scgx.plots.canvas import check_kind
from scgx.plots.labels import composition, confusion, weights
from scgx.plots.made import cells as made
from scgx.plots.places import cells
from scgx.plots.quality import quality
from scgx.plots.responses import responses
from scgx.plots.scores import genome_positions, score
from scgx.plots.training import curve, explained

__all__ = [
    "cells", "check_kind", "composition", "confusion", "curve", "explained", "genome_positions", "made",
    "quality", "responses", "score", "weights",
]  # fmt: skip
