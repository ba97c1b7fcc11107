"""Trained blends on videos, from the crops to the files: equal to the submission on its own pictures, and on others."""

import json
import os
import runpy
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
import PIL.Image
import pytest
from typer import Typer
from typer.testing import CliRunner

from blend.predict import __main__, predictor
from blend.predict import folder as prediction_folder
from blend.predict import run as predict_run
from extract import config as configs
from extract.engines import create
from extract.faces import crop_videos, detector
from extract.media import video as media_video
from extract.runtime.errors import InputError
from heads.abaw.tasks import AU, EXPR, VA
from heads.train.model import Model

ROOT = Path(__file__).parents[3]
SHARED = ROOT.parent / "shared"
CLIPS, YUNET = SHARED / "data" / "videos", SHARED / "models" / detector.DETECTOR.file
real = pytest.mark.skipif(not (CLIPS.is_dir() and YUNET.is_file()), reason="the shared folder's videos are not here")
TEST_VIDEO = "demo-24"


def film(path, pictures, places, rate=25):
    """A grey film on which the pictures move; `places` are (x, y) of each picture in a frame, or none."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 321 - 1, 200, "yuv420p"
        for number, at in enumerate(places):
            frame = np.full((200, 320, 3), 90, np.uint8)
            for x, y in at:
                frame[y : y + 112, x : x + 112] = pictures[number % len(pictures)]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode())
    return path


def not_grey(pixels):
    """A stand-in for YuNet: the boxes of what is not the background, left and right of the middle."""
    found = []
    for offset, half in ((0, pixels[:, :160]), (160, pixels[:, 160:])):
        rows, columns = np.nonzero((np.abs(half.astype(int) - 90) > 25).any(2))
        if len(rows) > 1000:
            box = offset + columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
            found.append([*box, 0.95])
    return np.array(found, float).reshape(-1, 5)


@pytest.fixture
def pictures(crops, monkeypatch):
    monkeypatch.setattr(crop_videos, "yunet", lambda path: not_grey)
    return [cv2.imread(str(path)) for path in sorted(crops.glob("*.jpg"))]


def streams(path):
    """Width, height, rate, frames that can be decoded, seconds."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        count = sum(1 for _ in container.decode(video))
        return video.width, video.height, video.average_rate, count, float(video.duration * video.time_base)


def test_the_table_decides_as_the_submission_does_on_the_same_pictures(work, blends, crops):
    table = predictor.Predictor(*blends).predict(crops)
    assert table["frame"].tolist() == list(range(1, 61)) and table["x"].notna().all()
    np.testing.assert_allclose(table["time"], np.arange(60) / 30, atol=1e-4)
    for task, columns in (("au", list(AU)), ("expr", ["expression"]), ("va", list(VA))):
        lines = (work / "blend" / task / "submission.txt").read_text().splitlines()[1:]
        submitted = np.array([[float(value) for value in line.split(",")[1:]] for line in lines])
        found = table[columns]
        if task == "expr":
            found = found["expression"].map({name: i for i, name in enumerate(EXPR)}).to_frame()
        np.testing.assert_allclose(found.to_numpy(float), submitted, atol=1e-5)
    np.testing.assert_allclose(table[list(EXPR)].sum(axis=1), 1, atol=1e-4)


def test_a_film_gives_a_row_per_frame_an_equally_long_video_and_a_timeline_and_is_left_alone_then(
    tmp_path, blends, pictures
):
    places = [[(20 + k, 40)] if k < 20 or k >= 26 else [] for k in range(40)]
    clip = film(tmp_path / "a clip.mp4", pictures, places)
    out = tmp_path / "out"
    [said] = predict_run.main([clip], blends, out, table_format="both")
    folder = out / "a clip"
    names = {
        "predictions.csv",
        "predictions.parquet",
        "annotated.mp4",
        "annotated.png",
        "timeline.html",
        "summary.json",
    }
    assert {path.name for path in folder.iterdir()} == names | {"DONE", "provenance.json", ".lock"}
    table = pd.read_csv(folder / "predictions.csv")
    assert table["frame"].tolist() == list(range(1, 41)) and set(table["face"]) == {"single"}
    gone = table["frame"].between(21, 26)
    assert table.loc[gone].iloc[:, 3:].isna().all(axis=None)
    assert table.loc[~gone].notna().all(axis=None)
    stored = pd.read_parquet(folder / "predictions.parquet")
    pd.testing.assert_frame_equal(table, stored.astype(table.dtypes), rtol=1e-5)
    width, height, rate, count, seconds = streams(folder / "annotated.mp4")
    assert (rate, count) == (25, 40) and seconds == pytest.approx(1.6, abs=1e-3) and width > 320 * height / 200
    assert said["faces"][0]["frames"] == 34 and said["sound"] == "" and said["broken"] == ""
    assert said["note"] == "the demo's networks know drawn faces only" and set(table["by"].dropna()) == {said["note"]}
    assert "<strong>The demo&#39;s networks know drawn faces only.</strong>" in (folder / "timeline.html").read_text()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert predict_run.main([clip], blends, out, table_format="both") == [said]
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    predict_run.main([clip], blends[:1], out, video=False)
    assert {path.name for path in folder.iterdir() if path.suffix not in ("", ".json")} == {
        "predictions.csv",
        "timeline.html",
    }
    assert "expression" not in pd.read_csv(folder / "predictions.csv")


def test_two_people_have_a_row_each_and_a_face_that_is_never_there_is_empty(tmp_path, blends, pictures):
    both = film(tmp_path / "both.mp4", pictures, [[(10, 40), (190, 50)]] * 12)
    one = film(tmp_path / "one.mp4", pictures, [[(10, 40)]] * 12)
    predict_run.main([both, one], blends, tmp_path / "out", faces=2, video=False)
    table = pd.read_csv(tmp_path / "out" / "both" / "predictions.csv")
    assert table["face"].tolist() == ["left", "right"] * 12 and table["frame"].tolist() == sorted([*range(1, 13)] * 2)
    left, right = (table[table["face"] == side] for side in ("left", "right"))
    assert (left["x"].to_numpy() + 150 < right["x"].to_numpy()).all() and table.notna().all(axis=None)
    table = pd.read_csv(tmp_path / "out" / "one" / "predictions.csv")
    assert table.loc[table["face"] == "right"].iloc[:, 3:].isna().all(axis=None)
    assert table.loc[table["face"] == "left", "expression"].notna().all()


def test_a_killed_run_goes_on_with_its_crops_and_features_and_ends_with_the_same(
    tmp_path, blends, pictures, monkeypatch
):
    clip = film(tmp_path / "clip.mp4", pictures, [[(20 + k, 40)] for k in range(20)])
    predict_run.main([clip], blends, tmp_path / "calm", video=False)

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("blend.predict.scores.predict", killed)
        with pytest.raises(KeyboardInterrupt):
            predict_run.main([clip], blends, tmp_path / "out", video=False)
    folder = tmp_path / "out" / "clip"
    assert not (folder / "DONE").exists()
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".jpg", ".safetensors")}
    assert len(made) == 21
    monkeypatch.setattr(crop_videos, "yunet", lambda path: None)
    predict_run.main([clip], blends, tmp_path / "out", video=False, keep=True)
    assert {path: path.stat().st_mtime_ns for path in made} == made
    for name in ("predictions.csv", "timeline.html"):
        assert (folder / name).read_bytes() == (tmp_path / "calm" / "clip" / name).read_bytes()
    monkeypatch.setattr(crop_videos, "yunet", lambda path: not_grey)
    film(clip, pictures, [[(20, 40)] for k in range(15)])  # another video under the same name
    predict_run.main([clip], blends, tmp_path / "out", video=False)
    assert len(pd.read_csv(folder / "predictions.csv")) == 15


def invoke(*arguments):
    app = Typer()
    app.command()(__main__.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_clip_without_faces_is_no_error_and_said_in_a_clear_line(tmp_path, blends, pictures):
    clip = film(tmp_path / "empty.mp4", pictures, [[]] * 10)
    done = invoke(clip, *(part for blend in blends for part in ("--blend", blend)), "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "empty: no face was found in it (10 frames): its predictions are empty" in done.stdout
    assert done.stderr.endswith("warning: the demo's networks know drawn faces only\n")
    table = pd.read_csv(tmp_path / "out" / "empty" / "predictions.csv")
    assert len(table) == 10 and table.iloc[:, 3:].isna().all(axis=None) and "arousal" in table
    assert streams(tmp_path / "out" / "empty" / "annotated.mp4")[3] == 10


def test_json_is_all_there_is_on_stdout_and_a_video_that_breaks_off_is_exit_code_1(tmp_path, blends, pictures):
    clip = film(tmp_path / "cut.mkv", pictures, [[(20 + k, 40)] for k in range(40)])
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    done = invoke(clip, "--blend", blends[0], "--out", tmp_path / "out", "--json", "--no-video")
    assert done.exit_code == 1, done.output
    [said] = json.loads(done.stdout)["videos"]
    assert 5 < said["frames"] < 40 and "breaks off" in said["broken"]
    assert f"breaks off after frame {said['frames']}" in done.stderr and "predicted" in done.stderr
    assert len(pd.read_csv(said["files"]["csv"])) == said["frames"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (
            lambda work: shutil.rmtree(work / "heads" / "au" / "lightgbm-demo_mt_enet" / "model"),
            "is not finished; run python -m blend.run --task au",
        ),
        (lambda work: shutil.rmtree(work / "heads" / "au" / "lightgbm-demo_mt_enet"), "other people's predictions"),
        (
            lambda work: (work / "heads" / "au" / "lightgbm-demo_mt_enet" / "val.parquet").write_bytes(b"other"),
            "was trained again",
        ),
        (
            lambda work: (work / "heads" / "au" / "lightgbm-demo_mt_enet" / "model" / "constants.json").unlink(),
            "gone since the model was made: python -m blend.run .* makes it anew",
        ),
        (lambda work: (work / "blend" / "au" / "params.json").unlink(), "no blend here"),
        (lambda work: (work / "blend" / "au").rename(work / "elsewhere"), "no blend here .* did you mean"),
    ],
    ids=["model gone", "head gone", "trained again", "model damaged", "no params", "moved"],
)
def test_a_blend_that_cannot_predict_is_one_clear_line_and_exit_code_2(work, crops, tmp_path, damage, said):
    copy = tmp_path / "work"
    for part in ("blend/au", "heads/au"):
        shutil.copytree(work / part, copy / part)
    shutil.copytree(work / "blend" / "va", copy / "moved" / "blend" / "va")
    damage(copy)
    blend = copy / "moved" if said.endswith("mean") else copy / "blend" / "au"
    done = invoke(crops, "--blend", blend, "--out", tmp_path / "out", "--no-video")
    assert done.exit_code == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ") and pd.Series([line]).str.contains(said)[0], line
    assert done.stdout == ""


def test_videos_that_cannot_be_used_are_refused_before_any_work(tmp_path, blends, crops):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty").mkdir()
    for paths, said in (
        ([tmp_path / "missing.mp4"], "missing.mp4: no such video"),
        ([tmp_path / "empty"], "empty: no pictures called like frames"),
        ([crops, crops], "is called 'demo-24' too"),
    ):
        with pytest.raises(InputError, match=said):
            predict_run.main(paths, blends, tmp_path / "out")
    with pytest.raises(InputError, match=r"a folder of crops shows one face"):
        predict_run.main([crops], blends, tmp_path / "out", faces=2)
    with pytest.raises(InputError, match=r"text.mp4: no video that can be read"):
        predict_run.main([tmp_path / "text.mp4"], blends, tmp_path / "out", detector=YUNET if YUNET.is_file() else None)


def test_features_of_another_kind_than_the_heads_learnt_from_are_refused(work, crops, tmp_path):
    copy = tmp_path / "work"
    shutil.copytree(work, copy)
    record = copy / "blend" / "va" / "networks.json"
    table = json.loads(record.read_text())
    table["features"]["precision"] = "bf16"
    del table["checksum"]  # whoever writes it by hand
    record.write_text(json.dumps(table))
    with pytest.raises(InputError, match=r"'demo_mt_enet' that were made with other precision"):
        predictor.Predictor(copy / "blend" / "va").predict(crops)
    record.unlink()  # of an older run: the project's own networks need no record
    assert len(predictor.Predictor(copy / "blend" / "va").predict(crops)) == 60


def test_of_several_videos_one_that_cannot_be_read_is_named_and_a_picture_is_a_video_of_one_frame(
    tmp_path, blends, pictures
):
    from PIL import Image

    frame = np.full((200, 320, 3), 90, np.uint8)
    frame[40:152, 30:142] = pictures[0]
    Image.fromarray(frame[:, :, ::-1]).save(tmp_path / "photo.png")
    (tmp_path / "bad.mp4").write_text("no video")
    clip = film(tmp_path / "good.mp4", pictures, [[(20, 40)]] * 4)
    app = Typer()
    app.command()(__main__.command)
    given = [str(tmp_path / "bad.mp4"), str(clip), str(tmp_path / "photo.png"), "--blend", str(blends[2])]
    done = CliRunner().invoke(app, [*given, "--no-video", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1, done.output
    assert "bad.mp4: no video that can be read" in done.stderr and "nothing of it was predicted" in done.stderr
    for name, frames in (("good", 4), ("photo", 1)):
        table = pd.read_csv(tmp_path / "out" / name / "predictions.csv")
        assert len(table) == frames and table["valence"].notna().all(), name
    with pytest.raises(InputError, match="no video that can be read"):
        predict_run.main([tmp_path / "bad.mp4"], blends[2:], tmp_path / "out")


def test_blends_may_stand_behind_one_option(work, tmp_path):
    au, va = work / "blend" / "au", work / "blend" / "va"
    given = ["a.mp4", "--blend", str(au), str(va), "b.mp4", "--faces", "2"]
    expected = ["a.mp4", "--blend", str(au), "--blend", str(va), "b.mp4", "--faces", "2"]
    assert __main__.join_blends(given) == __main__.join_blends(expected) == expected


def test_a_folder_of_pictures_is_a_table_of_single_frames_that_are_not_smoothed_with_each_other(
    tmp_path, blends, pictures
):
    folder = tmp_path / "album"
    folder.mkdir()
    for number, name in ((0, "c.png"), (30, "a.png"), (55, "b.png")):
        frame = np.full((200, 320, 3), 90, np.uint8)
        frame[40:152, 30:142] = pictures[number]
        cv2.imwrite(str(folder / name), frame)
    trained = predictor.Predictor(*blends)
    table = trained.predict(folder)
    assert table["picture"].tolist() == ["a.png", "b.png", "c.png"] and table["by"].notna().all()
    for row, name in enumerate(table["picture"]):
        alone = trained.predict(folder / name)
        pd.testing.assert_frame_equal(
            table.iloc[[row], 2:].reset_index(drop=True), alone.iloc[:, 3:], check_dtype=False, atol=1e-6
        )


def test_a_predictor_gives_the_commands_table_of_a_file_of_its_frames_and_of_an_iterator(tmp_path, blends, pictures):
    places = [[(20 + 3 * k, 40)] if k != 5 else [] for k in range(12)]
    clip = film(tmp_path / "clip.mp4", pictures, places)
    [said] = predict_run.main([clip], blends, tmp_path / "out", table_format="parquet", video=False)
    written = pd.read_parquet(said["files"]["parquet"])
    frames = np.stack([picture[..., ::-1] for picture in media_video.read(clip)])
    with predictor.Predictor(*blends) as ready:
        for table in (ready.predict(clip), ready.predict(frames, fps=25), ready.predict(iter(frames), fps=25)):
            pd.testing.assert_frame_equal(table, written.astype(table.dtypes), check_exact=True)
        picture = ready.predict(frames[0])
        PIL.Image.fromarray(frames[0]).save(tmp_path / "photo.png")
        pd.testing.assert_frame_equal(picture, ready.predict(tmp_path / "photo.png"), check_exact=True)
        assert len(picture) == 1 and picture["frame"].item() == 1
        for wrong in (0, 101, 2.5, "3"):
            with pytest.raises(InputError, match=f"faces {wrong}: expected 1 to 100"):
                ready.predict(frames, faces=wrong)
    with pytest.raises(InputError, match="this predictor is closed"):
        ready.predict(clip)
    ready.close()


def test_models_and_engines_are_loaded_with_the_first_video_only_and_engines_anew_after_an_error(
    blends, crops, monkeypatch
):
    made, real_create, real_load = [], create.create, Model.load
    monkeypatch.setattr(create, "create", lambda *given: made.append("engine") or real_create(*given))
    monkeypatch.setattr(Model, "load", staticmethod(lambda folder: made.append("model") or real_load(folder)))
    ready = predictor.Predictor(*blends)
    assert made == []
    first = ready.predict(crops)
    assert sorted(made) == ["engine", *["model"] * 4], "va has two bags"
    with ThreadPoolExecutor(2) as threads:
        for table in threads.map(ready.predict, [crops] * 3):
            pd.testing.assert_frame_equal(table, first, check_exact=True)
    assert len(made) == 5
    with monkeypatch.context() as patch:
        patch.setattr("blend.predict.features.check_origin", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ready.predict(crops)
    pd.testing.assert_frame_equal(ready.predict(crops), first, check_exact=True)
    assert sorted(made) == ["engine", "engine", *["model"] * 4]


def test_a_video_that_breaks_off_is_predicted_as_far_as_it_goes_with_a_warning(tmp_path, blends, pictures):
    clip = film(tmp_path / "cut.mkv", pictures, [[(20 + k, 40)] for k in range(40)])
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    with pytest.warns(UserWarning, match=r"cut\.mkv: breaks off after frame \d+"):
        assert 5 < len(predictor.Predictor(blends[2]).predict(clip)) < 40


def test_the_example_runs_from_its_first_line_to_its_last(few_videos, work, tmp_path, monkeypatch, capsys):
    """On the small corpus, whose blend is finished, in the demo's place."""
    (tmp_path / "runs" / "demo" / "corpus").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "corpus" / "cropped_aligned").symlink_to(few_videos.parent / "frames")
    shutil.copytree(work, tmp_path / "runs" / "few")  # its index is written anew
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(configs, "DEFAULT", few_videos)
    done = tmp_path / "runs" / "few" / "blend" / "au" / "DONE"
    before = done.stat().st_mtime_ns
    names = runpy.run_path(str(ROOT / "configs" / "examples" / "from_python.py"))
    assert done.stat().st_mtime_ns == before, "a finished run is only read"
    said = capsys.readouterr().out
    assert said.startswith("au: mean F1 of ") and f"submitted {names['report'].scores['submitted']}\n" in said
    assert f"{TEST_VIDEO} {{'AU1_score': " in said and len(names["table"]) == 60


@pytest.mark.slow
@real
def test_real_clips_one_expressive_face_and_none(tmp_path, blends):
    clip, none = CLIPS / "WolfgangLanger_Pexels.mp4", CLIPS / "no_face.mp4"
    said = predict_run.main([clip, none], blends, tmp_path, detector=YUNET)
    table = pd.read_csv(tmp_path / clip.stem / "predictions.csv")
    assert len(table) == 472 and table["expression"].notna().mean() > 0.95
    before, after = streams(clip), streams(tmp_path / clip.stem / "annotated.mp4")
    assert after[2:4] == before[2:4] == (before[2], 472) and after[4] == pytest.approx(before[4], abs=0.05)
    assert said[0]["sound"] == "copied"
    with av.open(str(tmp_path / clip.stem / "annotated.mp4")) as container:
        [sound] = container.streams.audio
        assert sound.codec_context.name == "aac" and sum(1 for _ in container.decode(sound)) > 100
    assert said[1]["faces"] == [{"face": "single", "frames": 0}]
    assert os.path.getsize(tmp_path / clip.stem / prediction_folder.TIMELINE) < 100_000
