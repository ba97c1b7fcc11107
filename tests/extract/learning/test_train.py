"""The loop on a corpus of some hundred small pictures: what it learns, keeps, exports, and how it survives."""

import dataclasses
import itertools
import json
import re
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import made_pictures
from support.sweeps import sweep

from extract.config import Config, NetworkSettings
from extract.engines.onnxruntime_engine import OnnxRuntimeEngine
from extract.engines.openvino_engine import OpenVinoEngine
from extract.learning import checkpoint, export, linear_start, losses, optimiser, pictures, start, train
from extract.learning.checkpoint import Position
from extract.learning.losses import JointTarget, Target
from extract.learning.network import FineTunedNetwork
from extract.learning.pictures import LabelledPictures
from extract.learning.recipe import Recipe
from extract.media import images
from extract.networks import facts, registry
from extract.runtime import run_folder
from extract.runtime.errors import InputError

FRAMES, VIDEOS = 16, 7
OUTPUTS = {"expr": made_pictures.CLASSES, "au": 12, "va": 2}
LABELS = {"expr": "multiclass", "au": "multilabel", "va": "regression"}
JOINT = ("va", "expr", "au")
LACKS = {"va": (0, 3), "expr": (1, 3), "au": (2, 4)}
"""Joint labels: a picture of this number modulo 6 has none of the task."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made_pictures.write_corpus(folder, train=VIDEOS, frames=FRAMES)
    made_pictures.write_tiny_network(folder / "tiny.pt")
    return folder


def pictures_of(corpus, videos, task="expr"):
    if task == "mtl":
        parts = [pictures_of(corpus, videos, part) for part in JOINT]
        columns = [part.truth.reshape(len(part), -1).astype(np.float32) for part in parts]
        for part, own in zip(JOINT, columns, strict=True):
            own[np.isin(np.arange(len(own)) % 6, LACKS[part])] = np.nan
        return dataclasses.replace(parts[0], truth=np.concatenate(columns, axis=1))
    classes = np.concatenate([(np.arange(FRAMES) + v) % 8 for v in videos])
    truth = {
        "expr": classes.astype(np.int8),
        "au": np.stack([(classes >> (unit % 3)) & 1 for unit in range(12)], 1).astype(np.uint8),
        "va": np.stack([0.7 * np.cos(classes * np.pi / 4), 0.7 * np.sin(classes * np.pi / 4)], 1).astype(np.float32),
    }[task]
    names = tuple(f"{i:05d}.png" for i in range(1, FRAMES + 1)) * len(videos)
    folders = tuple(corpus / "frames" / f"train{v}" for v in videos)
    return LabelledPictures(folders, np.repeat(np.arange(len(videos), dtype=np.int32), FRAMES), names, truth)


def score(truth, scores):
    """Larger is better for all tasks: what is missing to the truth."""
    if truth.shape[1:] == (15,):
        return sum(score(labels, scores[rows][:, own]) for _, own, rows, labels in by_hand("mtl", truth))
    columns = np.eye(scores.shape[1])[truth] if truth.ndim == 1 else truth
    return -float(np.abs(columns - scores).mean())


def by_hand(task, truth):
    """Of each part its name, its outputs, which rows have its labels, and these."""
    if task != "mtl":
        return [(task, slice(None), np.arange(len(truth)), truth)]
    numbers = np.arange(len(truth))
    rows = {part: numbers[[not np.isnan(t[at]) for t in truth]] for part, at in (("va", 0), ("expr", 2), ("au", 3))}
    return [
        ("va", slice(0, 2), rows["va"], truth[rows["va"], :2]),
        ("expr", slice(2, 10), rows["expr"], truth[rows["expr"], 2].astype(int)),
        ("au", slice(10, 22), rows["au"], truth[rows["au"], 3:]),
    ]


def make_target(task):
    if task == "mtl":
        return JointTarget(task, tuple(make_target(part) for part in JOINT))
    outputs = tuple(f"{task}{i}" for i in range(OUTPUTS[task]))
    weights = {"expr": np.ones(8), "au": np.ones((2, 12)), "va": np.empty(0)}[task].astype(np.float32)
    return Target(task, LABELS[task], outputs, weights)


def run_on(corpus, folder, task="expr", dev=(5, 6), network="tiny", **recipe):
    facts = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "arch": "test_efficientnet", "classes": [*"abcdefgh"]}
    config = Config(corpus={"name": "c"}, networks={"tiny": NetworkSettings(path=corpus / "tiny.pt", **facts)})
    target = make_target(task)
    settings = Recipe(**{"epochs": 2, "batch": 20, "rate": 1e-3, "device": "cpu", "save_every": 2} | recipe)
    learnt_from = pictures_of(corpus, range(5), task)
    return train.Run(
        "ft", start.find(network, config), target, settings, learnt_from,
        pictures_of(corpus, dev, task), 0, folder, "mark", score,
    )  # fmt: skip


def export_bytes(run, path):
    network, position = train.fine_tune(run)
    export.export_module(network, run.start.network.size, export.name_outputs(run.target), {"videos": ["a"]}, path)
    return path.read_bytes(), position


@pytest.mark.parametrize("task", sweep(["expr", "au", "va", "mtl"], ["expr", "mtl"]))
def test_the_exported_network_is_the_one_that_was_learnt_and_extract_takes_it(corpus, tmp_path, task):
    small = (
        {"start": "random"} if task in ("au", "mtl") else {}
    )  # logits of 5 to 9, as the start's, round to above 1e-4
    run = run_on(corpus, tmp_path, task, head_epochs=1, epochs=1, **small)
    network, position = train.fine_tune(run)
    assert len(position.scores) == 3 and len(position.losses) == 2
    path = tmp_path / "ft.onnx"
    export.export_module(network, 32, export.name_outputs(run.target), {"task": task}, path)
    assert facts.read(path) == {"task": task}
    section = export.describe_section("ft", run.start.network, run.target, str(path), run_folder.file_hash(path))
    export.write_section(tmp_path / "ft.toml", section)
    config = Config.model_validate({"corpus": {"name": "c"}} | section)
    used = registry.find("ft", config)
    kinds = {"va": ("va",), "mtl": ("va", "logits")}.get(task, ("logits",))
    assert sorted(used.kinds) == sorted(("embedding", *kinds))
    classes = [*make_target("expr").outputs, *make_target("au").outputs]
    assert (used.classes or ()) == tuple(name for name in classes if task in ("mtl", name.rstrip("0123456789")))
    assert_exported(run, network, path, used, 1e-4)
    OnnxRuntimeEngine(path, used, device="cpu")  # whose batches mix no pictures


def assert_exported(run, network, path, used, atol, device="cpu"):
    """The ONNX file answers as the network does, on each of the corpus's 112 pictures."""
    files = [data.path(row) for data in (run.train, run.dev) for row in range(len(data))]
    engine, mean, std = OpenVinoEngine(path, used, threads=1), np.array(used.mean), np.array(used.std)
    network = network.to(device)
    for file in files:
        picture = images.read(file, 32, "rgb")
        x = torch.tensor(((picture / 255 - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
        with torch.inference_mode():
            embedding, *outputs = (values[0].cpu().numpy() for values in network(x.to(device)))
        found = engine.run(picture)
        for kind, expected in zip(export.name_outputs(run.target)[1:], outputs, strict=True):
            np.testing.assert_allclose(found[kind], expected, rtol=0, atol=atol)
        np.testing.assert_allclose(found["embedding"], embedding, rtol=0, atol=atol * max(1, np.abs(embedding).max()))
    assert len(files) >= 100


def test_a_transformer_is_exported_too(tmp_path):
    made_pictures.write_tiny_network(tmp_path / "vit.pt", "test_vit")
    facts = {"size": 160, "mean": [0.5] * 3, "std": [0.5] * 3, "arch": "test_vit", "classes": [*"abcdefgh"]}
    config = Config(corpus={"name": "c"}, networks={"vit": NetworkSettings(path=tmp_path / "vit.pt", **facts)})
    begin = start.find("vit", config)
    body, width = start.build(begin)
    network = FineTunedNetwork(body, width, 8).eval()
    target = Target("expr", "multiclass", (*"abcdefgh",), np.ones(8, np.float32))
    export.export_module(network, 160, export.name_outputs(target), {}, tmp_path / "ft.onnx")
    section = export.describe_section("ft", begin.network, target, str(tmp_path / "ft.onnx"), "0" * 64)
    used = registry.find("ft", Config.model_validate({"corpus": {"name": "c"}} | section))
    picture = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    x = torch.tensor((picture / 255 - 0.5) / 0.5, dtype=torch.float32).permute(2, 0, 1)[None]
    found = OpenVinoEngine(tmp_path / "ft.onnx", used, threads=1).run(picture)
    with torch.inference_mode():
        for name, expected in zip(("embedding", "logits"), network(x), strict=True):
            np.testing.assert_allclose(found[name], expected[0].numpy(), atol=1e-4)


@pytest.mark.parametrize("task", [*OUTPUTS, "mtl"])
def test_before_the_first_step_the_outputs_are_the_linear_heads(corpus, tmp_path, monkeypatch, task):
    from sklearn.linear_model import LogisticRegression, Ridge

    monkeypatch.setattr(linear_start, "PENALTIES", (1e-3,))
    run = run_on(corpus, tmp_path, task)
    learner = train._Learner(run)
    learner.begin()
    outputs, seen = learner._predict(run.train, np.arange(len(run.train)))
    embeddings, _ = learner._predict(run.train, np.arange(len(run.train)), embed=True)
    for part, columns, rows, truth in by_hand(task, run.train.truth[seen]):
        x, own = embeddings[rows].astype(np.float64), outputs[rows][:, columns]
        x = (x - x.mean(0)) / x.std(0)
        penalty = 1e-3 * len(x)
        if part == "expr":
            logits = LogisticRegression(C=1 / penalty, max_iter=2000).fit(x, truth).decision_function(x)
            np.testing.assert_allclose(own, logits, atol=2e-2)
            assert (own.argmax(1) == truth).mean() > 0.95
        elif part == "au":
            one = LogisticRegression(C=1 / penalty, max_iter=2000).fit(x, truth[:, 2])
            np.testing.assert_allclose(own[:, 2], one.decision_function(x), atol=2e-2)
        else:
            values = Ridge(alpha=penalty).fit(x, np.arctanh(truth)).predict(x)
            np.testing.assert_allclose(own, np.tanh(values), atol=1e-3)


@pytest.mark.parametrize("groups", [None, np.repeat([1, 1, 2, 3, 3], FRAMES)])
def test_recordings_that_are_learnt_from_choose_the_penalty_of_the_start_and_no_dev_frame_does(
    corpus, tmp_path, monkeypatch, groups
):
    penalties = (10.0, 1e-1, 1e-3)
    monkeypatch.setattr(linear_start, "PENALTIES", penalties)
    starts = []
    for number, dev in enumerate([(5, 6), (5,)]):
        run = replace(run_on(corpus, tmp_path / str(number), dev=dev), groups=groups)
        learner = train._Learner(run)
        learner.begin()
        starts.append(learner._predict(run.train, np.arange(len(run.train)))[0])
    np.testing.assert_array_equal(*starts)
    x, _ = learner._predict(run.train, np.arange(len(run.train)), embed=True)
    own = run.train.video if groups is None else groups
    held = np.isin(own, [1, 4] if groups is None else [3])  # of groups alike in size the second and the fifth
    scores = []
    for penalty in penalties:
        weights, constants = linear_start.fit(x[~held], run.train.truth[~held], run.target, True, penalty)
        logits = (x[held] @ weights.T + constants).astype(np.float32)
        scores.append(score(run.train.truth[held], losses.compute_scores("multiclass", logits)))
    assert len({*scores}) == 3
    weights, constants = linear_start.fit(x, run.train.truth, run.target, True, penalties[int(np.argmax(scores))])
    np.testing.assert_allclose(starts[0], x @ weights.T + constants, atol=1e-3)


@pytest.mark.parametrize(
    ("groups", "held"),
    [([5, 5, 5], []), ([1, 1, 2], [2]), ([7] * 9 + [2] * 4 + [3] * 6 + [9] * 2 + [4], [3, 4])],
)
def test_every_third_group_from_the_second_largest_is_held_out(groups, held):
    assert np.array_equal(linear_start.hold_out(np.array(groups)), np.isin(groups, held))


def test_of_one_recording_the_start_has_the_largest_penalty(corpus, tmp_path, monkeypatch):
    given, plain = [], linear_start.fit
    monkeypatch.setattr(linear_start, "fit", lambda *values: (given.append(values[-1]), plain(*values))[1])
    run = run_on(corpus, tmp_path)
    train._Learner(replace(run, groups=np.zeros(len(run.train), int))).begin()
    assert given[-1] == max(linear_start.PENALTIES)


def test_each_task_has_the_penalty_that_is_best_for_it_and_starts_as_it_would_alone(corpus, tmp_path, monkeypatch):
    """Where nothing lacks a label: three networks of one task each, and one of all."""
    monkeypatch.setitem(LACKS, "va", ())
    monkeypatch.setitem(LACKS, "expr", ())
    monkeypatch.setitem(LACKS, "au", ())
    plain, used = linear_start.fit, []
    monkeypatch.setattr(linear_start, "fit", lambda *given: (used.append(given[-1]), plain(*given))[1])
    outputs = {}
    for task in (*JOINT, "mtl"):
        learner = train._Learner(run_on(corpus, tmp_path / task, task))
        learner.begin()
        outputs[task], _ = learner._predict(learner.run.dev, np.arange(len(learner.run.dev)))
    alone = np.concatenate([outputs[part] for part in JOINT], axis=1)
    # of products of other widths, whose float32 sums differ by processor in the units of the largest terms
    np.testing.assert_allclose(outputs["mtl"], alone, atol=1e-5 * np.abs(alone).max())
    assert len(used) == 2 * len(JOINT) * (len(linear_start.PENALTIES) + 1)


def test_where_a_task_has_no_label_among_the_pictures_of_the_start_it_begins_at_0():
    x = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    for labels, truth in (("regression", np.empty((0, 2))), ("multilabel", np.empty((0, 2))), ("multiclass", [1] * 6)):
        target = Target("t", labels, ("a", "b"), np.ones((2, 2) if labels == "multilabel" else 2, np.float32))
        coefficients, intercepts = linear_start.fit(x[: len(truth)], np.asarray(truth), target, True, 1e-3)
        assert coefficients.shape == (2, 5) and not coefficients.any() and not intercepts.any()


def test_of_few_classes_those_that_are_there_get_a_start():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)).astype(np.float32)
    truth = np.where(x[:, 0] > 0, 3, 1)
    target = Target("t", "multiclass", (*"abcd",), np.ones(4, np.float32))
    coefficients, intercepts = linear_start.fit(x, truth, target, True, 1e-3)
    outputs = x @ coefficients.T + intercepts
    assert (outputs[:, [1, 3]].argmax(1) == (truth == 3)).mean() > 0.95 and not coefficients[[0, 2]].any()


@pytest.mark.slow
def test_from_random_numbers_it_learns_what_the_pictures_show(corpus, tmp_path):
    run = run_on(corpus, tmp_path, start="random", epochs=8, rate=3e-3, frozen_norm=False)
    network, position = train.fine_tune(run)
    pixels = [images.read(run.dev.path(row), 32, "rgb") for row in range(len(run.dev))]
    x = torch.tensor((np.stack(pixels) / 255 - 0.5) / 0.5, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.inference_mode():
        outputs = network(x)[1].numpy()
    assert position.best > 0 and (outputs.argmax(1) == run.dev.truth).mean() > 0.8
    assert position.losses[-1] < 0.7 * position.losses[0]


class Killed(BaseException):
    """Stands for the end of a process, at a place that a test chooses."""


@pytest.mark.parametrize("task", sweep(["expr", "mtl"], ["expr"]))
def test_killed_at_every_file_that_is_written_it_goes_on_to_the_same_bytes(corpus, tmp_path, monkeypatch, task):
    recipe = {"task": task, "head_epochs": 1, "epochs": 2, "frozen_norm": False, "layer_decay": 0.7, "decay": 0.05}
    expected, position = export_bytes(run_on(corpus, tmp_path / "whole", **recipe), tmp_path / "whole.onnx")
    save, calls = checkpoint.save, itertools.count(1)

    def save_and_die(*arguments):
        save(*arguments)
        if next(calls) % 2 == 0:  # the next run writes one file before it dies
            raise Killed

    run = run_on(corpus, tmp_path / "killed", **recipe)
    monkeypatch.setattr(checkpoint, "save", save_and_die)
    ends = 0
    while True:
        try:
            found, again = export_bytes(run, tmp_path / "killed.onnx")
            break
        except Killed:
            ends += 1
    assert ends >= 4 and found == expected and again == position


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_gone_on_from(corpus, tmp_path):
    run = run_on(corpus, tmp_path)
    learner = train._Learner(run)
    learner.begin()
    path = tmp_path / train.CHECKPOINT
    assert checkpoint.read_position(path, "mark") == learner.position
    assert checkpoint.read_position(path, "other") is None
    before = path.read_bytes()
    path.write_bytes(before[: len(before) // 2])
    assert checkpoint.read_position(path, "mark") is None
    assert checkpoint.read_position(tmp_path / "none", "mark") is None
    path.write_bytes(before)
    (tmp_path / train.BEST).unlink()
    again = train._Learner(run)
    again.begin()
    assert again.position == learner.position and (tmp_path / train.BEST).is_file(), "begun anew"


def test_a_score_that_stood_before_a_kill_is_that_of_the_weights_that_were_kept(corpus, tmp_path, monkeypatch):
    """Scored once more, an epoch may be worse on a GPU, whose sums differ from time to time."""
    rising, save = itertools.count(), checkpoint.save
    run = replace(run_on(corpus, tmp_path, start="random"), score=lambda *_: float(next(rising)))

    def save_and_die(path, network, position, *optimisers):
        save(path, network, position, *optimisers)
        if path.name == train.BEST and position.epoch == 1:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint, "save", save_and_die)
        train.fine_tune(run)
    kept = (tmp_path / train.BEST).read_bytes()
    _, position = train.fine_tune(replace(run, score=lambda *_: -1.0))
    assert position.best == 1 and (tmp_path / train.BEST).read_bytes() == kept
    assert position.scores == [0.0, 1.0, -1.0]


def test_best_weights_of_another_epoch_are_not_taken_for_those_of_the_best(corpus, tmp_path):
    run = replace(run_on(corpus, tmp_path, epochs=1, start="random"), score=lambda *_: 0.5)
    network, _ = train.fine_tune(run)
    checkpoint.save(tmp_path / train.BEST, network, Position("mark", 5, scores=[0.5]))
    run = replace(run, score=lambda *_: 0.25)
    assert train.fine_tune(run)[1].scores == [0.25, 0.25], "begun anew"


def test_the_best_epoch_is_kept_the_start_among_them():
    assert Position("m", scores=[0.1, 0.4, 0.4, 0.3]).best == 1
    assert Position("m", scores=[0.5, 0.4]).best == 0


@pytest.mark.parametrize(("head_epochs", "key"), [(0, "rate (0.001)"), (1, "head_rate (0.01)")])
def test_a_loss_that_is_no_number_ends_it_and_the_last_good_checkpoint_stays(
    corpus, tmp_path, monkeypatch, head_epochs, key
):
    run = run_on(corpus, tmp_path, save_every=1, head_epochs=head_epochs, head_rate=0.01, start="random")
    learner, made = train._Learner(run), itertools.count(1)
    plain = learner.loss
    learner.loss = lambda outputs, truth: plain(outputs, truth) * (float("nan") if next(made) > 10 else 1)
    text = (
        f"finetune.ft: the loss is nan at step 3 of 4 in epoch 1, expected a finite number: lower finetune.ft.{key}; "
        f"with another rate the run begins anew and writes over its best weights so far (of the start): copy "
        f"{tmp_path / train.BEST} to keep them"
    )
    with monkeypatch.context() as patch, pytest.raises(InputError, match=f"^{re.escape(text)}$"):
        patch.setattr(train, "_Learner", lambda _: learner)
        train.fine_tune(run)
    position = checkpoint.read_position(tmp_path / train.CHECKPOINT, "mark")
    assert position.step == 2
    checkpoint.load(tmp_path / train.CHECKPOINT, learner.network)
    assert all(torch.isfinite(value).all() for value in learner.network.state_dict().values())
    assert checkpoint.read_position(tmp_path / train.BEST, "mark").epoch == 0
    again = train._Learner(replace(run, mark="of another rate"))
    again.begin()
    assert again.position.seen == 0 and checkpoint.read_position(tmp_path / train.BEST, "mark") is None


def limit_room(monkeypatch, most):
    """Stand for a GPU with room for so many pictures; returns a list to which go how many it was asked for while it
    learnt, and how many refused batches something still held.
    """
    plain, refused, asked = train._Learner._outputs, [], []

    def outputs(self, x):
        if torch.is_grad_enabled():
            asked.append((len(x), sum(reference() is not None for reference in refused)))
        if len(x) > most:
            refused.append(weakref.ref(x))
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return plain(self, x)

    monkeypatch.setattr(train._Learner, "_outputs", outputs)
    return asked


def test_a_gpu_without_room_says_how_many_pictures_would_fit(corpus, tmp_path, monkeypatch):
    run = run_on(corpus, tmp_path)
    train._Learner(run).begin()
    asked = limit_room(monkeypatch, 7)
    said = "finetune.ft: the GPU has no room for 16 pictures at once; finetune.ft.micro_batch = 4 fits"
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        train.fine_tune(run)
    steps = [(4, 0)] * (20 // 4 * 2 * 2)
    assert asked == [(16, 0), (8, 0), *steps], "two whole steps of two passes, while nothing holds what failed"
    with pytest.raises(InputError, match="torch finds no CUDA device"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        optimiser.choose_device("cuda", "finetune")


def test_a_gpu_without_room_for_norms_that_follow_the_batch_says_which_batch_would_fit(corpus, tmp_path, monkeypatch):
    run = run_on(corpus, tmp_path, start="random", frozen_norm=False, head_epochs=1)
    train._Learner(run).begin()
    for most, said, last in ((7, "finetune.ft.batch = 5 fits", [5] * 4), (1, "not even 2 would fit", [5, 2])):
        with monkeypatch.context() as patch:
            asked = limit_room(patch, most)
            with pytest.raises(InputError, match=f"no room for 20 pictures at once; {said}$"):
                train.fine_tune(run)
            assert asked == [(n, 0) for n in (20, 10, *last)]


@pytest.mark.parametrize("begin", ["linear", "random"])
def test_a_gpu_without_room_before_the_first_step_says_what_fits_and_that_does(corpus, tmp_path, monkeypatch, begin):
    limit_room(monkeypatch, 7)
    with pytest.raises(InputError, match=r"^finetune\.ft: the GPU has no room .*micro_batch = 4 fits$"):
        train.fine_tune(run_on(corpus, tmp_path, start=begin, epochs=1))
    limit_room(monkeypatch, 4)
    _, position = train.fine_tune(run_on(corpus, tmp_path, start=begin, epochs=1, micro_batch=4))
    assert position.seen == 80 and len(position.scores) == 2


def test_pictures_that_cannot_be_read_are_left_out_and_counted(tmp_path):
    made_pictures.write_corpus(tmp_path, train=VIDEOS, frames=FRAMES)
    made_pictures.write_tiny_network(tmp_path / "tiny.pt")
    run = run_on(tmp_path, tmp_path / "ft", epochs=1)
    broken = [run.train.path(row) for row in (3, 40)] + [run.dev.path(1)]
    for path in broken:
        path.write_bytes(b"")
    _, position = train.fine_tune(run)
    assert position.unreadable == {str(path): "the file is empty" for path in sorted(broken)}
    for row in range(len(run.train)):
        run.train.path(row).write_bytes(b"")
    for begin in ("linear", "random"):
        with pytest.raises(InputError, match=r"the file is empty; too few of 80 pictures can be read"):
            train.fine_tune(run_on(tmp_path, tmp_path / begin, epochs=1, start=begin))


def test_a_disk_that_goes_away_ends_it_and_the_same_command_goes_on_to_the_same_bytes(corpus, tmp_path, monkeypatch):
    recipe = {"epochs": 1, "save_every": 1, "start": "random"}
    expected, whole = export_bytes(run_on(corpus, tmp_path / "whole", **recipe), tmp_path / "whole.onnx")
    run, read, calls = run_on(corpus, tmp_path / "away", **recipe), images.read, itertools.count(1)

    def read_for_a_while(*arguments):
        if next(calls) > len(run.dev) + 70:  # the dev slice, three whole batches, and half of the fourth
            error = images.UnreadablePicture("cannot be read (Input/output error)")
            error.passing = True
            raise error
        return read(*arguments)

    monkeypatch.setattr(images, "read", read_for_a_while)
    with pytest.raises(InputError, match=r"\.png: cannot be read \(Input/output error\), expected a picture"):
        train.fine_tune(run)
    there = checkpoint.read_position(tmp_path / "away" / train.CHECKPOINT, "mark")
    assert there.epoch == 0 and there.step == 3 and not there.unreadable
    monkeypatch.setattr(images, "read", read)
    assert export_bytes(run, tmp_path / "away.onnx") == (expected, whole)


def test_the_loss_is_of_the_steps_that_learnt_and_a_held_out_picture_is_named(tmp_path):
    made_pictures.write_corpus(tmp_path, train=VIDEOS, frames=FRAMES)
    made_pictures.write_tiny_network(tmp_path / "tiny.pt")
    quick = {"epochs": 1, "batch": 8, "start": "random", "sam": 0, "rate": 1e-12, "smoothing": 0}
    whole = train.fine_tune(run_on(tmp_path, tmp_path / "whole", **quick))[1].losses[0]
    run = run_on(tmp_path, tmp_path / "half", **quick)
    for row in pictures.draw_order(run.train, 0, 0, run.recipe.shuffle)[:40]:
        run.train.path(row).write_bytes(b"")
    assert train.fine_tune(run)[1].losses[0] == pytest.approx(whole, rel=0.2)
    for row in range(len(run.dev)):
        run.dev.path(row).write_bytes(b"")
    learner = train._Learner(run_on(tmp_path, tmp_path / "dev", **quick))
    learner.unreadable.add(run.train.path(0), ValueError("of another part"))
    with pytest.raises(InputError, match=r"train5.*the file is empty; too few of 32 pictures can be read"):
        learner.begin()


def test_nothing_pickled_is_in_a_checkpoint(corpus, tmp_path):
    learner = train._Learner(run_on(corpus, tmp_path))
    learner.begin()
    data = (tmp_path / train.CHECKPOINT).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert [*header["__metadata__"]] == [checkpoint.KEY]
    assert {name.split(".")[0] for name in header if name[0] != "_"} == {"network", "random"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU here")
def test_on_a_cuda_device_it_learns_goes_on_when_killed_and_is_exported(corpus, tmp_path, monkeypatch):
    """In bf16, where no run is another one's to the last bit; in float32 the export is what was learnt."""
    recipe = {"device": "cuda", "precision": "bf16", "head_epochs": 1, "epochs": 2, "save_every": 1, "micro_batch": 16}
    _, expected = train.fine_tune(run_on(corpus, tmp_path / "whole", **recipe))
    run, save, calls = run_on(corpus, tmp_path / "killed", **recipe), checkpoint.save, itertools.count(1)

    def save_and_die(*arguments):
        save(*arguments)
        if next(calls) == 9:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint, "save", save_and_die)
        train.fine_tune(run)
    left = checkpoint.read_position(tmp_path / "killed" / train.CHECKPOINT, "mark")
    assert 80 < left.seen < 240, "of the second epoch, in which all learns"
    network, position = train.fine_tune(run)
    assert position.seen == expected.seen == 240 and len(position.scores) == 4
    np.testing.assert_allclose(position.losses, expected.losses, rtol=0.1)
    np.testing.assert_allclose(position.scores, expected.scores, atol=0.05)
    path = tmp_path / "ft.onnx"
    export.export_module(network, 32, export.name_outputs(run.target), {}, path)
    section = export.describe_section("ft", run.start.network, run.target, str(path), run_folder.file_hash(path))
    used = registry.find("ft", Config.model_validate({"corpus": {"name": "c"}} | section))
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert_exported(run, network, path, used, 1e-3, "cuda")
