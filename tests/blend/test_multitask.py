"""The multi-task challenge on heads that are there already: three blends, one file, scores by other people's code."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from blend import multitask, run
from blend.config import Config, RunRequest
from blend.submission import check as submission_check
from blend.submission.test_score import final_score
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json
from heads.abaw import tasks, test_list
from heads.abaw.tasks import AU, SUBTASKS
from heads.data import predictions

VIDEOS = {"train": 4, "val": 5, "test": 3}
FRAMES = 60
PARTS = ("va", "expr", "au")


class Challenge:
    """Annotation files with every mix of invalid parts, a test list and its truth, and predictions of two heads."""

    def __init__(self, folder: Path, seed: int = 0, heads: int = 2) -> None:
        self.folder, self.work, self.rng = folder, folder / "work", np.random.default_rng(seed)
        self.heads = [f"head{h}" for h in range(heads)]
        for part, count in VIDEOS.items():
            self._part(part, [f"{part}{v}" for v in range(count)])
        for place, task in SUBTASKS.items():
            prior = dict.fromkeys(task.outputs, 0.125) | {"counts": {"videos": 4, "frames": 99}}
            write_json(self.work / "heads" / place / "prior.json", prior)

    def _part(self, part: str, videos: list[str]) -> None:
        found = {(place, head): {} for place in SUBTASKS for head in self.heads}
        lines, listed = [], []
        for video in videos:
            z = np.cumsum(self.rng.standard_normal((FRAMES, 22)), 0) * 0.2 + self.rng.standard_normal(22)
            truth = {"va": np.tanh(z[:, :2]), "expr": z[:, 2:10].argmax(1), "au": (z[:, 10:] > 0.7).astype(int)}
            for frame in np.sort(self.rng.choice(FRAMES, 40, replace=False)):
                lines.append(f"{video}/{frame + 1:05d}.jpg,{self._line(truth, frame)}")
                listed.append(f"{video}/{frame + 1:05d}.jpg,")
            for place, task in SUBTASKS.items():
                for h, head in enumerate(self.heads):
                    noisy = z + self.rng.standard_normal(z.shape) * (0.5 + 0.5 * h)
                    found[place, head][video] = self._scores(task.name, noisy)
        name = {"train": "train.txt", "val": "val.txt", "test": "truth.txt"}[part]
        (self.folder / name).write_text("\n".join([tasks.MTL_HEADER, *lines]) + "\n")
        if part == "test":
            listed.append(listed[7])  # the official lists name some pictures twice
            (self.folder / "test.txt").write_text("\n".join([tasks.MTL_HEADER, *listed]) + "\n")
        if part != "train":
            for (place, head), some in found.items():
                path = self.work / "heads" / place / head / f"{part}.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                predictions.write(path, predictions.Predictions(SUBTASKS[place].outputs, some))

    def _line(self, truth: dict[str, np.ndarray], frame: int) -> str:
        missing = self.rng.random(3) < 0.25
        affect = ["-5", "-5"] if missing[0] else [f"{value:.3f}" for value in truth["va"][frame]]
        expression = "-1" if missing[1] else str(truth["expr"][frame])
        units = ["-1"] * 12 if missing[2] else list(map(str, truth["au"][frame]))
        return ",".join([*affect, expression, *units])

    def _scores(self, task: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        frames = np.flatnonzero(self.rng.random(FRAMES) < 0.9).astype(np.int32) + 1
        scores = {
            "va": lambda: np.tanh(z[:, :2]),
            "expr": lambda: np.exp(z[:, 2:10]) / np.exp(z[:, 2:10]).sum(1, keepdims=True),
            "au": lambda: 1 / (1 + np.exp(0.7 - z[:, 10:])),
        }[task]()
        return frames, scores[frames - 1].astype(np.float32)

    def config(self, test: bool = True, **blend: object) -> Config:
        paths = {part: str(self.folder / f"{part}.txt") for part in ("train", "val", *(["test"] if test else []))}
        quick = {"trials": 2, "draws": 100, "folds": 2, "select_folds": 2, "select": "tuned"}
        settings = {name: quick | blend for name in PARTS}
        section = {"corpus": {"name": "c", "mtl": paths}, "features": {"networks": ["n"]}, "blend": settings}
        return Config.model_validate(section)

    def trained(
        self, config: Config, task: str, work: Path, seed: int, only: list[str] | None, *_: object
    ) -> dict[str, Path]:
        names = only or self.heads
        return {head: self.work / "heads" / task / head for head in self.heads if head in names}


@pytest.fixture
def challenge(tmp_path, monkeypatch):
    made = Challenge(tmp_path)
    monkeypatch.setattr("heads.run.main", made.trained)
    return made


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished challenge with up to three submissions, to read only, and its report."""
    made = Challenge(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("heads.run.main", made.trained)
        report = run.main(made.config(), "mtl", made.work, submissions=3)
    return made, report


def rows(path: Path) -> dict[str, list[float]]:
    """Lines of a file of the challenge, by a reader of our own; numbers as annotations are kept, float32."""
    found = {}
    for line in path.read_text().splitlines()[1:]:
        image, *cells = line.split(",")
        found[image] = [float(np.float32(cell)) for cell in cells]
    return found


def concordance(truth: np.ndarray, said: np.ndarray) -> float:
    """CCC by its definition (Lin 1989)."""
    covariance = np.mean((truth - truth.mean()) * (said - said.mean()))
    return 2 * covariance / (truth.var() + said.var() + (truth.mean() - said.mean()) ** 2)


def by_hand(truth: dict[str, list[float]], said: dict[str, list[float]]) -> dict[str, float]:
    """The parts of P_MTL, each on its own valid rows, by scikit-learn and by definition."""
    pairs = [(truth[image], said[image]) for image in said if image in truth]
    va = np.array([(t[:2], s[:2]) for t, s in pairs if t[0] > -5 and t[1] > -5])
    expr = np.array([(t[2], s[2]) for t, s in pairs if t[2] >= 0], int)
    au = np.array([(t[3:], s[3:]) for t, s in pairs if min(t[3:]) >= 0], int)
    return {
        "va": np.mean([concordance(va[:, 0, c], va[:, 1, c]) for c in range(2)]),
        "expr": f1_score(expr[:, 0], expr[:, 1], average="macro", labels=range(8), zero_division=0),
        "au": np.mean([f1_score(au[:, 0, c], au[:, 1, c], zero_division=0) for c in range(12)]),
    }


def test_it_ends_with_one_checked_file_of_the_parts(finished):
    challenge, report = finished
    out = challenge.work / "blend" / "mtl"
    template = submission_check.read_template(challenge.folder / "test.txt")
    assert template.kind.name == "mtl" and submission_check.list_problems(out / "submission.txt", template) == []
    lines = (out / "submission.txt").read_text().splitlines()
    assert lines[0] == tasks.MTL_HEADER and len(lines) == 3 * 40 + 2 == report["submission"]["lines"]
    parts = [(out / part / "submission.txt").read_text().splitlines()[1:] for part in PARTS]
    for line, va, expr, au in zip(lines[1:], *parts, strict=True):
        assert line.split(",") == [*va.split(","), expr.split(",")[1], *au.split(",")[1:]]
    assert json.loads((out / "report.json").read_text()) == report
    assert (out / "DONE").exists() and "va/report.html" in (out / "report.html").read_text()


def test_p_mtl_and_its_parts_agree_with_other_peoples_code(finished, tmp_path):
    """On test: the file's text against the truth's text. On validation: the whole is the sum of what the parts say."""
    challenge, report = finished
    out = challenge.work / "blend" / "mtl"
    expected = by_hand(rows(challenge.folder / "truth.txt"), rows(out / "submission.txt"))
    found = {}
    for place, task in SUBTASKS.items():
        listed = test_list.read(challenge.folder / "test.txt", task)
        # the picture that is listed twice counts once in `rows`
        once = test_list.TestList(listed.path, listed.header, listed.images[:-1], listed.names, listed.video_of[:-1],
                                 listed.frame_of[:-1])  # fmt: skip
        text = (out / task.name / "submission.txt").read_text().splitlines()
        (tmp_path / "once.txt").write_text("\n".join(text[:-1]) + "\n")
        found[task.name] = final_score(tmp_path / "once.txt", once, challenge.folder / "truth.txt", task)["score"]
        own = json.loads((challenge.work / "blend" / place / "report.json").read_text())
        part = report["parts"][task.name]
        for key in ("searched", "equal", "interval", "per_output"):
            assert part[key] == own[key]
        assert part["cross_fitted"] == own["cross_fitted"]["pooled"]
    for name in PARTS:
        assert found[name] == pytest.approx(expected[name], abs=1e-9)
    for key in ("searched", "cross_fitted", "equal"):
        assert report[key] == pytest.approx(sum(report["parts"][name][key] for name in PARTS), abs=1e-12)
    best = sum(max(json.loads((out / name / "report.json").read_text())["heads"].values()) for name in PARTS)
    assert report["best_heads"] == pytest.approx(best, abs=1e-12)
    low, high = report["interval"]
    assert low < report["cross_fitted"] < high
    assert low == pytest.approx(sum(report["parts"][name]["interval"][0] for name in PARTS))


def test_validation_scores_are_of_exactly_the_valid_rows(challenge):
    """Without a test list validation is predicted: the file's text against the annotations' text, row by row."""
    report = run.main(challenge.config(test=False), "mtl", challenge.work)
    out = challenge.work / "blend" / "mtl"
    truth, said = rows(challenge.folder / "val.txt"), rows(out / "submission.txt")
    assert list(truth) == list(said) and report["submission"]["from"] == "validation"
    for name, expected in by_hand(truth, said).items():
        assert report["parts"][name]["submitted"] == pytest.approx(expected, abs=1e-9)
    assert report["submitted"] == pytest.approx(sum(by_hand(truth, said).values()), abs=1e-9)
    counts = {
        "va": sum(min(row[:2]) > -5 for row in truth.values()),
        "expr": sum(row[2] >= 0 for row in truth.values()),
        "au": sum(min(row[3:]) >= 0 for row in truth.values()),
    }
    assert {name: part["frames"]["labelled"] for name, part in report["parts"].items()} == counts
    assert len(set(counts.values())) > 1 and report["test"] is None


def test_a_finished_challenge_is_left_alone_and_a_lost_file_is_joined_again(finished, challenge):
    shutil.copytree(finished[0].work, challenge.work, dirs_exist_ok=True)
    out = challenge.work / "blend" / "mtl"
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("*.*") if path.is_file()}
    run.main(challenge.config(), "mtl", challenge.work, submissions=3)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    text = (out / "submission.txt").read_bytes()
    (out / "submission.txt").unlink()
    run.main(challenge.config(), "mtl", challenge.work, submissions=3)
    assert (out / "submission.txt").read_bytes() == text


def test_several_submissions_are_joined_one_by_one(finished):
    challenge, report = finished
    out = challenge.work / "blend" / "mtl"
    template = submission_check.read_template(challenge.folder / "test.txt")
    files = [one["file"] for one in report["submissions"]]
    assert files == [f"submissions/{i}.txt" for i in range(1, len(files) + 1)] and len(files) > 1
    assert all(submission_check.list_problems(out / file, template) == [] for file in files)
    assert (out / files[0]).read_text() == (out / "submission.txt").read_text()
    assert len({(out / file).read_text() for file in files}) == len(files)


@pytest.mark.slow
def test_heads_for_all_parts_or_for_one_and_other_peoples_predictions_by_part(challenge, tmp_path):
    theirs = tmp_path / "theirs"
    for place, task in SUBTASKS.items():
        if task.name == "au":
            continue
        (theirs / task.name).mkdir(parents=True)
        for part in ("val", "test"):
            source = challenge.work / "heads" / place / "head0" / f"{part}.parquet"
            (theirs / task.name / f"{part}.parquet").write_bytes(source.read_bytes())
    config, heads = challenge.config(), ["va/head0", "head1"]
    report = run.main(config, "mtl", challenge.work, heads=heads, predictions={"theirs": theirs})
    out = challenge.work / "blend" / "mtl"
    used = {name: sorted(json.loads((out / name / "report.json").read_text())["heads"]) for name in report["parts"]}
    assert used == {"va": ["head0", "head1", "theirs"], "expr": ["head1", "theirs"], "au": ["head1"]}
    assert not (out / "submissions").exists() and report["submissions"] == []


def test_heads_and_predictions_of_no_part(challenge):
    for heads, said in (
        (["va/head0"], r"--heads va/head0: no head for expr; add expr/NAME, or none"),
        (["lsd/head0"], r"--heads lsd/head0: no part of the multi-task challenge"),
    ):
        with pytest.raises(InputError, match=said):
            [multitask.select_heads(heads, part) for part in PARTS]
    with pytest.raises(InputError, match="should hold a folder for each part"):
        run.main(challenge.config(), "mtl", challenge.work, predictions={"x": challenge.folder})


def test_a_part_alone_is_a_task(challenge):
    report = run.main(challenge.config(), "mtl/expr", challenge.work)
    assert report["task"] == "expr" and (challenge.work / "blend" / "mtl" / "expr" / "DONE").exists()
    assert not (challenge.work / "blend" / "mtl" / "va").exists()


def test_a_corpus_without_the_challenge(challenge):
    config = Config.model_validate({"corpus": {"name": "c"}, "features": {"networks": ["n"]}})
    with pytest.raises(InputError, match=r"has no task 'mtl': add a section \[corpus\.mtl\]"):
        multitask.main(config, RunRequest("mtl", challenge.work))


def test_parts_that_are_not_of_the_same_pictures_are_a_bug_and_not_a_file(tmp_path):
    lines = {"va": ["a/1.jpg,0.5,0.5"], "expr": ["a/2.jpg,3"], "au": ["a/1.jpg" + ",0" * len(AU)]}
    for name, some in lines.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(["header", *some]) + "\n")
    paths = [tmp_path / f"{name}.txt" for name in PARTS]
    with pytest.raises(RuntimeError, match=r"a/1\.jpg"):
        multitask.join(paths, tasks.MTL_HEADER, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
    (tmp_path / "expr.txt").write_text("header\na/1.jpg,8\n")
    with pytest.raises(RuntimeError, match=r"line 2: 8 is out of range"):
        multitask.join(paths, tasks.MTL_HEADER, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
