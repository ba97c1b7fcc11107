"""Networks of the user's own: bytes, sizes, shapes of outputs and values, against what the config says of them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from extract.engines import graph as engine
from extract.engines import openvino_engine
from extract.engines.onnxruntime_engine import OnnxRuntimeEngine
from extract.features import pipeline, store
from extract.media import frames
from extract.networks.registry import Network
from extract.runtime.errors import InputError

SIZE = 12


def network(**facts):
    given = {"name": "own", "size": SIZE, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "colour": "rgb"}
    unsaid = {"classes": None, "dim": None, "has_va": False, "file": "own.onnx", "classifier": False}
    return Network(**given | unsaid | facts)


def save(path, kind=TensorProto.FLOAT, takes=("n", 3, SIZE, SIZE), extra=(), inputs=1):
    """Pixels -> convolution, "maps" -> means, "pooled" [N, 8] -> `extra` nodes. Returns the kernel [8, 3, 3, 3]."""
    kernel = np.random.default_rng(3).normal(size=(8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["pixels"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Conv", ["real", "kernel"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
        helper.make_node("Flatten", ["means"], ["pooled"]),
        *extra,
    ]
    entries = [helper.make_tensor_value_info(f"pixels{k or ''}", kind, list(takes)) for k in range(inputs)]
    outputs = [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "own", entries, outputs, [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    Path(path).write_bytes(model.SerializeToString())
    return kernel


def by_hand(kernel, pixels):
    windows = np.lib.stride_tricks.sliding_window_view(pixels.transpose(2, 0, 1), (3, 3), axis=(1, 2))
    return np.einsum("cyxij,kcij->kyx", windows, kernel.astype(np.float64)).mean((1, 2))


def engines(path, own):
    yield openvino_engine.OpenVinoEngine(path, own, threads=1)
    yield OnnxRuntimeEngine(path, own, device="cpu")


@pytest.mark.parametrize("kind", ["UINT8", "INT32", "FLOAT", "FLOAT16"])
def test_a_network_of_whole_numbers_gets_the_pixels_and_others_get_them_normalised(tmp_path, kind):
    own, picture = network(embedding="pooled"), np.random.default_rng(4).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    kernel = save(tmp_path / "own.onnx", getattr(TensorProto, kind))
    seen = picture.astype(float) if "INT" in kind else (picture / 255 - own.mean) / own.std
    for runs in engines(tmp_path / "own.onnx", own):
        found = runs.run(picture)["embedding"]
        np.testing.assert_allclose(found, by_hand(kernel, seen), rtol=1e-2 if kind == "FLOAT16" else 1e-4, atol=1e-2)


def test_inputs_that_take_no_such_picture_are_refused_at_the_start(tmp_path):
    path, own = tmp_path / "own.onnx", network(embedding="pooled")
    for text, changes in {
        r"takes pictures of 20x24 pixels, but networks\.own\.size is 12": {"takes": (1, 3, 20, 24)},
        r"\['any', 12, 12, 3\]: it is \[N, height, width, channels\]": {"takes": ("n", SIZE, SIZE, 3)},
        r"has the shape \['any', 3\]; expected \[N, channels, height, width\]": {"takes": ("n", 3)},
        r"takes 2 inputs \(pixels, pixels1\), expected the picture alone": {"inputs": 2},
        "its input is int8, which holds no pixels": {"kind": TensorProto.INT8},
    }.items():
        save(path, **changes)
        for make in (openvino_engine.OpenVinoEngine, OnnxRuntimeEngine):
            with pytest.raises(InputError, match=rf"own\.onnx: .*{text}"):
                make(path, own)
    save(path, takes=("n", 3, "h", "w"))
    assert [runs.widths for runs in engines(path, own)] == [{"embedding": 8}] * 2


def test_outputs_that_are_not_what_the_config_says_are_refused_at_the_start(tmp_path):
    path = tmp_path / "own.onnx"
    save(path)
    for facts, text in (
        (
            {"logits": "pooled", "classes": tuple("abcdefg")},
            r"'pooled' \(networks\.own\.logits\) has 8 columns, but .* 7",
        ),
        (
            {"embedding": "pooled", "va": "pooled"},
            r"networks\.own\.va\) has 8 columns, expected 2: valence and arousal",
        ),
        (
            {"embedding": "maps"},
            r"'maps' .* has the shape \[\d, 8, 10, 10\]: a map of 800 numbers a picture; expected one",
        ),
    ):
        for make in (openvino_engine.OpenVinoEngine, OnnxRuntimeEngine):
            with pytest.raises(InputError, match=rf"own\.onnx: output .*{text}"):
                make(path, network(**facts))
    good = network(logits="pooled", classes=tuple("abcdefgh"), embedding="means")  # [N, 8, 1, 1] is one vector
    assert [runs.widths for runs in engines(path, good)] == [{"embedding": 8, "logits": 8}] * 2


@pytest.mark.parametrize(("power", "text"), [(0.5, "embedding is NaN"), (6.0, "infinite, or beyond 65,504")])
def test_what_cannot_be_kept_is_refused_with_network_video_and_frame_and_nothing_is_written(tmp_path, power, text):
    # means of normalised pixels: of the black picture negative, whose root is NaN; of the others within float16 or not
    save(tmp_path / "own.onnx", extra=[helper.make_node("Pow", ["pooled", "p"], ["powers"])])
    model = onnx.load(tmp_path / "own.onnx")
    model.graph.initializer.append(numpy_helper.from_array(np.array(power, np.float32), "p"))
    onnx.save(model, tmp_path / "own.onnx")
    folder = tmp_path / "frames" / "clip"
    folder.mkdir(parents=True)
    for number in (2, 5):
        Image.fromarray(np.full((SIZE, SIZE, 3), 250, np.uint8)).save(folder / f"{number:05d}.png")
    runs = openvino_engine.OpenVinoEngine(tmp_path / "own.onnx", network(embedding="powers"), threads=1)
    written = []
    job = pipeline.Job("clip", folder, frames.list_frames(folder))
    with pytest.raises(InputError, match=rf"network 'own', video 'clip', frame 2: .*{text}.*correct the network"):
        pipeline.extract(runs, [job], lambda *done: written.append(done), lambda count: None)
    assert not written


def test_the_first_bad_frame_is_named_in_every_kind_and_good_values_pass():
    rng = np.random.default_rng(0)
    for kind, width in (("embedding", 6), ("logits", 8), ("va", 2)):
        for bad in (np.nan, np.inf, -np.inf):
            values = rng.normal(size=(9, width)).astype(store.KINDS[kind])
            features = store.VideoFeatures(np.arange(10, 19, dtype=np.int32), **{kind: values})
            store.check_values(features, "n", "v")
            values[[4, 7], 1] = bad
            with pytest.raises(InputError, match=rf"video 'v', frame 14: {kind} is .* \(2 such frames"):
                store.check_values(features, "n", "v")


def test_a_file_that_is_not_all_of_the_network_is_told_as_that(tmp_path):
    path, own = tmp_path / "own.onnx", network(embedding="pooled")
    save(path)
    onnx.save_model(
        onnx.load(path), path, save_as_external_data=True, location="own.data", size_threshold=0, convert_attribute=True
    )
    assert openvino_engine.OpenVinoEngine(path, own, threads=1).widths == {"embedding": 8}
    (tmp_path / "own.data").unlink()
    with pytest.raises(InputError, match=r"own\.onnx: not an ONNX network \(.*own\.data"):
        engine.expose(path, own)
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(InputError, match="a git-lfs pointer in place of the file: `git lfs pull`"):
        engine.expose(path, own)
