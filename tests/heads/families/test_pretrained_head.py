"""Pretrained heads against the published way of doing it by hand, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from extract.config import check
from extract.features import store
from extract.networks.registry import AFFECTNET7, AFFECTNET8
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads.abaw.tasks import EXPR, TASKS
from heads.base.head import family
from heads.data import feature_file, table
from heads.data.table import Block, LabelledRows, Rows, Source
from heads.families import pretrained_head
from heads.families.pretrained_head import PretrainedHead, PretrainedSettings

AFFECTNET2MTL = [5, 0, 2, 3, 4, 6, 7, 1]
"""As published: new[:, j] = old[:, AFFECTNET2MTL[j]]; Contempt stands in the place of Other."""
OTHER = EXPR.index("Other")
N = 60


def rows(*blocks: Block) -> Rows:
    return Rows(("v",), np.zeros(N, np.int32), np.arange(1, N + 1, dtype=np.int32), blocks, np.arange(N))


def logits(names: tuple[str, ...], seed: int = 0, network: str = "net") -> Block:
    values = np.random.default_rng(seed).normal(0, 4, (N, len(names))).astype(np.float32)
    return Block(network, "logits", values, tuple(f"logits.{name}" for name in names))


def embedding(seed: int = 1) -> Block:
    return Block("net", "embedding", np.random.default_rng(seed).normal(size=(N, 6)).astype(np.float16))


def fitted(some: Rows, task: str = "expr", **settings: object) -> PretrainedHead:
    head = PretrainedHead(
        TASKS[task], PretrainedSettings.model_validate({"inputs": ["logits"], "family": "pretrained", **settings})
    )
    shapes = {"va": np.zeros((N, 2), np.float32), "au": np.zeros((N, 12), np.uint8)}
    truth = shapes.get(task, (np.arange(N) % 8).astype(np.int8))
    labelled = LabelledRows(some, truth)
    head.fit(labelled, labelled.take(np.empty(0, np.int64)), seed=0)
    return head


def test_eight_classes_are_reordered_as_published_with_contempt_as_other():
    some = rows(logits(AFFECTNET8))
    scores = fitted(some).predict(some)
    raw = some.batch()
    np.testing.assert_allclose(scores, softmax(raw, 1)[:, AFFECTNET2MTL], rtol=1e-5, atol=1e-7)
    assert (scores.argmax(1) == raw[:, AFFECTNET2MTL].argmax(1)).all()


def test_seven_classes_lack_other_whatever_their_names_and_order():
    some = rows(logits(("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")))
    head = fitted(some)
    scores = head.predict(some)
    assert (scores[:, OTHER] == 0).all()
    order = [EXPR.index(c) for c in ("Anger", "Disgust", "Fear", "Happiness", "Sadness", "Surprise", "Neutral")]
    np.testing.assert_allclose(scores[:, order], softmax(some.batch(), 1), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)


def test_where_the_mlp_says_other_it_is_other_elsewhere_the_softmax_of_seven():
    some = rows(logits(AFFECTNET8), embedding())
    head = fitted(some, other="mlp", inputs=["logits", "embedding"], mlp={"hidden": 8, "epochs": 20})
    assert head.mlp is not None and head.mlp.width == 6  # the embedding alone
    scores = head.predict(some)
    said = head.mlp.predict(rows(some.blocks[1])).argmax(1) == OTHER
    assert 0 < said.sum() < N
    np.testing.assert_array_equal(scores[said], np.eye(8)[np.full(said.sum(), OTHER)])
    seven = softmax(some.batch()[:, :8][:, AFFECTNET2MTL[:7]], 1)
    np.testing.assert_allclose(scores[~said, :7], seven[~said], rtol=1e-5, atol=1e-7)
    assert (scores[~said, OTHER] == 0).all()


def test_columns_that_are_probabilities_already_are_not_softmaxed_again():
    block = logits(AFFECTNET7)
    chances = softmax(block.values, 1).astype(np.float32)
    some = rows(Block("table", "logits", chances, block.names))
    scores = fitted(some).predict(some)
    np.testing.assert_allclose(scores[:, EXPR.index("Happiness")], chances[:, 3], atol=1e-6)


def test_several_networks_are_averaged_also_when_they_call_their_classes_differently():
    one, two = logits(AFFECTNET8), logits(AFFECTNET7, seed=3, network="other")
    both = fitted(rows(one, two)).predict(rows(one, two))
    alone = [fitted(rows(block)).predict(rows(block)) for block in (one, two)]
    np.testing.assert_allclose(both, np.mean(alone, 0), atol=1e-6)


def test_va_comes_straight_from_the_network_within_its_range():
    values = np.random.default_rng(0).normal(0, 1, (N, 2)).astype(np.float32)
    some = rows(Block("net", "va", values))
    np.testing.assert_array_equal(fitted(some, "va", inputs=["va"]).predict(some), np.clip(values, -1, 1))


UNITS = TASKS["au"].outputs


@pytest.mark.parametrize("spelt", ["{}", "{:0>2}", "unit"], ids=["AU1", "au_01", "with others"])
def test_action_units_are_a_networks_own_sigmoids_however_it_calls_and_orders_them(spelt: str, tmp_path: Path):
    order = np.random.default_rng(4).permutation(12)
    names = [UNITS[i] for i in order]
    names = [f"au_{name[2:]:0>2}" for name in names] if spelt == "{:0>2}" else names
    names = ["AU9", *names, "AU45"] if spelt == "unit" else names  # other networks know more
    some = rows(logits(tuple(names)))
    head = fitted(some, "au")
    raw = some.batch()[:, 1:-1] if spelt == "unit" else some.batch()
    expected = np.empty((N, 12))
    expected[:, order] = 1 / (1 + np.exp(-raw.astype(np.float64)))
    np.testing.assert_allclose(head.predict(some), expected, rtol=1e-6, atol=1e-7)
    head.save(tmp_path)
    again = PretrainedHead(TASKS["au"], head.settings)
    again.load(tmp_path)
    np.testing.assert_array_equal(again.predict(some), head.predict(some))


def test_action_units_that_are_probabilities_already_stay_as_they_are():
    chances = np.random.default_rng(2).random((N, 12)).astype(np.float32)
    some = rows(Block("table", "logits", chances, tuple(f"logits.{name}" for name in UNITS)))
    np.testing.assert_allclose(fitted(some, "au").predict(some), chances, atol=1e-7)


@pytest.mark.parametrize("ready", [False, True], ids=["logits", "probabilities"])
def test_of_a_network_of_expressions_and_units_each_task_takes_its_own_columns(ready: bool):
    """In an order of neither: the softmax is of the eight alone, the units' sigmoids do not look at the expressions."""
    shuffled = [(*EXPR, *UNITS)[i] for i in np.random.default_rng(6).permutation(20)]
    block = logits(tuple(shuffled))
    raw = {name: block.values[:, shuffled.index(name)].astype(np.float64) for name in shuffled}
    chances = softmax(np.stack([raw[name] for name in EXPR], 1), axis=1)
    units = np.stack([1 / (1 + np.exp(-raw[name])) for name in UNITS], 1)
    if ready:
        given = dict(zip((*EXPR, *UNITS), np.column_stack([chances, units]).T, strict=True))
        values = np.stack([given[name] for name in shuffled], 1).astype(np.float32)
        block = Block("table", "logits", values, block.names)
    np.testing.assert_allclose(fitted(rows(block)).predict(rows(block)), chances, atol=1e-6)
    np.testing.assert_allclose(fitted(rows(block), "au").predict(rows(block)), units, atol=1e-6)


def test_units_that_are_probabilities_stay_so_beside_expressions_that_are_not_and_the_other_way_round():
    block = logits((*EXPR, *UNITS))
    chances = np.random.default_rng(8).random((N, 12)).astype(np.float32)
    some = rows(Block("n", "logits", np.column_stack([block.values[:, :8], chances]), block.names))
    np.testing.assert_allclose(fitted(some, "au").predict(some), chances, atol=1e-7)
    np.testing.assert_allclose(fitted(some).predict(some), softmax(block.values[:, :8], 1), rtol=1e-5, atol=1e-7)
    chances = softmax(block.values[:, :8], 1)
    some = rows(Block("n", "logits", np.column_stack([chances, block.values[:, 8:]]), block.names))
    np.testing.assert_allclose(fitted(some).predict(some), chances, atol=1e-6)


def test_what_it_cannot_do_is_said():
    with pytest.raises(InputError, match="no logit is called 'AU1'; found happy, sad, expected all of AU1, AU2"):
        fitted(rows(logits(("happy", "sad"))), "au")
    with pytest.raises(InputError, match="two logits are called 'AU2'"):
        fitted(rows(logits((*UNITS, "au02"))), "au")
    with pytest.raises(InputError, match="none of its outputs is Other"):
        fitted(rows(logits(UNITS)), "au", other="mlp")
    with pytest.raises(InputError, match=r"'net'.*what its 3 logits stand for; give classes"):
        fitted(rows(Block("net", "logits", np.ones((N, 3), np.float32))))
    with pytest.raises(InputError, match="class 'calm' is no expression"):
        fitted(rows(logits(("happy", "calm"))))
    with pytest.raises(InputError, match="class 'calm' is no expression"):
        fitted(rows(logits((*UNITS, "happy", "calm"))))
    with pytest.raises(InputError, match="class 'AU1' is no expression"):
        fitted(rows(logits(UNITS)))
    with pytest.raises(InputError, match="needs 'va' among its inputs"):
        fitted(rows(logits(AFFECTNET8)), "va")


def test_settings_of_the_mlp_are_strict_and_survive_being_written_down(tmp_path: Path):
    kind = family("pretrained").Settings
    raw = {"family": "pretrained", "inputs": ["logits"], "other": "mlp", "mlp": {"hidden": 16}}
    settings = check(kind, raw, "x")
    assert check(kind, settings.model_dump(mode="json"), "x") == settings
    with pytest.raises(InputError, match="'stride' belongs to the head"):
        check(kind, raw | {"mlp": {"stride": 2}}, "x")
    with pytest.raises(InputError, match="hiden"):
        check(kind, raw | {"mlp": {"hiden": 2}}, "x")


def write(work: Path, network: str, about: dict[str, str]) -> None:
    frame = np.arange(1, 6, dtype=np.int32)
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    store.write(store.path(work, network, "v"), store.VideoFeatures(frame, logits=values), about)


def test_class_names_come_from_the_store_and_networks_without_them_are_passed_over(tmp_path: Path):
    import json

    write(tmp_path, "known", {"outputs": json.dumps([True, None, None, None, AFFECTNET7])})
    write(tmp_path, "unknown", {"outputs": json.dumps([True, None, None, None, None])})
    write(tmp_path, "table", {"columns": json.dumps({"logits": list(AFFECTNET7)})})
    write(tmp_path, "units", {"columns": json.dumps({"logits": [f"AU{i}" for i in range(7)]})})
    write(tmp_path, "facs", {"columns": json.dumps({"logits": [f"AU{i:02}" for i in range(30)]})})
    write(tmp_path, "joint", {"outputs": json.dumps([False, "e", "l", "v", [*EXPR, *UNITS]])})
    path = store.path(tmp_path, "known", "v")
    assert feature_file.class_names(path) == AFFECTNET7
    assert feature_file.class_names(store.path(tmp_path, "unknown", "v")) == ()
    loaded = table.load(tmp_path, [Source("known", ("logits",))], ["v"])
    assert loaded.columns == [f"known.logits.{name}" for name in AFFECTNET7]
    has = {network: ("logits",) for network in ("known", "unknown", "table", "units", "joint")}
    assert pretrained_head.find_usable(has, "expr", tmp_path) == has | {"unknown": (), "units": ()}
    assert pretrained_head.find_usable(has, "va", tmp_path) == has
    units = pretrained_head.find_usable(dict.fromkeys((*has, "facs"), ("logits",)), "au", tmp_path)
    assert units == dict.fromkeys(has, ()) | {"facs": ("logits",), "joint": ("logits",)}
    (tmp_path / "p.toml").write_text('family = "pretrained"\ninputs = ["logits"]')
    raw = {"features": {"networks": list(has)}, "heads": {"expr": {"use": [str(tmp_path / "p.toml")]}}}
    config = heads_config.Config.model_validate({"corpus": {"name": "x"}} | raw)
    assert [spec.name for spec in heads_config.plan(config, "expr", tmp_path)] == ["p-known", "p-table", "p-joint"]
