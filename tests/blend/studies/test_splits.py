"""Random splits by person: who stands where, what is read, what is kept; the table."""

import json

import numpy as np
import pytest

from blend.config import Config
from blend.studies import splits
from blend.studies.corpora import split_corpus
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json
from heads.abaw import annotations as annotation_files
from heads.abaw import read as labels
from heads.abaw import test_list
from heads.abaw.tasks import TASKS
from heads.data import predictions

PEOPLE, EACH, FRAMES = 10, 2, 40


class Corpus:
    """Twenty labelled videos of ten people in two folders, and heads that count as trained when they are asked."""

    def __init__(self, folder, monkeypatch):
        self.work, self.calls, self.seen = folder / "work", 0, []
        rng = np.random.default_rng(0)
        self.person = {f"v{p}x{i}": f"p{p}" for p in range(PEOPLE) for i in range(EACH)}
        self.truth = {video: rng.uniform(-1, 1, (FRAMES, 2)).round(3) for video in self.person}
        for number, (video, truth) in enumerate(self.truth.items()):
            home = folder / ("train" if number % 3 else "val")
            home.mkdir(exist_ok=True)
            lines = [",".join(map(str, row)) for row in truth.tolist()]
            (home / f"{video}.txt").write_text("\n".join(["valence,arousal", *lines]) + "\n")
        paths = {part: str(folder / part) for part in ("train", "val")}
        self.config = Config.model_validate(
            {
                "corpus": {"name": "made-up", "va": paths, "people": str(self.people(folder, self.person))},
                "features": {"networks": ["none"]},
                "blend": {"va": {"trials": 12, "draws": 100, "folds": 2, "select_folds": 2, "k_max": 2}},
            }
        )
        monkeypatch.setattr("extract.run.main", lambda config, work, **_: config)
        monkeypatch.setattr("heads.run.main", self.train)

    @staticmethod
    def people(folder, person):
        """The table that corpus.people names."""
        rows = [f"{video},{who}" for video, who in person.items()]
        (folder / "people.csv").write_text("\n".join(["video,person", *rows]) + "\n")
        return folder / "people.csv"

    def train(self, config, task, work, seed, names, *_):
        self.calls += 1
        paths = config.corpus.task(task)
        assert (work / "features").resolve() == (self.work / "features").resolve()
        parts = {part: set(labels.read_folder(getattr(paths, part), TASKS[task])) for part in ("train", "val")}
        parts["test"] = set(test_list.read(paths.test, TASKS[task]).names)
        self.seen.append(parts)
        heads = {}
        for h, noise in enumerate((0.3, 0.6)):
            rng = np.random.default_rng(h)
            heads[f"head{h}"] = home = work / "heads" / task / f"head{h}"
            home.mkdir(parents=True, exist_ok=True)
            for part in ("val", "test"):
                scores = {
                    v: np.clip(self.truth[v] + noise * rng.standard_normal((FRAMES, 2)), -1, 1) for v in parts[part]
                }
                found = {v: (np.arange(1, FRAMES + 1, dtype=np.int32), s.astype(np.float32)) for v, s in scores.items()}
                predictions.write(home / f"{part}.parquet", predictions.Predictions(TASKS[task].outputs, found))
        write_json(work / "heads" / task / "prior.json", {"valence": 0.0, "arousal": 0.0, "counts": {}})
        return heads


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    return Corpus(tmp_path, monkeypatch)


def test_no_person_is_on_two_sides_and_everybody_is_somewhere(corpus):
    read = split_corpus.read(corpus.config, TASKS["va"])
    seen = set()
    for number in range(40):
        chosen = split_corpus.parts(read, 7, number)
        assert chosen == split_corpus.parts(read, 7, number)
        people = {part: {corpus.person[video] for video in videos} for part, videos in chosen.items()}
        assert sorted(video for videos in chosen.values() for video in videos) == sorted(corpus.person)
        assert sum(map(len, people.values())) == PEOPLE == len(set().union(*people.values()))
        assert [len(people[part]) for part in ("train", "val", "test")] == [5, 3, 2]
        seen.add(tuple(sorted(chosen["test"])))
    assert len(seen) > 20, "the splits differ"


def test_every_label_is_in_every_part_where_that_can_be(corpus):
    """A class that only three people show is in all three parts."""
    read = split_corpus.read(corpus.config, TASKS["va"])
    names = [*read.annotations]
    values = {name: np.zeros(FRAMES, np.int8) for name in names}
    for person in (1, 4, 8):
        values[f"v{person}x0"][:] = 5
    annotations = {name: annotation_files.Annotation(name, values[name], np.ones(FRAMES, bool)) for name in names}
    made = split_corpus.LabelledCorpus(TASKS["expr"], annotations, read.files, read.groups)
    for number in range(10):
        for videos in split_corpus.parts(made, 0, number).values():
            assert any((values[video] == 5).any() for video in videos)


def test_splits_are_measured_kept_and_not_made_again(corpus, tmp_path):
    out = tmp_path / "out.jsonl"
    found = splits.main(corpus.config, "va", corpus.work, 2, 0, out)
    assert corpus.calls == 2 and found["splits"] == 2 == len(out.read_text().splitlines())
    for parts in corpus.seen:
        people = [{corpus.person[video] for video in videos} for videos in parts.values()]
        assert sum(map(len, people)) == PEOPLE == len(set().union(*people))
    assert found["parts"]["train"] == {"people": 5, "videos": 10, "frames": 10 * FRAMES}
    kept = json.loads(out.read_text().splitlines()[0])["results"]
    assert kept["groups"] == {"validation": 3, "test": 2}, "folds, draws and intervals go by person"
    assert set(found["ways"]) == set(splits.WAYS) and all(0.5 < one["mean"] < 1 for one in found["ways"].values())
    more = splits.main(corpus.config, "va", corpus.work, 3, 0, out)
    assert corpus.calls == 3 and more["splits"] == 3 and more["by_split"][:2] == found["by_split"]
    other = corpus.config.model_copy(deep=True)
    other.blend.va.__dict__["k_max"] = 1
    splits.main(other, "va", corpus.work, 1, 0, out)
    assert corpus.calls == 4, "other settings are other splits"


def test_too_few_people_are_one_line(corpus, tmp_path):
    corpus.people(tmp_path, {video: video[1] if video[1] < "3" else "rest" for video in corpus.person})
    with pytest.raises(InputError, match="labelled videos of 4 people; expected 8 or more"):
        split_corpus.read(corpus.config, TASKS["va"])


def made_up(default, tuned, held, interval):
    test = dict.fromkeys(splits.WAYS, 0.5) | {"cross_fitted": default, "tuned": tuned}
    said = {"tuned": {"own": 0.7, "held": None}, "cross_fitted": {"held": held, "interval": interval}}
    parts = {"train": {"people": 5, "videos": 6, "frames": 700}}
    return {"said": said, "test": {"test": test}, "parts": parts, "chosen": {"kernel": "box", "k": 1}, "best_head": "a"}


def test_the_table_adds_up(capsys):
    made = [
        made_up(0.50, 0.48, 0.52, [0.4, 0.6]),
        made_up(0.52, 0.53, 0.50, [0.53, 0.6]),
        made_up(0.54, 0.50, 0.55, None),
    ]
    found = splits.summarise("expr", made)
    over = [0.02, -0.01, 0.04]
    tuned = found["ways"]["tuned"]
    assert tuned["under"] == pytest.approx(sum(over) / 3) and tuned["better"] == 2
    assert tuned["se"] == pytest.approx(np.std(over, ddof=1) / 3**0.5)
    assert found["inside"] == 1 and found["known"] == 2
    assert found["estimates"]["held"]["signed"] == pytest.approx((0.02 - 0.02 + 0.01) / 3)
    assert found["estimates"]["own"]["signed"] == pytest.approx((0.22 + 0.17 + 0.20) / 3)
    wrong = [claim for claim, holds in splits.claims(found).items() if not holds]
    assert wrong == ["the interval holds the test score in 90% or more"]
    below = splits.summarise("expr", [made_up(0.494, 0.48, 0.5, [0.4, 0.6])])
    assert sum(not holds for holds in splits.claims(below).values()) == 5, "best head, three of equal weights, stacking"
    splits.show(found, True)
    shown = capsys.readouterr().out
    assert '| select = "tuned" | 0.503 ± 0.025 | +0.0167 ± 0.0145 | 2 of 3 |' in shown
    assert "held the test score in 1 of 2" in shown and "not so: the interval" in shown


def test_the_command_names_bad_options(tmp_path, capsys):
    for options in ({"task": "age"}, {"task": "va", "heads": " , "}):
        with pytest.raises(SystemExit) as ended:
            splits.command(**options, work=tmp_path)
        assert ended.value.code == 2 and capsys.readouterr().err.startswith("error: --")


def test_json_is_all_there_is_on_stdout(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(splits, "main", lambda *_: {"splits": 2})
    splits.command("va", work=tmp_path, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"splits": 2}
