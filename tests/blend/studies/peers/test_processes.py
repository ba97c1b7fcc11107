"""Peers in processes of their own: which there are, what they leave, and what is said where they fail."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from blend.studies.ablation import Data
from blend.studies.peers import export, processes, worker
from blend.studies.peers.processes import Peer
from extract.runtime.errors import InputError, WorkError
from heads.abaw.tasks import TASKS
from heads.data import predictions
from heads.data.predictions import Predictions

VA = TASKS["va"]
GIVEN = {"limit": 1.0, "presets": ""}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a peer learns from, of which nobody looks where it came from."""
    rng, folder = np.random.default_rng(0), tmp_path / "rows"
    folder.mkdir()
    x = rng.standard_normal((40, 3)).astype(np.float32)
    group = np.repeat(np.arange(4), 10)
    about = {"labels": np.array("regression"), "outputs": np.array(2), "x": x, "y": np.tanh(x[:, :2])}
    about |= {"weight": np.ones(40), "group": group, "scale": np.ones(3, np.float32)}
    np.savez(folder / "train.npz", **about)
    (folder / "dev" / "0").mkdir(parents=True)
    np.save(folder / "dev" / "0" / "dev.npy", group == 3)
    np.save(folder / "val.npy", x[:5])

    def as_predictions(data: Data, part: str, scores: np.ndarray) -> Predictions:
        return Predictions(VA.outputs, {part: (np.arange(1, len(scores) + 1, dtype=np.int32), scores)})

    monkeypatch.setattr(export, "as_predictions", as_predictions)
    return folder


def test_the_first_python_that_has_a_peer_runs_it_and_one_that_none_has_is_left_out(monkeypatch, capsys):
    there = {"here": {"lightgbm": "4"}, "apart": {"lightgbm": "3", "autogluon": "1.6"}}
    monkeypatch.setattr(processes, "_find_installed", there.__getitem__)
    found = processes.find(["lightgbm", "autogluon", "tabm"], ["here", "apart"])
    assert found == [Peer("lightgbm", "here", "4"), Peer("autogluon", "apart", "1.6")]
    assert capsys.readouterr().err == "tabm: tabm is not installed in here or apart: left out\n"
    with pytest.raises(InputError, match="--peers xgb: no such peer; there are logistic, "):
        processes.find(["xgb"], ["here"])


def test_a_python_that_cannot_be_used_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"--python .*nowhere: cannot be used \(.*; give a Python of 3.11 or later"):
        processes.find(["lightgbm"], [str(tmp_path / "nowhere")])
    with pytest.raises(InputError, match=r"--python /bin/false: cannot be used \(a process: ended with code 1"):
        processes.find(["lightgbm"], ["/bin/false"])


def test_a_python_may_say_more_than_a_pipe_holds(tmp_path):
    loud = tmp_path / "python"
    loud.write_text('#!/bin/sh\nhead -c 300000 /dev/zero >&2\necho \'{"tabm": "1"}\'\n')
    loud.chmod(0o755)
    assert processes.find(["tabm"], [str(loud)]) == [Peer("tabm", str(loud), "1")]


def test_a_peer_leaves_a_folder_of_predictions_and_is_not_asked_again(rows, tmp_path, monkeypatch):
    [peer] = processes.find(["logistic"], [sys.executable])
    folder = tmp_path / "learnt"
    data = Data(tmp_path, VA, (), {})
    processes.learn(peer, data, rows, "mark", 0, folder, GIVEN)
    found = predictions.read(folder / "val.parquet", VA).videos["val"][1]
    arrays = worker.learn(rows, "logistic", 0, 1.0, "")
    np.testing.assert_array_equal(found, arrays["val"])
    assert processes.read_seconds(folder) >= 0 and not (folder / "test.parquet").exists()
    assert not [path for path in folder.iterdir() if path.is_dir()], "what libraries leave is gone"

    def forbidden(*_):
        raise AssertionError("asked again")

    monkeypatch.setattr(processes, "_start", forbidden)
    processes.learn(peer, data, rows, "mark", 0, folder, {"limit": 9.0, "presets": "best"})  # not of this peer
    with pytest.raises(AssertionError, match="asked again"):
        processes.learn(peer, data, rows, "other rows", 0, folder, GIVEN)


def test_a_peer_that_fails_is_named_with_its_last_words(rows, tmp_path):
    (rows / "train.npz").write_bytes(b"no archive")
    with pytest.raises(WorkError, match=r"logistic: ended with code 1: .*(all of it: .*log.txt)"):
        processes.learn(Peer("logistic", sys.executable, "1"), Data(tmp_path, VA, (), {}), rows, "", 0, tmp_path, GIVEN)
