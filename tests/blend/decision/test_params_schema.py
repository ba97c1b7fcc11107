"""The JSON schema of params.json: what is written fits, what the reader refuses does not; every field is documented."""

import copy
import json
import re
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest

from blend import apply
from blend.config import BlendSettings
from blend.crossfit.outcome import ResultBuilder
from blend.decision.params import KNOWN_KEYS, Params
from blend.search import search
from blend.submission import alternatives
from extract.runtime.errors import InputError
from heads.abaw.tasks import SINGLE_TASKS, TASKS

SCHEMA = json.loads(files("blend").joinpath("params.schema.json").read_text(encoding="utf-8"))
SETTINGS = {
    "au": [{}, {"thresholds": 0.5, "k": list(range(12))}],
    "expr": [{"bias": "prior", "filter": "head2"}, {"bias": [0.5] * 8}],
    "lsd": [{"bias": "prior", "filter": "head2"}, {"bias": [0.5] * 6}],
    "va": [{}, {"scale": True, "shift": True}, {"weights": {"head0": [0.25, 0.75], "head1": [0.75, 0.25]}}],
}


def fits(table):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(table)


def test_it_is_a_schema_of_every_field_and_each_is_documented():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert set(SCHEMA["properties"]) == {*KNOWN_KEYS, *apply.OWN_KEYS}
    text = files("blend").joinpath("README.md").read_text(encoding="utf-8")
    section = text[text.index("## params.json") : text.index("## Fixed numbers")]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(SCHEMA["properties"])
    assert all(part["description"] for part in SCHEMA["properties"].values())
    assert "natural logarithm" in SCHEMA["properties"]["bias"]["description"] and "natural logarithm" in text


def test_what_searches_and_selections_find_fits_and_what_the_reader_refuses_does_not(make_pool):
    for name, options in SETTINGS.items():
        pool, task = make_pool(name), SINGLE_TASKS[name]
        prior = alternatives.describe({output: 0.25 for output in task.outputs}, "train")
        found = [search.search(pool, BlendSettings(select="tuned", **some), 25, 0).params for some in options]
        quick = BlendSettings(trials=1, folds=2, select_folds=2, fold_trials=1, draws=100)
        found.append(ResultBuilder(pool, quick, 0, search.search(pool, quick, 1, 0)).params)
        for params in found:
            table = json.loads(json.dumps(params.as_json() | prior))
            jsonschema.Draft202012Validator(SCHEMA).validate(table)
            for wrong in wrongs(table):
                assert not fits(wrong), wrong
                with pytest.raises(InputError):
                    Params.from_json({key: value for key, value in wrong.items() if key not in apply.OWN_KEYS})


def wrongs(table):
    """The table with one fault each."""
    other = {"au": "bias", "expr": "scale", "lsd": "scale", "va": "thresholds"}[table["task"]]
    changes = [
        {"task": "mtl"}, {"outputs": table["outputs"][::-1]}, {"heads": [table["heads"][0]] * 2}, {"heads": []},
        {"weights": dict.fromkeys(table["heads"], -0.5)}, {"weights": {head: [0.5] for head in table["heads"]}},
        {"kernel": "triangle"}, {"k": -1}, {"k": 2.5}, {"k": [1]}, {"k": 10**9}, {other: [0.5] * len(table["outputs"])},
        {"smoothing": 3},
    ]  # fmt: skip
    own = {"au": "thresholds", "expr": "bias", "lsd": "bias", "va": "scale"}[table["task"]]
    changes += [{own: 0.5}, {own: [0.5]}, {own: ["x"] * len(table["outputs"])}]
    if table["task"] in ("expr", "lsd"):
        changes += [{"filter": "head2"}, {"filter": {"head": "head2"}}, {"filter": {"head": "head2", "t": "x"}}]
    for change in changes:
        yield copy.deepcopy(table) | change
    for key in SCHEMA["required"]:
        yield {name: value for name, value in table.items() if name != key}


def test_what_stands_beside_the_blend_is_checked_too(make_pool):
    table = Params("va", TASKS["va"].outputs, ("a",), (1.0,)).as_json()
    assert fits(table | {"prior": {"valence": -0.5, "arousal": 1}, "test_from": "train+val"}) and fits(table)
    for wrong in ({"prior": {"valence": 0}}, {"prior": {"valence": 2, "arousal": 0}}, {"test_from": "both"}):
        assert not fits(table | wrong), wrong
    assert not fits(Params("au", TASKS["au"].outputs, ("a",), (1.0,)).as_json() | {"prior": {"AU1": 0.5}})


def test_bias_is_added_to_the_natural_logarithm_of_the_score(make_pool):
    """As the schema says, and not to the score."""
    from blend.decision import combine

    pool, added = make_pool("expr"), np.array([0.0, 1.5, 0, 0, -2.0, 0, 0.5, 0])
    params = Params("expr", pool.task.outputs, pool.heads, (0.5, 0.25, 0.25), "box", 2)
    scores = combine.scores(pool, params.weights, "box", 2).astype(np.float64)
    decided = combine.combine(pool, replace(params, bias=tuple(added)))
    np.testing.assert_array_equal(decided, (np.log(scores) + added).argmax(1))
    assert (decided != (scores + added).argmax(1)).mean() > 0.1
