"""Features of a new video: those of pictures and of sound, for each face."""

import json

import av
import cv2
import numpy as np
import pytest

from blend import apply
from blend.decision.params import Params
from blend.predict import features as video_features
from blend.predict import trained_blends as predict_blends
from blend.predict.source import VideoSource
from blend.predict.trained_blends import TrainedBlend
from extract.faces import crop_videos
from extract.features import store
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json
from heads.abaw.tasks import TASKS
from heads.data import table
from heads.data.table import Source

NETWORKS = {"features": {"networks": ["audio", "demo_enet"]}}


def test_two_faces_share_the_sound_and_a_face_that_is_never_there_has_no_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(crop_videos, "yunet", lambda path: lambda pixels: np.array([[10, 10, 50, 50, 0.95]]))
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream, sound = container.add_stream("libx264", rate=25), container.add_stream("aac", rate=16000)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for k in range(25):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 160, 3), 9 * k, np.uint8))))
        noise = np.random.default_rng(0).normal(0, 0.1, (1, 16000)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        frame.sample_rate = 16000
        for stream_, some in ((sound, frame), (sound, None), (stream, None)):
            container.mux(stream_.encode(some))
    clip = VideoSource(path, 30)
    found = clip.find_faces(tmp_path / "work", 2, 112, None)
    video_features.extract([], NETWORKS, clip, found, tmp_path / "work")
    left, right = (store.read(store.path(tmp_path / "work", "demo_enet", f"clip_{side}")) for side in ("left", "right"))
    heard = store.read(store.path(tmp_path / "work", "audio", "clip_left"))
    assert left.frame.tolist() == heard.frame.tolist() == list(range(1, 26)) and len(right.frame) == 0
    assert np.ptp(np.asarray(heard.embedding, np.float32)) > 0


def crops_of(tmp_path, frames):
    """A folder of crops, and what looking for faces finds in it."""
    folder = tmp_path / "v"
    folder.mkdir()
    for k in range(1, frames + 1):
        cv2.imwrite(str(folder / f"{k:05d}.jpg"), np.full((8, 8, 3), 20 * k % 256, np.uint8))
    clip = VideoSource(folder, 30)
    return clip, clip.find_faces(tmp_path / "work", 1, 112, None)


def trained(folder, optional):
    task = TASKS["va"]
    blend = apply.Blend(Params("va", task.outputs, ("a",), (1.0,)), {"valence": 0, "arousal": 0}, "train")
    return TrainedBlend(folder, folder, task, blend, {"a": folder / "a"}, ("audio", "demo_enet"), frozenset(optional))


def test_a_folder_of_crops_has_no_sound(tmp_path):
    clip, found = crops_of(tmp_path, 1)
    some = [trained(tmp_path / "one", ["audio"]), trained(tmp_path / "other", [])]
    with pytest.raises(InputError, match="a folder of crops has no sound, but heads read 'audio'; give the video"):
        video_features.extract(some, NETWORKS, clip, found, tmp_path / "work")


@pytest.mark.parametrize("frames", [3, 40])
def test_sound_that_every_head_can_do_without_is_absent_from_a_folder_of_crops(tmp_path, frames):
    clip, found = crops_of(tmp_path, frames)
    work, some = tmp_path / "work", [trained(tmp_path / "one", ["audio"])]
    for _ in range(2):
        video_features.extract(some, NETWORKS, clip, found, work)
    sources = (Source("demo_enet", ("embedding",)), Source("audio", ("embedding",), optional=True))
    rows = table.load(work, sources, ["v"])
    assert rows.frame.tolist() == list(range(1, frames + 1)) and rows.columns[-1] == "audio.present.0"
    assert not rows.present["audio"].any() and rows.blocks[0].values.any()


def test_a_network_is_optional_where_every_head_of_the_blend_can_do_without(tmp_path):
    """Read from the models' files, also those that are older than optional networks."""
    work, params = tmp_path / "work", Params("va", TASKS["va"].outputs, ("a", "b"), (0.5, 0.5))
    write_json(work / "blend" / "va" / "params.json", params.as_json() | {"prior": {"valence": 0, "arousal": 0}})
    reads = {"a": {"audio": True, "x": True}, "b": {"audio": True, "x": False, "y": None}}
    for head, networks in reads.items():
        model = work / "heads" / "va" / head / "model"
        model.mkdir(parents=True)
        sources = [{"network": n} | ({} if may is None else {"optional": may}) for n, may in networks.items()]
        (model / "model.json").write_text(json.dumps({"sources": sources}))
        run_folder.finish(model, "mark", {}, ["model.json"])
    [one] = predict_blends.find([work / "blend" / "va"])
    assert one.networks == ("audio", "x", "y") and one.optional == {"audio"}
