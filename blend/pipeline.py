"""The blend's work itself: pools, search, cross-fit, submissions, report. All of it is left in one folder."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from blend.config import Config, RunRequest, SearchOptions
from blend.crossfit import estimate, fold_process
from blend.crossfit.fold_process import FoldProcess
from blend.crossfit.outcome import CROSS_FITTED_WAY, EQUAL_WAY, TUNED_WAY, BlendResult, ResultBuilder
from blend.decision import combine
from blend.pool import inputs as blend_inputs
from blend.pool import provenance
from blend.pool.inputs import BlendInputs, LoadedPools
from blend.pool.pool import Pool
from blend.report import facts as report_facts
from blend.report import report as report_report
from blend.report.html import page, thumbnails
from blend.report.html import timeline as page_timeline
from blend.report.pointers import plain
from blend.report.schema import Report
from blend.search import search, shared_search, shared_study
from blend.search.journal import TrialJournal
from blend.search.search import SearchResult
from blend.submission import alternatives
from blend.submission import write as submission
from blend.submission.alternatives import Candidate
from blend.unlabelled_test import compare as unlabelled
from extract import run as extract_run
from extract.runtime import run_folder
from extract.runtime.progress import Stopwatch, progress, step_seconds

BLEND = "blend"
"""The step of a run that this is."""
RESULTS = ["submission.txt", "params.json", "report.json", "report.html"]


def run_blend(config: Config, sources: BlendInputs, values: LoadedPools, asked: RunRequest) -> tuple[Report, list[str]]:
    """Write everything but DONE into the blend's folder; returns the report and the results' names."""
    if asked.options.is_shared or asked.options.timeout is not None:  # others search too; the number of trials is open
        return _run(config, sources, values, asked, None)
    known = values.validation, sources.settings, sources.seed
    with fold_process.begin(*known, estimate.split(known[0], known[1].folds, known[2])) as helper:
        return _run(config, sources, values, asked, helper)


def _run(
    config: Config, sources: BlendInputs, values: LoadedPools, asked: RunRequest, helper: FoldProcess | None
) -> tuple[Report, list[str]]:
    work, out, options = asked.work, asked.out, asked.options
    watch = Stopwatch({name: took for name, took in step_seconds().items() if name != BLEND})
    target = blend_inputs.submission_pool(sources, values)
    watch.lap("reading")
    result = (search_shared_study if options.is_shared else _search_alone)(values.validation, sources, out, options)
    watch.lap("search")
    run_folder.begin(out)  # not before: what was finished stays, should the study not open
    about = values.validation.heads, result, sources.seed
    importance = fold_process.begin_call(helper, report_facts.compute_importance, *about)
    sources = _as_long(sources, result, options)
    settings, seed = sources.settings, sources.seed
    finding = ResultBuilder(values.validation, settings, seed, result, values.test_groups, values.train)
    params = finding.params
    gaps = alternatives.describe(sources.prior, sources.settings.test_from)
    run_folder.write_json(out / "params.json", params.as_json() | gaps)
    submission.write(out / "submission.txt", values.test_list, target, combine.combine(target, params))
    outcome = _cross_fitted(finding, sources, helper)
    watch.lap("estimate")
    others = _write_alternatives(out, values, target, outcome, asked.submissions, sources)
    learnt_from_both = values.trainval_heads if target is values.trainval else ()
    report = report_report.build(
        values.validation,
        outcome,
        settings,
        seed,
        report_report.describe_submission(
            values.test_list, target, values.source, settings.test_from, learnt_from_both
        ),
        corpus=config.corpus.name,
        train=sources.paths.train,
        prior_from=sources.prior_from,
        heads_tuned_here=config.corpus.demo is True and bool(sources.project_heads),
        alike=report_facts.describe_resemblance(config, sources, work),
        unlabelled_test=unlabelled.facts(values.validation, target, params, seed) if values.source == "test" else None,
        submissions=others,
        test=_score_on_test(config, sources, work, out, values, others),
        made=report_facts.describe_making(config, sources),
        importance=importance,
    )
    for line in report_facts.warn_of_resemblance(report):
        print(f"warning: {plain(line, report)}", file=sys.stderr)
    report["seconds"], report["seconds_of"] = watch.total(), watch.lap("report")
    _warn_of_folds(outcome, values.validation, sources.settings.folds)
    run_folder.write_json(out / "report.json", report)
    faces = thumbnails.make(values.validation, config.corpus) if sources.settings.thumbnails else None
    timeline = page_timeline.make(values.validation, outcome)
    run_folder.write_text(out / "report.html", page.render(report, timeline, faces))
    texts = [Path(entry["file"]) for entry in others["files"]] if others else []
    return report, [*RESULTS, *(str(item) for text in texts for item in (text, text.with_suffix(".json")))]


def _warn_of_folds(outcome: BlendResult, validation: Pool, wanted: int) -> None:
    """Say where there are fewer people or videos than folds were asked for."""
    crossed = outcome.ways[TUNED_WAY].cross_fit
    if crossed is not None and len(crossed.folds) < wanted:
        what = "validation videos" if validation.people is None else "people in validation"
        print(f"only {len(crossed.folds)} {what}: cross-fitted in as many folds", file=sys.stderr)


def search_shared_study(validation: Pool, sources: BlendInputs, out: Path, options: SearchOptions) -> SearchResult:
    """The search with other processes: those started here, and whoever else shares the storage."""
    task, settings, facts = sources.task.name, sources.settings, provenance.shared_facts(sources)
    where = shared_study.SharedStorage(options.storage, out / "study.db", options.study, facts)
    total = search.count(validation, settings, settings.trials)
    with progress(f"blend {task}: search, {options.workers} processes", total, "trials") as bar:
        return shared_search.run_shared_search(
            validation, settings, settings.trials, sources.seed, where, options.workers, options.until(), bar.advance
        )


def _search_alone(validation: Pool, sources: BlendInputs, out: Path, options: SearchOptions) -> SearchResult:
    """The search by this process, kept in study.db."""
    task, settings = sources.task.name, sources.settings
    with TrialJournal(out / "study.db", task, provenance.search_facts(sources)) as journal:
        if journal.set_aside:
            print(journal.set_aside, file=sys.stderr)
        with progress(f"blend {task}: search", search.count(validation, settings, settings.trials), "trials") as bar:
            trials, seed = settings.trials, sources.seed
            return search.search(validation, settings, trials, seed, journal, bar.advance, options.until())


def _as_long(sources: BlendInputs, result: SearchResult, options: SearchOptions) -> BlendInputs:
    """Where time was limited, the searches inside the folds make no more trials than the search itself did."""
    if options.timeout is None:
        return sources
    most = min(fold_process.fold_trials(sources.settings), len(result.trials))
    return replace(sources, settings=sources.settings.model_copy(update={"fold_trials": most}))


def _cross_fitted(finding: ResultBuilder, sources: BlendInputs, helper: FoldProcess | None) -> BlendResult:
    """The same search inside the folds, and what heads are worth alone."""
    validation, settings = finding.pool, sources.settings
    folds = min(settings.folds, len(validation.videos))
    total = folds * search.count(validation, settings, fold_process.fold_trials(settings))
    with progress(f"blend {sources.task.name}: cross-fit", total, "trials") as bar:
        return finding.finish(bar.advance, helper)


def _write_alternatives(
    out: Path, values: LoadedPools, target: Pool, outcome: BlendResult, count: int, sources: BlendInputs
) -> dict[str, Any] | None:
    """Write `count` different submissions, where it is more than one; what the report says of them."""
    alternatives.clear(out)
    if count == 1:
        return None
    written = alternatives.write(out, _entries(values, target, outcome), count, values.test_list, sources.prior)
    if values.trainval is None and values.source == "test":
        text = "train_val: no head has learnt from train and validation (refit_val = true makes them)"
        written["left_out"].insert(0, text)
    return written


def _entries(values: LoadedPools, target: Pool, outcome: BlendResult) -> list[Candidate]:
    """What could be submitted, the most promising first; the last ones stand in for such as equal another."""
    what = {
        CROSS_FITTED_WAY: "the average of what the folds find, its parts chosen by held-out score",
        TUNED_WAY: "the blend that scores best on the validation videos",
    }
    names = sorted(outcome.ways, key=lambda name: name != outcome.select)  # the chosen one first
    ranked = outcome.rank()
    alone = {name: way.params for name, way in outcome.baselines.items()}
    best = f"the best single head, {ranked[0]}, with smoothing of its own"
    all_of = [
        *(Candidate(name, what[name], outcome.ways[name].params, target) for name in names),
        Candidate("best_head", best, alone[ranked[0]], target),
        Candidate(EQUAL_WAY, "equal weights, with smoothing of their own", alone[EQUAL_WAY], target),
    ]
    if values.trainval is not None:
        heads = ", ".join(values.trainval_heads)
        text = f"the main blend on heads that have learnt from train and validation ({heads})"
        all_of.append(Candidate("train_val", text, outcome.selected_blend.params, values.trainval, "train+val"))
    if (trial := outcome.search.best_start("greedy")) is not None:
        greedy = search.params(values.validation, trial.weights, trial.kernel, trial.k)
        all_of.append(Candidate("greedy", "greedy selection of heads (Caruana), tuned on validation", greedy, target))
    all_of += [Candidate("next_head", f"another single head, {head}", alone[head], target) for head in ranked[1:2]]
    return all_of


def _score_on_test(
    config: Config, sources: BlendInputs, work: Path, out: Path, values: LoadedPools, others: dict[str, Any] | None
) -> dict[str, Any] | None:
    """What the submission scores on test, and, written to them, what others do: known for the demo only, and read only
    now that they are written.
    """
    if not config.corpus.demo or values.source != "test":
        return None
    from blend.submission.test_score import final_score

    name = sources.task.within or sources.task.name
    truth = extract_run.embedded_corpus(config).paths(extract_run.corpus_folder(work))["truth"][name]
    for entry in (others or {"files": []})["files"]:
        entry["test"] = final_score(out / entry["file"], values.test_list, truth, sources.task)["score"]
    return final_score(out / "submission.txt", values.test_list, truth, sources.task)
