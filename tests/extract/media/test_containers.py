"""Damaged containers: whatever frames are lost is said, and an intact file is never suspected."""

from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from support.sweeps import sweep

from extract.media import containers, video

FRAMES, RATE = 72, 24
CODECS = {
    "a.mp4": "mpeg4",
    "a.mov": "mjpeg",
    "a.avi": "mpeg4",
    "b.avi": "mjpeg",
    "a.mkv": "mpeg4",
    "a.webm": "libvpx",
    "a.mpg": "mpeg2video",
    "b.mpg": "mpeg1video",
}


def encode(path, codec, *, times=None, sound=None, sound_first=False, late=0, frames=FRAMES, **options):
    """Noise, so that every frame takes some kilobytes; `times` are milliseconds, `sound` a codec, `late` frames."""
    rng = np.random.default_rng(0)
    clock = Fraction(1, 1000) if times else Fraction(1, RATE)
    with av.open(str(path), "w", options=options) as container:
        hear = container.add_stream(sound, rate=48000, layout="stereo") if sound_first else None
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.bit_rate = 96, 64, 1_000_000
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times:
            stream.codec_context.time_base = clock
        if sound and not sound_first:
            hear = container.add_stream(sound, rate=48000, layout="stereo")
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 256, (64, 96, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = times[k] if times else k + late, clock
            container.mux(stream.encode(frame))
            if hear:
                container.mux(hear.encode(_sound(hear, k)))
        container.mux(stream.encode())
        if hear:
            container.mux(hear.encode())
    return path


def _sound(stream, k):
    samples = stream.rate // RATE
    noise = np.random.default_rng(k).normal(0, 3000, (1, 2 * samples)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = stream.rate, k * samples, Fraction(1, stream.rate)
    return frame


def read(path):
    """How many frames there are, and the text of BrokenVideo or None."""
    count = 0
    try:
        for _ in video.read(path):
            count += 1
    except video.BrokenVideo as error:
        return count, str(error)
    return count, None


@pytest.mark.parametrize("name", CODECS)
def test_a_file_that_was_cut_anywhere_is_never_taken_for_whole(tmp_path, name):
    path = encode(tmp_path / name, CODECS[name], **({"movflags": "faststart"} if name == "a.mp4" else {}))
    assert read(path) == (FRAMES, None)
    assert containers.cut_short(path) == ""
    whole = path.read_bytes()
    for part in (0.45, 0.83, 0.93, 0.985):
        cut = int(part * len(whole))
        path.write_bytes(whole[: cut + (cut % 2048 == 0)])  # packs of program streams begin every 2048 bytes
        count, broken = read(path)
        assert broken, f"{count} of {FRAMES} frames at {part}, and nothing was said"
        if name not in ("a.mp4", "a.mov"):  # these have boxes, which PyAV's own checks cover
            assert f"the file has {len(path.read_bytes()):,} bytes" in containers.cut_short(path)


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("filler", ["zeros", "noise"])
def test_a_hole_in_the_middle_never_loses_frames_silently(tmp_path, name, filler):
    path = encode(tmp_path / name, CODECS[name])
    whole = path.read_bytes()
    for part in (0.2, 0.5, 0.8):
        at, size = int(part * len(whole)), len(whole) // 10
        hole = bytes(size) if filler == "zeros" else np.random.default_rng(1).bytes(size)
        path.write_bytes(whole[:at] + hole + whole[at + size :])
        count, broken = read(path)
        assert count < FRAMES and broken, f"{count} of {FRAMES} frames at {part}, and nothing was said"
        if "lacks about" in broken:
            assert abs(int(broken.split("lacks about ")[1].split()[0]) - (FRAMES - count)) <= 2
            assert abs(int(broken.split("behind frame ")[1].split()[0]) - part * FRAMES) <= 14


def jitter(seed, usual=33):
    """A webcam's times: uneven, with pauses."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.choice([usual, usual, usual + 1, 2 * usual, 5 * usual], FRAMES)).tolist()


def dropped(frames):
    """Constant times of `frames` frames, some of which the recorder left out."""
    return [round(1000 * k / RATE) for k in range(frames) if k not in (30, 31, 40)]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.webm", "libvpx", {"times": jitter(0)}),
        ("a.webm", "libvpx", {"times": jitter(1), "sound": "libopus"}),
        ("live.webm", "libvpx", {"times": jitter(2), "live": "1"}),
        ("a.mkv", "mpeg4", {"times": dropped(FRAMES + 3)}),
        ("a.mkv", "mpeg4", {"sound": "ac3"}),
        ("a.avi", "mpeg4", {"sound": "mp2"}),
        ("a.mp4", "mpeg4", {"sound": "aac"}),
        ("frag.mp4", "mpeg4", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mpg", "mpeg2video", {"sound": "mp2"}),
        *[
            pytest.param(
                name,
                codec,
                {"late": late, **({"sound": sound} if sound else {})},
                marks=() if (late == RATE) == (sound is None) else pytest.mark.slow,
            )
            for name, codec, with_sound in [
                ("late.mkv", "mpeg4", "ac3"),
                ("late.webm", "libvpx", "libopus"),
                ("late.mp4", "mpeg4", "aac"),
                ("late.mov", "mpeg4", "aac"),
                ("late.avi", "mpeg4", "mp2"),
                ("late.mpg", "mpeg2video", "mp2"),
                ("late.flv", "flv", "aac"),
                ("late.ts", "mpeg2video", "mp2"),
            ]
            for sound in (None, with_sound)
            for late in (RATE, 2 * RATE)
        ],
        ("late.wmv", "wmv2", {"late": 3 * RATE}),
    ],
)
def test_intact_files_are_not_suspected(tmp_path, name, codec, options):
    path = encode(tmp_path / name, codec, **options)
    assert containers.cut_short(path) == ""
    assert read(path) == (FRAMES, None)


SOUND_FIRST = {
    "a.mp4": ("libx264", "aac"),
    "b.mp4": ("mpeg4", "aac"),
    "a.mov": ("libx264", "aac"),
    "a.avi": ("mpeg4", "mp2"),
    "a.mkv": ("libx264", "aac"),
    "b.mkv": ("mpeg4", "ac3"),
    "a.webm": ("libvpx-vp9", "libopus"),
    "a.mpg": ("mpeg2video", "mp2"),
}


@pytest.mark.parametrize(
    ("name", "sound_first"),
    sweep(
        [(name, first) for name in SOUND_FIRST for first in (True, False)],
        [(name, k % 2 == 0) for k, name in enumerate(SOUND_FIRST)],
    ),
)
def test_frames_that_the_decoder_holds_back_come_wherever_the_sound_stands(tmp_path, name, sound_first):
    codec, sound = SOUND_FIRST[name]
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV is built without {codec}")
    path = encode(tmp_path / name, codec, sound=sound, sound_first=sound_first)
    with av.open(str(path)) as container:
        assert container.streams[0].type == ("audio" if sound_first else "video")
    assert read(path) == (FRAMES, None)


def test_frames_that_an_avis_recorder_left_out_are_no_loss(tmp_path):
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in [*range(20), *range(28, 50)]:
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 4 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 50, "the container counts them"
    assert read(path) == (42, None)


def test_what_is_no_container_states_nothing(tmp_path):
    for content in (b"", b"no video", b"RIFF", b"\x1a\x45\xdf\xa3", b"\0\0\1\xba", bytes(5000), b"RIFF" + bytes(100)):
        (tmp_path / "x").write_bytes(content)
        assert containers.cut_short(tmp_path / "x") in ("", *_said(content))


def _said(content):
    """A program stream that ends within its first packet is indeed cut."""
    return [f"the file has {len(content)} bytes, it says that there are at least 6"]


def watch(times, packets):
    watched, end = containers.Watch(), 0
    for frame, skip in packets:
        watched.packet(SimpleNamespace(size=100, pos=end + skip, is_corrupt=False, is_keyframe=True), is_picture=True)
        end += skip + 100
        watched.frame(times[frame])
    return watched


def test_a_gap_counts_in_matroska_only_where_bytes_are_lost_and_always_in_program_streams():
    times = [k / 25 for k in [*range(200), *range(210, 400)]]
    even = [(k, 10) for k in range(len(times))]
    assert watch(times, even).describe_loss("matroska,webm", 0) == ""
    assert "lacks about 10 frames behind frame 200 (8.0 s)" in watch(times, even).describe_loss("mpeg", 0)
    holed = [(k, 5000 if k == 200 else 10) for k in range(len(times))]
    assert "lacks about 10 frames behind frame 200" in watch(times, holed).describe_loss("matroska,webm", 0)
    elsewhere = [(k, 5000 if k == 20 else 10) for k in range(len(times))]
    assert watch(times, elsewhere).describe_loss("matroska,webm", 0) == ""
    assert watch(times, holed).describe_loss("mov,mp4,m4a,3gp,3g2,mj2", 0) == ""


def test_film_pulled_down_to_television_has_uneven_times_and_lacks_nothing():
    times = np.cumsum([0.0, *([1 / 30, 1 / 20] * 100)]).tolist()
    assert watch(times, [(k, 0) for k in range(len(times))]).describe_loss("mpeg", 0) == ""


def test_no_frame_and_one_frame_lack_nothing():
    assert containers.Watch().describe_loss("mpeg", 0) == ""
    assert watch([0.0], [(0, 0)]).describe_loss("matroska,webm", 0) == ""
