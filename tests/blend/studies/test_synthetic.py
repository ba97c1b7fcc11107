"""The study of learning from synthetic data: its arithmetic by hand, and a run on a few pictures."""

import numpy as np
import pytest

from blend.studies import synthetic
from extract.demo import picture_corpus
from heads.data.predictions import Predictions


def test_a_mix_is_the_weighted_sum_of_the_same_frames():
    frames = np.array([1, 3], np.int32)
    one, other = ({"a": (frames, np.full((2, 2), value, np.float32))} for value in (0.2, 0.6))
    mixed = synthetic.mix([Predictions(("x", "y"), one), Predictions(("x", "y"), other)], [0.25, 0.75])
    np.testing.assert_allclose(mixed.videos["a"][1], 0.25 * 0.2 + 0.75 * 0.6, rtol=1e-6)
    assert mixed.videos["a"][0].tolist() == [1, 3]


def test_the_table_has_a_line_for_each_step():
    draws = [dict.fromkeys(synthetic.STEPS, (0.5, 0.4)), dict.fromkeys(synthetic.STEPS, (0.7, 0.4))]
    lines = synthetic.as_markdown(draws).splitlines()
    assert len(lines) == 2 + len(synthetic.STEPS) and all(
        "| 0.600 ± 0.100 | 0.400 ± 0.000 |" in line for line in lines[2:]
    )


@pytest.mark.slow
def test_a_draw_of_few_pictures_scores_every_step(tmp_path, monkeypatch):
    for part, about in picture_corpus.PARTS.items():
        few = tuple(max(6, count // 5) for count in about.counts)
        monkeypatch.setitem(picture_corpus.PARTS, part, picture_corpus.replace(about, counts=few))
    monkeypatch.setattr(picture_corpus, "run_jobs", lambda function, jobs, _: map(function, jobs))
    [draw] = synthetic.main(tmp_path, 1, {"head_epochs": 1, "epochs": 1})
    assert list(draw) == list(synthetic.STEPS)
    assert all(0 < score <= 1 for pair in draw.values() for score in pair)
