"""--workers, --storage, --timeout on the command line: killed, resumed, refused, and as good as one process."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from blend import run
from blend.config import SearchOptions
from blend.search import search
from blend.search.shared_study import OWN_NUMBER, START, WORKER
from heads.tune.study import Study

CHILD = """
import pickle, sys, heads.run
config, task, work, folders, options = pickle.load(open(sys.argv[1], "rb"))
heads.run.main = lambda *args, **kwargs: folders
from blend import run
from extract.runtime import errors
if __name__ == "__main__":
    with errors.exits():
        run.main(config, task, work, options=options)
"""


def start(corpus, how, work=None, **settings):
    inputs = corpus.folder / f"inputs{time.monotonic_ns()}"
    work = corpus.work if work is None else work
    inputs.write_bytes(pickle.dumps((corpus.config(**settings), corpus.task.name, work, corpus.heads, how)))
    script = corpus.folder / "child.py"
    script.write_text(CHILD)
    return subprocess.Popen(
        [sys.executable, str(script), str(inputs)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        stderr=subprocess.PIPE,
        text=True,
    )


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        pytest.skip("no /proc of Linux here")


def report_of(work, task):
    return json.loads((work / "blend" / task / "report.json").read_text())


@pytest.mark.slow
def test_four_workers_the_command_killed_and_started_again(make_corpus):
    corpus = make_corpus("va")
    alone = run.main(corpus.config(trials=150, fold_trials=1, folds=2), "va", corpus.work)
    together = corpus.folder / "together"
    (together / "heads").mkdir(parents=True)
    (together / "heads" / "va").symlink_to(corpus.work / "heads" / "va")
    how = SearchOptions(workers=4)
    first = start(corpus, how, together, trials=150, fold_trials=1, folds=2)
    study = together / "blend" / "va" / "study.db"
    until = time.monotonic() + 600
    while len(children(first.pid)) < 3 or not study.exists():
        assert first.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    some = children(first.pid)
    os.kill(some[-1], signal.SIGKILL)
    time.sleep(0.5)
    first.kill()
    first.communicate()
    second = start(corpus, how, together, trials=150, fold_trials=1, folds=2)
    said = second.communicate(timeout=180)[1]
    assert second.returncode == 0, said
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in some) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in some), "they end with the command that started them"
    report = report_of(together, "va")
    assert report["searched"] == pytest.approx(alone["searched"], abs=1e-3) and report["trials"] == alone["trials"]
    again = run.main(corpus.config(trials=150, fold_trials=1, folds=2), "va", together)
    assert again == report, "finished is finished, however it was made"


def hands_of(*commands):
    """The processes that commands have started, once there are some."""
    until = time.monotonic() + 120
    while not (hands := [hand for process in commands for hand in children(process.pid)]):
        assert time.monotonic() < until
        time.sleep(0.02)
    return hands


@pytest.mark.slow
def test_two_commands_share_a_server_are_killed_and_another_search_is_refused(make_corpus, server):
    """A process of the first is killed, then the whole second command, which is started again."""
    corpus = make_corpus("va")
    how, few = (
        SearchOptions(workers=1, storage=server, study="two commands"),
        {"trials": 250, "fold_trials": 1, "folds": 2},
    )
    works = [corpus.folder / name for name in ("one", "two")]
    for work in works:
        (work / "heads").mkdir(parents=True)
        (work / "heads" / "va").symlink_to(corpus.work / "heads" / "va")
    both = [start(corpus, how, work, **few) for work in works]
    os.kill(hands_of(*both)[0], signal.SIGKILL)
    hands_of(both[1])
    both[1].kill()
    both[1].communicate()
    both[1] = start(corpus, how, works[1], **few)
    for process in both:
        said = process.communicate(timeout=600)[1]
        assert process.returncode == 0, said
    params = [(work / "blend" / "va" / "params.json").read_bytes() for work in works]
    assert params[0] == params[1]
    assert not (works[0] / "blend" / "va" / "study.db").exists()
    study = Study.open(server, Path("unused"), "two commands", 60)
    notes = [trial.user_attrs for trial in study.trials()]
    study.close()
    starts = [note[START] for note in notes if START in note]
    assert sorted(starts) == list(range(len(starts))), "each start once"
    drawn = [(note[WORKER], note[OWN_NUMBER]) for note in notes if START not in note]
    settings = corpus.config(**few).blend.va
    assert len(set(drawn)) == len(drawn) == search.draws(250 - len(starts), settings), "none lost, none doubled"
    reports = [report_of(work, "va") for work in works]
    alone = run.main(corpus.config(**few), "va", corpus.work)
    assert [one["searched"] for one in reports] == [pytest.approx(alone["searched"], abs=1e-3)] * 2
    assert [one["trials"] for one in reports] == [alone["trials"]] * 2
    other = start(corpus, how, **few, k_max=7)
    said = other.communicate(timeout=180)[1]
    assert other.returncode == 2 and len(said.splitlines()) == 1, said
    assert "is of another search" in said and "settings.k_max: None there, 7 now" in said


@pytest.mark.slow
def test_no_time_is_enough_for_the_starts_and_what_was_found_is_kept(make_corpus):
    corpus = make_corpus("expr")
    short = run.main(
        corpus.config(trials=60, fold_trials=1, folds=2), "expr", corpus.work, options=SearchOptions(timeout=0.0)
    )
    assert short["trials"] < 60 and short["searched"] >= max(t["score"] for t in short["tuned"].values()) - 1e-6
    whole = run.main(corpus.config(trials=60, fold_trials=1, folds=2), "expr", corpus.work)
    assert whole["trials"] == 60
    fresh = make_corpus("expr", folder="fresh")
    undisturbed = run.main(fresh.config(trials=60, fold_trials=1, folds=2), "expr", fresh.work)
    assert whole | {"seconds": 0, "seconds_of": {}, "made": None} == undisturbed | {
        "seconds": 0,
        "seconds_of": {},
        "made": None,
    }, "one process repeats its bytes, cut short or not"


@pytest.mark.slow
def test_a_search_by_one_process_does_not_go_on_with_what_several_made(make_corpus, capsys):
    corpus = make_corpus("va")
    run.main(corpus.config(trials=30, fold_trials=1, folds=2), "va", corpus.work, options=SearchOptions(workers=2))
    (corpus.work / "blend" / "va" / "DONE").unlink()
    alone = run.main(corpus.config(trials=30, fold_trials=1, folds=2), "va", corpus.work)
    assert "another search" in capsys.readouterr().err
    fresh = make_corpus("va", folder="fresh")
    expected = run.main(fresh.config(trials=30, fold_trials=1, folds=2), "va", fresh.work)
    assert alone | {"seconds": 0, "seconds_of": {}, "made": None} == expected | {
        "seconds": 0,
        "seconds_of": {},
        "made": None,
    }


def test_a_storage_that_is_none(make_corpus):
    corpus = make_corpus("va")
    process = start(corpus, SearchOptions(storage="mysql://user@host/database"))
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 2 and "expected postgresql://user@host/database" in said
