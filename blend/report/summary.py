"""The blend's outcome in a few lines on the terminal. Reads nothing but the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from blend.report.leaderboard import HEADER, best_head, board, leader
from blend.report.pointers import UNDEFINED_TEXT, format_number, plain, pointer, ref, value
from blend.report.schema import Report
from extract.runtime.console import console, number_table


def number(value: float | None) -> str:
    """A score as people read it; "undefined" where the data do not define it."""
    return UNDEFINED_TEXT if value is None else f"{value:.4f}"


TUNING_CAVEAT = (
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
MAX_NAMES = 4
"""Heads in one sentence."""


def sentences(report: Report) -> list[str]:
    """What to know first, in words."""
    return [plain(line, report) for line in lines(report)]


def lines(report: Report) -> Iterator[str]:
    """The same, with places in the report (`blend.report.pointers.ref`) where the numbers go."""
    sent, chosen = report["submission"], report["select"]
    yield from warn_of_few_people(report)
    yield (
        f"The blend, {WAYS[chosen]}, reaches a {report['metric']} of {ref('submitted')} on the validation videos it "
        f"was made from."
    )
    yield describe_inputs(report)
    if report["choice"] and report["choice"]["with_train"]:
        yield "Its numbers are the mean of what validation and what train's out-of-fold predictions give."
    yield from _held_out(report)
    if report["heads_tuned_here"]:
        yield TUNING_CAVEAT
    if report["test"] is not None:
        yield f"On the test videos, whose truth is known for this corpus, the submission scores {ref('test', 'score')}."
    as_one = "" if "given" in report["search"]["start"] else ": they were searched as one"
    for copy, head in report["copies"].items():
        yield f"{copy} is a copy of {head}{as_one}."
    of = "listed test frames" if sent["from"] == "test" else "validation frames, because the corpus names no test list"
    yield (
        f"The submission holds all {ref('submission', 'frames')} {of}; {ref('submission', 'filled')} had no prediction "
        "of their own and were filled."
    )
    counts = sent["filled_by_head"]
    if len(set(counts.values())) > 1:
        each = ", ".join(f"{head} {ref('submission', 'filled_by_head', head)}" for head in counts)
        yield f"Heads lack different frames, each filled from its own neighbours: {each}."
    if faceless := sorted({*sent["videos_without_face"], *report["frames"]["videos_without_face"]}):
        of = "training" if report["prior_from"] == "train" else "validation"
        yield f"No face was found in {', '.join(faceless)}: predicted from the {of} prior."


def warn_of_few_people(report: Mapping[str, Any]) -> list[str]:
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


def mean_weights(report: Report) -> dict[str, float]:
    """Each head's weight, the mean where every output has its own; the largest first."""
    mean = {head: sum(w) / len(w) if isinstance(w, list) else w for head, w in report["weights"].items()}
    return dict(sorted(mean.items(), key=lambda pair: (-pair[1], pair[0])))


def describe_inputs(report: Report) -> str:
    """Which heads the blend is of, the weightiest first, and how it is smoothed."""
    used = [head for head, weight in mean_weights(report).items() if weight]
    own = any(isinstance(report["weights"][head], list) for head in used)
    named = [head if own else f"{head} ({ref('weights', head)})" for head in used[:MAX_NAMES]]
    if more := len(used) - len(named):
        named.append(f"{more} more")
    heads = f"{', '.join(named[:-1])} and {named[-1]}" if len(named) > 1 else "".join(named)
    if own:
        heads += ", with weights of their own for every output"
    if not report["k"]:
        return f"The blend is made of {heads}, and not smoothed."
    k = "a k of its own for every output" if isinstance(report["k"], list) else f"k = {ref('k')}"
    return f"The blend is made of {heads}, and smoothed with {k} ({report['kernel']})."


def _held_out(report: Report) -> Iterator[str]:
    """What is to be expected on other videos, and whether the search is worth it."""
    crossed = report["cross_fitted"]
    if crossed is None:
        yield (
            "Only one person or recording is annotated in validation. Nothing can be held out, so nothing was chosen "
            "by it, and what the blend is worth on others cannot be told."
        )
        return
    band = f"95 % interval for {report['interval_of']}: {ref('interval', 0)} to {ref('interval', 1)}"
    band = band if report["interval"] is not None else "its interval is undefined"
    yield (
        f"Made on some of the videos and scored on the others ({len(crossed['folds'])} folds), the same procedure "
        f"reaches {ref('expected')}: expect that on new videos, not the first number ({band})."
    )
    yield from describe_drop(report)
    if (best := best_head(report)) is not None:
        equal = ref("baselines", "equal", "cross_fitted") if "equal" in report["baselines"] else UNDEFINED_TEXT
        yield (
            f"On held-out videos likewise, the best head alone, {best}, reaches "
            f"{ref('baselines', best, 'cross_fitted')}, and equal weights reach {equal}."
        )
    for name in report["ways"]:
        if name != report["select"]:
            yield (
                f"The other way, {WAYS[name]}, reaches {ref('ways', name, 'tuned')} on the videos it was made from and "
                f"{ref('ways', name, 'cross_fitted')} on held-out ones."
            )
    if (first := leader(report)) is not None:
        yield f"The leader on held-out videos is {first.name}, with {ref(*first.place)}."


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


def summarise_briefly(report: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The scores of a report, a task's or the whole challenge's (None: undefined), and files of its folder, by name.

    `expected` is the cross-fitted score, which is what to expect on test, with its 95 % interval; `submitted` is the
    score of the same blend on the videos that it was made from, `searched` that of the search, and `leader` is whatever
    is best on held-out videos.
    """
    test, submissions = report["test"], report.get("submissions") or []
    results = {key: report[key] for key in ("task", "metric", "expected", "interval", "submitted", "searched", "equal")}
    results |= {
        "best_head": _best(report), "leader": _leader(report),
        "test": test["score"] if isinstance(test, dict) else test,
        "seed": report["seed"], "seconds": report["seconds"], "seconds_of": report.get("seconds_of"),
    }  # fmt: skip
    if "parts" in report:
        keys = ("expected", "interval", "submitted", "searched")
        results["parts"] = {name: {key: part[key] for key in keys} for name, part in report["parts"].items()}
    others = submissions["files"] if isinstance(submissions, dict) else submissions
    names = (*FILES, *(item["file"] for item in others))
    files = {name: str(folder / name) for name in names if (folder / name).is_file()}
    return results | {"folder": str(folder), "files": files}


def _leader(report: Any) -> dict[str, Any] | None:
    """Of the multi-task challenge every part has its own."""
    first = leader(report) if "baselines" in report else None
    return None if first is None else {"name": first.name, "score": first.score, "submitted": first.is_submission}


def _best(report: Mapping[str, Any]) -> dict[str, Any] | None:
    """The best head alone; of the multi-task challenge the sum of the parts' best."""
    if "best_heads" in report:
        return {"name": None, "score": report["best_heads"]}
    known = {head: score for head, score in report["heads"].items() if score is not None}
    if not known:
        return None
    name = max(sorted(known), key=lambda head: known[head])
    return {"name": name, "score": known[name]}
