"""Heads' predictions of a new video through a blend, against the pool that the submission is made of."""

from pathlib import Path

import numpy as np
import pytest

from blend import apply
from blend.decision import combine
from blend.decision.params import Params
from blend.pool import pool
from blend.predict import scores as video_predictions
from blend.predict.trained_blends import TrainedBlend
from heads.abaw.tasks import TASKS
from heads.abaw.test_list import from_lengths
from heads.data.predictions import Predictions

EXTRAS = {
    "au": {"thresholds": tuple(np.linspace(0.3, 0.7, 12)), "kernel": "median"},
    "expr": {"bias": tuple(np.linspace(-0.5, 0.5, 8)), "filter": ("b", 0.6)},
    "va": {"scale": (1.2, 0.8), "shift": (0.05, -0.1), "kernel": "gaussian"},
}


@pytest.mark.parametrize("name", list(TASKS))
def test_the_same_blend_as_for_a_submission_gaps_included(name):
    task, rng = TASKS[name], np.random.default_rng(3)
    heads = {}
    for head in "ab":
        frames = np.flatnonzero(rng.random(40) < 0.8).astype(np.int32) + 1
        heads[head] = frames, rng.random((len(frames), len(task.outputs))).astype(np.float32)
    params = Params(name, task.outputs, ("a", "b"), (0.3, 0.7), k=3, **({"kernel": "box"} | EXTRAS[name]))
    prior = {output: 0.25 for output in task.outputs}
    trained = TrainedBlend(Path(), Path(), task, apply.Blend(params, prior, "train"), {"a": Path(), "b": Path()}, ())
    found = video_predictions.blend_video(trained, heads, 40)
    listed = from_lengths({"v": 40}, task, Path("list"))
    given = {head: Predictions(task.outputs, {"v": part}) for head, part in heads.items()}
    expected = combine.combine(pool.for_test(task, given, listed, np.full(len(prior), 0.25, np.float32)), params)
    np.testing.assert_array_equal(found.decisions, expected)
    assert found.scores.shape == (40, len(task.outputs))


def test_a_head_without_any_frame_takes_the_prior():
    task = TASKS["va"]
    params = Params("va", task.outputs, ("a", "b"), (0.5, 0.5))
    blend = apply.Blend(params, {"valence": 0.2, "arousal": -0.4}, "train")
    trained = TrainedBlend(Path(), Path(), task, blend, {"a": Path(), "b": Path()}, ())
    heads = {"a": (np.arange(1, 6, dtype=np.int32), np.ones((5, 2), np.float32))}
    np.testing.assert_allclose(video_predictions.blend_video(trained, heads, 5).scores, [[0.6, 0.3]] * 5, rtol=1e-6)
