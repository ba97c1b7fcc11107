"""The [blend] section: defaults, overrides, refusals."""

import json
import re
import tomllib

import jsonschema
import pytest

from blend.config import BlendSettings, Config
from extract import config as extract_config
from extract.runtime.errors import InputError


def test_the_demo_config_needs_no_blend_section():
    config = extract_config.load(Config, extract_config.DEFAULT)
    assert config.blend.au == BlendSettings()
    assert [config.blend.au.widest(task) for task in ("au", "expr", "va")] == [50, 100, 100]


def test_every_optional_part_can_be_switched():
    overrides = [
        "blend.au.select=tuned", "blend.au.thresholds=search", "blend.au.per_output_k=true", "blend.au.sampler=cmaes",
        "blend.expr.bias=prior", "blend.expr.filter=pretrained", "blend.va.scale=true", "blend.va.shift=auto",
        "blend.va.per_output_weights=auto",
    ]  # fmt: skip
    blend = extract_config.load(Config, extract_config.DEFAULT, overrides).blend
    assert (blend.au.select, blend.au.thresholds, blend.au.per_output_k) == ("tuned", "search", True)
    assert (blend.expr.bias, blend.expr.filter) == ("prior", "pretrained")
    assert (blend.va.scale, blend.va.shift, blend.va.per_output_weights) == (True, "auto", "auto")


def test_set_changes_one_task():
    overrides = ["blend.au.trials=50", "blend.au.k_max=7", 'blend.va.kernels=["box", "median"]']
    config = extract_config.load(Config, extract_config.DEFAULT, overrides)
    assert config.blend.au.trials == 50 and config.blend.au.widest("au") == 7
    assert config.blend.va.kernels == ["box", "median"]
    assert config.blend.expr == BlendSettings()


def test_numbers_are_given_in_place_of_rules():
    overrides = [
        "blend.au={weights={mlp=0.6,lama=0.4},k=5,thresholds=0.5}", "blend.expr.bias=[0,0,0,0,0,0,0,-1]",
        "blend.va={sigma=25,scale=1.1,shift=[0.1,0]}",
    ]  # fmt: skip
    blend = extract_config.load(Config, extract_config.DEFAULT, overrides).blend
    assert (blend.au.weights, blend.au.k, blend.au.thresholds) == ({"mlp": 0.6, "lama": 0.4}, 5, 0.5)
    assert blend.expr.bias == [0, 0, 0, 0, 0, 0, 0, -1]
    assert (blend.va.kernels, blend.va.k, blend.va.scale, blend.va.shift) == (["gaussian"], 25, 1.1, [0.1, 0])
    again = BlendSettings.model_validate(blend.va.model_dump(mode="json"))
    assert again == blend.va, "what is written out may be read back"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "blend.au.trails=50",
            "unknown key 'blend.au.trails'; known keys there: bias, draws, filter, fold_trials, folds",
        ),
        ("blend.va.bias=free", "blend.va.bias: only expr and lsd have bias"),
        ("blend.expr.thresholds=fixed", "blend.expr.thresholds: only au has thresholds"),
        ("blend.au.thresholds=best", "'blend.au.thresholds'"),
        ("blend.au.thresholds=search", 'needs select = "tuned"'),
        ("blend.va.scale=often", "'blend.va.scale"),
        ("blend.au.trials=0", "'blend.au.trials'"),
        ('blend.au.kernels=["triangle"]', "'blend.au.kernels.0'"),
        ("blend.au.k=3.5", "'blend.au.k': expected a whole number of frames >= 0, or one for each output; found 3.5"),
        ("blend.va.k=[1,2,3]", "blend.va.k: 3 given, 2 expected: of valence, arousal"),
        ("blend.va.scale=0.0", "'blend.va.scale': expected true, false, auto, a number above 0"),
        ("blend.expr.bias=0.5", "'blend.expr.bias': expected auto, off"),
        ("blend.au.thresholds=[0.5,2]", "'blend.au.thresholds': expected auto, exact"),
        ("blend.va.thresholds=0.5", "blend.va.thresholds: only au has thresholds"),
        ("blend.au.weights={mlp=-1}", "'blend.au.weights': expected a table of heads"),
        ("blend.va.weights={mlp=[1,0],lama=[1,0]}", "blend.va.weights: no head weighs anything"),
        ("blend.va.weights={}", "blend.va.weights: no head weighs anything"),
        ("blend.va.weights={mlp=[1,0,2]}", "blend.va.weights.mlp: 3 given, 2 expected"),
        ('blend.au={kernel="box",kernels=["box","median"]}', "kernel = 'box' means kernels"),
        ("blend.au={sigma=5,k=3}", "sigma = 5 means k = 5; found k = 3"),
        ("blend.au={k=3,per_output_k=true}", "k is given, so per_output_k has nothing to search"),
        ('blend.au={sampler="grid",weight_step=0.3}', "weight_step = 0.3: 1 must be a multiple"),
        ('blend.expr={sampler="grid",bias="free"}', "cannot search bias = 'free'"),
        ("blend.age.trials=5", "unknown key 'blend.age'; known keys there: au, expr, lsd, va"),
    ],
)
def test_what_it_does_not_know_it_refuses(override, text):
    with pytest.raises(InputError, match=re.escape(text)):
        extract_config.load(Config, extract_config.DEFAULT, [override])


def test_the_schema_that_ships_is_that_of_the_code_and_takes_every_config_that_ships():
    file = extract_config.CONFIGS / "schema.json"
    made = json.dumps(Config.schema_of_file(), indent=1, ensure_ascii=False) + "\n"
    assert file.read_text(encoding="utf-8") == made, f"write Config.schema_of_file() to {file}"
    check = jsonschema.Draft202012Validator(json.loads(made))
    configs = [*extract_config.CONFIGS.glob("*.toml"), *extract_config.CONFIGS.glob("paper/*/*.toml")]
    assert {path.parent.name for path in configs} == {"configs", "blends", "lsd", "mae"}
    for path in configs:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        assert not [error.message for error in check.iter_errors(table)], path
        assert not check.is_valid(table | {"corpsu": {}}), "an unknown key is refused"
