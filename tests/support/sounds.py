"""Sounds and sound files of tests."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from extract.media.synthetic import RATE, add_sound


def tone(hertz: float, seconds: float, level: float = 0.5, rate: int = RATE) -> NDArray[np.float32]:
    """A sine: float32 [samples]."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_sound(path: Path, samples: NDArray[np.float32], codec: str = "pcm_s16le", rate: int = RATE) -> Path:
    """A mono sound file."""
    with av.open(str(path), "w") as container:
        add_sound(container, container.add_stream(codec, rate=rate, layout="mono"), samples, 0.0, rate)
    return path
