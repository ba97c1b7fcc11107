"""What bad input gets, through the real command line: one line that names it and an exit code, never a traceback, and
never a half-written file that later counts as done.
"""

import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from support import command_server

from extract.faces.detector import DETECTOR
from extract.features import store

MODELS = Path(__file__).parents[3] / "shared" / "models"
CONFIG = """
[corpus]
name = "bad"
frames = "crops"
[features]
networks = ["net"]
engine = "openvino"
[networks.net]
path = "net.onnx"
size = 32
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
embedding = "embedding"
logits = "output"
"""


def command(*arguments, module="extract.run", env=(), **options):
    """Run a module as the user does; returns exit code, stdout, stderr. A traceback fails the test."""
    whole, environment = [sys.executable, "-m", module, *map(str, arguments)], os.environ | dict(env)
    if options:
        done = subprocess.run(whole, capture_output=True, text=True, timeout=120, env=environment, **options)
    else:
        done = command_server.run(whole, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def refused(*arguments, **options):
    """Run a module that refuses; returns its one line."""
    code, _, err = command(*arguments, **options)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1, (code, err)
    return err


def noise(mode="RGB", edge=40):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (edge, edge, 3), np.uint8)).convert(mode)


def saved(image, format, **options):
    into = io.BytesIO()
    image.save(into, format, **options)
    return into.getvalue()


@pytest.fixture
def corpus(tmp_path, network_file):
    """A network, a config, two videos of 3 whole pictures each."""
    network_file(tmp_path / "net.onnx", size=32)
    (tmp_path / "bad.toml").write_text(CONFIG)
    for video in "ab":
        folder = tmp_path / "crops" / video
        folder.mkdir(parents=True)
        for number in (1, 2, 3):
            (folder / f"{number:05d}.jpg").write_bytes(saved(noise(), "JPEG"))
    return tmp_path


def extract(corpus, work="work", *more, **options):
    work = Path(work) if Path(work).is_absolute() else corpus / work
    return command("--config", corpus / "bad.toml", "--work", work, *more, **options)


def files(work):
    return {path.name: path.read_bytes() for path in (work / "features" / "net").glob("*.safetensors")}


def test_damaged_pictures_are_named_counted_and_frames_without_a_face(corpus):
    jpeg, png = saved(noise(), "JPEG", quality=95), saved(noise(), "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = np.random.default_rng(0).integers(0, 65536, (40, 40), np.uint16)
    fine = {
        "00004.jpg": png,
        "00005.jpg": saved(noise("L"), "JPEG"),
        "00006.jpg": saved(noise("CMYK"), "JPEG"),
        "00007.png": saved(Image.fromarray(deep), "PNG"),
        "00008.png": saved(noise("RGBA"), "PNG"),
        "00009.png": saved(noise().quantize(32), "PNG"),
        "00010.png": saved(noise().quantize(32), "PNG", transparency=bytes(range(32))),
        "00011.jpg": saved(noise(), "JPEG", exif=turned),
        "00012.jpg": saved(noise(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08 no such thing"),
        "00013.png": cv2.imencode(".png", np.stack([deep] * 3, -1))[1].tobytes(),
        "00014.png": saved(noise("LA"), "PNG"),
        "00015.png": saved(noise("1"), "PNG"),
        "00016.jpg": saved(noise(edge=1), "JPEG"),
    }
    bad = {
        "00020.jpg": jpeg[: len(jpeg) // 2],
        "00021.jpg": b"",
        "00022.jpg": b"no picture",
        "00023.jpg": jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2),
        "00024.png": png[: len(png) // 2],
        "face.jpg": jpeg,
        "00025.bmp": saved(noise(), "BMP"),
    }
    for name, content in (fine | bad).items():
        (corpus / "crops" / "a" / name).write_bytes(content)
    (corpus / "crops" / "a" / "00026.jpg").symlink_to("gone.jpg")
    os.mkfifo(corpus / "crops" / "a" / "00027.jpg")  # nobody will ever write to it
    bad |= dict.fromkeys(("00026.jpg", "00027.jpg"))
    code, out, err = extract(corpus)
    assert code == 1 and "features of net" in out
    listed = json.loads((corpus / "work" / "features" / "net" / "failures.json").read_text())
    assert sorted(Path(entry["picture"]).name for entry in listed) == sorted(bad)
    assert err.count("counted as a frame without a face") == 5 and f"{len(bad) - 5} more unreadable pictures" in err
    assert err.count("\n") == 7, "nothing else is said"
    made = store.read(store.path(corpus / "work", "net", "a"))
    assert made.frame.tolist() == [1, 2, 3, *(int(name[:5]) for name in fine)]
    assert np.isfinite(made.embedding.astype(float)).all()
    assert extract(corpus)[0] == 1, "and so it says in the next run"
    (corpus / "crops" / "a" / "00021.jpg").write_bytes(jpeg)
    for name in bad.keys() - {"00021.jpg"}:
        (corpus / "crops" / "a" / name).unlink()
    assert extract(corpus)[0] == 0, "until they are mended"
    assert 21 in store.read(store.path(corpus / "work", "net", "a")).frame


def test_a_video_of_unreadable_pictures_alone_has_no_frame_and_stops_nothing(corpus):
    for path in (corpus / "crops" / "a").iterdir():
        path.write_bytes(b"")
    code, _, err = extract(corpus)
    assert code == 1 and err.count("the file is empty; counted") == 3
    assert store.read(store.path(corpus / "work", "net", "a")).embedding.shape == (0, 5)
    assert len(store.read(store.path(corpus / "work", "net", "b")).frame) == 3


FOLDERS = {
    "no such folder": (lambda crops: shutil.rmtree(crops), "frames folder cannot be read"),
    "a file": (lambda crops: (shutil.rmtree(crops), crops.touch()), "frames folder cannot be read"),
    "no video folder": (lambda crops: (shutil.rmtree(crops), crops.mkdir()), "no video folders in it"),
    "no picture": (
        lambda crops: [path.unlink() for path in crops.rglob("*.jpg")],
        "no pictures called like frames in its video folders; expected",
    ),
    "names that are no numbers": (
        lambda crops: [path.rename(path.with_name(f"face{path.name}")) for path in crops.rglob("*.jpg")],
        "no pictures called like frames in its video folders (",
    ),
    "a frame twice": (lambda crops: (crops / "b" / "2.png").touch(), "2.png: frame 2 is also 00002.jpg"),
    "frame 0": (lambda crops: (crops / "b" / "00000.jpg").touch(), "00000.jpg: frame 0 is out of range"),
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_that_cannot_be_meant_are_refused(corpus, folder):
    spoil, said = FOLDERS[folder]
    spoil(corpus / "crops")
    err = refused("--config", corpus / "bad.toml", "--work", corpus / "work")
    assert said in err and str(corpus / "crops") in err
    assert not list(corpus.rglob("*.safetensors"))


def test_a_store_file_that_a_crash_cut_short_is_made_again(corpus):
    assert extract(corpus)[0] == 0
    whole = files(corpus / "work")
    for video, length in (("a", 0), ("b", len(whole["b.safetensors"]) - 1)):
        path = store.path(corpus / "work", "net", video)
        path.write_bytes(path.read_bytes()[:length])
    assert extract(corpus)[0] == 0
    assert files(corpus / "work") == whole


def test_features_of_other_weights_or_preprocessing_are_refused_with_both_named_until_redo(corpus, network_file):
    assert extract(corpus)[0] == 0
    before = files(corpus / "work")
    options = ("--config", corpus / "bad.toml", "--work", corpus / "work")
    err = refused(*options, "--set", "networks.net.colour=bgr")
    assert "a.safetensors: made with preprocessing" in err and '"rgb"' in err and '"bgr"' in err and "--redo" in err
    network_file(corpus / "net.onnx", size=32, seed=1)
    err = refused(*options)
    weights = [store.read_about(path)["weights"] for path in (corpus / "work").rglob("a.safetensors")]
    assert f"made with weights {weights[0]}; the config asks for weights" in err
    assert files(corpus / "work") == before, "nothing was touched"
    assert extract(corpus, "work", "--redo")[0] == 0
    after = files(corpus / "work")
    assert all(after[name] != before[name] for name in before)
    assert extract(corpus)[0] == 0 and files(corpus / "work") == after


def small_files(limit):
    """A disk that is full after `limit` bytes of a file, for a process about to start."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def test_a_file_that_cannot_be_written_to_its_end_never_counts(corpus):
    for number in range(4, 200):
        (corpus / "crops" / "b" / f"{number:05d}.jpg").write_bytes(saved(noise(), "JPEG"))
    code, _, err = extract(corpus, preexec_fn=small_files(2000))
    assert code == 2 and err.startswith("error: ") and "b.safetensors: cannot be written (File too large)" in err
    assert sorted(files(corpus / "work")) == ["a.safetensors"]
    assert not list((corpus / "work").rglob("*.part"))
    assert extract(corpus)[0] == 0
    for target in ("features.csv", "features.parquet"):
        options = ("--network", "net", "--config", corpus / "bad.toml", "--work", corpus / "work", corpus / target)
        err = refused(*options, module="extract.export", preexec_fn=small_files(1000))
        assert f"{target}: cannot be written" in err and not list(corpus.glob("*features.*"))
    table = "frame,x\n" + "".join(f"{k},1\n" for k in range(1, 500))
    (corpus / "table.csv").write_text(table)
    options = (corpus / "table.csv", "--name", "mine", "--work", corpus / "work")
    assert "cannot be written" in refused(*options, module="extract.tabular", preexec_fn=small_files(1000))
    assert sorted(path.name for path in (corpus / "work" / "features").iterdir()) == [".replacing", "net"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="/proc stands for a folder that nobody can write")
@pytest.mark.parametrize("work", ["/proc/affect-heads", "net.onnx", "net.onnx/below"])
def test_a_work_folder_that_cannot_be_written_is_named(corpus, work):
    code, _, err = extract(corpus, work)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert "cannot be written" in err and work in err


def in_small_disk(folder, size, command, then=""):
    """Run a shell command with a disk of its own at `folder`, which goes with it; skips where that is not allowed."""
    mount = f"mount -t tmpfs -o size={size} tmpfs {folder}"
    own = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*own, mount], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    script = f"{mount} && {then or 'true'} && {command}; code=$?; find {folder} -type f >&2; exit $code"
    done = subprocess.run([*own, script], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def test_a_full_disk_keeps_what_was_finished(corpus, tmp_path):
    for video in "cdefgh":
        shutil.copytree(corpus / "crops" / "a", corpus / "crops" / video)
    (tmp_path / "disk").mkdir()
    run = f"{sys.executable} -m extract.run --config {corpus}/bad.toml --work {tmp_path}/disk"
    code, err = in_small_disk(tmp_path / "disk", "20k", run)
    assert code == 2 and "cannot be written (No space left on device); free some space" in err
    kept = [line for line in err.splitlines() if line.endswith(".safetensors")]
    assert 1 <= len(kept) < 8 and ".part" not in err


def test_a_read_only_disk_is_named_by_every_command(corpus, tmp_path):
    assert extract(corpus)[0] == 0
    disk = tmp_path / "disk"
    disk.mkdir()
    (corpus / "table.csv").write_text("frame,x\n1,2\n")
    options = f"--config {corpus}/bad.toml"
    for line in (
        f"extract.run {options} --work {disk}/work",
        f"extract.export --network net {options} --work {corpus}/work {disk}/out.parquet",
        f"extract.tabular {corpus}/table.csv --name mine {options} --work {disk}/work",
    ):
        code, err = in_small_disk(disk, "1m", f"{sys.executable} -m {line}", f"mount -o remount,ro {disk}")
        assert code == 2 and f"{disk}" in err and "cannot be written" in err and "Read-only" in err, err


@pytest.fixture
def videos(tmp_path):
    """One video that breaks off, one that is no video; skips without the face detector."""
    if not (MODELS / DETECTOR.file).is_file():
        pytest.skip("the face detector is not here")
    import av

    folder = tmp_path / "videos"
    folder.mkdir()
    with av.open(str(folder / "cut.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for k in range(48):
            pixels = np.random.default_rng(k).integers(0, 256, (64, 96, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    whole = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    (folder / "text.mp4").write_text("no video")
    return folder


def test_broken_videos_are_named_and_the_exit_code_says_so(videos, tmp_path):
    cache = {"AFFECT_HEADS_CACHE": str(MODELS)}
    code, out, err = command("--videos", videos, "--out", tmp_path / "out", env=cache)
    assert code == 1 and "0 face crops of 2 videos" in out
    assert "cut.mkv: breaks off after frame" in err and "text.mp4: no video that can be read" in err
    assert "2 videos are broken" in err
    again = command("--videos", videos, "--out", tmp_path / "out", env=cache)
    assert again == (code, out, err), "a second run says the same"
    listed = json.loads((tmp_path / "out" / "failures.json").read_text())
    assert [row["video"] for row in listed] == ["cut", "text"]
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "cannot be written" in refused("--videos", videos, "--out", out, env=cache)


def test_video_folders_that_cannot_be_meant_are_refused(tmp_path):
    assert "give --out FOLDER" in refused("--videos", tmp_path)
    out = ("--out", tmp_path / "out")
    assert "no videos in it" in refused("--videos", tmp_path, *out)
    assert "cannot be read" in refused("--videos", tmp_path / "none", *out)
    (tmp_path / "a.mp4").touch()
    nowhere = {"AFFECT_HEADS_CACHE": str(tmp_path), "http_proxy": "http://127.0.0.1:9", "https_proxy": "127.0.0.1:9"}
    err = refused("--videos", tmp_path, *out, env=nowhere)
    assert f"{tmp_path / DETECTOR.file}: not there" in err and "put it at that path" in err
