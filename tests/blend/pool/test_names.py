"""Videos' names, however they are spelt: every reader finds the same video, and a submission holds the list's text."""

import unicodedata
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from blend.pool import external, pool
from blend.pool.pool import Pool
from blend.predict import __main__
from blend.predict import source as video_source
from blend.submission import check as submission_check
from blend.submission import folder as submission_folder
from blend.submission import write as submission
from blend.submission.test_score import final_score
from extract.features import store
from extract.media import files as media_files
from extract.media import frames, video
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from extract.tabular import importer
from heads.abaw import annotations as annotation_files
from heads.abaw import multitask as multitask_file
from heads.abaw import read as labels
from heads.abaw import tasks, test_list
from heads.abaw.tasks import TASKS
from heads.data import predictions

NAME = "Łucja Brückner é-가"
FORMS = {form: unicodedata.normalize(form, NAME) for form in ("NFC", "NFD")}
AU = ",".join(TASKS["au"].outputs)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def film(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode())
    return path


def test_the_two_forms_of_a_name_are_one_video_to_every_reader(tmp_path):
    assert FORMS["NFC"] != FORMS["NFD"] and compose(FORMS["NFD"]) == FORMS["NFC"] == NAME
    au, va = TASKS["au"], TASKS["va"]
    for form, name in FORMS.items():
        root = tmp_path / form
        (root / "frames" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(root / "frames" / name / "00001.jpg")
        film(root / "clips" / f"{name}.mp4")
        write(root / "va" / f"{name}.txt", "valence,arousal\n0.1,0.2\n")
        listed = write(root / "list.txt", f"image_location,{AU}\n{name}/00001.jpg,\n")
        multi = write(root / "mtl.txt", f"{tasks.MTL_HEADER}\n{name}/00001.jpg,0,0,1,{','.join('0' * 12)}\n")
        table = write(root / "table.csv", f"video,frame,x\n{name},1,0.5\n")
        importer.main(table, "mine", root)
        text = write(root / "val.csv", f"video,frame,valence,arousal\n{name},1,0.5,0.5\n")
        pd.DataFrame({"video": [name], "frame": [1], "valence": [0.5], "arousal": [0.5]}).to_parquet(
            root / "val.parquet"
        )
        sent = write(root / "sent.txt", f"image_location,valence,arousal\n{name}/00001.jpg,0.5,0.5\n")
        abaw3 = write(root / "abaw3.txt", f"{name},1\n")
        read = {
            "frames": frames.list_videos([root / "frames"]),
            "raw videos": video.list_files(root / "clips"),
            "videos with sound": media_files.list_files([root / "clips"]),
            "annotations": labels.read_folder(root / "va", va),
            "multi-task": multitask_file.read(multi, TASKS["va"]),
            "list": test_list.read(listed, au).videos,
            "features": store.videos(root, "mine"),
            "predictions as text": external.read_external(text, va).videos,
            "predictions": predictions.read(root / "val.parquet", va).videos,
            "submission": external.read_external(sent, va).videos,
            "ABAW-3": submission_folder._table(abaw3),
            "clip": [clip.name for clip in video_source.clips([root / "clips" / f"{name}.mp4"], 30)],
            "crops": [clip.name for clip in video_source.clips([root / "frames" / name], 30)],
        }
        assert {what: list(names) for what, names in read.items()} == {what: [NAME] for what in read}
        assert test_list.read(listed, au).images == [f"{name}/00001.jpg"]  # what is handed in is the list's own text


def test_two_spellings_of_one_video_in_one_place_are_refused(tmp_path):
    for k, name in enumerate(FORMS.values()):
        (tmp_path / "frames" / name).mkdir(parents=True)
        film(tmp_path / "clips" / f"{name}.{('mp4', 'mov')[k]}")
        write(tmp_path / "va" / f"{name}.txt", "valence,arousal\n0.1,0.2\n")
    rows = "".join(f"{name},1,0.5,0.5\n" for name in FORMS.values())
    text = write(tmp_path / "val.csv", f"video,frame,valence,arousal\n{rows}")
    for read in (
        lambda: frames.list_videos([tmp_path / "frames"]),
        lambda: video.list_files(tmp_path / "clips"),
        lambda: media_files.list_files([tmp_path / "clips"]),
        lambda: labels.read_folder(tmp_path / "va", TASKS["va"]),
        lambda: external.read_external(text, TASKS["va"]),
    ):
        with pytest.raises(InputError, match=NAME):
            read()


def test_the_case_of_extensions_does_not_matter(tmp_path):
    for name in ("one.txt", "two.TXT", "three.Txt"):
        write(tmp_path / "va" / name, "valence,arousal\n0.1,0.2\n")
    write(tmp_path / "va" / "notes.md", "no annotation")
    assert sorted(labels.read_folder(tmp_path / "va", TASKS["va"])) == ["one", "three", "two"]
    write(tmp_path / "va" / "two.txt", "valence,arousal\n0.1,0.2\n")
    with pytest.raises(InputError, match=r"two\.txt: two\.TXT is of the same video 'two'"):
        labels.read_folder(tmp_path / "va", TASKS["va"])
    (tmp_path / "frames" / "v").mkdir(parents=True)
    for name in ("00001.JPG", "00002.Jpeg", "00003.PNG"):
        Image.new("RGB", (8, 8)).save(tmp_path / "frames" / "v" / name)
    assert frames.list_frames(tmp_path / "frames" / "v").numbers.tolist() == [1, 2, 3]
    film(tmp_path / "clips" / "a.mp4").rename(tmp_path / "clips" / "a.MP4")
    assert list(video.list_files(tmp_path / "clips")) == list(media_files.list_files([tmp_path / "clips"])) == ["a"]
    write(tmp_path / "theirs" / "val.CSV", "video,frame,valence,arousal\na,1,0.5,0.5\n")
    assert list(external.read_external(external.find_part(tmp_path / "theirs", "val"), TASKS["va"]).videos) == ["a"]
    write(tmp_path / "table.CSV", "video,frame,x\na,1,0.5\n")
    importer.main(tmp_path / "table.CSV", "mine", tmp_path)
    assert store.videos(tmp_path, "mine") == ["a"]


@pytest.mark.parametrize("task", ["au", "expr", "va"])
def test_blanks_quotes_and_signs_in_test_videos_names_come_through_to_the_score(tmp_path, task):
    names = ["clip 7", "two  blanks", 'a "quoted" one', "it's", "no #1", "a;b", FORMS["NFD"], "-leading"]
    kind, rng = TASKS[task], np.random.default_rng(0)
    rows = [f"{name}/{frame:05d}.jpg," for name in names for frame in (1, 2, 3)]
    write(tmp_path / "list.txt", "\n".join([kind.list_header, *rows]) + "\n")
    listed = test_list.read(tmp_path / "list.txt", kind)
    videos = tuple(listed.names)
    total = 3 * len(videos)
    made = Pool(
        kind, ("h",), videos, np.arange(0, total + 1, 3), np.empty((1, total, 0), np.float32), np.ones(total, bool)
    )
    decided = rng.integers(0, 2, (total, len(kind.outputs)) if task != "expr" else total)
    decided = decided.astype(TASKS[task].dtype)
    submission.write(tmp_path / "out.txt", listed, made, decided)
    assert (
        submission_check.list_problems(tmp_path / "out.txt", submission_check.read_template(tmp_path / "list.txt"))
        == []
    )
    assert len(external.read_external(tmp_path / "out.txt", kind).videos) == len(names)
    for v, name in enumerate(videos):
        values = decided[3 * v : 3 * v + 3].reshape(3, -1)
        lines = "\n".join(",".join(map(str, row)) for row in values.tolist())
        write(tmp_path / "truth" / f"{name}.txt", f"{kind.header}\n{lines}\n")
    assert final_score(tmp_path / "out.txt", listed, tmp_path / "truth", kind)["frames"] == total
    wrong = (tmp_path / "out.txt").read_text().replace("it's/00002", "it's /00002")  # a blank that the list has not
    write(tmp_path / "wrong.txt", wrong)
    assert any(
        "blanks in" in text
        for _, text in submission_check.list_problems(
            tmp_path / "wrong.txt", submission_check.read_template(tmp_path / "list.txt")
        )
    )


def test_names_that_cannot_become_files_are_refused_where_they_are_read_with_the_line(tmp_path):
    for name in ("tab\there", "..", ".hidden", "in/side", "back\\slash", "y" * 240, "zero\u200b\x7f"):
        listed = write(tmp_path / "list.txt", f"image_location,{AU}\nclip/00001.jpg,\n{name}/00001.jpg,\n")
        with pytest.raises(InputError, match=r"list\.txt: line 3: the video name .*; choose another name"):
            test_list.read(listed, TASKS["au"])
        multi = write(tmp_path / "mtl.txt", f"{tasks.MTL_HEADER}\n{name}/00001.jpg,0,0,1,{','.join('0' * 12)}\n")
        with pytest.raises(InputError, match=r"mtl\.txt: line 2: the video name"):
            multitask_file.read(multi, TASKS["va"])
    for name in ("end of\nline", " first", "last "):
        write(tmp_path / name / "va" / f"{name}.txt", "valence,arousal\n0.1,0.2\n")
        with pytest.raises(InputError, match=r"va: the video name .*; choose another name"):
            labels.read_folder(tmp_path / name / "va", TASKS["va"])
        (tmp_path / name / "frames" / name).mkdir(parents=True)
        with pytest.raises(InputError, match=r"frames: the video name .*; choose another name"):
            frames.list_videos([tmp_path / name / "frames"])


def test_headers_of_lists_in_other_case_and_with_a_comma_at_the_end_are_taken(tmp_path):
    expr = ", ".join(TASKS["expr"].outputs).lower()
    headers = {"au": f"image_location,{AU.lower()}", "va": "Image_Location,Valence,AROUSAL,"}
    for task, header in (headers | {"expr": f"image_location, {expr}, ,"}).items():
        path = write(tmp_path / f"{task}.txt", f"{header}\nclip/00001.jpg,\n")
        listed = test_list.read(path, TASKS[task])
        assert listed.header == header and listed.names == ["clip"]
        assert submission_check.read_template(path).kind.name == task
        for other in {"au", "va", "expr"} - {task}:
            with pytest.raises(InputError, match="is this the list of another task"):
                test_list.read(path, TASKS[other])


def test_a_videos_file_name_in_predictions_is_refused_with_the_name_that_is_meant(tmp_path):
    text = write(tmp_path / "val.csv", "video,frame,valence,arousal\nin/one.mp4,1,0.5,0.5\n")
    annotations = {"one": annotation_files.Annotation("one", np.zeros((3, 2), np.float32), np.ones(3, bool))}
    found = {"theirs": external.read_external(text, TASKS["va"])}
    with pytest.raises(InputError, match=r"'in/one\.mp4' has no annotation.*is it 'one'\?"):
        pool.for_validation(TASKS["va"], found, annotations, np.zeros(2, np.float32))


def test_a_file_that_is_called_like_an_option_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    film(Path("-aB3.mp4"))
    assert __main__.join_blends(["-aB3.mp4", "--no-video", "-x.mp4"]) == ["./-aB3.mp4", "--no-video", "-x.mp4"]
    assert video_source.clips([Path("./-aB3.mp4")], 30)[0].name == "-aB3"
