"""The chain on real photographs and real networks: the reference material beside the project, where it is present."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"
PHOTOS, MODELS = SHARED / "data" / "photos", SHARED / "models"
CONFIG = f"""
[corpus]
name = "photos"
frames = "{PHOTOS}/frames"
[corpus.expr]
train = "{PHOTOS}/annotations/EXPR_Classification_Challenge/Train_Set"
val = "{PHOTOS}/annotations/EXPR_Classification_Challenge/Validation_Set"
test = "{PHOTOS}/test_set/EXPR_test_set_sample.txt"
[features]
networks = ["faceres", "fer"]
[networks.faceres]
path = "{MODELS}/faceres.onnx"
size = 224
colour = "bgr"
mean = [0.4076, 0.4580, 0.4850]
std = [0.00392157, 0.00392157, 0.00392157]
embedding = "global_pooling/Mean:0"
[networks.fer]
path = "{MODELS}/mini_xception_fer2013.onnx"
size = 64
colour = "grey"
mean = [0.5]
std = [0.5]
logits = "logits"
classes = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
"""


@pytest.mark.slow
@pytest.mark.skipif(not PHOTOS.is_dir() or not MODELS.is_dir(), reason="the reference photographs are not here")
def test_real_photographs_and_networks_end_in_a_checked_submission(tmp_path):
    (tmp_path / "photos.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "blend.run", "--task", "expr", "--config", str(tmp_path / "photos.toml")]
    done = subprocess.run([*command, "--work", str(tmp_path / "work")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "work" / "blend" / "expr"
    report = json.loads((out / "report.json").read_text())
    listed = (PHOTOS / "test_set" / "EXPR_test_set_sample.txt").read_text().splitlines()
    lines = (out / "submission.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == [line.split(",")[0] for line in listed]
    assert all(line.split(",")[1] in "01234567" for line in lines[1:])
    # by-video cross-fitted macro F1; a scaled logistic regression on the faceres embedding reaches 0.44
    alone = {name: way["cross_fitted"] for name, way in report["baselines"].items() if name != "equal"}
    assert set(alone) == set(report["heads"]) and max(alone.values()) >= 0.47, alone
    assert report["cross_fitted"]["pooled"] >= 0.50
