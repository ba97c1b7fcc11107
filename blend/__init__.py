"""Predictions -> submission: the search for weights, smoothing and thresholds, and its honest report.

bench/: What the blend costs at the size of Aff-Wild2.
calibrate/: Thresholds, class biases, scale and shift, from counts of each video.
crossfit/: What the blend is worth on videos it has not seen, and which parts are kept for that.
decision/: How scores become decisions: the same for validation, test and anybody's video.
film/: What the frames of a predicted film show.
html/: What pages are made with: HTML templates that escape whatever they are given.
pool/: Predictions of all heads, on one timeline, with the truth where it is known.
predict/: Trained blends on anybody's video.
report/: report.json and its words: every number and every sentence that people read.
search/: The search for the blend, in one process or many.
studies/: What estimates and ways of selecting are worth. They measure the method, not the user's data.
submission/: The organisers' formats: written, checked, scored.
tasks/: What a task is to a blend, by the kind of its labels: arrays alone, no pool and no search.
unlabelled_test/: What predictions of test say without labels.
apply.py: A blend elsewhere: params.json and prediction files -> the same submission.
check.py: Would the organisers take this file? `python -m blend.check FILE TEMPLATE`, for any team's file of any task.
check_predictions.py: `blend.check --compare`: do a submission's decisions go with predictions of the same frames?
compare.py: Blends side by side, and by how much one is better than another on other videos.
compile_kernels.py: What a blend needs, made ready while heads learn: kernels by a process that blends a made-up pool;
config.py: [blend.<task>] and how a search is run.
dashboard.py: Open a search in optuna-dashboard: the study.db of a blend or of heads.tune, or a shared storage.
dry_run.py: What a run would do, before it does it: what is missing, how long that takes here, how much disk and memory.
init.py: A config for one's own data: what lies below a folder is found by its content and written as TOML.
multitask.py: The multi-task challenge: a blend of its own for each of the three tasks, and one submission of all.
pipeline.py: The blend's work itself: pools, search, cross-fit, submissions, report. All of it is left in one folder.
program.py: The command `affect-heads`: every other command under one name, loaded when it is asked for.
run.py: The main job: frames and annotations -> a checked submission and a report. Runs extract and heads
single_task.py: One task's blend: its heads brought up to date, then the blend, unless a finished one is there.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.argv[0] == "-m" or Path(sys.argv[0]).stem == "affect-heads":  # a command of ours, which comes to numpy later
    # Between two products numpy's threads sleep; of their own accord each keeps a core busy for 2^26 cycles more
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
_ROOT = Path(__file__).resolve().parents[1]
for _name in ("extract", "heads"):
    _spec = find_spec(_name)
    if _spec is not None and _spec.origin is None:  # a folder without __init__.py, from which Python would take modules
        sys.path.insert(0, str(_ROOT))
    elif _spec is not None and _spec.origin and Path(_spec.origin).resolve() != _ROOT / _name / "__init__.py":
        print(
            f"error: {_spec.origin}: hides the package {_name!r} of the same name; rename it, or start the command in "
            f"another folder or as `python -P -m`",
            file=sys.stderr,
        )
        raise SystemExit(2)

if TYPE_CHECKING:
    from blend.predict.predictor import Predictor
    from blend.report.run_report import RunReport, load_report
    from blend.run import RunModule
    from extract.runtime.errors import InputError

    run: RunModule

_PLACES = {
    "InputError": "extract.runtime.errors",
    "Predictor": "blend.predict.predictor",
    "RunReport": "blend.report.run_report",
    "load_report": "blend.report.run_report",
}
"""The Python interface, `run` and these: imported when it is asked for, so that `import blend` is quick."""
__all__ = ["InputError", "Predictor", "RunReport", "load_report", "run"]


def __getattr__(name: str) -> Any:
    if name == "run":  # the module itself: it can be called
        return import_module("blend.run")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
