"""Runs of the main job that stop where they are told: `python overlapping_runs.py` reads an order a line (JSON) and
forks a child for each, which has everything imported already.

A child learns heads itself and draws no page. It leaves files in the order's folder: NAME.stopped when it is at the
order's moment (it goes on when there is NAME.go), NAME.waits when it waits for others, NAME.json at its end: the exit
code, the report, and how many moments there were. A moment is a file under the order's root being opened or renamed.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import lightgbm  # noqa: F401
import openvino  # noqa: F401

from blend import pipeline, run
from blend.config import Config
from blend.report.html import page
from blend.report.html import timeline as page_timeline
from extract import config as configs
from extract.runtime import errors, run_folder
from heads.train import job as training_job
from heads.train import processes

sleep = time.sleep


class Moments:
    """Counts what this process opens and renames, and stops it at one of them."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.root, self.at, self.count, self.busy = order["root"], order["at"], 0, False
        self.stop_file, self.go = (Path(order["folder"]) / f"{order['name']}.{what}" for what in ("stopped", "go"))

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename") or self.busy or not str(arguments[0]).startswith(self.root):
            return
        self.count += 1
        if self.count == self.at:
            self.busy = True
            self.stop_file.touch()
            while not self.go.exists():
                sleep(0.01)
            self.busy = False


def learn(jobs: list[training_job.Job], title: str) -> None:
    """Heads, in this process."""
    for job in jobs:
        run_folder.begin(job.folder)
        job.write(job.folder / "job.json")
        training_job.main(training_job.Job.read(job.folder / "job.json"), lambda done, note: None)


def child(order: dict[str, Any]) -> None:
    """What the order says; returns when it is done."""
    folder, name = Path(order["folder"]), order["name"]
    os.dup2(os.open(folder / f"{name}.err", os.O_WRONLY | os.O_CREAT), 2)

    def wait(seconds: float) -> None:
        (folder / f"{name}.waits").touch()
        sleep(seconds)

    time.sleep = wait
    processes.run_jobs = learn
    page.render = lambda *_: "<html>"
    page_timeline.make = lambda *_: None  # type: ignore[assignment, return-value]
    moments, said, code = Moments(order), None, 0
    sys.addaudithook(moments)
    try:
        with errors.exits():
            settings = configs.load(Config, Path(order["config"]))
            said = run.main(settings, "va", Path(order["work"]), order["seed"])
    except SystemExit as ended:
        code = int(str(ended.code))
    moments.at = 0
    run_folder.write_json(folder / f"{name}.json", {"code": code, "report": said, "moments": moments.count})


if __name__ == "__main__":
    assert pipeline
    for line in sys.stdin:
        if os.fork() == 0:
            try:
                child(json.loads(line))
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                os._exit(0)
