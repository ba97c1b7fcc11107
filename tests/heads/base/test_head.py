from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from extract.runtime.errors import InputError
from heads.abaw.tasks import TASKS
from heads.base import head as base
from heads.base.head import HeadSettings
from heads.data import temporal


def test_class_weights_are_the_published_ones() -> None:
    counts = np.array([177198, 16573, 10771, 9080, 95463, 78751, 31615, 165866])
    published = [1.0, 10.691968865, 16.451397270, 19.515198238, 1.856195594, 2.250104761, 5.604871105, 1.068320210]
    np.testing.assert_allclose(base.class_weights(counts), published, atol=5e-10, rtol=0)


def test_unit_weights_are_the_published_ones() -> None:
    negative, positive = base.unit_weights(np.array([18713]), 84603 + 18713)
    assert negative[0] == pytest.approx(0.610593, abs=5e-7) and positive[0] == pytest.approx(2.7605408, abs=5e-8)
    rates = 0.5 / np.array(
        [
            4.23148962,
            10.02853659,
            3.24746184,
            1.87862194,
            1.25874673,
            1.45119134,
            2.04094492,
            17.77857704,
            15.8935131,
            19.52205628,
            0.79791885,
            6.71892981,
        ]
    )
    published = [
        0.56699737,
        0.52623698,
        0.59099307,
        0.68134051,
        0.82949071,
        0.7628283,
        0.66223812,
        0.51446878,
        0.51624061,
        0.51314264,
        1.3391547,
        0.54019984,
    ]
    negative, positive = base.unit_weights(np.round(rates * 1356861), 1356861)
    np.testing.assert_allclose(negative, published, atol=5e-9, rtol=0)
    np.testing.assert_allclose(positive, 0.5 / (np.round(rates * 1356861) / 1356861), rtol=1e-12)


def test_what_does_not_occur_gets_no_infinite_weight() -> None:
    np.testing.assert_array_equal(base.class_weights(np.array([4, 0, 1])), [1, 0, 4])
    negative, positive = base.unit_weights(np.array([0, 10, 5]), 10)
    np.testing.assert_array_equal(negative, [0.5, 1, 1])
    np.testing.assert_array_equal(positive, [1, 0.5, 1])


def test_balance_goes_from_no_weights_to_the_published_ones() -> None:
    counts = np.array([100, 25])
    np.testing.assert_allclose([base.class_weights(counts, b)[1] for b in (0, 0.5, 1)], [1, 2, 4])
    np.testing.assert_allclose(base.unit_weights(np.array([20]), 100, 0.0), 1)


def test_row_weights() -> None:
    rng = np.random.default_rng(0)
    expr = rng.choice(8, 500, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.04, 0.01]).astype(np.int8)
    weights = base.row_weights(expr, TASKS["expr"], 1.0)
    assert weights.mean() == pytest.approx(1)
    sums = np.bincount(expr, weights)
    np.testing.assert_allclose(sums, sums.mean(), err_msg="at balance 1 every class weighs the same in all")
    au = (rng.random((400, 12)) < np.linspace(0.05, 0.7, 12)).astype(np.uint8)
    weights = base.row_weights(au, TASKS["au"], 1.0)
    np.testing.assert_allclose((weights * au).sum(0), 200)
    np.testing.assert_allclose((weights * (1 - au)).sum(0), 200)
    assert (base.row_weights(np.zeros((7, 2)), TASKS["va"], 1.0) == 1).all()


def test_settings_refuse_what_they_do_not_know() -> None:
    for wrong in (
        {"inputs": ["embeddings"]},
        {"inputs": []},
        {"inputs": ["va", "va?"]},
        {"inputs": ["va"], "networks": "some"},
        {"inputs": ["va"], "speed": 3},
    ):
        with pytest.raises(ValidationError):
            HeadSettings.model_validate({"family": "mlp", **wrong})


def test_families() -> None:
    assert {base.family(name).Settings.model_fields["family"].default for name in base.FAMILIES} == set(base.FAMILIES)
    with pytest.raises(InputError, match="no family of heads is called 'svm'; there are mlp, lightgbm, linear, tabm"):
        base.family("svm")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"windows": [0]}, "1 to 10,000,000"),
        ({"windows": [5, 5]}, "different whole numbers"),
        ({"windows": []}, "at least 1"),
        ({"statistics": []}, "at least 1"),
        ({"statistics": ["median"]}, "'mean', 'std' or 'difference'"),
        ({"of": "pixels"}, "'logits'"),
        ({"components": 0}, "greater than or equal to 1"),
    ],
)
def test_temporal_columns_that_cannot_be_are_refused(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        temporal.Temporal.model_validate({"of": "va"} | wrong)


def test_the_same_temporal_column_twice_is_refused() -> None:
    tables = [{"of": "va", "windows": [5, 9]}, {"of": "va?", "windows": [9], "statistics": ["std"]}]
    with pytest.raises(ValidationError, match="the std of va over 9 frames occurs twice"):
        HeadSettings.model_validate({"family": "x", "inputs": ["va"], "temporal": tables})
    tables[1]["of"] = "logits"
    settings = HeadSettings.model_validate({"family": "x", "inputs": ["va"], "temporal": tables})
    assert [table.kind for table in settings.temporal] == ["va", "logits"]
