"""The letters drawn on videos: Pillow's own typeface, so that pictures are alike on every machine."""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def font(size: int) -> Any:
    """Pillow's built-in font at `size` pixels."""
    from PIL import ImageFont

    return ImageFont.load_default(size)
