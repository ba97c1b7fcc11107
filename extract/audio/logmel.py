"""Log-mel features of a sound, one vector a frame, centred on the frame's own time. No weights.

Spectra of 25 ms windows (Hann) every 10 ms; their power in 64 bands that are equally wide on the mel scale
(m = 2595 log10(1 + f / 700), O'Shaughnessy 1987); ln(1 + power / floor), so that silence is exactly 0. A frame has the
mean of the windows next to it, the mean over a second around it, and how the quarter second behind it differs from the
quarter before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
HOP = 160
WINDOW = 400
FFT = 512
BANDS = 64
LOW, HIGH = 50.0, 7600.0
"""Hz."""
FLOOR = 1e-8
"""The power, of that of a full-scale sine, at which a band begins to count: -80 dB."""
NEAR, AROUND, SIDE = 0.025, 0.5, 0.25
"""Seconds on each side of a frame: of the mean next to it, of the wide mean, of the difference."""
WIDTH = 3 * BANDS
CHUNK = 2048
"""Windows that are transformed at a time."""
SETTINGS = {
    "rate": RATE, "hop": HOP, "window": WINDOW, "fft": FFT, "bands": BANDS, "range": [LOW, HIGH], "floor": FLOOR,
    "seconds": [NEAR, AROUND, SIDE], "version": 1,
}  # fmt: skip
"""What decides the features."""
Windows = tuple[int, NDArray[np.float32]]
"""The number of the first window, and the log-mels [n, BANDS] of it and those that follow."""


def mel_filters(
    rate: int, fft: int, bands: int, low: float, high: float, *, on_mel: bool = False
) -> NDArray[np.float32]:
    """Triangles of equal width on the mel scale, peak 1, sides straight in Hz or (`on_mel`) in mel: [bins, bands]."""
    edges = np.linspace(_mel(low), _mel(high), bands + 2)
    bins = np.arange(fft // 2 + 1) * rate / fft
    if on_mel:
        bins = np.asarray(_mel(bins))
    else:
        edges = 700 * (10 ** (edges / 2595) - 1)
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hertz: float | NDArray[np.float64]) -> Any:
    return 2595 * np.log10(1 + hertz / 700)


class Hops:
    """Samples on the grid -> log-mels of windows centred on every HOP-th. Blocks come in order; gaps are silence."""

    def __init__(self) -> None:
        from scipy.sparse import csr_array

        self._hann = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
        # sparse: two bands a bin, and no threads of a linear algebra library for so little
        self._filters = csr_array(mel_filters(RATE, FFT, BANDS, LOW, HIGH).T)
        self._scale = np.float32(1 / (FLOOR * (self._hann.sum() / 2) ** 2))
        self._start = 0
        """The grid's place of the first sample that is kept."""
        self._kept: NDArray[np.float32] | None = None
        self.next = 0
        """The number of the next window; it is centred on sample HOP * next."""

    def feed(self, start: int, samples: NDArray[np.float32]) -> Iterator[Windows]:
        """Take a block; gives the windows that are complete now, following on one another, some at a time."""
        if self._kept is None:
            self.next = -(-(start - WINDOW // 2) // HOP)  # the first window that reaches into the sound
            self._start = HOP * self.next - WINDOW // 2
            self._kept = np.empty(0, np.float32)
        while (gap := start - self._start - len(self._kept)) > 0:  # silence, some at a time
            yield from self._take(np.zeros(min(gap, CHUNK * HOP), np.float32))
        yield from self._take(samples)

    def finish(self) -> Iterator[Windows]:
        """The windows that reach beyond the end."""
        if self._kept is not None:
            yield from self._take(np.zeros(WINDOW, np.float32))

    def _take(self, samples: NDArray[np.float32]) -> Iterator[Windows]:
        assert self._kept is not None
        samples = np.concatenate([self._kept, samples])
        count, first = max(0, (len(samples) - WINDOW) // HOP + 1), self.next
        self._kept = samples[count * HOP :].copy()
        self._start += count * HOP
        self.next += count
        if count:
            windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[: count * HOP : HOP]
            for at in range(0, count, CHUNK):
                yield first + at, self._log_mel(windows[at : at + CHUNK])

    def _log_mel(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        spectra = np.fft.rfft(windows * self._hann, FFT)
        power = (spectra.real**2 + spectra.imag**2).astype(np.float32)
        return np.ascontiguousarray(np.log1p((self._filters @ power.T).T * self._scale), np.float32)


class FrameVectors:
    """Log-mels of the windows in order -> float16 [F, WIDTH], a vector for each frame of rising `times` (seconds)."""

    def __init__(self, times: NDArray[np.float64]) -> None:
        self.out = np.zeros((len(times), WIDTH), np.float16)
        self._times = times
        self._done = 0
        self._first = 0
        """The number of the first window that is kept."""
        self._kept = np.empty((0, BANDS), np.float32)

    def feed(self, first: int, windows: NDArray[np.float32]) -> None:
        """Take the windows from number `first` on: those that follow on the ones before."""
        if not len(self._kept):
            self._first = first
        self._kept = np.concatenate([self._kept, windows])
        end = self._first + len(self._kept)
        ready = int(np.searchsorted(self._times, end * HOP / RATE - AROUND - HOP / RATE, side="right"))
        self._make(ready)
        if self._done < len(self._times):
            needed = int(np.floor((self._times[self._done] - AROUND) * RATE / HOP)) - 1
            drop = min(max(0, needed - self._first), len(self._kept))
            self._kept, self._first = self._kept[drop:].copy(), self._first + drop
        else:
            self._kept, self._first = self._kept[:0], end

    def finish(self) -> NDArray[np.float16]:
        """The vectors, the last ones with silence behind the end."""
        self._make(len(self._times))
        return self.out

    def _make(self, end: int) -> None:
        """Vectors of the frames up to number `end`; where there is no window, there is silence."""
        if end <= self._done:
            return
        centre = self._times[self._done : end] * RATE / HOP
        sums = np.zeros((len(self._kept) + 1, BANDS), np.float64)
        np.cumsum(self._kept, axis=0, out=sums[1:])

        def until(at: NDArray[np.float64]) -> NDArray[np.float64]:
            """The sum up to a place between windows, each of which reaches half a hop to both sides of its number."""
            place = np.clip(at + 0.5 - self._first, 0, len(self._kept))
            whole = np.minimum(place.astype(np.int64), max(len(self._kept) - 1, 0))
            if not len(self._kept):
                return sums[whole]
            return np.asarray(sums[whole] + (place - whole)[:, None] * self._kept[whole])

        def mean(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.float64]:
            return (until(high) - until(low)) / (high - low)[:, None]

        near, around, side = (seconds * RATE / HOP for seconds in (NEAR, AROUND, SIDE))
        vectors = (
            mean(centre - near, centre + near),
            mean(centre - around, centre + around),
            mean(centre, centre + side) - mean(centre - side, centre),
        )
        self.out[self._done : end] = np.concatenate(vectors, axis=1)
        self._done = end
