from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest

from heads.families.lama import boosted_trees
from heads.families.lama.boosted_trees import Forest


def booster(objective: str, columns: int = 5, rounds: int = 12, n: int = 600, **more: Any) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(columns + rounds)
    x = rng.normal(size=(n, columns)).astype(np.float32)
    y = x[:, 0] + np.sin(3 * x[:, -1]) + 0.3 * rng.normal(size=n)
    label = {"regression": y, "binary": y > 0.2, "multiclass": np.digitize(y, [-0.7, 0.6])}[objective]
    given = {"objective": objective, "num_leaves": 15, "min_data_in_leaf": 5, "verbosity": -1, "num_threads": 1}
    if objective == "multiclass":
        given["num_class"] = 3
    return lightgbm.train(given | more, lightgbm.Dataset(x, label.astype(float)), rounds), x


def test_a_process_that_has_scored_much_takes_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    trained, x = booster("binary")
    forest = Forest.from_text(trained.model_to_string())
    assert forest is not None
    kernels: list[object] = []
    monkeypatch.setattr(boosted_trees, "compile_kernel", lambda kernel: kernels.append(kernel) or kernel)
    monkeypatch.setattr(boosted_trees, "_scored_so_far", 0)
    monkeypatch.setattr(boosted_trees, "WORTH_A_KERNEL", 3 * 10 * len(forest.leaves))
    for _ in range(4):
        forest.raw(x[:10])
    assert kernels == [boosted_trees._raw] * 2


@pytest.mark.parametrize("objective", ["binary", "regression", "multiclass"])
@pytest.mark.parametrize("leaves", [2, 7, 16])
@pytest.mark.parametrize("worth", [0, 2**60])
def test_scores_are_lightgbms_to_the_bit(
    objective: str, leaves: int, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosted_trees, "WORTH_A_KERNEL", worth)
    trained, x = booster(objective, num_leaves=leaves)
    forest = Forest.from_text(trained.model_to_string())
    assert forest is not None
    rng = np.random.default_rng(1)
    on_thresholds = rng.choice(forest.thresholds, (300, x.shape[1])).astype(np.float32)
    for some in (x, 3 * rng.normal(size=(500, x.shape[1])).astype(np.float32), on_thresholds, x[:0], x[::2]):
        expected = trained.predict(some, raw_score=True).reshape(len(some), -1) if len(some) else np.empty((0, 1))
        np.testing.assert_array_equal(forest.raw(some).reshape(expected.shape), expected)


def test_early_stopped_boosters_and_columns_that_no_tree_uses() -> None:
    trained, x = booster("binary", columns=8, rounds=30, feature_fraction=0.3)
    forest = Forest.from_text(trained.model_to_string(num_iteration=2))
    assert forest is not None and len(forest.columns) < 8 and len(forest.leaves) == 2
    np.testing.assert_array_equal(forest.raw(x)[:, 0], trained.predict(x, raw_score=True, num_iteration=2))


def test_trees_without_a_split_are_constants() -> None:
    trained, x = booster("regression", min_data_in_leaf=600)
    forest = Forest.from_text(trained.model_to_string())
    assert forest is not None and not len(forest.columns)
    np.testing.assert_array_equal(forest.raw(x)[:, 0], trained.predict(x, raw_score=True))


@pytest.mark.parametrize(
    "more", [{"num_leaves": 17}, {"zero_as_missing": True}, {"linear_tree": True}, {"columns": 129, "rounds": 400}]
)
def test_other_kinds_of_trees_are_not_taken(more: dict[str, Any]) -> None:
    trained, _ = booster("regression", **more)
    assert Forest.from_text(trained.model_to_string()) is None


def test_categories_are_not_taken() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (600, 1)).astype(np.float32)
    data = lightgbm.Dataset(x, np.isin(x[:, 0], [1, 4, 8]) + rng.normal(size=600), categorical_feature=[0])
    trained = lightgbm.train({"verbosity": -1, "num_threads": 1}, data, 3)
    assert Forest.from_text(trained.model_to_string()) is None


def test_too_few_columns_are_an_error_not_a_read_past_the_end() -> None:
    trained, x = booster("binary")
    forest = Forest.from_text(trained.model_to_string())
    assert forest is not None
    with pytest.raises(IndexError, match="look at column 4 of 2"):
        forest.raw(x[:, :2])


def test_the_lowest_bit_is_found_for_every_place() -> None:
    powers = 1 << np.arange(boosted_trees.BITS)
    found = boosted_trees.PLACE[(powers * boosted_trees.MAGIC & 0xFFFF) >> boosted_trees.SHIFT]
    np.testing.assert_array_equal(found, np.arange(boosted_trees.BITS))
