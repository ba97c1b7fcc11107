from __future__ import annotations

import numpy as np
import pytest

from heads.abaw.tasks import TASKS


def test_outputs_are_in_official_order() -> None:
    assert TASKS["au"].header == "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
    assert TASKS["expr"].header == "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"
    assert TASKS["va"].header == "valence,arousal"


def test_lines_and_marks_of_official_files() -> None:
    assert {name: (task.columns, task.unlabelled_value) for name, task in TASKS.items()} == {
        "au": (12, -1),
        "expr": (1, -1),
        "va": (2, -5),
    }


@pytest.mark.parametrize("name", TASKS)
def test_the_score_is_the_mean_of_its_parts_and_larger_is_better(name: str) -> None:
    rng = np.random.default_rng(0)
    truth, other = {
        "au": rng.integers(0, 2, (2, 99, 12)),
        "expr": rng.integers(0, 8, (2, 99)),
        "va": rng.uniform(-1, 1, (2, 99, 2)),
    }[name]
    task = TASKS[name]
    parts = task.per_output(truth, other)
    assert parts.shape == (len(task.outputs),)
    assert task.score(truth, other) == pytest.approx(parts.mean())
    assert task.score(truth, truth) == pytest.approx(1)
    assert task.score(truth, other) < 0.9
