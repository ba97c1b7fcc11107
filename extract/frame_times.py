"""When each frame of a video is shown, from its packets alone: nothing is decoded."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from extract import streams

FALLBACK = Fraction(25)
"""Frames per second of a file that does not say."""


def of_file(path: Path, frames: int) -> tuple[Fraction, NDArray[np.float64]]:
    """The average rate (frames per second) and the times (seconds, float64 [frames], from 0, rising) of a video.

    The rate is that of the times where they are evenly spaced, else what the file states.
    Where the packets do not tell one time for each of the `frames` that were decoded (a file that breaks off, formats
    without times), frames are taken to follow at the stated rate.
    """
    import av

    rate, base = FALLBACK, Fraction(1)
    stamps: list[int] = []
    try:
        with streams.open_container(path) as container:
            if (stream := streams.film(container)) is None:
                raise ValueError("no picture stream")
            rate = Fraction(stream.average_rate or stream.guessed_rate or FALLBACK)
            base = Fraction(stream.time_base or 1)
            order: list[int] = []
            for packet in container.demux(stream):
                if packet.size and packet.pts is not None and not packet.is_discard:
                    stamps.append(packet.pts)
                    order.append(packet.pts if packet.dts is None else packet.dts)
            if container.format.name in streams.JOINED:
                stamps = streams.continued(stamps, order, base, rate)
    except (av.FFmpegError, OSError, ValueError):
        pass  # one that only OpenCV can read
    stamps.sort()
    if len(stamps) == frames and all(b > a for a, b in pairwise(stamps)):
        if len({b - a for a, b in pairwise(stamps)}) == 1:
            rate = 1 / ((stamps[1] - stamps[0]) * base)
        return rate, np.array([float((stamp - stamps[0]) * base) for stamp in stamps], np.float64)
    return rate, np.arange(frames) / float(rate)
