"""The tasks of a blend by name, and what is known of each: another of a known kind is one line here."""

from __future__ import annotations

from blend.tasks.multiclass import Multiclass
from blend.tasks.multilabel import Multilabel
from blend.tasks.protocol import BlendTask
from blend.tasks.regression import Regression
from heads.abaw.tasks import SINGLE_TASKS

BLEND_TASKS: dict[str, BlendTask] = {
    "au": Multilabel(SINGLE_TASKS["au"], 50, (0, 2, 5, 15)),
    "expr": Multiclass(SINGLE_TASKS["expr"], 100, (0, 5, 15, 50)),
    "va": Regression(SINGLE_TASKS["va"], 100, (0, 5, 15, 50)),
    "lsd": Multiclass(SINGLE_TASKS["lsd"], 0, (0,)),
}
"""Published optima of k are 5 (au) and 50 (expr, va); twice to ten times that is searched. Single pictures have no
neighbours to smooth over.
"""


def key_owners() -> dict[str, tuple[str, ...]]:
    """Keys of settings and of params.json that only some tasks have -> these tasks."""
    keys = (key for blend_task in BLEND_TASKS.values() for key in blend_task.keys)
    return {key: tuple(name for name, item in BLEND_TASKS.items() if key in item.keys) for key in keys}
