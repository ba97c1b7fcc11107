"""What a finished blend leaves: several submissions, predictions of heads that have learnt from validation too."""

import json

import numpy as np
import pytest
from support.sweeps import sweep

from blend import apply, run
from blend.submission import write as submission
from heads.abaw import test_list
from heads.abaw.tasks import TASKS
from heads.data import predictions

QUICK = {"fold_trials": 1, "folds": 2, "select_folds": 2}


def learn_from_both(corpus, heads):
    """Give some heads test predictions of a refit on train and validation: other ones than before."""
    for head in heads:
        found = predictions.read(corpus.heads[head] / "test.parquet", corpus.task)
        for _, scores in found.videos.values():
            scores *= np.float32(0.7)
        predictions.write(corpus.heads[head] / "test_trainval.parquet", found)


@pytest.mark.parametrize("name", sweep(TASKS, ["au"]))
def test_five_different_submissions_described_in_the_report(make_corpus, name):
    corpus = make_corpus(name)
    learn_from_both(corpus, ["head0", "head2"])
    report = run.main(corpus.config(**QUICK), name, corpus.work, submissions=5)
    out = corpus.work / "blend" / name
    listed = test_list.read(corpus.test, TASKS[name])
    files = [one["file"] for one in report["submissions"]["files"]]
    assert len(files) == len({(out / file).read_bytes() for file in files}) == 5, report["submissions"]
    assert [file.split("/")[1][:2] for file in files] == ["1_", "2_", "3_", "4_", "5_"]
    assert "train_val" in {one["name"] for one in report["submissions"]["files"]}
    for one in report["submissions"]["files"]:
        assert submission.check(out / one["file"], listed, TASKS[name]) == [] and one["what"]
        again = out / "again.txt"
        apply.main(apply.read((out / one["file"]).with_suffix(".json")), corpus.heads, corpus.test, again)
        assert again.read_bytes() == (out / one["file"]).read_bytes(), one
    page = (out / "report.html").read_text()
    assert all(file in page for file in files)
    main = (out / "submission.txt").read_bytes()
    assert main == (out / files[0]).read_bytes()


def test_fewer_where_no_head_has_learnt_from_both_and_none_when_asked_for_one(make_corpus):
    corpus = make_corpus("va", heads=1)
    report = run.main(corpus.config(**QUICK), "va", corpus.work, submissions=5)
    names = [one["name"] for one in report["submissions"]["files"]]
    assert "train_val" not in names and len(names) < 5
    assert any("no head has learnt from train and validation" in text for text in report["submissions"]["left_out"])
    assert any("5 were asked for" in text for text in report["submissions"]["left_out"])
    out = corpus.work / "blend" / "va"
    study = (out / "study.db").stat().st_mtime_ns
    report = run.main(corpus.config(**QUICK), "va", corpus.work)
    assert report["submissions"] is None and not list((out / "submissions").iterdir())
    assert (out / "study.db").stat().st_mtime_ns == study  # the search was not made again


def test_the_main_submission_of_heads_that_have_learnt_from_train_and_validation(make_corpus, capsys):
    corpus = make_corpus("va")
    before = run.main(corpus.config(**QUICK), "va", corpus.work)
    out = corpus.work / "blend" / "va"
    usual = (out / "submission.txt").read_bytes()
    learn_from_both(corpus, ["head0", "head1"])
    report = run.main(corpus.config(**QUICK, test_from="train+val"), "va", corpus.work)
    assert "head2 has no test_trainval predictions" in capsys.readouterr().err
    assert report["submission"]["learnt_from_train_and_val"] == ["head0", "head1"]
    assert report["submitted"] == before["submitted"] and (out / "submission.txt").read_bytes() != usual
    again = out / "again.txt"
    apply.main(apply.read(out / "params.json"), corpus.heads, corpus.test, again)
    assert again.read_bytes() == (out / "submission.txt").read_bytes()
    assert json.loads((out / "params.json").read_text())["test_from"] == "train+val"


def test_a_changed_test_list_does_not_search_again(make_corpus):
    corpus = make_corpus("au")
    run.main(corpus.config(**QUICK), "au", corpus.work)
    out = corpus.work / "blend" / "au"
    study = (out / "study.db").stat().st_mtime_ns
    lines = corpus.test.read_text().splitlines()
    corpus.test.write_text("\n".join(lines[:-5]) + "\n")
    report = run.main(corpus.config(**QUICK), "au", corpus.work)
    assert report["submission"]["lines"] == len(lines) - 5
    assert (out / "study.db").stat().st_mtime_ns == study


def test_another_way_of_selecting_does_not_search_again(make_corpus):
    corpus = make_corpus("va")
    first = run.main(corpus.config(**QUICK), "va", corpus.work)
    out = corpus.work / "blend" / "va"
    study = (out / "study.db").stat().st_mtime_ns
    second = run.main(corpus.config(**QUICK | {"folds": 3, "select": "tuned"}), "va", corpus.work)
    assert (out / "study.db").stat().st_mtime_ns == study
    assert [one["select"] for one in (first, second)] == ["cross_fitted", "tuned"]
    assert (
        first["ways"]["tuned"]["tuned"] == second["ways"]["tuned"]["tuned"] == second["searched"] == second["submitted"]
    )
