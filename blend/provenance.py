"""Everything that decides a blend, for provenance.json: what was finished from other facts is made anew."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from blend import ingredients
from blend.ingredients import Ingredients
from extract import rundir
from heads.code_mark import code_mark


def search_facts(made_of: Ingredients) -> dict[str, Any]:
    """Everything that decides the search's trials: a study of other facts is of another search."""
    known = made_of.hashes or ingredients.hashes(made_of)
    of_selection = {"select", "folds", "select_folds", "fold_trials", "draws", "out_of_fold"}
    drop = of_selection | {"test_from", "missing_frames", "thumbnails"}
    return {
        "task": made_of.task.name,
        "seed": made_of.seed,
        "settings": made_of.settings.model_dump(mode="json", exclude=drop),
        "heads": known["heads"],
        "prior": made_of.prior,
        "annotations": known["annotations"],
        **({} if made_of.people is None else {"people": rundir.fingerprint([made_of.people, made_of.others])}),
        "code": [rundir.code_hash(Path(__file__).parent), code_mark()],
        "versions": {name: version(name) for name in ("numpy", "numba", "optuna")},
    }


def shared_facts(made_of: Ingredients) -> dict[str, Any]:
    """The same for a search that several processes share: it does not hang on how many trials are asked for."""
    facts = search_facts(made_of)
    settings = {key: value for key, value in facts["settings"].items() if key != "trials"}
    return facts | {"settings": settings, "made_by": "several processes"}


def all_facts(made_of: Ingredients) -> dict[str, Any]:
    """Everything that decides the results: a finished folder of other facts is made anew. Also for provenance.json."""
    known = made_of.hashes or ingredients.hashes(made_of)
    return search_facts(made_of) | {
        "settings": made_of.settings.model_dump(mode="json"),
        **{key: known[key] for key in ("test_list", "test", "out_of_fold", "train")},
    }
