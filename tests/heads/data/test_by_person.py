"""Nothing that a head learns from stands on both sides of a slice or fold with the same person, whatever the family."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heads import config as heads_config
from heads import run
from heads.abaw import read
from heads.abaw.tasks import TASKS
from heads.base.head import FAMILIES, family
from heads.config import Spec
from heads.data import splits, table
from heads.data.people import People
from heads.data.predictions import Predictions
from heads.data.table import LabelledRows, Source
from heads.families.lama import fit as lama_fit
from heads.families.lama.data import TrainDevRows, fold_groups
from heads.train import fit as learn
from heads.train import out_of_fold
from heads.train.job import Job
from heads.tune import search as tune_search
from heads.tune import trial as tune_trial

Corpus = Any  # tests/heads/conftest.py
AU = TASKS["au"]
SOURCES = (Source("one", ("embedding", "logits")),)
PEOPLE = {"t0": "Ann", "t3": "Ann", "t1": "Ben", "t5": "Ben", "t4": "Cyd"}
"""t2 is of somebody else."""


def quiet(_done: float, _note: str) -> None: ...


def prepared(corpus: Corpus, people: dict[str, str] | None = PEOPLE, **more: Any) -> learn.TrainData:
    raw = {"family": "lightgbm", "inputs": ["embedding", "logits"], "trees": 3} | more
    annotations = read.read_folder(corpus.folder / "au" / "train", AU)
    settings = family("lightgbm").Settings.model_validate(raw)
    seed = raw.pop("seed", 0)
    return learn.prepare_train(corpus.work, SOURCES, settings, annotations, AU, seed, people=People(people))


def who(rows: LabelledRows) -> set[str]:
    return {PEOPLE.get(rows.rows.videos[v], "nobody") for v in np.unique(rows.rows.video)}


def test_dev_slices_and_those_inside_folds_hold_whole_people(tiny: Corpus) -> None:
    ready = prepared(tiny)
    annotations = read.read_folder(tiny.folder / "au" / "train", AU)
    for seed in range(8):
        some = [learn.split_train_dev(ready.labelled_rows, AU, seed, 1)]
        for held in tune_trial.folds(annotations, AU, 3, seed, PEOPLE):
            out = np.isin(ready.labelled_rows.rows.videos, held)
            assert not {PEOPLE.get(v) for v in held} & {PEOPLE[v] for v in PEOPLE if v not in held}
            some.append(ready.restrict_to(~out).part)
        for part in some:
            assert len(part.dev) and not who(part.train) & who(part.dev)
    alone = prepared(tiny, None)
    (held,) = {alone.labelled_rows.rows.videos[v] for v in alone.part.dev.rows.video}
    for other in sorted(set(annotations) - {held}):
        part = prepared(tiny, {held: "Eve", other: "Eve"}).part
        dev = {part.dev.rows.videos[v] for v in part.dev.rows.video}
        assert len(dev & {held, other}) != 1, "by video they would be apart"


class Watched:
    """Stands in for a family: keeps the people of what it is given."""

    def __init__(self, kind: Any, seen: list[tuple[set[str], set[str]]]) -> None:
        self.kind, self.seen = kind, seen

    def __call__(self, task: Any, settings: Any) -> Any:
        head, seen = self.kind(task, settings), self.seen

        class Seeing(type(head)):  # type: ignore[misc]
            def fit(
                self, train: LabelledRows, dev: LabelledRows, seed: int, on_progress: Any = quiet
            ) -> dict[str, Any]:
                seen.append((who(train), who(dev)))
                self.truth, self.video = train.truth, TrainDevRows(train, dev).video
                return {}

            def refit(self, rows: LabelledRows, seed: int, on_progress: Any = quiet) -> None: ...

            def predict(self, rows: Any) -> np.ndarray:
                return np.zeros((len(rows), len(task.outputs)), np.float32)

        head.__class__ = Seeing
        return head


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "pretrained"])
def test_out_of_fold_predictions_of_every_family_are_by_person(
    tiny: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    seen: list[tuple[set[str], set[str]]] = []
    kind = family(name)
    monkeypatch.setattr(learn, "create_head", lambda one: Watched(kind, seen)(one.task, one.settings))
    monkeypatch.setattr(learn, "as_model", lambda one, head: Model(one, head))

    class Model:
        def __init__(self, one: learn.TrainData, head: Any) -> None:
            self.one, self.head = one, head

        def predict_videos(self, work: Path, videos: list[str], people: Any = None) -> Any:
            rows = table.load(work, self.one.sources, videos)
            scores = {v: (rows.frame[a:b], self.head.predict(rows.frame[a:b])) for v, a, b in rows.spans}
            return Predictions(AU.outputs, scores)

    annotations = read.read_folder(tiny.folder / "au" / "train", AU)
    settings = kind.Settings.model_validate({"family": name, "inputs": ["embedding"], "folds": 3})
    ready = learn.prepare_train(tiny.work, SOURCES, settings, annotations, AU, 2, people=People(PEOPLE))
    report = out_of_fold.predict(ready, annotations, tmp_path, "mark", quiet)
    assert len(seen) == 3
    for (train, dev), fold in zip(seen, report["oof_folds"], strict=True):
        held = {PEOPLE.get(video, "nobody") for video in fold["videos"]}
        assert not held & (train | dev) and not train & dev


def test_a_video_without_labels_goes_where_its_person_is(corpus: Corpus, tmp_path: Path) -> None:
    path = corpus.folder / "au" / "train" / "t5.txt"
    path.write_text(AU.header + "\n" + (",".join(["-1"] * 12) + "\n") * corpus.frames)
    annotations = read.read_folder(corpus.folder / "au" / "train", AU)
    assert not annotations["t5"].valid.any()
    report = out_of_fold.predict(prepared(corpus, folds=4), annotations, tmp_path, "mark", quiet)
    (fold,) = [one["videos"] for one in report["oof_folds"] if "t5" in one["videos"]]
    assert "t1" in fold


def test_lama_keeps_people_on_one_side_of_its_own_folds(tiny: Corpus) -> None:
    ready = prepared(tiny)
    both = TrainDevRows(ready.part.train, ready.part.dev)
    video = np.concatenate([np.array(part.rows.videos)[part.rows.video] for part in both.parts])
    person = np.array([PEOPLE.get(v, "nobody") for v in video])
    for seed in range(5):
        for label in (None, both.truth[:, 0]):
            made = fold_groups(both.video, label, 3, seed)
            assert len(np.unique(made)) == 3
            assert all(len(np.unique(made[person == one])) == 1 for one in np.unique(person))
    order = lama_fit.FitOrder("x", "reg", np.zeros((len(both), 1), np.float32), np.arange(len(both)) % 7.0,
                           np.ones(len(both), np.float32), both.video, 0, {"cv": 3})  # fmt: skip
    group = lama_fit._table(order)[0]["group"].to_numpy()
    assert all(len(np.unique(group[person == one])) == 1 for one in np.unique(person))


def test_rows_of_few_people_that_do_not_stand_together_are_cut_into_even_stretches() -> None:
    mixed = np.array([4, 7, 4, 4, 7, 7, 4, 4, 4, 7, 7, 7])
    folds = fold_groups(mixed, None, 3, 0)
    for one in (4, 7):
        assert folds[mixed == one].tolist() == [0, 0, 1, 1, 2, 2]


def test_what_a_head_has_learnt_hangs_on_who_belongs_together_and_on_nothing_else_of_the_table() -> None:
    spec = Spec("lightgbm-one", family("lightgbm").Settings(family="lightgbm", inputs=["logits"]), SOURCES)
    videos = [*PEOPLE, "t2"]

    def mark(people: dict[str, str] | None) -> str:
        inputs = {"train": [], "val": [], "features": {"one": ["mark", "mark"]}}
        return run._learning("au", spec, 0, inputs, "code", splits.name_groups(videos, people))

    renamed = {video: person.upper() for video, person in PEOPLE.items()}
    assert mark(PEOPLE) == mark(renamed) == mark(PEOPLE | {"elsewhere": "Ann"}) == mark(PEOPLE | {"t2": "Dee"})
    assert len({mark(None), mark(PEOPLE), mark(PEOPLE | {"t2": "Ann"}), mark(PEOPLE | {"t4": "Ben"})}) == 4
    told = {"task": "au", "settings": spec.settings.model_dump(mode="json"), "seed": 0,
            "annotations": {"train": [], "val": []},
            "sources": [(s.network, s.kinds, s.beside) for s in SOURCES], "features": ["mark"], "code": "code",
            "versions": {n: run.version(n) for n in ("numpy", "scikit-learn", "lightgbm")}}  # fmt: skip
    assert mark(None) == run.run_folder.fingerprint(told), "without a table as before there was one"


def test_heads_are_made_anew_where_people_change_and_only_then(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from extract import config as extract_config

    jobs: list[Job] = []
    monkeypatch.setattr(run.processes, "run_jobs", lambda todo, what: jobs.extend(todo))
    monkeypatch.setattr(run.extract_run, "main", lambda config, work: config)
    path = corpus.toml('[heads.au]\nuse = ["lightgbm"]\n')
    table = corpus.folder / "who.csv"

    def marks(people: dict[str, str] | None, *more: str) -> dict[str, str]:
        jobs.clear()
        if people is not None:
            table.write_text("video,person\n" + "".join(f"{v},{p}\n" for v, p in people.items()))
        told = [*([f"corpus.people={table}"] if people is not None else []), *more]
        run.main(extract_config.load(heads_config.Config, path, told), "au", corpus.work)
        return {job.name: job.learning for job in jobs}

    first, plain = marks(PEOPLE), marks(None)
    assert "no person for the video 't2' (3 of 8" in capsys.readouterr().err
    assert len(first) == 2 and first != plain
    assert marks(PEOPLE | {"v0": "Ann"}) == first, "of validation no head has learnt"
    assert marks(PEOPLE | {"v0": "Ann"}, "heads.au.lightgbm.refit_val=true").values() != first.values()
    refit = marks(PEOPLE | {"v0": "Zoe", "v1": "Zoe"}, "heads.au.lightgbm.refit_val=true")
    assert marks(PEOPLE | {"v0": "Zoe", "v1": "Yan"}, "heads.au.lightgbm.refit_val=true") != refit
    job = jobs[0]
    assert Job.from_json(json.loads(json.dumps(job.as_json()))) == job and job.people.groups is not None
    assert marks(None) == plain and all(job.people.groups is None for job in jobs)


def test_a_search_goes_by_person_and_is_another_one_where_people_change(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    from extract import config as extract_config

    seen: list[tuple[Any, dict[str, Any]]] = []
    monkeypatch.setattr(tune_search, "_search", lambda job, facts, plan, search: seen.append((job, facts)))
    monkeypatch.setattr(tune_search.extract_run, "main", lambda config, work: config)
    path, table = corpus.toml(), corpus.folder / "who.csv"
    for people in (None, PEOPLE, PEOPLE | {"v0": "Ann"}, PEOPLE | {"t2": "Ann"}):
        table.write_text("video,person\n" + "".join(f"{v},{p}\n" for v, p in (people or PEOPLE).items()))
        told = [f"corpus.people={table}"] if people else []
        config = extract_config.load(heads_config.Config, path, told)
        tune_search.main(config, tune_search.SearchRequest("au", 1, "lightgbm", network="one"), corpus.work)
    (plain, without), (job, facts), (_, same), (_, other) = seen
    assert plain.people is None and "people" not in without and facts.keys() - without.keys() == {"people"}
    assert facts == same and facts != other
    again = tune_search.Job(**json.loads(json.dumps(asdict(job))))
    assert again == job and again.people is not None and again.people["t0"] == again.people["t3"]
