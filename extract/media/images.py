"""Picture file -> pixels as the networks want them: bilinear and antialiased, exactly as PIL and torchvision resize."""

from __future__ import annotations

import errno
import functools
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from extract.runtime import inputs, limits

Image.MAX_IMAGE_PIXELS = None  # `decode` refuses more than limits.PIXELS in words; PIL would warn first
SIXTEEN_TO_EIGHT = 1 / 257
FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""PIL's names of formats that it decodes itself."""
END = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND\xaeB`\x82"}
"""What a whole file ends with. PIL takes zeros for pixels where a crash left a file's end unwritten."""
PASSING = {
    errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT, errno.EAGAIN, errno.EACCES, errno.EPERM,
}  # fmt: skip
"""Errors of disks, networks and rights, not of the picture: it may well be read next time."""


class UnreadablePicture(Exception):
    """The file is no whole picture; the text says why. `passing`: it is not the file's fault."""

    passing = False


def read(path: Path, size: int, colour: str) -> NDArray[np.uint8]:
    """A picture as uint8 [size, size, channels]: 3 for rgb and bgr, 1 for grey. Raises as `decode`."""
    return fit(decode(path, "L" if colour == "grey" else "RGB"), size, colour)


def fit(picture: Image.Image, size: int, colour: str) -> NDArray[np.uint8]:
    """A picture as a network takes it: uint8 [size, size, channels], as `read`."""
    if picture.mode != (mode := "L" if colour == "grey" else "RGB"):
        picture = picture.convert(mode)
    twice = (2 * picture.width, 2 * picture.height) == (size, size)
    if picture.size != (size, size) and not twice:
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    pixels = _double(np.asarray(picture)) if twice else np.asarray(picture)
    if colour == "grey":
        return pixels[:, :, None]
    return np.ascontiguousarray(pixels[:, :, ::-1]) if colour == "bgr" else pixels


def _double(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Twice the size (112 pixels to 224): along one axis at a time, rounded in between, as PIL does it."""
    import cv2

    return _double_rows(cv2.transpose(_double_rows(cv2.transpose(pixels))))


def _double_rows(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, ...] to [2 N, ...]: between neighbours a and b, (3 a + b) / 4 and (a + 3 b) / 4; halves are rounded up."""
    import cv2

    result = np.empty((2 * len(pixels), *pixels.shape[1:]), np.uint8)
    result[0], result[-1] = pixels[0], pixels[-1]
    for first, near, far in ((1, pixels[:-1], pixels[1:]), (2, pixels[1:], pixels[:-1])):
        cv2.addWeighted(near, 0.75, far, 0.25, 0.01, dst=result[first:-1:2])
    return result


def bgr(path: Path) -> NDArray[np.uint8]:
    """A picture as it is, upright: BGR [height, width, 3]. Raises UnreadablePicture as `decode`."""
    return np.ascontiguousarray(np.asarray(decode(path, "RGB"))[:, :, ::-1])


def decode(path: Path, mode: str) -> Image.Image:
    """A picture, upright, in PIL's mode "RGB" or "L": grey, palette, CMYK, 16-bit and transparent ones are converted.
    What it is tells its content, not its name; formats that would call other programs (PostScript) are none. Raises
    UnreadablePicture for a file that is truncated, empty, too large or no picture.
    """
    if why := inputs.odd_kind(path):
        raise UnreadablePicture(why)
    try:
        if (size := path.stat().st_size) > limits.PICTURE_BYTES:
            raise UnreadablePicture(f"has {size:,} bytes, expected at most {limits.PICTURE_BYTES:,}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        unreadable = UnreadablePicture(f"cannot be read ({getattr(error, 'strerror', None) or error})")
        unreadable.passing = getattr(error, "errno", None) in PASSING
        raise unreadable from error
    if not data:
        raise UnreadablePicture("the file is empty")
    try:
        with open_picture(BytesIO(data)) as result:
            picture = _eight_bit(ImageOps.exif_transpose(result) if "exif" in result.info else result)
            picture.load()
            picture = picture if picture.mode == mode else picture.convert(mode)  # which copies those of that mode
            end = END.get(result.format or "")
    except (MemoryError, UnreadablePicture):
        raise
    except UnidentifiedImageError as error:
        raise UnreadablePicture(f"no picture; it begins with {data[:12]!r}") from error
    except Exception as error:  # PIL raises many kinds (OSError, SyntaxError, struct.error, ...) for damaged files
        raise UnreadablePicture(f"damaged picture ({error})") from error
    if end and data[-1] == 0 and not data.rstrip(b"\0").endswith(end):
        raise UnreadablePicture("damaged picture (it ends in zeros: a crash cut it short)")
    return picture


def open_picture(source: Path | BytesIO) -> Image.Image:
    """A picture, its pixels not decoded yet. Raises UnreadablePicture for too many of them, and what PIL raises."""
    picture = Image.open(source, formats=_formats())
    if picture.width * picture.height > limits.PIXELS:
        picture.close()
        raise UnreadablePicture(
            f"{picture.width}x{picture.height} pixels, expected {limits.PIXELS:,} at most: scale it down"
        )
    return picture


@functools.cache
def _formats() -> list[str]:
    """What of FORMATS this version of PIL knows."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _eight_bit(picture: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits, which PIL would clip to white; a transparent palette resolved, or PIL warns."""
    if picture.mode.startswith("I"):
        return Image.fromarray(
            (np.asarray(picture).astype(np.float64) * SIXTEEN_TO_EIGHT).round().clip(0, 255).astype(np.uint8)
        )
    if picture.mode == "P" and "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture
