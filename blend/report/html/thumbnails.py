"""Thumbnails of faces for the timeline: one strip of small pictures per video, where the corpus has its frames."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from blend.pool.pool import Pool
from extract.config import Corpus
from extract.media import images, picture_sets
from extract.media.frames import VideoFolder
from extract.runtime import inputs
from extract.runtime.errors import InputError

SIDE = 48
"""Pixels of a thumbnail."""
QUALITY = 55
BUDGET = 900_000
"""Bytes of all strips together; a thumbnail has about PER_FACE."""
PER_FACE = 1_100
MAX_THUMBNAILS, MIN_THUMBNAILS = 24, 4
"""Thumbnails of a video."""


@dataclass(frozen=True)
class Faces:
    """Of each video of a pool: the frames that are shown, and their strip as a base64 JPEG ("" for none)."""

    frames: tuple[tuple[int, ...], ...]
    strips: tuple[str, ...]


def make(pool: Pool, corpus: Corpus) -> Faces | None:
    """Evenly spaced frames of every video; None where the corpus has no frames. What cannot be read is left out: the
    pictures are there to look at, and nothing follows from them.
    """
    try:
        folders = picture_sets.list_corpus(corpus)
    except InputError:
        return None
    count = int(np.clip(BUDGET // (PER_FACE * max(len(pool.videos), 1)), MIN_THUMBNAILS, MAX_THUMBNAILS))
    results = [_strip(folders[video], count) if video in folders else ((), "") for video in pool.videos]
    if not any(strip for _, strip in results):
        return None
    return Faces(*zip(*results, strict=True))


def _strip(video: VideoFolder, count: int) -> tuple[tuple[int, ...], str]:
    """(frame numbers, base64 JPEG of them side by side) of one video's folder."""
    try:
        listed = video.list_frames()
    except InputError:
        return (), ""
    most = len(listed.names) - 1
    picked = np.unique(np.linspace(0, most, count).round().astype(int)).tolist() if listed.names else []
    shown, numbers = [], []
    for i in picked:
        try:
            with images.open_picture(inputs.require_file(video.folder / listed.names[i])) as picture:
                picture.draft("RGB", (2 * SIDE, 2 * SIDE))
                shown.append(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0))
                numbers.append(int(listed.numbers[i]))
        except (OSError, ValueError, UnidentifiedImageError, InputError, images.UnreadablePicture):
            continue
    if not shown:
        return (), ""
    strip = Image.new("RGB", (SIDE * len(shown), SIDE))
    for i, small in enumerate(shown):
        strip.paste(small, (SIDE * i, 0))
    with io.BytesIO() as out:
        strip.save(out, "JPEG", quality=QUALITY, optimize=True)
        return tuple(numbers), base64.b64encode(out.getvalue()).decode("ascii")
