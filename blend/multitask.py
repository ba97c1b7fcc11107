"""The multi-task challenge: a blend of its own for each of the three tasks, and one submission of all.

Every part is an ordinary task whose annotations come from the challenge's file (`abaw.multitask`), so each learns and
is scored on the rows that are annotated for it. P_MTL = mean CCC + macro F1 + mean F1: it is a sum, and what is best
for each part is best for it.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from blend import single_task
from blend.config import Config, RunRequest
from blend.pool import provenance
from blend.report import schema
from blend.report.html import multitask as multitask_page
from blend.report.schema import MultitaskReport, Part, Report
from blend.submission import check as submission_check
from blend.submission.formats import KINDS
from extract import run as extract_run
from extract.runtime import inputs, run_folder
from extract.runtime.errors import InputError, did_you_mean
from extract.runtime.progress import step
from heads.abaw import tasks
from heads.abaw.tasks import MTL, SUBTASKS

METRIC = "P_MTL = mean CCC + macro F1 + mean F1"


def main(config: Config, asked: RunRequest) -> MultitaskReport:
    """Blend each part into `<work>/blend/mtl/{va,expr,au}/`, then join them in `<work>/blend/mtl/`; returns the report.

    `asked.heads` names some of ours, for all parts or as "va/NAME" for one; each folder of `asked.predictions` has a
    folder for each part that it predicts. Leaves submission.txt, report.json, report.html and DONE. Raises InputError
    for bad input.
    """
    while (report := _run_once(config, asked)) is None:
        pass
    return report


def _run_once(config: Config, asked: RunRequest) -> MultitaskReport | None:
    """The whole of parts that are up to date; None where another command made a part anew before it was read."""
    began = time.monotonic()
    reports, parts = {}, list_parts(asked)
    single_task.train_heads(config, parts)
    for part in parts:
        step(part.task)
        reports[tasks.find(part.task).name] = single_task.main(config, part)
    paths = extract_run.resolve(config, asked.work).corpus.task(MTL)
    with ExitStack() as hold:
        for folder in (asked.out, *(asked.out / part for part in reports)):
            hold.enter_context(run_folder.hold_folder(folder))
        if not all(_is_of(asked.out / part, report) for part, report in reports.items()):
            return None
        return _joined(asked.out, paths.test, reports, asked.seed, began)


def list_parts(asked: RunRequest) -> list[RunRequest]:
    """What is asked for of each part. Raises InputError as `request_part`."""
    return [request_part(asked, place, part.name) for place, part in SUBTASKS.items()]


def request_part(asked: RunRequest, place: str, part: str) -> RunRequest:
    """What is asked for of one part. Raises InputError as `select_heads` and `select_predictions`."""
    options = replace(asked.options, study=f"{asked.options.study}/{part}")
    heads, predictions = select_heads(asked.heads, part), select_predictions(asked.predictions, part)
    return replace(asked, task=place, heads=heads, predictions=predictions, options=options)


def _is_of(folder: Path, report: Report) -> bool:
    """Whether a part's folder is finished, and holds this report."""
    try:
        there = inputs.parse_json((folder / "report.json").read_text(encoding="utf-8"))
        return run_folder.is_done(folder, run_folder.results(folder)[0]) and there == json.loads(json.dumps(report))
    except (OSError, ValueError):
        return False


def _joined(out: Path, test: Path | None, reports: dict[str, Report], seed: int, began: float) -> MultitaskReport:
    """One submission and one report of the parts, unless that is there. All four folders are held."""
    facts = {
        "parts": {part: run_folder.file_hash(out / part / run_folder.DONE_FILE) for part in reports},
        "test_list": run_folder.file_hash(test) if test else None,
        "seed": seed,
        "code": run_folder.code_hash("blend", provenance.MEASURES),
    }
    mark = run_folder.fingerprint(facts)
    if run_folder.is_done(out, mark):
        return schema.read(MultitaskReport, out / "report.json")
    run_folder.begin(out)
    header = submission_check.read_template(test).header if test else tasks.MTL_HEADER
    join([out / part / "submission.txt" for part in reports], header, out / "submission.txt")
    report = sum_reports(reports, seed)
    report["submissions"] = _join_alternatives(out, reports, header)
    report["seconds"] = round(time.monotonic() - began, 2)
    run_folder.write_json(out / "report.json", report)
    run_folder.write_text(out / "report.html", multitask_page.render(report))
    results = ["submission.txt", "report.json", "report.html"]
    run_folder.finish(out, mark, facts, results + [item["file"] for item in report["submissions"]])
    return report


def join(parts: list[Path], header: str, out: Path) -> None:
    """Write one file of the parts' submissions (va, expr, au, of the same pictures), word for word, and check it.

    Raises RuntimeError where they are not of the same pictures, or the whole is not what the official format asks for:
    that would be a bug.
    """
    columns = [path.read_text(encoding="utf-8").splitlines()[1:] for path in parts]
    images: list[str] = []
    with run_folder.write_whole(out) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="\n") as handle:
            handle.write(header + "\n")
            for lines in zip(*columns, strict=True):
                (image, *rest), values = zip(*(line.split(",", 1) for line in lines), strict=True)
                if any(other != image for other in rest):
                    raise RuntimeError(f"{out}: {image} and {rest} are on one line")
                images.append(image)
                handle.write(",".join((image, *values)) + "\n")
        template = submission_check.Template(out, KINDS[MTL], header, images)
        if problems := submission_check.list_problems(temporary, template):
            line, what = problems[0]
            raise RuntimeError(f"{out}: line {line}: {what}")


def sum_reports(reports: dict[str, Report], seed: int) -> MultitaskReport:
    """The report of the whole: P_MTL, what it is made of, and the interval, from the reports of the parts by name.

    The parts' intervals are added, as if all were off to the same side at once: the sum's is rather too wide.
    """
    parts = {name: _part(report) for name, report in reports.items()}
    intervals = [interval for part in parts.values() if (interval := part["interval"]) is not None]
    sent = next(iter(reports.values()))["submission"]
    summed = ("equal", "submitted", "searched", "expected", "cross_fitted")
    sums: Any = {key: _sum([part[key] for part in parts.values()]) for key in summed}  # type: ignore[literal-required]
    tested = [test["score"] for part in parts.values() if (test := part["test"]) is not None]
    return {
        "task": MTL,
        "metric": METRIC,
        "best_heads": _sum([part["best_head"]["score"] for part in parts.values()]),
        **sums,
        "interval": [sum(side) for side in zip(*intervals, strict=True)] if len(intervals) == len(parts) else None,
        "interval_of": "the parts' test sets; their intervals added, which is rather too wide",
        "test": _sum(tested) if len(tested) == len(parts) else None,
        "parts": parts,
        "submission": {key: sent[key] for key in ("path", "from", "lines", "frames", "videos")},
        "seed": seed,
        "submissions": [],
        "seconds": 0.0,
    }


def _part(report: Report) -> Part:
    crossed, heads = report["cross_fitted"], report["heads"]
    best = max(heads, key=lambda head: (heads[head] is not None, heads[head] or 0.0))
    kept = ("metric", "select", "equal", "submitted", "searched", "expected", "optimism", "interval", "ways")
    kept += ("per_output", "frames", "test", "unlabelled_test")
    part: Any = {key: report[key] for key in kept}  # type: ignore[literal-required]
    part["best_head"] = {"name": best, "score": heads[best]}
    part["cross_fitted"] = crossed["pooled"] if crossed is not None else None
    return part | {"report": f"{report['task']}/report.json"}  # type: ignore[no-any-return]


def _sum(scores: list[float | None]) -> float | None:
    """The sum; None where a part is not defined."""
    return None if None in scores else float(sum(score for score in scores if score is not None))


def _join_alternatives(out: Path, reports: dict[str, Report], header: str) -> list[dict[str, Any]]:
    """Join the parts' first, second, ... submissions; a part that has fewer gives its first again."""
    for old in (out / "submissions").glob("*.txt"):
        old.unlink()
    files = {name: (report["submissions"] or {"files": []})["files"] for name, report in reports.items()}
    written = []
    for number in range(max(map(len, files.values()))):
        chosen = {name: file[number if number < len(file) else 0] for name, file in files.items()}
        target = out / "submissions" / f"{number + 1}.txt"
        join([out / name / part["file"] for name, part in chosen.items()], header, target)
        entry: dict[str, Any] = {"file": f"submissions/{target.name}"}
        entry |= {"of": {name: {"name": case["name"], "what": case["what"]} for name, case in chosen.items()}}
        if all("test" in item for item in chosen.values()):
            entry["test"] = _sum([element["test"] for element in chosen.values()])
        written.append(entry)
    return written


def select_heads(heads: list[str] | None, part: str) -> list[str] | None:
    """Of the heads that are asked for, those of one part: "va/NAME" is for va alone. Raises InputError for none."""
    if heads is None:
        return None
    for name in heads:
        before, slash, _ = name.partition("/")
        if slash and f"{MTL}/{before}" not in SUBTASKS:
            hint = did_you_mean(before, [part.name for part in SUBTASKS.values()])
            raise InputError(
                f"--heads {name}: no part of the multi-task challenge; there are va/..., expr/..., au/...{hint}"
            )
    own = [name.removeprefix(f"{part}/") for name in heads if "/" not in name or name.startswith(f"{part}/")]
    if not own:
        raise InputError(f"--heads {','.join(heads)}: no head for {part}; add {part}/NAME, or none")
    return own


def select_predictions(predictions: dict[str, Path], part: str) -> dict[str, Path]:
    """Of other people's folders, those of one part: `<folder>/va` and so on. Raises InputError for a folder of none."""
    for name, folder in predictions.items():
        if not any((folder / place.rpartition("/")[2]).is_dir() for place in SUBTASKS):
            raise InputError(
                f"--predictions {name}={folder}: for --task mtl it should hold a folder for each part that it "
                f"predicts: va, expr, au"
            )
    return {name: folder / part for name, folder in predictions.items() if (folder / part).is_dir()}
