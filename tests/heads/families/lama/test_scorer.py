from __future__ import annotations

import base64
import json
import os
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extract.runtime import limits
from heads.families.lama import fit as lama_fit
from heads.families.lama import library as lama_library
from heads.families.lama import random_forest
from heads.families.lama import scorer as lama_scorer
from heads.families.lama.fit import FitOrder

SETTINGS: dict[str, Any] = {
    "use_algos": [["linear_l2", "lgb"]],
    "cv": 2,
    "trees": 30,
    "patience": 5,
    "learning_rate": 0.1,
    "num_leaves": 6,
    "penalties": [0.1, 1.0],
    "memory": 4,
}


def order(kind: str, n: int = 480, **settings: Any) -> FitOrder:
    """Four columns: signal, two of noise, one that never changes (LightAutoML leaves it out)."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    x[:, 1] = x[:, 1] * 1e4 + 1e5
    x[:, 2] = 3.25
    y = x[:, 0] + 1.5 * np.sin(2 * x[:, 3]) + 0.3 * rng.normal(size=n)
    label = {
        "binary": (y > 0).astype(np.int64),
        "multiclass": np.digitize(y, [-0.8, 0.0, 0.8]),
        "reg": np.tanh(y),
        "multilabel": np.stack([y > 0, x[:, 3] > 0.3], 1).astype(np.int64),
        "multi:reg": np.stack([y, x[:, 3]], 1),
    }[kind]
    return FitOrder(kind, kind, x, label, np.ones(n, np.float32), np.arange(n) * 6 // n, 0, SETTINGS | settings)


@pytest.fixture
def automls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The automls that were fitted since."""
    found: list[Any] = []
    dumps = lama_scorer.dumps
    monkeypatch.setattr(lama_scorer, "dumps", lambda automl, x: found.append(automl) or dumps(automl, x))
    return found


def unseen(n: int = 500) -> np.ndarray:
    x = 2 * np.random.default_rng(7).normal(size=(n, 4)).astype(np.float32)
    x[:, 1] = x[:, 1] * 1e4 + 1e5
    return x


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("binary", ["linear_l2", "lgb"]),
        ("multiclass", ["linear_l2", "lgb"]),
        ("reg", ["linear_l2", "lgb"]),
        ("binary", ["lgb"]),
        ("multilabel", ["linear_l2"]),
        ("multi:reg", ["linear_l2"]),
        ("binary", ["lgb", "rf"]),
        ("multiclass", ["rf"]),
        ("reg", ["rf"]),
        ("multilabel", ["rf"]),
        ("multi:reg", ["rf"]),
    ],
)
def test_plain_numbers_score_as_lightautoml_does(kind: str, algorithms: list[str], automls: list[Any]) -> None:
    agrees(order(kind, use_algos=[algorithms]), automls)


def agrees(given: FitOrder, automls: list[Any]) -> None:
    model = lama_fit.fit(given).model
    x = unseen()
    with lama_library.lightautoml():
        expected = automls[0].predict(lama_library.as_frame(x)).data
    found = lama_scorer.loads(model)(x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.ptp(expected) > 0.1


def test_both_algorithms_count_by_their_share() -> None:
    found = [json.loads(lama_fit.fit(order("binary", use_algos=[[name]])).model) for name in ("linear_l2", "lgb")]
    (linear,), (boosters,) = found
    alone = [lama_scorer.loads(json.dumps([part | {"share": 1.0}]).encode())(unseen()) for part in (linear, boosters)]
    both = json.dumps([linear | {"share": 0.25}, boosters | {"share": 0.75}]).encode()
    np.testing.assert_allclose(lama_scorer.loads(both)(unseen()), 0.25 * alone[0] + 0.75 * alone[1], atol=1e-12)
    none = json.dumps([linear | {"share": 1.0}, boosters | {"share": 0.0, "texts": ["not asked"]}]).encode()
    np.testing.assert_array_equal(lama_scorer.loads(none)(unseen()), alone[0])


def test_boosters_of_many_leaves_are_lightgbms_own(automls: list[Any]) -> None:
    agrees(order("binary", n=1200, use_algos=[["lgb"]], num_leaves=40), automls)


@pytest.mark.parametrize("algorithm", ["cb", "xgb"])
def test_boosters_of_other_libraries_score_as_plain_trees(algorithm: str, automls: list[Any]) -> None:
    pytest.importorskip({"cb": "catboost", "xgb": "xgboost"}[algorithm])
    for kind in ("binary", "multiclass", "reg") + (("multilabel", "multi:reg") if algorithm == "cb" else ()):
        automls.clear()
        agrees(order(kind, use_algos=[[algorithm]]), automls)


def test_scores_that_differ_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lama_scorer, "TOLERANCE", -1.0)
    with pytest.raises(lama_scorer.NotPlain, match="scores as plain numbers are others"):
        lama_fit.fit(order("binary", use_algos=[["linear_l2"]]))


def test_what_float32_loses_in_a_linear_models_sums_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    given = order("multiclass", n=960, use_algos=[["linear_l2"]], penalties=[1e5])
    x = np.random.default_rng(0).standard_t(5, size=(960, 64)).astype(np.float32)
    label = np.digitize(x[:, :8].sum(1), [-3.0, 0.0, 3.0])  # apart by a plane: weights of twenty
    apart = []
    dumps = lama_scorer.dumps

    def spy(automl: Any, rows: np.ndarray) -> bytes:
        model = dumps(automl, rows)
        own = automl.predict(lama_library.as_frame(rows)).data
        apart.append(np.abs(lama_scorer.loads(model)(rows) - own).max())
        return model

    monkeypatch.setattr(lama_scorer, "dumps", spy)
    lama_fit.fit(replace(given, x=x, label=label))
    assert 1e-6 < apart[0] < 1e-4, "else this shows nothing"


@pytest.mark.parametrize("change", [1.001, 0.999])
def test_a_weight_that_is_a_thousandth_off_is_a_difference(change: float, monkeypatch: pytest.MonkeyPatch) -> None:
    linear = lama_scorer._linear

    def off(*given: Any) -> lama_scorer.Linear:
        found = linear(*given)
        return replace(found, weights=(change * np.array(found.weights)).tolist())

    monkeypatch.setattr(lama_scorer, "_linear", off)
    with pytest.raises(lama_scorer.NotPlain, match="scores as plain numbers are others"):
        lama_fit.fit(order("multiclass", use_algos=[["linear_l2"]]))


def test_a_pickle_is_no_model_and_none_of_its_code_runs(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "exploded"),))

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(ValueError):
            lama_scorer.loads(pickle.dumps(Bomb(), protocol))
    assert not (tmp_path / "exploded").exists()


def test_damaged_trees_end_in_an_error_not_in_an_endless_walk() -> None:
    (forest,) = json.loads(lama_fit.fit(order("reg", use_algos=[["rf"]])).model)
    whole = base64.b64decode(forest["folds"][0]["left"])
    rng = np.random.default_rng(0)
    for _ in range(50):
        bent = np.frombuffer(whole, "<i4").copy()
        inner = rng.choice(np.flatnonzero(bent >= 0))
        bent[inner] = rng.choice([0, inner - 1, 2**30])
        forest["folds"][0]["left"] = base64.b64encode(bent.tobytes()).decode()
        if bent.tobytes() != whole:
            with pytest.raises((ValueError, IndexError)):
                lama_scorer.loads(json.dumps([forest]).encode())(unseen())


def tree(**changed: Any) -> dict[str, Any]:
    """A booster of one stump: 0.25 where column 0 is at most 0.5, else -1; with some of its arrays changed."""
    arrays = {"column": [0, -1, -1], "threshold": [0.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1],
              "value": [[0], [0.25], [-1]]}  # fmt: skip
    fold = random_forest.encode([{name: np.array(v) for name, v in (arrays | changed).items()}])
    return {"kind": "sums", "share": 1.0, "columns": [0], "folds": [fold], "bases": [[1.0]], "sum": "f4",
            "link": "identity"}  # fmt: skip


HOSTILE = [
    tree(column=[7, -1, -1]),
    tree(left=[2**30, -1, -1]),
    tree(left=[0, -1, -1]),  # a ring
    tree(right=[0, -1, -1]),
    tree(value=[[0, 0], [1, 1], [1, 1]]),
    tree() | {"bases": [[1.0, 2.0]]},
    tree() | {"sum": "O"},
    tree() | {"link": "os.system"},
    tree() | {"columns": [3]},
    tree() | {"folds": [{**tree()["folds"][0], "start": base64.b64encode(b"\xff" * 8).decode()}]},
]


def test_trees_of_others_are_numbers_that_fit_together_or_refused() -> None:
    x = np.array([[0.5], [0.75], [-9.0]], np.float32)
    found = lama_scorer.loads(json.dumps([tree()]).encode())(x)
    np.testing.assert_array_equal(found[:, 0], [1.25, 0, 1.25])
    for part in HOSTILE:
        with pytest.raises((ValueError, IndexError)):
            lama_scorer.loads(json.dumps([part]).encode())(x)
    with pytest.raises(ValueError, match=r"^5,000,00\d values"):
        lama_scorer.loads(b"[" + b"0," * limits.JSON_VALUES + b"0]")


@pytest.mark.parametrize("library", ["cb", "xgb"])
def test_no_file_of_catboost_or_xgboost_is_opened_to_predict(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip({"cb": "catboost", "xgb": "xgboost"}[library])
    given = order("binary", n=240)
    if library == "cb":
        options = {"iterations": 9, "loss_function": "Logloss", "allow_writing_files": False, "verbose": False}
        model = module.CatBoost(options).fit(given.x, given.label)
        expected = model.predict(unseen(), prediction_type="Probability")[:, 1]
    else:
        model = module.train({"objective": "binary:logistic", "nthread": 1}, module.DMatrix(given.x, given.label), 9)
        expected = model.predict(module.DMatrix(unseen()))
    part = lama_scorer.TreeSums.from_models([0, 1, 2, 3], library, "binary", [model])
    text = json.dumps([{"kind": "sums", "share": 1.0, **vars(part)}]).encode()
    monkeypatch.setitem(sys.modules, module.__name__, None)
    found = lama_scorer.loads(text)(unseen())[:, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.ptp(found) > 0.1


def test_links() -> None:
    raw = np.array([[-800.0, 0.0], [2.0, 800.0]])
    np.testing.assert_allclose(lama_scorer.link("sigmoid", raw), [[0, 0.5], [1 / (1 + np.exp(-2)), 1]])
    np.testing.assert_allclose(lama_scorer.link("softmax", raw), [[0, 1], [0, 1]], atol=1e-300)
    assert lama_scorer.link("identity", raw) is raw
    with pytest.raises(ValueError, match="tanh"):
        lama_scorer.link("tanh", raw)


def test_a_model_that_is_none_of_ours_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    from heads.abaw.tasks import TASKS
    from heads.base.head import family

    kind = family("lama")
    base = json.dumps({"targets": [{"name": "valence", "kind": "reg", "columns": [0]}], "base": [0.0, 0.0]})
    (tmp_path / "lama.json").write_text(base)
    for content in (pickle.dumps([1]), b"[" * 100_000, b'[{"share": 1, "kind": "linear"}]', b"{}", b""):
        (tmp_path / "automl_0.json").write_bytes(content)
        head = kind(TASKS["va"], kind.Settings(family="lama", inputs=["logits"]))
        with pytest.raises((ValueError, TypeError), match=r"codec|within each other|missing|parts|Expecting"):
            head.load(tmp_path)
