from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heads.base import threads

ROOT = Path(__file__).resolve().parents[3]
FIT = """
import hashlib, json
import numpy as np
from heads.base.head import family
from heads.data.table import Block, LabelledRows, Rows
from heads.abaw.tasks import TASKS

rng = np.random.default_rng(0)
n, width = 6000, 300
x = rng.normal(size=(n, width)).astype(np.float16)
blocks = (Block("n", "embedding", x),)
rows = Rows(("v",), np.zeros(n, np.int32), np.arange(1, n + 1, dtype=np.int32), blocks, np.arange(n))
truth = (x[:, :12] + rng.normal(size=(n, 12)) > 0.5).astype(np.uint8)
data = LabelledRows(rows, truth)
hashes = {}
for name, settings in {
    "mlp": {"hidden": 128, "batch": 512, "epochs": 2, "dropout": 0.3, "members": 2},
    "lightgbm": {"trees": 3},
}.items():
    kind = family(name)
    head = kind(TASKS["au"], kind.Settings.model_validate({"family": name, "inputs": ["embedding"], **settings}))
    head.fit(data, data.take(np.arange(500)), 1)
    hashes[name] = hashlib.sha256(head.predict(rows).tobytes()).hexdigest()
print(json.dumps(hashes))
"""


def fitted(count: int) -> str:
    environment = os.environ | threads.ENVIRONMENT | {threads.VARIABLE: str(count), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", FIT], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_a_bit() -> None:
    assert fitted(1) == fitted(3)


@pytest.mark.parametrize(("said", "threads_"), [("", 1), ("0", 1), ("3", 3), ("many", 1)])
def test_one_thread_where_nobody_said(said: str, threads_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(threads.VARIABLE, said)
    assert threads.threads() == threads_
