"""`blend.check --compare` reads what it is given, and says in one line what it cannot."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from support.sweeps import sweep

from blend import check_predictions, run
from blend.decision.params import Params
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json
from heads.abaw.tasks import AU


@pytest.mark.parametrize("name", sweep(["au", "expr", "va"], ["va"]))
def test_a_finished_blend_its_own_heads_and_a_single_file_say_nothing_of_its_submission(finished, name):
    """By default of va; of au in tests/system/test_unlabelled_demo.py."""
    corpus, out = finished(name, {"trials": 3}, val=6, test=6, heads=2)
    assert set(json.loads((out / "report.json").read_text())["unlabelled_test"]) == {"shares", "faults"}
    for given in (out, corpus.heads["head0"], corpus.heads["head0"] / "test.parquet", out / "submission.txt"):
        assert check_predictions.warnings(out / "submission.txt", name, corpus.test, [given]) == [], given


def test_without_a_test_list_nothing_is_said(make_corpus):
    corpus = make_corpus("va", heads=2)
    report = run.main(corpus.config(with_test=False, fold_trials=1, folds=2, trials=3), "va", corpus.work)
    assert report["unlabelled_test"] is None


def test_frames_between_the_listed_ones_are_not_compared(finished):
    """Every other frame is listed and in the file; columns that are swapped in it are seen all the same."""
    corpus, out = finished("va", {"trials": 3}, val=6, test=6, heads=2)
    sent = out / "submission.txt"
    header, *lines = sent.read_text().splitlines()
    sent = corpus.work / "edited.txt"
    corpus.test.write_text("\n".join([header, *(line.split(",")[0] + "," for line in lines[::2])]) + "\n")
    sent.write_text("\n".join([header, *lines[::2]]) + "\n")
    assert check_predictions.warnings(sent, "va", corpus.test, [corpus.work / "blend" / "va"]) == []
    rows = [line.split(",") for line in lines[::2]]
    sent.write_text("\n".join([header, *(f"{image},{a},{v}" for image, v, a in rows)]) + "\n")
    [found] = check_predictions.warnings(sent, "va", corpus.test, [corpus.work / "blend" / "va"])
    assert "valence with arousal, arousal with valence" in found


def test_what_cannot_be_compared_is_said_in_one_line(make_corpus, tmp_path):
    corpus = make_corpus("va", heads=2)
    run.main(corpus.config(fold_trials=1, folds=2, trials=3), "va", corpus.work)
    out = corpus.work / "blend" / "va"
    sent = out / "submission.txt"
    other = tmp_path / "blend" / "va"
    shutil.copytree(out, other)
    (tmp_path / "empty").mkdir()
    params = Params("au", AU, ("a",), (1.0,)).as_json()
    write_json(tmp_path / "au" / "params.json", params | {"prior": dict.fromkeys(AU, 0.5)})
    for kind, given, expected in (
        ("mtl", out, "--compare is for submissions of au, expr, va, lsd, this is one of mtl"),
        ("va", tmp_path / "nothing", "nothing: does not exist"),
        ("va", tmp_path / "empty", "no test predictions here"),
        ("va", other, "the head 'head0' of this blend is not in"),
        ("va", tmp_path / "au", "a blend of au, but"),
    ):
        with pytest.raises(InputError, match=re.escape(expected)) as raised:
            check_predictions.warnings(sent, kind, corpus.test, [given])
        assert "\n" not in str(raised.value)


def test_equal_arguments_give_equal_sentences(finished):
    corpus, out = finished("va", {"trials": 3}, val=6, test=6, heads=2)
    sent = out / "submission.txt"
    header, *lines = sent.read_text().splitlines()
    sent = corpus.work / "edited.txt"
    turned = [f"{image},{-float(v)},{-float(a)}" for image, v, a in (line.split(",") for line in lines)]
    sent.write_text("\n".join([header, *turned]) + "\n")
    found = [check_predictions.warnings(sent, "va", corpus.test, [corpus.work / "blend" / "va"]) for _ in range(2)]
    assert found[0] == found[1] and any("are signs turned" in text for text in found[0])
    assert np.all([len(text) < 400 for text in found[0]])
