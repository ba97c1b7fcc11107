from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from extract import config as extract_config
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads.abaw.tasks import TASKS
from heads.config import Config
from heads.tune import plan as tune_plan

Corpus = Any  # tests/heads/conftest.py
HAS = {"one": ("embedding", "logits"), "two": ("embedding", "logits", "va")}
WIDE = 'family = "lightgbm"\nnetworks = "all"\ninputs = ["logits"]\nnum_leaves = ["tune", "int", 3, 9]\n'


def load(corpus: Corpus, overrides: list[str] | None = None) -> Config:
    return extract_config.load(Config, corpus.toml(), overrides)


@pytest.mark.parametrize("task", TASKS)
def test_every_shipped_space_fits_the_standard_heads_of_its_family(corpus: Corpus, task: str) -> None:
    config, searched = load(corpus), set()
    for head in heads_config.standard(task):
        family = str(heads_config.read_raw(head, task)[0]["family"])
        try:
            tune_plan.find_shipped_space(task, family)
        except InputError:
            continue
        plan = tune_plan.make(config, task, head, None, None)
        network = "two" if heads_config.read_head(head, task, {}).networks == "each" else None
        plan = tune_plan.make(config, task, head, None, network)
        tune_plan.on_networks(plan, HAS)  # tries every edge
        assert tune_plan.start(plan) is not None, "the head as it stands is in its space"
        searched.add(family)
    assert {"mlp", "lightgbm", "lama", "sequence", "fusion"} <= searched


def test_a_head_for_each_network_is_searched_on_one(corpus: Corpus) -> None:
    config = load(corpus)
    for head, network in (("lightgbm", "two"), ("lightgbm-two", None), ("lightgbm-two", "two")):
        plan = tune_plan.make(config, "au", head, None, network)
        name, raw, kinds = tune_plan.on_networks(plan, HAS)
        assert (name, raw["networks"], list(kinds)) == ("lightgbm-two", ["two"], ["two"])
    only = tune_plan.on_networks(tune_plan.make(config, "au", "lightgbm", None, None), {"one": HAS["one"]})
    assert only[0] == "lightgbm-one", "there is no choice"
    with pytest.raises(InputError, match=r"--network, of one, two"):
        tune_plan.on_networks(tune_plan.make(config, "au", "lightgbm", None, None), HAS)
    with pytest.raises(InputError, match=r"not in features\.networks: one, two"):
        tune_plan.on_networks(tune_plan.make(config, "au", "lightgbm", None, "three"), HAS)
    with pytest.raises(InputError, match="is of network 'two'"):
        tune_plan.make(config, "au", "lightgbm-two", None, "one")


def test_a_space_of_ones_own_alone_or_over_a_head(corpus: Corpus, tmp_path: Path) -> None:
    own, over = tmp_path / "wide.toml", tmp_path / "over.toml"
    own.write_text(WIDE)
    over.write_text('trees = ["tune", "int", 2, 8]\n')
    config = load(corpus)
    for head, space in ((str(own), None), (None, own)):
        plan = tune_plan.make(config, "au", head, space, None)
        assert (plan.name, [leaf.key for leaf in plan.space]) == ("wide", ["num_leaves"])
        assert tune_plan.on_networks(plan, HAS)[0] == "wide" and tune_plan.start(plan) is None  # 15 leaves by default
    plan = tune_plan.make(config, "au", str(own), over, None)
    assert [leaf.key for leaf in plan.space] == ["num_leaves", "trees"]
    with pytest.raises(InputError, match='networks = "all"'):
        tune_plan.on_networks(tune_plan.make(config, "au", str(own), None, "one"), HAS)


def test_the_best_of_a_search_is_searched_on_under_its_own_name(corpus: Corpus, tmp_path: Path) -> None:
    best = tmp_path / "lightgbm-two" / "best.toml"
    best.parent.mkdir()
    best.write_text('family = "lightgbm"\nnetworks = ["two"]\ninputs = ["logits"]\n')
    config = load(corpus, [f"heads.au.use=['{best}']", "heads.au.lightgbm-two-best.trees=3"])
    for head in (str(best), "lightgbm-two-best"):
        plan = tune_plan.make(config, "au", head, None, None)
        assert plan.name == "lightgbm-two-best" and plan.raw["trees"] == 3


def test_what_the_config_fixes_stays_fixed(corpus: Corpus) -> None:
    config = load(corpus, ["heads.au.lightgbm.num_leaves=7", "heads.au.lightgbm.trees=3"])
    plan = tune_plan.make(config, "au", "lightgbm-one", None, None)
    assert "num_leaves" not in {leaf.key for leaf in plan.space}
    assert (plan.raw["num_leaves"], plan.raw["trees"]) == (7, 3)
    assert (tune_plan.start(plan) or {})["learning_rate"] == 0.05


def test_the_start_of_a_head_in_all_its_settings(corpus: Corpus, tmp_path: Path) -> None:
    head, space = tmp_path / "head.toml", tmp_path / "space.toml"
    head.write_text(
        'family = "lightgbm"\nnetworks = "all"\ninputs = ["logits"]\n[[temporal]]\nof = "logits"\nwindows = [5, 25]\n'
    )
    space.write_text(
        'refit = ["tune", "choice", [true, false]]\ninputs = ["tune", "choice", [["logits"], ["va?", "logits"]]]\n'
        'stride = ["tune", "logint", 1, 9]\n'
    )
    plan = tune_plan.make(load(corpus), "au", str(head), space, None)
    assert tune_plan.start(plan) == {"refit": "true", "inputs": '["logits"]', "stride": 1}
    assert tune_plan.on_networks(plan, HAS)[1]["temporal"][0]["windows"] == [5, 25]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ('num_leafs = ["tune", "int", 3, 9]', "unknown key 'num_leafs'"),
        ('num_leaves = ["tune", "int", 1, 9]', "key 'num_leaves': Input should be greater than or equal to 2; found 1"),
        ('num_leaves = ["tune", "uniform", 3.0, 9.0]', "with num_leaves = 5.29"),
        ('bagging_fraction = ["tune", "uniform", 0.5, 1.5]', "with bagging_fraction = 1.5"),
        ('inputs = ["tune", "choice", [["logits"], ["sound"]]]', "'sound'"),
        ('inputs = ["tune", "choice", [["logits"], ["va"]]]', "inputs asks for va"),
        ('networks = ["tune", "choice", ["each", "all"]]', "'networks' cannot be searched"),
        ('family = "mlp"\nhidden = ["tune", "int", 3, 9]', "family 'mlp', but the head 'lightgbm' is 'lightgbm'"),
        ("trees = 5", "nothing to search"),
        ('trees = ["tune", "int", 9]', "space.toml: key 'trees'"),
        ("trees = [", "not valid TOML"),
    ],
)
def test_a_space_that_does_not_fit_is_refused_before_anything_runs(
    corpus: Corpus, tmp_path: Path, space: str, said: str
) -> None:
    path = tmp_path / "space.toml"
    path.write_text(space + "\n")
    with pytest.raises(InputError) as found:
        tune_plan.on_networks(tune_plan.make(load(corpus), "au", "lightgbm-one", path, None), HAS)
    assert said in str(found.value) and "\n" not in str(found.value)


def test_heads_and_files_that_do_not_exist(corpus: Corpus, tmp_path: Path) -> None:
    config = load(corpus)
    with pytest.raises(InputError, match=r"--head trees: no such head; there are .*lightgbm"):
        tune_plan.make(config, "au", "trees", None, None)
    with pytest.raises(InputError, match="name a head"):
        tune_plan.make(config, "au", None, None, None)
    with pytest.raises(InputError, match="no such search space"):
        tune_plan.make(config, "au", "lightgbm", tmp_path / "none.toml", None)
    with pytest.raises(InputError, match="give one with --space"):
        tune_plan.find_shipped_space("au", "oracle")
    with pytest.raises(InputError, match="expected a table of settings"):
        tune_plan.make(load(corpus, ["heads.au.lightgbm=3"]), "au", "lightgbm", None, None)
