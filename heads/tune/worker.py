"""One process of a search: claim a trial, score its config, keep it, and so on until enough are finished.

    python -m heads.tune.worker < JOB.json

heads.tune starts such processes; the job comes on stdin, whose end tells that heads.tune is gone, and news go to stdout
as one JSON object per line. The rows are read once for many trials.
"""

from __future__ import annotations

import platform
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from extract.config import check
from extract.jobs.session import wait_until
from extract.runtime import errors, process, run_folder
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads import search_space
from heads.abaw import read
from heads.abaw.tasks import SINGLE_TASKS
from heads.base.head import HeadSettings, family
from heads.data import feature_file
from heads.data.people import People
from heads.data.table import Source
from heads.train import fit
from heads.train.fit import NoTrainingRows, TrainData
from heads.tune import trial as tune_trial
from heads.tune.retry import ERROR, FREED_KEY
from heads.tune.study import ClaimedTrial, Study

if TYPE_CHECKING:
    from optuna.trial import TrialState

TRIALS_PER_PROCESS = 50
"""Then a fresh process takes over: whatever libraries leave behind in memory goes."""
SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_BETWEEN_NEWS = 0.5
RESULTS = ["config.toml", "report.json", "oof.parquet"]
Say = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """All that a process of a search needs to know; JSON-able."""

    task: str
    head: str
    raw: dict[str, Any]
    """The search space: a head's TOML with its leaves."""
    has: dict[str, list[str]]
    """Networks, and the kinds of features that each has."""
    work: str
    train: str
    folder: str
    """Where the search's files go."""
    study: str
    storage: str
    """A URL, or empty for the folder's study.db."""
    start: dict[str, Any] | None
    """Parameters of the first trial."""
    trials: int
    folds: int
    seed: int
    prune: bool
    heartbeat: int
    worker: str = ""
    people: dict[str, str] | None = None  # video -> its group, where people are known
    persons: dict[str, str] | None = None  # video -> person
    until: float | None = None
    """Claim no trial after this moment (time.time): it is the same for a process that begins late, or once more."""

    def open(self, facts: dict[str, Any] | None = None) -> Study:
        """The study (see Study.open)."""
        return Study.open(self.storage, Path(self.folder) / "study.db", self.study, self.heartbeat, facts)


def list_sources(name: str, settings: HeadSettings, has: dict[str, list[str]]) -> tuple[Source, ...]:
    """The features that a config's head sees. Raises InputError where no network has its inputs."""
    if specs := heads_config.plan_specs(name, settings, {network: tuple(kinds) for network, kinds in has.items()}):
        return specs[0].sources
    raise InputError(f"head {name!r}: no network has {', '.join(settings.inputs)}")


def load_rows(folds: list[list[str]], prepared: TrainData) -> list[list[str]]:
    """The folds in which a face was found: there is nothing to score in the others."""
    return [names for names in folds if not set(names).isdisjoint(prepared.labelled_rows.rows.videos)]


class Stop(InputError):
    """Bad input that concerns every trial."""


class Worker:
    """The rows of a search, and how a trial is done on them."""

    def __init__(self, job: Job, study: Study, say: Say) -> None:
        self.job, self.study, self.say = job, study, say
        self.task = SINGLE_TASKS[job.task]
        self.space = search_space.leaves(job.raw, job.head)
        self._annotations = read.read_folder(Path(job.train), self.task)
        self._folds = tune_trial.folds(self._annotations, self.task, job.folds, job.seed, job.people)
        self._rows: TrainData | None = None
        self._read: tuple[Any, ...] | None = None
        """Sources and settings that `_rows` were read by."""
        self._kept: tune_trial.FoldCache = {}

    def run(self) -> str:
        """Do trials; returns why it ended: "enough", "time" or "turn" (a fresh process is to go on).

        Raises WorkError where this machine does not see the study's features: one not seen yet would be taken for no
        face.
        """
        marks, work = self.study.facts().get("features", {}), Path(self.job.work)
        wait_until(
            lambda: marks == {n: feature_file.mark(work, n, self._annotations)[:16] for n in marks},
            work / "features",
            feature_file.WAIT_REASON,
        )
        for _ in range(TRIALS_PER_PROCESS):
            claimed = self._claim()
            if not isinstance(claimed, ClaimedTrial):
                return claimed
            with self._alive(claimed):
                self._do(claimed)
        return "turn"

    def _claim(self) -> ClaimedTrial | Literal["enough", "time"]:
        """The next trial, or why there is none; waits while others are at the last ones."""
        job = self.job
        while job.until is None or time.time() < job.until:
            claimed = self.study.claim(job.trials, job.worker, self.space, job.start, job.seed)
            if claimed != "wait":
                return claimed
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return "time"

    @contextmanager
    def _alive(self, trial: ClaimedTrial) -> Iterator[None]:
        """Let the trial's heart beat while the block runs."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(self.job.heartbeat):
                with suppress(Exception):  # the server is away: the next beat may come through
                    self.study.storage.record_heartbeat(trial.id)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _do(self, trial: ClaimedTrial) -> None:
        """One trial from its parameters to the moment at which it counts."""
        self.say({"trial": trial.number, "done": 0.0, "note": "begins"})
        try:
            config = search_space.fill(self.job.raw, self.space, trial.params)
            kind = family(str(config["family"]))
            settings = check(kind.Settings, config, f"trial {trial.number}")
            sources = list_sources(self.job.head, settings, self.job.has)
            with self._freeing(trial):
                prepared = self._prepared(sources, settings)
            state, done, report = self._score(trial, prepared)
        except Stop:
            raise
        except Exception as error:
            traceback.print_exc()
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self.study.fail(trial.id, {ERROR: why[:1000]})
            self.say({"trial": trial.number, "error": why})
            return
        folder = Path(self.job.folder) / "trials" / str(trial.number)
        with self._freeing(trial):
            self._keep(folder, config, done, report)
        if self.study.finish(trial, state, report["score"]):
            self.say({"trial": trial.number, "state": state.name, "score": report["score"]})
        else:
            shutil.rmtree(folder, ignore_errors=True)
            self.say({"trial": trial.number, "state": "LATE"})

    @contextmanager
    def _freeing(self, trial: ClaimedTrial) -> Iterator[None]:
        """Bad input in here is not the parameters' fault: they are tried again when it is mended."""
        try:
            yield
        except InputError as error:
            self.study.fail(trial.id, {FREED_KEY: "bad input"})
            raise Stop(*error.args) from error

    def _score(self, trial: ClaimedTrial, prepared: TrainData) -> tuple[TrialState, tune_trial.Trial, dict[str, Any]]:
        """Run the folds; returns the final state, what was predicted, and the report."""
        from optuna.trial import TrialState

        began, said = time.monotonic(), 0.0
        done = tune_trial.Trial(prepared, self._kept)
        held = load_rows(self._folds, prepared)

        def on_progress(part: float, note: str) -> None:
            nonlocal said
            if time.monotonic() - said >= SECONDS_BETWEEN_NEWS:
                said = time.monotonic()
                self.say({"trial": trial.number, "done": part, "note": note})

        state, why = TrialState.COMPLETE, None
        steps = done.run(held, self.job.seed, on_progress)
        for step, score in enumerate(steps):
            if score is None:
                state, why = TrialState.PRUNED, "its predictions are not finite, or their score is undefined"
                break
            self.study.report(trial, step, score)
            last = len(done.folds) == len(held)
            if self.job.prune and not last and self.study.is_hopeless(trial):
                state, why = TrialState.PRUNED, f"below the median after fold {len(done.folds)}"
                break
        report = {
            "head": self.job.head,
            "task": self.task.name,
            "metric": self.task.metric,
            "trial": trial.number,
            "state": state.name,
            "score": done.score,
            "score_of": f"{tune_trial.SCORE_OF[self.task.labels]}; all predictions of by-video folds of train together",
            "pruned": why,
            "per_output": done.per_output,
            "seed": self.job.seed,
            "params": trial.params,
            "folds": done.folds,
            "seconds": round(time.monotonic() - began, 2),
        }
        return state, done, report

    def _prepared(self, sources: tuple[Source, ...], settings: HeadSettings) -> TrainData:
        """Train's rows as heads.run would make them; read again only where other columns are asked for."""
        asked = (sources, settings.temporal, settings.relative)
        if asked != self._read:
            self._rows, self._read, self._kept = None, None, {}  # the old ones go before the new ones come
            job, work = self.job, Path(self.job.work)
            people = People(job.people, job.persons)
            try:
                rows = fit.prepare_train(work, sources, settings, self._annotations, self.task, job.seed, people=people)
            except NoTrainingRows as error:
                raise InputError(f"{self.job.train}: {error}") from error
            if (usable := len(load_rows(self._folds, rows))) < 2:
                raise InputError(
                    f"{self.job.train}: {len(rows.labelled_rows.rows.videos)} of its videos has features of "
                    f"{', '.join(source.network for source in sources)}, in {usable} of {len(self._folds)} folds; a "
                    f"search needs 2 or more"
                )
            self._rows, self._read = rows, asked
        return replace(self._rows, settings=settings)

    def _keep(self, folder: Path, config: dict[str, Any], done: tune_trial.Trial, report: dict[str, Any]) -> None:
        """Write the trial's folder, DONE last."""
        import tomli_w

        run_folder.begin(folder)
        run_folder.write_text(folder / "config.toml", tomli_w.dumps(config))
        run_folder.write_json(folder / "report.json", report)
        done.write(folder / "oof.parquet")
        about = {
            "study": self.job.study,
            "worker": self.job.worker,
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "optuna": version("optuna"),
            "sources": [asdict(source) for source in done.data.sources],
        }
        run_folder.finish(folder, run_folder.fingerprint([self.job.study, config]), about, RESULTS)


if __name__ == "__main__":
    with errors.exits():
        job, say = Job(**process.job()), process.reserve_stdout()
        study = job.open()
        say({"over": Worker(job, study, say).run()})
        study.close()
        sys.stdout.flush()
