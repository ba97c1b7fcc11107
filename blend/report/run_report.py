"""A finished run in Python: its scores, what to expect on other videos, and where its files are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from blend.report.schema import Interval, Score, Scores
from extract import config as configs
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.abaw.tasks import MTL, NAMES

FILE, SUBMISSION = "report.json", "submission.txt"
EXAMPLE = "give a folder that blend.run has finished, such as runs/demo/blend/au"


TaskNumbers = TypedDict("TaskNumbers", {
    "task": str, "metric": str, "submitted": Score, "equal": Score, "expected": Score, "interval": Interval,
    "heads": Scores,
})  # fmt: skip
JointNumbers = TypedDict("JointNumbers", {
    "task": str, "metric": str, "submitted": Score, "equal": Score, "expected": Score, "interval": Interval,
    "parts": dict[str, TypedDict("PartNumbers", {"submitted": Score})],
})  # fmt: skip
"""What `RunReport` reads of a task's report, and of that of the multi-task challenge."""


@dataclass(frozen=True)
class RunReport:
    """What a run of `blend.run` has found: report.json, and its main numbers by name.

    >>> report = load_report("runs/demo/blend/au")
    >>> report.expected, report.interval, report.submission

    Scores are of the task's `metric` (mean F1, macro F1, mean CCC; of "mtl" their sum), on the validation videos. None
    stands for one that the data do not define.
    """

    folder: Path
    """Where the run's files are, `<work>/blend/<task>`."""
    values: dict[str, Any] = field(repr=False)
    """All of report.json."""

    @property
    def task(self) -> str:
        """The task: "au", "expr", "va" or "mtl"."""
        return str(self.values["task"])

    @property
    def metric(self) -> str:
        """What the scores are."""
        return str(self.values["metric"])

    @property
    def scores(self) -> dict[str, float | None]:
        """By head (of "mtl" by part) its score alone, then "equal" weights, then the "submitted" blend.

        All of them are on the videos that the blend was made from: `expected` is what to expect on others.
        """
        parts = {name: part["submitted"] for name, part in self.values.get("parts", {}).items()}
        return {**(parts or self.values["heads"]), **{name: self.values[name] for name in ("equal", "submitted")}}

    @property
    def expected(self) -> float | None:
        """The score to expect on other videos: that of decisions on held-out ones. None where none can be held out."""
        score: float | None = self.values["expected"]
        return score

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of `expected`: low, high."""
        return tuple(self.values["interval"]) if self.values["interval"] is not None else None

    @property
    def submission(self) -> Path:
        """The file for the organisers, checked after it was written."""
        return self.folder / SUBMISSION

    def __str__(self) -> str:
        score = "undefined" if self.expected is None else f"{self.expected:.3f}"
        interval = f" (95 % interval {self.interval[0]:.3f} to {self.interval[1]:.3f})" if self.interval else ""
        return f"{self.task}: {self.metric} of {score} expected on other videos{interval}; {self.submission}"


def load_report(folder: str | Path) -> RunReport:
    """The report of a finished run, by the folder where it lies.

    >>> report = load_report("runs/demo/blend/au")
    >>> print(report)

    Raises InputError for a folder that holds no finished run, and for a report that is damaged or of an older version.
    """
    folder = Path(folder)
    file = folder / FILE
    report = run_folder.read_json(file, EXAMPLE)
    if not (folder / run_folder.DONE_FILE).is_file():
        raise InputError(
            f"{folder}: not finished (no {run_folder.DONE_FILE} in it); start the same run again, it goes on"
        )
    run_folder.check_result(file, "python -m blend.run makes it anew")
    if report.get("task") not in NAMES:
        raise InputError(f"{file}: no report of a blend; {EXAMPLE}")
    kind = JointNumbers if report["task"] == MTL else TaskNumbers
    if lacking := [name for name in kind.__annotations__ if name not in report]:
        raise InputError(f"{file}: lacks {lacking[0]!r}: of an older version; run python -m blend.run again")
    configs.check(kind, report, file, strict=True)
    return RunReport(folder, report)
