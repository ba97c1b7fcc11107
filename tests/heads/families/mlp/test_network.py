from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from heads.abaw.metrics import ccc
from heads.abaw.tasks import TASKS
from heads.families.mlp import network as mlp_network


def loss(task: str, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float:
    mlp_network.tensorflow()
    facts = TASKS[task]
    wanted = mlp_network.targets(facts, truth)
    return float(mlp_network.create_loss(facts, wanted, scores.astype(np.float32), weights.astype(np.float32)))


def test_losses_against_loops() -> None:
    rng = np.random.default_rng(1)
    expr, p, w = rng.integers(0, 8, 30).astype(np.int8), rng.dirichlet(np.ones(8), 30), rng.random(30)
    naive = np.mean([-w[i] * np.log(p[i, expr[i]]) for i in range(30)])
    assert loss("expr", expr, p, w) == pytest.approx(naive, rel=1e-5)

    au, q, u = rng.integers(0, 2, (30, 12)).astype(np.uint8), rng.uniform(0.01, 0.99, (30, 12)), rng.random((30, 12))
    naive = np.mean([-u[i, j] * np.log(q[i, j] if au[i, j] else 1 - q[i, j]) for i in range(30) for j in range(12)])
    assert loss("au", au, q, u) == pytest.approx(naive, rel=1e-5)

    va, s = rng.uniform(-1, 1, (30, 2)), rng.uniform(-1, 1, (30, 2))
    naive = 1 - (ccc(va[:, 0], s[:, 0]) + ccc(va[:, 1], s[:, 1])) / 2
    assert loss("va", va.astype(np.float32), s, np.ones(30)) == pytest.approx(naive, rel=1e-5)


def test_labels_get_their_weights() -> None:
    rng = np.random.default_rng(2)
    expr, by_class = rng.integers(0, 8, 30).astype(np.int8), rng.random(8).astype(np.float32)
    np.testing.assert_array_equal(mlp_network.weigh(TASKS["expr"], expr, by_class), by_class[expr])
    au, by_side = rng.integers(0, 2, (30, 12)).astype(np.uint8), rng.random((2, 12)).astype(np.float32)
    expected = [[by_side[au[i, j], j] for j in range(12)] for i in range(30)]
    np.testing.assert_array_equal(mlp_network.weigh(TASKS["au"], au, by_side), expected)


def imported(call: str) -> list[str]:
    """All modules of a process that has made a call of ours."""
    said = f"import sys; from heads.families.mlp import network; {call}; import keras; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True, timeout=120)
    return run.stdout.split()


def test_keras_comes_without_what_no_head_uses_where_a_process_only_trains() -> None:
    found = imported("network.load()")
    assert {"keras", "tensorflow"} <= {*found} and not {*mlp_network.UNUSED_MODULES} & {*found}


def test_nothing_is_hidden_from_a_users_own_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def hide(names: object) -> None:
        raise AssertionError(names)

    monkeypatch.setattr(mlp_network, "hide", hide)
    mlp_network.tensorflow()


@pytest.mark.slow
def test_keras_comes_with_all_that_it_wants_into_a_users_own_process() -> None:
    pytest.importorskip("sklearn")
    assert "sklearn" in imported("network.tensorflow()")


def test_imports_that_are_made_hide_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    mlp_network.tensorflow()
    import keras  # noqa: F401

    monkeypatch.setattr(mlp_network, "UNUSED_MODULES", None)  # not asked for
    mlp_network.load()
