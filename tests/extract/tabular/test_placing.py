"""Where rows of other people's tables belong: video and frame, by columns, by pictures' names, by counted pictures."""

import csv
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from extract.features import store
from extract.media import tables
from extract.runtime.errors import InputError
from extract.tabular import importer
from extract.tabular.formats import Choice, plan
from extract.tabular.placing import Places


def places(tmp_path, header="video,frame,x", choice=None):
    (tmp_path / "header.csv").write_text(header + "\n")
    return Places(plan(tables.read_columns(tmp_path / "header.csv"), choice or Choice()))


def placed(places, names, stated=None):
    stated = np.arange(1.0, len(names) + 1) if stated is None else np.array(stated, float)
    found = places.of(np.array(names, object), stated, Path("t.csv"), 5)
    return {video: list(zip(at.tolist(), numbers.tolist(), strict=True)) for video, at, numbers in found}


def read(work, name, video):
    return store.read(store.path(work, name, video))


def test_rows_are_grouped_by_video_without_folder_and_extension(tmp_path):
    names = ["in/a.mp4", "b", "in\\a.mp4", "c.d", "C:\\x\\e.MOV", "folder/"]
    got = placed(places(tmp_path), names)
    assert got == {"a": [(0, 1), (2, 3)], "b": [(1, 2)], "c.d": [(3, 4)], "e": [(4, 5)], "folder": [(5, 6)]}


@pytest.mark.parametrize("name", [None, "", ".hidden", "..", "a\0b"])
def test_what_cannot_be_a_videos_name_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"row 6: "):
        placed(places(tmp_path), ["a", name])


def test_two_files_of_one_name_are_no_one_video(tmp_path):
    for other in ("y/clip.mp4", "x/clip.mov", "clip"):
        with pytest.raises(InputError, match=r"row 6: video 'clip' is .* and x/clip\.mp4 before"):
            placed(places(tmp_path), ["x/clip.mp4", other])
    both = places(tmp_path)
    placed(both, ["x/clip.mp4"])
    with pytest.raises(InputError, match="rename one of them"):  # in another piece of the table
        placed(both, ["y/clip.mp4"], [77])


def test_pictures_of_one_folder_are_frames_of_one_video_by_their_names(tmp_path):
    rng = np.random.default_rng(0)
    numbers = rng.permutation(np.arange(1, 400))[:60]
    names = [f"/corpus/clip{n % 2}/{n:05d}.{('jpg', 'PNG', 'jpeg')[n % 3]}" for n in numbers]
    got = placed(places(tmp_path), names, rng.integers(1, 9, 60))
    for video in (0, 1):
        expected = [(i, n) for i, n in enumerate(numbers.tolist()) if n % 2 == video]
        assert got[f"clip{video}"] == expected
    assert placed(places(tmp_path), ["a\\frame_0012.jpg", "b/img3_07.png"]) == {"a": [(0, 12)], "b": [(1, 7)]}
    from_0 = places(tmp_path, choice=Choice(first_frame=0))
    assert placed(from_0, ["a/00000.jpg", "a/00007.jpg"]) == {"a": [(0, 1), (1, 8)]}


def test_pictures_that_do_not_say_where_they_belong_are_refused(tmp_path):
    for name, text in (("00001.jpg", "does not say"), ("a/face.jpg", "does not say"), ("a/00000.png", "from 0: add")):
        with pytest.raises(InputError, match=f"row 6: .*{text}"):
            placed(places(tmp_path), ["a/00003.jpg", name])


def test_py_feat_over_pictures_of_two_people_does_not_mix_them(tmp_path):
    with open(tmp_path / "fex.csv", "w", newline="") as handle:
        out = csv.writer(handle)
        out.writerow(["", "FaceScore", "AU01", "AU12", "input", "frame"])
        row = 0
        for person, shade in (("ann", 0.25), ("bob", 0.75)):
            for number in (3, 4, 9):
                out.writerow([row, 0.9, shade, number / 16, f"/data/{person}/{number:05d}.jpg", row])
                row += 1
    done = importer.main(tmp_path / "fex.csv", "pf", tmp_path)
    assert (done.plan.format.name, done.videos, done.frames) == ("pyfeat", 2, 6)
    for person, shade in (("ann", 0.25), ("bob", 0.75)):
        got = read(tmp_path, "pf", person)
        assert got.frame.tolist() == [3, 4, 9]
        assert got.embedding.tolist() == [[shade, 3 / 16], [shade, 4 / 16], [shade, 9 / 16]]


def openface(path, rows, clock):
    lines = ["frame, face_id, timestamp, confidence, success, AU01_r"]
    lines += [f"{k}, 0, {clock * (k - 1):.3f}, 0.98, 1, {k / 64}" for k in range(1, rows + 1)]
    path.write_text("\n".join(lines) + "\n")


def test_openface_over_a_folder_of_pictures_gets_their_numbers(tmp_path):
    (tmp_path / "of").mkdir()
    openface(tmp_path / "of" / "gaps.csv", 5, clock=0)
    openface(tmp_path / "of" / "film.csv", 5, clock=1 / 30)  # read from a video: its own numbers are right
    for number in (2, 3, 7, 11, 30):
        (tmp_path / "frames" / "gaps").mkdir(parents=True, exist_ok=True)
        (tmp_path / "frames" / "gaps" / f"{number:05d}.jpg").touch()
    importer.main(tmp_path / "of", "of", tmp_path, roots=[tmp_path / "frames"])
    assert read(tmp_path, "of", "gaps").frame.tolist() == [2, 3, 7, 11, 30]
    assert read(tmp_path, "of", "gaps").embedding[:, 0].tolist() == [k / 64 for k in range(1, 6)]
    assert read(tmp_path, "of", "film").frame.tolist() == [1, 2, 3, 4, 5]
    (tmp_path / "frames" / "gaps" / "00008.jpg").touch()
    with pytest.raises(InputError, match=r"gaps\.csv: .* 5 rows, but .*gaps has 6 pictures"):
        importer.main(tmp_path / "of", "of", tmp_path, roots=[tmp_path / "frames"])


def test_openface_counting_pictures_that_are_not_known_is_refused_unless_the_user_vouches(tmp_path):
    openface(tmp_path / "clip.csv", 4, clock=0)
    (tmp_path / "frames" / "other").mkdir(parents=True)
    for roots, text in (([], "names no corpus.frames"), ([tmp_path / "frames"], "has no folder 'clip'")):
        with pytest.raises(InputError, match=f"timestamps are all 0.*{text}.*--frame-column frame"):
            importer.main(tmp_path / "clip.csv", "of", tmp_path, roots=roots)
    importer.main(tmp_path / "clip.csv", "of", tmp_path, Choice(frame="frame"))
    assert read(tmp_path, "of", "clip").frame.tolist() == [1, 2, 3, 4]


def test_a_decomposed_name_in_a_table_is_the_composed_one(tmp_path):
    name = "Chloé_Ångström"
    (tmp_path / "in").mkdir()
    for form, frame in (("NFD", 1), ("NFC", 2)):
        (tmp_path / "in" / f"{form}.csv").write_text(
            f"video,frame,x\n{unicodedata.normalize(form, name)},{frame},0.5\n"
        )
    openface(tmp_path / (unicodedata.normalize("NFD", name) + ".csv"), 2, clock=1)
    importer.main(tmp_path / "in", "mine", tmp_path)
    importer.main(tmp_path / (unicodedata.normalize("NFD", name) + ".csv"), "of", tmp_path)
    assert store.videos(tmp_path, "mine") == store.videos(tmp_path, "of") == [name]
    assert read(tmp_path, "mine", name).frame.tolist() == [1, 2]


def test_a_header_without_rows_is_a_video_without_a_face(tmp_path):
    openface(tmp_path / "a.csv", 3, clock=0.04)
    openface(tmp_path / "b.csv", 0, clock=0.04)
    (tmp_path / "in").mkdir()
    for name in "ab":
        (tmp_path / f"{name}.csv").rename(tmp_path / "in" / f"{name}.csv")
    done = importer.main(tmp_path / "in", "of", tmp_path)
    assert (done.videos, done.frames) == (2, 3)
    empty = read(tmp_path, "of", "b")
    assert empty.frame.tolist() == [] and empty.embedding.shape == (0, 1)
    (tmp_path / "in" / "a.csv").unlink()
    with pytest.raises(InputError, match="no rows in it"):
        importer.main(tmp_path / "in", "none", tmp_path)
