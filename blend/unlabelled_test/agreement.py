"""How well two sets of scores of the same frames agree: by output, by video, and when one of them is moved in time.

Agreement is Pearson's correlation. Sums are kept by group of videos, so that draws of the groups cost next to nothing.
Frames that hold no prediction of their own (filled ones) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from blend.pool.pool import Pool

LAGS = np.arange(-15, 16)
"""Frames by which one set of scores is moved against the other."""
CAP = 0.995
"""Correlations beyond are taken for it in Fisher's z, which has no end."""


@dataclass(frozen=True)
class Agreement:
    """Sums of scores x and of a reference y over frames, by group of videos [G], both of mean 0 and variance 1."""

    count: NDArray[np.int64]
    """[G] frames."""
    sums: NDArray[np.float64]
    """[G, 4, C]: of x, y, x^2 and y^2."""
    products: NDArray[np.float64]
    """[G, C, C]: of x in one output times y in another."""
    lag_products: NDArray[np.float64]
    """[G, 3, lags]: within videos, all outputs together: of x times y so many frames earlier, and of their squares."""
    videos: NDArray[np.float64]
    """[V, 3, C]: of x^2, y^2 and x y in each video."""
    within: NDArray[np.float64]
    """[V, 3, C]: the same of scores less their mean in the video."""
    frames: NDArray[np.int64]
    """[V] frames that are compared."""
    variance: NDArray[np.float64]
    """[C] of x as it was given: what an output weighs where all of them are taken together."""

    def outputs(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Correlations of each output of x with each of y, [C, C], or [D, C, C] for D draws of the groups [D, G]."""
        drawn = np.ones(len(self.count)) if weights is None else weights
        n = np.maximum(drawn @ self.count, 1)[..., None]
        mean_x, mean_y, square_x, square_y = np.moveaxis(np.tensordot(drawn, self.sums, 1), -2, 0) / n
        products = np.tensordot(drawn, self.products, 1) / n[..., None]
        spread_x, spread_y = _root(square_x - mean_x**2), _root(square_y - mean_y**2)
        covariance = products - mean_x[..., :, None] * mean_y[..., None, :]
        return _ratio(covariance, spread_x[..., :, None] * spread_y[..., None, :])

    def lags(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Correlation within videos at each of LAGS, [L], or [D, L]; highest at +5 where x comes 5 frames late."""
        drawn = np.ones(len(self.count)) if weights is None else weights
        products, own_x, own_y = np.moveaxis(np.tensordot(drawn, self.lag_products, 1), -2, 0)
        return _ratio(products, _root(own_x) * _root(own_y))

    def cosines(self) -> NDArray[np.float64]:
        """Correlation about the mean of the set, of all outputs together, in each video, [V]; 0 where x or y is 0."""
        return _cosines(self.videos @ self.variance)

    def inside(self) -> NDArray[np.float64]:
        """The same about the mean of each video: whether x and y rise and fall together in it, [V]."""
        return _cosines(self.within @ self.variance)

    def residuals(self) -> NDArray[np.float64]:
        """How far x is from what y lets expect of it in each video, [V]: the mean square over the whole set's."""
        slope, frames = self.slope(), np.maximum(self.frames, 1)
        square_x, square_y, products = np.moveaxis(self.videos, 1, 0)
        off = (square_x - 2 * slope * products + slope**2 * square_y) @ self.variance
        own = np.maximum(off, 0) / frames  # rounding may carry it below
        return own / max(float(own @ frames) / frames.sum(), 1e-9)

    def slope(self) -> NDArray[np.float64]:
        """[C] of the line that expects each output of x from the same output of y."""
        _, square_y, products = self.videos.sum(0)
        return _ratio(products, square_y)

    def draws(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """How often each group is in each of `count` draws of as many groups, [count, G]."""
        groups = len(self.count)
        return rng.multinomial(groups, np.full(groups, 1 / groups), count).astype(np.float64)


def agreement(
    x: NDArray[np.floating], y: NDArray[np.floating], pool: Pool, rows: NDArray[np.bool_] | None = None
) -> Agreement:
    """Compare x with y, both [T, C] on the pool's timeline, over the frames in `rows` [T] (default: `pool.present`)."""
    rows = pool.present if rows is None else rows
    variance = x[rows].var(0, dtype=np.float64) if rows.any() else np.zeros(x.shape[1])
    x, y = standardise(x, rows), standardise(y, rows)
    of = pool.groups
    groups, channels = int(of.max()) + 1, x.shape[1]
    count = np.zeros(groups, np.int64)
    sums, products = np.zeros((groups, 4, channels)), np.zeros((groups, channels, channels))
    moved = np.zeros((groups, 3, len(LAGS)))
    videos, within = np.zeros((2, len(of), 3, channels))
    frames = np.zeros(len(of), np.int64)
    for v, g in enumerate(of):
        here = slice(pool.offsets[v], pool.offsets[v + 1])
        a, b, own = x[here], y[here], rows[here]
        frames[v] = own.sum()
        count[g] += frames[v]
        sums[g] += [a.sum(0), b.sum(0), (a * a).sum(0), (b * b).sum(0)]
        products[g] += a.T @ b
        moved[g] += _moved(a, b, own)
        videos[v] = [(a * a).sum(0), (b * b).sum(0), (a * b).sum(0)]
        mean_a, mean_b = (item.sum(0) / max(frames[v], 1) for item in (a, b))
        within[v] = videos[v] - frames[v] * np.stack([mean_a * mean_a, mean_b * mean_b, mean_a * mean_b])
    return Agreement(count, sums, products, moved, videos, within, frames, variance)


def standardise(x: NDArray[np.floating], rows: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean 0 and variance 1 over `rows` in each output; 0 elsewhere, and where there is no spread."""
    out = np.zeros(x.shape, np.float32)
    if not rows.any():
        return out
    values = x[rows].astype(np.float32)
    values -= values.mean(0, dtype=np.float64).astype(np.float32)
    spread = np.sqrt(np.square(values).mean(0, dtype=np.float64))
    values *= np.divide(1, spread, out=np.zeros(len(spread)), where=spread > 1e-7).astype(np.float32)
    out[rows] = values
    return out


def fisher(r: NDArray[np.floating]) -> NDArray[np.floating]:
    """Fisher's z, of correlations cut off at CAP."""
    return np.arctanh(np.clip(r, -CAP, CAP))


def _moved(a: NDArray[np.float32], b: NDArray[np.float32], own: NDArray[np.bool_]) -> NDArray[np.float64]:
    """One video's part of `Agreement.lag_products`, [3, lags]: scores centred here, means over the pairs of frames that
    both hold a prediction of their own, times the number of frames.
    """
    n, frames = len(a), int(own.sum())
    out = np.zeros((3, len(LAGS)))
    if frames <= 2 * LAGS.max():
        return out
    a, b = (np.where(own[:, None], item - item[own].mean(0), np.float32(0)).astype(np.float32) for item in (a, b))
    mask, square_a, square_b = own.astype(np.float32), (a * a).sum(1), (b * b).sum(1)
    for i, k in enumerate(LAGS):
        late, early = slice(max(k, 0), n + min(k, 0)), slice(max(-k, 0), n - max(k, 0))
        sums = np.vdot(a[late], b[early]), np.vdot(square_a[late], mask[early]), np.vdot(mask[late], square_b[early])
        out[:, i] = np.array(sums, np.float64) * frames / max(float(np.vdot(mask[late], mask[early])), 1.0)
    return out


def _cosines(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """[V, 3] sums of x^2, y^2 and x y -> [V]."""
    square_x, square_y, products = sums.T
    return _ratio(products, _root(square_x) * _root(square_y))


def _root(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.maximum(x, 0))


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """a / b, 0 where b is."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=b > 1e-9)
