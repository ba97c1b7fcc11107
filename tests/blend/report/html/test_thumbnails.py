"""Thumbnails: which frames, what they show, and that bad pictures harm nothing."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from blend import run
from blend.report.html import thumbnails
from extract.config import Corpus


def corpus(*roots):
    return Corpus(name="some", frames=[*roots])


def frames(folder, pool, numbers=range(1, 31)):
    """One plain picture per frame; its grey tells its number."""
    for v, video in enumerate(pool.videos):
        (folder / video).mkdir(parents=True)
        for n in numbers:
            Image.new("RGB", (64, 64), (8 * (n - 1),) * 3).save(folder / video / f"{n:05d}.jpg", quality=95)
        if v == 0:
            (folder / video / "00002.jpg").write_bytes(b"no picture")


def test_frames_are_evenly_spaced_and_shown_in_order(make_pool, tmp_path):
    pool = make_pool("au", videos=2)
    frames(tmp_path, pool)
    made = thumbnails.make(pool, corpus(tmp_path))
    assert len(made.frames) == len(made.strips) == 2 and len(made.frames[1]) == thumbnails.MAX_THUMBNAILS
    assert made.frames[1][0] == 1 and made.frames[1][-1] == 30 and 2 not in made.frames[0]
    assert max(np.diff(made.frames[1])) <= 2
    strip = Image.open(io.BytesIO(base64.b64decode(made.strips[1])))
    side = thumbnails.SIDE
    assert strip.size == (side * len(made.frames[1]), side)
    grey = np.asarray(strip.convert("L"), float)[side // 2, side // 2 :: side]
    np.testing.assert_allclose(grey, [8 * (n - 1) for n in made.frames[1]], atol=6)
    assert made == thumbnails.make(pool, corpus(tmp_path))


def test_without_frames_there_are_none(make_pool, tmp_path):
    pool = make_pool("au", videos=2)
    assert thumbnails.make(pool, corpus()) is None
    assert thumbnails.make(pool, corpus(tmp_path / "gone")) is None
    (tmp_path / "another").mkdir()
    assert thumbnails.make(pool, corpus(tmp_path)) is None


def test_a_video_without_pictures_has_an_empty_strip(make_pool, tmp_path):
    pool = make_pool("au", videos=2)
    frames(tmp_path, pool, range(1, 3))
    for picture in (tmp_path / pool.videos[0]).iterdir():
        picture.unlink()
    made = thumbnails.make(pool, corpus(tmp_path))
    assert made.frames == ((), (1, 2)) and made.strips[0] == ""


def test_many_videos_have_few_pictures_each(make_pool, tmp_path, monkeypatch):
    pool = make_pool("au", videos=3)
    frames(tmp_path, pool)
    monkeypatch.setattr(thumbnails, "BUDGET", 3 * 5 * thumbnails.PER_FACE)
    assert [len(one) for one in thumbnails.make(pool, corpus(tmp_path)).frames][1:] == [5, 5]


@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_shows_faces_unless_they_are_not_wanted(make_corpus, tmp_path, wanted):
    corpus = make_corpus("va")
    for video in ("val0", "val1"):
        (tmp_path / "frames" / video).mkdir(parents=True)
        Image.new("RGB", (32, 32), (200, 120, 90)).save(tmp_path / "frames" / video / "00003.jpg")
    config = corpus.config(fold_trials=1, folds=2, thumbnails=wanted)
    config = config.model_copy(update={"corpus": config.corpus.model_copy(update={"frames": [tmp_path / "frames"]})})
    run.main(config, "va", corpus.work)
    html = (corpus.work / "blend" / "va" / "report.html").read_text()
    assert (html.count('id="faces-') == 2) is wanted and ("pictures of faces" in html) is wanted
    assert 'id="timeline-0"' in html
