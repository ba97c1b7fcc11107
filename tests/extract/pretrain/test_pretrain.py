"""`python -m extract.pretrain`: from a folder of pictures to a network, killed or not."""

import itertools
import json
import os
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from support import kills, made_pictures

from extract import config as configs
from extract.config import Config, PretrainSettings
from extract.engines.onnxruntime_engine import OnnxRuntimeEngine
from extract.engines.openvino_engine import OpenVinoEngine
from extract.learning import checkpoint, encoder, pictures
from extract.media import images as pixels
from extract.networks import facts, registry
from extract.pretrain import __main__ as program
from extract.pretrain import images, report, train
from extract.runtime.errors import InputError

ROOT = Path(__file__).parents[3]
TINY = {
    "size": 32, "patch": 8, "width": 32, "depth": 2, "heads": 2, "decoder_width": 32, "decoder_depth": 1,
    "decoder_heads": 2, "epochs": 2, "warm_up": 1, "batch": 30, "rate": 1e-2, "held_out": 0.2, "save_every": 1,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made_pictures.write_corpus(folder, frames=16)
    return folder / "frames"


def configure(faces=None, **keys):
    corpus = {"name": "c"} | ({"frames": str(faces)} if faces else {})
    return Config.model_validate({"corpus": corpus, "pretrain": {"m": TINY | keys}})


@pytest.fixture(scope="module")
def finished(faces, tmp_path_factory):
    return program.main(configure(faces), "m", tmp_path_factory.mktemp("work"))


def start_run(faces, folder, mark="mark", **keys):
    settings = PretrainSettings(**TINY | keys)
    learnt, held = images.hold_out(images.list_pictures([faces], settings.stride), settings, 0, "p")
    return train.Run("m", settings, learnt, held, 0, folder, mark)


def test_what_is_left_is_a_network_that_extract_takes_and_the_weights_it_has(finished, faces):
    assert sorted(path.name for path in finished.iterdir() if path.name[0] != ".") == [
        "DONE", "failures.json", "m.onnx", "m.safetensors", "m.toml", "provenance.json", "report.html",
    ]  # fmt: skip
    provenance = json.loads((finished / "provenance.json").read_text())
    assert len(provenance["scores"]) == 3 and len(provenance["losses"]) == 2 and provenance["settings"]["mask"] == 0.75
    assert facts.read(finished / "m.onnx")["mark"] == provenance["mark"]
    (finished.parent / "mine.toml").write_text(
        'extends = "m/m.toml"\n[corpus]\nname = "c"\n[features]\nnetworks = ["m"]\n'
    )
    used = registry.find("m", configs.load(Config, finished.parent / "mine.toml"))
    assert used.kinds == ("embedding",)
    model = encoder.load_beside(finished / "m.onnx")
    picture = pixels.read(faces / "train1" / "00003.png", 32, "rgb")
    x = ((picture / 255 - np.array(used.mean)) / np.array(used.std)).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        expected = model(torch.tensor(x, dtype=torch.float32))[0].numpy()
    for engine in (OpenVinoEngine(used.path, used, threads=1), OnnxRuntimeEngine(used.path, used, device="cpu")):
        np.testing.assert_allclose(engine.run(picture)["embedding"], expected, atol=1e-4)


def test_the_report_shows_held_out_pictures_and_each_loss(finished):
    page = (finished / "report.html").read_text()
    provenance = json.loads((finished / "provenance.json").read_text())
    held = len(provenance["held_out"])
    assert held == 2 and page.count("data:image/png;base64,") == 3 * report.EXAMPLES
    for value in (provenance["scores"][-1], provenance["losses"][-1], *provenance["baselines"].values()):
        assert f"<td>{value:.4f}</td>" in page
    assert "http" not in page and page.count("<polyline") == 2 and len(page) < 300_000


def test_a_masked_picture_is_shown_with_its_visible_patches_alone(faces, tmp_path):
    run = start_run(faces, tmp_path)
    model, _, _ = train.pretrain(run)
    for masked, made, original in report.draw_examples(model, run):
        blocks = [part.reshape(4, 8, 4, 8, 3).swapaxes(1, 2).reshape(16, -1) for part in (masked, made, original)]
        same = (blocks[0] == blocks[2]).all(1)
        assert same.sum() == 4 and (np.ptp(blocks[0][~same].reshape(12, 64, 3), 1) == 0).all()
        assert (blocks[1][same] == blocks[2][same]).all() and not (blocks[1][~same] == blocks[2][~same]).all()


def test_it_reconstructs_held_out_pictures_better_than_means_do(faces, tmp_path):
    run = start_run(faces, tmp_path, epochs=24, rate=3e-2, batch=16, crop=0.5, save_every=99)
    _, position, baselines = train.pretrain(run)
    assert position.scores[-1] < 0.9 * min(baselines.mean_picture, baselines.visible_mean)
    assert position.scores[0] > baselines.mean_picture, "it has learnt that"


def test_baselines_are_those_of_plain_numpy(faces, tmp_path):
    run = start_run(faces, tmp_path)
    learner = train._Learner(run)
    learner.begin()

    def read(data):
        rows = np.stack([pixels.read(data.path(row), 32, "rgb") for row in range(len(data))])
        values = (rows / 255 - registry.IMAGENET_MEAN) / registry.IMAGENET_STD
        return values.reshape(-1, 4, 8, 4, 8, 3).swapaxes(2, 3).reshape(len(data), 16, -1)

    learnt, held = read(run.train), read(run.held_out_pictures)
    noise = images.draw_views(np.arange(len(held)), 16, 0, train.HELD_OUT).noise
    hidden = noise.argsort(1).argsort(1) >= 4
    visible = np.stack([picture[~mask].mean(0) for picture, mask in zip(held, hidden, strict=True)])[:, None]
    for guess, found in ((learnt.mean(0), "mean_picture"), (visible, "visible_mean")):
        expected = ((held - guess) ** 2).mean(2)[hidden].mean()
        assert getattr(learner.baselines, found) == pytest.approx(expected, rel=1e-4)


def test_the_rate_rises_and_then_falls_as_half_a_cosine():
    settings = PretrainSettings(epochs=10, warm_up=2, rate=1e-3, batch=512)
    rates = [train.compute_rate(settings, step, 5) for step in range(51)]
    np.testing.assert_allclose(rates[:11], np.linspace(0, 2e-3, 11))
    assert rates[30] == pytest.approx(1e-3) and rates[50] == pytest.approx(0, abs=1e-12)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))


class Killed(BaseException):
    """Stands for the end of a process."""


def test_killed_at_every_checkpoint_it_goes_on_to_the_same_bytes(faces, finished, tmp_path, monkeypatch):
    save, ends = checkpoint.save, 0

    def save_and_die(*arguments):
        save(*arguments)
        raise Killed

    monkeypatch.setattr(checkpoint, "save", save_and_die)
    while True:
        try:
            folder = program.main(configure(faces), "m", tmp_path)
            break
        except Killed:
            ends += 1
    assert ends == 7, "one before the first step, and one for each of six"
    for name in ("m.onnx", "m.safetensors", "report.html"):
        assert (folder / name).read_bytes() == (finished / name).read_bytes(), name


def start_process(faces, work, keys):
    sets = [part for key, value in keys.items() for part in ("--set", f"pretrain.m.{key}={json.dumps(value)}")]
    return subprocess.Popen(
        [sys.executable, "-m", "extract.pretrain", "--name", "m", "--frames", str(faces), "--work", str(work), *sets],
        cwd=ROOT, env=os.environ | {"AFFECT_HEADS_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.slow
def test_killed_at_20_random_moments_it_goes_on_to_the_same_bytes(faces, tmp_path):
    keys = TINY | {"epochs": 6, "batch": 8}
    run = start_run(faces, tmp_path, **keys)
    whole, results = 6 * len(run.train), ["m.onnx", "m.safetensors", "report.html"]
    seen = kills.kill_while_it_learns(
        lambda: start_process(faces, tmp_path, keys), tmp_path / "networks" / "m", results, whole
    )
    assert sum(0 < (count or 0) < whole for count in seen) >= 10, (seen, whole)


def test_a_loss_that_is_no_number_ends_it_and_the_last_good_checkpoint_stays(faces, tmp_path, monkeypatch):
    run = start_run(faces, tmp_path)
    learner, made = train._Learner(run), itertools.count(1)
    plain = learner._run_model

    def fail_later(x, noise):
        out = plain(x, noise)
        if torch.is_grad_enabled() and next(made) > 2:
            out.loss = out.loss * float("nan")
        return out

    monkeypatch.setattr(learner, "_run_model", fail_later)
    monkeypatch.setattr(train, "_Learner", lambda _: learner)
    text = (
        "pretrain.m: the loss is nan at step 3 of 3 in epoch 1, expected a finite number: lower pretrain.m.rate "
        "(0.01); with another rate the run begins anew and writes over its last good weights: copy "
        f"{tmp_path / train.CHECKPOINT} to keep them"
    )
    with pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        train.pretrain(run)
    assert checkpoint.read_position(tmp_path / train.CHECKPOINT, "mark").step == 2


def test_a_gpu_without_room_says_which_batch_would_fit(faces, tmp_path, monkeypatch):
    plain, refused, asked = train._Learner._run_model, [], []

    def run_model(self, x, noise):
        asked.append((len(x), sum(reference() is not None for reference in refused)))
        if len(x) > 8:
            refused.append(weakref.ref(x))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return plain(self, x, noise)

    said = re.escape("pretrain.m: the GPU has no room for 30 pictures at once; pretrain.m.batch = 7 fits")
    train._Learner(start_run(faces, tmp_path / "begun")).begin()
    monkeypatch.setattr(train._Learner, "_run_model", run_model)
    for folder in ("begun", "new"):  # in a step, and in the reconstruction before the first
        asked.clear()
        refused.clear()
        with pytest.raises(InputError, match=f"^{said}$"):
            train.pretrain(start_run(faces, tmp_path / folder))
        assert asked == [(n, 0) for n in (30, 15, 7, 7)], "two steps, while nothing holds what failed"


def test_however_large_a_batch_is_256_pictures_are_reconstructed_at_once(faces, tmp_path, monkeypatch):
    run = start_run(faces, tmp_path, batch=4096)
    many = [
        pictures.Pictures(data.folders[:1], np.zeros(300, np.int32), data.names[:1] * 300)
        for data in (run.train, run.held_out_pictures)
    ]
    learner = train._Learner(replace(run, train=many[0], held_out_pictures=many[1]))
    plain, sizes = learner._run_model, []
    monkeypatch.setattr(learner, "_run_model", lambda x, noise: (sizes.append(len(x)), plain(x, noise))[1])
    learner.begin()
    assert sizes == [256, 44]


def run_command(*arguments):
    app = typer.Typer()
    app.command()(program.command)
    sets = [part for key, value in TINY.items() for part in ("--set", f"pretrain.m.{key}={json.dumps(value)}")]
    with pytest.raises(SystemExit) as ended:
        app(["--name", "m", *sets, *map(str, arguments)])
    return int(ended.value.code or 0)


def test_unreadable_pictures_are_named_left_out_and_counted(tmp_path, capsys):
    made_pictures.write_corpus(tmp_path, train=4, val=0, frames=8)
    broken = [tmp_path / "frames" / f"train{v}" / "00002.png" for v in range(4)]
    for path in broken:
        path.write_bytes(b"\x89PNG")
    assert run_command("--frames", tmp_path / "frames", "--work", tmp_path / "w", "--json") == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["unreadable"] == 4 and Path(found["section"]).is_file() and Path(found["report"]).is_file()
    assert all(str(path) in said.err for path in broken) and "4 pictures could not be read" in said.err
    assert pictures.has_mended_pictures(tmp_path / "w" / "networks" / "m") is False
    assert run_command("--frames", tmp_path / "frames", "--work", tmp_path / "w") == 1
    shown = capsys.readouterr().out
    assert "by the mean picture: " in shown and "m.toml" in shown


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, faces, capsys):
    (tmp_path / "empty").mkdir()
    for arguments, said in (
        (("--frames", tmp_path / "empty"), "empty: no picture (jpg, png, ...) in it"),
        (("--frames", tmp_path / "gone"), "gone: no such folder"),
        (("--frames", faces / "train1"), "found 1 of folders with pictures, expected at least two"),
        (("--frames", faces, "--set", "pretrain.m.patch=7"), "size = 32 is no multiple of patch = 7"),
        (("--frames", faces, "--set", "pretrain.m.musk=0.5"), "unknown key 'pretrain.m.musk'"),
        (("--frames", faces, "--name", "demo_enet"), "--name demo_enet: there is a network of that name"),
    ):
        assert run_command(*arguments, "--work", tmp_path / "w") == 2, said
        shown = capsys.readouterr()
        assert said in shown.err and shown.err.count("\n") <= 2 and not shown.out, shown.err
    assert not (tmp_path / "w").exists()


def test_without_transformers_it_says_what_to_install(tmp_path, faces, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"needs transformers: pip install 'affect-heads\[mae\]'"):
        program.main(configure(faces), "m", tmp_path)
