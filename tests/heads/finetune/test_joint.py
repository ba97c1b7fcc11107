"""One network for all three tasks of the multi-task challenge: what it learns from, what is left, and who takes it."""

import json
import re
import shutil

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score
from support import made_pictures
from support.sweeps import sweep

from extract import config as configs
from extract.learning import train
from extract.learning.recipe import Recipe
from extract.networks import facts as network_facts
from heads import run as heads_run
from heads.abaw.tasks import AU, EXPR, JOINT, TASKS, VA
from heads.config import Config
from heads.data import predictions, splits
from heads.finetune import __main__ as program
from heads.finetune import corpus

MTL = JOINT["mtl"]
QUICK = [
    f"finetune.ft.{key}"
    for key in ("epochs=2", "batch=32", "micro_batch=12", "rate=1e-3", "save_every=1", "dev_stride=1", "device='cpu'")
]


def load(path, *more):
    return configs.load(Config, path, [*QUICK, *more])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    made_pictures.write_tiny_network(folder / "tiny.pt")
    config = made_pictures.write_corpus(folder, frames=16)
    made_pictures.write_multitask(folder)
    return config


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFFECT_HEADS_THREADS", "1")
        return program.main(load(made), "mtl", "tiny", "ft", tmp_path_factory.mktemp("work"))


def read_lines(path):
    """(video, frame) -> values, class and units as the file has them, None where a task is not annotated."""
    found = {}
    for line in path.read_text().splitlines()[1:]:
        image, *cells = line.split(",")
        video, frame = image.split("/")
        values, units = [float(cell) for cell in cells[:2]], [int(cell) for cell in cells[3:]]
        shown = int(cells[2])
        missing = -5 in values, shown == -1, -1 in units
        told = [None if lacks else part for lacks, part in zip(missing, (values, shown, units), strict=True)]
        if told != [None] * 3:
            found[video, int(frame[:5])] = told
    return found


def ask(folder, path, video):
    """Outputs of the network for all pictures of a video, in order, by ONNX Runtime alone."""
    pictures = sorted((path.parent / "frames" / video).iterdir())
    pixels = np.stack([np.asarray(Image.open(picture)) for picture in pictures])
    values = ((pixels / 255 - 0.5) / 0.5).transpose(0, 3, 1, 2).astype(np.float32)
    session = onnxruntime.InferenceSession(folder / "ft.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == ["embedding", "va", "logits"]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: values}), strict=True))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


def test_pictures_with_any_label_are_learnt_from_and_each_task_weighs_its_own(made, tmp_path):
    told = read_lines(made.parent / "mtl_train.txt")
    data = corpus.read(load(made), MTL, Recipe(dev_stride=1), seed=1)[0]
    assert len(data.train) + len(data.dev) == len(told) < 6 * 16
    assert not {folder.name for folder in data.train.folders} & {folder.name for folder in data.dev.folders}
    for part in (data.train, data.dev):
        for row in range(len(part)):
            values, shown, units = told[part.path(row).parent.name, int(part.names[row][:5])]
            given = [*(values or [np.nan] * 2), np.nan if shown is None else shown, *(units or [np.nan] * 12)]
            np.testing.assert_array_equal(part.truth[row], np.float32(given))
    va, expr, au = data.target.parts
    assert (va.outputs, expr.outputs, au.outputs) == (VA, EXPR, AU)
    truth = data.train.truth
    classes = truth[~np.isnan(truth[:, 2]), 2].astype(int)
    weights = len(classes) / 8 / np.bincount(classes, minlength=8)
    np.testing.assert_allclose(expr.weights, weights, rtol=1e-5)
    rate = truth[~np.isnan(truth[:, 3]), 3:].mean(0)
    np.testing.assert_allclose(au.weights, [0.5 / (1 - rate), 0.5 / rate], rtol=1e-5)
    people = tmp_path / "people.csv"
    people.write_text("video,person\n" + "".join(f"train{v},{'abc'[v % 3]}\n" for v in range(6)))
    whole, *folds = corpus.read(load(made, f"corpus.people={people}"), MTL, Recipe(), seed=1, folds=3)
    assert len(whole.videos) == 6 and len(folds) == 3
    for fold in folds:
        assert len({int(video[-1]) % 3 for video in fold.held_out}) == 1 and len(fold.held_out) == 2
        assert set(fold.videos) == set(whole.videos) - set(fold.held_out)


def test_labels_of_a_video_are_counted_where_they_are(made):
    told = read_lines(made.parent / "mtl_train.txt")
    data = corpus.read(load(made), MTL, Recipe(dev_stride=1), seed=1)[0].train
    names = [folder.name for folder in data.folders]
    found = splits.label_counts(data.truth, data.video, len(names), MTL)
    expected = np.zeros((len(names), 10 + 8 + 12))
    for (video, _), (values, shown, units) in told.items():
        if video in names:
            own = expected[names.index(video)]
            for dimension, value in enumerate(values or ()):
                own[5 * dimension + sum(value >= edge for edge in (-0.6, -0.2, 0.2, 0.6))] += 1
            if shown is not None:
                own[10 + shown] += 1
            own[18:] += units or 0
    np.testing.assert_array_equal(found, expected)


def test_a_task_without_a_picture_is_named(made, tmp_path):
    for name, columns, said in (("va", slice(1, 3), "-5"), ("au", slice(4, 16), "-1")):
        shutil.copytree(made.parent, tmp_path / name)
        path = tmp_path / name / "mtl_train.txt"
        header, *lines = path.read_text().splitlines()
        rows = [line.split(",") for line in lines]
        for row in rows:
            row[columns] = [said] * len(row[columns])
        path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
        with pytest.raises(program.InputError, match=f"no picture for {name} among the .*some of each task"):
            program.main(load(tmp_path / name / "made.toml"), "mtl", "tiny", "ft", tmp_path / "w")


def test_the_score_that_chooses_is_the_sum_of_the_tasks_scores_of_their_own_pictures(made, finished):
    """Of what the ONNX file says of the held-out pictures, by other people's metrics."""
    facts = json.loads((finished / "provenance.json").read_text())
    assert facts["task"] == "mtl" and facts["metric"] == "dev mean CCC + macro F1 + mean average precision"
    assert len(facts["scores"]) == 3 and facts["videos"] == [f"train{v}" for v in range(6)]
    told, rows = read_lines(made.parent / "mtl_train.txt"), []
    for video in facts["dev_videos"]:
        outputs = ask(finished, made, video)
        for frame in range(1, 17):
            if (video, frame) in told:
                rows.append((*told[video, frame], outputs["va"][frame - 1], outputs["logits"][frame - 1]))
    values = np.array([(*row[0], *row[3]) for row in rows if row[0] is not None]).T
    total = 0.0
    for t, o in ((values[0], values[2]), (values[1], values[3])):
        total += np.cov(t, o, bias=True)[0, 1] / (t.var() + o.var() + (t.mean() - o.mean()) ** 2)
    classes = np.array([(row[1], row[4][:8].argmax()) for row in rows if row[1] is not None]).T
    total += f1_score(*classes, labels=range(8), average="macro", zero_division=0)
    shown = np.array([row[2] for row in rows if row[2] is not None])
    logits = np.array([row[4][8:] for row in rows if row[2] is not None])
    total += np.mean([average_precision_score(shown[:, u], logits[:, u]) for u in range(12) if shown[:, u].any()])
    assert facts["scores"][facts["epoch"]] == pytest.approx(total, abs=1e-3)


def test_the_file_computes_what_was_learnt(made, finished, monkeypatch, tmp_path):
    learn, learnt = train.fine_tune, []
    monkeypatch.setattr(train, "fine_tune", lambda run: (learnt.append(learn(run)), learnt[-1])[1])
    monkeypatch.setenv("AFFECT_HEADS_THREADS", "1")
    folder = program.main(load(made), "mtl", "tiny", "ft", tmp_path)
    assert (folder / "ft.onnx").read_bytes() == (finished / "ft.onnx").read_bytes(), "the same seed, the same bytes"
    import torch

    pictures = sorted((made.parent / "frames" / "val0").iterdir())
    pixels = np.stack([np.asarray(Image.open(picture)) for picture in pictures])
    x = torch.tensor((pixels / 255 - 0.5) / 0.5, dtype=torch.float32).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = learnt[0][0](x)
    for found, wanted in zip(ask(finished, made, "val0").values(), expected, strict=True):
        np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4 * max(1, np.abs(wanted.numpy()).max()))


@pytest.mark.parametrize("within", sweep(["mtl/", ""], ["mtl/"]))
def test_each_tasks_pretrained_head_takes_its_own_columns(made, finished, tmp_path, monkeypatch, within):
    """By extract and heads, for the parts of the challenge and for the tasks that stand alone."""
    monkeypatch.setenv("AFFECT_HEADS_THREADS", "1")
    for name, kind in (("va", "va"), ("expr", "logits"), ("au", "logits")):
        (tmp_path / f"{name}_own.toml").write_text(f'family = "pretrained"\ninputs = ["{kind}"]\n')
    text = made.read_text().replace('networks = ["demo_enet"]', 'networks = ["ft"]')
    text = re.sub(r'"(frames|tiny.pt|\w+/(train|val)|mtl_\w+.txt)"', lambda m: f'"{made.parent / m[1]}"', text)
    (tmp_path / "mine.toml").write_text(f'extends = "{finished / "ft.toml"}"\n{text}')
    use = [f'heads.{name}.use=["{tmp_path / name}_own.toml"]' for name in TASKS]
    config = load(tmp_path / "mine.toml", *use)
    outputs = ask(finished, made, "val0")
    expected = {
        "va": np.clip(outputs["va"], -1, 1),
        "expr": softmax(outputs["logits"][:, :8]),
        "au": 1 / (1 + np.exp(-outputs["logits"][:, 8:])),
    }
    for name, wanted in expected.items():
        heads = heads_run.main(config, f"{within}{name}", tmp_path / "work")
        assert [*heads] == [f"{name}_own-ft"]
        found = predictions.read(heads[f"{name}_own-ft"] / "val.parquet", TASKS[name])
        frames, scores = found.videos["val0"]
        np.testing.assert_allclose(scores, wanted[frames - 1], atol=2e-2)


def test_what_is_left_says_which_logits_are_whose(finished):
    config = configs.load(Config, finished / "ft.toml", ["corpus.name='c'", "features.networks=['ft']"])
    own = config.networks["ft"]
    assert own.classes == [*EXPR, *AU]
    assert (own.embedding, own.va, own.logits) == ("embedding", "va", "logits")
    assert network_facts.read(finished / "ft.onnx")["task"] == "mtl"
