"""What a run would do, before it does it: what is missing, how long that takes here, how much disk and memory.

It makes, fetches and waits for nothing, and leaves the work folder as it is; bad input is refused as the run would.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from blend import multitask, single_task
from blend.config import Config, RunRequest
from blend.pool import inputs as blend_inputs
from extract import run as extract_run
from extract.audio import step as audio_step
from extract.features.step import NetworkStep
from extract.learning import names
from extract.networks import registry, weights
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError
from extract.runtime.progress import duration
from heads import config as heads_config
from heads import run as heads_run
from heads.abaw.tasks import MTL, find
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
    """Bytes of features to come."""
    bags: int = 1
    """Of heads: how many models one of them has at most."""


@dataclass(frozen=True)
class Plan:
    """All steps of a run, in order, tasks that are refused and why, bytes that are free where the run writes, and bytes
    that its heads hold at most (None: not known).
    """

    steps: tuple[PlannedStep, ...]
    refusals: dict[str, str]
    free: int
    memory: int | None

    @property
    def missing(self) -> list[PlannedStep]:
        """The steps that have something to do."""
        return [step for step in self.steps if step.missing]

    @property
    def learning(self) -> int:
        """How many heads, or their bags, learn side by side at most."""
        return min(AT_ONCE, max((step.missing * step.bags for step in self.steps if step.unit == "heads"), default=0))

    @property
    def seconds(self) -> float | None:
        """What the steps take whose time is known; None where that is none of them."""
        known = [step.seconds for step in self.missing if step.seconds is not None]
        return sum(known) if known else None

    @property
    def disk(self) -> int | None:
        """Bytes of features to come; None where a step's are not known."""
        each = [step.disk for step in self.missing if step.step == "extract"]
        return None if None in each else sum(filter(None, each))

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        known = {"seconds": self.seconds, "disk": self.disk, "free": self.free, "memory": self.memory}
        return {"steps": [asdict(step) for step in self.steps], "refused": self.refusals, **known}


def plan(config: Config, tasks: Sequence[str], asked: RunRequest) -> Plan:
    """What `blend.run.main` would do for each of the tasks, of which all else is asked alike.

    Networks that lack features are tried on the first missing pictures, CALIBRATION seconds in all.

    Raises InputError as the run would for a single task; of several, a task that is refused is named in the plan. What
    a step would find in files that are yet to be made, only the run itself finds.
    """
    config = names.add_learnt_networks(config, asked.work)
    work, refused = asked.work, dict[str, str]()
    parts: dict[str, list[RunRequest]] = {}
    for task in tasks:  # before twenty seconds of calibration
        with _refusing(task, refused, len(tasks) > 1):
            parts[task] = _list_parts(config, replace(asked, task=task))
    is_ours = blend_inputs.uses_project_heads(config, asked)
    steps = _plan_features(config, work) if parts and (is_ours or config.corpus.demo) else []
    is_ready = not any(step.missing for step in steps)
    for task, its in parts.items():
        with _refusing(task, refused, len(tasks) > 1):
            steps += _plan_task(config, task, its, is_ready)
    there = next(folder for folder in (work, *work.absolute().parents) if folder.exists())
    made = Plan(tuple(steps), refused, shutil.disk_usage(there).free, 0)
    return replace(made, memory=_memory(config, work, made)) if is_ours else made


@contextmanager
def _refusing(task: str, refused: dict[str, str], is_one_of_many: bool) -> Iterator[None]:
    """Of several tasks, keep what is wrong with one."""
    try:
        yield
    except InputError as error:
        if not is_one_of_many:
            raise
        refused[task] = str(error)


def _list_parts(config: Config, asked: RunRequest) -> list[RunRequest]:
    """A task, or the parts of the challenge, checked as the run checks them before it does anything."""
    parts = [asked]
    if asked.task == MTL:
        extract_run.resolve(config, asked.work).corpus.task(MTL)
        parts = multitask.list_parts(asked)
    for part in parts:
        if blend_inputs.uses_project_heads(config, part):
            heads_run.check_early(config, part.task, part.heads, "--heads")
    return parts


def _plan_task(config: Config, task: str, parts: Sequence[RunRequest], is_ready: bool) -> list[PlannedStep]:
    """Heads and blend of a task; of the challenge those of its parts, and the submission that joins them."""
    steps = [step for part in parts for step in _plan_part(config, part, is_ready)]
    if task != MTL:
        return steps
    out = parts[0].work / "blend" / MTL
    is_finished = not any(step.missing for step in steps) and (out / run_folder.DONE_FILE).exists()
    return [*steps, PlannedStep("blend mtl", str(out), int(not is_finished), int(is_finished), "submission")]


def _plan_part(config: Config, asked: RunRequest, is_ready: bool) -> list[PlannedStep]:
    resolved = extract_run.resolve(config, asked.work)
    if not blend_inputs.uses_project_heads(config, asked):
        return [_plan_blend(resolved, asked, [], is_ready)]
    outdated = _list_heads(resolved, asked, is_ready)
    missing = [name for name, is_missing in outdated.items() if is_missing]
    took = [_read_seconds(head_folder(asked.work, asked.task, name)) for name in missing]
    known = [seconds for seconds in took if seconds is not None]
    together = max(max(known), sum(known) / AT_ONCE) if missing and len(known) == len(missing) else None
    done = len(outdated) - len(missing)
    settings = [head for _, head in heads_config.list_heads(config, find(asked.task).name, asked.heads or ())]
    bags, every = max((1, *(head.bags for head in settings))), ", ".join(outdated)
    step = PlannedStep(f"heads {asked.task}", every, len(missing), done, "heads", together, bags=bags)
    return [step, _plan_blend(resolved, asked, list(outdated), not missing)]


def _plan_features(config: Config, work: Path) -> list[PlannedStep]:
    """Extraction, network by network; the embedded corpus first where it is not there."""
    seeing, hearing = extract_run.check_networks(config, work), audio_step.names(config, work)
    if config.corpus.demo:
        corpus, folder = extract_run.embedded_corpus(config), extract_run.corpus_folder(work)
        frames, videos = corpus.size()
        if not corpus.is_done(folder):
            drawn = [PlannedStep("draw", "the demo corpus", frames, 0, "frames")]
            drawn += [PlannedStep("extract", network.name, frames, 0, "frames") for network in seeing]
            return drawn + [PlannedStep("extract", name, videos, 0, "videos") for name in hearing]
        if hearing and not corpus.has_sound(folder):
            rest = [name for name in config.features.networks if name not in hearing]
            silent = config.model_copy(update={"features": config.features.model_copy(update={"networks": rest})})
            unheard = [PlannedStep("extract", name, videos, 0, "videos") for name in hearing]
            return (_plan_features(silent, work) if rest else []) + unheard
    return _measure_features(config, work, seeing)


def _measure_features(config: Config, work: Path, seeing: Sequence[registry.Network]) -> list[PlannedStep]:
    """What is missing of each network; of one whose weights are not here, everything."""
    absent = {network.name for network in seeing if not weights.is_at_hand(network)}
    steps = extract_run.list_steps(extract_run.resolve(config, work), work)
    missing = {step.name: step.jobs if step.name in absent else step.todo() for step in steps}
    slots = sum(bool(missing[step.name]) and isinstance(step, NetworkStep) for step in steps) or 1
    results = []
    for step in steps:
        todo = missing[step.name]
        left, whole = (sum(map(step.size, jobs)) for jobs in (todo, step.jobs))  # type: ignore[arg-type]
        seconds = disk = None
        if left and isinstance(step, NetworkStep) and step.name not in absent:
            pace, size = step.measure_pace(todo, CALIBRATION / slots)  # type: ignore[arg-type]
            seconds, disk = left / pace, left * size
        name = f"{step.name} (weights to be fetched)" if step.name in absent else step.name
        results.append(PlannedStep("extract", name, left, whole - left, step.unit, seconds, disk))
    return results


def _list_heads(config: Config, asked: RunRequest, is_ready: bool) -> dict[str, bool]:
    """Head -> whether it is missing. Without all features nobody knows which a head may have: then all of them are."""
    if is_ready:
        return heads_run.list_outdated_heads(config, asked.task, asked.work, asked.seed, asked.heads)
    possible = heads_config.list_possible_heads(config, find(asked.task).name, asked.heads or ())
    return {name: True for name in possible if not asked.heads or name in asked.heads}


def _read_seconds(folder: Path) -> float | None:
    """Seconds that a head or a blend took when it was last made here, of other data or settings perhaps."""
    try:
        return float(inputs.parse_json((folder / "report.json").read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _plan_blend(config: Config, asked: RunRequest, ours: list[str], is_ready: bool) -> PlannedStep:
    """The blend: finished only where its heads are, and nothing that it was made of has changed."""
    out, is_finished = asked.out, False
    if is_ready and (out / run_folder.DONE_FILE).exists():
        sources = blend_inputs.find_inputs(config, asked, ours)
        if sources is not None:
            is_finished = run_folder.is_done(out, run_folder.fingerprint(single_task.facts_of(sources, asked)))
    seconds = None if is_finished else _read_seconds(out)
    return PlannedStep(f"blend {asked.task}", str(out), int(not is_finished), int(is_finished), "blend", seconds)


def _memory(config: Config, work: Path, planned: Plan) -> int | None:
    """Bytes that heads hold at most, as many as learn side by side, each with all features and stride 1."""
    if planned.disk is None:
        return None
    there = sum(
        path.stat().st_size
        for name in dict.fromkeys(config.features.networks)
        for path in (work / "features" / name).glob("*.safetensors")
    )
    return int(planned.learning * (LIBRARIES_MEMORY + ROWS_MEMORY * (there + planned.disk)))


def show(planned: Plan, as_json: bool = False) -> None:
    """A table of the steps, and below it time, disk and memory; or all of it as JSON. Raises InputError for tasks that
    are refused, when everything else has been said.
    """
    if as_json:
        print(json.dumps(planned.as_json(), indent=2, allow_nan=False, ensure_ascii=False))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table("step", "makes")
        for name in ("missing", "finished", "about"):
            table.add_column(name, justify="right")
        for step in planned.steps:
            about = "" if not step.missing else "not known" if step.seconds is None else duration(step.seconds)
            table.add_row(step.step, step.makes, f"{step.missing:,} {step.unit}", f"{step.finished:,}", about)
        Console().print(table)
        for line in describe(planned):
            print(line)
    if planned.refusals:
        raise InputError("; ".join(f"{task}: {error}" for task, error in planned.refusals.items()))


def describe(planned: Plan) -> list[str]:
    """Time, disk and memory in a sentence each."""
    if not planned.missing:
        return ["Everything is finished: the run reads it and ends."] if not planned.refusals else []
    unknown = [step for step in planned.missing if step.seconds is None]
    names = ", ".join(step.step if step.step.startswith(("heads", "blend")) else step.makes for step in unknown)
    lines = ["Time: not known before something of it was made here."]
    if planned.seconds is not None:
        known = f"Time: about {duration(planned.seconds)} on this machine, heads and blends as they took here last"
        lines = [f"{known}{f'; not known: {names}' if names else ''}."]
    disk, free = planned.disk, f"{planned.free / 1e9:,.1f} GB are free."
    if any(step.step == "extract" for step in planned.missing):
        lines.append(f"Disk: {'features not known' if disk is None else f'{disk / 1e9:,.1f} GB of features'}; {free}")
    if (disk or 0) > planned.free:
        lines.append("Warning: that does not fit. Free some of it, or give --work a folder on another disk.")
    if planned.learning and planned.memory is not None:
        side = f", {planned.learning} of them side by side" if planned.learning > 1 else ""
        lines.append(f"Memory: heads hold {planned.memory / 1e9:,.1f} GB at most{side}; a stride makes it less.")
    return lines
