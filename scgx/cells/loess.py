"""Local quadratic regression of one variable on another, as dloess and R's `loess` compute it.

A quadratic is fitted to the nearest points around a few knots alone, tricube weights; between two
knots the curve is the cubic with the values and the slopes found there. The knots are the cuts of a
k-d tree: so the answer is that of Cleveland's own program (netlib a/dloess, which R, scikit-misc and
through it scanpy and Seurat call), to rounding, without a Fortran extension to install.

W. S. Cleveland, E. Grosse, Computational methods for local regression, Stat. Comput. 1 (1991).
"""

from typing import TypeAlias

import numpy as np

from scgx.errors import DataError

Array: TypeAlias = np.ndarray

_CELL = 0.2  # a leaf of the tree holds at most this share of the span
_MARGIN = 0.005  # how far the outermost knots lie beyond the data


def loess(x: Array, y: Array, *, span: float = 0.3) -> Array:
    """The smooth values at x, float64 (n,); `span` is the share of the points in a local fit.

    DataError where there are too few points, or too few different ones, for a quadratic.
    """
    order = np.lexsort((y, x))  # equal points in one order, whatever the order of all
    points, values = x[order].astype(np.float64), y[order].astype(np.float64)
    distinct = len(np.unique(points))
    if distinct < 3:
        raise DataError(f"a trend cannot be fitted to {distinct:,} different means")
    knots = _knots(points, max(1, int(len(points) * span * _CELL)))
    near = max(3, min(len(points), int(len(points) * span + 1e-5)))
    fits = np.array([_fit(points, values, knot, near) for knot in knots])
    smooth = np.empty(len(points))
    smooth[order] = _blend(points, knots, fits[:, 0], fits[:, 1])
    return smooth


def _knots(x: Array, most: int) -> Array:
    """Both ends of the ascending points and the cuts between cells of at most `most`, ascending."""
    margin = _MARGIN * max(x[-1] - x[0], max(abs(x[0]), abs(x[-1])) * 1e-3 + 1e-30)
    ends = x[0] - margin, x[-1] + margin
    cuts: list[float] = []
    cells = [(0, len(x) - 1, *ends)]
    while cells:
        first, last, left, right = cells.pop()
        if last - first + 1 <= most:
            continue
        middle = _untied(x, first, last)
        cut = x[middle]
        if cut in (left, right):
            continue
        cuts.append(cut)
        cells += [(first, middle, left, cut), (middle + 1, last, cut, right)]
    return np.array([ends[0], *sorted(cuts), ends[1]])


def _untied(x: Array, first: int, last: int) -> int:
    """The place nearest to the middle where two neighbours differ; the middle where none do."""
    middle, offset = (first + last) // 2, 0
    while first <= middle + offset < last:
        if x[middle + offset] != x[middle + offset + 1]:
            return middle + offset
        offset = -offset if offset > 0 else 1 - offset
    return middle


def _fit(x: Array, y: Array, knot: float, near: int) -> tuple[float, float]:
    """Value and slope at a knot of the quadratic through the `near` points next to it.

    Where those are fewer than three different ones (dloess gives up there), the circle is widened.
    """
    distance = np.abs(x - knot)
    radius = np.partition(distance, near - 1)[near - 1]
    if len(np.unique(x[distance < radius])) < 3:
        steps = np.unique(distance)
        radius = steps[min(5, len(steps) - 1)] * 1.001
    inside = distance < radius
    away = distance[inside] / radius
    weights = np.sqrt((1 - away**3) ** 3)
    offset = x[inside] - knot
    design = np.stack([np.ones(len(offset)), offset, offset**2], axis=1) * weights[:, None]
    scale = np.sqrt((design**2).sum(axis=0))
    scale[scale == 0] = 1
    found = np.linalg.lstsq(design / scale, y[inside] * weights, rcond=None)[0] / scale
    return float(found[0]), float(found[1])


def _blend(x: Array, knots: Array, values: Array, slopes: Array) -> Array:
    """The cubic between two neighbouring knots, at every x."""
    cell = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    width = knots[cell + 1] - knots[cell]
    at = (x - knots[cell]) / width
    left = (1 - at) ** 2 * ((1 + 2 * at) * values[cell] + at * width * slopes[cell])
    right = at**2 * ((3 - 2 * at) * values[cell + 1] - (1 - at) * width * slopes[cell + 1])
    return left + right
