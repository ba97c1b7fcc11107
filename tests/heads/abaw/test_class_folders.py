"""Annotations by folder: the class of each picture, the official misspelling, and what is refused."""

from pathlib import Path

import pytest

from extract.runtime.errors import InputError
from heads.abaw import read, test_list
from heads.abaw.tasks import STILLS, find

LSD = find("lsd")
OFFICIAL = ("ANGRER", "DISGUST", "FEAR", "HAPPINESS", "SADNESS", "SURPRISE")


def make(root: Path, folders=OFFICIAL, count: int = 3) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True)
        for i in range(count):
            (root / folder / f"{i}.jpg").write_bytes(b"x")
    return root


def test_it_is_a_task_of_six_classes_in_alphabetical_order():
    assert STILLS["lsd"] is LSD and LSD.outputs == tuple(sorted(LSD.outputs)) and len(LSD.outputs) == 6
    assert LSD.list_header == "image,expression" and LSD.metric == "macro F1" and LSD.stills


@pytest.mark.parametrize("anger", ["ANGRER", "ANGERE", "ANGER", "anger", "Angry"])
def test_each_picture_has_the_class_of_its_folder(tmp_path, anger):
    root = make(tmp_path / "train", (anger, *OFFICIAL[1:]))
    found = read.read_folder(root, LSD)
    listed = read.list_annotated_frames(root, LSD)
    assert listed.names == sorted(found) == read.videos(root, LSD) and len(listed.images) == 18
    for image, v, frame in zip(listed.images, listed.video_of, listed.frame_of, strict=True):
        annotation = found[listed.names[v]]
        said = annotation.values[frame - 1]
        assert annotation.valid.all() and LSD.outputs[said][:3].upper() == image[:3].upper()


def test_a_list_with_classes_is_read_for_scores_in_the_places_of_the_test_list(tmp_path):
    names = [f"{i}.jpg" for i in range(250)]
    for folder, tail in (("lists", ""), ("truth", "4")):
        (tmp_path / folder).mkdir()
        lines = ["image,expression", *(f"{name},{tail and i % 6}" for i, name in enumerate(names))]
        (tmp_path / folder / "test.txt").write_text("\n".join(lines) + "\n")
    listed = test_list.read(tmp_path / "lists" / "test.txt", LSD)
    assert listed.images == names and listed.header == "image,expression"
    truth = read.read_folder(tmp_path / "truth" / "test.txt", LSD)
    found = [truth[listed.names[v]].values[f - 1] for v, f in zip(listed.video_of, listed.frame_of, strict=True)]
    assert found == [i % 6 for i in range(250)]
    with pytest.raises(
        InputError, match=r"test\.txt: line 2: '' is no number.*is this a test list\? expected a folder"
    ):
        read.read_folder(tmp_path / "lists" / "test.txt", LSD)


def test_other_pictures_other_hash(tmp_path):
    before = read.hash_files(make(tmp_path / "train"), LSD)
    assert read.hash_files(tmp_path / "train", LSD) == before
    (tmp_path / "train" / "FEAR" / "0.jpg").rename(tmp_path / "train" / "SADNESS" / "7.jpg")
    assert read.hash_files(tmp_path / "train", LSD) != before


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        ((*OFFICIAL, "NEUTRAL"), r"NEUTRAL: the folder of no class of task 'lsd'; expected ANGER, DISGUST, FEAR, HAPP"),
        ((*OFFICIAL, "ANGER"), r"ANGRER: 'ANGER' is of ANGER too; expected one folder for a class"),
        (OFFICIAL[:4], r"train: no pictures of SADNESS, SURPRISE; expected a folder with some for each class"),
    ],
)
def test_folders_that_are_not_the_classes_are_refused(tmp_path, folders, said):
    with pytest.raises(InputError, match=said):
        read.read_folder(make(tmp_path / "train", folders), LSD)


def test_a_class_without_pictures_is_refused(tmp_path):
    root = make(tmp_path / "train")
    for path in (root / "DISGUST").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="train: no pictures of DISGUST"):
        read.read_folder(root, LSD)


@pytest.mark.parametrize("header", ["image_location,Anger", "image", "image,class"])
def test_lists_of_other_tasks_are_refused(tmp_path, header):
    (tmp_path / "list.txt").write_text(f"{header}\n0.jpg,\n")
    with pytest.raises(InputError, match="expected the header 'image,expression'"):
        test_list.read(tmp_path / "list.txt", LSD)
