"""params.json reads back as written, and damage of any kind is one clear line."""

import json
from dataclasses import replace

import pytest

from blend.decision.params import Params
from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS


def example(name, **changes):
    outputs = TASKS[name].outputs
    n = len(outputs)
    extra = {
        "au": {"thresholds": tuple(0.01 * i for i in range(n))},
        "expr": {"bias": tuple(0.5 - i for i in range(n)), "filter": ("pretrained", 0.7)},
        "va": {"scale": (1.25, 0.5), "shift": (-0.125, 0.0)},
    }[name]
    made = Params(name, outputs, ("mlp", "pretrained"), (0.25, 0.75), "gaussian", 5, **extra)
    return replace(made, **changes)


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_it_reads_back_as_written(name):
    n = len(TASKS[name].outputs)
    plain = Params(name, TASKS[name].outputs, ("a",), (1.0,))
    each = example(name, weights=((0.1,) * n, 1 / 3), k=tuple(range(n)))
    for made in (example(name), each, plain):
        table = json.loads(json.dumps(made.as_json()))
        assert Params.from_json(table) == made
    assert set(plain.as_json()) == {"task", "outputs", "heads", "weights", "kernel", "k"}


DAMAGE = [
    ("au", {"thresholds": [0.5]}, r"thresholds: \[0.5\]; expected a list of 12 numbers"),
    ("au", {"thresholds": [0.5] * 11 + ["high"]}, "thresholds: 'high'; expected a finite number"),
    ("au", {"thresholds": [0.5] * 11 + [float("nan")]}, "thresholds: nan; expected a finite number"),
    ("au", {"treshold": 0.5}, "unknown key 'treshold'; known keys: task, outputs"),
    ("au", {"bias": [0.0] * 12}, "'bias' belongs to task expr or lsd, this is au"),
    ("au", {"task": "age"}, "task 'age'; expected one of au, expr, va, lsd"),
    ("au", {"outputs": ["AU2", "AU1"]}, "outputs .*; expected .*AU1"),
    ("au", {"heads": []}, r"heads \[\]; expected a list of names"),
    ("au", {"heads": ["mlp", "mlp"]}, "expected every name once"),
    ("au", {"weights": {"mlp": 1}}, "expected one entry for each of mlp, pretrained"),
    ("au", {"weights": {"mlp": 1, "pretrained": [1, 2]}}, r"weights of 'pretrained': \[1, 2\]; expected a list of 12"),
    ("au", {"weights": {"mlp": 1, "pretrained": -1}}, "weights of 'pretrained': -1; expected numbers >= 0"),
    ("au", {"weights": {"mlp": 1, "pretrained": True}}, "weights of 'pretrained': True; expected a finite number"),
    ("au", {"kernel": "triangle"}, "kernel 'triangle'; expected one of box, gaussian, median"),
    ("au", {"k": -1}, "k -1; expected whole numbers >= 0"),
    ("au", {"k": 2.5}, "k 2.5; expected whole numbers >= 0"),
    ("au", {"k": [1, 2]}, "k: 2 numbers; expected one, or 12"),
    ("expr", {"filter": {"head": "other", "t": 0.5}}, "filter .*; expected head .one of mlp, pretrained. and t"),
    ("expr", {"filter": {"head": "mlp", "t": None}}, "t of filter: None; expected a finite number"),
    ("expr", {"thresholds": [0.5] * 8}, "'thresholds' belongs to task au, this is expr"),
    ("va", {"scale": [1]}, r"scale: \[1\]; expected a list of 2 numbers"),
    ("va", {"shift": 0.5}, "shift: 0.5; expected a list of 2 numbers"),
]


@pytest.mark.parametrize(("name", "damage", "text"), DAMAGE)
def test_damage_is_named(name, damage, text):
    with pytest.raises(InputError, match="^there.json: .*" + text):
        Params.from_json(example(name).as_json() | damage, "there.json")


@pytest.mark.parametrize("key", ["task", "outputs", "heads", "weights", "kernel", "k"])
def test_a_missing_key_is_named(key):
    table = {name: value for name, value in example("va").as_json().items() if name != key}
    with pytest.raises(InputError, match=f"params: the key '{key}' is missing"):
        Params.from_json(table)


def test_what_is_no_table_is_refused():
    with pytest.raises(InputError, match="found list"):
        Params.from_json([])
