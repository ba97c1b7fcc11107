"""The main job on other people's predictions alone: no frames, no features, no heads of ours; and bad ones by name."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from blend import run
from blend.config import Config
from extract import config as configs
from extract import run as extract_run
from extract.errors import InputError
from heads import predictions, testlist
from heads.tasks import TASKS


class Team:
    """A team with annotations, a test list and prediction folders, and nothing else."""

    def __init__(self, corpus):
        self.corpus, self.folder, self.task = corpus, corpus.folder, corpus.task
        (self.folder / "train").mkdir()
        for path in sorted(corpus.val.glob("*.txt")):
            shutil.copy(path, self.folder / "train" / f"train_{path.name}")
        for annotated, video in (
            (corpus.val, "val4"),
            (corpus.truth, "test2"),
        ):  # which nobody predicts: leave them out
            (annotated / f"{video}.txt").unlink()
        lines = corpus.test.read_text().splitlines()
        corpus.test.write_text("\n".join(line for line in lines if not line.startswith("test2")) + "\n")
        self.theirs = {}
        for head, folder in corpus.heads.items():
            self.theirs[head] = shutil.move(folder, self.folder / "theirs" / head)
        shutil.rmtree(corpus.work)
        self.config = self.folder / "team.toml"
        self.config.write_text(
            f'[corpus]\nname = "team"\n[corpus.{self.task.name}]\ntrain = "train"\nval = "val"\ntest = "test.txt"\n'
            f'[blend.{self.task.name}]\ntrials = 20\ndraws = 100\nfold_trials = 1\nfolds = 2\nselect = "tuned"\n'
        )

    def run(self, work="work", heads=None, overrides=None, given=None, **more):
        settings = configs.load(Config, self.config, overrides)
        given = self.theirs if given is None else given
        return run.main(
            settings, self.task.name, self.folder / work, heads=heads, predictions=given, **more
        )  # fmt: skip

    def read(self, head, part):
        return pd.read_parquet(self.theirs[head] / f"{part}.parquet")

    def write(self, head, part, frame):
        frame.to_parquet(self.theirs[head] / f"{part}.parquet")


@pytest.fixture
def make_team(make_corpus):
    def make(name, seed=0, **sizes):
        return Team(make_corpus(name, seed, **sizes))

    return make


@pytest.mark.parametrize("name", TASKS)
def test_a_team_needs_annotations_a_list_and_predictions_only(make_team, name):
    team = make_team(name)
    report = team.run()
    assert sorted(report["heads"]) == ["head0", "head1", "head2"]
    lines = (team.folder / "work" / "blend" / name / "submission.txt").read_text().splitlines()
    assert lines[0] == testlist.default_header(TASKS[name])
    assert [line.split(",")[0] for line in lines] == [
        line.split(",")[0] for line in team.corpus.test.read_text().splitlines()
    ]
    assert set(report["frames"]["filled_by_head"]) == set(report["heads"])
    assert all(count > 0 for count in report["frames"]["filled_by_head"].values())
    assert report["submission"]["filled_by_head"]["head0"] == report["submission"]["filled"]
    params = json.loads((team.folder / "work" / "blend" / name / "params.json").read_text())
    assert list(params["prior"]) == list(TASKS[name].outputs)


def test_the_same_predictions_in_other_formats_and_orders_give_the_same_bytes(make_team):
    team = make_team("expr")
    team.run(work="one", heads=["none"])
    for head, write in (
        ("head0", lambda frame, path: frame.sample(frac=1, random_state=0).to_csv(path.with_suffix(".csv"))),
        ("head1", lambda frame, path: frame[frame.columns[::-1]].astype({"Anger": np.float64}).to_parquet(path)),
    ):
        for part in ("val", "test"):
            frame = team.read(head, part)
            path = team.theirs[head] / f"{part}.parquet"
            path.unlink()
            write(frame, path)
    whole = pd.concat([team.read("head2", "val"), team.read("head2", "test")])
    whole.to_csv(team.folder / "head2.txt", index=False)
    team.run(work="two", given=team.theirs | {"head2": team.folder / "head2.txt"})
    for file in ("params.json", "submission.txt"):
        ours, theirs = (team.folder / work / "blend" / "expr" / file for work in ("one", "two"))
        assert ours.read_bytes() == theirs.read_bytes()


def test_a_submission_is_a_head_and_frames_it_lacks_are_filled_from_its_own_neighbours(make_team):
    team = make_team("au")
    report = team.run(heads=["none"], given={"head0": team.theirs["head0"]})
    hard = team.theirs["head0"].parent / "hard"
    hard.mkdir()
    for part in ("val", "test"):
        frame = team.read("head0", part)
        lines = [
            f"{row[0]}/{row[1]:05d}.jpg," + ",".join(str(int(value >= 0.5)) for value in row[2:])
            for row in frame.itertuples(index=False)
        ]
        (hard / f"{part}.txt").write_text("\n".join([testlist.default_header(team.task), *lines]) + "\n")
    again = team.run(work="hard", given={"hard": hard})
    assert again["heads"]["hard"] == pytest.approx(report["heads"]["head0"], abs=0.05)  # filled frames may differ
    assert again["frames"]["filled_by_head"]["hard"] == report["frames"]["filled_by_head"]["head0"]


def drop(frame, video, frames=None):
    return frame[~((frame.video == video) & (frame.frame.isin(frames) if frames else True))]


def edit(column, value, row=10):
    def change(frame):
        frame = frame.astype({column: object}) if isinstance(value, str) else frame
        frame.iloc[row, frame.columns.get_loc(column)] = value
        return frame

    return change


BAD = {
    "doubled frame": (lambda f: pd.concat([f, f.iloc[[7]]]), r"val\.parquet: video 'val0' frame \d+ occurs more than"),
    "unknown video": (lambda f: f.replace({"video": {"val1": "vla1"}}), r"val\.parquet: .*the video 'vla1' has no an"),
    "a video missing": (lambda f: drop(f, "val2"), r"val\.parquet: .*lack the video 'val2', which head 'head0' has"),
    "most frames missing": (lambda f: f.iloc[::4], r"val\.parquet: video 'val\d' frame \d+ is missing; .*missing_fr"),
    "NaN": (edit("valence", np.nan), r"val\.parquet: video 'val0' frame \d+: a score is not finite"),
    "infinity": (edit("arousal", np.inf), r"val\.parquet: video 'val0' frame \d+: a score is not finite"),
    "out of range": (edit("arousal", 1.5), r"val\.parquet: video 'val0' frame \d+: a score is outside \[-1, 1\]"),
    "column missing": (lambda f: f.drop(columns="valence"), r"val\.parquet: column 'valence' is missing"),
    "column too many": (lambda f: f.assign(x=1), r"val\.parquet: column 'x' is unknown; expected exactly video, frame"),
    "another task": (lambda f: f.rename(columns={"valence": "AU1"}), r"val\.parquet: column 'valence' is missing"),
    "text": (lambda f: f.astype({"valence": str}), r"val\.parquet: column 'valence' is (large_)?string, expected"),
    "no rows": (lambda f: f.iloc[:0], r"val\.parquet: not one prediction in this file"),
    "frame 0": (edit("frame", 0), r"val\.parquet: video 'val0' frame 0: frames are numbered from 1"),
    "a far frame": (edit("frame", 99_999), r"video 'val0' frame 99999, but the video ends at frame \d+"),
}  # fmt: skip


@pytest.mark.parametrize("damage", BAD)
def test_bad_predictions_are_one_line_with_file_video_and_frame(make_team, damage):
    change, said = BAD[damage]
    team = make_team("va")
    team.write("head1", "val", change(team.read("head1", "val")))
    with pytest.raises(InputError, match=said) as error:
        team.run()
    assert "\n" not in str(error.value) and str(team.theirs["head1"]) in str(error.value)
    assert not (team.folder / "work" / "blend" / "va" / "params.json").exists()


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "the file is empty"), (b"video,frame\n", "not a readable Parquet")]
)
def test_files_that_are_no_predictions(make_team, content, said):
    team = make_team("va")
    (team.theirs["head1"] / "val.parquet").write_bytes(content)
    with pytest.raises(InputError, match=said):
        team.run()
    (team.theirs["head1"] / "val.parquet").unlink()
    with pytest.raises(InputError, match="head1: no val predictions here"):
        team.run()


def test_a_sparse_head_is_welcome_where_the_config_says_so(make_team):
    team = make_team("va")
    team.write("head1", "val", team.read("head1", "val").iloc[::4])
    report = team.run(overrides=["blend.va.missing_frames=0.9"])
    assert report["frames"]["filled_by_head"]["head1"] > report["frames"]["labelled"] / 2


def test_a_single_head_that_predicts_some_videos_only_is_refused(make_team):
    team = make_team("va")
    team.write("head0", "val", drop(team.read("head0", "val"), "val3"))
    with pytest.raises(InputError, match=r"the video 'val3' of .*val is missing, frame 1 on \(1 of 4 videos are\)"):
        team.run(given={"head0": team.theirs["head0"]})
    report = team.run(given={"head0": team.theirs["head0"]}, overrides=["corpus.missing_videos=0.3"])
    assert report["frames"]["videos_without_face"] == ["val3"]


def test_names_and_heads_that_cannot_be(make_team):
    team = make_team("va")
    with pytest.raises(InputError, match="--heads none: then give other people's predictions"):
        team.run(heads=["none"], given={})
    with pytest.raises(InputError, match=r"'features\.networks' is missing.*--heads none"):
        extract_run.main(configs.load(Config, team.config), team.folder / "work")


def test_ours_and_theirs_together(make_corpus):
    corpus = make_corpus("au")
    theirs = corpus.folder / "theirs"
    shutil.copytree(corpus.heads["head0"], theirs)
    report = run.main(corpus.config(), "au", corpus.work, predictions={"copy": theirs})
    assert sorted(report["heads"]) == ["copy", "head0", "head1", "head2"]
    assert report["heads"]["copy"] == report["heads"]["head0"]
    with pytest.raises(InputError, match=r"--predictions .*: one of our heads has this name"):
        run.main(corpus.config(), "au", corpus.work, predictions={"head0": theirs})


def test_the_command_line(make_team):
    team = make_team("va")
    command = [sys.executable, "-m", "blend.run", "--task", "va", "--config", str(team.config)]
    command += ["--work", str(team.folder / "work"), "--heads", "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: --heads none: then give")
    for head in ("head0", "head2"):
        command += ["--predictions", f"{head}={team.theirs[head]}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "head2" in done.stdout and "head1" not in done.stdout
    bad = predictions.read(team.theirs["head0"] / "test.parquet", team.task)
    bad.videos["test0"][1][3] = 2
    predictions.write(team.theirs["head0"] / "test.parquet", bad)
    before = {path.name: path.read_bytes() for path in (team.folder / "work" / "blend" / "va").iterdir()}
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    frame = bad.videos["test0"][0][3]
    assert f"{team.theirs['head0'] / 'test.parquet'}: video 'test0' frame {frame}: a score is outside" in done.stderr
    assert before == {path.name: path.read_bytes() for path in (team.folder / "work" / "blend" / "va").iterdir()}
