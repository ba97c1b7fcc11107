"""The corpus on disk: layout, official formats, resumption. A short cast stands for the long one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from extract.demo import corpus, plan, sound

SHORT = tuple(
    replace(plan.video(name), frames=frames, gaps=gaps)
    for name, frames, gaps in (
        ("demo-01", 12, ((0, 2), (10, 12))),
        ("demo-13_left", 10, ()),
        ("demo-14", 9, ((4, 5),)),
        ("demo-22", 8, ()),
        ("demo-23", 11, ((2, 8),)),
    )
)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Play with five short videos, whose motions are not kept for the long ones of the same names, nor theirs."""
    monkeypatch.setattr(corpus, "DEMO_VIDEOS", SHORT)
    monkeypatch.setattr(plan, "video", {row.name: row for row in SHORT}.__getitem__)
    monkeypatch.setattr(plan, "episodes", lambda seed, name: ["Neutral", "Happiness"])
    plan.motion.cache_clear()
    yield
    plan.motion.cache_clear()


def contents(folder: Path) -> dict[str, bytes]:
    """Everything a reader can see, by relative path."""
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def hidden(folder: Path) -> list[str]:
    """Leftovers that should not be there."""
    return [p.name for p in folder.rglob(".*") if p.name not in (".lock", ".version")]


def test_layout_formats_and_missing_faces(short, tmp_path):
    told = []
    corpus.make(tmp_path, lambda done, total: told.append((done, total)), processes=1)
    assert told[0] == (0, 50) and told[-1] == (50, 50) and told == sorted(told)
    where = corpus.paths(tmp_path)
    first = sorted(p.name for p in (where["frames"] / "demo-01").iterdir())
    assert first == [f"{i:05d}.jpg" for i in range(3, 11)]
    image = cv2.imread(str(where["frames"] / "demo-01" / "00003.jpg"))
    assert image.shape == (112, 112, 3) and image.std() > 20
    for task, header, width in (
        ("au", "AU1,AU2,AU4,AU6", 12),
        ("expr", "Neutral,Anger", 1),
        ("va", "valence,arousal", 2),
    ):
        for row in SHORT:
            home = where["truth"][task] if row.part == "test" else where[task][row.part]
            file = home / f"{row.name}.txt"
            assert file.exists() == (task in row.tasks)
            if file.exists():
                lines = file.read_text().splitlines()
                assert lines[0].startswith(header) and len(lines) == row.frames + 1
                assert all(len([float(v) for v in line.split(",")]) == width for line in lines[1:])
    assert (tmp_path / "DONE").read_text() == f"{corpus.VERSION}\n{corpus.ANNOTATIONS}\n" and corpus.is_done(tmp_path)
    assert hidden(tmp_path) == []


def test_test_lists_name_every_frame_in_both_official_styles(short, tmp_path):
    corpus.make(tmp_path, processes=1)
    where = corpus.paths(tmp_path)
    units = where["au"]["test"].read_text().splitlines()
    assert units[0] == "image_location,AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
    assert units[1] == "demo-22/00001.jpg," and len(units) == 1 + 8 + 11
    affect = where["va"]["test"].read_text().splitlines()
    assert affect[0] == "image_location,valence,arousal" and affect[1] == "demo-23/00001.jpg,0,0" and len(affect) == 12
    assert (
        where["expr"]["test"]
        .read_text()
        .startswith("image_location,Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other\n")
    )


def test_same_bytes_again_and_after_an_interruption_at_any_video(short, tmp_path, monkeypatch):
    corpus.make(tmp_path / "whole", processes=1)
    whole = contents(tmp_path / "whole")
    render = corpus.render_video
    for stop in range(1, 5):
        count = 0

        def dies(job, stop=stop):
            nonlocal count
            count += 1
            if count == stop:  # leave what a killed process leaves: a half-written hidden folder
                left = job[0] / f".{job[2]}.999.partial"
                left.mkdir()
                (left / "00003.jpg").write_bytes(b"half")
                raise KeyboardInterrupt
            return render(job)

        folder = tmp_path / f"broken{stop}"
        monkeypatch.setattr(corpus, "render_video", dies)
        with pytest.raises(KeyboardInterrupt):
            corpus.make(folder, processes=1)
        assert not corpus.is_done(folder)
        monkeypatch.setattr(corpus, "render_video", render)
        corpus.make(folder, processes=1)
        assert contents(folder) == whole and hidden(folder) == []


def test_a_finished_corpus_is_left_alone_and_another_version_is_made_anew(short, tmp_path, monkeypatch):
    corpus.make(tmp_path, processes=1)
    before = contents(tmp_path)
    picture = tmp_path / "cropped_aligned" / "demo-14" / "00001.jpg"
    picture.write_bytes(b"changed")
    corpus.make(tmp_path, processes=1)
    assert picture.read_bytes() == b"changed"
    (tmp_path / "DONE").write_text("demo corpus 0\n")
    (tmp_path / ".version").write_text("demo corpus 0\n")
    corpus.make(tmp_path, processes=1)
    assert contents(tmp_path) == before


def test_sound_is_written_when_it_is_asked_for_and_goes_on_after_an_interruption(short, tmp_path, monkeypatch):
    corpus.make(tmp_path, processes=1)
    tracks = corpus.paths(tmp_path)["videos"]
    assert not tracks.exists() and not corpus.has_sound(tmp_path)
    render, heard = sound.render, []

    def dies(seed, rows):
        heard.append(rows)
        if len(heard) == 2:
            raise KeyboardInterrupt
        return render(seed, rows)

    monkeypatch.setattr(sound, "render", dies)
    with pytest.raises(KeyboardInterrupt):
        corpus.make_sound(tmp_path)
    assert not corpus.has_sound(tmp_path) and len(list(tracks.glob("*.wav"))) == 1
    corpus.make_sound(tmp_path)
    assert corpus.has_sound(tmp_path) and corpus.is_done(tmp_path)
    assert {file.stem for file in tracks.glob("*.wav")} == set(sound.tracks(corpus.DEMO_VIDEOS))
    count = len(heard)
    corpus.make_sound(tmp_path)
    assert len(heard) == count, "it is there"


def test_two_processes_write_what_the_renderer_draws(tmp_path):
    frames = tmp_path / "frames"
    frames.mkdir()
    # Workers import afresh and see the real cast: take its shortest videos, then compare with this process's pictures.
    names = ["demo-12", "demo-08"]
    jobs = [(frames, plan.SEED, name) for name in names]
    assert sorted(corpus.run_jobs(corpus.render_video, jobs, processes=2)) == sorted(names)
    for number, image in list(corpus.pictures(plan.SEED, "demo-12"))[::40]:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, corpus.JPEG_QUALITY])[1].tobytes()
        assert (frames / "demo-12" / f"{number:05d}.jpg").read_bytes() == data
    assert len(list((frames / "demo-08").iterdir())) == int(plan.has_face(plan.video("demo-08")).sum())


def test_a_video_somebody_else_finished_meanwhile_is_kept(short, tmp_path):
    (tmp_path / "demo-14").mkdir()
    (tmp_path / "demo-14" / "00001.jpg").write_bytes(b"theirs")
    assert corpus.render_video((tmp_path, plan.SEED, "demo-14")) == "demo-14"
    assert (tmp_path / "demo-14" / "00001.jpg").read_bytes() == b"theirs" and hidden(tmp_path) == []


def test_a_kill_leaves_whole_videos_only(tmp_path):
    code = f"from pathlib import Path; from extract.demo.corpus import make; make(Path({str(tmp_path)!r}), processes=1)"
    root = Path(corpus.__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    limit = time.monotonic() + 60
    while not list(tmp_path.glob("cropped_aligned/demo-*")) and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = sorted(p.name for p in (tmp_path / "cropped_aligned").iterdir() if not p.name.startswith("."))
    assert finished and not (tmp_path / "DONE").exists()
    for name in finished:
        pictures = list((tmp_path / "cropped_aligned" / name).iterdir())
        assert len(pictures) == int(plan.has_face(plan.video(name)).sum())
        assert np.all([p.stat().st_size > 1000 for p in pictures])
