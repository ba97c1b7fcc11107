"""Streams predicted frame by frame: the numbers of a video that ends there, in lines, in time, in bounded memory."""

import contextlib
import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from support import live_streams
from typer import Typer
from typer.testing import CliRunner

from blend import apply
from blend.decision import smooth
from blend.decision.params import Params
from blend.predict import __main__, pretrained_blends, stream
from blend.predict.predictor import Predictor
from blend.predict.stream import Person, StreamOptions
from extract.faces import crop_videos, detector
from extract.faces.boxes import SIDES
from extract.media.live import LiveFrame, LiveVideo
from extract.runtime.errors import InputError
from heads.abaw.tasks import AU, TASKS, VA

ROOT = Path(__file__).parents[3]
YUNET = ROOT.parent / "shared" / "models" / detector.DETECTOR.file
NETWORK = "demo_mt_enet"
BOX = [100.0, 40.0, 112.0, 112.0, 0.95]
"""Where the face stands in the films."""
COMMAND = f"""
import os, sys, numpy as np
from extract.faces import detector
if not os.environ.get("YUNET"):
    detector.yunet = lambda path: lambda pixels: np.array([{BOX}])
from blend.program import main
main()
"""


def faces(count):
    """Frames of 320x200 with the demo's drawn face, BGR."""
    from extract.demo import corpus, plan

    pictures = [picture for _, picture in itertools.islice(corpus.pictures(plan.SEED, "demo-24"), 60)]
    for number in range(count):
        frame = np.full((200, 320, 3), 90, np.uint8)
        frame[40:152, 100:212] = pictures[number % len(pictures)]
        yield frame


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A film of 40 frames, some of them without a face where the stand-in is asked."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    path.write_bytes(b"".join(live_streams.encode(faces(40), "matroska")))
    return path


def blinking(pixels):
    """A stand-in for YuNet that finds the face in some frames only, by what is in the picture."""
    told = float(pixels.mean())
    return np.empty((0, 5)) if round(100 * told) % 7 == 3 else np.array([BOX])


@pytest.fixture
def standing(monkeypatch):
    for module in (crop_videos, detector):
        monkeypatch.setattr(module, "yunet", lambda path: lambda pixels: np.array([BOX]))


@pytest.fixture
def going(monkeypatch):
    for module in (crop_videos, detector):
        monkeypatch.setattr(module, "yunet", lambda path: blinking)


def live_rows(predictor, film):
    """The rows of a film as a stream, by frame."""
    live = stream.LivePredictor(predictor)
    live.warm_up()
    with open(film, "rb") as file, LiveVideo("-", pipe=file.fileno()) as video:
        return {frame.number: live.predict(frame) for frame in video}


def read_frames(film):
    with av.open(str(film)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def compare(row, table_row, atol=1e-5):
    """A stream's row and a table's: the same columns, the same decisions, scores up to `atol`."""
    assert set(row) == set(table_row.index) - {"frame", "time", "by"}
    for name in set(row) - {"face", "expression", *AU}:
        near = 0.02 if name in SIDES else atol
        assert row[name] == pytest.approx(float(table_row[name]), abs=near), name
    for name in {"expression", *AU} & set(row):
        assert row[name] == table_row[name], name


def test_without_kernels_a_stream_decides_as_a_file_does(blends, film, standing):
    with Predictor(blends[0]) as predictor:
        predictor.blends = [with_kernel(item, "box", 0) for item in predictor.blends]
        assert stream.LivePredictor(predictor).describe_difference() == ""
        rows = live_rows(predictor, film)
        table = predictor.predict(film)
    assert len(rows) == len(table) == 40 and table[list(AU)].to_numpy().std() > 0.1
    for number, (_, expected) in enumerate(table.iterrows(), 1):
        [row] = rows[number]
        assert row["face"] == 1
        compare(row, expected)


@pytest.mark.parametrize("kernel", smooth.KERNELS)
def test_every_frame_is_what_a_file_says_that_ends_with_it(blends, film, going, kernel):
    """Of au the kernel, of expr and va temporal columns; both at once differ, for a stream's earlier scores stand."""
    with Predictor(*blends) as predictor:
        predictor.blends = [with_kernel(it, kernel, 3 * (it.task.name == "au")) for it in predictor.blends]
        assert "temporal columns of va" in stream.LivePredictor(predictor).describe_difference()
        rows = live_rows(predictor, film)
        assert 0 < sum(not row for row in rows.values()) < 20, "some frames have no face"
        frames = read_frames(film)
        for end in (1, 13, 20, 40):
            last = predictor.predict(frames[:end], fps=15).iloc[-1]
            if rows[end]:
                compare(rows[end][0], last, atol=2e-5)
            else:
                assert np.isnan(last["x"])


def with_kernel(item, kernel, k):
    """A blend with other smoothing."""
    params = dataclasses.replace(item.params, kernel=kernel, k=k)
    return dataclasses.replace(item, blend=dataclasses.replace(item.blend, params=params))


def va_blend(kernel, k):
    """A blend whose one head gives the network's valence and arousal as they are."""
    item = pretrained_blends._blend(TASKS["va"], NETWORK, "")
    params = Params("va", VA, (NETWORK,), (1.0,), kernel, k)
    return dataclasses.replace(item, blend=apply.Blend(params, item.blend.prior, "train"))


def smooth_naively(values, kernel, k):
    """The last of dense values, some of them NaN, smoothed by what was there before it."""
    known = np.flatnonzero(np.isfinite(values))
    filled = np.interp(np.arange(len(values)), known, values[known])
    window = range(max(0, len(values) - 1 - (4 * k if kernel == "gaussian" else k)), len(values))
    if kernel == "box":
        return sum(filled[i] for i in window) / len(window)
    if kernel == "median":
        return float(np.median([filled[i] for i in window if np.isfinite(values[i])]))
    weights = [np.exp(-0.5 * ((len(values) - 1 - i) / k) ** 2) for i in window]
    return sum(w * filled[i] for w, i in zip(weights, window, strict=True)) / sum(weights)


@pytest.mark.parametrize(("kernel", "k"), [("box", 5), ("gaussian", 2), ("median", 4), ("box", (2, 9))])
def test_smoothing_looks_back_as_a_naive_loop_does(kernel, k):
    rng = np.random.default_rng(0)
    truth = np.clip(np.cumsum(rng.normal(0, 0.1, (150, 2)), 0), -1, 1).astype(np.float32)
    given = np.where(rng.random(150) < 0.3, np.nan, 0)  # frames without a face
    given[60:68] = np.nan
    given[0] = 0
    person = Person([va_blend(kernel, k)], {NETWORK: ()})
    for frame in np.flatnonzero(np.isfinite(given)):
        [(task, scores, decided)] = person.predict(int(frame) + 1, {NETWORK: {"va": truth[frame]}})
        expected = [
            smooth_naively((truth[:, i] + given)[: frame + 1], kernel, k if isinstance(k, int) else k[i])
            for i in (0, 1)
        ]
        np.testing.assert_allclose(scores, expected, atol=1e-5, err_msg=f"frame {frame}")
        np.testing.assert_allclose(decided, expected, atol=1e-5)
        assert task == "va"
    reach = smooth.reach(kernel, k)
    assert len(person._scores[0]) <= reach + 2, "no more is remembered than the kernel sees"


def test_scores_out_of_sight_are_forgotten():
    person = Person([va_blend("box", 3)], {NETWORK: ()})
    for frame, value in ((1, -1.0), (2, -1.0), (5000, 1.0)):
        [(_, scores, _)] = person.predict(frame, {NETWORK: {"va": np.array([value, value], np.float32)}})
        assert scores[0] == value
    assert len(person._scores[0]) == 1


def invoke(*arguments):
    app = Typer()
    app.command()(__main__.command)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_lines_have_what_the_tables_have_and_stderr_says_what_differs(blends, film, standing, tmp_path):
    out = tmp_path / "lines.jsonl"
    given = [part for blend in blends for part in ("--blend", blend)]
    with live_streams.server(film.read_bytes()) as url:
        done = invoke(url, *given, "--no-drop", "--out", out)
    assert done.exit_code == 2 and done.stdout == "", "a live address that ends has broken off"
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == 40 and [line["frame"] for line in lines] == [*range(1, 41)]
    with Predictor(*blends) as predictor:
        columns = [name for name in predictor.predict(film).columns if name != "by"]
        kernels = {item.task.name: smooth.reach(item.params.kernel, item.params.k) for item in predictor.blends}
    assert set(lines[0]) == {*columns, "by", "latency_ms", "dropped"}
    assert lines[3]["time"] == 0.2 and lines[3]["dropped"] == 0 and 0 < lines[3]["latency_ms"] < 60_000
    assert lines[0]["by"] == "the demo's networks know drawn faces only"
    [drawn, differs, reading, summary, error] = done.stderr.splitlines()
    assert drawn == f"note: {lines[0]['by']}" and reading == f"reading {url}; Ctrl-C ends it"
    assert "each frame is predicted as if the video ended with it" in differs
    assert {task for task in kernels if f"smoothing of {task} (" in differs} == {t for t, k in kernels.items() if k}
    assert summary.startswith("40 frames predicted, 0 dropped, mean latency ") and summary.endswith(" ms, faces: 1")
    assert error.startswith(f"error: {url}: broke off after frame 40 (2.7 s): ")
    with live_streams.server(film.read_bytes()) as url:
        done = invoke(url, *given, "--out", out)
    assert done.exit_code == 2 and "is there already" in done.stderr and len(out.read_text().splitlines()) == 40


def test_a_slow_predictor_drops_frames_and_counts_them(film, standing, monkeypatch, tmp_path):
    predict = stream.LivePredictor.predict

    def slow(self, frame):
        time.sleep(0.25)
        return predict(self, frame)

    monkeypatch.setattr(stream.LivePredictor, "predict", slow)
    parts = live_streams.encode(faces(60))
    out = tmp_path / "lines.jsonl"
    with live_streams.pipe(parts, rate=30) as number, at_stdin(number), Predictor(pretrained=NETWORK) as predictor:
        summary = stream.main("-", False, predictor, StreamOptions(out, drop=True))
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(lines) == summary.frames < 40 and summary.drops == lines[-1]["dropped"] > 0
    assert lines[-1]["frame"] == summary.frames + summary.drops, "each frame is predicted or counted"
    assert max(line["latency_ms"] for line in lines) < 2000


def test_what_waits_for_a_slow_predictor_has_come_long_before_its_line(standing, monkeypatch, capsys):
    """Nothing is dropped: of a frame that waits its own time, that of two before, and that for room pass."""
    predict = stream.LivePredictor.predict
    monkeypatch.setattr(stream.LivePredictor, "predict", lambda *given: (time.sleep(0.2), predict(*given))[1])
    with (
        live_streams.pipe(live_streams.encode(faces(8))) as number,
        at_stdin(number),
        Predictor(pretrained=NETWORK) as predictor,
    ):
        summary = stream.main("-", False, predictor, StreamOptions())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (summary.frames, summary.drops) == (8, 0)
    assert min(line["latency_ms"] for line in lines[3:]) > 790


@contextlib.contextmanager
def at_stdin(number):
    """Let a file number be stdin for a while."""
    before = os.dup(0)
    os.dup2(number, 0)
    try:
        yield
    finally:
        os.dup2(before, 0)
        os.close(before)


def test_people_of_a_stream_keep_their_numbers(monkeypatch):
    """Two faces that are there from the start, a third that comes later, and one that is too small."""
    asked, seen = [], itertools.count()

    def yunet(path, smallest=None):
        asked.append(smallest)
        others = [[210.0, 60.0, 60.0, 60.0, 0.9], [20.0, 20.0, 20.0, 20.0, 0.9], [10.0, 90.0, 70.0, 70.0, 0.9]]
        boxes = np.array([BOX, *others])
        return lambda pixels: boxes[: 3 + (next(seen) > 20)]

    monkeypatch.setattr(detector, "yunet", yunet)
    parts = live_streams.encode(faces(40))
    with live_streams.pipe(parts) as number, at_stdin(number):
        done = invoke("-", "--pretrained", NETWORK, "--faces", 5, "--min-face", 25)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    people = {frame: sorted(line["face"] for line in lines if line["frame"] == frame) for frame in range(1, 41)}
    assert asked == [25.0] and people[1] == people[15] == [1, 2] and people[40] == [1, 2, 3]
    assert all(abs(line["x"] - 210) < 1 for line in lines if line["face"] == 2)


def test_a_frame_without_a_face_is_a_line_too(standing, monkeypatch, capsys):
    monkeypatch.setattr(detector, "yunet", lambda path: lambda pixels: np.empty((0, 5)))
    parts = live_streams.encode(faces(3))
    with live_streams.pipe(parts) as number, at_stdin(number), Predictor(pretrained=NETWORK) as predictor:
        stream.main("-", False, predictor, StreamOptions())
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["face"] for line in lines] == [None] * 3 and "expression" not in lines[0] and lines[2]["frame"] == 3


def test_features_of_another_kind_than_the_heads_learnt_from_are_refused(blends, standing):
    with Predictor(blends[0]) as predictor:
        predictor.networks["features"]["precision"] = "bf16"
        with pytest.raises(InputError, match="that were made with other precision"):
            stream.LivePredictor(predictor)


def test_a_browser_sees_the_frames_with_what_was_predicted(standing, monkeypatch):
    view = stream.View(StreamOptions(serve=0), "a note")
    frame = LiveFrame(7, 1.5, 0.0, 0, next(faces(1)))
    row = {"face": 1, "x": 100.0, "y": 40.0, "width": 112.0, "height": 112.0, "valence": 0.5, "arousal": -0.2}
    try:
        assert view.show(frame, [row]) and view._painter is None, "nothing is drawn where nobody looks"
        with urllib.request.urlopen(f"{view.server.url}stream.mjpg") as answer:
            while not view.server.has_viewers:
                time.sleep(0.01)
            assert view.show(frame, [row])
            assert answer.read(9) == b"--frame\r\n"
    finally:
        view.close()


def start(*arguments, stdin, **environment):
    given = [str(argument) for argument in ("predict", *arguments)]
    # a Ctrl-C that a shell's background job ignores would be ignored here, too
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *given], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env=os.environ | environment,
    )  # fmt: skip


def test_ctrl_c_ends_a_stream_with_a_summary_and_exit_code_0():
    with live_streams.pipe(live_streams.encode(faces(600)), rate=15) as number:
        process = start("-", "--pretrained", NETWORK, stdin=number)
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    whole = [*lines, *out.splitlines(keepends=True)]
    assert [json.loads(line)["frame"] for line in whole] == [*range(1, len(whole) + 1)], "no line is cut off"
    *_, summary = err.decode().splitlines()
    assert summary.startswith(f"{len(whole)} frames predicted, 0 dropped, mean latency ") and "faces: 1" in summary


def test_where_nobody_reads_the_lines_any_more_the_stream_ends_without_an_error():
    with live_streams.pipe(live_streams.encode(faces(600)), rate=15) as number:
        process = start("-", "--pretrained", NETWORK, stdin=number)
        assert json.loads(process.stdout.readline())["frame"] == 1
        process.stdout.close()
        err = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(timeout=60) == 1
    assert "Traceback" not in err and "error" not in err


@pytest.mark.slow
def test_a_stream_in_real_time_is_followed_in_bounded_memory(blends):
    """300 frames at 15 fps from a pipe, all three blends: each line within 2 s of its frame's last byte."""
    real = {"YUNET": "1"} if YUNET.is_file() else {}
    given = [*(part for blend in blends for part in ("--blend", blend)), *(["--detector", YUNET] if real else [])]
    sent, seen, memory = [], {}, []
    reading, writing = os.pipe()
    process = start("-", *given, stdin=reading, **real)
    os.close(reading)
    parts = live_streams.encode(faces(300))
    os.write(writing, parts[0])  # that the pipe is opened; the film goes on when all is loaded
    ready = threading.Event()

    def listen():
        for line in process.stderr:
            if line.startswith(b"reading"):
                ready.set()

    threading.Thread(target=listen, daemon=True).start()

    def write():
        ready.wait(120)
        began = time.monotonic()
        with open(writing, "wb", buffering=0) as file:
            sent.append(began)
            for number, part in enumerate(parts[1:], 1):
                time.sleep(max(0.0, began + number / 15 - time.monotonic()))
                file.write(part)
                sent.append(time.monotonic())

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    own = psutil.Process(process.pid)
    for line in process.stdout:
        said = json.loads(line)
        seen[said["frame"]] = time.monotonic()
        memory.append(own.memory_info().rss)
        assert said["face"] == 1 and said["dropped"] == 0
    assert process.wait(60) == 0
    thread.join(10)
    process.stdout.close()
    process.stderr.close()
    assert [*seen] == [*range(1, 301)]
    late = np.array([seen[number] - sent[number - 1] for number in range(1, 301)])
    first, last = (np.median(part) / 2**20 for part in (memory[:100], memory[-100:]))
    print(f"latency: mean {late.mean():.3f} s, most {late.max():.3f} s; memory: {first:.0f} MiB, then {last:.0f} MiB")
    assert late.max() < 2.0
    assert last < 1.02 * first + 4
