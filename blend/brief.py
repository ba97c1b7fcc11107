"""A report's main numbers and the paths of its files, for programs: what `blend.run --json` prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blend.leaderboard import leader

FILES = ("submission.txt", "params.json", "report.json", "report.html", "study.db", "networks.json")


def brief(report: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The scores of a report (None: undefined) and the files that are in its folder, by name.

    `expected` is the cross-fitted score, which is what to expect on test, with its 95 % interval; `submitted` is the
    score of the same blend on the videos that it was made from, `searched` that of the search, and `leader` is whatever
    is best on held-out videos.
    """
    parts = report.get("parts")
    found = {
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
    }
    if parts is not None:
        found["parts"] = {
            name: {key: part[key] for key in ("expected", "interval", "submitted", "searched")}
            for name, part in parts.items()
        }
    names = [*FILES, *(one["file"] for one in _submissions(report))]
    return found | {
        "folder": str(folder),
        "files": {name: str(folder / name) for name in names if _there(folder, name)},
    }


def _leader(report: dict[str, Any]) -> dict[str, Any] | None:
    """Of the multi-task challenge every part has its own."""
    first = leader(report) if "baselines" in report else None
    return None if first is None else {"name": first.name, "score": first.score, "submitted": first.submitted}


def _best(report: dict[str, Any]) -> dict[str, Any] | None:
    """The best head alone; of the multi-task challenge the sum of the parts' best."""
    if "best_heads" in report:
        return {"name": None, "score": report["best_heads"]}
    known = {head: score for head, score in report["heads"].items() if score is not None}
    if not known:
        return None
    name = max(sorted(known), key=lambda head: known[head])
    return {"name": name, "score": known[name]}


def _submissions(report: dict[str, Any]) -> list[dict[str, Any]]:
    some = report.get("submissions") or []
    return list(some["files"] if isinstance(some, dict) else some)


def _there(folder: Path, name: str) -> bool:
    return (folder / name).is_file()
