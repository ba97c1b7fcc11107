"""Raw videos -> crops in the ABAW layout, with a detector of bright squares; and on real videos with YuNet."""

import hashlib
import itertools
import json
import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from extract.faces import crop_videos, crops, detector
from extract.media import frames, video
from extract.runtime.errors import InputError

SHARED = Path(__file__).parents[4] / "shared"
CLIPS, YUNET = SHARED / "data" / "videos", SHARED / "models" / detector.DETECTOR.file
real = pytest.mark.skipif(not (CLIPS.is_dir() and YUNET.is_file()), reason="the shared folder's videos are not here")

HEIGHT, WIDTH, SIDE = 96, 160, 24


def scene(boxes):
    """A dark frame with bright squares; the detector below finds those whose red is full."""
    frame = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    for x, y, side in boxes:
        frame[y : y + side, x : x + side] = 250
    return frame


def bright_squares(pixels):
    """A stand-in for YuNet: the bounding box of bright columns' runs."""
    bright = (pixels > 150).all(2)
    columns = np.flatnonzero(np.diff(np.r_[0, bright.any(0).astype(int), 0]))
    found = []
    for left, right in columns.reshape(-1, 2):
        rows = np.flatnonzero(bright[:, left:right].any(1))
        found.append([left, rows[0], right - left, rows[-1] - rows[0] + 1, 0.95])
    return np.array(found, float).reshape(-1, 5)


def crop_folder(videos, out, **options):
    return crop_videos.crop_files(video.list_files(videos), out, **options)


def encode(path, scenes, codec="mpeg4"):
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=24)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 2_000_000
        for boxes in scenes:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scene(boxes), format="bgr24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Videos: one face with a gap, two faces, none, one that breaks off, one that is no video."""
    monkeypatch.setattr(crop_videos, "yunet", lambda path: bright_squares)
    videos = tmp_path / "videos"
    videos.mkdir()
    away = range(21, 28)
    encode(videos / "gap.mp4", [[] if k in away else [(20 + k, 30, SIDE)] for k in range(1, 51)])
    encode(videos / "two.avi", [[(20, 20, SIDE), (110, 50, SIDE + 8)]] * 30)
    encode(videos / "none.mkv", [[]] * 20)
    encode(videos / "cut.mp4", [[(40 + k % 3, 30, SIDE)] for k in range(60)])
    cut = (videos / "cut.mp4").read_bytes()
    (videos / "cut.mp4").write_bytes(cut[: len(cut) * 2 // 3])
    (videos / "text.mov").write_text("no video")
    return videos


def tree(out):
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and path.suffix == ".jpg"
    }


def test_crops_carry_official_frame_numbers_and_frames_without_a_face_are_missing(tmp_path, folder):
    report = crop_folder(folder, tmp_path / "out")
    listed = frames.list_videos([tmp_path / "out"])
    assert sorted(listed) == ["cut", "gap", "none", "two"]
    found = {name: frames.list_frames(path) for name, path in listed.items()}
    assert found["gap"].numbers.tolist() == [*range(1, 21), *range(28, 51)]
    assert found["gap"].names[0] == "00001.jpg" and not found["gap"].odd
    assert found["none"].names == () and found["two"].numbers.tolist() == list(range(1, 31))
    assert report.without_face == ["none"]
    assert report.crops == sum(len(each.names) for each in found.values())


def test_what_is_broken_is_listed_with_the_reason_and_keeps_the_frames_before(tmp_path, folder, capsys):
    assert crop_videos.command(folder, tmp_path / "out") == 1
    kept = frames.list_frames(tmp_path / "out" / "cut").numbers
    assert 20 <= len(kept) < 50 and kept.tolist() == list(range(1, len(kept) + 1))
    listed = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert [row["video"] for row in listed] == ["cut", "text"]
    assert f"breaks off after frame {len(kept)}" in listed[0]["reason"]
    out, err = capsys.readouterr()
    assert "no face in 1 of them: none" in out
    assert "cut.mp4: breaks off" in err and "text.mov: no video" in err and "Traceback" not in err


def test_an_unknown_codec_and_a_name_too_long_are_named_and_the_others_are_done_once(tmp_path, monkeypatch):
    monkeypatch.setattr(crop_videos, "yunet", lambda path: bright_squares)
    videos = tmp_path / "videos"
    videos.mkdir()
    long = "ü" * 110
    for name in ("a", "m", "z"):
        encode(videos / f"{name}.mp4", [[(20 + k, 30, SIDE)] for k in range(6)])
    data = (videos / "a.mp4").read_bytes()
    (videos / f"{long}.mp4").write_bytes(data)
    known = encode(videos / "m.mp4", [[(20 + k, 30, SIDE)] for k in range(6)], "libx264").read_bytes()
    assert known.count(b"avc1") >= 1
    (videos / "m.mp4").write_bytes(known.replace(b"avc1", b"q9zz"))  # the codec's name in the track's description
    for _ in range(2):
        report = crop_folder(videos, tmp_path / "out")
        assert (report.videos, report.crops, sorted(report.broken)) == (4, 12, ["m", long])
        assert "no decoder for its codec" in report.broken["m"]
        assert report.broken[long] == f"{long}.mp4: its name is 220 bytes long; 200 are possible: rename it"
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".crops", "a", "failures.json", "z"]
        when = {path: path.stat().st_mtime_ns for name in "az" for path in (tmp_path / "out" / name).iterdir()}
        assert len(when) == 12
    assert {path: path.stat().st_mtime_ns for path in when} == when
    (videos / "m.mp4").unlink()
    (videos / f"{long}.mp4").rename(videos / "short.mp4")
    assert crop_folder(videos, tmp_path / "out").broken == {}


def test_a_second_run_does_nothing_and_says_the_same(tmp_path, folder, monkeypatch):
    first = crop_folder(folder, tmp_path / "out")
    made = tree(tmp_path / "out")
    (folder / "text.mov").unlink()
    monkeypatch.setattr(video, "read", None)
    second = crop_folder(folder, tmp_path / "out")
    assert tree(tmp_path / "out") == made
    assert second.crops == first.crops and list(second.broken) == ["cut"] and second.without_face == ["none"]


def test_two_people_are_left_and_right(tmp_path, folder):
    crop_folder(folder, tmp_path / "out", faces=2)
    names = sorted(frames.list_videos([tmp_path / "out"]))
    assert names == sorted(f"{video}_{side}" for video in ("cut", "gap", "none", "two") for side in ("left", "right"))
    count = {name: len(frames.list_frames(tmp_path / "out" / name).names) for name in names}
    assert count["two_left"] == count["two_right"] == 30
    assert count["gap_left"] == 43 and count["gap_right"] == 0


def test_one_person_is_the_larger_one_and_fills_the_crop(tmp_path, folder):
    crop_folder(folder, tmp_path / "out", size=60)
    picture = Image.open(tmp_path / "out" / "two" / "00007.jpg")
    assert picture.size == (60, 60) and picture.format == "JPEG"
    bright = np.asarray(picture.convert("L")) > 140
    expected = 60 / (1 + 2 * crops.MARGIN)
    assert bright.any(0).sum() == pytest.approx(expected, abs=3) and bright.any(1).sum() == pytest.approx(
        expected, abs=3
    )
    assert np.flatnonzero(bright.any(0)).mean() == pytest.approx(29.5, abs=1.5)


def test_a_kill_in_the_middle_of_a_video_leaves_no_folder_that_counts(tmp_path, folder, monkeypatch):
    save, saved = crops._save, []

    def dies(*args):
        saved.append(args)
        if len(saved) == 55:
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(crops, "_save", dies)
    with pytest.raises(KeyboardInterrupt):
        crop_folder(folder, tmp_path / "out")
    assert sorted(frames.list_videos([tmp_path / "out"])) == ["cut"]
    left = tmp_path / "out" / ".crops" / "gap.part"  # as a killed process leaves it
    left.mkdir()
    (left / "00001.jpg").touch()
    (left / "99999.jpg").touch()
    monkeypatch.setattr(crops, "_save", save)
    crop_folder(folder, tmp_path / "out")
    crop_folder(folder, tmp_path / "undisturbed")
    assert tree(tmp_path / "out") == tree(tmp_path / "undisturbed")
    assert not left.exists()


def test_other_settings_are_refused_with_both_named(tmp_path, folder):
    crop_folder(folder, tmp_path / "out", size=50)
    with pytest.raises(InputError, match="made with size 50; now there is size 60; --redo makes it anew"):
        crop_folder(folder, tmp_path / "out", size=60)


def test_other_settings_with_redo_replace_the_crops_and_those_of_another_number_of_people(tmp_path, folder):
    crop_folder(folder, tmp_path / "out", faces=2)
    with pytest.raises(InputError, match="made with faces 2; now there is faces 1; --redo makes it anew"):
        crop_folder(folder, tmp_path / "out")
    crop_folder(folder, tmp_path / "out", redo=True)
    crop_folder(folder, tmp_path / "fresh")
    assert sorted(frames.list_videos([tmp_path / "out"])) == ["cut", "gap", "none", "two"]
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_a_broken_video_that_was_mended_is_done_again_and_a_changed_whole_one_is_refused(tmp_path, folder):
    crop_folder(folder, tmp_path / "out")
    encode(folder / "cut.mp4", [[(40 + k % 3, 30, SIDE)] for k in range(60)])
    encode(folder / "text.mov", [[(40, 30, SIDE)]] * 5)
    report = crop_folder(folder, tmp_path / "out")
    assert report.broken == {} and not (tmp_path / "out" / "failures.json").exists()
    assert frames.list_frames(tmp_path / "out" / "cut").numbers.tolist() == list(range(1, 61))
    assert len(frames.list_frames(tmp_path / "out" / "text").names) == 5
    encode(folder / "gap.mp4", [[(20, 30, SIDE)]] * 12)
    with pytest.raises(InputError, match=r"gap: made with file size \d+; now there is file size \d+; --redo"):
        crop_folder(folder, tmp_path / "out")
    crop_folder(folder, tmp_path / "out", redo=True)
    assert len(frames.list_frames(tmp_path / "out" / "gap").names) == 12


def test_a_disk_that_fills_up_gives_back_what_the_unfinished_video_took(tmp_path, folder, monkeypatch):
    save, saved = crops._save, []

    def full(*args):
        saved.append(args)
        if len(saved) == 55:
            raise OSError(28, "No space left on device")
        save(*args)

    monkeypatch.setattr(crops, "_save", full)
    with pytest.raises(InputError, match=r"gap: cannot be written \(No space left on device\); free some space"):
        crop_folder(folder, tmp_path / "out")
    assert sorted(frames.list_videos([tmp_path / "out"])) == ["cut"]
    assert list((tmp_path / "out" / ".crops").glob("*.part")) == []


def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path, folder):
    (tmp_path / "out").write_text("a file is in the way")
    with pytest.raises(InputError, match="cannot be written"):
        crop_folder(folder, tmp_path / "out")


def test_a_file_in_the_place_of_a_videos_folder_is_not_touched(tmp_path, folder):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "two").write_text("mine")
    with pytest.raises(InputError, match="out/two: a file is in the way; move it"):
        crop_folder(folder, tmp_path / "out")
    assert (tmp_path / "out" / "two").read_text() == "mine"


@pytest.mark.parametrize("stage", ["old crops gone", "record written", "one of two folders in place"])
def test_a_kill_while_crops_are_replaced_never_leaves_old_or_half_ones_that_count(tmp_path, folder, monkeypatch, stage):
    for name in ("cut.mp4", "gap.mp4", "none.mkv", "text.mov"):
        (folder / name).unlink()
    crop_folder(folder, tmp_path / "out", faces=2, size=40)
    replace, write = os.replace, crop_videos.write_json

    def dies_in_replace(source, target):
        if Path(source).suffix == ".part" and (stage == "record written" or Path(target).name.endswith("_right")):
            raise KeyboardInterrupt
        replace(source, target)

    def dies_in_write(*args):
        if stage == "old crops gone":
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(crop_videos.os, "replace", dies_in_replace)
    monkeypatch.setattr(crop_videos, "write_json", dies_in_write)
    with pytest.raises(KeyboardInterrupt):
        crop_folder(folder, tmp_path / "out", faces=2, size=60, redo=True)
    monkeypatch.setattr(crop_videos.os, "replace", replace)
    monkeypatch.setattr(crop_videos, "write_json", write)
    crop_folder(folder, tmp_path / "out", faces=2, size=60)
    crop_folder(folder, tmp_path / "fresh", faces=2, size=60)
    assert tree(tmp_path / "out") == tree(tmp_path / "fresh")


def test_crops_from_elsewhere_are_taken_as_they_are(tmp_path, folder):
    (tmp_path / "out" / "gap").mkdir(parents=True)
    report = crop_folder(folder, tmp_path / "out")
    assert "gap" not in report.without_face and list((tmp_path / "out" / "gap").iterdir()) == []


@pytest.mark.parametrize("bad", [{"faces": 3}, {"size": 0}])
def test_impossible_settings_are_refused(tmp_path, folder, bad):
    with pytest.raises(InputError, match="expected 1 or 2 faces"):
        crop_folder(folder, tmp_path / "out", **bad)


def test_a_crop_equals_pil_inside_the_frame_and_is_black_outside():
    pixels = np.random.default_rng(0).integers(1, 256, (90, 120, 3), np.uint8)
    box = np.array([40.3, 20.7, 30.0, 36.0])
    side = 36 * (1 + 2 * crops.MARGIN)
    left, top = 55.3 - side / 2, 38.7 - side / 2
    expected = Image.fromarray(pixels).resize((25, 25), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    np.testing.assert_allclose(crops.crop(pixels, box, 25).astype(int), np.asarray(expected, int), atol=1)
    corner = crops.crop(pixels, np.array([-30.0, -30.0, 60.0, 60.0]), 40)
    assert (corner[:18, :18] == 0).all() and (corner[24:, 24:] > 0).all()
    assert (crops.crop(pixels, np.array([500.0, 500.0, 20.0, 20.0]), 8) == 0).all()


def test_a_detector_file_that_is_missing_or_another_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file; expected the face detector face_detection_yunet"):
        detector.yunet(tmp_path / "missing.onnx")
    (tmp_path / "other.onnx").write_bytes(b"other")
    with pytest.raises(InputError, match=r"SHA-256 hash is .* expected 8f2383e4"):
        detector.yunet(tmp_path / "other.onnx")


def test_the_detector_is_found_in_the_cache_folder_before_the_network_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECT_HEADS_CACHE", str(tmp_path))
    (tmp_path / detector.DETECTOR.file).write_bytes(b"damaged")
    with pytest.raises(InputError, match=f"{detector.DETECTOR.file}: SHA-256 hash is"):
        detector.yunet()


@real
def test_the_detector_row_states_the_real_files_hash():
    assert hashlib.sha256(YUNET.read_bytes()).hexdigest() == detector.DETECTOR.sha256


@pytest.mark.slow
@real
def test_real_videos_give_the_crops_that_a_person_expects(tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("WolfgangLanger_Pexels.mp4", "face_noface.mov", "no_face.mp4"):
        (videos / name).symlink_to(CLIPS / name)
    report = crop_folder(videos, tmp_path / "out", detector=YUNET)
    assert report.broken == {} and report.without_face == ["no_face"]
    expressive = frames.list_frames(tmp_path / "out" / "WolfgangLanger_Pexels")
    assert len(expressive.names) >= 0.95 * 472
    # the face is there up to frame 72; then the picture is black, then a title in the clouds
    assert frames.list_frames(tmp_path / "out" / "face_noface").numbers.tolist() == list(range(1, 73))
    middle = [np.asarray(Image.open(tmp_path / "out" / "face_noface" / f"{k:05d}.jpg"), float) for k in (10, 11, 12)]
    assert max(np.abs(a - b).mean() for a, b in itertools.pairwise(middle)) < 6  # crops do not jump


@real
def test_of_several_real_faces_two_are_followed_while_the_picture_moves(tmp_path):
    whole = Image.open(CLIPS / "multi_face.jpg").convert("RGB")
    whole.thumbnail((640, 640))
    width, height = (whole.width - 20) // 2 * 2, whole.height // 2 * 2
    (tmp_path / "videos").mkdir()
    with av.open(str(tmp_path / "videos" / "several.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", 4_000_000
        for k in range(10):
            frame = np.asarray(whole)[:height, k : k + width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode())
    report = crop_folder(tmp_path / "videos", tmp_path / "out", faces=2, detector=YUNET)
    assert report.crops == 20
    left, right = (Image.open(tmp_path / "out" / f"several_{side}" / "00005.jpg") for side in ("left", "right"))
    assert np.abs(np.asarray(left, float) - np.asarray(right, float)).mean() > 20
