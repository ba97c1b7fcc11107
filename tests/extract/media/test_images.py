import numpy as np
import pytest
from PIL import Image

from extract.media import images


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
    ours = images.read(tmp_path / "a.png", size, "rgb").astype(float)
    assert ours.shape == (size, size, 3)
    # PIL rounds to 8 bits after each axis
    assert np.abs(ours - triangle_resize(noise, size)).max() <= 1.01


def test_colour_orders(tmp_path):
    image = gradient(16, 16)
    Image.fromarray(image).save(tmp_path / "a.png")
    np.testing.assert_array_equal(images.read(tmp_path / "a.png", 16, "rgb"), image)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png", 16, "bgr"), image[:, :, ::-1])
    grey = images.read(tmp_path / "a.png", 16, "grey")
    assert grey.shape == (16, 16, 1)
    np.testing.assert_allclose(grey[:, :, 0], image @ [0.299, 0.587, 0.114], atol=1)


def test_grey_cmyk_palette_transparent_and_16_bit_pictures_are_read(tmp_path):
    image = Image.fromarray(gradient(16, 16))
    grey = np.asarray(image.convert("L"))
    for mode, ending in (("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("RGBA", "png")):
        converted = image.quantize(256) if mode == "P" else image.convert(mode)
        converted.save(tmp_path / f"{mode}.{ending}", quality=98)
        read = images.read(tmp_path / f"{mode}.{ending}", 16, "rgb")
        assert np.abs(read @ [0.299, 0.587, 0.114] - grey).mean() < 6, mode
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(images.read(tmp_path / "deep.png", 16, "grey")[:, :, 0], grey)


def test_rotated_phone_pictures_come_upright(tmp_path):
    image = Image.fromarray(gradient(16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways: show turned by 90 degrees clockwise
    image.save(tmp_path / "a.jpg", quality=98, exif=exif)
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert np.abs(images.read(tmp_path / "a.jpg", 16, "rgb").astype(int) - upright).mean() < 4


DAMAGE = {
    "empty": (lambda whole: b"", "the file is empty"),
    "cut in the middle": (lambda whole: whole[: len(whole) // 2], "damaged picture"),
    "end marker missing": (lambda whole: whole[:-2], "damaged picture"),
    "text": (lambda whole: b"no picture", "no picture; it begins with b'no picture'"),
    "all zeros": (lambda whole: bytes(len(whole)), "no picture"),
    "zeros from the middle on": (lambda whole: whole[: len(whole) // 2].ljust(len(whole), b"\0"), "damaged picture"),
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_damaged_jpegs_are_unreadable_with_a_reason(tmp_path, damage):
    path = tmp_path / "a.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path, quality=95)
    damaged, text = DAMAGE[damage]
    path.write_bytes(damaged(path.read_bytes()))
    with pytest.raises(images.UnreadablePicture, match=text):
        images.read(path, 32, "rgb")


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_a_picture_whose_end_was_never_written_is_unreadable(tmp_path, format):
    path = tmp_path / "a.jpg"
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)).resize((112, 112))
    smooth.save(path, format)
    whole = path.read_bytes()
    for part in (0.5, 0.9, 0.99):  # PIL itself takes some of these for whole pictures
        path.write_bytes(whole[: int(part * len(whole))].ljust(len(whole), b"\0"))
        with pytest.raises(images.UnreadablePicture, match="damaged picture"):
            images.read(path, 32, "rgb")
    path.write_bytes(whole + bytes(100))
    assert images.read(path, 64, "rgb").shape == (64, 64, 3), "padding behind a whole picture does no harm"


def test_a_picture_is_what_its_content_says_whatever_its_name(tmp_path):
    image = gradient(16, 16)
    for format in ("PNG", "BMP", "TIFF", "GIF", "WEBP"):
        Image.fromarray(image).save(tmp_path / "a.jpg", format, **({"lossless": True} if format == "WEBP" else {}))
        read = images.read(tmp_path / "a.jpg", 16, "rgb")
        assert np.abs(read.astype(int) - image).mean() < (6 if format == "GIF" else 0.01), format


def test_transparent_palettes_give_their_colours_without_a_warning(tmp_path):
    palette = Image.fromarray(gradient(16, 16)).quantize(64)
    palette.save(tmp_path / "a.png", transparency=bytes(range(64)))
    np.testing.assert_array_equal(images.read(tmp_path / "a.png", 16, "rgb"), np.asarray(palette.convert("RGB")))


def test_what_cannot_be_opened_says_why(tmp_path):
    with pytest.raises(images.UnreadablePicture, match=r"cannot be read \(No such file"):
        images.read(tmp_path / "gone.jpg", 16, "rgb")
    with pytest.raises(images.UnreadablePicture, match=r"^a folder"):
        images.read(tmp_path, 16, "rgb")


def test_too_little_memory_is_no_fault_of_the_picture(tmp_path, monkeypatch):
    Image.fromarray(gradient(16, 16)).save(tmp_path / "a.png")

    def too_little(*_):
        raise MemoryError

    monkeypatch.setattr(images.ImageOps, "exif_transpose", too_little)
    monkeypatch.setattr(images, "_eight_bit", too_little)
    with pytest.raises(MemoryError):
        images.read(tmp_path / "a.png", 16, "rgb")


def test_a_picture_that_is_a_program_is_none(tmp_path, monkeypatch):
    import PIL.EpsImagePlugin

    monkeypatch.setattr(PIL.EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("it would be run"))
    (tmp_path / "00001.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 moveto\n%%EOF\n"
    )
    with pytest.raises(images.UnreadablePicture, match="no picture; it begins with b'%!PS"):
        images.read(tmp_path / "00001.jpg", 8, "rgb")


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("edge", [1, 2, 3, 56, 112, 113])
def test_twice_the_size_is_what_pil_makes_of_it_to_the_byte(edge, mode):
    values = np.random.default_rng(edge).integers(0, 256, (edge, edge, 3)[: 2 + (mode == "RGB")], np.uint8)
    picture = Image.fromarray(values)
    expected = np.asarray(picture.resize((2 * edge, 2 * edge), Image.Resampling.BILINEAR))
    fitted = images.fit(picture, 2 * edge, "rgb" if mode == "RGB" else "grey")
    np.testing.assert_array_equal(fitted.reshape(expected.shape), expected)


def test_twice_the_size_holds_for_all_pairs_of_bytes():
    pairs = np.stack(np.mgrid[:256, :256]).astype(np.uint8)
    twice = np.asarray(Image.fromarray(pairs.reshape(2, -1)).resize((2**16, 4), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(images._double_rows(pairs).reshape(4, -1), twice)
