"""Picture file -> pixels as the networks want them: bilinear and antialiased, exactly as PIL and torchvision resize."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SIXTEEN_TO_EIGHT = 1 / 257


class UnreadablePicture(Exception):
    """The file is no whole picture; the text says why."""


def read(path: Path, size: int, colour: str) -> NDArray[np.uint8]:
    """Decode and resize one picture to uint8 [size, size, channels]: 3 channels for rgb and bgr, 1 for grey.

    Grey, palette, CMYK, 16-bit and transparent pictures are converted; EXIF rotation is applied.
    Raises UnreadablePicture for a file that is truncated, empty or no picture.
    """
    try:
        with Image.open(path) as opened:
            picture = _eight_bit(ImageOps.exif_transpose(opened) if "exif" in opened.info else opened)
            picture = picture.convert("L" if colour == "grey" else "RGB")
    except Exception as error:  # PIL raises many kinds (OSError, SyntaxError, struct.error, ...) for damaged files
        raise UnreadablePicture(f"{type(error).__name__}: {error}") from error
    if picture.size != (size, size):
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    if colour == "grey":
        return pixels[:, :, None]
    return np.ascontiguousarray(pixels[:, :, ::-1]) if colour == "bgr" else pixels


def _eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits: PIL's own conversion would clip everything above 255 to white."""
    if picture.mode.startswith("I"):
        return Image.fromarray(
            (np.asarray(picture).astype(np.float64) * SIXTEEN_TO_EIGHT).round().clip(0, 255).astype(np.uint8)
        )
    return picture
