"""Small video files whose sound and frame times are known, for tests and the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
TICK = Fraction(1, 120_000)
"""Divides every usual frame rate."""


def make_clicks(times: Sequence[float], seconds: float, rate: int = RATE, length: float = 0.004) -> NDArray[np.float32]:
    """Silence with a short 3 kHz burst centred on each of the times: float32 [samples]."""
    samples = np.zeros(round(seconds * rate), np.float32)
    for time in times:
        near = np.arange(
            max(0, round((time - length / 2) * rate)), min(round((time + length / 2) * rate) + 1, len(samples))
        )
        samples[near] = 0.9 * np.sin(2 * np.pi * 3000 * near / rate)
    return samples


def write_video(
    path: Path,
    times: Sequence[float] | Sequence[Fraction],
    samples: NDArray[np.float32] | None,
    *,
    codec: str = "libx264",
    sound: str = "aac",
    size: int = 16,
    begins: float = 0.0,
    rate: int = RATE,
    fps: Fraction | None = None,
) -> Path:
    """A video with a picture at each of the times and mono sound that begins at `begins` seconds.

    `fps`: the rate that the stream is said to have; its ticks are then one a frame.
    """
    import av

    with av.open(str(path), "w") as container:
        pictures: Any = container.add_stream(codec, rate=fps or 30)
        pictures.width = pictures.height = size
        pictures.pix_fmt = "yuv420p"
        tick = 1 / fps if fps else TICK
        pictures.codec_context.time_base = tick
        heard = None
        if samples is not None:
            heard = container.add_stream(sound, rate=rate, layout="mono")
            add_sound(container, heard, samples, begins, rate)
        blank = np.zeros((size, size, 3), np.uint8)
        for time in times:
            frame = av.VideoFrame.from_ndarray(blank, format="rgb24")
            frame.pts, frame.time_base = round(Fraction(time) / tick), tick
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
    return path


def add_sound(container: Any, stream: Any, samples: NDArray[np.float32], begins: float, rate: int) -> None:
    """Write samples into a stream of an open container, from `begins` seconds on."""
    import av

    step = 1024
    for start in range(0, len(samples), step):
        part = samples[start : start + step]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = round(begins * rate) + start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
