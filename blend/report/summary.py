"""The blend's outcome in a few lines on the terminal. Reads nothing but the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blend.report.leaderboard import HEADER, best_head, board, leader
from blend.report.pointers import UNDEFINED, format_number, plain, pointer, ref, value
from blend.report.schema import Report
from extract.runtime.console import console, number_table


def number(value: float | None) -> str:
    """A score as people read it; "undefined" where the data do not define it."""
    return UNDEFINED if value is None else f"{value:.4f}"


TUNED_HERE = (
    "The standard heads' settings were tuned on these validation videos: their scores here, and the blend's, are "
    "somewhat too good on held-out ones, too."
)
"""Where `heads_tuned_here`: on the demo (see the README)."""
WAYS = {
    "cross_fitted": "averaged over folds, its parts chosen by what they reach on held-out videos",
    "tuned": "tuned on all validation videos",
}


FEW_PEOPLE = 6
"""With fewer in validation a score is said to be of these people."""
NAMED = 4
"""Heads in one sentence."""


def sentences(report: Report) -> list[str]:
    """What to know first, in words."""
    return [plain(line, report) for line in lines(report)]


def lines(report: Report) -> list[str]:
    """The same, with places in the report (`blend.report.pointers.ref`) where the numbers go."""
    sent, chosen = report["submission"], report["select"]
    result = few_people(report)
    result += [
        f"The blend, {WAYS[chosen]}, reaches a {report['metric']} of {ref('submitted')} on the validation videos it "
        f"was made from.",
        describe_inputs(report),
    ]
    if report["choice"] and report["choice"]["with_train"]:
        result.append("Its numbers are the mean of what validation and what train's out-of-fold predictions give.")
    result += _held_out(report)
    if report["heads_tuned_here"]:
        result.append(TUNED_HERE)
    if report["test"] is not None:
        result.append(
            f"On the test videos, whose truth is known for this corpus, the submission scores {ref('test', 'score')}."
        )
    as_one = "" if "given" in report["search"]["start"] else ": they were searched as one"
    for copy, head in report["copies"].items():
        result.append(f"{copy} is a copy of {head}{as_one}.")
    of = "listed test frames" if sent["from"] == "test" else "validation frames, because the corpus names no test list"
    result.append(
        f"The submission holds all {ref('submission', 'frames')} {of}; {ref('submission', 'filled')} had no prediction "
        "of their own and were filled."
    )
    counts = sent["filled_by_head"]
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{head} {ref('submission', 'filled_by_head', head)}" for head in counts)
        result.append(f"Heads lack different frames, each filled from its own neighbours: {each}.")
    if faceless := sorted({*sent["videos_without_face"], *report["frames"]["videos_without_face"]}):
        of = "training" if report["prior_from"] == "train" else "validation"
        result.append(f"No face was found in {', '.join(faceless)}: predicted from the {of} prior.")
    return result


def few_people(report: Mapping[str, Any]) -> list[str]:
    """That the numbers are of these people, where they are few; nothing else may be read before it."""
    frames = report["frames"]
    if frames["people"] >= FEW_PEOPLE:
        return []
    alone, known = frames["people"] == 1, frames["people_known"]
    who = ("person" if alone else "people") if known else ("recording" if alone else "recordings")
    whose = "this person" if alone else "these people"
    return [
        f"The validation videos are of {ref('frames', 'people')} {who}, so every score below speaks of "
        f"{whose if known else 'the people in ' + ('it' if alone else 'them')} only, not of others."
    ]


def describe_inputs(report: Report) -> str:
    """Which heads the blend is of, the weightiest first, and how it is smoothed."""
    mean = {head: sum(w) / len(w) if isinstance(w, list) else w for head, w in report["weights"].items()}
    used = sorted((head for head in mean if mean[head]), key=lambda head: (-mean[head], head))
    own = any(isinstance(report["weights"][head], list) for head in used)
    named = [head if own else f"{head} ({ref('weights', head)})" for head in used[:NAMED]]
    if more := len(used) - len(named):
        named.append(f"{more} more")
    heads = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)
    if own:
        heads += ", with weights of their own for every output"
    if isinstance(report["k"], list):
        smoothing = "smoothed with a k of its own for every output"
    elif not report["k"]:
        return f"The blend is made of {heads}, and not smoothed."
    else:
        smoothing = f"smoothed with k = {ref('k')}"
    return f"The blend is made of {heads}, and {smoothing} ({report['kernel']})."


def _held_out(report: Report) -> list[str]:
    """What is to be expected on other videos, and whether the search is worth it."""
    crossed, chosen = report["cross_fitted"], report["select"]
    if crossed is None:
        return [
            "Only one person or recording is annotated in validation. Nothing can be held out, so nothing was chosen "
            "by it, and what the blend is worth on others cannot be told."
        ]
    interval = (
        f"95 % interval for {report['interval_of']}: {ref('interval', 0)} to {ref('interval', 1)}"
        if report["interval"] is not None
        else "its interval is undefined"
    )
    results = [
        f"Made on some of the videos and scored on the others ({len(crossed['folds'])} folds), the same procedure "
        f"reaches {ref('expected')}: expect that on new videos, not the first number ({interval})."
    ]
    results += describe_drop(report)
    alone = {name: item["cross_fitted"] for name, item in report["baselines"].items()}
    if (best := best_head(report)) is not None:
        equal = ref("baselines", "equal", "cross_fitted") if "equal" in alone else number(None)
        results.append(
            f"On held-out videos likewise, the best head alone, {best}, reaches "
            f"{ref('baselines', best, 'cross_fitted')}, and equal weights reach {equal}."
        )
    for name in report["ways"]:
        if name != chosen:
            results.append(
                f"The other way, {WAYS[name]}, reaches {ref('ways', name, 'tuned')} on the videos it was made from and "
                f"{ref('ways', name, 'cross_fitted')} on held-out ones."
            )
    if (first := leader(report)) is not None:
        results.append(f"The leader on held-out videos is {first.name}, with {ref(*first.place)}.")
    return results


def describe_drop(report: Report) -> list[str]:
    """What no validation set can promise, where it is published."""
    if not report["published_drop"]:
        return []
    low, high = report["published_drop"]
    drop = ref("published_drop", 0) if low == high else f"{ref('published_drop', 0)} to {ref('published_drop', 1)}"
    return [
        f"What no validation set can promise is that test is of its kind: published systems scored {drop} less on "
        f"the challenge's test videos than on its validation videos."
    ]


def rows(report: Report) -> list[tuple[str, ...]]:
    """The leaderboard: (what, plain score, score on the videos it was tuned on, on held-out ones, its k)."""

    def cell(row: dict[str, Any], name: str) -> str:
        place = row["from"][name]
        return format_number(value(report, pointer(*place)), 4) if place is not None else ""

    return [(row["name"], *(cell(row, name) for name in ("plain", "tuned", "held_out", "k"))) for row in board(report)]


def show(report: Report, folder: Path) -> None:
    """Print the leaderboard, what it means, what to worry about, and where the files are."""
    from blend.report.caveats import list_caveats

    out, first = console(), leader(report)
    places = [row["from"]["held_out"] for row in board(report)]
    at = places.index(first.place) if first is not None else None
    out.print(number_table(HEADER, rows(report), at, title=f"{report['task']}: {report['metric']} on validation"))
    for line in sentences(report):
        out.print(line)
    for line in list_caveats(report):
        out.print(f"! {plain(line, report)}")
    if made := report["submissions"]:
        for item in made["files"]:
            out.print(f"{item['file']}: {item['what']}")
        for text in made["left_out"]:
            out.print(f"left out: {text}")
    for name in ("report.html", "submission.txt", "report.json", "params.json", "study.db"):
        print(folder / name)


FILES = ("submission.txt", "params.json", "report.json", "report.html", "study.db", "networks.json")


def brief(report: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The scores of a report, a task's or the whole challenge's (None: undefined), and files of its folder, by name.

    `expected` is the cross-fitted score, which is what to expect on test, with its 95 % interval; `submitted` is the
    score of the same blend on the videos that it was made from, `searched` that of the search, and `leader` is whatever
    is best on held-out videos.
    """
    parts = report.get("parts")
    results = {
        "task": report["task"],
        "metric": report["metric"],
        "expected": report["expected"],
        "interval": report["interval"],
        "submitted": report["submitted"],
        "searched": report["searched"],
        "equal": report["equal"],
        "best_head": _best(report),
        "leader": _leader(report),
        "test": report["test"]["score"] if isinstance(report["test"], dict) else report["test"],
        "seed": report["seed"],
        "seconds": report["seconds"],
        "seconds_of": report.get("seconds_of"),
    }
    if parts is not None:
        results["parts"] = {
            name: {key: part[key] for key in ("expected", "interval", "submitted", "searched")}
            for name, part in parts.items()
        }
    names = [*FILES, *(submission["file"] for submission in _submissions(report))]
    return results | {
        "folder": str(folder),
        "files": {name: str(folder / name) for name in names if _there(folder, name)},
    }


def _leader(report: Any) -> dict[str, Any] | None:
    """Of the multi-task challenge every part has its own."""
    first = leader(report) if "baselines" in report else None
    return None if first is None else {"name": first.name, "score": first.score, "submitted": first.submitted}


def _best(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The best head alone; of the multi-task challenge the sum of the parts' best."""
    if "best_heads" in report:
        return {"name": None, "score": report["best_heads"]}
    known = {head: score for head, score in report["heads"].items() if score is not None}
    if not known:
        return None
    name = max(sorted(known), key=lambda head: known[head])
    return {"name": name, "score": known[name]}


def _submissions(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    values = report.get("submissions") or []
    return list(values["files"] if isinstance(values, dict) else values)


def _there(folder: Path, name: str) -> bool:
    return (folder / name).is_file()
