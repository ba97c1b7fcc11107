"""Somebody else's booster: read as LightGBM writes it; refused before LightGBM where it points behind its arrays."""

from pathlib import Path

import numpy as np
import pytest

from extract.runtime.errors import InputError
from heads.families import booster_text
from heads.families.lama import scorer as lama_scorer


@pytest.fixture(scope="module")
def trained():
    import lightgbm

    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    y = np.digitize(x[:, 0] + 0.5 * x[:, 3], [-0.5, 0.5])
    params = {"objective": "multiclass", "num_class": 3, "num_leaves": 24, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(params, lightgbm.Dataset(x, y), 6), x


def test_what_lightgbm_writes_passes_and_predicts_the_same_to_the_bit(trained):
    model, x = trained
    text = model.model_to_string()
    booster_text.check(text, "b.txt", 5)
    np.testing.assert_array_equal(booster_text.booster(text).predict(x), model.predict(x))
    stumps = "".join(f"\n\nTree={i}\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\n\n" for i in range(3))
    booster_text.check(text.split("\nTree=")[0] + stumps, "b.txt")  # trees that found nothing to split


DAMAGES = (
    ("left_child=", "left_child=999 "),
    ("right_child=", "right_child=-999 "),
    ("left_child=", "left_child=0 "),
    ("split_feature=", "split_feature=5 "),
    ("split_feature=", "split_feature=-1 "),
    ("num_leaves=", "num_leaves=1000000000"),
    ("num_leaves=", "num_leaves=-3 "),
    ("num_cat=0", "num_cat=2"),
    ("is_linear=0", "is_linear=1"),
    ("leaf_value=", "leaf_values="),
    ("threshold=", "threshold=a "),
    ("max_feature_idx=", "max_feature_idx=-"),
)


def test_what_points_elsewhere_is_refused_before_lightgbm_sees_it(trained, tmp_path: Path):
    text = trained[0].model_to_string()
    for old, new in DAMAGES:
        assert old in text
        before, _, after = text.partition(f"\n{old}")
        line, _, rest = after.partition("\n")
        values = line.split()[1:] if new.endswith(" ") else []
        bad = f"{before}\n{new}{' '.join(values)}\n{rest}"
        with pytest.raises(InputError, match=r"b\.txt: no booster of ours: (tree 0|its head): "):
            booster_text.check(bad, "b.txt", 5)
        part = lama_scorer.Boosters([0, 1, 2, 3, 4], [bad], "softmax")
        with pytest.raises(InputError, match="a head of family lama: no booster"):
            part.scorer()
    with pytest.raises(InputError, match="its head: 5 columns"):
        booster_text.check(text, "b.txt", 4)
    for text in ("", "\x80\x04pickle", "Tree=0\nTree=1\n\n"):
        with pytest.raises(InputError, match="no booster of ours"):
            booster_text.check(text, "b.txt")
