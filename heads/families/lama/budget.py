"""How many rows LightAutoML may learn each output from, so that learning and predicting keep within the time limit.

First every output is learnt from a few thousand rows: that takes little time, leaves a whole result whatever happens
afterwards, and tells how many trees an output needs. Then the rows are chosen such that, by the costs below and on one
thread, all outputs' learning and the prediction of validation stay within a part of the limit. Counts decide, not the
clock, so that the same seed gives the same bytes; the clock decides only for algorithms whose cost is not known here,
and in an emergency, where a second fit is ended and the first one stands.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

PART = 0.8
"""Of the limit that is planned with; a second thread, and luck, come on top."""
START, QUICK_START = 10.0, 4.0
"""Seconds until LightAutoML is there, at worst and on an idle machine."""
PREDICTED_SHARE = 1 / 3
"""Rows that are predicted within the limit, as a part of those annotated in train: Aff-Wild2's validation part."""
MOST_FOR_PREDICTING = 0.4
"""Of the limit: no more of it is kept free for predicting."""
FIRST_ROWS, FIRST_ROWS_PER_SECOND, FEWEST_ROWS = 10_000, 150, 2_000
"""Rows of the first fit: so many, or fewer for a limit of less than about a minute."""
SAFETY = 1.5
GROWTH = 0.3
"""Trees needed grow with this power of the rows (measured: 76, 109, 140 per fold for 10, 40, 120 thousand rows)."""
FEWEST_TREES = 50
"""So many trees per fold are planned for at least: of few rows, some outputs need hardly any."""
KNOWN_ALGORITHMS = frozenset({"linear_l2", "lgb"})
"""Algorithms whose cost is known."""


def first_rows(rows: int, seconds: float) -> int:
    """How many of `rows` the first fit gets, under a limit of so many seconds."""
    return min(rows, max(FEWEST_ROWS, min(FIRST_ROWS, int(FIRST_ROWS_PER_SECOND * seconds))))


@dataclass(frozen=True)
class CostModel:
    """What fits of one target cost."""

    columns: int
    folds: int
    algorithms: tuple[str, ...]
    outputs: int
    """Classes of a multiclass target, outputs of a multiple one, else 1: each takes a tree per round."""
    most_trees: int
    patience: int
    predicted_rows: int = 0
    """Rows that are predicted afterwards."""

    def seconds(self, rows: int, rounds: float) -> float:
        """Of one fit with so many boosting rounds per fold, on one thread of a 2.6 GHz server core.

        Measured with 10 and 70 columns, 10 to 120 thousand rows, 3 folds, 15 leaves.
        """
        learnt = rows * (self.folds - 1)
        cost = 0.3
        if "linear_l2" in self.algorithms:
            cost += learnt * self.outputs * (1e-6 + 0.09e-6 * self.columns)
        if "lgb" in self.algorithms:
            cost += self.folds * rounds * self.outputs * (0.2e-3 + 0.015e-3 * self.columns)
            cost += learnt * rounds * self.outputs * (100e-9 + 2.5e-9 * self.columns)
        return cost

    def predict_seconds(self, rounds: float) -> float:
        """Seconds that it takes on one thread to predict the rows, with so many rounds per fold (lama.scorer)."""
        cost = 0.5e-6 + 0.03e-6 * self.columns * self.outputs
        if "lgb" in self.algorithms:
            cost += self.folds * (0.02e-6 * self.columns + 5e-9 * rounds * self.outputs)
        return self.predicted_rows * cost

    def rounds(self, rows: int, first: int, trees: float) -> float:
        """Rounds per fold that a fit of so many rows will keep, where one of `first` rows kept `trees`."""
        return min(self.most_trees, max(trees, FEWEST_TREES) * (rows / first) ** GROWTH)

    def second_rows(self, rows: int, first: int, trees: float, budget: float) -> int:
        """The most rows, at most `rows`, of which a fit and its prediction cost no more than `budget` seconds; else
        `first`. `trees` is what the first fit, of `first` rows, needed per fold.
        """

        def cost(n: int) -> float:
            rounds = self.rounds(n, first, trees)
            return SAFETY * self.seconds(n, min(self.most_trees, rounds + self.patience)) + self.predict_seconds(rounds)

        return first + max(0, bisect_right(range(first, rows + 1), budget, key=cost) - 1)


@dataclass(frozen=True)
class Plan:
    """What to learn again, and by when."""

    rows: list[int]
    """Of each target; as many as in its first fit: not again."""
    predicting: float
    """Seconds on one thread that predicting takes."""
    first_seconds: float = 0.0
    """Seconds on one thread that the first fits should have taken; 0: not known."""

    def reserve_prediction(self, timeout: float, took: float, threads: int) -> float:
        """Seconds at the end of the limit in which nothing is learnt any more: for predicting.

        `took` are the seconds since the fit began: where the first fits took longer than they should have, other work
        keeps the machine busy, and predicting will take longer likewise.
        """
        slower = max(1.0, took / (QUICK_START + self.first_seconds / threads)) if self.first_seconds else 1.0
        return min(slower * self.predicting / threads, MOST_FOR_PREDICTING * timeout)


def plan(timeout: float, costs: list[CostModel], trees: list[float], first: int, rows: int) -> Plan:
    """The second fits of targets that cost so much and kept so many `trees` per fold in fits of `first` rows."""
    taken = sum(cost.seconds(first, kept + cost.patience) for cost, kept in zip(costs, trees, strict=True))
    each = (PART * timeout - START - taken) / max(1, len(costs))
    chosen = [cost.second_rows(rows, first, kept, each) for cost, kept in zip(costs, trees, strict=True)]
    predicting = sum(
        cost.predict_seconds(cost.rounds(n, first, kept)) for cost, n, kept in zip(costs, chosen, trees, strict=True)
    )
    return Plan(chosen, predicting, taken)


def second_rows_by_clock(rows: int, first: int, took: float, budget: float) -> int:
    """The same for algorithms of unknown cost: `took` seconds for `first` rows, in proportion.

    Rounded down to `first` times a power of 2, so that the clock's small differences do not matter most of the time.
    """
    more = max(1, int(budget / max(SAFETY * took, 1e-6)))
    return min(rows, first << more.bit_length() - 1)


def plan_by_clock(timeout: float, targets: int, first: int, rows: int, took: float, predicting: float) -> Plan:
    """The same where costs are not known: a first fit `took` so many seconds, predicting all takes `predicting`."""
    each = (PART * timeout - START - targets * took - predicting) / max(1, targets)
    return Plan([second_rows_by_clock(rows, first, took, each)] * targets, predicting)
