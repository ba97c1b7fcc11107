"""Several submissions: different ones, in order, each applicable elsewhere; twins are left out and said."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from blend import apply
from blend.decision import combine
from blend.decision.combine import Params
from blend.submission import alternatives
from blend.submission import write as submission
from blend.submission.alternatives import Candidate
from heads.abaw import test_list
from heads.abaw.tasks import TASKS


def entry(pool, name, weights, k=0, **more):
    return Candidate(
        name, f"what {name} is", Params(pool.task.name, pool.task.outputs, pool.heads, weights, "box", k, **more), pool
    )


def listing(pool):
    lengths = dict(zip(pool.videos, np.diff(pool.offsets).tolist(), strict=True))
    return test_list.from_lengths(lengths, pool.task, Path("list.txt"))


@pytest.mark.parametrize("name", TASKS)
def test_different_ones_are_written_checked_and_twins_left_out(make_pool, tmp_path, name):
    pool = make_pool(name)
    listed, prior = listing(pool), dict.fromkeys(pool.task.outputs, 0.25)
    entries = [
        entry(pool, "tuned", (1.0, 0.0, 0.0)),
        entry(pool, "twin", (2.0, 0.0, 0.0) if name == "expr" else (1.0, 0.0, 0.0)),
        entry(pool, "equal", (1 / 3, 1 / 3, 1 / 3), 5),
        entry(pool, "head", (0.0, 0.0, 1.0)),
        entry(pool, "never", (0.0, 1.0, 0.0)),
    ]
    written = alternatives.write(tmp_path, entries, 3, listed, prior)
    assert [one["file"] for one in written["files"]] == [
        "submissions/1_tuned.txt",
        "submissions/2_equal.txt",
        "submissions/3_head.txt",
    ]
    assert written["left_out"] == ["twin decides every frame as tuned does"]
    texts = set()
    for one, made in zip(written["files"], (entries[0], entries[2], entries[3]), strict=True):
        path = tmp_path / one["file"]
        assert submission.check(path, listed, pool.task) == []
        texts.add(path.read_text())
        blend = apply.read(path.with_suffix(".json"))
        assert blend.params == made.params and blend.prior == prior and one["what"] == made.description
        different = combine.combine(pool, made.params) != combine.combine(pool, entries[0].params)
        assert one["differs"] == pytest.approx(different.reshape(len(different), -1).any(1).mean())
    assert len(texts) == 3 and written["files"][0]["differs"] == 0 < written["files"][1]["differs"]


def test_fewer_different_ones_than_asked_for_are_said(make_pool, tmp_path):
    pool = make_pool("au")
    entries = [entry(pool, name, (1.0, 0.0, 0.0)) for name in ("one", "two")]
    written = alternatives.write(tmp_path, entries, 5, listing(pool), {})
    assert len(written["files"]) == 1
    assert written["left_out"] == [
        "two decides every frame as one does",
        "5 were asked for, only 1 differ from each other",
    ]


def test_the_same_blend_of_other_predictions_is_another_submission_and_says_so(make_pool, tmp_path):
    pool = make_pool("va")
    again = replace(pool, scores=pool.scores * np.float32(0.5))
    first = entry(pool, "tuned", (1.0, 0.0, 0.0))
    entries = [first, Candidate("train_val", "again", first.params, again, "train+val")]
    written = alternatives.write(tmp_path, entries, 2, listing(pool), dict.fromkeys(pool.task.outputs, 0.0))
    assert [one["name"] for one in written["files"]] == ["tuned", "train_val"]
    saved = [json.loads((tmp_path / one["file"]).with_suffix(".json").read_text()) for one in written["files"]]
    assert [one["test_from"] for one in saved] == ["train", "train+val"]


def test_what_an_earlier_run_left_goes(make_pool, tmp_path):
    pool = make_pool("expr")
    alternatives.write(tmp_path, [entry(pool, "old", (1.0, 0.0, 0.0))], 1, listing(pool), {})
    assert len(list((tmp_path / "submissions").iterdir())) == 2
    alternatives.clear(tmp_path)
    assert not list((tmp_path / "submissions").iterdir())
    alternatives.clear(tmp_path / "never")
