import os
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import openvino
import pytest

from extract.engines import onnx_session, onnxruntime_engine
from extract.engines.create import create, wants_onnxruntime
from extract.engines.openvino_engine import OpenVinoEngine
from extract.networks.registry import NETWORKS, Network
from extract.runtime.errors import InputError

SIZE = 32


def row(outputs: int, **changes: object) -> Network:
    network = NETWORKS["enet_b0_8_va_mtl" if outputs == 10 else "enet_b0_8_best_vgaf"]
    return replace(network, size=SIZE, dim=5, **changes)


def expected(weights: dict[str, np.ndarray], picture: np.ndarray, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """The stand-in network by hand, in float64: (embedding, output)."""
    pixels = ((picture / 255 - network.mean) / network.std).transpose(2, 0, 1)
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (3, 3), axis=(1, 2))[:, ::2, ::2]
    maps = np.einsum("cyxij,kcij->kyx", windows, weights["kernel"].astype(np.float64))
    embedding = np.maximum(maps, 0).mean((1, 2))
    return embedding, embedding @ weights["gemm"].T.astype(np.float64) + weights["bias"]


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (40, SIZE, SIZE, 3), np.uint8)


@pytest.mark.parametrize("outputs", [8, 10])
def test_embedding_logits_and_va_of_the_published_structure(tmp_path, network_file, pictures, outputs):
    weights = network_file(tmp_path / "net.onnx", outputs=outputs)
    network = row(outputs)
    engine = OpenVinoEngine(tmp_path / "net.onnx", network, threads=2)
    assert engine.widths == {"embedding": 5, "logits": 8} | ({"va": 2} if outputs == 10 else {})
    answers: dict[int, dict[str, np.ndarray]] = {}
    for index, picture in enumerate(pictures):
        engine.submit(picture, lambda found, index=index: answers.__setitem__(index, found))
    engine.flush()
    for index, picture in enumerate(pictures):
        embedding, scores = expected(weights, picture, network)
        np.testing.assert_allclose(answers[index]["embedding"], embedding, rtol=1e-4)
        np.testing.assert_allclose(answers[index]["logits"], scores[:8], rtol=1e-3, atol=1e-4)
        if outputs == 10:
            np.testing.assert_allclose(answers[index]["va"], scores[8:], rtol=1e-3, atol=1e-4)


def test_named_outputs_may_be_any_tensor_of_the_graph(tmp_path, network_file, pictures):
    weights = network_file(tmp_path / "net.onnx")
    network = row(8, classifier=False, embedding="embedding", logits="output")
    found = OpenVinoEngine(tmp_path / "net.onnx", network).run(pictures[0])
    embedding, scores = expected(weights, pictures[0], network)
    np.testing.assert_allclose(found["embedding"], embedding, rtol=1e-4)
    np.testing.assert_allclose(found["logits"], scores, rtol=1e-3, atol=1e-4)


def test_grey_networks_get_one_channel(tmp_path, network_file, pictures):
    weights = network_file(tmp_path / "net.onnx", channels=1)
    network = row(8, colour="grey", mean=(0.5,), std=(0.5,))
    found = OpenVinoEngine(tmp_path / "net.onnx", network).run(pictures[0][:, :, :1])
    np.testing.assert_allclose(found["embedding"], expected(weights, pictures[0][:, :, :1], network)[0], rtol=1e-4)


def test_the_same_picture_gives_the_same_bits_whatever_runs_beside_it(tmp_path, network_file, pictures):
    network_file(tmp_path / "net.onnx")
    engine = OpenVinoEngine(tmp_path / "net.onnx", row(8))
    alone = engine.run(pictures[0])["embedding"]
    crowd: list[np.ndarray] = []
    for _ in range(50):
        engine.submit(pictures[0], lambda found: crowd.append(found["embedding"]))
    engine.flush()
    assert all(np.array_equal(alone, found) for found in crowd)


def test_as_many_pictures_wait_in_the_engine_as_run(tmp_path, network_file, monkeypatch):
    network_file(tmp_path / "net.onnx")
    queue, made = openvino.AsyncInferQueue, []

    def create_queue(compiled, requests):
        made.append((requests, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
        return queue(compiled, requests)

    monkeypatch.setattr(openvino, "AsyncInferQueue", create_queue)
    OpenVinoEngine(tmp_path / "net.onnx", row(8))
    [(requests, streams)] = made
    assert requests == 2 * streams


def test_other_structures_are_refused_with_what_was_found(tmp_path, network_file):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match=r"net\.onnx: not an ONNX network"):
        OpenVinoEngine(path, row(8))
    network_file(path, outputs=9)
    with pytest.raises(InputError, match=r"9 outputs, expected 8"):
        OpenVinoEngine(path, row(8))
    with pytest.raises(InputError, match=r"no output 'nope'.*its outputs are output"):
        OpenVinoEngine(path, row(8, classifier=False, embedding="nope"))
    with pytest.raises(InputError, match=r"OpenVINO cannot run network .* colour 'grey'"):
        OpenVinoEngine(path, row(8, colour="grey", mean=(0.5,), std=(0.5,)))


def test_an_error_in_a_callback_is_raised_not_swallowed(tmp_path, network_file, pictures):
    network_file(tmp_path / "net.onnx")
    engine = OpenVinoEngine(tmp_path / "net.onnx", row(8))
    engine.submit(pictures[0], lambda found: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        engine.flush()


def test_bf16_is_near_fp32(tmp_path, network_file, pictures):
    network_file(tmp_path / "net.onnx")
    full, lowered = (OpenVinoEngine(tmp_path / "net.onnx", row(8), precision) for precision in ("fp32", "bf16"))
    assert full.runs.endswith("on CPU, fp32") and not full.remark
    one, other = (engine.run(pictures[0])["embedding"] for engine in (full, lowered))
    assert np.linalg.norm(one - other) <= 0.03 * np.linalg.norm(one)
    if lowered.runs.endswith("bf16"):
        assert not np.array_equal(one, other)


LOWERED = """
import sys
from pathlib import Path
import openvino
from extract.engines import create
from extract.networks.registry import NETWORKS
network = NETWORKS["demo_enet"]
print("BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
print(create.create("openvino", network.path, network, "bf16").runs.rpartition(" ")[2])
"""


@pytest.mark.parametrize("cpu", [None, "AVX2", "AVX512_CORE"])
def test_a_cpu_without_bf16_is_warned_of(cpu):
    """OpenVINO can be told to pretend a smaller CPU; what then runs is what it says."""
    limits = {"OV_CPU_MAX_ISA": cpu, "ONEDNN_MAX_CPU_ISA": cpu} if cpu else {}
    done = subprocess.run(
        [sys.executable, "-c", LOWERED], capture_output=True, text=True, check=True, env=os.environ | limits
    )
    has, ran = done.stdout.split()
    said = {"fp32": "the network runs in fp32", "bf16": "imitates it"}[ran]
    assert (done.stderr == "") if has == "True" else (done.stderr.startswith("warning: ") and said in done.stderr)


GIVEN = """
import os
import numpy as np
from extract.engines import openvino_engine
from extract.networks.registry import NETWORKS
network = NETWORKS["demo_enet"]
runner = openvino_engine.OpenVinoEngine(network.path, network, {given})
found = set()
for _ in range(20):
    runner.submit(np.zeros((network.size, network.size, 3), np.uint8), lambda outputs: None)
    found |= {len(os.sched_getaffinity(int(task))) for task in os.listdir("/proc/self/task")}  # while they are at work
runner.flush()
print(found == {len(os.sched_getaffinity(0))})
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")
@pytest.mark.skipif(os.cpu_count() == 1, reason="there is no other core")
@pytest.mark.parametrize("given", ["threads=1", "setting=openvino_engine.Setting(streams=1, threads=1, requests=2)"])
def test_threads_that_were_given_are_pinned_to_no_core(given):
    """Else those of processes side by side, each given one thread, would all share the machine's first core."""
    code = GIVEN.replace("{given}", given)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


CLOSED = """
import gc, weakref
from extract.engines import openvino_engine
from extract.networks.registry import NETWORKS
network = NETWORKS["demo_enet"]
runner = openvino_engine.OpenVinoEngine(network.path, network, threads=1)
watched = weakref.ref(runner)
gc.disable()
runner.close()
del runner
print(watched())
"""


def test_an_engine_that_was_closed_is_freed():
    done = subprocess.run([sys.executable, "-c", CLOSED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None"]


INTERRUPTED = """
import time
import numpy as np
from extract.engines import openvino_engine
from extract.networks.registry import NETWORKS
network = NETWORKS["demo_enet"]
runner = openvino_engine.OpenVinoEngine(network.path, network)
for _ in range(4):
    runner.submit(np.zeros((network.size, network.size, 3), np.uint8), lambda outputs: time.sleep(0.5))
raise SystemExit(130)
"""


def test_pictures_on_their_way_do_not_abort_a_process_that_ends():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


def test_openvino_where_there_is_no_gpu_and_onnx_runtime_where_there_is_one(tmp_path, network_file, monkeypatch):
    network_file(tmp_path / "net.onnx")
    monkeypatch.setattr(onnxruntime_engine, "OnnxRuntimeEngine", lambda *args: types.SimpleNamespace(remark=""))
    made = {}
    for device in ("cpu", "cuda"):
        monkeypatch.setattr(onnx_session, "find_device", lambda device=device: device)
        for kind in ("auto", "openvino", "onnxruntime", "torch"):
            made[kind, device] = create(kind, tmp_path / "net.onnx", row(8), "fp32")
    assert {key for key, engine in made.items() if not isinstance(engine, OpenVinoEngine)} == {
        ("auto", "cuda"), *((kind, device) for kind in ("onnxruntime", "torch") for device in ("cpu", "cuda"))
    }  # fmt: skip


def test_what_the_gpu_cannot_run_runs_on_the_cpu_unless_it_was_demanded(tmp_path, network_file, monkeypatch, capsys):
    network_file(tmp_path / "net.onnx")

    def refuse(*_):
        raise InputError("net.onnx: it mixes pictures")

    monkeypatch.setattr(onnxruntime_engine, "OnnxRuntimeEngine", refuse)
    monkeypatch.setattr(onnx_session, "find_device", lambda: "cuda")
    assert isinstance(create("auto", tmp_path / "net.onnx", row(8), "fp32"), OpenVinoEngine)
    assert "it mixes pictures; so it does now, without the GPU" in capsys.readouterr().err
    with pytest.raises(InputError, match="it mixes pictures"):
        create("onnxruntime", tmp_path / "net.onnx", row(8), "fp32")


def test_a_gpu_without_its_package_is_said_and_without_a_driver_nothing_is_imported(monkeypatch, capsys):
    driver = types.SimpleNamespace(cuInit=lambda flags: 0, cuDeviceGetCount=lambda count: 0)
    monkeypatch.setattr("ctypes.CDLL", lambda name: driver)
    assert not wants_onnxruntime("auto") and capsys.readouterr().err == "", "a driver, and every GPU is hidden"

    def one_gpu(count):
        count._obj.value = 1
        return 0

    driver.cuDeviceGetCount = one_gpu
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # its import fails
    assert not wants_onnxruntime("auto")
    assert "for the GPU: pip install 'affect-heads[gpu]'" in capsys.readouterr().err

    def no_driver(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", no_driver)
    assert onnx_session.find_device() == "cpu" and not wants_onnxruntime("auto")
    assert capsys.readouterr().err == ""
