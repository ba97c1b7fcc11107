"""Networks fine-tuned in folds: what stands for a training video has not learnt from it, so heads may learn of it."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import log_loss
from support import made_pictures

from extract import config as configs
from extract import run as extract_run
from extract.features import store
from extract.learning import train
from extract.networks import facts
from extract.runtime.errors import InputError
from heads import corpus_checks
from heads.abaw.tasks import TASKS
from heads.config import Config
from heads.finetune import __main__ as program

FOLDS, VIDEOS = 3, [f"train{v}" for v in range(6)]
SURE = [
    f"finetune.ft.{key}"
    for key in (
        "epochs=6", "batch=16", "sam=0", "rate=3e-3", "start=random", "frozen_norm=false", "smoothing=0", "flip=false",
        "device='cpu'",
    )
]  # fmt: skip
"""A recipe that learns its pictures by heart."""


def load(path, *more):
    return configs.load(Config, path, [*SURE, *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus whose labels have nothing to do with the pictures, and a person who is in two of its six videos."""
    folder = tmp_path_factory.mktemp("made")
    made_pictures.write_tiny_network(folder / "tiny.pt")
    config = made_pictures.write_corpus(folder, frames=16)
    rng = np.random.default_rng(1)
    for path in sorted((folder / "expr").rglob("*.txt")):
        path.write_text("\n".join([TASKS["expr"].header, *map(str, rng.permutation(np.arange(16) % 8))]) + "\n")
    (folder / "people.csv").write_text("video,person\ntrain0,ann\ntrain1,ann\n")
    config.write_text(config.read_text().replace('frames = "frames"', 'frames = "frames"\npeople = "people.csv"'))
    return config


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    return program.main(load(made), "expr", "tiny", "ft", tmp_path_factory.mktemp("work"), folds=FOLDS)


def load_with(made, network, *more):
    """The corpus's config with the fine-tuned network as its only one."""
    section = [
        f"networks.ft.path={network}", "networks.ft.size=32", "networks.ft.mean=[0.5,0.5,0.5]",
        "networks.ft.std=[0.5,0.5,0.5]", "networks.ft.embedding=embedding", "networks.ft.logits=logits",
        f"networks.ft.classes={json.dumps(TASKS['expr'].outputs)}", 'features.networks=["ft"]',
    ]  # fmt: skip
    return load(made, *section, *more)


@pytest.fixture(scope="module")
def work(made, finished, tmp_path_factory):
    """A work folder with the network's features."""
    folder = tmp_path_factory.mktemp("features")
    extract_run.main(load_with(made, finished / "ft.onnx"), folder)
    return folder


def ask(path, folder):
    """Logits [frames, 8] of a network for a folder of pictures, by ONNX Runtime alone."""
    pixels = np.stack([np.asarray(Image.open(picture)) for picture in sorted(folder.iterdir())])
    values = ((pixels / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {session.get_inputs()[0].name: values})[0]


def test_each_training_video_is_held_out_by_one_fold_with_its_person_and_nothing_else_is(finished):
    folds = facts.read_folds(finished / "ft.onnx")[1]
    held = sorted(video for fold in folds for video in fold.held_out)
    assert len(folds) == FOLDS and held == VIDEOS
    for fold in folds:
        assert fold.videos == set(held) - fold.held_out
        assert ("train0" in fold.held_out) == ("train1" in fold.held_out), "one person"
    assert facts.read(finished / "ft.onnx")["videos"] == held


def test_a_training_videos_features_are_those_of_its_fold_and_others_those_of_the_whole_network(made, finished, work):
    whole = finished / "ft.onnx"
    for video in (*VIDEOS, "val0"):
        mine = next((fold.path for fold in facts.read_folds(whole)[1] if video in fold.held_out), whole)
        there = store.read(store.path(work, "ft", video)).logits
        np.testing.assert_allclose(ask(mine, made.parent / "frames" / video), there, atol=2e-2, rtol=1e-2)
        if video != "val0":
            assert np.abs(ask(whole, made.parent / "frames" / video) - there).max() > 0.1


def test_of_pictures_that_say_nothing_the_whole_network_is_sure_and_the_folds_are_not(made, finished, work):
    """Labels are drawn: whoever has not seen them can do no better than their share."""
    truth = [(made.parent / "expr" / "train" / f"{video}.txt").read_text().split()[1:] for video in VIDEOS]
    labels = np.concatenate(truth).astype(int)
    losses = []
    for logits in (
        np.concatenate([ask(finished / "ft.onnx", made.parent / "frames" / video) for video in VIDEOS]),
        np.concatenate([store.read(store.path(work, "ft", video)).logits for video in VIDEOS]).astype(float),
    ):
        losses.append(log_loss(labels, softmax(logits, axis=1), labels=range(8)))
    assert losses[0] < np.log(8) - 0.3 and losses[1] > np.log(8) - 0.01, losses


def test_heads_may_learn_from_the_folds_and_not_from_one_that_knows_the_video(made, finished, tmp_path):
    learner = corpus_checks.Reader("a", ("ft",), "learn from")
    corpus_checks.refuse_leaks(load_with(made, finished / "ft.onnx"), "expr", [learner], VIDEOS)
    (tmp_path / "people.csv").write_text("video,person\ntrain0,ann\ntrain1,ann\ntrain5,ann\n")
    config = load_with(made, finished / "ft.onnx", f"corpus.people={tmp_path / 'people.csv'}")
    with pytest.raises(InputError, match=r"head 'a' would learn from features of 'ft' of 3 training videos"):
        corpus_checks.refuse_leaks(config, "expr", [learner], VIDEOS)
    with pytest.raises(InputError, match="fine-tuned on 1 of the task's validation videos"):
        corpus_checks.refuse_leaks(load_with(made, finished / "ft.onnx"), "expr", [learner], (), ["train2"])


def test_a_fold_that_is_gone_or_another_is_named(made, finished, tmp_path):
    for name, damage, said in (
        (
            "gone",
            lambda path: path.unlink(),
            r"fold2/ft\.onnx: no such network, but .*folds\.json names it; move it there, or run heads\.finetune",
        ),
        (
            "other",
            lambda path: path.write_bytes(b"x"),
            r"fold2/ft\.onnx: SHA-256 hash is .*by .*folds\.json; run heads\.finetune with --folds",
        ),
    ):
        shutil.copytree(finished, tmp_path / name)
        damage(tmp_path / name / "fold2" / "ft.onnx")
        with pytest.raises(InputError, match=said):
            extract_run.main(load_with(made, tmp_path / name / "ft.onnx"), tmp_path / f"work-{name}")


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"network": "x", "corpus": "made", "folds": [{}]}'])
def test_folds_that_cannot_be_read_are_one_line(made, finished, tmp_path, text):
    shutil.copytree(finished, tmp_path / "ft")
    facts.folds_file(tmp_path / "ft" / "ft.onnx").write_text(text)
    with pytest.raises(InputError, match=r"ft\.folds\.json.*heads\.finetune with --folds again"):
        facts.read_folds(tmp_path / "ft" / "ft.onnx")


def test_a_video_of_another_corpus_is_the_whole_networks_whatever_it_is_called(made, finished, tmp_path):
    config = load_with(made, finished / "ft.onnx", "corpus.name=other")
    extract_run.main(config, tmp_path)
    there = store.read(store.path(tmp_path, "ft", "train0")).logits
    np.testing.assert_allclose(
        ask(finished / "ft.onnx", made.parent / "frames" / "train0"), there, atol=2e-2, rtol=1e-2
    )
    learner = corpus_checks.Reader("a", ("ft",), "learn from")
    with pytest.raises(InputError, match="6 training videos"):
        corpus_checks.refuse_leaks(config, "expr", [learner], VIDEOS)


def test_folds_come_and_go_beside_the_same_network_and_a_killed_run_goes_on_to_the_same_bytes(
    made, tmp_path, monkeypatch
):
    """Of an epoch each: how well they have learnt does not matter."""

    def make(folds, *more, work=tmp_path / "work"):
        folder = program.main(load(made, "finetune.ft.epochs=1", *more), "expr", "tiny", "ft", work, folds=folds)
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.onnx")}

    calm = make(FOLDS, work=tmp_path / "calm")
    folder, learn, calls = tmp_path / "work" / "networks" / "ft", train.fine_tune, []

    def end_at_the_third(run):
        calls.append(run.title)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return learn(run)

    monkeypatch.setattr(train, "fine_tune", end_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        make(FOLDS)
    assert facts.read_folds(folder / "ft.onnx") == ("", []), "nothing is believed before all of them are there"
    there = make(FOLDS)
    assert there == calm
    assert calls == ["ft", *(f"ft, fold {n} of 3" for n in (1, 2, 2, 3))], "what was finished is not made again"
    before = len(calls)
    assert make(0) == there and len(calls) == before and len(facts.read_folds(folder / "ft.onnx")[1]) == FOLDS
    assert len(make(2)) == 3 and len(calls) == before + 2, "the whole network stays, the third fold goes"
    make(0, "finetune.ft.epochs=2")
    assert facts.read_folds(folder / "ft.onnx") == ("", []), "they were of another network"


def test_finished_folds_are_kept(made, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.onnx")}
    assert program.main(load(made), "expr", "tiny", "ft", finished.parents[1], folds=FOLDS) == finished
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*.onnx")} and len(before) == FOLDS + 1


def test_too_few_people_for_the_folds_are_one_line(made, tmp_path):
    with pytest.raises(InputError, match=r"--folds 6: .*train has 5 recordings or people; expected at least 6"):
        program.main(load(made), "expr", "tiny", "ft", tmp_path, folds=6)
    assert not list(tmp_path.iterdir())
