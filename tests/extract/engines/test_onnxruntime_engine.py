"""ONNX Runtime against OpenVINO, and its own promises: same bytes whatever the neighbours, fp32 without TF32."""

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from support.sweeps import sweep

from extract.engines import graph, onnx_session
from extract.engines.onnxruntime_engine import BATCH, IN_FLIGHT, OnnxRuntimeEngine
from extract.engines.openvino_engine import OpenVinoEngine
from extract.networks import checkpoints
from extract.networks.registry import NETWORKS
from extract.runtime.errors import InputError

MODELS = Path(__file__).parents[4] / "shared" / "models"
MTL = NETWORKS["enet_b0_8_va_mtl"]
CUDA = pytest.mark.skipif(onnx_session.find_device() != "cuda", reason="no CUDA GPU here")
SHARED = {
    "faceres.onnx": replace(
        MTL, name="faceres", colour="bgr", mean=(0.4076, 0.458, 0.485), std=(0.00392157,) * 3,
        classifier=False, embedding="global_pooling/Mean:0",
    ),
    "mini_xception_fer2013.onnx": replace(
        MTL, name="mini_xception", size=64, colour="grey", mean=(0.5,), std=(0.5,), classifier=False, logits="logits",
        classes=("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"),
    ),
}  # fmt: skip


def mobile_face_net():
    """Layers of MobileFaceNet (mbf_va_mtl): PReLU, depthwise convolutions, a 1 x 1 end with BatchNorm1d, a Linear."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.PReLU(16),
        nn.Conv2d(16, 16, 3, 2, 1, groups=16, bias=False), nn.BatchNorm2d(16), nn.PReLU(16),
        nn.Conv2d(16, 12, 1, bias=False), nn.BatchNorm2d(12),
        nn.Conv2d(12, 12, 14, groups=12, bias=False), nn.BatchNorm2d(12),
        nn.Flatten(), nn.Linear(12, 20, bias=False), nn.BatchNorm1d(20), nn.Linear(20, 10),
    )  # fmt: skip


STAND_INS = {
    "tf_efficientnet_b0": 96,  # TensorFlow's uneven padding, computed in the graph
    "mobilevit_s": 160,  # attention; resizes its 5 x 5 maps (at 128 and less OpenVINO itself is 1e-3 off timm)
    "mobilevitv2_050": 64,  # group norms, linear attention
    "mobile_face_net": 56,
}


@pytest.fixture(scope="module", params=sweep(STAND_INS, [name for name in STAND_INS if name != "mobilevit_s"]))
def stand_in(request, tmp_path_factory):
    """A network with random weights, exported as the published files were: (file, facts)."""
    torch.manual_seed(1)
    timm = checkpoints.import_timm()
    name, size = request.param, STAND_INS[request.param]
    own = name == "mobile_face_net"
    module = mobile_face_net() if own else timm.create_model(name, num_classes=10, exportable=True)
    for layer in module.modules():  # fresh batch norms are the identity and would hide mistakes
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    path = tmp_path_factory.mktemp("onnx") / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing
        checkpoints.export(module.eval(), path, size)
    return path, replace(MTL, name=name, size=size)


@pytest.fixture
def small(tmp_path, network_file):
    """A small network of the published structure: (file, facts)."""
    network_file(tmp_path / "net.onnx", outputs=10)
    return tmp_path / "net.onnx", replace(MTL, name="small", size=32)


def pictures(network, count, seed=0):
    shape = (count, network.size, network.size, len(network.mean))
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def answers(engine, videos):
    """{kind: rows} of every picture of some videos, as the pipeline asks for them."""
    found = {}
    for number, video in enumerate(videos):
        engine.begin_video()
        for index, picture in enumerate(video):
            engine.submit(picture, lambda row, key=(number, index): found.__setitem__(key, row))
    engine.flush()
    return {kind: np.stack([found[key][kind] for key in sorted(found)]) for kind in engine.widths}


def assert_close(found, expected, tolerance):
    """Relative difference of every row, in the norm."""
    assert found.keys() == expected.keys()
    for kind, rows in expected.items():
        assert found[kind].shape == rows.shape and found[kind].dtype == np.float32
        norms = np.linalg.norm(rows, axis=1)
        assert (np.linalg.norm(found[kind] - rows, axis=1) <= tolerance * norms).all(), kind


def assert_engines_agree(path, network, device="cpu"):
    videos = [pictures(network, 5)]
    engine, other = OnnxRuntimeEngine(path, network, device=device), OpenVinoEngine(path, network)
    assert engine.widths == other.widths
    assert_close(answers(engine, videos), answers(other, videos), 1e-4)


def test_agrees_with_openvino_on_the_published_architectures(stand_in):
    assert_engines_agree(*stand_in)


@pytest.mark.parametrize("name", ["demo_enet", "demo_mt_enet"])
def test_agrees_with_openvino_on_the_demo_networks(name):
    assert_engines_agree(NETWORKS[name].path, NETWORKS[name])


@pytest.mark.parametrize("name", SHARED)
def test_agrees_with_openvino_on_public_networks(name):
    if not (MODELS / name).exists():
        pytest.skip(f"no {name} beside the project")
    assert_engines_agree(MODELS / name, SHARED[name])


@CUDA
def test_agrees_with_openvino_on_cuda(stand_in):
    assert_engines_agree(*stand_in, device="cuda")


def assert_same_bytes_in_company(path, network, precision, device):
    ours = pictures(network, BATCH[device] + 3)
    alone = answers(OnnxRuntimeEngine(path, network, precision, device), [ours])
    again = answers(OnnxRuntimeEngine(path, network, precision, device), [pictures(network, 5, seed=1), ours])
    for kind, rows in alone.items():
        np.testing.assert_array_equal(rows, again[kind][5:])


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=CUDA)])
def test_a_video_has_the_same_bytes_whatever_runs_before_it_and_beside_it(stand_in, device):
    assert_same_bytes_in_company(*stand_in, "fp32", device)


@CUDA
def test_bf16_is_tf32_on_a_gpu_near_fp32_and_not_it(small):
    path, network = small
    assert_same_bytes_in_company(path, network, "bf16", "cuda")
    videos = [pictures(network, 6)]
    full, lowered = (answers(OnnxRuntimeEngine(path, network, kind, "cuda"), videos) for kind in ("fp32", "bf16"))
    assert_close(lowered, full, 0.03)
    assert not np.array_equal(full["embedding"], lowered["embedding"])


def test_bf16_on_the_cpu_is_fp32_and_says_so(small):
    path, network = small
    videos = [pictures(network, 6)]
    full, asked = (OnnxRuntimeEngine(path, network, kind, "cpu") for kind in ("fp32", "bf16"))
    np.testing.assert_array_equal(answers(full, videos)["embedding"], answers(asked, videos)["embedding"])
    assert full.remark == "" and "runs in fp32" in asked.remark


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", "0"), ("bf16", "1")])
def test_a_gpu_gets_no_tf32_unless_asked_and_no_algorithm_of_a_trial(small, monkeypatch, precision, tf32):
    """The provider's options are looked at where it would be opened."""
    import onnxruntime

    asked = []

    class Session:
        def __init__(self, model, options, providers):
            asked.append((options, providers))

        def get_providers(self):
            return [asked[-1][1][0][0]]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    onnx_session.open_session(graph.expose(*small)[0], "cuda", precision)
    [(options, [(provider, own)])] = asked
    assert options.use_deterministic_compute and provider == "CUDAExecutionProvider"
    assert own == {"use_tf32": tf32, "cudnn_conv_algo_search": "HEURISTIC"}


def test_a_gpu_that_onnx_runtime_cannot_use_is_said(small, monkeypatch):
    """It would go on with the CPU without a word."""
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setitem(onnx_session.PROVIDERS, "cuda", "CPUExecutionProvider")
    own = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "InferenceSession", lambda model, options, _: own(model, options, ["CPUExecutionProvider"])
    )
    monkeypatch.setattr(own, "get_providers", lambda self: ["another"])
    with pytest.raises(InputError, match=r"cannot use this GPU .*features\.engine = \"openvino\""):
        onnx_session.open_session(graph.expose(*small)[0], "cuda", "fp32")


def test_without_the_package_the_error_says_what_to_install(small, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"needs ONNX Runtime: pip install 'affect-heads\[gpu\]'"):
        OnnxRuntimeEngine(*small, device="cpu")
    assert onnx_session.find_device() == "cpu"


def test_answers_come_in_order_and_the_wait_is_bounded(small):
    path, network = small
    engine = OnnxRuntimeEngine(path, network, device="cpu")
    came = []
    for index, picture in enumerate(pictures(network, 40)):
        engine.submit(picture, lambda row, index=index: came.append(index))
        assert index + 1 - len(came) < (IN_FLIGHT + 2) * BATCH["cpu"]
    engine.flush()
    assert came == list(range(40))


def test_rows_stay_when_later_batches_use_the_same_memory(small):
    path, network = small
    engine = OnnxRuntimeEngine(path, network, device="cpu")
    many = pictures(network, 30)
    together = answers(engine, [many])["embedding"]
    np.testing.assert_array_equal(together[:4], answers(engine, [many[:4]])["embedding"])


def test_files_that_demand_one_picture_at_a_time(tmp_path, network_file):
    import onnx

    path, network = tmp_path / "net.onnx", replace(MTL, size=32)
    network_file(path, outputs=10)
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, path)
    assert_engines_agree(path, network)


def mixing(path, centred):
    """conv -> global mean -> minus the batch's mean (`centred`), or that mean itself."""
    extra = [
        helper.make_node("ReduceMean", ["pooled"], ["all"], axes=[0]),
        helper.make_node("Sub", ["pooled", "all"], ["y"]),
    ]
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        *(extra if centred else [helper.make_node("ReduceMean", ["pooled"], ["y"], axes=[0, 2, 3], keepdims=0)]),
    ]
    kernel = np.random.default_rng(0).normal(size=(5, 3, 3, 3)).astype(np.float32)
    takes = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 16, 16])]
    gives = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "mixing", takes, gives, [numpy_helper.from_array(kernel, "kernel")])
    path.write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)]).SerializeToString())


def test_networks_that_mix_the_pictures_of_a_batch_are_refused(tmp_path):
    own = replace(MTL, name="own", size=16, classifier=False, embedding="y")
    mixing(tmp_path / "net.onnx", centred=False)
    with pytest.raises(
        InputError, match=r"net\.onnx: output 'y' has shape \[5\] for 4 pictures.*engine = \"openvino\""
    ):
        OnnxRuntimeEngine(tmp_path / "net.onnx", own, device="cpu")
    mixing(tmp_path / "net.onnx", centred=True)
    with pytest.raises(InputError, match=r"depends on the others of its batch.*engine = \"openvino\""):
        OnnxRuntimeEngine(tmp_path / "net.onnx", own, device="cpu")


def test_what_onnx_runtime_cannot_run_names_the_file_and_the_way_out(tmp_path, network_file):
    path = tmp_path / "net.onnx"
    network_file(path)
    own = replace(NETWORKS["enet_b0_8_best_vgaf"], size=32)
    said = r"net\.onnx: ONNX Runtime cannot run .* size 32 and colour 'grey' \(.*\); features\.engine = \"openvino\""
    with pytest.raises(InputError, match=said):
        OnnxRuntimeEngine(path, replace(own, colour="grey", mean=(0.5,), std=(0.5,)), device="cpu")
    import onnx

    model = onnx.load(path)
    model.graph.node[1].op_type = "NoSuchOperator"
    onnx.save(model, path)
    with pytest.raises(InputError, match=r"net\.onnx: .*NoSuchOperator[^\n]*features\.engine = \"openvino\""):
        OnnxRuntimeEngine(path, own, device="cpu")
    network_file(path, outputs=9)
    with pytest.raises(InputError, match="9 outputs, expected 8"):
        OnnxRuntimeEngine(path, own, device="cpu")


@pytest.mark.parametrize("what", ["CUDA error: no kernel image is available\nmore", "CUDA out of memory."])
def test_what_the_device_refuses_is_one_line(small, what):
    engine = OnnxRuntimeEngine(*small, device="cpu")

    def refuse(*_):
        raise RuntimeError(what)

    engine._run = refuse
    engine.submit(pictures(small[1], 1)[0], lambda row: None)
    with pytest.raises(
        InputError, match=r"^ONNX Runtime cannot run 4 pictures of 'small' .*\(CUDA [^\n]*\); features\.engine"
    ):
        engine.flush()


def test_says_what_runs(small):
    import onnxruntime

    assert OnnxRuntimeEngine(*small, "fp32", "cpu").runs == f"onnxruntime {onnxruntime.__version__} on CPU, fp32"
