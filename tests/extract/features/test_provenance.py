import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from extract.features import pipeline, provenance, store
from extract.features.pipeline import Failure, Job
from extract.media import frames, images
from extract.networks.registry import NETWORKS
from extract.runtime.errors import InputError

NETWORK = NETWORKS["demo_enet"]


@pytest.fixture
def job(crops):
    return Job("a", crops / "a", frames.list_frames(crops / "a"))


def write(work, job, failures=(), corpus="", precision="fp32", engine="openvino"):
    about = provenance.describe(NETWORK, "hash", precision)
    path = store.path(work, NETWORK.name, job.video)
    features = store.VideoFeatures(np.array([1], np.int32), np.ones((1, 2), np.float16))
    store.write(
        path,
        features,
        about | provenance.describe_engine(engine) | provenance.describe_video(job, list(failures), corpus),
    )
    return path, about


def test_a_video_is_current_until_its_pictures_change(tmp_path, job):
    path, about = write(tmp_path, job)
    assert provenance.is_current(path, about, job, "")
    (job.folder / "00004.jpg").write_bytes((job.folder / "00001.jpg").read_bytes())
    more = Job("a", job.folder, frames.list_frames(job.folder))
    assert not provenance.is_current(path, about, more, "")


def test_another_version_of_an_embedded_corpus_has_other_pictures_of_the_same_names(tmp_path, job):
    path, about = write(tmp_path, job, corpus="version 1")
    assert provenance.is_current(path, about, job, "version 1")
    assert not provenance.is_current(path, about, job, "version 2")


def test_a_mended_picture_makes_its_video_out_of_date(tmp_path, job):
    whole = (job.folder / "00002.jpg").read_bytes()
    (job.folder / "00002.jpg").write_bytes(b"")
    path, about = write(tmp_path, job, [Failure(job.folder / "00002.jpg", "empty")])
    assert provenance.is_current(path, about, job, "")
    (job.folder / "00002.jpg").write_bytes(whole)
    assert not provenance.is_current(path, about, job, "")


def test_every_unreadable_picture_is_found_whoever_met_it(tmp_path, job):
    failure = Failure(job.folder / "00002.jpg", "empty")
    write(tmp_path, job, [failure])
    assert provenance.failures(tmp_path, NETWORK.name, [job]) == [failure]


def test_the_engine_is_on_record_and_does_not_decide(tmp_path, job):
    path, about = write(tmp_path, job, engine="torch 2.13.0 on NVIDIA H100, fp32")
    assert store.read_about(path)["engine"] == "torch 2.13.0 on NVIDIA H100, fp32"
    assert "pillow" in store.read_about(path)["versions"]
    assert provenance.is_current(path, about, job, "")


def test_other_settings_are_refused_with_both_named(tmp_path, job):
    path, _ = write(tmp_path, job)
    with pytest.raises(InputError, match=r"made with precision fp32; the config asks for precision bf16; .*--redo"):
        provenance.is_current(path, provenance.describe(NETWORK, "hash", "bf16"), job, "")


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.EACCES])
def test_a_picture_that_could_not_be_read_for_a_passing_reason_is_tried_again(tmp_path, monkeypatch, number):
    def refuse(path):
        raise OSError(number, os.strerror(number))

    (tmp_path / "00001.jpg").write_bytes(b"as it was")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(images.UnreadablePicture) as caught:
        images.read(tmp_path / "00001.jpg", 32, "rgb")
    monkeypatch.undo()
    for passing, size in ((caught.value.passing, provenance.AGAIN), (False, 9)):
        failure = pipeline.Failure(tmp_path / "00001.jpg", "why", passing)
        job = pipeline.Job("a", tmp_path, frames.list_frames(tmp_path))
        assert json.loads(provenance.describe_video(job, [failure], "")["unreadable"]) == [["00001.jpg", size, "why"]]
