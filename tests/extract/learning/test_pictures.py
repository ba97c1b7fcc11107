import numpy as np
import pytest
from PIL import Image

from extract.learning import pictures
from extract.learning.pictures import LabelledPictures, Unreadable
from extract.networks.registry import NETWORKS

NETWORK = NETWORKS["demo_enet"]


@pytest.fixture
def data(tmp_path):
    names, video = [], []
    rng = np.random.default_rng(0)
    for v, count in enumerate((700, 20, 300)):
        (tmp_path / str(v)).mkdir()
        names += [f"{i:05d}.png" for i in range(count)]
        video += [v] * count
    for v in range(3):
        for i in range(20):
            Image.fromarray(rng.integers(0, 256, (112, 112, 3), np.uint8)).save(tmp_path / str(v) / f"{i:05d}.png")
    folders = tuple(tmp_path / str(v) for v in range(3))
    return LabelledPictures(folders, np.array(video, np.int32), tuple(names), np.arange(1020) % 8)


def test_an_epoch_sees_every_row_once_in_an_order_of_its_own(data):
    orders = [pictures.draw_order(data, seed, epoch, 400) for seed in (0, 1) for epoch in (0, 1)]
    for rows in orders:
        np.testing.assert_array_equal(np.sort(rows), np.arange(1020))
    assert len({rows.tobytes() for rows in orders}) == 4
    np.testing.assert_array_equal(orders[0], pictures.draw_order(data, 0, 0, 400))
    assert len(np.unique(data.video[orders[0][:64]])) == 3, "a batch has pictures of several videos"
    for buffer in (1, 5000):
        np.testing.assert_array_equal(np.sort(pictures.draw_order(data, 0, 0, buffer)), np.arange(1020))


def test_about_half_is_mirrored_and_the_next_epoch_mirrors_others(data):
    first, second = (pictures.draw_flips(data, 0, epoch) for epoch in (0, 1))
    assert 0.4 < first.mean() < 0.6 and (first != second).any()


def test_pixels_are_normalised_as_the_engine_does_and_mirrored_where_asked(data):
    rows, flips = np.array([3, 705, 1]), np.zeros(1020, bool)
    flips[705] = True
    [(values, chosen)] = pictures.read_batches(data, rows, 8, NETWORK, Unreadable(), flips)
    np.testing.assert_array_equal(chosen, rows)
    for value, row in zip(values, rows, strict=True):
        pixels = np.asarray(Image.open(data.path(row))).astype(np.float64) / 255
        expected = ((pixels - NETWORK.mean) / NETWORK.std).transpose(2, 0, 1)
        np.testing.assert_allclose(value, expected[:, :, ::-1] if flips[row] else expected, atol=1e-5)


def test_what_cannot_be_read_is_left_out_and_named(data):
    data.path(2).write_bytes(b"no picture")
    unreadable = Unreadable()
    found = [*pictures.read_batches(data, np.arange(6), 3, NETWORK, unreadable)]
    assert [chosen.tolist() for _, chosen in found] == [[0, 1], [3, 4, 5]]
    assert [*unreadable.reasons] == [str(data.path(2))] and "no picture" in unreadable.reasons[str(data.path(2))]


def test_the_mark_tells_other_labels_and_other_pictures(data):
    others = [
        LabelledPictures(data.folders, data.video, data.names, (data.truth + 1) % 8),
        LabelledPictures(data.folders, data.video, ("x.png", *data.names[1:]), data.truth),
    ]
    assert len({data.mark(), *(other.mark() for other in others)}) == 3


def test_the_mark_tells_pictures_enlarged_under_the_same_names(data, tmp_path):
    small, part = data.mark(), data.take(data.video != 1)
    others = part.mark()
    for path in sorted((tmp_path / "1").iterdir()):
        with Image.open(path) as picture:
            picture.resize((224, 224)).save(path)
    assert data.mark() != small
    assert part.mark() == others, "of these folders nothing changed"
