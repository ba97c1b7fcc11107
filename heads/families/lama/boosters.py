"""Boosters of CatBoost and XGBoost as arrays of numbers: neither library opens a file to predict.

A file of theirs may be somebody else's, and both read where it says: a few bytes changed in CatBoost's end the process,
in XGBoost's they may walk in a ring. What a head keeps is what is in the trees, checked as forests are.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heads.families.lama.random_forest import encode

SUMS = {"cb": "f8", "xgb": "f4"}
"""The type of number that each library adds its trees up in."""


def of_catboost(model: Any) -> tuple[dict[str, str], list[float]]:
    """A fitted model's trees (random_forest.NODES) and what stands before their sum, one number per output.

    Raises KeyError or ValueError for trees of another kind than the library grows by default.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        result = json.loads(path.read_text(encoding="utf-8"))
    scale, base = result["scale_and_bias"]
    return encode([_balanced(tree, scale, len(base)) for tree in result["oblivious_trees"]]), base


def _balanced(tree: dict[str, Any], scale: float, outputs: int) -> dict[str, NDArray[Any]]:
    """A tree with one split per level, node by node: node n's children are 2 n + 1 and 2 n + 2."""
    splits = (tree["splits"] or [])[::-1]  # the last one is the highest bit of a leaf's number
    if any(split["split_type"] != "FloatFeature" for split in splits):
        raise ValueError("categories")
    inner = 2 ** len(splits) - 1
    level = np.repeat(np.arange(len(splits)), 2 ** np.arange(len(splits)))
    none, children = np.full(inner + 1, -1), np.arange(inner)
    value = np.zeros((2 * inner + 1, outputs))
    value[inner:] = scale * np.reshape(tree["leaf_values"], (inner + 1, outputs))
    return {
        "column": np.append(np.array([split["float_feature_index"] for split in splits], int)[level], none),
        "threshold": np.append(np.array([split["border"] for split in splits])[level], np.zeros(inner + 1)),
        "left": np.append(2 * children + 1, none),
        "right": np.append(2 * children + 2, none),
        "value": value,
    }


def of_xgboost(model: Any) -> tuple[dict[str, str], list[float]]:
    """The same of a fitted booster: it goes left below a threshold, so the next smaller number stands in its place."""
    result = json.loads(bytes(model.save_raw("json")))["learner"]
    kind, trees = result["objective"]["name"], result["gradient_booster"]["model"]
    outputs = max(1, int(result["learner_model_param"]["num_class"]))
    base = float(result["learner_model_param"]["base_score"])
    if kind == "binary:logistic":  # stands there as a probability
        base = float(np.log(base / (1 - base)))
    parts = []
    for tree, output in zip(trees["trees"], trees["tree_info"], strict=True):
        left, threshold = np.array(tree["left_children"]), np.array(tree["split_conditions"], np.float32)
        value = np.zeros((len(left), outputs))
        value[left < 0, output] = threshold[left < 0]
        below = np.nextafter(threshold, np.float32(-np.inf))
        parts.append({"column": np.where(left < 0, -1, tree["split_indices"]), "threshold": below, "left": left,
                      "right": np.array(tree["right_children"]), "value": value})  # fmt: skip
    return encode(parts), [base] * outputs
