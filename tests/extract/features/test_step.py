from __future__ import annotations

import json
import os

import numpy as np
import onnx
import pytest

from extract.config import Config
from extract.features import pipeline, provenance, store
from extract.features import step as feature_step
from extract.media import frames
from extract.networks import registry
from extract.runtime import locks
from extract.runtime.run_folder import file_hash


@pytest.fixture
def part(tmp_path, crops, network_file):
    """`part(redo=...)` is all of the crops' videos through a small network."""
    network_file(tmp_path / "net.onnx", size=32)
    about = {"path": str(tmp_path / "net.onnx"), "size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "logits": "output"}
    config = Config.model_validate(
        {
            "corpus": {"name": "c", "frames": str(crops)},
            "features": {"networks": ["net"], "engine": "openvino"},
            "networks": {"net": about},
        }
    )

    def make(redo: bool = False) -> feature_step.NetworkStep:
        videos = frames.list_videos([crops])
        jobs = [pipeline.Job(video, folder, frames.list_frames(folder)) for video, folder in videos.items()]
        return feature_step.NetworkStep(
            registry.find("net", config), jobs, tmp_path / "work", config.features, "", redo
        )

    return make


def test_what_is_missing_is_todo_until_it_is_made(part, tmp_path):
    one = part()
    todo = one.todo()
    assert [job.video for job in todo] == ["a", "b_left", "empty"] and [*map(one.size, todo)] == [7, 3, 0]
    assert one.name == "net" and one.gpu is False
    counted = []
    one.make_of(todo[1:], counted.append)
    assert sum(counted) == 3 and [job.video for job in part().todo()] == ["a"]
    assert not one.is_done(todo[0]) and one.is_done(todo[1]) and one.is_done(todo[2])
    one.make()
    assert part().todo() == [] and len(store.read(store.path(tmp_path / "work", "net", "a")).frame) == 7


def test_a_redo_makes_each_video_once_however_often_it_begins(part, tmp_path):
    part().make()
    file = store.path(tmp_path / "work", "net", "a")
    for path in file.parent.glob("*.safetensors"):
        os.utime(path, (1, 1))  # nothing was made just now, whatever the tick of the disk's clock
    before = file.stat().st_mtime_ns
    again = part(redo=True)
    todo = again.todo()
    assert [job.video for job in todo] == ["a", "b_left", "empty"]
    again.make_of(todo[:1], lambda count: None)
    assert file.stat().st_mtime_ns > before
    assert [job.video for job in part().todo()] == ["b_left", "empty"], "whoever goes on goes on with the redo"
    last = part()
    last.make()
    last.finish()
    assert part().todo() == []


def test_what_another_process_holds_is_left_to_it(part, tmp_path):
    """Its video is passed over once it is there, and counted."""
    one, other = part(), part()
    todo = one.todo()
    claims = locks.Claims(tmp_path / "work" / "features" / "net" / ".locks")
    assert claims.take("a")
    counted = []

    def done_by_another(count: int) -> None:
        counted.append(count)
        if sum(counted) == 3:  # all but the one that is held
            claims.release("a")
            other.make_of([job for job in other.todo() if job.video == "a"], lambda count: None)

    one.make_of(todo, done_by_another)
    assert sum(counted) == 10 and counted[-1] == 7 and part().todo() == []


def test_unreadable_pictures_are_listed_until_they_are_mended(part, crops, tmp_path, capsys):
    whole = (crops / "a" / "00002.jpg").read_bytes()
    (crops / "a" / "00002.jpg").write_bytes(b"none")
    one = part()
    one.make()
    one.finish()
    listed = tmp_path / "work" / "features" / "net" / "failures.json"
    [failure] = json.loads(listed.read_text())
    assert failure["picture"] == str(crops / "a" / "00002.jpg")
    assert "00002.jpg" in capsys.readouterr().err
    (crops / "a" / "00002.jpg").write_bytes(whole)
    one = part()
    assert [job.video for job in one.todo()] == ["a"]
    one.make()
    one.finish()
    assert not listed.exists() and len(store.read(store.path(tmp_path / "work", "net", "a")).frame) == 7


def test_features_that_old_code_made_of_a_network_of_whole_numbers_are_made_anew_once(part, tmp_path):
    model = onnx.load(tmp_path / "net.onnx")
    taken = model.graph.input[0]
    for node in model.graph.node:
        node.input[:] = ["real" if name == taken.name else name for name in node.input]
    taken.type.tensor_type.elem_type = onnx.TensorProto.UINT8
    model.graph.node.insert(0, onnx.helper.make_node("Cast", [taken.name], ["real"], to=onnx.TensorProto.FLOAT))
    onnx.save(model, tmp_path / "net.onnx")
    one = part()
    one.make()
    assert part().todo() == []
    old = provenance.describe(one.network, file_hash(tmp_path / "net.onnx"), "fp32")
    for job in one.jobs:
        path = store.path(tmp_path / "work", "net", job.video)
        frame = store.read(path).frame
        zeros = store.VideoFeatures(frame, logits=np.zeros((len(frame), 5), np.float32))
        store.write(path, zeros, old | provenance.describe_video(job, [], ""))
    assert len(part().todo()) == len(one.jobs)
    part().make()
    assert part().todo() == [] and store.read(store.path(tmp_path / "work", "net", "a")).logits.any()
