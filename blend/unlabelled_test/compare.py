"""What the unlabelled test says of a blend before it is handed in: is it like validation, and do its parts agree?

Two questions of the predictions of test. Are the decisions spread over the outputs as on validation
(`unlabelled_shares`)? Do each head, and what is submitted, agree with the other heads as they do on validation
(`unlabelled_faults`)? Test truth is not asked: there is none.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blend.decision import combine
from blend.decision.params import Params
from blend.pool.pool import Pool
from blend.unlabelled_test import faults as unlabelled_faults
from blend.unlabelled_test import shares as unlabelled_shares
from blend.unlabelled_test.agreement import agreement, standardise
from blend.unlabelled_test.faults import Fault

SUBMISSION = "the submission"


def facts(validation: Pool, test: Pool, params: Params, seed: int) -> dict[str, Any]:
    """For report.json: `shares` of validation and test compared, and the `faults` found on test, first of all those of
    single heads. Neither pool's truth is looked at. Equal arguments give equal numbers.
    """
    if (validation.people is None) != (test.people is None):  # people and recordings cannot be counted together
        validation, test = replace(validation, people=None), replace(test, people=None)
    usual, decided = (combine.combine(pool, params) for pool in (validation, test))
    faults, kept = of_heads(validation, test, seed)
    return {
        "shares": shares(validation, test, params, usual, decided, seed),
        "faults": faults + of_decisions(validation, test, usual, decided, kept, seed),
    }


def shares(
    validation: Pool, test: Pool, params: Params, usual: NDArray[np.generic], decided: NDArray[np.generic], seed: int
) -> dict[str, Any]:
    """How decisions are spread on test, `decided` [T, ...], and on validation, `usual` (see `unlabelled_shares`)."""
    middle = np.concatenate([usual, decided]).astype(np.float64).mean(0)
    here, there = (
        unlabelled_shares.shares(pool, own, combine.blend(pool, params), middle)
        for pool, own in ((validation, usual), (test, decided))
    )
    return unlabelled_shares.compare(here, there, seed)


def of_heads(validation: Pool, test: Pool, seed: int) -> tuple[list[Fault], list[str]]:
    """Faults of each head against the mean of the others, and the heads that have none. A head that gives every frame
    of test the same is at fault by itself.

    The head with the worst fault is told of and left out, and the others are compared anew without it, so that it does
    not make them look wrong. Of two heads that disagree nobody can tell which is wrong: the first is named.
    """
    dead = [head for head in test.heads if _is_constant(test, head) and not _is_constant(validation, head)]
    left = [head for head in test.heads if head not in dead]
    nothing = {"against": "itself on validation", "kind": "constant", "own": 0.0, "other": 0.0, "usual": None}
    faults: list[Fault] = [{"of": f"the head {head}"} | nothing for head in dead]
    while len(left) > 1:
        sums = _sum(validation, left), _sum(test, left)
        results = {head: _against_others(validation, test, sums, head, seed) for head in left}
        wrong = [head for head in left if results[head]]
        if not wrong:
            break
        worst = min(wrong, key=lambda head: _rank(results[head]))
        left.remove(worst)
        against = f"the head {left[0]}" if len(left) == 1 else "the other heads"
        faults += [{"of": f"the head {worst}", "against": against} | fault for fault in results[worst]]
    return faults, left


def of_decisions(
    validation: Pool | None, test: Pool, usual: NDArray[np.generic] | None, decided: NDArray[np.generic],
    heads: list[str], seed: int, rows: NDArray[np.bool_] | None = None,
) -> list[Fault]:  # fmt: skip
    """Faults of decisions on test, `decided` [T, ...], against the mean of some heads, at the frames `rows` [T] (None:
    all). `usual` are decisions of the same kind on validation, where there are any.
    """
    known = None
    if validation is not None and usual is not None:
        known = agreement(test.task.as_columns(usual, np.float32), _sum(validation, heads), validation)
    columns = test.task.as_columns(decided, np.float32)
    result = unlabelled_faults.find(columns, _sum(test, heads), test, known, seed, rows)
    against = f"the head {heads[0]}" if len(heads) == 1 else "the heads"
    return [{"of": SUBMISSION, "against": against} | fault for fault in result]


def _is_constant(pool: Pool, head: str) -> bool:
    """Whether a head gives every frame that it saw the same scores."""
    seen = _scores(pool, head)[pool.present]
    return len(seen) > 1 and bool(np.ptp(seen, axis=0).max() < unlabelled_faults.TINY)


def _against_others(
    validation: Pool, test: Pool, sums: tuple[NDArray[np.float32], NDArray[np.float32]], head: str, seed: int
) -> list[Fault]:
    """Faults of a head against the others; `sums` are those of all of them on both pools."""
    usual, own = _scores(validation, head), _scores(test, head)
    before, after = sums[0] - standardise(usual, validation.present), sums[1] - standardise(own, test.present)
    return unlabelled_faults.find(own, after, test, agreement(usual, before, validation), seed)


def _rank(result: list[Fault]) -> tuple[bool, float]:
    """What concerns whole files comes before single videos, and the largest loss first."""
    losses = [
        max(fault[key] for key in ("other", "usual") if fault[key] is not None) - fault["own"] for fault in result
    ]
    return result[0]["kind"] == "video", -max(losses)


def _sum(pool: Pool, heads: list[str]) -> NDArray[np.float32]:
    """The sum of some heads' scores, each output of each at mean 0 and variance 1, [T, C]."""
    total = np.zeros(pool.scores.shape[1:], np.float32)
    for head in heads:
        total += standardise(_scores(pool, head), pool.present)
    return total


def _scores(pool: Pool, head: str) -> NDArray[np.float32]:
    return pool.scores[pool.heads.index(head)]
