"""Random counts in bulk, nearly all of them zero: cheap where a count is zero, exact everywhere."""

from __future__ import annotations

import numpy as np
from scipy import sparse, stats

LARGE = 30.0  # means from here on are not climbed step by step
_STEPS = 1_000
_DEALT = 4  # counts per feature up to which they are dealt one by one


def negative_binomial(
    mean: np.ndarray, dispersion: np.ndarray, rng: np.random.Generator
) -> sparse.csr_array:
    """CSR int32 (n, p) of the means (n, p); variance is mean + dispersion x mean², by inversion.

    dispersion: (p,) or (n, p), not negative; where it is 0 counts are Poisson. A uniform number below
    the probability of zero is a zero, which ends most of the work; the others climb the distribution.
    """
    return at_quantiles(mean, dispersion, rng.random(mean.shape))


def at_quantiles(mean: np.ndarray, dispersion: np.ndarray, uniform: np.ndarray) -> sparse.csr_array:
    """The counts at some quantiles (n, p) of such negative binomials: the smallest count whose
    cumulated probability is above the quantile.
    """
    mean = np.asarray(mean, np.float32)
    wide = np.broadcast_to(np.asarray(dispersion, np.float32), mean.shape)
    rows, columns = np.nonzero(uniform >= _none(mean, wide))
    mu = mean[rows, columns].astype(np.float64)
    phi = wide[rows, columns].astype(np.float64)
    counts = np.zeros(len(mu), np.int64)
    small = mu < LARGE
    at = uniform[rows, columns]
    counts[small] = _climb(at[small], mu[small], phi[small])
    size = 1 / np.maximum(phi[~small], 1e-6)
    exact = stats.nbinom.ppf(at[~small], size, size / (size + mu[~small]))
    counts[~small] = np.maximum(exact, 1).astype(np.int64)
    return _csr(rows, columns, counts, mean.shape)


def multinomial(
    share: np.ndarray, totals: np.ndarray, rng: np.random.Generator
) -> sparse.csr_array:
    """CSR int32 (n, p): `totals` int (n,) counts of each row dealt by the shares (n, p) of that row."""
    deep = np.flatnonzero(totals > _DEALT * share.shape[1])
    if len(deep):
        return _with_deep(share, totals, deep, rng)
    bounds = np.cumsum(share, axis=1, dtype=np.float64)
    ends = np.cumsum(totals)
    drawn = rng.random(int(ends[-1]) if len(ends) else 0)
    starts = ends - totals
    width = share.shape[1]
    keys = []
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        top = bounds[row, -1]
        place = np.searchsorted(bounds[row], drawn[start:end] * top, side="right")
        keys.append(np.minimum(place, width - 1) + row * width)
    flat, counts = np.unique(
        np.concatenate(keys) if keys else np.empty(0, np.int64), return_counts=True
    )
    rows, columns = np.divmod(flat, width)
    return _csr(rows, columns, counts, share.shape)


def _with_deep(
    share: np.ndarray, totals: np.ndarray, deep: np.ndarray, rng: np.random.Generator
) -> sparse.csr_array:
    """Rows of many counts feature by feature, the others as ever."""
    rest = totals.copy()
    rest[deep] = 0
    made = multinomial(share, rest, rng)
    exact = share[deep].astype(np.float64)
    exact /= exact.sum(axis=1, keepdims=True)
    drawn = np.zeros(share.shape, np.int32)
    drawn[deep] = rng.multinomial(totals[deep], exact)
    return sparse.csr_array(made + sparse.csr_array(drawn))


def _none(mean: np.ndarray, dispersion: np.ndarray) -> np.ndarray:
    """Probability of a zero, float32: (1 + dispersion x mean) ** (-1 / dispersion)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.log1p(dispersion * mean) / dispersion
    return np.exp(-np.where(dispersion > 1e-6, spread, mean))


def _climb(uniform: np.ndarray, mu: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """The smallest count, from 1 on, whose cumulated probability is above the uniform number."""
    counts = np.ones(len(mu), np.int64)
    phi = np.maximum(phi, 1e-6)
    size, odds = 1 / phi, phi * mu / (1 + phi * mu)
    p = np.exp(-np.log1p(phi * mu) * size)
    total = p.copy()
    left = np.arange(len(mu))
    for k in range(1, _STEPS):
        p = p * (size + k - 1) / k * odds
        total = total + p
        more = total <= uniform[left]
        left, p, total, size, odds = left[more], p[more], total[more], size[more], odds[more]
        if not len(left):
            break
        counts[left] = k + 1
    return counts


def _csr(
    rows: np.ndarray, columns: np.ndarray, counts: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=shape[0]))])
    largest = np.iinfo(np.int32).max  # a draw of a very wide distribution may be beyond
    made = (
        np.minimum(counts, largest).astype(np.int32),
        columns.astype(np.int32),
        indptr.astype(np.int32),
    )
    return sparse.csr_array(made, shape=shape)
