"""Sets of single pictures: every picture once, neighbours together, classes alike, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from extract.config import Corpus, PicturePaths
from extract.features import pipeline, provenance
from extract.media import picture_sets
from extract.runtime.errors import InputError

COUNTS = {"ANGRER": 250, "FEAR": 7, "SURPRISE": 1000}


def make(root: Path, counts: dict[str, int] = COUNTS) -> Path:
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for i in range(1, count + 1):
            (root / folder / f"{i}.jpg").write_bytes(b"x")
    return root


def test_every_picture_is_in_one_set_and_neighbours_stay_together(tmp_path):
    sets = picture_sets.list_folder(make(tmp_path / "faces"))
    assert list(sets) == [f"faces-{i:02d}" for i in range(100)]
    pictures = [name for video in sets.values() for name in video.names]
    assert sorted(pictures) == sorted(f"{c}/{i}.jpg" for c, n in COUNTS.items() for i in range(1, n + 1))
    for folder, count in COUNTS.items():
        own = [[int(Path(n).stem) for n in v.names if n.startswith(folder)] for v in sets.values()]
        assert [number for part in own for number in part] == list(range(1, count + 1)), "2 before 10, in order"
        assert max(map(len, own)) - min(map(len, own)) <= 1, "each set has the same part of a class"
    frames = sets["faces-00"].list_frames()
    assert frames.is_subset and frames.numbers.tolist() == list(range(1, len(frames.names) + 1)) and not frames.odd


@pytest.mark.parametrize("count", [1, 3, 99, 100, 101, 106_120])
def test_listed_pictures_are_placed_in_the_lists_order(tmp_path, count):
    names, set_of, frame = picture_sets.place_listed_pictures(tmp_path / "list.txt", count)
    assert len(names) == min(count, 100) and names == sorted(set(names))
    assert (np.diff(set_of) >= 0).all() and set(set_of.tolist()) == set(range(len(names)))
    for v in range(len(names)):
        assert frame[set_of == v].tolist() == list(range(1, int((set_of == v).sum()) + 1))


def corpus(tmp_path: Path, **changes: Path) -> Corpus:
    make(tmp_path / "train"), make(tmp_path / "val", {"FEAR": 3})
    (tmp_path / "list.txt").write_text("image,expression\n1.jpg,\n0.jpg,\n")
    (tmp_path / "pictures").mkdir()
    for name in ("0.jpg", "1.jpg"):
        (tmp_path / "pictures" / name).write_bytes(b"x")
    given = {name: tmp_path / name for name in ("train", "val", "pictures")} | {"test": tmp_path / "list.txt"}
    return Corpus(name="some", lsd=PicturePaths(**given | changes))


def test_a_corpus_has_the_sets_of_all_parts(tmp_path):
    videos = picture_sets.list_corpus(corpus(tmp_path))
    assert len(videos) == 100 + 3 + 2
    assert videos["list-00"].names == ("1.jpg",) and videos["list-50"].names == ("0.jpg",)
    assert videos["list-00"].folder == tmp_path / "pictures" and videos["val-66"].names == ("FEAR/3.jpg",)


def test_an_enlarged_folder_of_the_same_name_is_noticed(tmp_path):
    root = make(tmp_path / "faces")
    name, video = next(iter(picture_sets.list_folder(root).items()))
    job = pipeline.Job(name, video.folder, video.list_frames())
    before = provenance.describe_video(job, [], "")["pictures"]
    (root / video.names[0]).write_bytes(b"larger")
    assert provenance.describe_video(job, [], "")["pictures"] != before
    failure = pipeline.Failure(root / video.names[1], "damaged")
    assert f'"{video.names[1]}"' in provenance.describe_video(job, [failure], "")["unreadable"], "with its class"


def loose(folder: Path) -> None:
    (folder / "train" / "one.png").write_bytes(b"x")


def no_pictures(folder: Path) -> None:
    for path in (folder / "val").rglob("*.jpg"):
        path.unlink()


def outside(folder: Path) -> None:
    (folder / "list.txt").write_text("image,expression\n0.jpg,\n../1.jpg,\n")


def no_list(folder: Path) -> None:
    (folder / "list.txt").write_text("image,expression\n")


def fewer(folder: Path) -> None:
    (folder / "pictures" / "0.jpg").unlink()


def twice(folder: Path) -> None:
    (folder / "list.txt").rename(folder / "val.txt")


@pytest.mark.parametrize(
    ("spoil", "changes", "said"),
    [
        (None, {"train": "list.txt"}, r"list\.txt: a file, expected a folder that holds a folder of pictures"),
        (None, {"val": "gone"}, r"gone: cannot be read \(No such file or directory\)"),
        (None, {"pictures": "gone"}, r"gone: no such folder; expected the one that holds '1\.jpg' of .*list\.txt"),
        (loose, {}, r"one\.png: a picture of no class \(1 are\)"),
        (no_pictures, {}, r"val: no folder with a picture in it"),
        (outside, {}, r"list\.txt: line 3 begins with '\.\./1\.jpg', expected a picture's name"),
        (no_list, {}, r"list\.txt: no pictures behind the header"),
        (fewer, {}, r"list\.txt: line 3 lists '0\.jpg', which is not in .*pictures \(1 of 2 listed pictures are not\)"),
        (twice, {"test": "val.txt"}, r"val\.txt: 'val-00', its pictures' name in results, is also that of .*val"),
    ],
)
def test_bad_input_is_one_line(tmp_path, spoil, changes, said):
    given = corpus(tmp_path, **{key: tmp_path / name for key, name in changes.items()})
    if spoil is not None:
        spoil(tmp_path)
    with pytest.raises(InputError, match=said):
        picture_sets.list_corpus(given)
