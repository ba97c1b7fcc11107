"""The main job on other people's predictions alone: no frames, no features, no heads of ours; and bad ones by name."""

import json
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import typer
from support import command_server
from support.sweeps import sweep
from typer.testing import CliRunner

from blend import run
from blend.config import Config, RunRequest
from blend.pool import inputs as blend_inputs
from extract import config as configs
from extract import run as extract_run
from extract.runtime.errors import InputError
from heads import corpus_checks
from heads.abaw.tasks import TASKS
from heads.data import predictions


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

    def command(self, *more, given=None):
        """The same through the command line: exit code, and what it says on stderr."""
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command()(run.command)
        given = self.theirs if given is None else given
        arguments = ["--task", self.task.name, "--config", str(self.config), "--work", str(self.folder / "work")]
        arguments += [part for name, path in given.items() for part in ("--predictions", f"{name}={path}")]
        done = CliRunner().invoke(app, [*arguments, *more])
        return done.exit_code, done.stderr

    def read(self, head, part):
        return pd.read_parquet(self.theirs[head] / f"{part}.parquet")

    def write(self, head, part, frame):
        frame.to_parquet(self.theirs[head] / f"{part}.parquet")


@pytest.fixture
def make_team(make_corpus):
    def make(name, seed=0, **sizes):
        return Team(make_corpus(name, seed, **sizes))

    return make


def test_validation_annotations_and_predictions_are_enough(make_team):
    for name in TASKS:
        team = make_team(name, folder=f"corpus_{name}")

        def gathered(team=team, name=name):
            settings = configs.load(Config, team.config)
            return blend_inputs.prepare_inputs(
                settings, RunRequest(name, team.folder / "work", 0, ["none"], team.theirs)
            )[1]

        assert gathered().prior_from == "train"
        shutil.rmtree(team.folder / "train")
        team.config.write_text(team.config.read_text().replace('train = "train"\n', ""))
        found = gathered()
        lines = [line.split(",") for path in sorted(team.corpus.val.glob("*.txt"))
                 for line in path.read_text().splitlines()[1:]]  # fmt: skip
        values = np.array([[float(x) for x in line] for line in lines])
        values = values[(values != team.task.unlabelled_value).all(1)]
        means = np.eye(8)[values[:, 0].astype(int)].mean(0) if name == "expr" else values.mean(0)
        assert found.prior_from == "validation"
        assert list(found.prior.values()) == pytest.approx(means.tolist(), abs=1e-6)
        with pytest.raises(InputError, match=rf"corpus\.{name}\.train is missing: our heads learn"):
            corpus_checks.read(configs.load(Config, team.config), team.task)
    report = team.run(heads=["none"])
    assert report["prior_from"] == "validation" and report["data"]["train"] is None
    assert report["submission"]["frames"] > 0


@pytest.mark.parametrize("name", TASKS)
def test_a_team_needs_annotations_a_list_and_predictions_only(make_team, name):
    team = make_team(name)
    report = team.run()
    assert sorted(report["heads"]) == ["head0", "head1", "head2"]
    lines = (team.folder / "work" / "blend" / name / "submission.txt").read_text().splitlines()
    assert lines[0] == TASKS[name].list_header
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


@pytest.mark.parametrize("task", sweep(TASKS, ["expr"]))
def test_heads_videos_and_frames_in_any_order_give_the_same_bytes(make_team, task):
    """With both ways of selecting; what is told of the inputs' files apart, the report as well."""
    team = make_team(task)
    more = ["--set", f"blend.{task}.select=cross_fitted", "--submissions", "3"]
    assert team.command(*more)[0] == 0
    out = team.folder / "work" / "blend" / task
    before = {path.name: path.read_bytes() for path in (*out.glob("*.*"), *out.glob("submissions/*"))}
    shutil.rmtree(out)
    for head in team.theirs:
        for part in ("val", "test"):
            team.write(head, part, team.read(head, part).sample(frac=1, random_state=len(head + part)))
    assert team.command(*more, given=dict(reversed(team.theirs.items())))[0] == 0
    for name in {"params.json", "submission.txt"} | {name for name in before if name.startswith("submission_")}:
        path = out / name if (out / name).exists() else out / "submissions" / name
        assert path.read_bytes() == before[name]
    reports = [
        json.loads(text) | {"seconds": 0, "seconds_of": {}, "made": None}
        for text in (before["report.json"], (out / "report.json").read_bytes())
    ]
    assert reports[0] == reports[1]


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
        (hard / f"{part}.txt").write_text("\n".join([team.task.list_header, *lines]) + "\n")
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
    "a doubled frame": ("va", lambda f: pd.concat([f, f.iloc[[7]]]), r"video 'val0' frame \d+ occurs more than once"),
    "an unknown video": (
        "va", lambda f: f.replace({"video": {"val1": "vla1"}}),
        r".*the video 'vla1' has no annotation \(its first prediction is of frame \d+\)",
    ),
    "a video missing": ("va", lambda f: drop(f, "val2"), r".*lack the video 'val2', which head 'head0' has; give it"),
    "most frames missing": (
        "va", lambda f: f.iloc[::4], r"video 'val\d' frame \d+ is missing; .*raise blend\.va\.missing_frames"
    ),
    "NaN": ("va", edit("valence", np.nan), r"video 'val0' frame \d+: a score is not finite"),
    "infinity": ("va", edit("arousal", np.inf), r"video 'val0' frame \d+: a score is not finite"),
    "a value out of range": ("va", edit("arousal", 1.5), r"video 'val0' frame \d+: .*\[-1, 1\]: arousal is 1\.5"),
    "a probability above 1": ("au", edit("AU4", 1.25), r"video 'val0' frame \d+: .*\[0, 1\]: AU4 is 1\.25"),
    "a probability below 0": ("expr", edit("Fear", -0.5), r"video 'val0' frame \d+: .*\[0, 1\]: Fear is -0\.5"),
    "per cent as whole numbers": (
        "au", lambda f: (f.set_index(["video", "frame"]) * 100).round().astype(np.int64).reset_index(),
        r"video 'val0' frame \d+: a score is outside \[0, 1\]: AU\d+ is \d+",
    ),
    "float64 beyond float32": (
        "va", lambda f: edit("valence", 1e300)(f.astype({"valence": np.float64})),
        r"video 'val0' frame \d+: a score is not finite",
    ),
    "a column missing": ("va", lambda f: f.drop(columns="valence"), "column 'valence' is missing; expected exactly"),
    "a column too many": ("va", lambda f: f.assign(x=1), "column 'x' is unknown; expected exactly video, frame, val"),
    "columns of another task": ("va", lambda f: f.rename(columns={"valence": "AU1"}), "column 'valence' is missing"),
    "text for numbers": ("va", lambda f: f.astype({"valence": str}), r"column 'valence' is (large_)?string, expected"),
    "frames as fractions": ("va", lambda f: f.assign(frame=f.frame + 0.5), r"row 1: frame is 1\.5, expected a whole"),
    "no rows": ("va", lambda f: f.iloc[:0], "not one prediction in this file"),
    "frame 0": ("va", edit("frame", 0), r"video 'val0' frame 0: frames are numbered from 1"),
    "a far frame": ("va", edit("frame", 99_999), r".*video 'val0' frame 99999, but the video ends at frame \d+"),
    "no file": ("va", None, "no val predictions here; expected one of val.parquet, val.csv, val.txt"),
    "an empty file": ("va", b"", "the file is empty; expected Parquet, or text with the columns video, frame"),
    "text that is no Parquet": ("va", b"video,frame\n", "not a readable Parquet file"),
    "bytes that are no Parquet": ("va", b"PAR1\x00\x01PAR1", "not a readable Parquet file"),
}  # fmt: skip


@pytest.mark.parametrize("damage", BAD)
def test_bad_predictions_are_one_line_with_file_video_and_frame_and_exit_code_2(make_team, damage):
    """Through the command line."""
    task, change, said = BAD[damage]
    team = make_team(task)
    path = team.theirs["head1"] / "val.parquet"
    if change is None:
        path.unlink()
        path = path.parent
    elif isinstance(change, bytes):
        path.write_bytes(change)
    else:
        team.write("head1", "val", change(team.read("head1", "val")))
    code, text = team.command()
    assert code == 2 and re.fullmatch(rf"error: {re.escape(str(path))}: {said}.*\n", text), text
    assert not (team.folder / "work" / "blend" / task / "params.json").exists()


@pytest.mark.parametrize("task", sweep(TASKS, ["va"]))
def test_columns_in_another_order_and_of_another_type_are_taken_by_name(make_team, task):
    """float64 and, where they hold it exactly, whole numbers: 0 and 1 are scores as well."""
    team = make_team(task)
    frame = team.read("head1", "val")
    frame[frame.columns[2]] = frame[frame.columns[2]].round()
    team.write("head1", "val", frame)
    assert team.command() == (0, "")
    params = team.folder / "work" / "blend" / task / "params.json"
    before = params.read_bytes()
    other = frame[frame.columns[::-1]].astype({frame.columns[2]: np.int8, frame.columns[3]: np.float64})
    team.write("head1", "val", other.astype({"frame": np.int64}))
    (params.parent / "DONE").unlink()
    params.unlink()
    code, said = team.command()
    assert code == 0 and "was of another search (heads.head1:" in said
    assert params.read_bytes() == before


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
    report = run.main(corpus.config(folds=2, select_folds=2), "au", corpus.work, predictions={"copy": theirs})
    assert sorted(report["heads"]) == ["copy", "head0", "head1", "head2"]
    assert report["heads"]["copy"] == report["heads"]["head0"]
    with pytest.raises(InputError, match=r"--predictions .*: one of our heads has this name"):
        run.main(corpus.config(), "au", corpus.work, predictions={"head0": theirs})


def test_the_command_line(make_team):
    team = make_team("va")
    command = [sys.executable, "-m", "blend.run", "--task", "va", "--config", str(team.config)]
    command += ["--work", str(team.folder / "work"), "--heads", "none"]
    done = command_server.run(command, charts=False)
    assert done.returncode == 2 and done.stderr.startswith("error: --heads none: then give")
    for head in ("head0", "head2"):
        command += ["--predictions", f"{head}={team.theirs[head]}"]
    done = command_server.run(command, charts=False)
    assert done.returncode == 0, done.stderr
    assert "head2" in done.stdout and "head1" not in done.stdout
    bad = predictions.read(team.theirs["head0"] / "test.parquet", team.task)
    bad.videos["test0"][1][3] = 2
    predictions.write(team.theirs["head0"] / "test.parquet", bad)
    before = {path.name: path.read_bytes() for path in (team.folder / "work" / "blend" / "va").iterdir()}
    done = command_server.run(command, charts=False)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    frame = bad.videos["test0"][0][3]
    assert f"{team.theirs['head0'] / 'test.parquet'}: video 'test0' frame {frame}: a score is outside" in done.stderr
    assert before == {path.name: path.read_bytes() for path in (team.folder / "work" / "blend" / "va").iterdir()}
