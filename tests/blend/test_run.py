"""The main job on heads that are there already: what it leaves, that it repeats its bytes, what it refuses."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import datetime

import numpy as np
import pytest
from support import command_server
from support.sweeps import sweep

from blend import run, single_task
from blend.config import Config, RunRequest
from blend.pool import inputs as blend_inputs
from blend.report import pointers
from blend.submission import write as submission
from extract.runtime.errors import InputError, WorkError
from heads import run as heads_run
from heads.abaw import test_list
from heads.abaw.tasks import TASKS

FILES = ("params.json", "submission.txt", "report.json", "report.html", "study.db", "provenance.json", "DONE")
QUICK = {"folds": 2, "select_folds": 2}
"""Of runs whose folds are not looked at."""


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_it_leaves_a_checked_submission_and_a_report_without_nan_and_a_page_of_its_numbers(
    make_corpus, page_reader, name
):
    corpus = make_corpus(name)
    report = run.main(corpus.config(), name, corpus.work)
    out = corpus.work / "blend" / name
    assert all((out / file).exists() for file in FILES)
    listed = test_list.read(corpus.test, TASKS[name])
    assert submission.check(out / "submission.txt", listed, TASKS[name]) == []
    assert json.loads((out / "report.json").read_text()) == report
    shown = page_reader.Page((out / "report.html").read_text()).numbers
    assert len(shown) > 150
    for pointer, text in shown:
        assert page_reader.agrees(text, pointers.value(report, pointer)), (pointer, text)
    searched = report["ways"]["tuned"]["tuned"]
    assert searched >= max(*report["heads"].values(), report["equal"])
    assert searched >= max(tuned["score"] for tuned in report["tuned"].values()) - 1e-6
    assert report["submitted"] == report["ways"][report["select"]]["tuned"]
    assert len(report["cross_fitted"]["folds"]) == 5
    assert report["frames"]["videos_without_face"] == ["val4"]
    assert report["submission"]["videos_without_face"] == ["test2"]
    assert report["frames"]["with_features"] + report["frames"]["filled"] == report["frames"]["labelled"]
    assert report["submission"]["lines"] == len(listed.images) + 1


@pytest.mark.parametrize("name", sweep(["au", "expr", "va"], ["expr"]))
def test_out_of_fold_predictions_of_train_count_where_every_head_has_them(make_corpus, name):
    corpus = make_corpus(name)
    corpus.add_train()
    both = run.main(corpus.config(out_of_fold=True, **QUICK), name, corpus.work)
    assert both["choice"]["with_train"] is True
    params = json.loads((corpus.work / "blend" / name / "params.json").read_text())
    again = run.main(corpus.config(out_of_fold=False, **QUICK), name, corpus.work)
    assert again["choice"]["with_train"] is False, "another setting, another blend"
    assert json.loads((corpus.work / "blend" / name / "params.json").read_text()) != params
    assert run.main(corpus.config(**QUICK), name, corpus.work)["choice"]["with_train"] in (False, True)
    before = json.loads((corpus.work / "blend" / name / "provenance.json").read_text())
    path = corpus.train / "train0.txt"
    path.write_text("\n".join([*path.read_text().splitlines()[:-1], path.read_text().splitlines()[1]]) + "\n")
    run.main(corpus.config(**QUICK), name, corpus.work)
    after = json.loads((corpus.work / "blend" / name / "provenance.json").read_text())
    assert before["train"] != after["train"], "other labels of train, another blend"
    (corpus.heads["head1"] / "oof.parquet").unlink()
    alone = run.main(corpus.config(out_of_fold=True, **QUICK), name, corpus.work)
    assert alone["choice"]["with_train"] is False


def test_people_of_validation_are_left_out_of_train(make_corpus):
    corpus = make_corpus("va")
    corpus.add_train()
    table = corpus.folder / "people.csv"
    table.write_text("video,person\n" + "".join(f"val{v},p{v}\ntrain{v},p{v + 3}\n" for v in range(5)))
    config = corpus.config()
    config = config.model_copy(update={"corpus": config.corpus.model_copy(update={"people": table})})
    sources = blend_inputs.prepare_inputs(config, RunRequest("va", corpus.work))[1]
    some = blend_inputs.load_pools(sources)
    assert some.train.videos == ("train2", "train3"), "train0 and train1 are of people of val3 and val4"
    assert some.validation.people == ("p0", "p1", "p2", "p3", "p4") and some.train.people == ("p5", "p6")
    assert some.test_groups is None, "who is in test is not told: recordings are no people"
    table.write_text(table.read_text() + "test0,q\ntest1,q\ntest2,r\n")
    some = blend_inputs.load_pools(blend_inputs.prepare_inputs(config, RunRequest("va", corpus.work))[1])
    assert some.test_groups == 2 and some.target.people == ("q", "q", "r")
    table.write_text("video,person\n" + "".join(f"val{v},p{v}\ntrain{v},p{v}\n" for v in range(5)))
    assert blend_inputs.load_pools(blend_inputs.prepare_inputs(config, RunRequest("va", corpus.work))[1]).train is None


def test_two_runs_give_the_same_bytes_and_a_finished_folder_is_left_alone(make_corpus):
    one, two = make_corpus("au", folder="one"), make_corpus("au", folder="two")
    reports = []
    for corpus in (one, two):
        pytest.MonkeyPatch().setattr("heads.run.main", lambda *args, c=corpus: c.heads)
        reports.append(run.main(corpus.config(**QUICK), "au", corpus.work))
    folders = [corpus.work / "blend" / "au" for corpus in (one, two)]
    for file in ("params.json", "submission.txt"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    for report in reports:
        took, made = report.pop("seconds_of"), report.pop("made")
        assert made["config"]["blend"]["au"]["trials"] == report["trials"] and made["version"]
        assert datetime.fromisoformat(made["date"]).tzinfo is not None
        assert list(took)[-4:] == ["reading", "search", "estimate", "report"]
        assert sum(list(took.values())[-4:]) == pytest.approx(report.pop("seconds"), abs=0.05)
    assert reports[0] == reports[1]
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folders[1].iterdir()}
    run.main(two.config(**QUICK), "au", two.work)
    assert before == {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folders[1].iterdir()}


def test_another_seed_or_setting_makes_it_anew_and_says_so(make_corpus, capsys):
    corpus = make_corpus("va")
    run.main(corpus.config(**QUICK), "va", corpus.work)
    mark = (corpus.work / "blend" / "va" / "DONE").read_text()
    report = run.main(corpus.config(trials=21, **QUICK), "va", corpus.work, seed=1)
    assert (corpus.work / "blend" / "va" / "DONE").read_text() != mark
    assert report["seed"] == 1 and report["trials"] == 21
    assert "another search" in capsys.readouterr().err


def test_without_a_test_list_validation_is_predicted_and_the_report_says_so(make_corpus):
    corpus = make_corpus("expr")
    for head in corpus.heads.values():
        (head / "test.parquet").unlink()  # heads predict no test then
    report = run.main(corpus.config(with_test=False, **QUICK), "expr", corpus.work)
    lines = (corpus.work / "blend" / "expr" / "submission.txt").read_text().splitlines()
    assert lines[0] == TASKS["expr"].list_header
    assert len(lines) == 1 + sum(n for video, n in corpus.lengths.items() if video.startswith("val"))
    assert lines[1].startswith("val0/00001.jpg,")
    assert report["submission"]["from"] == "validation"
    assert "names no test list" in (corpus.work / "blend" / "expr" / "report.html").read_text()


def test_one_validation_video_gives_no_cross_fitted_score(make_corpus):
    corpus = make_corpus("au", val=1)
    report = run.main(corpus.config(**QUICK), "au", corpus.work)
    assert report["cross_fitted"] is None and report["interval"] is None and report["optimism"] is None


def test_fewer_videos_than_folds_give_as_many_folds(make_corpus, capsys):
    corpus = make_corpus("va", val=3)
    report = run.main(corpus.config(), "va", corpus.work)
    assert len(report["cross_fitted"]["folds"]) == 3
    assert "3 validation videos" in capsys.readouterr().err


def test_bad_input_leaves_a_finished_folder_as_it_is(make_corpus):
    corpus = make_corpus("au")
    run.main(corpus.config(**QUICK), "au", corpus.work)
    out = corpus.work / "blend" / "au"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (corpus.heads["head1"] / "val.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"val\.parquet"):
        run.main(corpus.config(**QUICK), "au", corpus.work)
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}


STARTS = 17  # 3 heads and equal weights at 4 k each, and the greedy selection
CHILD = """
import pickle, sys, heads.run
config, task, work, heads_ = pickle.load(open(sys.argv[1], "rb"))
heads.run.main = lambda *args, **kwargs: heads_
from blend import run
from blend.report.html import charts
from blend.search import search
from markupsafe import Markup
from pathlib import Path
charts._draw = lambda name, *_: Markup("<svg></svg>")
real, made = search.derive, []
def slow(seed, *parts):
    import time
    made.append(parts)
    Path(sys.argv[2]).write_text(str(len(made)))
    time.sleep(float(sys.argv[3]))
    return real(seed, *parts)
search.derive = slow
run.main(config, task, work)
"""


@pytest.mark.parametrize(("name", "draws"), sweep([("au", 3), ("va", 12)], [("au", 3)]))
def test_a_killed_run_goes_on_to_the_same_bytes(make_corpus, tmp_path, name, draws):
    import pickle

    undisturbed, killed = make_corpus(name, folder="undisturbed"), make_corpus(name, folder="killed")
    for corpus in (undisturbed, killed):
        inputs = (corpus.config(trials=40, fold_trials=2, **QUICK), name, corpus.work, corpus.heads)
        (corpus.folder / "inputs").write_bytes(pickle.dumps(inputs))
    counter = tmp_path / "drawn"

    def start(corpus, pause):
        arguments = [sys.executable, "-c", CHILD, str(corpus.folder / "inputs"), str(counter), str(pause)]
        return subprocess.Popen(arguments, start_new_session=True, env=os.environ | {"PYTHONPATH": os.getcwd()})

    child = start(killed, 0.1)
    deadline = time.monotonic() + 600
    while not (counter.exists() and int(counter.read_text() or 0) > draws):
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    out = killed.work / "blend" / name
    assert not (out / "DONE").exists()
    with closing(sqlite3.connect(out / "study.db")) as study:
        (kept,) = study.execute("SELECT count(*) FROM trials").fetchone()
    assert STARTS < kept < 40  # the kill came amid the drawn trials
    for corpus in (killed, undisturbed):
        assert start(corpus, 0).wait(timeout=120) == 0
    for file in ("params.json", "submission.txt"):
        ours, theirs = (corpus.work / "blend" / name / file for corpus in (killed, undisturbed))
        assert ours.read_bytes() == theirs.read_bytes()
    reports = [
        json.loads((corpus.work / "blend" / name / "report.json").read_text()) for corpus in (killed, undisturbed)
    ]
    assert reports[0] | {"seconds": 0, "seconds_of": {}, "made": None} == reports[1] | {
        "seconds": 0,
        "seconds_of": {},
        "made": None,
    }


def test_help_loads_nothing_heavy_and_an_unknown_task_is_one_line():
    shown = subprocess.run([sys.executable, "-m", "blend.run", "--help"], capture_output=True, text=True, check=True)
    assert "python -m blend.run --task expr" in shown.stdout
    wrong = command_server.run([sys.executable, "-m", "blend.run", "--task", "age"])
    assert wrong.returncode == 2
    assert wrong.stderr == "error: --task age: no such task; there are au, expr, va, lsd, mtl\n"
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, blend.run; print(sorted({'numba', 'optuna', 'pandas'} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout == "[]\n"


def test_all_tasks_are_those_that_the_corpus_has_annotations_of(make_corpus, tmp_path, monkeypatch, capsys):
    config = make_corpus("va").config()
    assert run.find_tasks("all", config) == ["va"] and run.find_tasks("mtl", config) == ["mtl"]
    other = make_corpus("expr", folder="other").config()
    both = config.model_copy(update={"corpus": config.corpus.model_copy(update={"expr": other.corpus.expr})})
    assert run.find_tasks("all", both) == ["expr", "va"]
    demo = config.model_copy(update={"corpus": config.corpus.model_copy(update={"demo": True})})
    assert run.find_tasks("all", demo) == ["au", "expr", "va"]
    bare = config.model_copy(update={"corpus": config.corpus.model_copy(update={"va": None})})
    with pytest.raises(InputError, match=r"--task all: the config names no validation annotations"):
        run.find_tasks("all", bare)
    asked, trained = [], []
    monkeypatch.setattr(single_task, "train_heads", lambda _, asked: trained.append([each.task for each in asked]))
    monkeypatch.setattr(run, "main", lambda config, task, *_, **__: asked.append(task) or {"task": task})
    monkeypatch.setattr(
        "blend.report.summary.summarise_briefly", lambda report, folder: report | {"folder": folder.name}
    )
    run.command("all", work=tmp_path, as_json=True)
    assert trained == [["au", "expr", "va"]] and asked == ["au", "expr", "va"]
    assert json.loads(capsys.readouterr().out) == {name: {"task": name, "folder": name} for name in asked}

    def refuse_expr(config, task, *_, **__):
        if task == "expr":
            raise InputError("no annotations")
        return {"task": task}

    monkeypatch.setattr(run, "main", refuse_expr)
    with pytest.raises(SystemExit) as ended:
        run.command("all", work=tmp_path, as_json=True)
    shown = capsys.readouterr()
    assert ended.value.code == 2 and shown.err == "error: expr: no annotations\n"
    assert list(json.loads(shown.out)) == ["au", "va"], "the others are done"


@pytest.mark.parametrize("error", [InputError, WorkError, RuntimeError])
def test_what_goes_wrong_with_a_task_among_several_is_left_to_its_blend(tmp_path, monkeypatch, error):
    trained = []

    def train(config, asked, work, seed):
        trained.append((asked, work, seed))
        raise error("a head was lost")

    monkeypatch.setattr(heads_run, "train_side_by_side", train)
    config = Config.model_validate({"corpus": {"name": "x"}})
    others = RunRequest("va", tmp_path, 3, heads=["none"], predictions={"a": tmp_path})
    began = time.monotonic()
    single_task.train_heads(config, [RunRequest("au", tmp_path, 3), RunRequest("expr", tmp_path, 3, ["lama"]), others])
    assert trained == [({"au": None, "expr": ["lama"]}, tmp_path, 3)]
    assert time.monotonic() - began < 2, "nobody waits for what is made ready"


def test_the_summary_names_every_file(make_corpus, capsys):
    from blend.report.summary import show

    corpus = make_corpus("au")
    report = run.main(corpus.config(**QUICK), "au", corpus.work)
    show(report, corpus.work / "blend" / "au")
    shown = capsys.readouterr().out
    for text in (
        "blend, cross-fitted",
        "equal weights",
        "head0",
        "submission.txt",
        "report.html",
        f"{report['submitted']:.4f}",
    ):
        assert text in shown
    assert np.isfinite(report["seconds"])
