"""Everything that decides a blend, for provenance.json: what was finished from other facts is made anew."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

from blend.ingredients import BOTH, OOF, Ingredients
from extract import rundir
from extract.errors import InputError
from heads import labels
from heads.code_mark import code_mark


def search_facts(made_of: Ingredients) -> dict[str, Any]:
    """Everything that decides the search's trials: a study of other facts is of another search."""
    drop = {"test_from", "missing_frames", "select", "folds", "select_folds", "fold_trials", "draws", "thumbnails"}
    drop.add("out_of_fold")
    return {
        "task": made_of.task.name,
        "seed": made_of.seed,
        "settings": made_of.settings.model_dump(mode="json", exclude=drop),
        "heads": {head: _hash(made_of.file(head, "val")) for head in made_of.heads},
        "prior": made_of.prior,
        "annotations": rundir.fingerprint({p.name: rundir.file_hash(p) for p in labels.files(made_of.paths.val)}),
        "code": [rundir.code_hash(Path(__file__).parent), code_mark()],
        "versions": {name: version(name) for name in ("numpy", "numba", "optuna")},
        **({} if made_of.people is None else {"people": rundir.fingerprint([made_of.people, made_of.others])}),
    }


def shared_facts(made_of: Ingredients) -> dict[str, Any]:
    """The same for a search that several processes share: it does not hang on how many trials are asked for."""
    facts = search_facts(made_of)
    settings = {key: value for key, value in facts["settings"].items() if key != "trials"}
    return facts | {"settings": settings, "made_by": "several processes"}


def all_facts(made_of: Ingredients) -> dict[str, Any]:
    """Everything that decides the results: a finished folder of other facts is made anew. Also for provenance.json."""
    test = made_of.paths.test
    return search_facts(made_of) | {
        "settings": made_of.settings.model_dump(mode="json"),
        "out_of_fold": {head: _hash(made_of.file(head, OOF)) for head in made_of.heads},
        "train": _train_facts(made_of),
        "test_list": rundir.file_hash(test) if test else None,
        "test": {head: {part: _hash(made_of.file(head, part)) for part in ("test", BOTH)} for head in made_of.heads}
        if test
        else None,
    }


def _train_facts(made_of: Ingredients) -> str | None:
    """Train's annotations, where a blend may look at them."""
    train = made_of.paths.train
    if train is None or any(made_of.file(head, OOF) is None for head in made_of.heads):
        return None
    return rundir.fingerprint({path.name: rundir.file_hash(path) for path in labels.files(train)})


def _hash(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return rundir.file_hash(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such prediction file") from None
