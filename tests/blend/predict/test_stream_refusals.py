"""What a stream cannot have is refused in one line, before or while models load."""

import dataclasses
import sys

import cv2
import pytest
from support import live_streams
from typer import Typer
from typer.testing import CliRunner

from blend.predict import __main__, stream
from blend.predict.predictor import Predictor
from blend.predict.stream import StreamOptions
from extract.media.live import LiveVideo
from extract.runtime.errors import InputError

NETWORK = "demo_mt_enet"


def invoke(*arguments):
    app = Typer()
    app.command()(__main__.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_what_a_stream_cannot_have_is_refused_in_one_line(blends, tmp_path):
    film = tmp_path / "film.mkv"
    (tmp_path / "there").mkdir()
    for given, said in (
        (["--camera", "9999", "--blend", blends[0]], "--camera 9999: no such camera"),
        (["-", "--blend", blends[0], "--out", tmp_path / "there"], "there: is there already"),
        (["--camera", "9999", film, "--blend", blends[0]], "expected nothing beside a stream"),
        (["-", "-", "--blend", blends[0]], "expected nothing beside a stream"),
        (["rtsp://me:it@host/x", film, "--blend", blends[0]], "error: rtsp://***@host/x: expected nothing beside"),
        (["-", "--blend", blends[0], "--min-face", "9"], "is for people by number"),
        (["-", "--blend", blends[0], "--keep"], "are for files"),
        ([film, "--blend", blends[0], "--serve", "0"], "are for streams"),
        (["--blend", blends[0]], "no video given"),
        (["gopher://x", "--blend", blends[0]], "addresses begin with"),
        (["-", "--blend", tmp_path], "no blend here"),
    ):
        done = invoke(*given)
        assert done.exit_code == 2, given
        [line] = done.stderr.splitlines()
        assert line.startswith("error: ") and said in line, line
    with live_streams.server(None) as url:
        done = invoke(url, "--blend", blends[0], "--out", tmp_path / "none.jsonl")
    assert done.exit_code == 2 and "no stream there (" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "none.jsonl").exists()


def test_ctrl_c_while_models_load_promises_nothing_and_tells_no_password(monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stream, "LivePredictor", interrupt)
    monkeypatch.setattr(LiveVideo, "_read", lambda self: self.start_event.set())
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "blend.predict", "rtsp://me:secret@host/x"])
    done = invoke("rtsp://me:secret@host/x", "--pretrained", NETWORK)
    assert done.exit_code == 130 and done.stderr == "interrupted: the lines that were written stay\n"


def test_there_is_a_window_only_where_opencv_has_one(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(InputError, match=r"built without windows .*--serve"):
        stream.View(StreamOptions(window=True), "")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           QT5\n")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"no display here"):
        stream.View(StreamOptions(window=True), "")


def test_blends_that_need_sound_or_later_frames_are_refused(blends):
    with Predictor(blends[0]) as predictor:
        [item] = predictor.blends
        sections = {**predictor.networks, "audio": {"hears": {}}}
        for name in ("audio", "hears"):
            hearing = dataclasses.replace(item, networks=(*item.networks, name))
            with pytest.raises(InputError, match=f"{name!r}, which hears, and a stream is only seen"):
                stream._refuse_sound([hearing], sections)
            stream._refuse_sound([dataclasses.replace(hearing, optional=frozenset([name]))], sections)
        stream._refuse_later_frames([item])
        [model] = item.models.values()
        model.head.in_time = True
        with pytest.raises(InputError, match=r"head 'lightgbm-demo_mt_enet' \(weight 1.0\) reads the frames behind"):
            stream.LivePredictor(predictor)
