"""The [blend] section: defaults, overrides, refusals."""

import pytest

from blend.config import BlendSettings, Config
from extract import config as extract_config
from extract.errors import InputError


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


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "blend.au.trails=50",
            "unknown key 'blend.au.trails'; known keys there: bias, draws, filter, fold_trials, folds",
        ),
        ("blend.va.bias=free", "blend.va.bias: only expr has bias"),
        ("blend.expr.thresholds=fixed", "blend.expr.thresholds: only au has thresholds"),
        ("blend.au.thresholds=best", "'blend.au.thresholds'"),
        ("blend.au.thresholds=search", 'needs select = "tuned"'),
        ("blend.va.scale=often", "'blend.va.scale"),
        ("blend.au.trials=0", "'blend.au.trials'"),
        ('blend.au.kernels=["triangle"]', "'blend.au.kernels.0'"),
        ("blend.age.trials=5", "unknown key 'blend.age'; known keys there: au, expr, va"),
    ],
)
def test_what_it_does_not_know_it_refuses(override, text):
    with pytest.raises(InputError, match=text.replace(".", r"\.")):
        extract_config.load(Config, extract_config.DEFAULT, [override])
