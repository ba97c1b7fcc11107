"""Features of a new video: those of pictures and of sound, for each face."""

import av
import numpy as np
import pytest

from blend import predict_features
from blend.predict_source import Clip
from extract import faces, store
from extract.errors import InputError

NETWORKS = {"features": {"networks": ["audio", "demo_enet"]}}


def test_two_faces_share_the_sound_and_a_face_that_is_never_there_has_no_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "yunet", lambda path: lambda pixels: np.array([[10, 10, 50, 50, 0.95]]))
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
    clip = Clip(path, 30)
    found = clip.find_faces(tmp_path / "work", 2, 112, None)
    predict_features.extract([], NETWORKS, clip, found, tmp_path / "work")
    left, right = (store.read(store.path(tmp_path / "work", "demo_enet", f"clip_{side}")) for side in ("left", "right"))
    heard = store.read(store.path(tmp_path / "work", "audio", "clip_left"))
    assert left.frame.tolist() == heard.frame.tolist() == list(range(1, 26)) and len(right.frame) == 0
    assert np.ptp(np.asarray(heard.embedding, np.float32)) > 0


def test_a_folder_of_crops_has_no_sound(tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()
    import cv2

    cv2.imwrite(str(folder / "00001.jpg"), np.zeros((8, 8, 3), np.uint8))
    clip = Clip(folder, 30)
    found = clip.find_faces(tmp_path / "work", 1, 112, None)
    with pytest.raises(InputError, match="a folder of crops has no sound, but heads read 'audio'; give the video"):
        predict_features.extract([], NETWORKS, clip, found, tmp_path / "work")
