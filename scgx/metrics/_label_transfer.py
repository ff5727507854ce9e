"""Labels that cells take from the nearest cell of the other modality."""

from typing import NamedTuple

import numpy as np

from scgx.metrics._matching import Array, Match


class Transferred(NamedTuple):
    """Of each row: its class, that of its nearest column (-1 without one), and whether they are one
    (NaN where the row has no class, or no candidate).
    """

    own: Array
    taken: Array
    right: Array


def transferred(match: Match) -> Transferred | None:
    """None where the cells have no labels."""
    if match.labels is None:
        return None
    own, taken = match.labels.rows, match.labels.columns[match.standing.nearest]
    right = np.where(own >= 0, (own == taken).astype(np.float64), np.nan)
    return Transferred(own, taken, right)
