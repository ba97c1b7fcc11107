import numpy as np
import pytest
from PIL import Image

from extract import pictures


def gradient(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 / width, y * 255 / height, (x + y) * 127 / (width + height)], -1).astype(np.uint8)


def triangle_resize(image: np.ndarray, size: int) -> np.ndarray:
    """Bilinear with antialiasing by its definition: a triangle as wide as the scale, one axis a time."""
    image = image.astype(np.float64)
    for axis in (1, 0):
        length = image.shape[axis]
        scale = length / size
        reach = max(scale, 1.0)
        centres = (np.arange(size) + 0.5) * scale
        weights = np.clip(1 - np.abs((np.arange(length)[None] + 0.5 - centres[:, None]) / reach), 0, None)
        weights /= weights.sum(1, keepdims=True)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
    return image


@pytest.mark.parametrize("size", [32, 64, 224])
def test_resizing_is_bilinear_with_antialiasing(tmp_path, size):
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    ours = pictures.read(tmp_path / "a.png", size, "rgb").astype(float)
    assert ours.shape == (size, size, 3)
    # PIL rounds to 8 bits after each axis
    assert np.abs(ours - triangle_resize(noise, size)).max() <= 1.01


def test_colour_orders(tmp_path):
    image = gradient(16, 16)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.png", 16, "rgb"), image)
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.png", 16, "bgr"), image[:, :, ::-1])
    grey = pictures.read(tmp_path / "a.png", 16, "grey")
    assert grey.shape == (16, 16, 1)
    np.testing.assert_allclose(grey[:, :, 0], image @ [0.299, 0.587, 0.114], atol=1)


def test_grey_cmyk_palette_transparent_and_16_bit_pictures_are_read(tmp_path):
    image = Image.fromarray(gradient(16, 16))
    grey = np.asarray(image.convert("L"))
    for mode, ending in (("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("RGBA", "png")):
        converted = image.quantize(256) if mode == "P" else image.convert(mode)
        converted.save(tmp_path / f"{mode}.{ending}", quality=98)
        read = pictures.read(tmp_path / f"{mode}.{ending}", 16, "rgb")
        assert np.abs(read @ [0.299, 0.587, 0.114] - grey).mean() < 6, mode
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(pictures.read(tmp_path / "deep.png", 16, "grey")[:, :, 0], grey)


def test_rotated_phone_pictures_come_upright(tmp_path):
    image = Image.fromarray(gradient(16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: show turned by 90 degrees clockwise
    image.save(tmp_path / "a.jpg", quality=98, exif=exif)
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(pictures.read(tmp_path / "a.jpg", 16, "rgb").astype(int) - upright).mean() < 4


@pytest.mark.parametrize("damage", ["empty", "truncated", "text"])
def test_damaged_pictures_are_unreadable_with_a_reason(tmp_path, damage):
    path = tmp_path / "a.jpg"
    Image.fromarray(gradient(64, 64)).save(path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "truncated": whole[: len(whole) // 2], "text": b"no picture"}[damage])
    with pytest.raises(pictures.UnreadablePicture, match=r"\w+: .+"):
        pictures.read(path, 32, "rgb")
