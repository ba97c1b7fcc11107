"""What decides a blend, for provenance.json, hashed from just what is read of it: other facts, other results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from blend.pool import inputs as blend_inputs
from blend.pool.inputs import BlendInputs, LoadedPools
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.train.provenance import code_mark

MEASURES = ("studies", "bench", "predict", "dry_run.py")
"""What is in blend, and no blend is made with."""
AFTER_THE_SEARCH = ("crossfit", "submission", "unlabelled_test", "report", "html", "run.py", "single_task.py")
AFTER_THE_SEARCH += ("multitask.py", "pipeline.py", "apply.py", "check.py", "check_predictions.py", "compare.py")
"""What changes no trial of a search: an edit of a page or of the selection goes on with the trials that are there."""


def search_facts(sources: BlendInputs) -> dict[str, Any]:
    """Everything that decides the search's trials: a study of other facts is of another search."""
    known = sources.hashes or blend_inputs.hash_inputs(sources)
    of_selection = {"select", "folds", "select_folds", "fold_trials", "draws", "out_of_fold"}
    drop = of_selection | {"test_from", "missing_frames", "thumbnails"}
    people = [sources.people, sources.people_elsewhere]
    return {
        "task": sources.task.name,
        "seed": sources.seed,
        "settings": sources.settings.model_dump(mode="json", exclude=drop),
        "heads": known["heads"],
        "prior": sources.prior,
        "annotations": known["annotations"],
        **({} if sources.people is None else {"people": run_folder.fingerprint(people)}),
        "code": [run_folder.code_hash("blend", (*MEASURES, *AFTER_THE_SEARCH)), code_mark()],
        "versions": {name: version(name) for name in ("numpy", "numba", "optuna")},
    }


def shared_facts(sources: BlendInputs) -> dict[str, Any]:
    """The same for a search that several processes share: it does not hang on how many trials are asked for."""
    facts = search_facts(sources)
    settings = {key: value for key, value in facts["settings"].items() if key != "trials"}
    return facts | {"settings": settings, "made_by": "several processes"}


def all_facts(sources: BlendInputs) -> dict[str, Any]:
    """Everything that decides the results: a finished folder of other facts is made anew. Also for provenance.json."""
    known = sources.hashes or blend_inputs.hash_inputs(sources)
    return search_facts(sources) | {
        "settings": sources.settings.model_dump(mode="json"),
        "code": [run_folder.code_hash("blend", MEASURES), code_mark()],
        **{key: known[key] for key in ("test_list", "test", "out_of_fold", "train")},
    }


STEADY = 5
"""So often are files read again that changed while they were read."""


def read_steady(sources: BlendInputs, is_done: Callable[[BlendInputs], bool]) -> tuple[BlendInputs, LoadedPools | None]:
    """The inputs with the hashes of just what was read, and that, or nothing where `is_done` finds it made.

    Raises InputError as `blend.pool.inputs.load_pools`, and where files do not stop changing.
    """
    for _ in range(STEADY):
        known = replace(sources, hashes=blend_inputs.hash_inputs(sources))
        if is_done(known):
            return known, None
        result = blend_inputs.load_pools(sources)
        if blend_inputs.hash_inputs(sources) == known.hashes:
            return known, result
    raise InputError(
        f"annotations, test list or predictions of task {sources.task.place!r} change while they are read; start again "
        f"when nobody writes them"
    )
