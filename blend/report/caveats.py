"""What to worry about before a blend is handed in, read off its report; most serious first.

Each line is a text with places in the report (`blend.report.pointers.ref`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from blend.report import facts as report_facts
from blend.report import unlabelled_test as unlabelled_sentences
from blend.report.leaderboard import leader
from blend.report.pointers import ref
from blend.report.schema import Report
from heads.abaw.tasks import SINGLE_TASKS

WIDE = 0.1
"""Of an interval; published differences between systems are smaller."""
OPTIMISM = 0.02
"""Smaller differences on validation did not predict the order on test in the challenges."""
WEAK = 0.5
"""Part of the mean below which an output is said to be weak."""
PULL = 0.01
"""What a single video may take off the score unnoticed."""
FILLED_SHARE = 0.05
"""Part of the frames."""
RATIO, DIFFERENCE = 2.0, 0.03
"""Rates in train and validation that differ by so much, both ways, are named."""
FEW_VIDEOS = 3
MAX_NAMES = 4
"""Names in one sentence."""


def list_caveats(report: Report) -> list[str]:
    """Sentences; empty where nothing stands out."""
    kinds = (
        unlabelled_sentences.sentences, _interval, _sets, _optimism, _not_better, _widest,
        report_facts.warn_of_resemblance, _videos, _people, _outputs, _rare, _filled, _balance,
    )  # fmt: skip
    return [line for kind in kinds for line in kind(report)]


def _interval(report: Report) -> Iterator[str]:
    if report["interval"] is None:
        yield "What to expect on other videos could not be estimated: validation shows too few people or recordings."
    elif report["interval"][1] - report["interval"][0] > WIDE:
        who = f" of {ref('frames', 'people')} people" if report["frames"]["people_known"] else ""
        yield (
            f"The interval is wide, {ref('interval', 0)} to {ref('interval', 1)}: {ref('frames', 'videos')} validation "
            f"videos{who} say little about others. Smaller differences between blends mean nothing here."
        )


def _sets(report: Report) -> Iterator[str]:
    if SINGLE_TASKS[report["task"]].stills:
        yield (
            f"Pictures of this task are of no video: what is called a video here is a set of neighbouring pictures of "
            f"every class, by their names ({ref('frames', 'videos')} sets in validation). Folds and the interval go by "
            f"set; whether a person is in several is not known."
        )


def _optimism(report: Report) -> Iterator[str]:
    if report["optimism"] is not None and report["optimism"] > OPTIMISM:
        yield (
            f"On the videos it was made from the blend scores {ref('optimism')} more than on held-out ones. That part "
            f"is fitting, not skill: do not report {ref('submitted')}."
        )


def _not_better(report: Report) -> Iterator[str]:
    first = leader(report)
    if first is None or first.is_submission or report["expected"] is None:
        return
    what = "choosing weights" if first.place[1] == "equal" else "blending"
    if first.place[0] == "ways":
        what = "the way that was chosen"
    yield (
        f"On held-out videos the leader is {first.name}, not the submitted blend ({ref(*first.place)} against "
        f"{ref('expected')}): {what} has not paid so far."
    )


def _widest(report: Report) -> Iterator[str]:
    curve = report["score_against_k"]["k"]
    if isinstance(report["k"], int) and report["k"] and curve and report["k"] >= max(curve):
        yield (f"k = {ref('k')} is the widest that was tried; the best may lie beyond (blend.{report['task']}.k_max).")


def _videos(report: Report) -> Iterator[str]:
    if named := _pulling("videos", "video", enumerate(report["videos"])):
        yield f"Single videos pull the score down: {named}. Look at them in the timeline: are labels and faces right?"


def _people(report: Report) -> Iterator[str]:
    """As `_videos`, of people with several videos."""
    several = ((i, row) for i, row in enumerate(report["people"] or ()) if len(row["videos"]) > 1)
    if named := _pulling("people", "person", several):
        yield f"Single people, with all their videos, pull the score down: {named}."


def _pulling(key: str, name: str, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> str:
    """Those of the rows, by their place, that pull the score down by more than PULL, the worst first; "" for none."""
    worst = sorted((row["influence"], i, row[name]) for i, row in rows if (row["influence"] or 0.0) < -PULL)
    return ", ".join(f"{who} ({ref(key, i, 'influence')})" for _, i, who in worst[:MAX_NAMES])


def _outputs(report: Report) -> Iterator[str]:
    key = "per_output_held_out" if report["per_output_held_out"] else "per_output"
    parts = {name: score for name, score in report[key].items() if score is not None}
    mean = sum(parts.values()) / max(len(parts), 1)
    if weak := sorted((name for name in parts if parts[name] < WEAK * mean), key=lambda name: parts[name]):
        yield f"Far below the others: {', '.join(f'{name} ({ref(key, name)})' for name in weak[:MAX_NAMES])}."


def _rare(report: Report) -> Iterator[str]:
    parts = report["data"]["validation"]["outputs"]
    rare = [name for name, part in parts.items() if part.get("videos", FEW_VIDEOS) < FEW_VIDEOS]
    if rare and len(parts) >= FEW_VIDEOS:
        named = ", ".join(
            f"{name} ({ref('data', 'validation', 'outputs', name, 'videos')})" for name in rare[:MAX_NAMES]
        )
        more = f" and {len(rare) - MAX_NAMES} more" if len(rare) > MAX_NAMES else ""
        yield f"Shown by fewer than {FEW_VIDEOS} validation videos, so hardly tested: {named}{more}."


def _filled(report: Report) -> Iterator[str]:
    for key, all_of, what in (("frames", "labelled", "annotated validation"), ("submission", "frames", "submitted")):
        if report[key]["filled"] > FILLED_SHARE * report[key][all_of]:
            yield (
                f"{ref(key, 'filled')} of {ref(key, all_of)} {what} frames have no face of their own and are guessed "
                f"from their neighbours."
            )


def _balance(report: Report) -> Iterator[str]:
    train, here = report["data"]["train"], report["data"]["validation"]["outputs"]
    if not train:
        return
    rates = ((name, train["outputs"][name].get("rate"), part.get("rate")) for name, part in here.items())
    odd = [
        (abs(a - b), name)
        for name, a, b in rates
        if None not in (a, b) and abs(a - b) >= DIFFERENCE and max(a, b) >= RATIO * min(a, b)
    ]
    if odd:
        named = ", ".join(
            f"{name} ({ref('data', 'train', 'outputs', name, 'rate')} of the frames in train, "
            f"{ref('data', 'validation', 'outputs', name, 'rate')} in validation)"
            for _, name in sorted(odd, reverse=True)[:MAX_NAMES]
        )
        yield f"Train and validation differ: {named}. Test may differ from both."
