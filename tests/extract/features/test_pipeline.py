import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from extract.features import pipeline
from extract.media import frames


class MeanEngine:
    """Answers with the picture's mean, last submitted first, to show that order of arrival does not matter."""

    network = SimpleNamespace(name="stand-in", size=8, colour="rgb")
    widths = {"embedding": 1}  # noqa: RUF012
    on_gpu = False

    def __init__(self):
        self.waiting = []
        self.begun = 0

    def begin_video(self):
        self.begun += 1

    def submit(self, picture, done):
        self.waiting.append((picture, done))
        if len(self.waiting) > 5:
            self.flush()

    def flush(self):
        while self.waiting:
            picture, done = self.waiting.pop()
            done({"embedding": np.array([picture.mean()], np.float32)})


def run(folders):
    jobs = [pipeline.Job(folder.name, folder, frames.list_frames(folder)) for folder in folders]
    written, advanced, engine = [], [], MeanEngine()
    pipeline.extract(engine, jobs, lambda *what: written.append(what), advanced.append)
    assert engine.begun == sum(1 for job in jobs if job.frames.names), "told of every video, also where it begins badly"
    return written, sum(advanced)


def test_every_frame_gets_its_own_row_in_order_of_frames(crops):
    written, count = run(sorted(crops.iterdir()))
    assert [job.video for job, _, _ in written] == ["a", "b_left", "empty"]
    assert count == 10
    for job, features, failures in written:
        assert not failures
        assert features.frame.tolist() == job.frames.numbers.tolist()
        means = [
            np.asarray(Image.open(job.folder / name).resize((8, 8), Image.Resampling.BILINEAR)).mean()
            for name in job.frames.names
        ]
        np.testing.assert_array_equal(features.embedding[:, 0], np.array(means, np.float16))


def test_more_pictures_than_may_wait(tmp_path):
    folder = tmp_path / "long"
    folder.mkdir()
    for number in range(1, 2 * pipeline.AHEAD + 20):
        Image.new("RGB", (8, 8), (number, number, number)).save(folder / f"{number:05d}.png")
    [(_, features, _)], count = run([folder])
    assert count == len(features.frame) == 2 * pipeline.AHEAD + 19
    np.testing.assert_array_equal(features.embedding[:, 0], np.arange(1, 2 * pipeline.AHEAD + 20))


def test_unreadable_pictures_are_frames_without_a_face_and_are_named(crops):
    (crops / "a" / "00003.jpg").write_bytes(b"")
    (crops / "a" / "cover.jpg").write_bytes(b"")
    [(_, features, failures)], count = run([crops / "a"])
    assert features.frame.tolist() == [1, 2, 6, 7, 8, 12]
    assert sorted(failure.path.name for failure in failures) == ["00003.jpg", "cover.jpg"]
    assert count == 7


class Work:
    """What decodes side by side: of 16 cores, lots of as many pictures as a test has."""

    def __init__(self, monkeypatch, seconds=0.0):
        self.now, self.most, self._lock, self._seconds = 0, [], threading.Lock(), seconds
        monkeypatch.setattr(pipeline.process, "thread_limit", lambda: 16)
        monkeypatch.setattr(pipeline, "_decode", self.decode)

    def decode(self, *_):
        with self._lock:
            self.now += 1
            self.most.append(self.now)
        time.sleep(self._seconds)
        with self._lock:
            self.now -= 1
        return np.zeros((8, 8, 3), np.uint8)

    def run(self, tmp_path, each, pictures, engine):
        names = tuple(f"{number:05d}.jpg" for number in range(1, each + 1))
        some = frames.Frames(np.arange(1, each + 1, dtype=np.int32), names, ())
        jobs = [pipeline.Job(f"v{number}", tmp_path, some) for number in range(pictures // each)]
        advanced = []
        pipeline.extract(engine, jobs, lambda *_: None, advanced.append)
        assert sum(advanced) == pictures


@pytest.mark.parametrize(("on_gpu", "threads"), [(True, 16), (False, 8)])
@pytest.mark.parametrize("each", [1, 128])
def test_threads_decode_whatever_the_videos_lengths_half_of_them_beside_a_network_on_the_cpu(
    tmp_path, monkeypatch, each, on_gpu, threads
):
    work, engine = Work(monkeypatch, 0.02), MeanEngine()
    engine.on_gpu = on_gpu
    monkeypatch.setattr(pipeline, "WAITING", 2)
    work.run(tmp_path, each, 256, engine)
    assert max(work.most) == threads


def test_the_network_gets_its_first_picture_before_a_whole_lot_is_decoded(tmp_path, monkeypatch):
    work, engine, begun, waited = Work(monkeypatch), MeanEngine(), threading.Event(), []
    submit = engine.submit
    monkeypatch.setattr(engine, "submit", lambda *given: (begun.set(), submit(*given)))

    def decode(*_):
        if len(work.most) >= pipeline.FIRST:
            waited.append(begun.wait(10))
        return work.decode()

    monkeypatch.setattr(pipeline, "_decode", decode)
    monkeypatch.setattr(pipeline.process, "thread_limit", lambda: 1)
    work.run(tmp_path, 2 * pipeline.AHEAD, 2 * pipeline.AHEAD, engine)
    assert len(waited) == 2 * pipeline.AHEAD - pipeline.FIRST and all(waited)


def test_all_cores_decode_where_the_network_waits_and_half_where_it_does_not(tmp_path, monkeypatch):
    work = Work(monkeypatch, 0.01)
    work.run(tmp_path, 640, 640, MeanEngine())
    assert max(work.most[: 8 * pipeline.LOT]) == 8 and max(work.most) == 16
    work, engine = Work(monkeypatch), MeanEngine()
    submit = engine.submit
    monkeypatch.setattr(engine, "submit", lambda *given: (time.sleep(0.002), submit(*given)))
    work.run(tmp_path, 320, 320, engine)
    assert max(work.most) <= 8


def test_one_core_decodes_with_one_thread(tmp_path, monkeypatch):
    """A batch system's limit counts, on a GPU, too."""
    for on_gpu in (False, True):
        work, engine = Work(monkeypatch, 0.001), MeanEngine()
        engine.on_gpu = on_gpu
        monkeypatch.setattr(pipeline.process, "thread_limit", lambda: 1)
        work.run(tmp_path, 64, 64, engine)
        assert max(work.most) == 1
