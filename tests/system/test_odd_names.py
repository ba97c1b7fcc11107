"""Forty odd names of videos, networks, heads, predictions, tables and corpora: each works to the end of a run, or is
refused in one line before anything is made.

Heads learn in this process; networks are of eight convolutions, videos of few frames.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from support.corpora import conftest_of

from blend import apply, run
from blend.config import Config
from blend.pool import external
from blend.predict import source as video_source
from blend.submission import check as submission_check
from extract import config as configs
from extract import run as extract_run
from extract.faces import crop_videos
from extract.features import store
from extract.media import frames
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from extract.runtime.file_names import compose
from extract.tabular import importer
from heads.abaw.tasks import TASKS
from heads.train import job as training_job
from heads.train import processes

VA = TASKS["va"]
WORKS = ["two words", 'a "quoted" one', "a..b", "z" * 200, "日本語のビデオ", "👩‍🚀🎬", "שלום", "-aB3", "--help",
         unicodedata.normalize("NFD", "Zoë Łuç"), "2024-01-01T10:30:00", "100%", "%s{0}", "~me", "$HOME", "a;b|c",
         "con", "x_left_right", "a=b", "no #1", "it's", "[a]*?", "a&b<i>", "NaN", "007", "1e5",
         "comma, not in lists"]  # fmt: skip
"""As videos, all of them."""
REFUSED = ["", "..", ".hidden", "../up", "in/side", "back\\slash", "new\nline", "tab\there", "nul\0", "line\u2028",
           "y" * 250, " first", "\udcff"]  # fmt: skip
DASHES = ("-aB3", "--help")
"""Names of videos alone."""
CORPORA = ("a..b", "z" * 200, "con", "x_left_right", "NaN", "007", "1e5")
"""Names of corpora, too, after which a folder of runs is called."""
FRAMES = 9
TRAIN, VAL, TEST = (WORKS[-11:], WORKS[:8], WORKS[8:16])
assert len({*WORKS, *REFUSED}) == 40 and all(map(len, (TRAIN, VAL, TEST)))


@pytest.fixture(autouse=True)
def learning_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads learn in this process."""

    def learn(jobs: list[training_job.Job], what: str) -> None:
        for job in jobs:
            run_folder.begin(job.folder)
            job.write(job.folder / "job.json")
            training_job.main(training_job.Job.read(job.folder / "job.json"), lambda done, note: None)

    monkeypatch.setattr(processes, "run_jobs", learn)


class Odd:
    """A corpus of videos of all odd names, and what a config of it says."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        rng = np.random.default_rng(0)
        conftest_of("extract").make_network(folder / "net.onnx", size=12)
        for video in WORKS:
            (folder / "frames" / video).mkdir(parents=True)
            for number in range(1, FRAMES + 1):
                pixels = rng.integers(0, 256, (12, 12, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "frames" / video / f"{number:05d}.jpg")
        for part, videos in (("train", TRAIN), ("val", VAL)):
            (folder / part).mkdir()
            for video in videos:
                rows = "".join(f"{v:.3f},{a:.3f}\n" for v, a in rng.uniform(-1, 1, (FRAMES, 2)))
                (folder / part / f"{video}.txt").write_text(f"valence,arousal\n{rows}", encoding="utf-8")
        (folder / "frames" / TRAIN[0] / "\udcff.jpg").write_bytes(b"a picture that is none, of a name that is no UTF-8")
        self.write_list(TEST)

    def write_list(self, videos: list[str]) -> Path:
        """The test list, of these videos."""
        rows = "".join(f"{video}/{number:05d}.jpg,\n" for video in videos for number in range(1, FRAMES + 1))
        path = self.folder / "test.txt"
        path.write_text(f"image_location,valence,arousal\n{rows}", encoding="utf-8")
        return path

    def config(self, networks: list[str], heads: list[str], corpus: str = "odd", imported: str = "") -> Config:
        """A config with networks and heads of these names: each head sees one network, the first ones by turns."""
        (self.folder / "heads").mkdir(exist_ok=True)
        for number, head in enumerate(heads):
            sees = networks[number % len(networks)] if number or not imported else imported
            text = (
                f'family = "lightgbm"\ninputs = ["embedding"]\ntrees = 2\nrefit = false\nnetworks = [{quoted(sees)}]\n'
            )
            (self.folder / "heads" / f"{head}.toml").write_text(text, encoding="utf-8")
        uses = ", ".join(quoted(str(self.folder / "heads" / f"{head}.toml")) for head in heads)
        named = ", ".join(map(quoted, [*networks, *([imported] if imported else [])]))
        text = f"""
[corpus]
name = {quoted(corpus)}
frames = "frames"
[corpus.va]
train = "train"
val = "val"
test = "test.txt"
[features]
networks = [{named}]
engine = "openvino"
[heads.va]
use = [{uses}]
[blend.va]
trials = 3
fold_trials = 1
folds = 2
select_folds = 2
draws = 100
"""
        for name in networks:
            text += f'[networks.{quoted(name)}]\npath = "net.onnx"\nsize = 12\nmean = [0.5, 0.5, 0.5]\n'
            text += 'std = [0.5, 0.5, 0.5]\nembedding = "embedding"\n'
        path = self.folder / "odd.toml"
        path.write_text(text, encoding="utf-8")
        return configs.load(Config, path)


def quoted(text: str) -> str:
    """A string of TOML."""
    return json.dumps(text, ensure_ascii=False)


@pytest.fixture
def odd(tmp_path: Path) -> Odd:
    return Odd(tmp_path)


def write_table(path: Path, videos: list[str], columns: list[str], values: Callable[[], list[float]]) -> Path:
    """A CSV file of all frames of these videos."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "frame", *columns])
        rows.writerows([video, number, *values()] for video in videos for number in range(1, FRAMES + 1))
    return path


PLAIN = [name for name in WORKS if name not in DASHES]


def test_everything_of_odd_names_works_to_the_end(odd: Odd) -> None:
    to_the_end(odd, ['a "quoted" one', "日本語のビデオ", "a&b<i>"], 4)


@pytest.mark.slow
def test_every_odd_name_works_to_the_end_as_a_networks_a_heads_and_that_of_others_predictions(odd: Odd) -> None:
    to_the_end(odd, PLAIN, 1)


def to_the_end(odd: Odd, some: list[str], every: int) -> None:
    """A table, a run with networks and heads called like `some`, and one of others' predictions, every n-th name's: all
    of videos of all names.
    """
    rng = np.random.default_rng(1)
    named = [name for name in WORKS if name != "NaN"]  # that is no text in a table
    table = write_table(odd.folder / "table.csv", named, ["x", "y"], lambda: rng.normal(size=2).round(3).tolist())
    importer.main(table, "tab", odd.work)
    assert store.videos(odd.work, "tab") == sorted(map(compose, named))
    report = run.main(odd.config(some, some, imported="tab"), "va", odd.work)
    assert sorted(report["heads"]) == sorted(some)
    for name in some:
        assert store.videos(odd.work, name) == sorted(map(compose, WORKS))
        (failure,) = json.loads((odd.work / "features" / name / "failures.json").read_text(encoding="utf-8"))
        assert failure["picture"] == str(odd.folder / "frames" / TRAIN[0] / "\udcff.jpg")
    out = odd.work / "blend" / "va"
    sent = (out / "submission.txt").read_text(encoding="utf-8")
    assert [line.split(",")[0] for line in sent.splitlines()[1:]] == [
        f"{video}/{number:05d}.jpg" for video in TEST for number in range(1, FRAMES + 1)
    ]
    assert report["submission"]["filled"] == 0
    assert (
        submission_check.list_problems(out / "submission.txt", submission_check.read_template(odd.folder / "test.txt"))
        == []
    )
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "a&b<i>" not in page and ("a&amp;b&lt;i&gt;" in page or "a&b\\u003ci>" in page)

    given = {}
    for name in PLAIN[::every]:  # predictions of others, of the same odd videos
        for part, videos in (("val", VAL), ("test", TEST)):
            path = odd.folder / "theirs" / name / f"{part}.csv"
            write_table(path, videos, list(VA.outputs), lambda: rng.uniform(-1, 1, 2).tolist())
        with_name = f"{name}={odd.folder / 'theirs' / name}"
        if set(name) & set(" =,"):
            with pytest.raises(InputError, match="--predictions"):
                external.parse([with_name])
        else:
            given |= external.parse([with_name])
    config = odd.config(some[:1], some[:1])
    report = run.main(config, "va", odd.folder / "alone", heads=["none"], predictions=given)
    assert sorted(report["heads"]) == sorted(given) and len(given) >= 16 // every
    theirs = odd.folder / "alone" / "blend" / "va"
    apply.main(apply.read(theirs / "params.json"), given, odd.folder / "test.txt", odd.folder / "again.txt")
    assert (odd.folder / "again.txt").read_bytes() == (theirs / "submission.txt").read_bytes()


def film(path: Path) -> bytes:
    """A video of three frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 48, 48, "yuv420p"
        for k in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 48, 3), 60 * k, np.uint8), "rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def test_raw_videos_of_odd_names_become_crops_and_what_can_be_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(crop_videos, "yunet", lambda path: lambda pixels: np.array([[10.0, 10, 20, 20, 0.9]]))
    content = film(tmp_path / "film.mp4")
    (tmp_path / "clips").mkdir()
    bad = [name for name in REFUSED if not set(name) & set("/\0") and name.strip(".") and name[0] != "."]
    for name in [*WORKS, *bad]:
        (tmp_path / "clips" / f"{name}.mp4").write_bytes(content)
    for _ in range(2):
        assert crop_videos.command(tmp_path / "clips", tmp_path / "crops", faces=1, size=16) == 1
        said = capsys.readouterr().err
        assert said.count("warning: ") == len(bad) >= 6 and said.count("rename it") == len(bad)
    found = frames.list_videos([tmp_path / "crops"])
    assert sorted(found) == sorted(map(compose, WORKS))
    assert all(frames.list_frames(folder).numbers.tolist() == [1, 2, 3] for folder in found.values())
    for name in WORKS:
        (clip,) = video_source.clips([tmp_path / "clips" / f"{name}.mp4"], 30)
        assert clip.name == compose(name)
    for name in bad:
        with pytest.raises(InputError, match="choose another name"):
            video_source.clips([tmp_path / "clips" / f"{name}.mp4"], 30)


def test_names_that_do_not_work_are_refused_before_anything_is_made(odd: Odd, tmp_path: Path) -> None:
    good = odd.config(["net"], ["head"])

    def refused(what: str, call: Callable[..., object], *arguments: Any) -> None:
        with pytest.raises(InputError, match=what):
            call(*arguments)
        assert not odd.work.exists(), arguments

    for name in [*REFUSED, *DASHES]:
        if "\udcff" not in name:  # no TOML file holds it
            refused(r"features\.networks", lambda name=name: extract_run.main(odd.config([name], ["head"]), odd.work))
            raw = good.model_dump(mode="json") | {"heads": {"va": {"use": [name]}}}
            asked = Config.model_validate(raw | {"blend": {}, "cluster": {}})
            refused(r"heads\.va\.use", run.main, asked, "va", odd.work)
        refused("--predictions", external.parse, [f"{name}={tmp_path}"]) if name == name.strip() else None
    for name in [*REFUSED, *WORKS]:
        if name in CORPORA:
            assert odd.config(["net"], ["head"], corpus=name).corpus.name == name
        else:
            with pytest.raises(InputError, match=r"corpus\.name"):
                configs.check(Config, good.model_dump(mode="json") | {"corpus": {"name": name}}, "odd.toml")
    for name in REFUSED:
        table = write_table(tmp_path / "table.csv", [name], ["x"], lambda: [0.5]) if "\udcff" not in name else None
        if table is not None and "/" not in name and "\\" not in name:  # of paths the last part is the name
            refused("name|NUL|null", importer.main, table, "tab", odd.work)
        if name and not set(name) & set("/\0") and name[0] != ".":
            folder = odd.folder / "frames" / name
            folder.mkdir()
            refused("frames: the video name", run.main, good, "va", odd.work)
            folder.rmdir()
        if name and "\udcff" not in name and name == name.strip() and "\n" not in name:
            odd.write_list([*TEST, name])
            refused(r"test\.txt: line \d+", run.main, good, "va", odd.work)
            odd.write_list(TEST)
        if name and not set(name) & set("/\0") and name[0] != ".":
            note = odd.folder / "val" / f"{name}.txt"
            note.write_text("valence,arousal\n" + "0.1,0.2\n" * FRAMES)
            refused(r"val: the video name", run.main, good, "va", odd.work)
            note.unlink()
    odd.write_list([*TEST, "comma, not in lists"])
    refused(r"test\.txt: line \d+ is 'comma, not", run.main, good, "va", odd.work)
