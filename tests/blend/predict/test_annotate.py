"""What is drawn on a frame, and the video it becomes."""

from fractions import Fraction

import av
import numpy as np
import pandas as pd
import pytest

from blend.predict import annotate, video_writer
from blend.predict.source import Timing
from blend.predict.table import score_name
from heads.abaw.tasks import AU, EXPR, VA


def table(frames=6, faces=("single",), tasks=("expr", "au", "va"), gone=()):
    """Made-up predictions; in the frames `gone` there is no face."""
    rows = []
    for frame in range(1, frames + 1):
        for number, face in enumerate(faces):
            row = {"frame": frame, "time": (frame - 1) / 25, "face": face}
            box = [20 + 150 * number, 40, 60, 70] if frame not in gone else [np.nan] * 4
            row |= dict(zip(("x", "y", "width", "height"), box, strict=True))
            seen = frame not in gone
            if "expr" in tasks:
                scores = np.eye(8)[frame % 8] * 0.6 + 0.05
                row |= {"expression": EXPR[frame % 8] if seen else None}
                row |= {name: scores[i] if seen else np.nan for i, name in enumerate(EXPR)}
            if "au" in tasks:
                row |= {unit: (frame + i) % 2 if seen else None for i, unit in enumerate(AU)}
                row |= {score_name(unit): 0.3 if seen else np.nan for unit in AU}
            if "va" in tasks:
                row |= {name: 0.5 - i if seen else np.nan for i, name in enumerate(VA)}
            rows.append(row)
    return pd.DataFrame(rows).astype({unit: "Int8" for unit in AU if "au" in tasks})


def painter(height, width, **about):
    made = table(**about)
    faces = annotate.Face.all_of(made)
    return annotate.Painter(faces, height, width, np.arange(made["frame"].max()) / 25)


@pytest.mark.parametrize(("height", "width"), [(112, 112), (240, 321), (360, 640), (1080, 1920), (2160, 3841)])
@pytest.mark.parametrize("faces", [("single",), ("left", "right")])
def test_letters_are_legible_at_every_size_and_the_size_is_even(height, width, faces):
    paint = painter(height, width, faces=faces)
    wide, high = paint.size
    assert wide % 2 == high % 2 == 0 and annotate.LOWEST <= high <= annotate.HIGHEST
    picture = np.zeros((height, width, 3), np.uint8)
    drawn = paint.frame(2, picture)
    assert drawn.shape == (high, wide, 3) and drawn.dtype == np.uint8
    assert paint._font(11).size >= 11
    panel = drawn[:, wide - paint.panel :]
    assert (panel == 255).any() or (panel > 230).any(), "something bright is written there"


def test_no_box_is_drawn_over_a_name():
    """The second box crosses the place of the first one's name."""

    def drawn(*boxes):
        made = table(frames=1, faces=("left", "right")[: len(boxes)], tasks=("expr",))
        made[["x", "y", "width", "height"]] = np.array(boxes, float)
        faces = annotate.Face.all_of(made)
        return annotate.Painter(faces, 360, 640, np.zeros(1)).frame(0, np.full((360, 640, 3), 128, np.uint8))

    first, second = [200, 200, 120, 120], [150, 100, 120, 88]
    place = np.s_[182:194, 215:300]
    alone, both = drawn(first, [500, 20, 60, 60])[place], drawn(first, second)[place]
    assert alone.std() > 30, "letters on black stand there"
    np.testing.assert_array_equal(both, alone)


def test_the_picture_is_kept_but_for_the_boxes_and_colours_are_not_swapped():
    picture = np.zeros((360, 640, 3), np.uint8)
    picture[:, :, 0] = 200  # blue
    drawn = painter(360, 640).frame(0, picture)[:, :640]
    assert drawn[300, 600].tolist() == [0, 0, 200]
    assert drawn[40, 50].tolist() == list(annotate.COLOURS[0]), "the box's upper edge"
    assert (drawn[120:] == [0, 0, 200]).all(), "nothing is drawn elsewhere"


def test_active_units_are_filled_and_ticked_others_are_not():
    paint = painter(360, 640)
    drawn = paint.frame(0, np.zeros((360, 640, 3), np.uint8))
    x, y = paint.backs[0][1]["units"]
    for i, unit in enumerate(AU):
        wide = (paint.panel - 30) / 3
        left, top = 640 + x + (i % 3) * (wide + 5), y + (i // 3) * 25
        field = drawn[round(top + 2) : round(top + 18), round(left + 2) : round(left + wide - 2)]
        active = (1 + i) % 2
        assert (np.median(field) > 200) == bool(active), unit
    with_tick = drawn[round(y) : round(y + 20), round(640 + x) : round(640 + x + wide)]
    assert with_tick.min() < 60


def test_a_frame_without_a_face_says_so_and_has_no_box():
    paint = painter(360, 640, gone=(3,))
    drawn = paint.frame(2, np.zeros((360, 640, 3), np.uint8))
    assert not drawn[:, :640].any()
    assert (drawn != paint.frame(1, np.zeros((360, 640, 3), np.uint8))).any()
    assert paint.faces[0].at(2) is None and paint.faces[0].at(1) == 1


@pytest.mark.parametrize("tasks", [("au",), ("va",), ("expr",), ("va", "au")])
def test_tasks_that_were_not_predicted_have_no_place(tasks):
    paint = painter(360, 640, tasks=tasks)
    assert ("units" in paint.backs[0][1]) == ("au" in tasks) and ("affect" in paint.backs[0][1]) == ("va" in tasks)
    assert paint.frame(0, np.zeros((360, 640, 3), np.uint8)).any()


def test_a_box_that_sticks_out_of_the_picture_is_drawn_as_far_as_it_goes():
    made = table()
    made[["x", "y", "width", "height"]] = [-40, 300, 900, 200]
    paint = annotate.Painter(annotate.Face.all_of(made), 360, 640, np.arange(6) / 25)
    assert paint.frame(0, np.zeros((360, 640, 3), np.uint8))[:, :640].any()
    made[["x", "y", "width", "height"]] = [700, 10, 50, 50]
    paint = annotate.Painter(annotate.Face.all_of(made), 360, 640, np.arange(6) / 25)
    assert not paint.frame(0, np.zeros((360, 640, 3), np.uint8))[:, :640].any()


def shown(path):
    """Times of the decodable frames, and the stream's rate, codec and sound."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [float(frame.pts * frame.time_base) for frame in container.decode(stream)]
        return (
            times,
            stream.average_rate,
            stream.codec_context.name,
            [a.codec_context.name for a in container.streams.audio],
        )


@pytest.mark.parametrize("rate", [Fraction(30), Fraction(24000, 1001), Fraction(25, 2)])
def test_a_constant_rate_is_kept_exactly(tmp_path, rate):
    frames = [np.full((48, 64, 3), 10 * k, np.uint8) for k in range(12)]
    timing = Timing(rate, np.arange(12) / float(rate))
    assert video_writer.write(tmp_path / "a.mp4", iter(frames), (64, 48), timing) == ""
    times, average, codec, sound = shown(tmp_path / "a.mp4")
    assert average == rate and codec == "h264" and sound == []
    np.testing.assert_allclose(times, timing.seconds, atol=1e-4)


def test_uneven_frames_keep_their_times(tmp_path):
    seconds = np.array([0, 0.04, 0.05, 0.2, 0.2, 0.5])
    frames = [np.full((48, 64, 3), 10 * k, np.uint8) for k in range(6)]
    video_writer.write(tmp_path / "a.mp4", iter(frames), (64, 48), Timing(Fraction(25), seconds))
    np.testing.assert_allclose(shown(tmp_path / "a.mp4")[0], seconds, atol=1e-3)


def with_sound(path, codec, start=0.0):
    """A film of a second whose sound begins with it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = container.add_stream(codec, rate=16000)
        for k in range(25):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 5 * k, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        samples = (np.sin(np.arange(16000) * 0.2) * 8000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 16000
        resampler = av.AudioResampler(format=noise.format, layout="mono", rate=16000)
        for part in resampler.resample(frame):
            container.mux(noise.encode(part))
        container.mux(noise.encode())
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(("codec", "said"), [("aac", "copied"), ("pcm_s16le", "left out (pcm_s16le)")])
def test_sound_is_copied_where_mp4_takes_it(tmp_path, codec, said):
    source = with_sound(tmp_path / "a.mkv", codec)
    frames = [np.full((48, 64, 3), 10 * k, np.uint8) for k in range(25)]
    timing = Timing(Fraction(25), np.arange(25) / 25)
    assert video_writer.write(tmp_path / "b.mp4", iter(frames), (64, 48), timing, source) == said
    times, _, _, sound = shown(tmp_path / "b.mp4")
    assert len(times) == 25 and sound == (["aac"] if said == "copied" else [])
    if sound:
        with av.open(str(tmp_path / "b.mp4")) as container:
            heard = sum(frame.samples for frame in container.decode(audio=0))
        assert heard == pytest.approx(16000, abs=3000)


def test_a_film_that_cannot_be_finished_leaves_nothing(tmp_path):
    def breaks():
        yield np.zeros((48, 64, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video_writer.write(tmp_path / "a.mp4", breaks(), (64, 48), Timing(Fraction(25), np.arange(3) / 25))
    assert list(tmp_path.iterdir()) == []


def test_of_recordings_put_end_to_end_the_sound_ends_where_the_clock_begins_anew(tmp_path):
    piece = with_sound(tmp_path / "a.ts", "aac").read_bytes()
    (tmp_path / "joined.ts").write_bytes(piece + piece)
    frames = [np.full((48, 64, 3), 5 * k, np.uint8) for k in range(50)]
    timing = Timing(Fraction(25), np.arange(50) / 25)
    assert video_writer.write(tmp_path / "b.mp4", iter(frames), (64, 48), timing, tmp_path / "joined.ts") == "copied"
    assert len(shown(tmp_path / "b.mp4")[0]) == 50
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert sum(frame.samples for frame in container.decode(audio=0)) == pytest.approx(16000, abs=3000)


def rows_of(number, valence=0.5):
    """A stream's row of a face."""
    box = {"x": 20.0 + number, "y": 30.0, "width": 60.0, "height": 70.0}
    scores = {name: 1 / 8 for name in EXPR} | {"Happiness": 0.7}
    units = {unit: number % 2 for unit in AU}
    return {"face": 1} | box | {"expression": "Happiness"} | scores | units | {"valence": valence, "arousal": 0.1}


@pytest.mark.parametrize("numbered", [False, True])
def test_a_streams_frames_are_drawn_as_a_files_are(numbered):
    """The last of them, by a painter that saw all frames of the last second as a table."""
    picture = np.full((240, 320, 3), 100, np.uint8)
    live, rows = annotate.LivePainter("a note", numbered), [rows_of(number, number / 40 - 0.5) for number in range(30)]
    for number, row in enumerate(rows):
        drawn = live.frame(number + 1, number / 10, picture, [row])
    table = pd.DataFrame(rows[-11:])
    faces = annotate.Face.all_of(table if numbered else table.astype({"face": str}))
    seconds = np.arange(19, 30) / 10
    whole = annotate.Painter(faces, 240, 320, seconds, "a note", "frame 30   2.90 s").frame(10, picture)
    np.testing.assert_array_equal(drawn, whole)
    assert len(live._seen) == 11, "the last second"


def test_a_stream_without_a_face_is_drawn_without_a_panel_and_one_whose_face_has_gone_with_an_empty_one():
    picture = np.full((240, 320, 3), 100, np.uint8)
    live = annotate.LivePainter()
    assert live.frame(1, 0.0, picture, []).shape[1] == 640
    wide = live.frame(2, 0.1, picture, [rows_of(0)]).shape
    assert wide[1] > 640
    gone = live.frame(60, 9.0, picture, [])
    assert gone.shape == wide, "the picture does not jump"
    assert (gone != live.frame(61, 9.1, picture, [rows_of(0)])).any()
    other = [rows_of(0), rows_of(1) | {"face": 2}]
    assert live.frame(62, 9.2, picture, other).shape[1] > wide[1]
    assert live.frame(63, 9.3, np.zeros((120, 320, 3), np.uint8), other).shape[0] != wide[0]
