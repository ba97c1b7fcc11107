"""The test score of a submission file against scoring the arrays directly."""

import numpy as np
import pytest

from blend.pool.pool import Pool
from blend.submission import write as submission
from blend.submission.test_score import final_score
from heads.abaw import read, test_list
from heads.abaw.tasks import TASKS


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_it_scores_the_listed_and_annotated_frames(make_corpus, tmp_path, name):
    corpus, task = make_corpus(name), TASKS[name]
    listed = test_list.read(corpus.test, task)
    truth = read.read_folder(corpus.truth, task)
    videos = tuple(sorted(truth))
    offsets = np.concatenate([[0], np.cumsum([len(truth[video].valid) for video in videos])])
    total = int(offsets[-1])
    pool = Pool(task, ("h",), videos, offsets, np.empty((1, total, 0), np.float32), np.ones(total, bool))
    rng = np.random.default_rng(0)
    values = np.concatenate([truth[video].values for video in videos])
    wrong = rng.random(total) < 0.2
    decided = values.copy()
    decided[wrong] = rng.permutation(values)[wrong]
    submission.write(tmp_path / "out.txt", listed, pool, decided)
    valid = np.concatenate([truth[video].valid for video in videos])
    found = final_score(tmp_path / "out.txt", listed, corpus.truth, task)
    assert found["score"] == pytest.approx(task.score(values[valid], decided[valid]), abs=1e-9)
    assert found["frames"] == valid.sum()
    np.testing.assert_allclose(list(found["per_output"].values()), task.per_output(values[valid], decided[valid]))
