"""What a run would do, before it does it: what is missing, how long that takes here, how much disk and memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from blend.config import Config
from blend.pool import inputs as blend_inputs
from blend.pool import provenance
from extract import run as extract_run
from extract.features.step import NetworkStep
from extract.runtime import run_folder
from extract.runtime.progress import duration
from heads import config as heads_config
from heads import run as heads_run
from heads.abaw.tasks import MTL, SUBTASKS, find
from heads.train.cluster_job import LIBRARIES_MEMORY, ROWS_MEMORY
from heads.train.job import head_folder
from heads.train.processes import AT_ONCE

CALIBRATION = 20.0
"""Seconds in which the networks' pace is measured, all together."""


@dataclass(frozen=True)
class PlannedStep:
    """One step of a run: what it makes, how much of that is missing, and what this takes; None: not known."""

    step: str
    makes: str
    missing: int
    finished: int
    unit: str
    seconds: float | None = None
    disk: int | None = None
    """Bytes that it adds."""

    @property
    def is_finished(self) -> bool:
        """Whether nothing is to do."""
        return not self.missing


@dataclass(frozen=True)
class Plan:
    """All steps of a run, in order; bytes that are free where it writes, and that its heads hold in memory at most."""

    steps: tuple[PlannedStep, ...]
    free: int
    memory: int

    @property
    def seconds(self) -> float | None:
        """What the steps take whose time is known; None where that is none of them."""
        known = [step.seconds for step in self.steps if step.missing and step.seconds is not None]
        return sum(known) if known else None

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        known = {"seconds": self.seconds, "disk": sum(step.disk or 0 for step in self.steps)}
        return {"steps": [asdict(step) for step in self.steps], **known, "free": self.free, "memory": self.memory}


def plan(
    config: Config,
    tasks: Sequence[str],
    work: Path,
    seed: int = 0,
    heads: list[str] | None = None,
    predictions: dict[str, Path] | None = None,
) -> Plan:
    """What `blend.run.main` would do for each of the tasks; writes nothing. Networks with missing features are tried on
    the first missing pictures, CALIBRATION seconds in all.

    Raises InputError for bad input, as far as it is read: what a step would find in files that are yet to be made, only
    the run itself finds.
    """
    ours = not (heads == blend_inputs.NONE or (predictions and not config.features.networks and heads is None))
    steps = _plan_features(config, work) if ours else []
    is_ready = all(step.is_finished for step in steps)
    resolved = extract_run.resolve(config, work)
    for task in [part for one in tasks for part in (SUBTASKS if one == MTL else (one,))]:
        planned = _plan_heads(resolved, task, work, seed, heads, is_ready) if ours else None
        steps += [planned] if planned else []
        steps.append(_plan_blend(config, task, work, seed, heads, predictions or {}, planned))
    there = next(folder for folder in (work, *work.absolute().parents) if folder.exists())
    return Plan(tuple(steps), shutil.disk_usage(there).free, _memory(work, steps) if ours else 0)


def _plan_features(config: Config, work: Path) -> list[PlannedStep]:
    """Extraction, network by network; the embedded corpus first where it is not there."""
    if config.corpus.demo:
        from extract.demo import corpus
        from extract.demo.plan import DEMO_VIDEOS

        if not corpus.is_done(extract_run.corpus_folder(work)):
            frames = sum(video.frames for video in DEMO_VIDEOS)
            made = [PlannedStep("extract", "the demo corpus", frames, 0, "frames")]
            return made + [PlannedStep("extract", name, frames, 0, "frames") for name in config.features.networks]
    found = extract_run.list_steps(extract_run.resolve(config, work), work, extract_run.corpus_version(config))
    missing = {step.name: step.todo() for step in found}
    results = []
    for step in found:
        todo = missing[step.name]
        left, whole = (sum(map(step.size, jobs)) for jobs in (todo, step.jobs))  # type: ignore[arg-type]
        seconds = disk = None
        if isinstance(step, NetworkStep) and left:
            pace, size = step.measure_pace(todo, CALIBRATION / sum(map(bool, missing.values())))  # type: ignore[arg-type]
            seconds, disk = left / pace, left * size
        results.append(PlannedStep("extract", step.name, left, whole - left, step.unit, seconds, disk))
    return results


def _plan_heads(
    config: Config, task: str, work: Path, seed: int, only: list[str] | None, is_ready: bool
) -> PlannedStep:
    """The heads of a task. Without all features nobody knows which a head may have: then all of them are missing."""
    if is_ready:
        outdated = heads_run.list_outdated(config, task, work, seed, only)
    else:
        possible = heads_config.possible(config, find(task).name, only or ())
        heads_config.refuse_unknown(possible, find(task).name, only, "--heads")
        outdated = dict.fromkeys([name for name in possible if not only or name in only], True)
    missing = [name for name, is_outdated in outdated.items() if is_outdated]
    took = [_learnt_in(head_folder(work, task, name)) for name in missing]
    known = [seconds for seconds in took if seconds is not None]
    seconds = sum(known) / AT_ONCE if missing and len(known) == len(missing) else None
    return PlannedStep(
        f"heads {task}", ", ".join(outdated), len(missing), len(outdated) - len(missing), "heads", seconds
    )


def _learnt_in(folder: Path) -> float | None:
    """Seconds that a head took when it last learnt, of other data or settings perhaps."""
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        return float(report["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plan_blend(
    config: Config,
    task: str,
    work: Path,
    seed: int,
    heads: list[str] | None,
    predictions: dict[str, Path],
    planned: PlannedStep | None,
) -> PlannedStep:
    """The blend: finished only where its heads are, and nothing that it was made of has changed."""
    out, is_finished = work / "blend" / task, False
    if (planned is None or planned.is_finished) and (out / run_folder.DONE).exists():
        _, sources = blend_inputs.prepare_inputs(config, task, work, seed, heads, predictions)
        facts = provenance.all_facts(sources) | {"submissions": 1, "timeout": None}
        is_finished = run_folder.is_done(out, run_folder.fingerprint(facts))
    seconds = _blended_in(out) if not is_finished else None
    return PlannedStep(f"blend {task}", str(out), int(not is_finished), int(is_finished), "blend", seconds)


def _blended_in(folder: Path) -> float | None:
    """Seconds that the last blend in this folder took from its predictions on."""
    try:
        seconds = json.loads((folder / "report.json").read_text(encoding="utf-8"))["seconds_of"]
        return float(sum(value for name, value in seconds.items() if name not in ("extract", "heads")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _memory(work: Path, steps: Sequence[PlannedStep]) -> int:
    """Bytes that heads hold at most, as many as learn side by side, each with all features."""
    there = sum(path.stat().st_size for path in (work / "features").glob("*/*.safetensors"))
    features = there + sum(step.disk or 0 for step in steps)
    return int(AT_ONCE * (LIBRARIES_MEMORY + ROWS_MEMORY * features))


def show(planned: Plan, as_json: bool = False) -> None:
    """A table of the steps, and below it time, disk and memory; or all of it as JSON."""
    if as_json:
        print(json.dumps(planned.as_json(), indent=2, allow_nan=False, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("step", "makes")
    for name in ("missing", "finished", "about"):
        table.add_column(name, justify="right")
    for step in planned.steps:
        about = "" if step.is_finished else "not known" if step.seconds is None else duration(step.seconds)
        table.add_row(step.step, step.makes, f"{step.missing:,} {step.unit}", f"{step.finished:,}", about)
    Console().print(table)
    for line in describe(planned):
        print(line)


def describe(planned: Plan) -> list[str]:
    """Time, disk and memory in a sentence each."""
    open_steps = [step for step in planned.steps if step.missing]
    if not open_steps:
        return ["Everything is finished: the run reads it and ends."]
    unknown = [step for step in open_steps if step.seconds is None]
    names = ", ".join(f"{step.step} ({step.makes})" if step.step == "extract" else step.step for step in unknown)
    if planned.seconds is None:
        lines = ["Time: not known before something of it was made here."]
    else:
        lines = [f"Time: about {duration(planned.seconds)} on this machine{names and f', and {names}'}."]
    disk = sum(step.disk or 0 for step in planned.steps)
    lines.append(f"Disk: about {disk / 1e9:,.1f} GB of features to come; {planned.free / 1e9:,.1f} GB are free.")
    if disk > planned.free:
        lines.append("Warning: that does not fit. Free some of it, or give --work a folder on another disk.")
    if any(step.step.startswith("heads") for step in open_steps):
        lines.append(f"Memory: heads hold {planned.memory / 1e9:,.1f} GB at most, {AT_ONCE} of them side by side.")
    return lines
