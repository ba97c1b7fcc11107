import re
from pathlib import Path

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads import corpus_checks
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.config import Config

EXPR = TASKS["expr"]


@pytest.fixture
def corpus(tmp_path):
    """Forty videos of ten frames each: 20 train, 20 val (v20 ...), and a test list of three others."""
    for part, numbers in (("train", range(20)), ("val", range(20, 40))):
        (tmp_path / part).mkdir()
        for number in numbers:
            (tmp_path / part / f"v{number}.txt").write_text("\n".join([EXPR.header, *["4"] * 10]) + "\n")
    lines = [f"t{n}/{frame:05d}.jpg," for n in range(3) for frame in range(1, 11)]
    (tmp_path / "list.txt").write_text("\n".join(["image_location," + EXPR.header, *lines]) + "\n")
    for video in [f"v{n}" for n in range(40)] + [f"t{n}" for n in range(3)]:
        (tmp_path / "crops" / video).mkdir(parents=True)
        for frame in range(1, 11):
            (tmp_path / "crops" / video / f"{frame:05d}.jpg").touch()
    return tmp_path


def config(corpus, **changes):
    expr = {"train": corpus / "train", "val": corpus / "val", "test": corpus / "list.txt"}
    section = {"name": "c", "frames": corpus / "crops", "expr": expr}
    return Config.model_validate({"corpus": section | changes, "features": {"networks": ["n"]}})


def test_a_good_corpus_is_read_whole(corpus):
    annotations, listed = corpus_checks.read(config(corpus), EXPR)
    assert (len(annotations["train"]), len(annotations["val"])) == (20, 20)
    assert listed["t1"].tolist() == list(range(1, 11))


def test_a_video_in_two_parts_is_refused(corpus):
    (corpus / "val" / "v3.txt").write_text((corpus / "train" / "v3.txt").read_text())
    with pytest.raises(InputError, match=r"val/v3\.txt: the video is in .*train too \(1 are\)"):
        corpus_checks.read(config(corpus), EXPR)


def test_two_sides_of_a_recording_in_two_parts_are_one_line_of_warning(corpus, capsys):
    corpus_checks.read(config(corpus, frames=[]), EXPR)
    assert not capsys.readouterr().err
    for video, name in {
        "train/v3": "x_left",
        "val/v30": "x_right",
        "train/v4": "y_left",
        "train/v5": "y_right",
    }.items():
        path = corpus / f"{video}.txt"
        path.rename(path.with_stem(name))
    corpus_checks.read(config(corpus, frames=[]), EXPR)
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"warning: .*val: 'x_right' is of the same recording as 'x_left' in .*train \(1 such recordings\): .*",
        line,
    )
    with (corpus / "list.txt").open("a") as listed:
        listed.write("y/00001.jpg,\n")
    corpus_checks.read(config(corpus, frames=[]), EXPR)
    (line,) = capsys.readouterr().err.splitlines()
    assert "(2 such recordings)" in line


def test_a_test_video_that_is_annotated_is_refused_with_its_line(corpus):
    with (corpus / "list.txt").open("a") as listed:
        listed.write("v25/00001.jpg,\n")
    with pytest.raises(InputError, match=r"list\.txt: line 32 lists the video 'v25', which is annotated in .*val"):
        corpus_checks.read(config(corpus), EXPR)


def test_a_few_videos_without_a_folder_have_no_face_and_more_are_a_mixup(corpus, capsys):
    (corpus / "val" / "v25.txt").rename(corpus / "val" / "x25.txt")
    corpus_checks.read(config(corpus), EXPR)
    assert "no folder of frames for x25" in capsys.readouterr().err
    (corpus / "val" / "v26.txt").rename(corpus / "val" / "x26.txt")
    with pytest.raises(InputError, match=r"val/x25\.txt: .*no folder of frames called 'x25' \(2 of 20 annotated"):
        corpus_checks.read(config(corpus), EXPR)
    corpus_checks.read(config(corpus, missing_videos=0.1), EXPR)


def test_an_annotation_much_longer_than_its_frames_is_refused_before_anything_is_extracted(corpus):
    path = corpus / "train" / "v7.txt"
    path.write_text(path.read_text() + "4\n" * 10)
    with pytest.raises(InputError, match=r"train/v7\.txt: line 12: .*10 of its 20 frames .*corpus\.missing_tail"):
        corpus_checks.read(config(corpus), EXPR)
    corpus_checks.read(config(corpus, missing_tail=0.5), EXPR)


@pytest.mark.parametrize("frame", ["00100", "1999999999"])
def test_a_typo_in_a_listed_frame_number_is_refused_with_its_line(corpus, frame):
    with (corpus / "list.txt").open("a") as listed:
        listed.write(f"t1/{frame}.jpg,\n")
    with pytest.raises(InputError, match=rf"list\.txt: line 32 lists frame {int(frame)} of the video 't1'"):
        corpus_checks.read(config(corpus), EXPR)


def test_a_listed_video_without_a_face_and_with_an_absurd_frame_is_refused(corpus):
    for path in (corpus / "crops" / "t2").iterdir():
        path.unlink()
    corpus_checks.read(config(corpus), EXPR)
    with (corpus / "list.txt").open("a") as listed:
        listed.write("t2/1999999999.jpg,\n")
    with pytest.raises(InputError, match="lists frame 1999999999"):
        corpus_checks.read(config(corpus), EXPR)


def test_without_frames_only_the_files_are_checked(corpus):
    annotations, listed = corpus_checks.read(config(corpus, frames=[]), EXPR)
    assert len(annotations["val"]) == 20 and len(listed) == 3
    assert isinstance(listed["t0"], np.ndarray)


def annotation(lines: int) -> Annotation:
    return Annotation("v", np.zeros(lines, np.int8), np.ones(lines, bool))


def test_an_annotation_that_goes_on_behind_the_last_face_is_named() -> None:
    folder = Path("Train_Set")
    said = (
        "Train_Set/v.txt: line 76: the annotation goes on for 26 of its 100 frames behind the video's last frame "
        "with a face (74); expected at most 25% of it"
    )
    with pytest.raises(InputError, match=re.escape(said)) as error:
        corpus_checks.check_annotations(folder, {"v": annotation(100)}, {"v": 74}, 0.25)
    assert "corpus.missing_tail" in str(error.value)
    corpus_checks.check_annotations(folder, {"v": annotation(100)}, {"v": 75}, 0.25)
    corpus_checks.check_annotations(folder, {"v": annotation(100)}, {"v": 1}, 1.0)


def test_videos_without_a_face_are_counted_unless_it_is_all_of_them() -> None:
    some = {"v": annotation(9), "faceless": annotation(9)}
    corpus_checks.check_annotations(Path("T"), some, {"v": 9}, 0.25)
    with pytest.raises(InputError, match=r"none of its 2 videos has features \(first: 'v'\)"):
        corpus_checks.check_annotations(Path("T"), some, {}, 0.25)


def test_without_a_test_list_it_is_said_at_the_start_and_which_key_names_one(corpus, capsys):
    corpus_checks.read(config(corpus), EXPR)
    assert capsys.readouterr().err == ""
    corpus_checks.read(config(corpus, expr={"train": corpus / "train", "val": corpus / "val"}), EXPR)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and "no submission" in said[0] and "corpus.expr.test = " in said[0]
