"""A task of a known kind is one line of facts in heads.abaw.tasks and one in blend.tasks.lookup: every phase works."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from blend.config import BlendSettings
from blend.crossfit.outcome import ResultBuilder
from blend.decision import combine
from blend.decision.params import Params
from blend.report import report, summary
from blend.report.html import page
from blend.report.html import timeline as page_timeline
from blend.search import search
from blend.tasks.lookup import BLEND_TASKS
from blend.tasks.multiclass import Multiclass
from blend.tasks.multilabel import Multilabel
from blend.tasks.regression import Regression
from blend.unlabelled_test import compare as unlabelled
from heads.abaw import annotations, test_list
from heads.abaw.tasks import SINGLE_TASKS, MulticlassTask, MultilabelTask, RegressionTask
from heads.data import splits

NEW = {
    "mood": (MulticlassTask, Multiclass, ("Surprise", "Fear", "Disgust", "Anger", "Happiness", "Sadness")),
    "face": (MultilabelTask, Multilabel, ("smile", "frown", "wink")),
    "pain": (RegressionTask, Regression, ("pain", "effort")),
}
FREE = {"mood": {"bias": "free", "filter": "head1"}, "face": {"per_output_k": True}, "pain": {"scale": True}}


@pytest.fixture(params=NEW)
def name(request, monkeypatch):
    """A task that nobody knows yet, registered."""
    facts, kind, outputs = NEW[request.param]
    monkeypatch.setitem(SINGLE_TASKS, request.param, facts(request.param, outputs))
    monkeypatch.setitem(BLEND_TASKS, request.param, kind(SINGLE_TASKS[request.param], 20, (0, 5)))
    return request.param


@pytest.mark.parametrize("free", [False, True])
def test_every_phase_takes_it(name, free, make_pool):
    pool, test = make_pool(name), make_pool(name, seed=1)
    settings = BlendSettings(
        trials=12, fold_trials=1, folds=2, select_folds=2, draws=100, **(FREE[name] if free else {})
    )
    outcome = ResultBuilder(pool, settings, 0, search.search(pool, settings, 12, 0)).finish()
    params = outcome.search.params
    assert Params.from_json(params.as_json()) == params
    decided = combine.combine(pool, params)
    assert pool.score(decided) == pytest.approx(outcome.search.score, abs=1e-6)
    listed = test_list.from_lengths({video: 30 for video in test.videos}, pool.task, Path("list.txt"))
    odd, sent = unlabelled.facts(pool, test, params, 0), report.describe_submission(listed, test, "test")
    table = report.build(pool, outcome, settings, 0, sent, corpus="made-up", unlabelled_test=odd)
    assert set(table["per_output"]) == set(table["data"]["validation"]["outputs"]) == set(pool.task.outputs)
    assert any("held-out" in line for line in summary.sentences(table))
    assert f"<h1>{name} on made-up</h1>" in page.render(table, page_timeline.make(pool, outcome))


def test_six_classes_are_scored_and_counted_as_six():
    facts, kind, outputs = NEW["mood"]
    task = kind(facts("mood", outputs), 20, (0,))
    rng = np.random.default_rng(0)
    truth, decided = rng.integers(0, 6, (2, 400)).astype(np.int8)
    expected = f1_score(truth, decided, labels=range(6), average=None, zero_division=0)
    table = task.count(truth, decided, np.zeros(400, np.int64), 1)[0]
    np.testing.assert_array_equal(table, confusion_matrix(truth, decided, labels=range(6)))
    np.testing.assert_allclose(task.per_output(table), expected)
    assert task.task.score(truth, decided) == pytest.approx(expected.mean())
    assert splits.label_counts(truth, np.zeros(400, np.int32), 1, task.task).tolist() == [np.bincount(truth).tolist()]
    sure = np.eye(6, dtype=np.float32)[[5]]
    assert task.override(np.zeros(1, np.int8), sure, 0.5).tolist() == [5], "no class is called Other"


def test_its_annotations_are_read_and_refused(tmp_path):
    facts, _, outputs = NEW["mood"]
    task = facts("mood", outputs)
    (tmp_path / "video.txt").write_text(f"{task.header}\n5\n-1\n0\n")
    read = annotations.read(tmp_path / "video.txt", task)
    assert read.values.tolist() == [5, 0, 0] and read.valid.tolist() == [True, False, True]
    (tmp_path / "video.txt").write_text(f"{task.header}\n6\n")
    with pytest.raises(annotations.InputError, match="line 2: 6 is out of range; expected a whole number from -1 to 5"):
        annotations.read(tmp_path / "video.txt", task)
