from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.special import expit, softmax

from heads.abaw.tasks import TASKS
from heads.data.table import Block, LabelledRows, Rows
from heads.families.linear import head as linear_head
from heads.families.linear.head import LinearHead, LinearSettings


def settings(**keys: Any) -> LinearSettings:
    return LinearSettings.model_validate({"inputs": ["logits"], **keys})


def labelled(task: str, videos: int = 8, frames: int = 30, noise: int = 60) -> LabelledRows:
    """Three columns that the labels hang on, and some that differ from video to video and say nothing."""
    rng = np.random.default_rng(0)
    n = videos * frames
    video = np.repeat(np.arange(videos, dtype=np.int32), frames)
    said = rng.normal(size=(n, 3))
    per_video = rng.normal(size=(videos, noise))[video] + 0.1 * rng.normal(size=(n, noise))
    x = np.concatenate([said, per_video], 1).astype(np.float32)
    hidden = said + rng.normal(size=(n, 3)) + 0.8 * per_video[:, :3]
    truth: Any = np.digitize(hidden[:, 0], np.linspace(-2, 2, 7)).astype(np.int8)
    if task == "au":
        truth = (hidden[:, np.arange(12) % 3] > np.linspace(-1, 1, 12)).astype(np.uint8)
    if task == "va":
        truth = np.tanh(hidden[:, :2]).astype(np.float32)
    frame = np.tile(np.arange(1, frames + 1, dtype=np.int32), videos)
    rows = Rows(tuple(f"v{i}" for i in range(videos)), video, frame, (Block("n", "logits", x),), np.arange(n))
    return LabelledRows(rows, truth)


def cut(whole: LabelledRows, train: int, dev: int) -> tuple[LabelledRows, LabelledRows]:
    return whole.take(whole.rows.video < train), whole.take((whole.rows.video >= train) & (whole.rows.video < dev))


@pytest.mark.parametrize("task", TASKS)
def test_it_takes_the_penalty_whose_out_of_fold_predictions_are_best(task: str) -> None:
    head = LinearHead(TASKS[task], settings(penalties=[1e-3, 0.1, 10.0]))
    facts = head.fit(*cut(labelled(task), 5, 8), seed=0)
    scores = {float(penalty): score for penalty, score in facts["selection_score"].items()}
    assert list(scores) == [10.0, 0.1, 1e-3], "from the strongest"
    assert facts["penalty"] == max(scores, key=lambda penalty: scores[penalty]) == 0.1
    assert facts["learnt_rows"] == 240


def test_one_frame_of_a_rare_class_does_not_choose_the_penalty_of_expr() -> None:
    """Scores that are better on all frames but one, the only one of its class, which macro F1 would go by."""
    truth = np.repeat(np.arange(8), [20, 20, 20, 20, 20, 20, 20, 1])
    good, lucky = (np.full((len(truth), 8), (1 - sure) / 7, np.float32) for sure in (0.9, 0.4))
    good[np.arange(len(truth)), truth], lucky[np.arange(len(truth)), truth] = 0.9, 0.4
    good[-1] = np.roll(good[-1], 1)
    head = LinearHead(TASKS["expr"], settings())
    assert TASKS["expr"].score(truth, good.argmax(1)) < TASKS["expr"].score(truth, lucky.argmax(1))
    assert head._score(truth, good) > head._score(truth, lucky)


def test_labels_of_held_out_videos_have_no_say_in_their_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns by which each video is known, and labels that follow from nothing else: out of fold there is nothing."""
    whole = labelled("expr")
    whole.truth[:] = np.random.default_rng(1).integers(0, 8, 8)[whole.rows.video]
    head = LinearHead(TASKS["expr"], settings(penalties=[0.1, 0.001]))
    facts = head.fit(*cut(whole, 5, 8), seed=0)
    assert max(facts["selection_score"].values()) < -np.log(8), "worse than to say nothing"
    assert TASKS["expr"].score(whole.truth, head.predict(whole.rows).argmax(1)) > 0.4


def test_one_recording_takes_the_middle_penalty() -> None:
    whole = labelled("va")
    head = LinearHead(TASKS["va"], settings(penalties=[0.5, 0.1, 10.0]))
    facts = head.fit(whole.take(whole.rows.video < 1), whole.take(np.empty(0, np.int64)), seed=0)
    assert facts["penalty"] == 0.5 and facts["selection_score"] == {}


def test_few_rows_choose_and_more_are_learnt_from() -> None:
    head = LinearHead(TASKS["au"], settings(most_rows=100, most_rows_to_choose=50))
    assert head.fit(*cut(labelled("au"), 5, 8), seed=0)["learnt_rows"] == 100


def test_penalties_are_different_and_above_nothing() -> None:
    for wrong in ([0.0, 1.0], [1.0, 1.0], []):
        with pytest.raises(ValidationError, match=r"penalties"):
            settings(penalties=wrong)


def test_scores_are_softmax_and_sigmoid_also_of_very_large_values() -> None:
    values = np.array([[-900.0, 3.0, 900.0], [0.1, -0.2, 0.3]])
    np.testing.assert_allclose(linear_head.scores_of(TASKS["expr"], values), softmax(values, 1), atol=1e-7)
    np.testing.assert_allclose(linear_head.scores_of(TASKS["au"], values), expit(values), atol=1e-7)
    np.testing.assert_allclose(linear_head.scores_of(TASKS["va"], values)[0], [-1, 1, 1])
