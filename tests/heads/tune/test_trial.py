from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from extract.runtime.errors import InputError
from heads.abaw import read
from heads.abaw.annotations import Annotation
from heads.abaw.tasks import TASKS
from heads.base.head import Head
from heads.data import predictions, splits
from heads.data.table import Source
from heads.families.lightgbm_head import LightGbm, LightGbmSettings
from heads.train import fit
from heads.tune import trial as tune_trial

Corpus = Any  # tests/heads/conftest.py


def quiet(_done: float, _note: str) -> None: ...


def prepared(tiny: Corpus, task: str, **settings: Any) -> fit.TrainData:
    annotations = read.read_folder(tiny.folder / task / "train", TASKS[task])
    asked = LightGbmSettings(inputs=["logits"], trees=4, **settings)
    return fit.prepare_train(tiny.work, [Source("one", ("logits",))], asked, annotations, TASKS[task])


def folds(tiny: Corpus, task: str, count: int = 3) -> list[list[str]]:
    annotations = read.read_folder(tiny.folder / task / "train", TASKS[task])
    return tune_trial.folds(annotations, TASKS[task], count, seed=0)


def test_best_f1_against_every_threshold() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 7, 60):
        truth = (rng.random((n, 4)) < [0.3, 0.7, 1.0, 0.0]).astype(np.uint8)
        scores = rng.integers(0, 6, (n, 4)).astype(np.float32) / 5  # many equal scores
        naive = [
            max(f1_score(truth[:, i], scores[:, i] >= cut, zero_division=0) for cut in np.unique(scores[:, i]))
            for i in range(4)
        ]
        np.testing.assert_allclose(tune_trial.best_f1(truth, scores), naive, rtol=1e-12)


def test_folds_are_of_whole_videos_each_in_one(tiny: Corpus) -> None:
    for task in TASKS:
        made = folds(tiny, task)
        assert len(made) == 3 and sorted(v for fold in made for v in fold) == tiny.videos["train"]
    assert len(folds(tiny, "au", 100)) == 6, "no more folds than videos"
    one = {"only": Annotation("only", np.zeros((5, 12), np.uint8), np.ones(5, bool))}
    with pytest.raises(InputError, match="1 video of train is annotated"):
        tune_trial.folds(one, TASKS["au"], 3, 0)


@pytest.mark.parametrize("name", TASKS)
def test_a_trial_is_the_same_as_folds_by_hand(tiny: Corpus, name: str, tmp_path: Path) -> None:
    task, held = TASKS[name], folds(tiny, name)
    ready = prepared(tiny, name)
    trial = tune_trial.Trial(ready)
    scores = list(trial.run(held, 7, quiet))
    assert len(scores) == 3 and trial.scored_rows.all() and trial.score == scores[-1]

    rows, truth = ready.labelled_rows.rows, ready.labelled_rows.truth
    by_hand = np.empty_like(trial.scores)
    for names in held:
        out = np.isin(np.array(rows.videos)[rows.video], names)
        part = fit.split_train_dev(ready.labelled_rows.take(np.flatnonzero(~out)), task, ready.seed, 1)
        assert not set(np.unique(part.train_and_dev.rows.video)) & set(np.unique(rows.video[out]))
        head = LightGbm(task, ready.settings)
        head.fit(part.train, part.dev, 7)
        head.refit(part.train_and_dev, 7)
        by_hand[out] = head.predict(rows.take(np.flatnonzero(out)))
    np.testing.assert_array_equal(trial.scores, by_hand)
    if name == "au":
        expected = tune_trial.best_f1(truth, by_hand).mean()
    elif name == "expr":
        expected = f1_score(truth, by_hand.argmax(1), average="macro", labels=range(8), zero_division=0)
    else:
        expected = task.score(truth, by_hand)
    assert trial.score == pytest.approx(expected, rel=1e-12)
    assert np.mean(list(trial.per_output.values())) == pytest.approx(trial.score)

    trial.write(tmp_path / "oof.parquet")
    written = predictions.read(tmp_path / "oof.parquet", task)
    assert list(written.videos) == tiny.videos["train"]
    np.testing.assert_array_equal(np.concatenate([s for _, s in written.videos.values()]), by_hand)
    np.testing.assert_array_equal(np.concatenate([f for f, _ in written.videos.values()]), rows.frame)


def test_a_trial_may_be_left_after_any_fold(tiny: Corpus, tmp_path: Path) -> None:
    trial = tune_trial.Trial(prepared(tiny, "va"))
    held = folds(tiny, "va")
    next(steps := trial.run(held, 0, quiet))
    steps.close()
    trial.write(tmp_path / "oof.parquet")
    assert sorted(predictions.read(tmp_path / "oof.parquet", TASKS["va"]).videos) == held[0]
    assert len(trial.folds) == 1 and trial.folds[0]["videos"] == held[0]


def test_predictions_that_are_not_finite_end_a_trial(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    real = LightGbm.predict

    def diverged(self: Head, rows: Any) -> Any:
        scores = real(self, rows)
        if set(rows.video) <= set(np.flatnonzero(np.isin(rows.videos, held[1]))):
            scores[0, 0] = np.nan
        return scores

    held = folds(tiny, "au")
    monkeypatch.setattr(LightGbm, "predict", diverged)
    trial = tune_trial.Trial(prepared(tiny, "au", refit=False))
    scores = list(trial.run(held, 0, quiet))
    assert len(scores) == 2 and scores[0] is not None and scores[1] is None and trial.per_output == {}


def test_thinning_thins_what_is_learnt_not_what_is_scored(tiny: Corpus) -> None:
    trial = tune_trial.Trial(prepared(tiny, "va", stride=5))
    assert len(list(trial.run(folds(tiny, "va"), 0, quiet))) == 3
    assert sum(fold["rows"] for fold in trial.folds) == len(trial.data.labelled_rows)


def with_components(tiny: Corpus, **settings: Any) -> fit.TrainData:
    annotations = read.read_folder(tiny.folder / "va" / "train", TASKS["va"])
    table = {"of": "embedding", "windows": [2], "components": 3}
    asked = LightGbmSettings(inputs=["logits"], trees=4, temporal=[table], **settings)
    return fit.prepare_train(tiny.work, [Source("one", ("logits",), ("embedding",))], asked, annotations, TASKS["va"])


def test_components_of_a_fold_are_learnt_once_for_all_trials(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, thin = with_components(tiny), with_components(tiny, stride=5, num_leaves=3)
    alone = [tune_trial.Trial(one) for one in (ready, thin)]
    for trial in alone:
        list(trial.run(folds(tiny, "va"), 0, quiet))
    assert alone[0].score != alone[1].score

    made: list[int] = []
    learn_columns = fit._learn_columns
    monkeypatch.setattr(fit, "_learn_columns", lambda *given: made.append(1) or learn_columns(*given))
    kept: tune_trial.FoldCache = {}
    for one, own in ((ready, alone[0]), (replace(ready, settings=thin.settings), alone[1]), (ready, alone[0])):
        trial = tune_trial.Trial(one, kept)
        list(trial.run(folds(tiny, "va"), 0, quiet))
        np.testing.assert_array_equal(trial.scores, own.scores)
        assert trial.folds == own.folds
    assert len(made) == 3 == len(kept), "one for each fold"


def test_no_more_is_kept_than_fits(tiny: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, kept = with_components(tiny), dict[int, Any]()
    own = sum(block.values.nbytes for block in ready.labelled_rows.rows.blocks if block.kind == "temporal")
    assert own == len(ready.labelled_rows) * 9 * 2
    monkeypatch.setattr(tune_trial, "MAX_CACHE_BYTES", 2 * own)
    list(tune_trial.Trial(ready, kept).run(folds(tiny, "va"), 0, quiet))
    assert sorted(kept) == [0, 1]
    plain = dict[int, Any]()
    list(tune_trial.Trial(prepared(tiny, "va"), plain).run(folds(tiny, "va"), 0, quiet))
    assert plain == {}, "nothing is learnt for these rows"


def test_an_undefined_score_is_none() -> None:
    constant = np.zeros((5, 2), np.float32)
    assert tune_trial.score(TASKS["va"], constant, constant) == (None, {})


def test_folds_are_those_of_out_of_fold_predictions(tiny: Corpus) -> None:
    annotations = read.read_folder(tiny.folder / "au" / "train", TASKS["au"])
    assert folds(tiny, "au") == splits.fold_numbers(annotations, TASKS["au"], 3, 0)
