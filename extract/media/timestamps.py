"""When each frame of a video file is shown, on the clock on which its sound has its own, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extract.media import streams
from extract.media.sound import BACK

FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""FFmpeg's names of containers in which a packet is a whole picture and states its time."""
CODECS = ("h264", "hevc")
"""Codecs of which every such packet behind a clean beginning is shown: others have pictures that are not."""
FIELD_ORDERS = (2, 3, 4, 5)
"""FFmpeg's numbers for pictures of two fields, which may be a packet each."""
LOOKED_AT = 50
"""Pictures at the beginning that are decoded although packets are trusted, to see whether they agree."""
MAX_REORDERING = 20
"""Pictures by which a clock may run back without having begun anew, where they are longer than BACK."""


def picture_times(path: Path) -> NDArray[np.float64]:
    """Seconds of every picture of a video file, rising; empty where there are none. Decodes where packets may mislead.
    A picture's number is its place in what the decoder gives, which is the order of the times; where the clock begins
    anew, it is continued at the usual rate.
    """
    import av

    try:
        with streams.open_container(path) as container:
            if (stream := streams.film(container)) is None:
                return np.empty(0)
            times = read_stated_times(container, stream)
        if times is not None:
            first = decode_times(path, LOOKED_AT)
            if len(first) == min(len(times), LOOKED_AT) and np.allclose(first, times[: len(first)], rtol=0, atol=1e-6):
                return times
        return decode_times(path)
    except (av.FFmpegError, OSError, ValueError):
        return np.empty(0)


def read_stated_times(container: Any, stream: Any) -> NDArray[np.float64] | None:
    """The times that the packets state; None where the decoder may give other pictures than there are packets."""
    import av

    if container.format.name not in FORMATS or streams.codec(stream) not in CODECS:
        return None
    if getattr(stream.codec_context, "field_order", FIELD_ORDERS[0]) in FIELD_ORDERS:  # older PyAV does not tell
        return None
    stamps: list[int] = []
    try:
        for packet in container.demux(stream):
            if not packet.size and packet.pts is None:  # the end
                continue
            whole = packet.size and not packet.is_discard and not packet.is_corrupt and packet.pts is not None
            # a stream cut out of a longer one begins with pictures that lack what they were predicted from
            if not whole or (packet.pts < stamps[0] if stamps else not packet.is_keyframe):
                return None
            stamps.append(packet.pts)
    except (av.FFmpegError, OSError):  # it breaks off
        return None
    if len(set(stamps)) < len(stamps):
        return None
    return np.asarray(np.sort(np.array(stamps, np.int64)) * float(stream.time_base), np.float64)


def decode_times(path: Path, limit: int | None = None) -> NDArray[np.float64]:
    """The times that the decoder gives, of the first `limit` pictures; those without one follow at the usual rate."""
    with streams.open_container(path) as container:
        if (stream := streams.film(container)) is None or not streams.codec(stream):
            return np.empty(0)
        stream.thread_type = "AUTO"
        step = 1 / float(stream.average_rate or 25)
        times: list[float] = []
        shift, latest = 0.0, -np.inf
        for time in islice(_decoded(container, stream), limit):
            now = time + shift if time is not None else times[-1] + step if times else 0.0
            if now < latest - max(BACK, MAX_REORDERING * step):
                shift, now = shift + latest + step - now, latest + step
            latest = max(latest, now)
            times.append(now)
    return np.sort(np.array(times, np.float64))  # some files have the right times in the wrong order


def _decoded(container: Any, stream: Any) -> Iterator[float | None]:
    """Seconds of each picture, None where it has no time; what cannot be decoded is passed over."""
    import av

    packets, held = container.demux(stream), []
    while True:
        try:
            if (packet := next(packets, None)) is None:
                return
        except (av.FFmpegError, OSError):
            continue  # where reading itself fails, there are no packets behind
        if packet.is_corrupt:  # as extract.media.video, which numbers the pictures: the last one is not whole
            held.append(packet)
            continue
        for each in [*held, packet] if packet.size else [packet]:
            with suppress(av.FFmpegError, OSError):
                for frame in each.decode():
                    yield frame.time if frame.time_base else None
        held = []


FALLBACK = Fraction(25)
"""Frames per second of a file that does not say."""


def read_frame_times(path: Path, frames: int) -> tuple[Fraction, NDArray[np.float64]]:
    """The average rate (frames per second) and the times (seconds, float64 [frames], from 0, rising) of a video.

    The rate is that of the times where they are evenly spaced, else what the file states. Where the packets do not tell
    a time for each of the `frames` that were decoded, frames are taken to follow at the stated rate.
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
            if container.format.name in streams.CONCATENATED_FORMATS:
                stamps = streams.continue_clock(stamps, order, base, rate)
    except (av.FFmpegError, OSError, ValueError):
        pass  # one that only OpenCV can read
    stamps.sort()
    if len(stamps) == frames and all(b > a for a, b in pairwise(stamps)):
        if len({b - a for a, b in pairwise(stamps)}) == 1:
            rate = 1 / ((stamps[1] - stamps[0]) * base)
        return rate, np.array([float((stamp - stamps[0]) * base) for stamp in stamps], np.float64)
    return rate, np.arange(frames) / float(rate)
