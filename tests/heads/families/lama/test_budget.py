from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heads.families.lama import budget as lama_plan
from heads.families.lama.budget import CostModel


def test_the_first_fit_is_small_and_smaller_for_short_limits() -> None:
    assert [lama_plan.first_rows(10**6, seconds) for seconds in (5, 30, 60, 600)] == [2000, 4500, 9000, 10_000]
    assert lama_plan.first_rows(300, 600) == 300


@pytest.mark.parametrize("algorithms", [("linear_l2",), ("lgb",), ("linear_l2", "lgb")])
def test_the_second_fit_is_the_largest_that_the_budget_pays_for(algorithms: tuple[str, ...]) -> None:
    cost = CostModel(10, 3, algorithms, 1, most_trees=300, patience=20)

    def seconds(rows: int) -> float:
        rounds = min(300, 60 * (rows / 9000) ** lama_plan.GROWTH + 20)
        return lama_plan.SAFETY * cost.seconds(rows, rounds)

    found = [cost.second_rows(10**6, 9000, 60.0, budget) for budget in np.linspace(0.1, 40, 25)]
    assert found == sorted(found) and found[0] == 9000 and max(found) <= 10**6
    for rows, budget in zip(found, np.linspace(0.1, 40, 25), strict=True):
        assert rows == 9000 or seconds(rows) <= budget
        assert rows == 10**6 or seconds(rows + 1) > budget
    assert cost.second_rows(5000, 5000, 60.0, 100.0) == 5000
    few = cost.second_rows(10**6, 9000, 1.0, 5.0)
    assert few == cost.second_rows(10**6, 9000, lama_plan.FEWEST_TREES, 5.0), "more rows need more trees than one"


def test_cost_grows_with_everything() -> None:
    base = CostModel(10, 3, ("linear_l2", "lgb"), 1, 300, 20)
    dearer = [
        CostModel(20, 3, ("linear_l2", "lgb"), 1, 300, 20),
        CostModel(10, 5, ("linear_l2", "lgb"), 1, 300, 20),
        CostModel(10, 3, ("linear_l2", "lgb"), 8, 300, 20),
    ]
    assert all(other.seconds(1000, 50) > base.seconds(1000, 50) for other in dearer)
    assert base.seconds(2000, 50) > base.seconds(1000, 50) < base.seconds(1000, 60)
    assert CostModel(10, 3, ("lgb",), 1, 300, 20).seconds(1000, 50) < base.seconds(1000, 50)


def test_predicting_is_paid_for_too() -> None:
    cost = CostModel(10, 3, ("linear_l2", "lgb"), 1, most_trees=300, patience=20)
    more = replace(cost, predicted_rows=446_000)
    assert (
        cost.predict_seconds(100)
        == 0
        < replace(more, algorithms=("linear_l2",)).predict_seconds(100)
        < more.predict_seconds(100)
    )
    assert more.predict_seconds(100) == pytest.approx(2 * replace(more, predicted_rows=223_000).predict_seconds(100))
    assert more.predict_seconds(200) > more.predict_seconds(100) < replace(more, folds=5).predict_seconds(100)
    assert more.second_rows(10**6, 9000, 60.0, 5.0) < cost.second_rows(10**6, 9000, 60.0, 5.0)


def test_a_plan_keeps_within_its_part_of_the_limit() -> None:
    costs = [CostModel(10, 3, ("linear_l2", "lgb"), 1, 300, 20, 446_000)] * 12
    trees = [30.0 + 5 * i for i in range(12)]
    for timeout in (60, 600):
        plan = lama_plan.plan(timeout, costs, trees, 9000, 1_360_000)
        assert all(9000 < rows <= 1_360_000 for rows in plan.rows)
        assert sorted(plan.rows, reverse=True) == plan.rows, "outputs that need more trees get fewer rows"
        kept = [cost.rounds(rows, 9000, some) for cost, rows, some in zip(costs, plan.rows, trees, strict=True)]
        assert plan.predicting == pytest.approx(
            sum(cost.predict_seconds(k) for cost, k in zip(costs, kept, strict=True))
        )
        learning = sum(
            cost.seconds(9000, some + 20) + lama_plan.SAFETY * cost.seconds(rows, min(300, k + 20))
            for cost, some, rows, k in zip(costs, trees, plan.rows, kept, strict=True)
        )
        assert learning + plan.predicting + lama_plan.START <= lama_plan.PART * timeout
        assert plan.predicting < lama_plan.MOST_FOR_PREDICTING * timeout
        assert plan.first_seconds == pytest.approx(
            sum(c.seconds(9000, some + 20) for c, some in zip(costs, trees, strict=True))
        )
    assert lama_plan.plan(10, costs, trees, 2000, 1_360_000).rows == [2000] * 12
    assert lama_plan.plan(60, [], [], 9000, 9000) == lama_plan.Plan([], 0.0)


def test_what_is_kept_free_for_predicting_grows_on_a_busy_machine_and_is_never_most_of_the_limit() -> None:
    plan = lama_plan.Plan([9000], predicting=10.0, first_seconds=12.0)
    assert plan.reserve_prediction(60, took=3.0, threads=1) == 10.0
    assert plan.reserve_prediction(60, took=3.0, threads=2) == 5.0
    quick = lama_plan.QUICK_START + 12.0 / 2
    assert plan.reserve_prediction(60, took=3 * quick, threads=2) == pytest.approx(15.0)
    assert plan.reserve_prediction(60, took=50 * quick, threads=2) == lama_plan.MOST_FOR_PREDICTING * 60
    assert lama_plan.Plan([9000], 10.0).reserve_prediction(60, took=50.0, threads=2) == 5.0, (
        "what it should have taken is not known"
    )


def test_by_the_clock_rows_double_as_long_as_there_is_time() -> None:
    many = 10**6
    found = [lama_plan.second_rows_by_clock(many, 100, took=1.0, budget=b) for b in (1, 3.1, 12.1, 10**9)]
    assert found == [100, 200, 800, many]
    assert lama_plan.plan_by_clock(100, 4, 50, 1000, took=5.0, predicting=10.0) == lama_plan.Plan([50] * 4, 10.0)
    assert lama_plan.plan_by_clock(1000, 4, 50, 1000, took=5.0, predicting=10.0).rows == [50 * 16] * 4
