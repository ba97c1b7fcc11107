"""What to worry about before a blend is handed in, read off its report; most serious first.

Each line is a text with places in the report (`blend.report.pointers.ref`).
"""

from __future__ import annotations

from blend.report import facts as report_facts
from blend.report import unlabelled as unlabelled_sentences
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
FILLED = 0.05
"""Part of the frames."""
RATIO, DIFFERENCE = 2.0, 0.03
"""Rates in train and validation that differ by so much, both ways, are named."""
FEW_VIDEOS = 3
MOST = 4
"""Names in one sentence."""


def list_caveats(report: Report) -> list[str]:
    """Sentences; empty where nothing stands out."""
    return [
        *unlabelled_sentences.sentences(report),
        *_interval(report),
        *_sets(report),
        *_optimism(report),
        *_not_better(report),
        *_widest(report),
        *report_facts.warn_of_resemblance(report),
        *_videos(report),
        *_people(report),
        *_outputs(report),
        *_rare(report),
        *_filled(report),
        *_balance(report),
    ]


def _interval(report: Report) -> list[str]:
    if report["interval"] is None:
        return ["What to expect on other videos could not be estimated: validation shows too few people or recordings."]
    low, high = report["interval"]
    if high - low <= WIDE:
        return []
    who = f" of {ref('frames', 'people')} people" if report["frames"]["people_known"] else ""
    return [
        f"The interval is wide, {ref('interval', 0)} to {ref('interval', 1)}: {ref('frames', 'videos')} validation "
        f"videos{who} say little about others. Smaller differences between blends mean nothing here."
    ]


def _sets(report: Report) -> list[str]:
    if not SINGLE_TASKS[report["task"]].stills:
        return []
    return [
        f"Pictures of this task are of no video: what is called a video here is a set of neighbouring pictures of "
        f"every class, by their names ({ref('frames', 'videos')} sets in validation). Folds and the interval go by "
        f"set; whether a person is in several is not known."
    ]


def _optimism(report: Report) -> list[str]:
    if report["optimism"] is None or report["optimism"] <= OPTIMISM:
        return []
    return [
        f"On the videos it was made from the blend scores {ref('optimism')} more than on held-out ones. That part is "
        f"fitting, not skill: do not report {ref('submitted')}."
    ]


def _not_better(report: Report) -> list[str]:
    first = leader(report)
    if first is None or first.submitted or report["expected"] is None:
        return []
    paid = {"baselines": "blending has not paid so far", "ways": "the way that was chosen has not paid so far"}
    if first.place[1] == "equal":
        paid["baselines"] = "choosing weights has not paid so far"
    return [
        f"On held-out videos the leader is {first.name}, not the submitted blend ({ref(*first.place)} against "
        f"{ref('expected')}): {paid[first.place[0]]}."
    ]


def _widest(report: Report) -> list[str]:
    curve = report["score_against_k"]["k"]
    if not isinstance(report["k"], int) or report["k"] == 0 or not curve or report["k"] < max(curve):
        return []
    return [f"k = {ref('k')} is the widest that was tried; the best may lie beyond (blend.{report['task']}.k_max)."]


def _videos(report: Report) -> list[str]:
    rows = list(enumerate(report["videos"]))
    pulling = [(i, row) for i, row in rows if row["influence"] is not None and row["influence"] < -PULL]
    pulling.sort(key=lambda pair: pair[1]["influence"] or 0.0)
    if not pulling:
        return []
    named = ", ".join(f"{row['video']} ({ref('videos', i, 'influence')})" for i, row in pulling[:MOST])
    return [f"Single videos pull the score down: {named}. Look at them in the timeline: are labels and faces right?"]


def _people(report: Report) -> list[str]:
    """As `_videos`, of people with several videos."""
    rows = [(i, row) for i, row in enumerate(report["people"] or []) if len(row["videos"]) > 1]
    pulling = [(i, row) for i, row in rows if row["influence"] is not None and row["influence"] < -PULL]
    if not pulling:
        return []
    pulling.sort(key=lambda pair: pair[1]["influence"] or 0.0)
    named = ", ".join(f"{row['person']} ({ref('people', i, 'influence')})" for i, row in pulling[:MOST])
    return [f"Single people, with all their videos, pull the score down: {named}."]


def _outputs(report: Report) -> list[str]:
    held = report["per_output_held_out"]
    key = "per_output_held_out" if held else "per_output"
    parts = {name: score for name, score in (held or report["per_output"]).items() if score is not None}
    if not parts:
        return []
    mean = sum(parts.values()) / len(parts)
    weak = sorted((name for name in parts if parts[name] < WEAK * mean), key=lambda name: parts[name])
    if not weak:
        return []
    named = ", ".join(f"{name} ({ref(key, name)})" for name in weak[:MOST])
    return [f"Far below the others: {named}."]


def _rare(report: Report) -> list[str]:
    parts = report["data"]["validation"]["outputs"]
    rare = [name for name, part in parts.items() if part.get("videos", FEW_VIDEOS) < FEW_VIDEOS]
    if not rare or len(parts) < FEW_VIDEOS:
        return []
    named = ", ".join(f"{name} ({ref('data', 'validation', 'outputs', name, 'videos')})" for name in rare[:MOST])
    more = f" and {len(rare) - MOST} more" if len(rare) > MOST else ""
    return [f"Shown by fewer than {FEW_VIDEOS} validation videos, so hardly tested: {named}{more}."]


def _filled(report: Report) -> list[str]:
    results = []
    frames, sent = report["frames"], report["submission"]
    if frames["filled"] > FILLED * frames["labelled"]:
        results.append(
            f"{ref('frames', 'filled')} of {ref('frames', 'labelled')} annotated validation frames have no face of "
            f"their own and are guessed from their neighbours."
        )
    if sent["filled"] > FILLED * sent["frames"]:
        results.append(
            f"{ref('submission', 'filled')} of {ref('submission', 'frames')} submitted frames have no face of their "
            "own and are guessed from their neighbours."
        )
    return results


def _balance(report: Report) -> list[str]:
    data = report["data"]
    if not data["train"]:
        return []
    odd = []
    for name, here in data["validation"]["outputs"].items():
        a, b = data["train"]["outputs"][name].get("rate"), here.get("rate")
        if a is None or b is None or abs(a - b) < DIFFERENCE:
            continue
        if max(a, b) >= RATIO * min(a, b):
            odd.append((abs(a - b), name))
    if not odd:
        return []
    odd.sort(reverse=True)
    named = ", ".join(
        f"{name} ({ref('data', 'train', 'outputs', name, 'rate')} of the frames in train, "
        f"{ref('data', 'validation', 'outputs', name, 'rate')} in validation)"
        for _, name in odd[:MOST]
    )
    return [f"Train and validation differ: {named}. Test may differ from both."]
