"""The processes of a search on this machine: started, watched, replaced when they die, behind one display."""

from __future__ import annotations

import json
import os
import platform
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from extract.features import pipeline
from extract.runtime import run_folder
from extract.runtime.errors import Failed, InputError
from extract.runtime.process import python_path
from extract.runtime.progress import Progress, progress
from heads.base.threads import ENVIRONMENT, VARIABLE
from heads.train.processes import TAIL
from heads.tune.study import Study, find_best, list_finished
from heads.tune.worker import Job

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SECONDS_BETWEEN_LOOKS = 2.0
MOST_DEATHS = 10
"""So many processes may die one after the other without any trial finished in between."""
MOST_ERRORS = 5
"""So many trials may fail with an error of their own before the search is stopped."""
THREADS = (VARIABLE, "OMP_THREAD_LIMIT")
"""What says how many threads a process may use; the limit is for heads whose own settings ask for more."""
News = queue.Queue[tuple[str, str | None]]
OnLook = Callable[[list["FrozenTrial"]], None]


@dataclass
class WorkerPool:
    """`workers` processes on one search. `on_look` is shown all trials now and then, and at the end."""

    job: Job
    study: Study
    workers: int
    on_look: OnLook
    _hands: dict[str, subprocess.Popen[str]] = field(init=False, default_factory=dict)
    _said: dict[str, str] = field(init=False, default_factory=dict)
    _news: News = field(init=False, default_factory=queue.Queue)
    _doing: str = field(init=False, default="")
    _started: int = field(init=False, default=0)
    _deaths: int = field(init=False, default=0)
    _errors: int = field(init=False, default=0)
    _looked: float = field(init=False, default=0.0)
    _counted: int = field(init=False, default=0)

    def run(self) -> None:
        """Work until enough trials are finished or the time is over.

        However it ends, no process is left and their unfinished trials are free to be retried. Raises InputError for
        bad input, Failed where processes keep dying or trials keep failing, RuntimeError for a bug in a process.
        """
        self._counted = len(list_finished(self.study.trials()))
        total = max(0, self.job.trials - self._counted)
        try:
            with _ending_well(), progress(f"tune {self.job.task} {self.job.head}", total, "trials") as bar:
                for _ in range(min(self.workers, total)):
                    self._start()
                while self._hands:
                    self._listen(bar)
        finally:
            for name in [*self._hands]:
                self._end(name)
            self.on_look(self.study.trials())

    def _start(self) -> None:
        """Start one process. Its stdin stays open for as long as we live."""
        self._started += 1
        name = f"{platform.node()}-{os.getpid()}-{self._started}"
        threads = dict.fromkeys(THREADS, str(max(1, pipeline.cores() // self.workers)))
        environment = os.environ | ENVIRONMENT | threads | python_path()
        log = self._log(name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with run_folder.log_file(log) as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "heads.tune.worker"],
                env=environment,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is for us to pass on, with all that a head may have started itself
            )
        self._hands[name] = process
        assert process.stdin is not None and process.stdout is not None
        threading.Thread(target=self._read, args=(name, process.stdout), daemon=True).start()
        with suppress(OSError):  # it died already: `_listen` will hear of it
            process.stdin.write(json.dumps(asdict(replace(self.job, worker=name))) + "\n")
            process.stdin.flush()

    def _read(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            self._news.put((name, line))
        self._news.put((name, None))

    def _log(self, name: str) -> Path:
        return Path(self.job.folder) / "logs" / f"{name}.txt"

    def _listen(self, bar: Progress) -> None:
        """Take the next news, if any come soon."""
        look = time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS
        with suppress(queue.Empty):
            name, line = self._news.get(timeout=SECONDS_BETWEEN_LOOKS)
            if line is None:
                self._ended(name)
            else:
                look |= self._heard(name, json.loads(line))
        if look:
            self._look(bar)

    def _heard(self, name: str, news: dict[str, Any]) -> bool:
        """Take in a process's line; returns whether a trial was finished."""
        if "note" in news:
            self._doing = f"trial {news['trial']}, {news['note']}"
        if "over" in news:
            self._said[name] = news["over"]
        if "error" in news:
            self._errors += 1
            print(f"warning: trial {news['trial']} failed: {news['error']}", file=sys.stderr)
            if self._errors >= MOST_ERRORS:
                raise Failed(
                    f"{self._errors} trials failed, the last with: {news['error']}; narrow the space to what works; "
                    f"the log is {self._log(name)}"
                )
        if news.get("state") == "LATE":
            print(
                f"warning: trial {news['trial']} was taken for dead and is done again; raise --heartbeat if this "
                f"happens often",
                file=sys.stderr,
            )
        if "state" in news:
            self._deaths = 0
        return "state" in news

    def _look(self, bar: Progress) -> None:
        """Count what is finished, on all machines."""
        trials = self.study.trials()
        self._looked = time.monotonic()
        self.on_look(trials)
        finished, best = len(list_finished(trials)), find_best(trials)
        note = f"best {best.value:.4f} (trial {best.number})" if best is not None else self._doing
        bar.advance(finished - self._counted, note)
        self._counted = finished

    def _ended(self, name: str) -> None:
        """A process is over: well, to be replaced, or with a reason to stop."""
        process = self._hands[name]
        code = process.wait()
        self._end(name)
        over = self._said.pop(name, None)
        if code == 0 and over in ("enough", "time"):
            self._log(name).unlink(missing_ok=True)
            return
        if code == 0 and over == "turn":
            self._start()
            return
        text = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        for kind, mark in ((InputError, "error: "), (Failed, "failed: ")):
            if said := [line for line in text if line.startswith(mark)]:
                raise kind(said[-1].removeprefix(mark))
        if code >= 0:
            run_folder.refuse_if_full(self._log(name).parent)
            end = "\n".join(text[-TAIL:])
            raise RuntimeError(
                f"a process of the search ended with exit code {code}; the end of its log {self._log(name)}:\n{end}"
            )
        self._deaths += 1
        if self._deaths >= MOST_DEATHS:
            raise Failed(
                f"{self._deaths} processes of the search were ended by signals one after the other, the last by "
                f"{-code} (9 is mostly too little memory: fewer --workers, or a head with fewer inputs); the log is "
                f"{self._log(name)}"
            )
        print(f"warning: a process was ended by signal {-code}: its trial is retried", file=sys.stderr)
        self._start()

    def _end(self, name: str) -> None:
        """Let no process of this name be left, nor a trial of its."""
        process = self._hands.pop(name)
        alive = process.poll() is None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self.study.release(name, alive)


@contextmanager
def _ending_well() -> Iterator[None]:
    """SIGTERM, which batch systems send before they kill, acts as Ctrl-C: trials are freed for others at once."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
