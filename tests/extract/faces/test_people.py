"""Everybody of a film by number: whom it keeps, in which order, and what is measured of each face."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from extract.faces import boxes, crop_videos, detector, people
from extract.faces.people import PeopleFollower, PeopleOptions
from extract.runtime.errors import InputError

SHARED = Path(__file__).parents[4] / "shared"
YUNET, GROUP = SHARED / "models" / detector.DETECTOR.file, SHARED / "data" / "videos" / "multi_face.jpg"
GREY = np.full((90, 160, 3), 90, np.uint8)


def follow(frames, **options):
    """[[[x, size], ...], ...] by frame -> everybody."""
    follower = PeopleFollower(PeopleOptions(**options))
    for number, faces in enumerate(frames, 1):
        rows = [[x, 50, size, size, 0.9] for x, size in faces]
        follower.add(number, np.array(rows, float).reshape(-1, 5), GREY)
    return follower.people()


def test_numbers_go_by_the_first_frame_and_then_from_left_to_right():
    found = follow([[(300, 40), (100, 40)]] * 5 + [[(300, 40), (100, 40), (20, 40)]] * 5, at_once=3)
    assert [round(person.box[0, 0]) for person in found] == [100, 300, 20]
    assert found[2].frame.tolist() == [6, 7, 8, 9, 10], "the first frames of somebody new, too"
    assert np.isnan(found[0].roll).all() and (found[0].score == np.float32(0.9)).all()


def test_of_too_many_at_once_the_largest_and_longest_are_kept():
    frames = [[(10, 30), (100, 60), (200, 70)]] * 10 + [[(10, 30), (100, 60)]] * 10
    found = follow(frames, at_once=2)
    at = {round(person.box[0, 0]): person.frame.tolist() for person in found}
    assert at == {100: [*range(1, 21)], 200: [*range(1, 11)], 10: [*range(11, 21)]}


def test_a_single_frame_has_everybody_and_a_film_no_flicker():
    assert len(follow([[(10, 30), (100, 60), (200, 50)]], at_once=9)) == 3
    assert follow([[(10, 30)], [], [], []], at_once=9) == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"at_once": 0}, "--faces 0: expected 1 to 100"),
        ({"at_once": 101}, "--faces 101: expected"),
        ({"at_once": 2, "min_size": -1}, "--min-face -1: expected pixels"),
        ({"at_once": 2, "min_size": float("nan")}, "--min-face nan: expected pixels"),
        ({"at_once": 2, "min_score": 0.5}, "--min-score 0.5: expected 0.6"),
        ({"at_once": 2, "min_score": 1}, "--min-score 1: expected 0.6"),
    ],
)
def test_what_nobody_can_mean_is_refused(options, line):
    with pytest.raises(InputError, match=line):
        PeopleOptions(**options)


@pytest.mark.parametrize("degrees", [-30, 0, 12])
def test_roll_is_the_turn_of_the_line_through_the_eyes(degrees):
    points = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], float)
    turn = cv2.getRotationMatrix2D((50, 60), -degrees, 1.0)  # OpenCV's angles go against the clock
    turned = points @ turn[:, :2].T + turn[:, 2]
    assert people.measure_roll(turned.reshape(1, 10)) == pytest.approx(degrees)


def test_a_blurred_face_is_less_sharp():
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    values = [people.measure_sharpness(crop)]
    values += [people.measure_sharpness(cv2.GaussianBlur(crop, (0, 0), sigma)) for sigma in (1, 2, 4)]
    assert values == sorted(values, reverse=True) and values[-1] < values[0] / 100
    assert people.measure_sharpness(np.full((8, 8, 3), 7, np.uint8)) == 0


def bright_squares(pixels):
    columns = np.flatnonzero(np.diff(np.r_[0, (pixels > 150).all(2).any(0).astype(int), 0]))
    return np.array([[left, 30, right - left, 24, 0.95] for left, right in columns.reshape(-1, 2)]).reshape(-1, 5)


def encode(path, pictures):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for pixels in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="bgr24")))
        container.mux(stream.encode())
    return path


def make_film(path, frames):
    """A film of bright squares at these places."""
    pictures = []
    for places in frames:
        pictures.append(np.full((96, 160, 3), 30, np.uint8))
        for x in places:
            pictures[-1][30:54, x : x + 24] = 250
    return encode(path, pictures)


def test_everybodys_crops_and_boxes_lie_by_number_and_are_made_once(tmp_path, monkeypatch):
    monkeypatch.setattr(crop_videos, "yunet", lambda path, smallest: bright_squares)
    files = {"a": make_film(tmp_path / "a.mp4", [[10, 60]] * 6 + [[60]] * 4 + [[60, 120]] * 6)}
    out, options = tmp_path / "out", PeopleOptions(5, min_size=10)
    report = crop_videos.crop_files(files, out, size=40, people=options)
    crops = {folder.name: sorted(path.name for path in folder.iterdir()) for folder in (out / "a").iterdir()}
    assert {name: len(files) for name, files in crops.items()} == {"a_1": 6, "a_2": 16, "a_3": 6}
    assert report.crops == 28 and crops["a_3"][0] == "00011.jpg"
    found = boxes.read_people(boxes.path(out, "a"))
    assert [(frames[0], len(frames)) for (frames, _), _ in found] == [(1, 6), (1, 16), (11, 6)]
    for (frames, box), measures in found:
        assert box.shape == (len(frames), 4) and all(len(values) == len(frames) for values in measures.values())
        assert (measures["sharpness"] > 0).all()
    monkeypatch.setattr(crop_videos, "yunet", lambda path, smallest: pytest.fail("everything is there"))
    assert crop_videos.crop_files(files, out, size=40, people=options) == report
    with pytest.raises(InputError, match=r"a: made with people .*--redo makes it anew"):
        crop_videos.crop_files(files, out, size=40, people=PeopleOptions(5, min_size=12))


@pytest.mark.skipif(not (YUNET.is_file() and GROUP.is_file()), reason="the shared picture and detector are not here")
def test_five_real_people_keep_their_numbers_while_the_camera_moves_and_are_new_behind_a_cut(tmp_path):
    picture = cv2.imread(str(GROUP))
    moving = [picture[20 + k : 620 + k, 100 + 3 * k : 820 + 3 * k] for k in range(40)]
    closer = [cv2.resize(picture[250:450, 640 + k : 880 + k], (720, 600)) for k in range(20)]
    files = {"a": encode(tmp_path / "a.mp4", moving + closer)}
    crop_videos.crop_files(files, tmp_path / "out", detector=YUNET, people=PeopleOptions(5))
    found = [frames.tolist() for (frames, _), _ in boxes.read_people(boxes.path(tmp_path / "out", "a"))]
    assert found == [[*range(1, 41)]] * 5 + [[*range(41, 61)]]


def test_a_film_of_nobody_leaves_an_empty_folder_and_no_boxes(tmp_path, monkeypatch):
    monkeypatch.setattr(crop_videos, "yunet", lambda path, smallest: bright_squares)
    report = crop_videos.crop_files({"a": make_film(tmp_path / "a.mp4", [[]] * 5)}, tmp_path, people=PeopleOptions(3))
    assert report.without_face == ["a"] and list((tmp_path / "a").iterdir()) == []
    assert boxes.read_people(boxes.path(tmp_path, "a")) == []
