"""Reading videos: order, count, rotation, and files that break off."""

import av
import cv2
import numpy as np
import pytest

from extract.media import video
from extract.runtime.errors import InputError

CLIPS = {".mp4": "mpeg4", ".mov": "mjpeg", ".avi": "mpeg4", ".mkv": "mpeg4", ".webm": "libvpx", ".mpg": "mpeg2video"}


def encode(path, frames, codec="mpeg4", rate=24, **options):
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height = frames[0].shape[1], frames[0].shape[0]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="bgr24")))
        container.mux(stream.encode())
    return path


def greys(count, height=64, width=96):
    """Frame k is a noise-free grey that rises with k, so that its place in the order can be read off."""
    return [np.full((height, width, 3), 20 + 4 * k, np.uint8) for k in range(count)]


def noise(count, height=64, width=96):
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8))


def read(path):
    """The frames, and the text of BrokenVideo or None."""
    frames = []
    try:
        frames.extend(video.read(path))  # extend keeps what came before an exception
    except video.BrokenVideo as error:
        return frames, str(error)
    return frames, None


@pytest.mark.parametrize("extension", CLIPS)
def test_every_container_gives_all_frames_in_order(tmp_path, extension):
    frames, broken = read(encode(tmp_path / f"a{extension}", greys(50), CLIPS[extension]))
    assert broken is None
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 50
    means = np.array([frame.mean() for frame in frames])
    np.testing.assert_allclose(np.diff(means), 4, atol=1.5)  # the codec's colours may be off as a whole


@pytest.mark.parametrize("extension", [".mp4", ".avi", ".mkv", ".webm"])
def test_a_video_that_breaks_off_gives_the_frames_before_and_says_so(tmp_path, extension):
    path = encode(tmp_path / f"a{extension}", noise(60), CLIPS[extension], movflags="faststart")
    whole, broken = read(path)
    assert broken is None and len(whole) == 60
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 - 333])  # not between two packets
    frames, broken = read(path)
    assert 15 <= len(frames) <= 45
    assert f"breaks off after frame {len(frames)} (" in broken
    assert "nan" not in broken
    for got, expected in zip(frames, whole, strict=False):
        np.testing.assert_array_equal(got, expected)


def test_an_mpg_cut_short_states_no_length_but_keeps_the_frames_before(tmp_path):
    path = encode(tmp_path / "a.mpg", noise(60), "mpeg2video")
    whole, _ = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames, _ = read(path)
    assert 15 <= len(frames) <= 45
    for got, expected in zip(frames[:-1], whole, strict=False):  # the last one may lack its lower part
        np.testing.assert_array_equal(got, expected)


def test_nothing_behind_a_damaged_place_is_read_as_its_number_would_be_wrong(tmp_path):
    path = encode(tmp_path / "a.mov", noise(60), "mjpeg")
    data = path.read_bytes()
    hole = len(data) // 20  # three frames
    path.write_bytes(data[: len(data) // 2] + bytes(hole) + data[len(data) // 2 + hole :])
    frames, broken = read(path)
    assert 15 <= len(frames) <= 45 and "cannot be decoded" in broken


@pytest.mark.parametrize("content", [b"", b"no video at all\n", None], ids=["empty", "text", "no index"])
def test_what_is_no_video_is_broken_and_not_a_traceback(tmp_path, content, capfd):
    path = tmp_path / "a.mp4"
    if content is None:
        encode(path, greys(20))  # the index comes last in this file: cut short, there is none
        content = path.read_bytes()[:-400]
    path.write_bytes(content)
    frames, broken = read(path)
    assert frames == [] and broken
    assert capfd.readouterr().err == ""


def test_a_sound_file_has_no_pictures(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 16000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    assert read(tmp_path / "a.mp4") == ([], "no picture stream in it")


TURNS = {  # as phones write it: [a, b, c, d] of the track header's matrix, and what it does to the picture
    "upright": ([1, 0, 0, 1], lambda x: x),
    "90 clockwise": ([0, 1, -1, 0], lambda x: np.rot90(x, -1)),
    "180": ([-1, 0, 0, -1], lambda x: np.rot90(x, 2)),
    "90 counterclockwise": ([0, -1, 1, 0], lambda x: np.rot90(x, 1)),
    "mirrored": ([-1, 0, 0, 1], lambda x: x[:, ::-1]),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_phone_video_comes_upright(tmp_path, turn):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48] = 255, 40, 40
    picture[32:, :48] = 40, 255, 40
    path = encode(tmp_path / "a.mov", [picture] * 5, "mjpeg")
    plain = next(iter(video.read(path)))
    coefficients, turned = TURNS[turn]
    a, b, c, d = coefficients
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 20] = (np.array([a, b, 0, c, d]) * 65536).astype(">i4").tobytes()
    path.write_bytes(bytes(data))
    frames, broken = read(path)
    assert broken is None and len(frames) == 5
    np.testing.assert_array_equal(frames[0], turned(plain))
    if turn != "mirrored":  # OpenCV turns, but does not mirror
        oracle = cv2.VideoCapture(str(path)).read()[1]
        assert oracle.shape == frames[0].shape
        assert np.abs(oracle.astype(int) - frames[0]).mean() < 3


def test_opencv_reads_the_same_frames_where_pyav_cannot(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.avi", noise(12))
    expected, _ = read(path)

    def cannot(*_):
        raise av.error.InvalidDataError(1, "unknown")

    monkeypatch.setattr(av, "open", cannot)
    frames, broken = read(path)
    assert broken is None and len(frames) == 12
    assert max(np.abs(a.astype(int) - b).mean() for a, b in zip(frames, expected, strict=True)) < 3


def test_a_video_that_only_opencv_reads_and_that_breaks_off_is_broken_too(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", noise(60), movflags="faststart")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def cannot(*_):
        raise av.error.InvalidDataError(1, "unknown")

    monkeypatch.setattr(av, "open", cannot)
    frames, broken = read(path)
    assert 15 <= len(frames) <= 45 and broken == f"breaks off after frame {len(frames)}: its header states 60 frames"


def test_memory_holds_one_frame_at_a_time(tmp_path):
    reading = video.read(encode(tmp_path / "a.mp4", greys(50)))
    assert next(reading).mean() < 30  # a generator: the first frame is there before the others are decoded
    reading.close()


def test_stated_frames_are_about_right_and_never_fail(tmp_path):
    assert video.read_frame_count(encode(tmp_path / "a.mp4", greys(48))) == 48
    assert abs(video.read_frame_count(encode(tmp_path / "a.webm", greys(48), "libvpx")) - 48) <= 1
    (tmp_path / "b.mp4").write_bytes(b"x")
    assert video.read_frame_count(tmp_path / "b.mp4") == 0


def test_files_are_listed_by_name_and_strangers_left_out_with_one_warning(tmp_path, capsys):
    for name in ["b.MP4", "a.mov", "notes.txt", ".hidden.mp4"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert {name: file.name for name, file in video.list_files(tmp_path).items()} == {"a": "a.mov", "b": "b.MP4"}
    err = capsys.readouterr().err
    assert err == f"warning: {tmp_path}: left out, as no video by its name or a folder: folder.mp4/, notes.txt\n"
    for k in range(20):
        (tmp_path / f"z{k}.txt").touch()
    video.list_files(tmp_path)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.endswith(" and 12 more\n")


def test_a_folder_of_videos_alone_gives_no_warning(tmp_path, capsys):
    names = [extension[1:] for extension in video.EXTENSIONS]
    for name in names:
        (tmp_path / f"of_{name}.{name}").touch()
    assert len(video.list_files(tmp_path)) == len(names) and {*names} >= {"3gp", "wmv", "m2ts"}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.3gp", "mpeg4"),
        ("a.wmv", "wmv2"),
        ("a.flv", "flv"),
        ("a.ts", "mpeg2video"),
        ("a.m2ts", "mpeg2video"),
        ("a.vob", "mpeg2video"),
        ("a.m4v", "mpeg4"),
    ],
)
def test_rarer_containers_give_all_frames_too(tmp_path, name, codec):
    frames, broken = read(encode(tmp_path / name, greys(50), codec))
    assert broken is None and len(frames) == 50


def test_a_link_to_nothing_is_a_broken_video(tmp_path):
    (tmp_path / "a.mp4").symlink_to("unmounted.mp4")
    assert list(video.list_files(tmp_path)) == ["a"]
    assert read(tmp_path / "a.mp4") == ([], "a link to nothing")


def test_a_folder_without_videos_and_twins_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        video.list_files(tmp_path / "missing")
    with pytest.raises(InputError, match=r"no videos in it; expected files ending in \.mp4"):
        video.list_files(tmp_path)
    (tmp_path / "a.mov").touch()
    (tmp_path / "a.mp4").touch()
    with pytest.raises(InputError, match=r"a\.mp4: video 'a' is also a\.mov"):
        video.list_files(tmp_path)
