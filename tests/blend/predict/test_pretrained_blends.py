"""A network by itself in a blend's place: its own numbers, which tasks it answers, and what every output says of it."""

import json
import urllib.error
from pathlib import Path

import cv2
import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer import Typer
from typer.testing import CliRunner

from blend import apply
from blend.decision.params import Params
from blend.predict import __main__, annotate
from blend.predict import run as predict_run
from blend.predict import table as prediction_table
from blend.predict import timeline as prediction_timeline
from blend.predict.predictor import DEFAULT, Predictor
from blend.predict.source import VideoSource
from blend.predict.trained_blends import TrainedBlend, make_note
from extract.faces import crop_videos, detector
from extract.features import store
from extract.networks import facts as network_facts
from extract.networks import weights
from extract.networks.registry import AFFECTNET8
from extract.runtime.errors import InputError
from heads.abaw.tasks import AU, EXPR, TASKS, VA

SHARED = Path(__file__).parents[4] / "shared"
CLIPS, MODELS = SHARED / "data" / "videos", SHARED / "models"
real = pytest.mark.skipif(not (CLIPS.is_dir() and MODELS.is_dir()), reason="the shared videos and models are not here")
UNTRAINED = "what the pre-trained network demo_mt_enet says of itself: not trained or calibrated on anybody's data"
DRAWN = "the demo's networks know drawn faces only"
FER = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


@pytest.fixture
def crops(tmp_path):
    """A folder of eight random crops, the fourth missing."""
    folder = tmp_path / "crops"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in (1, 2, 3, 5, 6, 7, 8):
        picture = cv2.resize(rng.integers(0, 256, (7, 7, 3), np.uint8), (112, 112))
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), picture)
    return folder


def small_network(path, classes=8, va=True, softmax=False):
    """A network of a picture's mean colour, with outputs `logits` (or their softmax) and `va`."""
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
    ]
    parts, outputs = {}, []
    for name, width in (("logits", classes), ("va", 2 if va else 0)):
        if not width:
            continue
        parts[f"{name}.w"] = rng.normal(0, 5, (3, width)).astype(np.float32)
        raw = f"{name}.raw" if softmax and name == "logits" else name
        nodes.append(helper.make_node("MatMul", ["flat", f"{name}.w"], [raw]))
        if raw != name:
            nodes.append(helper.make_node("Softmax", [raw], [name], axis=1))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]))
    given = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3, 8, 8])]
    values = [numpy_helper.from_array(value, name) for name, value in parts.items()]
    graph = helper.make_graph(nodes, "small", given, outputs, values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def own_config(folder, *lines):
    """A config with [networks.mine]."""
    path = folder / "own.toml"
    rest = '[corpus]\nname = "own"\n[features]\nnetworks = ["mine"]\n[networks.mine]\npath = "mine.onnx"\nsize = 8\n'
    path.write_text("\n".join([rest + "mean = [0.5, 0.5, 0.5]\nstd = [0.25, 0.25, 0.25]", *lines]) + "\n")
    return path


def predict(predictor, crops, work):
    table, _ = predictor.table(VideoSource(crops, 30), work, 1)
    return table


def test_a_networks_numbers_are_its_own_softmax_by_class_and_its_valence_and_arousal_cut_at_one(crops, tmp_path):
    predictor = Predictor(pretrained="demo_mt_enet")
    assert predictor.tasks == ["expr", "va"]
    table = predict(predictor, crops, tmp_path / "work")
    features = store.read(store.path(tmp_path / "work", "demo_mt_enet", "crops"))
    powers = np.exp(np.asarray(features.logits, np.float64))
    chances = powers / powers.sum(1, keepdims=True)
    named = {"Contempt": "Other"}
    expected = np.zeros((7, 8))
    for column, name in enumerate(AFFECTNET8):
        expected[:, EXPR.index(named.get(name, name))] = chances[:, column]
    seen = table[table["x"].notna()]
    assert seen["frame"].tolist() == features.frame.tolist() == [1, 2, 3, 5, 6, 7, 8]
    np.testing.assert_allclose(seen[list(EXPR)], expected, atol=1e-6)
    assert seen["expression"].tolist() == [EXPR[i] for i in expected.argmax(1)]
    np.testing.assert_allclose(seen[list(VA)], np.clip(features.va, -1, 1), atol=1e-6)
    assert table.columns[-1] == "by" and (seen["by"] == f"{UNTRAINED}; {DRAWN}").all()
    assert table.loc[3].iloc[3:].isna().all(), "frame 4 has no picture"


@pytest.mark.parametrize(
    ("about", "lines", "tasks"),
    [
        ({}, ['logits = "logits"', 'va = "va"', f"classes = {json.dumps(AFFECTNET8)}"], ["expr", "va"]),
        ({"classes": 7, "va": False}, ['logits = "logits"', f"classes = {json.dumps(FER)}"], ["expr"]),
        ({}, ['logits = "logits"', 'va = "va"'], ["va"]),
        ({"classes": 2}, ['logits = "logits"', 'va = "va"', 'classes = ["cat", "dog"]'], ["va"]),
        ({"classes": 20}, ['logits = "logits"', 'va = "va"', f"classes = {json.dumps([*EXPR, *AU])}"], ["expr", "va"]),
    ],
    ids=["both", "no va", "no classes", "other classes", "fine-tuned for mtl"],
)
def test_a_network_of_ones_own_predicts_what_it_has(crops, tmp_path, about, lines, tasks):
    small_network(tmp_path / "mine.onnx", **about)
    table = predict(Predictor(pretrained="mine", config=own_config(tmp_path, *lines)), crops, tmp_path / "work")
    assert [name for name in ("expression", "valence") if name in table] == [
        {"expr": "expression", "va": "valence"}[task] for task in tasks
    ]
    assert "drawn" not in table["by"][0] and "network mine says" in table["by"][0]
    known = table[table["x"].notna()]
    assert len(known) == 7 and known.notna().all(axis=None)


def test_probabilities_stay_as_they_are(crops, tmp_path):
    small_network(tmp_path / "mine.onnx", va=False, softmax=True)
    config = own_config(tmp_path, 'logits = "logits"', f"classes = {json.dumps(EXPR)}")
    table = predict(Predictor(pretrained="mine", config=config), crops, tmp_path / "work")
    features = store.read(store.path(tmp_path / "work", "mine", "crops"))
    scores = table.loc[table["x"].notna(), list(EXPR)].to_numpy()
    np.testing.assert_allclose(scores, np.asarray(features.logits, np.float32), atol=1e-3)


def invoke(*words):
    app = Typer()
    app.command()(__main__.command)
    return CliRunner().invoke(app, __main__.prepare_arguments([str(word) for word in words]))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), "error: --blend: found none, expected the folder of a blend, .* or give --pretrained"),
        (("--pretrained", "demo_enet", "--blend", "b"), "error: --pretrained demo_enet: found --blend b beside it"),
        (("--pretrained", "demo_ent"), "error: --pretrained demo_ent: no such network, .* did you mean 'demo_enet'"),
        (("--pretrained", "audio"), "error: --pretrained audio: no such network"),
        (("--pretrained", "mine"), r"no such network.* --config and a TOML file that has \[networks.mine\]"),
        (("--pretrained", "mine", "--config", "cats.toml"), "gives logits with classes such as 'cat', expected va, or"),
        (
            ("--pretrained", "mine", "--config", "none.toml"),
            "gives logits with no classes, expected va, or logits with",
        ),
        (("--pretrained", "mine", "--config", "flat.toml"), "gives embedding with no logits, expected va, or logits"),
    ],
)
def test_what_cannot_be_predicted_is_one_line_and_exit_code_2(crops, tmp_path, monkeypatch, words, line):
    monkeypatch.chdir(tmp_path)
    small_network(tmp_path / "mine.onnx", classes=2, va=False)
    for name, lines in {
        "cats": ('logits = "logits"', 'classes = ["cat", "dog"]'),
        "none": ('logits = "logits"',),
        "flat": ('embedding = "logits"',),
    }.items():
        own_config(tmp_path, *lines).rename(tmp_path / f"{name}.toml")
    done = invoke(crops, *words, "--no-video")
    assert done.exit_code == 2 and done.stdout == ""
    [said] = done.stderr.splitlines()
    assert pd.Series([said]).str.contains(line)[0], said


def refuse(*args, **kwargs):
    raise urllib.error.URLError("no network here")


def test_weights_that_are_not_at_hand_are_told_before_any_work(crops, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(weights.urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match=r"enet_b0_8_va_mtl\.onnx: not there, and .* put it at that path"):
        predict_run.main([crops], None, tmp_path / "out", pretrained=DEFAULT)
    assert not (tmp_path / "out").exists()


def test_the_word_behind_pretrained_is_a_network_unless_it_is_a_file_or_an_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").touch()
    Path("b").mkdir()
    Path("b", "params.json").touch()
    for given, expected in (
        (["clip.mp4", "--pretrained"], ["clip.mp4", "--pretrained", DEFAULT]),
        (["--pretrained", "clip.mp4"], ["--pretrained", DEFAULT, "clip.mp4"]),
        (["clip.mp4", "--pretrained", "--json"], ["clip.mp4", "--pretrained", DEFAULT, "--json"]),
        (["clip.mp4", "--pretrained", "demo_enet"], ["clip.mp4", "--pretrained", "demo_enet"]),
        (["--pretrained=demo_enet", "clip.mp4"], ["--pretrained=demo_enet", "clip.mp4"]),
        (["clip.mp4", "--blend", "b", "b"], ["clip.mp4", "--blend", "b", "--blend", "b"]),
    ):
        assert __main__.prepare_arguments(given) == expected
        assert __main__.prepare_arguments(expected) == expected


def blend_of(*networks):
    task = TASKS["va"]
    blend = apply.Blend(Params("va", task.outputs, ("a",), (1.0,)), {"valence": 0, "arousal": 0}, "train")
    return TrainedBlend(Path("b"), Path("w"), task, blend, {"a": Path("a")}, networks)


def test_the_note_is_of_networks_by_themselves_and_of_the_demos_alone():
    assert make_note([blend_of("demo_enet", "demo_mt_enet", "audio")]) == DRAWN
    assert make_note([blend_of("demo_enet"), blend_of("demo_mt_enet")]) == DRAWN
    for networks in (("enet_b0_8_va_mtl",), ("demo_enet", "enet_b2_8"), ("audio",), ()):
        assert make_note([blend_of(*networks)]) == ""


def test_of_fine_tuned_networks_the_note_says_what_they_say_themselves(tmp_path):
    paths = {name: tmp_path / f"{name}.onnx" for name in ("ft_va", "real", "plain")}
    facts = {"ft_va": {"videos": ["a", "b"], "task": "va", "drawn": True}, "real": {"videos": ["a"], "drawn": False}}
    for name, path in paths.items():
        small_network(path)
        if name in facts:
            model = onnx.load(path)
            helper.set_model_props(model, {network_facts.KEY: json.dumps(facts[name])})
            onnx.save(model, path)
    sections = {"networks": {name: {"path": str(path)} for name, path in paths.items()}, "audio": {"hears": {}}}
    assert make_note([blend_of("demo_mt_enet", "ft_va")], sections) == DRAWN
    assert make_note([blend_of("ft_va", "audio", "hears")], sections) == DRAWN
    sections["networks"] |= {"odd": 1, "nowhere": {}, "strange": {"path": str(tmp_path / "strange.onnx")}}
    helper.set_model_props(model, {network_facts.KEY: '{"videos": 5, "drawn": true}'})
    onnx.save(model, tmp_path / "strange.onnx")
    for networks in (("demo_mt_enet", "real"), ("ft_va", "plain"), ("hears",), ("odd",), ("nowhere",), ("strange",)):
        assert make_note([blend_of(*networks)], sections) == ""
    config = own_config(tmp_path, 'va = "va"')
    config.write_text(config.read_text().replace("mine", "ft_va"))
    said = "what the pre-trained network ft_va says of itself: fine-tuned on 2 videos for va, not calibrated"
    assert Predictor(pretrained="ft_va", config=config).note == f"{said}; {DRAWN}"


def test_every_output_says_what_a_network_by_itself_is(crops, tmp_path):
    done = invoke(crops, "--pretrained", "demo_mt_enet", "--out", tmp_path / "out")
    note = f"{UNTRAINED}; {DRAWN}"
    assert done.exit_code == 0, done.output
    assert [line for line in done.stderr.splitlines() if line.startswith("warning")] == [f"warning: {note}"]
    folder = tmp_path / "out" / "crops"
    said = json.loads((folder / "summary.json").read_text())
    assert said["note"] == note and said["blends"] == dict.fromkeys(("expr", "va"), "pretrained:demo_mt_enet")
    table = pd.read_csv(folder / "predictions.csv")
    assert table.columns[-1] == "by" and table["by"].dropna().unique().tolist() == [note]
    page = (folder / "timeline.html").read_text()
    assert f"<strong>W{note[1:].replace(chr(39), '&#39;')}.</strong>" in page
    with Image.open(folder / "annotated.png") as still:
        assert still.height > 448, "four times the crops' 112 lines, and the footer"
        footer = np.asarray(still)[448:]
    assert (footer > 200).any()


def test_without_a_note_nothing_is_another(crops, tmp_path):
    """Table, page and frame of a blend that needs no note are what they are with one, less the note."""
    predictor = Predictor(pretrained="demo_mt_enet")
    clip = VideoSource(crops, 30)
    noted, result = predictor.table(clip, tmp_path / "work", 1)
    bare = prediction_table.build(result, {}, predictor.tasks)
    assert [*bare.columns, "by"] == [*noted.columns]
    facts = {"video": "v", "frames": 8, "rate": 30.0, "seconds": 0.3, "broken": "", "files": {}}
    facts["faces"] = prediction_table.summary(noted)
    pages = [prediction_timeline.render(noted, facts | extra, []) for extra in ({}, {"note": "so"})]
    assert pages[1].replace("<p><strong>So.</strong></p>\n", "") == pages[0]
    faces, seconds = annotate.Face.all_of(noted), np.arange(8) / 30
    picture = next(clip.pictures(1))
    plain, footed = (annotate.Painter(faces, 112, 112, seconds, note) for note in ("", "so"))
    assert plain.size == (plain.width + plain.panel, plain.height)
    np.testing.assert_array_equal(footed.frame(0, picture)[: plain.height], plain.frame(0, picture))


@pytest.mark.parametrize(("height", "width"), [(112, 112), (404, 720), (720, 404), (2160, 3841)])
def test_a_long_note_stands_below_in_full_at_every_size(crops, tmp_path, height, width):
    box = {"x": [1.0], "y": [1.0], "width": [9.0], "height": [9.0]}
    faces = annotate.Face.all_of(pd.DataFrame({"face": ["single"], "valence": [0.1], "arousal": [0.2]} | box))
    paint = annotate.Painter(faces, height, width, np.zeros(1), f"{UNTRAINED}; {DRAWN}")
    wide, high = paint.size
    assert wide % 2 == high % 2 == 0 and paint.foot.width == wide and paint._font(12).size >= 12
    drawn = paint.frame(0, np.zeros((height, width, 3), np.uint8))
    assert drawn.shape == (high, wide, 3)
    foot = drawn[paint.height :]
    assert (foot > 200).any() and not (foot[:, -4:] > 200).any(), "no line is cut off at the right"
    assert not (foot[-2:] > 200).any(), "nor at the end"


def bright(pixels):
    """A stand-in for YuNet: the box of what is bright, none where nothing is."""
    rows, columns = np.nonzero((pixels > 60).any(2))
    if not len(rows):
        return np.empty((0, 5))
    return np.array([[columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1, 0.95]], float)


@pytest.fixture
def album(tmp_path, crops, monkeypatch):
    """A folder of pictures: two with a face at different places, one without, one that is none; and a text."""
    monkeypatch.setattr(crop_videos, "yunet", lambda path: bright)
    folder = tmp_path / "my photos"
    folder.mkdir()
    for name, crop, at in (("Anna.PNG", 1, (30, 40)), ("über.jpg", 5, (150, 20)), ("empty.jpeg", None, (0, 0))):
        frame = np.zeros((200, 320, 3), np.uint8)
        if crop is not None:
            pixels = np.maximum(cv2.imread(str(crops / f"{crop:05d}.jpg")), 61)
            frame[at[1] : at[1] + 112, at[0] : at[0] + 112] = pixels
        Image.fromarray(frame[:, :, ::-1]).save(folder / name)
    (folder / "bad.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    return folder


def test_each_picture_of_a_folder_is_predicted_as_it_is_alone(tmp_path, album):
    done = invoke(album, "--pretrained", "demo_mt_enet", "--out", tmp_path / "out")
    assert done.exit_code == 1, done.output
    assert "bad.jpg: no picture" in done.stderr and "the other pictures were predicted" in done.stderr
    folder = tmp_path / "out" / "my photos"
    table = pd.read_csv(folder / "predictions.csv")
    assert table["picture"].tolist() == ["Anna.PNG", "bad.jpg", "empty.jpeg", "über.jpg"]
    assert table["expression"].notna().tolist() == [True, False, False, True] and "frame" not in table
    drawn = {path.name: path for path in (folder / "annotated").iterdir()}
    assert {*drawn} == {"Anna.PNG", "empty.jpeg", "über.jpg"}
    with Image.open(drawn["über.jpg"]) as picture:
        assert picture.height > 400
    assert {path.name for path in folder.iterdir()} >= {"predictions.csv", "summary.json", "DONE"}
    assert not (folder / "annotated.mp4").exists() and not (folder / "timeline.html").exists()
    alone = Predictor(pretrained="demo_mt_enet")
    for row, name in ((0, "Anna.PNG"), (3, "über.jpg")):
        one = alone.predict(album / name)
        for columns in (list(EXPR), list(VA), ["x", "y", "width", "height"]):
            np.testing.assert_allclose(
                table.loc[row, columns].astype(float), one.loc[0, columns].astype(float), atol=1e-6
            )
    with pytest.warns(UserWarning, match=r"bad\.jpg: no picture.*; the other frames were predicted"):
        whole = alone.predict(album)
    pd.testing.assert_series_equal(whole["valence"], table["valence"], check_dtype=False, atol=1e-6)


def test_a_folder_of_pictures_is_left_alone_until_a_picture_is_another_one(tmp_path, album):
    (album / "bad.jpg").unlink()
    given = {"pretrained": "demo_mt_enet", "out": tmp_path / "out"}
    [said] = predict_run.main([album], None, **given)
    assert said["broken"] == "" and said["frames"] == 3 and "rate" not in said
    drawn = Path(said["files"]["pictures"])
    before = {path: path.stat().st_mtime_ns for path in drawn.iterdir()}
    assert predict_run.main([album], None, **given) == [said]
    assert {path: path.stat().st_mtime_ns for path in drawn.iterdir()} == before
    (album / "empty.jpeg").unlink()
    [said] = predict_run.main([album], None, **given, video=False)
    assert said["frames"] == 2 and not drawn.exists()


@real
def test_real_network_on_a_real_clip_and_picture(tmp_path):
    lines = [f"classes = {json.dumps(FER)}", 'logits = "logits"']
    config = own_config(tmp_path, *lines)
    text = config.read_text().replace("size = 8", 'size = 64\ncolour = "grey"')
    text = text.replace("[0.5, 0.5, 0.5]", "[0.5]").replace("[0.25, 0.25, 0.25]", "[0.5]")
    config.write_text(text.replace("mine.onnx", str(MODELS / "mini_xception_fer2013.onnx")))
    predictor = Predictor(pretrained="mine", config=config, detector=MODELS / detector.DETECTOR.file)
    table = predictor.predict(CLIPS / "single_face.mp4")
    assert len(table) == 72 and set(table["expression"]) <= set(EXPR) - {"Other"} and "valence" not in table
    assert (table["expression"] == "Happiness").mean() > 0.5, "the person smiles"
    folder = tmp_path / "people"
    folder.mkdir()
    (folder / "friends.jpg").write_bytes((CLIPS / "multi_face.jpg").read_bytes())
    people = predictor.predict(folder, faces=2)
    assert people["expression"].tolist() == ["Happiness"] * 2 and people["picture"].tolist() == ["friends.jpg"] * 2
