"""People by number in the table, the drawn frames and the timeline, from the film to the files."""

import base64
import json
import re

import av
import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support import crowd_film
from typer import Typer
from typer.testing import CliRunner

from blend.film import drawing, people_panel
from blend.predict import __main__, annotate
from blend.predict import run as predict_run
from blend.predict.predictor import Predictor
from blend.predict.source import choose_people
from extract.bench import crowd
from extract.faces import crop_videos
from extract.faces.people import PeopleOptions
from extract.runtime.errors import InputError
from heads.abaw.tasks import EXPR, VA

FRAMES = 30
NETWORK = "demo_mt_enet"
THERE = {1: range(1, 31), 2: range(1, 13), 3: range(15, 31)}
"""Number -> frames in which somebody is found; the second one leaves before the third one comes."""
QUALITY = ["detector_score", "sharpness", "roll"]


def boxes():
    """[30, 3, 4]: three heads that move slowly, 60 pixels wide."""
    x = np.array([80, 280, 470]) + np.linspace(0, 40, FRAMES)[:, None]
    return np.stack([x, np.full_like(x, 120), np.full_like(x, 60), np.full_like(x, 72)], axis=2)


def detections(frame):
    """What the stand-in for YuNet finds in a frame, from 1: box, score and points whose eyes stand at 10 degrees."""
    rows = [boxes()[frame - 1, number - 1] for number, frames in THERE.items() if frame in frames]
    turn = np.radians(10)
    eyes = np.array([20, 25, 20 + 20 * np.cos(turn), 25 + 20 * np.sin(turn), *[0] * 6])
    points = [np.tile(row[:2], 5) + eyes for row in rows]
    return np.hstack([np.array(rows), np.full((len(rows), 1), 0.9), np.array(points)])


def one_by_one(path, smallest):
    frames = iter(range(1, FRAMES + 1))
    return lambda pixels: detections(next(frames))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of the film, predicted with everything kept; its summary."""
    folder = tmp_path_factory.mktemp("people")
    with av.open(str(folder / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = crowd.WIDTH, crowd.HEIGHT, "yuv420p"
        for pixels in crowd_film.film(boxes(), 0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crop_videos, "yunet", one_by_one)
        [said] = predict_run.main(
            [folder / "film.mp4"], None, folder, faces=5, pretrained=NETWORK, keep=True, table_format="both"
        )
    return folder / "film", said


@pytest.fixture
def table(made):
    return pd.read_parquet(made[0] / "predictions.parquet")


def test_everybody_has_rows_where_seen_with_a_number_that_stays(made, table):
    assert {int(number): rows["frame"].tolist() for number, rows in table.groupby("face")} == {
        number: list(frames) for number, frames in THERE.items()
    }
    assert list(table.columns[:10]) == ["frame", "time", "face", "x", "y", "width", "height", *QUALITY]
    assert table["face"].dtype == np.int32 and table.notna().all(axis=None)
    assert table["frame"].is_monotonic_increasing
    at = boxes()[table["frame"] - 1, table["face"] - 1]
    np.testing.assert_allclose(table[["x", "y", "width", "height"]], at, atol=0.1)
    np.testing.assert_allclose(table["roll"], 10, atol=0.01)
    np.testing.assert_allclose(table["detector_score"], 0.9)
    assert (table["sharpness"] > 1).all()
    csv = pd.read_csv(made[0] / "predictions.csv")
    assert csv["face"].tolist() == table["face"].tolist() and len(csv) == len(table)
    said = json.loads((made[0] / "summary.json").read_text())
    assert [(face["face"], face["frames"]) for face in said["faces"]] == [(1, 30), (2, 12), (3, 16)]


def test_somebodys_predictions_are_those_of_the_own_crops_alone(made, table):
    crops = made[0] / ".work" / "crops" / "film"
    assert sorted(folder.name for folder in crops.iterdir()) == ["film_1", "film_2", "film_3"]
    for number in THERE:
        alone = Predictor(pretrained=NETWORK).predict(crops / f"film_{number}").set_index("frame")
        mine = table[table["face"] == number]
        for columns in (list(EXPR), list(VA)):
            np.testing.assert_allclose(mine[columns], alone.loc[mine["frame"], columns], atol=1e-5)
        assert mine["expression"].tolist() == alone.loc[mine["frame"], "expression"].tolist()


def test_frames_in_memory_and_their_order_of_rows(table, monkeypatch):
    monkeypatch.setattr(crop_videos, "yunet", one_by_one)
    found = Predictor(pretrained=NETWORK).predict(
        (p[..., ::-1] for p in crowd_film.film(boxes(), 0)), faces=1, ids=True
    )
    assert found["face"].unique().tolist() == [1], "one at a time, the largest and longest"
    monkeypatch.setattr(crop_videos, "yunet", one_by_one)
    found = Predictor(pretrained=NETWORK).predict(
        (p[..., ::-1] for p in crowd_film.film(boxes(), 0)), faces=2, ids=True
    )
    assert found["face"].tolist() == table["face"].tolist() and found["frame"].tolist() == table["frame"].tolist()


def colours(picture, box=(0, 0, 10**4, 10**4)):
    x0, y0, x1, y1 = box
    return {tuple(row) for row in picture[y0:y1, x0:x1].reshape(-1, 3).tolist()}


def test_a_frame_shows_those_who_are_there_each_in_the_own_colour_and_place(table):
    faces = drawing.Face.all_of(table)
    paint = annotate.Painter(faces, crowd.HEIGHT, crowd.WIDTH, np.arange(FRAMES) / 25)
    assert paint.size == (crowd.WIDTH + people_panel.WIDTH, crowd.HEIGHT), "two at once: one column"
    black = np.zeros((crowd.HEIGHT, crowd.WIDTH, 3), np.uint8)
    for row, there in ((0, {1, 2}), (12, {1}), (20, {1, 3})):
        drawn = paint.frame(row, black)
        for part in (drawn[:, : crowd.WIDTH], drawn[:, crowd.WIDTH :]):
            assert {number for number in THERE if drawing.colour(number) in colours(part)} == there
    second = (crowd.WIDTH, 4 + people_panel.TALL, crowd.WIDTH + 40, 4 + 2 * people_panel.TALL)
    assert drawing.colour(3) in colours(paint.frame(20, black), second), "the place of the second, who has left"


def test_colours_of_ten_people_differ():
    assert len({drawing.colour(number) for number in range(1, 11)}) == 10
    assert drawing.colour(1) == drawing.colour(11)


@pytest.mark.parametrize("people", [16, 60])
def test_of_very_many_people_the_list_is_short_and_says_what_it_leaves_out(people):
    rows = pd.DataFrame({"frame": 1, "face": np.arange(1, people + 1, dtype=np.int32), "x": 5.0, "y": 6.0})
    rows["width"] = rows["height"] = 30.0
    rows["expression"] = pd.array(["Happiness"] * people, dtype="string")
    for name in EXPR:
        rows[name] = 0.5
    faces = drawing.Face.all_of(rows)
    paint = annotate.Painter(faces, 360, 640, np.zeros(1))
    assert paint.people.flat and paint.people.width <= people_panel.COLUMNS * people_panel.WIDTH
    assert max(paint.people.places) == people - 1 and paint.people.capacity <= 45
    assert paint.frame(0, np.zeros((360, 640, 3), np.uint8)).shape[1] == paint.size[0]


def test_a_place_is_free_again_when_somebody_has_left():
    def seen(first, count):
        return drawing.Face(1, np.zeros((count, 4)), None, None, None, None, first)

    assert people_panel.find_places([seen(0, 10), seen(5, 10), seen(10, 5), seen(12, 9), seen(15, 2)]) == [
        0,
        1,
        0,
        2,
        0,
    ]


def test_the_page_carries_the_table(made, table):
    page = (made[0] / "timeline.html").read_text()
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    assert data["numbered"] and data["times"] is None and data["frames"] == FRAMES
    for face, (number, frames) in zip(data["faces"], THERE.items(), strict=True):
        assert face["name"] == number and face["seen"] == [[frames[0] - 1, frames[-1]]]
        assert face["first"] == frames[0] - 1
        told = np.frombuffer(base64.b64decode(face["expression"]), np.uint8)
        assert [EXPR[i] for i in told] == table.loc[table["face"] == number, "expression"].tolist()


def test_in_chromium_everybody_is_told_and_opens(browser, made, table):
    tab = browser.new_page(viewport={"width": 400, "height": 900})
    problems = []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.goto((made[0] / "timeline.html").as_uri())
    for row, there in ((0, [1, 2]), (12, [1]), (20, [1, 3])):
        tab.locator("#at").fill(str(row))
        rows = table[table["frame"] == row + 1]
        said = " · ".join(
            f"{face} {expression}" for face, expression in zip(rows["face"], rows["expression"], strict=True)
        )
        assert rows["face"].tolist() == there
        tab.wait_for_function(f"document.querySelector('output').textContent.endsWith('{said}')")
    third = tab.locator("details").nth(2)
    assert not third.locator("canvas").is_visible()
    third.locator("summary").click()
    tab.wait_for_function(
        "document.querySelectorAll('details')[2].querySelector('output').textContent.includes('valence')"
    )
    assert third.locator("canvas").evaluate("canvas => canvas.height") > 100
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0 and problems == []
    tab.close()


def test_an_album_by_number_has_everybody_of_each_picture(tmp_path, monkeypatch):
    pictures = iter([1, 20, 13])
    monkeypatch.setattr(crop_videos, "yunet", lambda path, smallest: lambda pixels: detections(next(pictures)))
    album, film = tmp_path / "album", list(crowd_film.film(boxes(), 0))
    album.mkdir()
    for name, row in (("a.png", 0), ("b.png", 19), ("c.png", 12)):
        cv2.imwrite(str(album / name), film[row])
    [said] = predict_run.main([album], None, tmp_path, faces=4, pretrained=NETWORK)
    table = pd.read_csv(tmp_path / "album" / "predictions.csv")
    rows = [f"{picture} {face}" for picture, face in zip(table["picture"], table["face"], strict=True)]
    assert rows == ["a.png 1", "a.png 2", "b.png 1", "b.png 2", "c.png 1"]
    assert [face["frames"] for face in said["faces"]] == [5]
    drawn = np.asarray(Image.open(tmp_path / "album" / "annotated" / "c.png"))
    assert drawing.colour(1) in colours(drawn) and drawing.colour(2) not in colours(drawn)


def test_a_film_of_nobody_has_an_empty_table_and_a_page_that_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(crop_videos, "yunet", lambda path, smallest: lambda pixels: np.empty((0, 15)))
    cv2.imwrite(str(tmp_path / "nobody.png"), np.full((60, 80, 3), 90, np.uint8))
    said = predict_run.main([tmp_path / "nobody.png"], None, tmp_path / "out", faces=4, pretrained=NETWORK)
    predict_run.show(said)
    assert "no face" in capsys.readouterr().out and said[0]["faces"] == []
    table = pd.read_csv(tmp_path / "out" / "nobody" / "predictions.csv")
    assert len(table) == 0 and {"face", "sharpness", "Happiness", "arousal", "by"} <= set(table.columns)
    assert "No face was found" in (tmp_path / "out" / "nobody" / "timeline.html").read_text()


def test_one_and_two_are_by_place_unless_numbers_are_asked_for():
    assert choose_people(1) is None and choose_people(2) is None
    assert choose_people(3) == PeopleOptions(3) and choose_people(1, ids=True) == PeopleOptions(1)
    assert choose_people(4, min_face=50, min_score=0.9) == PeopleOptions(4, 50, 0.9)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--min-face", "50"], "--min-face 50: is for people by number; add --ids, or --faces 3 or more"),
        (["--faces", "2", "--min-score", "0.9"], "--min-score 0.9: is for people by number"),
        (["--faces", "4", "--min-score", "0.2"], "--min-score 0.2: expected 0.6 to below 1"),
        (["--ids", "--min-face", "-3"], "--min-face -3.0: expected pixels"),
    ],
)
def test_options_that_nobody_can_mean_are_refused_in_a_line(made, words, line):
    app = Typer()
    app.command()(__main__.command)
    film = made[0].parent / "film.mp4"
    result = CliRunner().invoke(app, [str(film), "--pretrained", NETWORK, *words])
    assert result.exit_code == 2 and line in result.output


def test_a_folder_of_crops_has_no_people_to_number(made):
    crops = made[0] / ".work" / "crops" / "film" / "film_1"
    for words, option in (({"faces": 3}, "--faces 3"), ({"ids": True}, "--ids")):
        with pytest.raises(InputError, match=f"a folder of crops shows one face; {option} is for video files"):
            Predictor(pretrained=NETWORK).predict(crops, **words)
