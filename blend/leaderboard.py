"""The leaderboard: heads, equal weights, greedy selection and blends, the same on the terminal and on the page."""

from __future__ import annotations

from typing import Any

Report = dict[str, Any]
HEADER = ("", "plain", "tuned", "held out", "k")
NAMES = {"tuned": "blend, tuned", "cross_fitted": "blend, cross-fitted"}


def board(report: Report) -> list[dict[str, Any]]:
    """Rows: name, values, and where in the report each stands (`from`: paths, None for a value that a row lacks).

    Heads come first, the best on held-out videos at the top, the submitted blend last but for its score on test.
    """
    alone, plain = report["baselines"], report["heads"]
    heads = sorted(plain, key=lambda head: (*(-(s or 0.0) for s in (alone[head]["cross_fitted"], plain[head])), head))
    rows = [_row(head, plain[head], ("heads", head), alone[head], ("baselines", head)) for head in heads]
    rows.append(_row("equal weights", report["equal"], ("equal",), alone["equal"], ("baselines", "equal")))
    if greedy := report["tuned"].get("greedy"):  # not where weights are given
        one = {"tuned": greedy["score"], "k": greedy["k"]}
        rows.append(_row("greedy selection", None, None, one, ("tuned", "greedy"), "score"))
    for name in sorted(report["ways"], key=lambda name: name == report["select"]):
        submitted = name == report["select"]
        title = NAMES[name] + (" (submitted)" if submitted else "")
        rows.append(_row(title, None, None, report["ways"][name], ("ways", name)) | {"submitted": submitted})
    if report["test"] is not None:
        test = {"cross_fitted": report["test"]["score"]}
        rows.append(_row("the submission, on test", None, None, test, ("test",), held="score"))
    return rows


def _row(
    name: str, plain: float | None, plain_at: tuple[str, ...] | None, one: dict[str, Any], place: tuple[str, ...],
    tuned: str = "tuned", held: str = "cross_fitted",
) -> dict[str, Any]:  # fmt: skip
    return {
        "name": name,
        "plain": plain,
        "tuned": one.get("tuned"),
        "held_out": one.get("cross_fitted"),
        "interval": one.get("interval"),
        "submitted": False,
        "from": {
            "plain": plain_at,
            "tuned": (*place, tuned) if "tuned" in one else None,
            "held_out": (*place, held) if one.get("cross_fitted") is not None else None,
            "k": (*place, "k") if "k" in one else None,
            "interval": (*place, "interval") if one.get("interval") is not None else None,
        },
    }
