from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS
from heads.data.table import Block, LabelledRows, Rows
from heads.families.lama import budget
from heads.families.lama import pool as lama_pool
from heads.families.lama.fit import FitResult
from heads.families.lama.head import Lama, LamaSettings


def head(task: str, **given: Any) -> Lama:
    return Lama(TASKS[task], LamaSettings(**({"inputs": ["logits"], "trees": 3, "cv": 2, "penalties": [0.1]} | given)))


def va_data(n: int = 80, videos: int = 4) -> LabelledRows:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype(np.float32)
    where = Rows(
        tuple("abcdefgh"[:videos]),
        np.sort(np.arange(n) % videos).astype(np.int32),
        np.arange(1, n + 1, dtype=np.int32),
        (Block("n", "logits", x),),
        np.arange(n),
    )
    return LabelledRows(where, np.tanh(x[:, :2] + 0.1 * rng.normal(size=(n, 2))).astype(np.float32))


def nothing(data: LabelledRows) -> LabelledRows:
    return data.take(np.empty(0, np.int64))


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first fits learn from 20 rows, so that there are second ones."""
    monkeypatch.setattr(budget, "first_rows", lambda rows, seconds: 20)


@pytest.mark.slow
def test_every_algorithm_that_was_asked_for_is_in_the_report() -> None:
    data = va_data()
    facts = head("va", use_algos=[["linear_l2", "lgb"]]).fit(data, nothing(data), 0)
    for output in ("valence", "arousal"):
        assert set(facts["algorithms"][output]) == {"LinearL2", "LightGBM"}
        assert sum(facts["algorithms"][output].values()) == pytest.approx(1)
    assert facts["learnt_rows"] == {"valence": 80, "arousal": 80} and facts["out_of_time"] == []


@pytest.mark.slow
def test_rows_are_thinned_evenly_to_the_limit() -> None:
    data = va_data()
    facts = head("va", max_rows=30, use_algos=[["linear_l2"]]).fit(data, nothing(data), 0)
    assert facts["learnt_rows"] == {"valence": 30, "arousal": 30}


@pytest.mark.usefixtures("few")
def test_with_time_enough_it_learns_again_from_more_rows() -> None:
    data = va_data()
    seen: list[float] = []
    facts = head("va").fit(data, nothing(data), 0, lambda done, note: seen.append(done))
    assert facts["learnt_rows"] == {"valence": 80, "arousal": 80}
    assert seen == sorted(seen) and len(seen) == 4 and seen[-1] == pytest.approx(1)
    facts = head("va", timeout=12).fit(data, nothing(data), 0)
    assert facts["learnt_rows"] == {"valence": 20, "arousal": 20}, "nothing is left of 12 s by the plan"


@pytest.mark.usefixtures("few")
def test_what_the_second_fit_did_not_finish_stands_as_the_first_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data, run = va_data(), lama_pool.run
    calls: list[int] = []

    def late(count: int, order: Any, at_once: int, until: float, on_done: Any) -> list[FitResult | None]:
        calls.append(order(0).x.shape[0])
        found = run(count, order, at_once, until, on_done)
        return found if len(calls) == 1 else [found[0], None]

    monkeypatch.setattr(lama_pool, "run", late)
    ours = head("va")
    facts = ours.fit(data, nothing(data), 0)
    assert calls == [20, 80]
    assert facts["out_of_time"] == ["arousal"] and facts["learnt_rows"] == {"valence": 80, "arousal": 20}
    assert np.isfinite(ours.predict(data.rows)).all()


def test_an_algorithm_that_did_not_finish_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = va_data()
    one = FitResult(b"", {"LinearL2": 2, "LightGBM": 1}, {}, 1.0)
    monkeypatch.setattr(lama_pool, "run", lambda *_: [one, None])
    with pytest.raises(InputError, match=r"lama, valence: algorithm 'lgb' finished 1 of 2 folds within timeout = 600"):
        head("va").fit(data, nothing(data), 0)
    monkeypatch.setattr(lama_pool, "run", lambda *_: [None, None])
    with pytest.raises(InputError, match="lama, valence: algorithm 'linear_l2' finished 0 of 2 folds"):
        head("va").fit(data, nothing(data), 0)


def test_the_time_limit_is_kept() -> None:
    lama_pool.close()  # a new process takes seconds to be ready
    data, began = va_data(), time.monotonic()
    with pytest.raises(InputError, match="within timeout = 1 s; raise timeout"):
        head("va", timeout=1).fit(data, nothing(data), 0)
    assert time.monotonic() - began < 10


def test_several_outputs_at_once_as_published() -> None:
    data = va_data()
    with pytest.raises(InputError, match="'lgb' cannot learn several outputs at once"):
        head("va", per_output=False).fit(data, nothing(data), 0)
    ours = head("va", per_output=False, use_algos=[["linear_l2"]])
    facts = ours.fit(data, nothing(data), 0)
    assert facts["algorithms"] == {"all outputs": {"LinearL2": 1.0}}
    assert TASKS["va"].score(data.truth, ours.predict(data.rows)) > 0.8


def test_a_unit_without_positives_is_a_constant_and_the_report_says_so() -> None:
    data = va_data()
    rng = np.random.default_rng(0)
    units = LabelledRows(data.rows, (rng.random((80, 12)) < 0.4).astype(np.uint8))
    units.truth[:, 2] = 0
    ours = head("au", use_algos=[["linear_l2"]])
    facts = ours.fit(units, nothing(units), 0)
    assert facts["constant_outputs"] == ["AU4"]
    assert (ours.predict(units.rows)[:, 2] == 0).all()


def test_costs_that_are_not_known_are_timed_on_what_was_learnt(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    data = va_data()
    asked: list[Any] = []

    def noting(timeout: float, targets: int, first: int, rows: int, took: float, predicting: float) -> budget.Plan:
        asked.append((timeout, targets, first, rows, took > 0, predicting > 0))
        return budget.Plan([40, 20], predicting)

    monkeypatch.setattr(budget, "plan_by_clock", noting)
    ours = head("va", use_algos=[["rf"]], timeout=300)
    facts = ours.fit(data, nothing(data), 0)
    assert asked == [(300, 2, 20, 80, True, True)]
    assert facts["learnt_rows"] == {"valence": 40, "arousal": 20}
    assert np.isfinite(ours.predict(data.rows)).all()


@pytest.mark.parametrize(("predicting", "kept"), [(30.0, 30.0), (1e6, 80.0)])
def test_time_is_kept_free_for_predicting_and_never_most_of_it(
    predicting: float, kept: float, few: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = va_data(), lama_pool.run
    left: list[float] = []

    def noting(count: int, order: Any, at_once: int, until: float, on_done: Any) -> list[FitResult | None]:
        left.append(until)
        return run(count, order, at_once, until, on_done)

    monkeypatch.setattr(lama_pool, "run", noting)
    monkeypatch.setattr(budget, "plan", lambda *_: budget.Plan([80, 80], predicting))
    head("va", timeout=200).fit(data, nothing(data), 0)
    assert left[0] - left[1] == pytest.approx(kept)


def test_every_algorithm_is_kept_as_text(tmp_path: Path) -> None:
    data = va_data()
    for algorithm in ("lgb", "rf"):
        ours = head("va", use_algos=[[algorithm]])
        ours.fit(data, nothing(data), 0)
        ours.save(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["automl_0.json", "automl_1.json", "lama.json"]
        again = head("va")
        again.load(tmp_path)
        np.testing.assert_array_equal(again.predict(data.rows), ours.predict(data.rows))


def test_stacks_are_refused() -> None:
    data = va_data()
    with pytest.raises(InputError, match=r'use_algos has 2 levels; .*use_algos = \[\["lgb", "linear_l2"\]\]'):
        head("va", use_algos=[["lgb"], ["linear_l2"]]).fit(data, nothing(data), 0)
