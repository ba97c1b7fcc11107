"""One task's blend: its heads brought up to date, then the blend, unless a finished one is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import Any

from blend import compile_kernels
from blend.config import Config, RunRequest
from blend.pool import inputs as blend_inputs
from blend.pool import networks, provenance
from blend.pool.inputs import BlendInputs
from blend.report import schema
from blend.report.schema import Report
from extract.runtime import run_folder
from extract.runtime.errors import InputError, WorkError
from extract.runtime.progress import step, steps
from heads import run as heads_run
from heads.abaw.tasks import find


def main(config: Config, asked: RunRequest) -> Report:
    """Blend one task, or one part of the multi-task challenge ("mtl/va"), into `<work>/blend/<task>/`; returns the
    report. Raises InputError for bad input.
    """
    with steps(f"blend {asked.task}", ("extract", "heads", "blend")):
        while (report := _run_once(config, asked)) is None:
            pass
        return report


def train_heads(config: Config, asked: Sequence[RunRequest]) -> None:
    """Bring the heads of several tasks up to date side by side, before each is blended. What goes wrong ends this, and
    is left to the blend of its task, which trains again what is missing.
    """
    ours = [each for each in asked if blend_inputs.uses_project_heads(config, each)]
    if not ours:
        return
    left_to_blends = suppress(InputError, WorkError, RuntimeError)
    with left_to_blends, steps("heads", ("extract", "heads")), _prepare_ahead(config, ours):
        heads_run.train_side_by_side(config, {each.task: each.heads for each in ours}, ours[0].work, ours[0].seed)


def facts_of(sources: BlendInputs, asked: RunRequest) -> dict[str, Any]:
    """All that decides what a blend's folder holds."""
    return provenance.all_facts(sources) | {"submissions": asked.submissions, "timeout": asked.options.timeout}


def _run_once(config: Config, asked: RunRequest) -> Report | None:
    """The blend of heads that are up to date; None where it was finished and then, before it was read, another's."""
    out = asked.out

    def is_done(sources: BlendInputs) -> bool:
        return run_folder.is_done(out, run_folder.fingerprint(facts_of(sources, asked)))

    step("extract")
    with ExitStack() as hold:  # what is hashed of the heads is what is read, however long the wait for `out` is
        with _prepare_ahead(config, [asked]) if blend_inputs.uses_project_heads(config, asked) else nullcontext():
            config, sources = blend_inputs.prepare_inputs(config, asked, hold)
        sources, values = provenance.read_steady(sources, is_done)
    step("blend")
    if asked.options.storage and values is not None:
        from blend import pipeline

        # not holding the folder: another may help from there
        pipeline.search_shared_study(values.validation, sources, out, asked.options)
    facts = facts_of(sources, asked)
    mark = run_folder.fingerprint(facts)
    with run_folder.hold_folder(out):
        networks.keep_networks(out, config)
        if run_folder.is_done(out, mark):
            return schema.read(Report, out / "report.json")
        if values is None:
            return None
        from blend import pipeline

        report, results = pipeline.run_blend(config, sources, values, asked)
        run_folder.finish(out, mark, facts, results)
        return report


@contextmanager
def _prepare_ahead(config: Config, asked: Sequence[RunRequest]) -> Iterator[None]:
    """What the blends of these tasks need made ready while heads learn: nothing for one of which some are there."""
    todo = [each for each in asked if not any((each.work / "heads" / each.task).glob("*/DONE"))]
    with ExitStack() as ahead:
        if todo:
            ahead.enter_context(compile_kernels.import_ahead())
        if todo and not compile_kernels.are_compiled():
            names = dict.fromkeys(find(each.task).name for each in todo)
            ahead.enter_context(compile_kernels.compile_ahead({name: getattr(config.blend, name) for name in names}))
        yield
