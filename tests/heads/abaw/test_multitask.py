"""The multi-task challenge's annotation file: against a naive reader, and every way it can be wrong."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from support import command_server

from extract import config as extract_config
from extract.runtime.errors import InputError
from heads import corpus_checks
from heads.abaw import multitask as multitask_file
from heads.abaw import read as labels
from heads.abaw import tasks, test_list
from heads.abaw.tasks import JOINT, MTL, NAMES, SINGLE_TASKS, SUBTASKS, TASKS, find
from heads.config import Config
from heads.data import table

UNITS = "0,0,1,1,0,0,1,0,0,0,1,0"
LONG = f"image,valence,arousal,expression,{','.join(TASKS['au'].outputs)}"


def write(path: Path, *lines: str, header: str = tasks.MTL_HEADER, end: str = "\n") -> Path:
    path.write_bytes((end.join((header, *lines)) + end).encode())
    return path


def random_lines(seed: int, count: int = 400):
    """Pictures of five videos in any order, with any mix of invalid parts."""
    rng = np.random.default_rng(seed)
    places = rng.choice(5 * 200, count, replace=False)
    lines = []
    for place in places:
        affect = [f"{v:.3f}" for v in rng.uniform(-1, 1, 2)]
        units = list(map(str, rng.integers(0, 2, 12)))
        expression = str(rng.integers(0, 8))
        how = rng.random(3)
        if how[0] < 0.3:
            affect = ["-5", "-5"] if how[0] < 0.2 else [affect[0], "-5.0"]
        if how[1] < 0.4:
            expression = "-1"
        if how[2] < 0.3:
            units = ["-1"] * 12 if how[2] < 0.2 else [*units[:7], "-1", *units[8:]]
        lines.append(f"v{place // 200}/{place % 200 + 1:05d}.jpg,{','.join((*affect, expression, *units))}")
    return lines


@pytest.mark.parametrize("name", ["va", "expr", "au"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_are_used_for_exactly_the_parts_that_they_are_valid_for(tmp_path, name, seed):
    """Counted by a naive reader over lines with every mix of invalid parts; the same rows, with the same values."""
    task, lines = SUBTASKS[f"mtl/{name}"], random_lines(seed)
    read = labels.read_folder(write(tmp_path / "a.txt", *lines, header=LONG if seed else tasks.MTL_HEADER), task)
    expected = {}
    mixes = set()
    for line in lines:
        image, *cells = line.split(",")
        numbers = [float(cell) for cell in cells]
        ok = {"va": min(numbers[:2]) > -5, "expr": numbers[2] > -1, "au": min(numbers[3:]) >= 0}
        mixes.add(tuple(ok.values()))
        if ok[name]:
            video, picture = image.split("/")
            part = {"va": numbers[:2], "expr": numbers[2:3], "au": numbers[3:]}[name]
            expected[video, int(picture[:5])] = np.array(part, TASKS[name].dtype)
    assert len(mixes) == 8, "every mix of invalid parts"
    found = {
        (video, int(at) + 1): np.atleast_1d(annotation.values[at])
        for video, annotation in read.items()
        for at in np.flatnonzero(annotation.valid)
    }
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key], expected[key])
    assert all(not annotation.values[~annotation.valid].any() for annotation in read.values())
    assert sum(int(annotation.valid.sum()) for annotation in read.values()) == len(expected)


def test_all_three_together_keep_what_each_has_and_the_rest_is_missing(tmp_path):
    """Line by line: fifteen numbers, NaN in the place of a task that is not annotated."""
    path, lines = write(tmp_path / "a.txt", *random_lines(4)), random_lines(4)
    joint = multitask_file.join([labels.read_folder(path, part) for part in SUBTASKS.values()])
    seen = 0
    for line in lines:
        image, *cells = line.split(",")
        numbers = [float(cell) for cell in cells]
        expected = np.full(15, np.nan, np.float32)
        for at, least in (((0, 1), -1), ((2,), 0), (range(3, 15), 0)):
            if all(numbers[i] >= least for i in at):
                expected[list(at)] = [numbers[i] for i in at]
        annotation, row = joint[image.split("/")[0]], int(image.split("/")[1][:5]) - 1
        assert annotation.valid[row] == (not np.isnan(expected).all())
        seen += int(annotation.valid[row])
        np.testing.assert_array_equal(annotation.values[row], expected)
    assert seen == sum(int(annotation.valid.sum()) for annotation in joint.values()) < len(lines)
    truth = np.concatenate([annotation.values for annotation in joint.values()])
    for part, rows, own in JOINT[MTL].split(truth):
        alone = [a for _, a in sorted(labels.read_folder(path, part).items())]
        np.testing.assert_array_equal(rows, np.concatenate([a.valid for a in alone]))
        wanted = np.concatenate([a.values[a.valid] for a in alone])
        assert own.dtype == wanted.dtype
        np.testing.assert_array_equal(own, wanted)


@pytest.mark.parametrize("name", ["va", "expr", "au"])
def test_training_rows_are_the_valid_ones_and_no_others(tmp_path, name):
    """The rows that a head learns from, joined with features of every frame."""
    task, lines = SUBTASKS[f"mtl/{name}"], random_lines(9)
    read = labels.read_folder(write(tmp_path / "a.txt", *lines), task)
    rows = table.bare({f"v{v}": np.arange(1, 201, dtype=np.int32) for v in range(5)})
    found = table.label_rows(rows, read, task)
    assert len(found) == sum(int(annotation.valid.sum()) for annotation in read.values()) > 150
    for video, frame, truth in zip(found.rows.video, found.rows.frame, found.truth, strict=True):
        annotation = read[found.rows.videos[video]]
        assert annotation.valid[frame - 1] and np.array_equal(annotation.values[frame - 1], truth)


def test_line_ends_blanks_and_the_order_do_not_matter(tmp_path):
    lines = [f"b/00003.jpg,0.5,-1,4,{UNITS}", f"a/00010.jpg, 0.25 ,-5,-1,{UNITS}", f"a/00002.jpg,-5,-5,7,{UNITS}"]
    for end, header in (("\n", tasks.MTL_HEADER), ("\r\n", "image, valence, arousal, expression, aus,")):
        read = multitask_file.read(write(tmp_path / "a.txt", *lines, header=header, end=end), SUBTASKS["mtl/expr"])
        assert list(read) == ["a", "b"] and read["b"].values.tolist() == [0, 0, 4]
        assert np.flatnonzero(read["a"].valid).tolist() == [1] and len(read["a"].valid) == 10
        assert read["a"].place(Path("f.txt")) == "f.txt: line 3" and read["b"].line == 2


def test_all_pictures_in_the_files_order(tmp_path):
    lines = [f"b/00003.jpg,0.5,-1,4,{UNITS}", f"a/00010.jpg,0.25,-5,-1,{UNITS}", f"b/00002.png,-5,-5,7,{UNITS}"]
    found = multitask_file.read_list(write(tmp_path / "a.txt", *lines), SUBTASKS["mtl/va"])
    assert found.images == ["b/00003.jpg", "a/00010.jpg", "b/00002.png"]
    assert found.header == "image_location,valence,arousal" and found.frame_of.tolist() == [3, 10, 2]


@pytest.mark.parametrize("name", ["va", "expr", "au"])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"a/00002.jpg,0.5,0.5,4,{UNITS},0", r"line 3 has 17 values .*expected 16"),
        ("a/00002.jpg,0.5,0.5,4,0,0,1", r"line 3 has 7 values .*expected 16"),
        (f"a/00002.jpg,nan,0.5,4,{UNITS}", r"line 3: va: nan is out of range; expected a number in \[-1, 1\], or -5"),
        (f"a/00002.jpg,0.5,1.01,4,{UNITS}", r"line 3: va: 1\.01 is out of range"),
        (f"a/00002.jpg,-4,0.5,4,{UNITS}", r"line 3: va: -4 is out of range"),
        (f"a/00002.jpg,0.5,0.5,8,{UNITS}", r"line 3: expr: 8 is out of range; expected a whole number from -1 to 7"),
        (f"a/00002.jpg,0.5,0.5,1.5,{UNITS}", r"line 3: expr: 1\.5 is out of range"),
        (f"a/00002.jpg,0.5,0.5,4,2{UNITS[1:]}", r"line 3: au: 2 is out of range; expected -1, 0 or 1"),
        (f"a/00002.jpg,0.5,0.5,4,x{UNITS[1:]}", r"line 3: au: 'x' is no number"),
        (f"a/00002.jpg,0.5,,4,{UNITS}", r"line 3: va: '' is no number"),
        (f"a/00001.jpg,0.5,0.5,4,{UNITS}", r"line 3 annotates a/00001\.jpg again; it was on line 2"),
        (f"a/1.png,0.5,0.5,4,{UNITS}", r"line 3 annotates a/1\.png again; it was on line 2"),
        (f"a,0.5,0.5,4,{UNITS}", r"line 3 begins with 'a', expected <video>/<frame number from 1>\.jpg"),
        (f"a/00000.jpg,0.5,0.5,4,{UNITS}", r"line 3 begins with 'a/00000\.jpg', expected"),
        (f"a/face.jpg,0.5,0.5,4,{UNITS}", r"line 3 begins with 'a/face\.jpg', expected"),
        (f"a/99999999.jpg,0.5,0.5,4,{UNITS}", r"line 3 is of frame 99999999, but only 2 frames of the video 'a'"),
        ("", r"line 3 has 0 values"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_whichever_part_reads(tmp_path, name, line, said):
    path = write(tmp_path / "a.txt", f"a/00001.jpg,0.5,0.5,4,{UNITS}", line, f"b/00001.jpg,0.5,0.5,4,{UNITS}")
    with pytest.raises(InputError, match=re.escape(str(path)) + ": " + said) as error:
        multitask_file.read(path, SUBTASKS[f"mtl/{name}"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"line 1 is '', expected the header 'image,valence,arousal,expression,aus'"),
        (f"a/00001.jpg,0.5,0.5,4,{UNITS}\n", r"the header is missing: line 1 is 'a/00001\.jpg,0\.5"),
        ("image_location,valence,arousal\n", r"line 1 is 'image_location,valence,arousal', expected the header"),
        (tasks.MTL_HEADER + "\n\n", r"nothing behind the header"),
        (b"\xff\xfe\x00\x00", r"cannot be read as text"),
    ],
)
def test_headers_and_files_of_other_kinds(tmp_path, text, said):
    path = tmp_path / "a.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said):
        multitask_file.read(path, SUBTASKS["mtl/au"])


def test_a_missing_file_and_a_folder_in_its_place(tmp_path):
    with pytest.raises(InputError, match="no such annotation file"):
        multitask_file.read(tmp_path / "none.txt", SUBTASKS["mtl/au"])
    for place in (tmp_path, tmp_path / "none.txt"):
        with pytest.raises(InputError, match="no such annotation file; the multi-task challenge has one"):
            labels.read_folder(place, SUBTASKS["mtl/au"])


def test_test_lists_of_all_editions(tmp_path):
    """Bare pictures (ABAW-4), a comma behind them (ABAW-7), and pictures that are listed twice."""
    for comma in ("", ","):
        path = write(
            tmp_path / "list.txt", *(f"{image}{comma}" for image in ("b/00001.jpg", "a/00007.jpg", "b/00001.jpg"))
        )
        found = test_list.read(path, SUBTASKS["mtl/expr"])
        assert found.images == ["b/00001.jpg", "a/00007.jpg", "b/00001.jpg"]
        assert found.header == TASKS["expr"].list_header
        assert {name: frames.tolist() for name, frames in found.videos.items()} == {"a": [7], "b": [1]}
    write(tmp_path / "list.txt", "a/00001.jpg,", header="image_location,valence,arousal")
    with pytest.raises(InputError, match="expected the header 'image,valence,arousal,expression,aus'"):
        test_list.read(tmp_path / "list.txt", SUBTASKS["mtl/va"])
    write(tmp_path / "list.txt", "a/00001.jpg,")
    with pytest.raises(InputError, match="is this the list of another task"):
        test_list.read(tmp_path / "list.txt", TASKS["va"])


def test_the_parts_are_tasks_of_their_own():
    assert [*SUBTASKS] == ["mtl/va", "mtl/expr", "mtl/au"] and (*SINGLE_TASKS, MTL) == NAMES
    for place, part in SUBTASKS.items():
        assert find(place) is part and part.place == place and find(part.name).place == part.name
        assert part.outputs == TASKS[part.name].outputs and type(part) is type(TASKS[part.name])
    with pytest.raises(KeyError):
        find("mtl")


@pytest.fixture
def corpus(tmp_path):
    """Six train and four val videos of ten frames with crops of the odd ones, and a config of them."""
    for part, numbers in (("train", range(6)), ("val", range(6, 10))):
        lines = [f"v{n}/{frame:05d}.jpg,0.5,0.5,{n % 8},{UNITS}" for n in numbers for frame in (1, 3, 5, 7, 9)]
        write(tmp_path / f"{part}.txt", *lines)
    for number in range(10):
        (tmp_path / "crops" / f"v{number}").mkdir(parents=True)
        for frame in (1, 3, 5, 7, 9):
            (tmp_path / "crops" / f"v{number}" / f"{frame:05d}.jpg").touch()
    (tmp_path / "c.toml").write_text(
        '[corpus]\nname = "c"\nframes = "crops"\n[corpus.mtl]\ntrain = "train.txt"\nval = "val.txt"\n'
        '[features]\nnetworks = ["demo_enet"]\n'
    )
    return tmp_path


def add(path: Path, line: str) -> None:
    path.write_text(path.read_text() + line + "\n")


@pytest.mark.parametrize(
    ("part", "line", "said"),
    [
        ("train", f"nobody/00001.jpg,0.5,0.5,4,{UNITS}", r"train\.txt: line 32: the corpus has no folder .*'nobody'"),
        ("val", f"v2/00002.jpg,0.5,0.5,4,{UNITS}", r"val\.txt: line 22: the video is in .*train\.txt too"),
        ("val", f"v7/00099.jpg,0.5,0.5,4,{UNITS}", r"val\.txt: line 7: the annotation goes on for 90 of its 99 frames"),
        (
            "train",
            f"v2/00002.jpg,0.5,NaN,4,{UNITS}",
            r"train\.txt: line 32: va: 'NaN'|line 32: va: NaN is out of range",
        ),
    ],
    ids=["unknown video", "video in two parts", "behind the last face", "not a number"],
)
def test_files_that_do_not_belong_to_the_corpus_are_one_line_before_anything_is_extracted(corpus, part, line, said):
    settings = extract_config.load(Config, corpus / "c.toml")
    for task in SUBTASKS.values():
        corpus_checks.read(settings, task)
    add(corpus / f"{part}.txt", line)
    for task in SUBTASKS.values():
        with pytest.raises(InputError, match=said):
            corpus_checks.read(settings, task)


@pytest.mark.parametrize("package", ["heads", "blend"])
def test_the_commands_say_it_in_one_line_with_exit_code_2(corpus, package):
    add(corpus / "train.txt", f"v2/00001.jpg,0.5,0.5,4,{UNITS}")
    call = [sys.executable, "-m", f"{package}.run", "--task", "mtl", "--config", str(corpus / "c.toml")]
    done = command_server.run([*call, "--work", str(corpus / "w")])
    assert done.returncode == 2 and done.stdout == ""
    [said] = done.stderr.splitlines()
    assert said == f"error: {corpus}/train.txt: line 32 annotates v2/00001.jpg again; it was on line 12"
    assert not (corpus / "w" / "features").exists()
