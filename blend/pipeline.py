"""The blend's work itself: pools, search, cross-fit, submissions, report. All of it is left in one folder."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from blend.config import Config, SearchOptions
from blend.crossfit import estimate
from blend.crossfit.outcome import CROSS_FITTED, EQUAL, TUNED, BlendResult, ResultBuilder
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
from blend.search import search, shared_search, shared_study
from blend.search.journal import TrialJournal
from blend.search.search import SearchResult
from blend.submission import alternatives
from blend.submission import write as submission
from blend.submission.alternatives import Candidate
from blend.unlabelled import compare as unlabelled
from extract import run as extract_run
from extract.runtime import run_folder
from extract.runtime.progress import progress

RESULTS = ["submission.txt", "params.json", "report.json", "report.html"]


def run_blend(
    config: Config,
    made_of: BlendInputs,
    some: LoadedPools | None,
    work: Path,
    out: Path,
    submissions: int,
    how: SearchOptions,
) -> tuple[dict[str, Any], list[str]]:
    """Write everything but DONE into `out`; returns the report and the names of the results. `some`: if read before."""
    began = time.monotonic()
    some = some if some is not None else blend_inputs.load_pools(made_of)
    target = blend_inputs.submission_pool(made_of, some)
    found = (search_shared if how.shared else _search_alone)(some.validation, made_of, out, how)
    run_folder.begin(out)  # not before: what was finished stays, should the study not open
    made_of = _as_long(made_of, found, how)
    settings, seed = made_of.settings, made_of.seed
    finding = ResultBuilder(some.validation, settings, seed, found, some.test_groups, some.train)
    params = finding.params
    about = alternatives.describe(made_of.prior, made_of.settings.test_from)
    run_folder.write_json(out / "params.json", params.as_json() | about)
    submission.write(out / "submission.txt", some.listed, target, combine.combine(target, params))
    outcome = _cross_fitted(finding, made_of)
    report = report_report.build(some.validation, outcome, made_of.settings, made_of.seed)
    ks, train = report["score_against_k"]["k"], made_of.paths.train
    report |= report_report.build_details(some.validation, outcome, made_of.seed, ks, config.corpus.name, train)
    report["frames"]["filled_by_head"] = some.validation.filled(some.validation.known.rows)
    report["prior_from"] = made_of.prior_from
    report["heads_tuned_here"] = config.corpus.demo and bool(made_of.ours)
    report["alike"] = report_facts.describe_resemblance(config, made_of, work)
    report["submission"] = _submitted(out, some, target, made_of)
    for line in report_facts.warn_of_resemblance(report):
        print(f"warning: {plain(line, report)}", file=sys.stderr)
    report["unlabelled_test"] = (
        unlabelled.facts(some.validation, target, params, made_of.seed) if some.source == "test" else None
    )
    results = list(RESULTS)
    alternatives.clear(out)
    report["submissions"] = None
    if submissions > 1:
        written = alternatives.write(out, _entries(some, target, outcome), submissions, some.listed, made_of.prior)
        left_out = [*written.left_out]
        if some.both is None and some.source == "test":
            left_out.insert(0, "train_val: no head has learnt from train and validation (refit_val = true makes them)")
        report["submissions"] = {"files": list(written.files), "left_out": left_out}
        texts = [Path(entry["file"]) for entry in written.files]
        results += [str(one) for text in texts for one in (text, text.with_suffix(".json"))]
    _score_on_test(config, made_of, work, out, some, report)
    report["seconds"] = round(time.monotonic() - began, 2)
    crossed = outcome.ways[TUNED].crossed
    if crossed is not None and len(crossed.folds) < made_of.settings.folds:
        what = "validation videos" if some.validation.people is None else "people in validation"
        print(f"only {len(crossed.folds)} {what}: cross-fitted in as many folds", file=sys.stderr)
    run_folder.write_json(out / "report.json", report)
    pictures = config.corpus.frames if made_of.settings.thumbnails else []
    faces = thumbnails.make(some.validation, pictures)
    timeline = page_timeline.make(some.validation, outcome)
    run_folder.write_text(out / "report.html", page.render(report, timeline, faces))
    return report, results


def search_shared(validation: Pool, made_of: BlendInputs, out: Path, how: SearchOptions) -> SearchResult:
    """The search with other processes: those started here, and whoever else shares the storage."""
    task, settings = made_of.task.name, made_of.settings
    where = shared_study.SharedStorage(how.storage, out / "study.db", how.study, provenance.shared_facts(made_of))
    total = search.count(validation, settings, settings.trials)
    with progress(f"blend {task}: search, {how.workers} processes", total, "trials") as bar:
        return shared_search.run_shared(
            validation, settings, settings.trials, made_of.seed, where, how.workers, how.until(), bar.advance
        )


def _search_alone(validation: Pool, made_of: BlendInputs, out: Path, how: SearchOptions) -> SearchResult:
    """The search by this process, kept in study.db."""
    task, settings = made_of.task.name, made_of.settings
    with TrialJournal(out / "study.db", task, provenance.search_facts(made_of)) as journal:
        if journal.set_aside:
            print(journal.set_aside, file=sys.stderr)
        with progress(f"blend {task}: search", search.count(validation, settings, settings.trials), "trials") as bar:
            trials, seed = settings.trials, made_of.seed
            return search.search(validation, settings, trials, seed, journal, bar.advance, how.until())


def _as_long(made_of: BlendInputs, found: SearchResult, how: SearchOptions) -> BlendInputs:
    """Where time was limited, the searches inside the folds make no more trials than the search itself did."""
    if how.timeout is None:
        return made_of
    most = min(estimate.fold_trials(made_of.settings), len(found.trials))
    return replace(made_of, settings=made_of.settings.model_copy(update={"fold_trials": most}))


def _cross_fitted(finding: ResultBuilder, made_of: BlendInputs) -> BlendResult:
    """The same search inside the folds, and what heads are worth alone."""
    validation, settings = finding.pool, made_of.settings
    folds = min(settings.folds, len(validation.videos))
    total = folds * search.count(validation, settings, estimate.fold_trials(settings))
    with progress(f"blend {made_of.task.name}: cross-fit", total, "trials") as bar:
        return finding.finish(bar.advance)


def _submitted(out: Path, some: LoadedPools, target: Pool, made_of: BlendInputs) -> dict[str, Any]:
    """Facts about submission.txt."""
    rows = submission.rows(some.listed, target)
    facts = report_report.submitted(out / "submission.txt", some.listed, target, rows, some.source)
    return facts | {
        "filled_by_head": target.filled(rows),
        "test_from": made_of.settings.test_from,
        "learnt_from_train_and_val": list(some.learnt_from_both) if target is some.both else [],
    }


def _entries(some: LoadedPools, target: Pool, outcome: BlendResult) -> list[Candidate]:
    """What could be submitted, the most promising first; the last ones stand in for such as equal another."""
    what = {
        CROSS_FITTED: "the average of what the folds find, its parts chosen by held-out score",
        TUNED: "the blend that scores best on the validation videos",
    }
    names = sorted(outcome.ways, key=lambda name: name != outcome.select)  # the chosen one first
    ranked = outcome.ranked()
    alone = {name: way.params for name, way in outcome.baselines.items()}
    all_of = [
        *(Candidate(name, what[name], outcome.ways[name].params, target) for name in names),
        Candidate(
            "best_head", f"the best single head, {ranked[0]}, with smoothing of its own", alone[ranked[0]], target
        ),
        Candidate(EQUAL, "equal weights, with smoothing of their own", alone[EQUAL], target),
    ]
    if some.both is not None:
        heads = ", ".join(some.learnt_from_both)
        text = f"the main blend on heads that have learnt from train and validation ({heads})"
        all_of.append(Candidate("train_val", text, outcome.chosen.params, some.both, "train+val"))
    if (trial := outcome.found.best_start("greedy")) is not None:
        greedy = search.params(some.validation, trial.weights, trial.kernel, trial.k)
        all_of.append(Candidate("greedy", "greedy selection of heads (Caruana), tuned on validation", greedy, target))
    all_of += [Candidate("next_head", f"another single head, {head}", alone[head], target) for head in ranked[1:2]]
    return all_of


def _score_on_test(
    config: Config, made_of: BlendInputs, work: Path, out: Path, some: LoadedPools, report: dict[str, Any]
) -> None:
    """What the submissions score on test: known for the demo only, and read only now that they are written."""
    report["test"] = None
    if not config.corpus.demo or some.source != "test":
        return
    from blend.submission.test_score import final_score
    from extract.demo.corpus import paths

    truth = paths(extract_run.corpus_folder(work))["truth"][made_of.task.within or made_of.task.name]
    report["test"] = final_score(out / "submission.txt", some.listed, truth, made_of.task)
    for entry in (report["submissions"] or {"files": []})["files"]:
        entry["test"] = final_score(out / entry["file"], some.listed, truth, made_of.task)["score"]
