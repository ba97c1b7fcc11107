"""The whole chain and the searches on workers that are killed: the same bytes, and nothing done twice that was done."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from blend.config import BlendSettings
from blend.search import search
from blend.search.shared_study import OWN_NUMBER, START, WORKER
from heads.tune.study import Study, list_finished_trials

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AFFECT_HEADS_KILLS", "2"))
"""Workers killed in each test; the full trial is 10."""
WORKERS = ("one", "two", "three")
HEADS = max(len(WORKERS) + 1, KILLS - 2)
"""More than can be trained at a time: some are not begun when the first is finished."""
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's /proc"),
    pytest.mark.slow,  # by default workers are killed in test_cluster_storms.py
]


@pytest.fixture(scope="module")
def chain(few_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus with so many heads that some are trained while workers are killed."""
    folder = shutil.copytree(few_videos.parent, tmp_path_factory.mktemp("chain") / "few")
    for number in range(HEADS):
        about = 'family = "lightgbm"\nnetworks = "each"\ninputs = ["logits", "va", "embedding"]\n'
        (folder / f"h{number}.toml").write_text(f"{about}trees = {60 + 10 * number}\n")
    use = ", ".join(f'"h{number}.toml"' for number in range(HEADS))
    text = few_videos.read_text().replace('[heads.au]\nuse = ["lightgbm"]', f"[heads.au]\nuse = [{use}]")
    (folder / "chain.toml").write_text(text.replace("[heads.au.lightgbm]\ntrees = 20\n", ""))
    return folder / "chain.toml"


def start(command: str, settings: Path, work: Path, *more: str) -> subprocess.Popen[str]:
    whole = [sys.executable, "-m", command, "--config", str(settings), "--work", str(work), *more]
    return subprocess.Popen(whole, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended_well(process: subprocess.Popen[str]) -> None:
    _, error = process.communicate(timeout=900)
    assert process.returncode == 0, error


def results(work: Path) -> dict[str, bytes]:
    """Features, predictions, models, trials, submission and what the blend is applied by."""
    names = ("features/*/*.safetensors", "heads/*/*/*.parquet", "heads/*/*/model/*", "tune/*/*/trials/*/oof.parquet")
    names += ("blend/*/submission.txt", "blend/*/params.json")
    unlike = {"DONE", "provenance.json", "learnt.json"}  # seconds and paths stand in them
    found = [path for name in names for path in sorted(work.glob(name))]
    return {str(path.relative_to(work)): path.read_bytes() for path in found if path.name not in unlike}


def finished(work: Path) -> dict[str, tuple[int, int]]:
    """The files of all that is finished by now, and what changes when one is made again."""
    found = [*work.glob("features/*/*.safetensors")]
    for folder in (*work.glob("heads/*/*"), *work.glob("heads/*/*/model"), *work.glob("blend/*")):
        if (folder / "DONE").exists():
            found += [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    facts = {}
    for path in found:
        about = path.stat()
        facts[str(path.relative_to(work))] = (about.st_ino, about.st_mtime_ns)
    return facts


class Storm:
    """Kills workers while a command runs; sees to it that what was finished at any kill is the same at the end."""

    def __init__(self, some, work: Path, process: subprocess.Popen[str]) -> None:
        self.some, self.work, self.process = some, work, process
        self.chance = random.Random(KILLS)
        self.seen: dict[str, tuple[int, int]] = {}
        self.hit: Counter[str] = Counter()

    def kill(self, module: str, kills: int, made: Callable[[], set], most: int = 1, moment: float = 0.01) -> None:
        """Kill that many workers while jobs of a module run, each when a few more things are made, `most` at most."""
        while kills and self.process.poll() is None:
            if (held := self.some.hold(module, made, self.chance.randint(1, most), moment)) is None:
                time.sleep(0.02)
                continue
            time.sleep(self.chance.uniform(0.0, 0.3))  # the others go on
            self.look()
            ran = self.some.kill(held[0])
            assert ran == [module]
            self.hit.update(ran)
            kills -= 1

    def look(self) -> None:
        now = finished(self.work)
        assert {name: now.get(name) for name in self.seen} == self.seen, "made again"
        self.seen |= now

    @property
    def kills(self) -> int:
        return sum(self.hit.values())


def stopped(some, process: subprocess.Popen[str]) -> int:
    """A head's process that stands still from now on."""
    while (held := some.hold("heads.train.cluster_job")) is None:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    return held[1]


def written(work: Path, *names: str) -> set[tuple[str, int]]:
    """The files by such names, each time that it was written."""
    found = set()
    for path in (path for name in names for path in work.glob(name)):
        with contextlib.suppress(FileNotFoundError):  # a temporary one
            found.add((str(path), path.stat().st_mtime_ns))
    return found


def steps(work: Path) -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in (work / "cluster").glob("*.json")}


def restarts(record: dict) -> int:
    """How often a step's jobs were started again; none was after it had ended well."""
    ended = [job for job in record["jobs"] if job["seconds"] is not None]
    assert all(job["starts"][-1] == job["worker"] and not job["failures"] for job in ended)
    return sum(len(job["starts"]) - 1 for job in record["jobs"] if job["starts"])


def test_the_chain_on_killed_workers_and_without_its_scheduler(chain, machines, tmp_path, record_property):
    """Kills in extraction and in training, then the scheduler's, then the same command once more."""
    local, work = tmp_path / "local", tmp_path / "work"
    ended_well(start("blend.run", chain, local, "--task", "au"))
    with machines(tmp_path, *WORKERS) as some:
        process = start("blend.run", chain, work, "--task", "au", "--cluster", some.where)
        storm = Storm(some, work, process)
        storm.kill("extract.cluster_job", max(1, KILLS // 3), lambda: written(work, "features/*/*.safetensors"), 2)
        storm.kill("heads.train.cluster_job", KILLS - storm.kills, lambda: written(work, "heads/au/*/*"), 4)
        held = stopped(some, process)  # so that there is a head left when the first is finished
        while not list(work.glob("heads/au/*/DONE")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        for name in [*some.processes]:
            some.end(name)
        with contextlib.suppress(ProcessLookupError):
            os.kill(held, signal.SIGKILL)
        _, error = process.communicate(timeout=120)
        storm.look()
        first = steps(work)
        there = len(list(work.glob("heads/au/*/DONE")))
        assert process.returncode == 1 and "Traceback" not in error, error
        assert error.splitlines()[-1].startswith(f"failed: the scheduler {some.where} is gone")
        some.scheduler()
        for name in WORKERS:
            some.worker(name)
        some.there(len(WORKERS))
        ended_well(start("blend.run", chain, work, "--task", "au", "--cluster", some.where))
        storm.look()
        ended_well(start("blend.run", chain, work, "--task", "au", "--cluster", some.where))
        storm.look()
    assert storm.kills == KILLS and {"extract.cluster_job", "heads.train.cluster_job"} <= storm.hit.keys()
    expected = results(local)
    assert results(work) == expected and len(expected) > 7 + 3 * HEADS
    again = restarts(first["extract"]) + restarts(first["heads-au"])
    assert again <= KILLS, "a killed worker costs a job at most"
    second = steps(work)["heads-au"]
    well = {job["job"] for job in first["heads-au"]["jobs"] if job["seconds"] is not None}
    assert restarts(second) == 0 and 1 <= there < HEADS
    assert not well & {job["job"] for job in second["jobs"]} and len(second["jobs"]) == HEADS - there
    assert not list(work.rglob("*.part")) and not list(work.glob("heads/au/*/model_*"))
    record_property("killed", dict(storm.hit))
    print(
        f"\nkilled: {dict(storm.hit)}; started again: {again}; files finished at some kill: {len(storm.seen)}, ", end=""
    )
    print(f"made again: 0; heads finished before the scheduler went: {there} of {HEADS}")


def test_a_search_on_killed_workers_makes_the_trials_of_a_local_one(few_videos, machines, server, tmp_path):
    """One process of the search at a time: it draws what it would have drawn, wherever it is, until a trial is lost."""
    local, work, trials = tmp_path / "local", tmp_path / "work", 4 * KILLS
    asked = ("--task", "va", "--head", "lightgbm-demo_mt_enet", "--folds", "2", "--trials", str(trials))
    asked += ("--no-prune",)  # where a trial is pruned, the ones finished before it decide: others when one is lost
    ended_well(start("heads.tune", few_videos, local, *asked))
    url = ("--storage", server, "--heartbeat", "1")
    with machines(tmp_path, *WORKERS) as some:
        process = start("heads.tune", few_videos, work, *asked, *url, "--cluster", some.where)
        storm = Storm(some, work, process)
        storm.kill("heads.tune.worker", KILLS, lambda: written(work, "tune/va/*/trials/*/DONE"))
        ended_well(process)
    assert storm.hit == {"heads.tune.worker": KILLS}
    folder = "tune/va/lightgbm-demo_mt_enet"
    there = Study.open("", local / folder / "study.db", "few/va/lightgbm-demo_mt_enet", 15)
    here = Study.open(server, Path(), "few/va/lightgbm-demo_mt_enet", 15)
    alone, together = list_finished_trials(there.trials()), list_finished_trials(here.trials())
    lost = [trial for trial in here.trials() if trial.state.name == "FAIL"]
    there.close()
    here.close()
    assert len(together) == trials
    if not lost:  # a trial that was begun again comes later, and what is drawn after it differs
        assert [t.params for t in together] == [t.params for t in alone]
    made = {work: {}, local: {}}
    for place, found in ((work, together), (local, alone)):
        for trial in found:
            oof = (place / folder / "trials" / str(trial.number) / "oof.parquet").read_bytes()
            made[place][json.dumps(trial.params, sort_keys=True)] = trial.values, oof
    same = made[work].keys() & made[local].keys()
    assert same and all(made[work][params] == made[local][params] for params in same)
    if not lost:
        assert len(same) == trials
    kept = {path.name for path in (work / folder / "trials").iterdir()}
    assert kept == {str(trial.number) for trial in together} and len(lost) <= KILLS
    assert restarts(steps(work)["tune-va-lightgbm-demo_mt_enet"]) <= KILLS
    print(f"\nkilled: {dict(storm.hit)}; trials: {len(together)} counted, {len(lost)} begun again")


def trials_of(server: str, name: str) -> list:
    """All trials of a study; none where it is not there yet."""
    try:
        study = Study.open(server, Path(), name, 60)
    except KeyError:
        return []
    found = study.trials()
    study.close()
    return found


def stored(server: str) -> set[int]:
    """All trials of the server, without any lock: a process that stands still may hold one."""
    import psycopg

    with psycopg.connect(server) as connection:
        if connection.execute("SELECT to_regclass('trials')").fetchone() == (None,):
            return set()
        return {number for (number,) in connection.execute("SELECT trial_id FROM trials")}


def test_a_shared_search_of_a_blend_on_killed_workers_counts_every_trial_once(few_videos, machines, server, tmp_path):
    work = tmp_path / "work"
    asked = ("--task", "va", "--workers", "2", "--storage", server, "--study", "few/va/storm")
    longer = ("--set", f"blend.va.trials={200 + 200 * KILLS}", "--set", "blend.va.fold_trials=12")
    with machines(tmp_path, *WORKERS) as some:
        process = start("blend.run", few_videos, work, *asked, *longer, "--cluster", some.where)
        storm = Storm(some, work, process)
        storm.kill("blend.search.worker", KILLS, lambda: stored(server), 1, 0.2)
        ended_well(process)
        storm.look()
        ended_well(start("blend.run", few_videos, work, *asked, *longer, "--cluster", some.where))
        storm.look()
    assert 1 <= storm.kills <= KILLS, "as many as the search had time for"
    found = trials_of(server, "few/va/storm")
    assert {trial.state.name for trial in found} == {"COMPLETE"}
    drawn = [(t.user_attrs[WORKER], t.user_attrs[OWN_NUMBER]) for t in found if START not in t.user_attrs]
    starts = sorted(t.user_attrs[START] for t in found if START in t.user_attrs)
    assert len(set(drawn)) == len(drawn) and starts == list(range(len(starts)))
    settings = BlendSettings(trials=200 + 200 * KILLS)
    assert len(drawn) == search.draws(settings.trials - len(starts), settings)
    assert restarts(steps(work)["blend-va"]) <= KILLS
    assert (work / "blend" / "va" / "submission.txt").exists() and not list((work / "cluster").glob("*.pool"))
    print(f"\nkilled: {dict(storm.hit)}; trials: {len(drawn)} drawn, each once, and {len(starts)} starts")
