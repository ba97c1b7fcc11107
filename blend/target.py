"""What the unlabelled test says of a blend before it is handed in: is it like validation, and do its parts agree?

Two questions of the predictions of test. Are the decisions spread over the outputs as on validation (`target_shares`)?
And does each head, and what is submitted, still agree with the others as it does on validation (`target_faults`)? Test
truth is not asked: there is none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend import combine, target_faults, target_shares
from blend.params import Params
from blend.pool import Pool
from blend.target_agreement import agreement, standardised
from blend.target_shares import as_columns


def facts(validation: Pool, test: Pool, params: Params, seed: int) -> dict[str, Any]:
    """For report.json: `shares` compared between validation and test, and the `faults` found, each `of` a head ("head
    NAME") or of "the submission".
    """
    decided = [combine.combine(pool, params) for pool in (validation, test)]
    faults, kept = heads(validation, test, seed)
    return {
        "shares": shares(validation, test, params, decided[0], decided[1], seed),
        "faults": faults + submission(validation, test, decided[0], decided[1], kept, seed),
    }


def shares(
    validation: Pool,
    test: Pool,
    params: Params,
    usual: NDArray[np.generic],
    decided: NDArray[np.generic],
    seed: int,
) -> dict[str, Any]:
    """How decisions are spread on test, `decided` [T, ...], and on validation, `usual` (see `target_shares.compare`)."""
    middle = np.concatenate([usual, decided]).astype(np.float64).mean(0)
    weight = dict(zip(params.heads, params.weights, strict=True))
    made = []
    for pool, own in ((validation, usual), (test, decided)):
        blended = combine.scores(pool, [weight.get(head, 0.0) for head in pool.heads], params.kernel, params.k)
        made.append(target_shares.shares(pool, own, blended, middle))
    return target_shares.compare(made[0], made[1], seed)


def heads(validation: Pool, test: Pool, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Faults of each head against the mean of the others, and the heads that have none.

    The head whose faults are the worst is told of and left out, then the others are compared without it, so that it
    does not make them look wrong. Of two heads that disagree nobody can tell which is wrong; one is named.
    """
    left, faults = list(test.heads), []
    while len(left) > 1:
        found = {head: _against_others(validation, test, left, head, seed) for head in left}
        wrong = {head: own for head, own in found.items() if own}
        if not wrong:
            break
        worst = min(wrong, key=lambda head: (-len(wrong[head]) if _only_videos(wrong[head]) else -99, _agrees(wrong[head]), head))
        others = [head for head in left if head != worst]
        faults += [{"of": f"head {worst}", "others_are": others} | fault for fault in wrong[worst]]
        left = others
    return faults, left


def _only_videos(found: list[dict[str, Any]]) -> bool:
    return all(fault["kind"] == "video" for fault in found)


def _agrees(found: list[dict[str, Any]]) -> float:
    return min(fault["own"] - (fault.get("other") or 0.0) for fault in found)


def _against_others(validation: Pool, test: Pool, left: list[str], head: str, seed: int) -> list[dict[str, Any]]:
    others = [name for name in left if name != head]
    x, y = _scores(test, head), reference(test, others)
    return target_faults.find(x, y, test, agreement(_scores(validation, head), reference(validation, others), validation), seed)


def submission(
    validation: Pool,
    test: Pool,
    usual: NDArray[np.generic],
    decided: NDArray[np.generic],
    kept: list[str],
    seed: int,
) -> list[dict[str, Any]]:
    """Faults of the decisions against the mean of the heads `kept`."""
    name, outputs = test.task.name, len(test.task.outputs)
    known = agreement(as_columns(name, usual, outputs), reference(validation, kept), validation)
    found = target_faults.find(as_columns(name, decided, outputs), reference(test, kept), test, known, seed)
    return [{"of": "the submission"} | fault for fault in found]


def reference(pool: Pool, heads: list[str]) -> NDArray[np.float32]:
    """The mean of some heads' scores, each output of each at mean 0 and variance 1, [T, C]."""
    total = np.zeros(pool.scores.shape[1:], np.float32)
    for head in heads:
        total += standardised(_scores(pool, head), pool.present)
    return total / np.float32(len(heads))


def _scores(pool: Pool, head: str) -> NDArray[np.float32]:
    return pool.scores[pool.heads.index(head)]
