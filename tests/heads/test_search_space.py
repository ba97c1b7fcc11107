from __future__ import annotations

import tomllib
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from extract.runtime.errors import InputError
from heads import config, search_space
from heads.search_space import Leaf

RAW = tomllib.loads("""
family = "lightgbm"
networks = ["one"]
inputs = ["logits"]
num_leaves = ["tune", "logint", 3, 127]
stride = ["tune", "int", 1, 8]
learning_rate = ["tune", "loguniform", 0.01, 0.3]
refit = ["tune", "choice", [true, false]]
[[temporal]]
of = "logits"
windows = [["tune", "int", 1, 10], 25]
statistics = ["tune", "choice", [["mean"], ["mean", "std"]]]
""")
KEYS = ["num_leaves", "stride", "learning_rate", "refit", "temporal.0.windows.0", "temporal.0.statistics"]


def test_leaves_anywhere_in_tables_and_lists_are_found_and_filled() -> None:
    space = search_space.leaves(RAW, "space.toml")
    assert [leaf.key for leaf in space] == KEYS
    params = dict(zip(KEYS, (31, 2, 0.1, "false", 5, '["mean", "std"]'), strict=True))
    filled = search_space.fill(RAW, space, params)
    assert filled == {
        "family": "lightgbm",
        "networks": ["one"],
        "inputs": ["logits"],
        "num_leaves": 31,
        "stride": 2,
        "learning_rate": 0.1,
        "refit": False,
        "temporal": [{"of": "logits", "windows": [5, 25], "statistics": ["mean", "std"]}],
    }
    assert search_space.first_leaf(filled) is None and search_space.first_leaf(RAW) == "num_leaves"
    assert tomllib.loads(tomli_w.dumps(filled)) == filled
    assert RAW["num_leaves"] == ["tune", "logint", 3, 127], "the space itself is left alone"


def test_a_leaf_and_optuna_agree_on_kind_and_bounds() -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    made = [leaf.distribution() for leaf in search_space.leaves(RAW, "space.toml")]
    assert made[:4] == [
        IntDistribution(3, 127, log=True),
        IntDistribution(1, 8),
        FloatDistribution(0.01, 0.3, log=True),
        CategoricalDistribution(("true", "false")),
    ]
    uniform = Leaf("x", "uniform", 0, 1).distribution()
    assert uniform == FloatDistribution(0.0, 1.0)


@pytest.mark.parametrize(
    ("leaf", "said"),
    [
        (["tune"], "no kind of search is called None"),
        (["tune", "normal", 0, 1], "'normal'; there are int, logint, uniform, loguniform, choice"),
        (["tune", "int", 1], "low, high"),
        (["tune", "int", 1, 5, 2], "low, high"),
        (["tune", "int", 5, 5], "below"),
        (["tune", "int", 1.5, 5], "whole"),
        (["tune", "int", True, 5], "two numbers"),
        (["tune", "uniform", "a", 5], "two numbers"),
        (["tune", "uniform", 2, 1], "below"),
        (["tune", "uniform", 0, float("inf")], "finite"),
        (["tune", "loguniform", 0, 1], "above 0"),
        (["tune", "logint", 0, 10], "above 0"),
        (["tune", "choice", []], "expected"),
        (["tune", "choice", 1, 2], "expected"),
        (["tune", "choice", ["a", "a"]], "twice"),
    ],
)
def test_a_wrong_leaf_is_refused_by_its_key(leaf: list[Any], said: str) -> None:
    with pytest.raises(InputError, match=r"^s\.toml: key 'a\.1\.b': .*") as found:
        search_space.leaves({"a": [1, {"b": leaf}]}, "s.toml")
    assert said in str(found.value)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x, min_size=1)))
def test_choices_come_back_as_they_went_in(value: Any) -> None:
    leaf = Leaf("x", "choice", choices=("other than all", value))
    assert leaf.value(leaf.param(value)) == value


def test_values_outside_the_space_have_no_parameter() -> None:
    assert Leaf("x", "int", 1, 5).param(5) == 5
    for value in (0, 6, 2.5, True, "3", None):
        assert Leaf("x", "int", 1, 5).param(value) is None
    assert Leaf("x", "uniform", 0, 1).param(1) == 1 and Leaf("x", "uniform", 0, 1).param(1.01) is None
    assert Leaf("x", "choice", choices=("a", "b")).param("c") is None


def test_laying_over_merges_tables_and_replaces_lists() -> None:
    below = {"a": 1, "t": {"x": 1, "y": [1, 2]}}
    above = {"b": 2, "t": {"y": ["tune", "int", 1, 2]}}
    assert search_space.merge_settings(below, above) == {"a": 1, "b": 2, "t": {"x": 1, "y": ["tune", "int", 1, 2]}}
    assert below["t"] == {"x": 1, "y": [1, 2]}


def test_heads_run_says_what_a_search_space_is_for(tmp_path: Any) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('family = "lightgbm"\ninputs = ["logits"]\nnum_leaves = ["tune", "int", 3, 9]\n')
    with pytest.raises(InputError, match=r"mine\.toml: key 'num_leaves' is a search space; python -m heads\.tune"):
        config.read_head(str(path), "au", {})
    assert config.read_head(str(path), "au", {"num_leaves": 5}).model_dump()["num_leaves"] == 5
