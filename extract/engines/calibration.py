"""How a network runs fastest on this machine: raced for once, ten seconds, then on record in the cache folder.

The race is run by a process of its own, `python -m extract.engines.calibration JOB`: what goes wrong there leaves a run
as it was, and what it takes in memory goes with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import TypeAdapter, ValidationError

from extract.engines.openvino_engine import OpenVinoEngine, Setting
from extract.engines.race import Calibration, measure
from extract.networks import weights
from extract.networks.registry import Network
from extract.runtime import inputs, limits, process
from extract.runtime.errors import InputError, exits, warn
from extract.runtime.run_folder import file_hash, fingerprint, hold_folder, write_json

BUDGET, GRACE = 10.0, 60.0
"""Seconds of racing, and how many more its process may take, for imports and to compile."""
LONG = 600.0
"""Seconds of work that are worth a race without being asked."""
FORM = 2
"""Of the records: those of another are not looked for."""
PROCESSOR = ("vendor_id", "cpu family", "model", "stepping", "flags", "cache size", "CPU implementer", "CPU part")
"""What Linux says of it that stays as it is; a virtual machine's name of it may stand for several."""


class Subject(NamedTuple):
    """A network's file and how OpenVINO is to run it; `threads` None means every core."""

    path: Path
    network: Network
    precision: str
    threads: int | None


def create(subject: Subject, frames: int = 0) -> OpenVinoEngine:
    """The engine as it is on record for this machine, else as OpenVINO chooses. Where nothing is on record, and so many
    `frames` take LONG, the race comes first, and what it found is said on stderr.
    """
    record = recall(subject)
    if record is None and frames:
        engine = OpenVinoEngine(*subject)
        if _estimate(engine) * frames <= LONG:
            return engine
        engine.close()
        del engine  # the race has two of its own in memory
        if record := calibrate(subject, anew=False):
            print(f"{subject.network.name} on this machine: {record.describe()}", file=sys.stderr)
    if record and record.setting:
        try:
            return OpenVinoEngine(*subject, record.setting)
        except InputError as error:
            warn(f"{error}, as on record ({record.setting.describe()}); OpenVINO's own choice runs")
    return OpenVinoEngine(*subject)


def _estimate(engine: OpenVinoEngine) -> float:
    """Seconds a picture, roughly: all streams together take as long as one."""
    black = np.zeros((engine.network.size, engine.network.size, len(engine.network.mean)), np.uint8)
    began = time.perf_counter()
    engine.run(black)
    return (time.perf_counter() - began) / engine.setting.streams


def calibrate(subject: Subject, anew: bool = True) -> Calibration | None:
    """Run the race and keep what it found; not `anew`, where another process has done so meanwhile, that. None, with a
    warning, where it fails or could not be kept.
    """
    record, facts = None, list_facts(subject)
    folder = (file := _file(facts)).parent
    try:
        with hold_folder(folder):
            if not os.access(folder, os.W_OK):
                raise InputError(f"{folder}: cannot be written")
            record = None if anew else recall(subject, lambda _: None)
            if record is None and (record := measure_apart(subject)):
                write_json(file, {"facts": facts, "found": record.model_dump()})
    except InputError as error:
        warn(f"{error}; how {subject.network.name} runs fastest is not kept")
    return record


def recall(subject: Subject, say: Callable[[str], None] = warn) -> Calibration | None:
    """What is on record for this subject on this machine; None for a damaged record, too, which it will `say`."""
    if not _folder().is_dir():
        return None
    facts = list_facts(subject)
    if inputs.problem(file := _file(facts)) == "no such file":
        return None
    try:
        inputs.require_file(file, largest=limits.TOML_BYTES)
        told = inputs.load_json(file)
        if not isinstance(told, dict) or told.get("facts") != facts:
            raise InputError("not what was written there")
        record = Calibration.model_validate(told.get("found"))
        if record.setting and subject.threads and record.setting.threads > subject.threads:
            raise InputError(f"{record.setting.threads} threads, expected at most {subject.threads}")
    except (InputError, ValidationError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        say(f"{file}: {what}; OpenVINO's own choice runs; python -m extract.run --calibrate measures anew")
        return None
    return record


def list_facts(subject: Subject) -> dict[str, Any]:
    """What a record holds for: another machine, network, version or number of threads has one of its own."""
    import openvino as ov

    core, lines = ov.Core(), _read_system("/proc/cpuinfo").partition("\n\n")[0].splitlines()
    return {
        "form": FORM,
        "processor": core.get_property("CPU", "FULL_DEVICE_NAME"),
        "details": fingerprint([line for line in lines if line.partition(":")[0].strip() in PROCESSOR]),
        "cores": core.get_property("CPU", "RANGE_FOR_STREAMS")[1],
        "quota": _read_system("/sys/fs/cgroup/cpu.max").strip().removeprefix("max 100000"),
        "threads": subject.threads,
        "openvino": version("openvino"),
        "weights": file_hash(subject.path),
        "network": fingerprint(asdict(replace(subject.network, path=None))),
        "precision": subject.precision,
    }


def _read_system(path: str) -> str:
    """What Linux says there; "" where it says nothing."""
    with suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""


def _folder() -> Path:
    return weights.cache() / "calibration"


def _file(facts: dict[str, Any]) -> Path:
    return _folder() / fingerprint(facts)[:32] / "record.json"


def measure_apart(subject: Subject, budget: float = BUDGET) -> Calibration | None:
    """As `race.measure`, in a process of its own; None, with a warning, where that fails."""
    job = json.dumps([TypeAdapter(Subject).dump_python(subject, mode="json"), budget])
    command, pipe = [sys.executable, "-m", "extract.engines.calibration", job], subprocess.PIPE
    environment = os.environ | process.python_path()
    # Its stdin ends when we do; Ctrl-C is for us
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, process_group=0) as child:
        with suppress(subprocess.TimeoutExpired):
            child.wait(budget + GRACE)
        child.kill()
        said = child.stdout.read() if child.stdout else b""
    try:
        return Calibration.model_validate_json(said)
    except ValidationError:
        warn(f"{subject.network.name}: how it runs fastest could not be measured (exit code {child.returncode})")
        return None


def main(subject: list[Any], budget: float) -> Calibration:
    """Run the race of a job."""
    import onnx  # noqa: F401  # what takes its time now is no part of the race
    import openvino  # noqa: F401

    parsed = TypeAdapter(Subject).validate_python(subject)

    def make(setting: Setting | None) -> OpenVinoEngine:
        return OpenVinoEngine(*parsed, setting)

    return measure(make, budget)


if __name__ == "__main__":
    process.end_with_parent()
    with exits():
        process.reserve_stdout()(main(*json.loads(sys.argv[1])).model_dump())
