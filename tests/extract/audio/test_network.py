"""Networks of the user's own that hear: made-up ones whose answers are known, on both engines."""

import json
import types

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.sounds import tone, write_sound

from extract import config
from extract.audio import engine as audio_engine
from extract.audio import step as audio_step
from extract.audio.network import AudioNetwork, interpolate, log_mels
from extract.config import AudioSettings, Config, Features
from extract.features import store
from extract.runtime.errors import InputError

RATE = 16_000


def save(path, nodes, shape, given, weights=(), inputs=("sound",)):
    graph = helper.make_graph(
        nodes,
        "hears",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, given)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(weights).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def one_vector(path, length=800, width=5, seed=0):
    """sound [1, length] @ weights: one vector a stretch."""
    weights = np.random.default_rng(seed).normal(size=(length, width)).astype(np.float32) / 30
    save(path, [helper.make_node("MatMul", ["sound", "w"], ["out"])], [1, length], [1, width], {"w": weights})
    return weights


def sequence(path, stride=320, kernel=400):
    """sound [1, 1, any]: the mean of every `kernel` samples, and of their squares, as [1, T, 2]."""
    mean = np.full((1, 1, kernel), 1 / kernel, np.float32)
    nodes = [
        helper.make_node("Mul", ["sound", "sound"], ["squares"]),
        helper.make_node("Conv", ["sound", "w"], ["means"], strides=[stride], kernel_shape=[kernel]),
        helper.make_node("Conv", ["squares", "w"], ["powers"], strides=[stride], kernel_shape=[kernel]),
        helper.make_node("Concat", ["means", "powers"], ["both"], axis=1),
        helper.make_node("Transpose", ["both"], ["out"], perm=[0, 2, 1]),
    ]
    save(path, nodes, [1, 1, "length"], [1, "count", 2], {"w": mean})


def hear(path, samples, times, engine="openvino", start=0, **own):
    """What the network says of frames at `times`."""
    facts = AudioSettings(path=path, **({"embedding": "out"} | own))
    network = AudioNetwork("mine", facts, Features(networks=["mine"], engine=engine))
    blocks = ((start + at, samples[at : at + 5000]) for at in range(0, len(samples), 5000))
    return network.listen(blocks, np.asarray(times, np.float64))


def stretch(samples, centre, length):
    first = round(centre * RATE - (length - 1) / 2)
    padded = np.concatenate([np.zeros(length), samples, np.zeros(length)])
    return padded[first + length : first + 2 * length].astype(np.float32)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_one_vector_is_of_the_stretch_around_the_frames_own_time(tmp_path, engine):
    weights, rng = one_vector(tmp_path / "net.onnx"), np.random.default_rng(1)
    samples = rng.normal(size=3 * RATE).astype(np.float32)
    times = np.sort(rng.uniform(0, 3, 40))
    found = hear(tmp_path / "net.onnx", samples, times, engine)["embedding"]
    expected = np.array([stretch(samples, t, 800) @ weights for t in times])
    np.testing.assert_allclose(found, expected, atol=0.003)  # kept as float16
    assert found.dtype == np.float16


def test_what_the_device_refuses_is_one_line_and_a_callbacks_error_its_own(tmp_path):
    one_vector(tmp_path / "net.onnx")
    wanted = {"embedding": "out"}
    engine = audio_engine.OnnxRuntimeAudioEngine(tmp_path / "net.onnx", "mine", wanted, lambda _: ([1, 800], 1), "fp32")
    sound = np.zeros((1, 800), np.float32)

    def refuse(*_):
        raise RuntimeError("CUDA error: no kernel image is available\nmore")

    with pytest.raises(RuntimeError, match="no kernel"):
        engine.submit(sound, refuse)
    engine._session = types.SimpleNamespace(run=refuse)
    said = r"the audio network 'mine' \(CUDA [^\n]*\); features\.engine = \"openvino\" runs it on the CPU$"
    with pytest.raises(InputError, match=said):
        engine.submit(sound, refuse)


def test_several_frames_can_share_one_stretch(tmp_path):
    weights = one_vector(tmp_path / "net.onnx")
    samples, times = np.random.default_rng(2).normal(size=RATE).astype(np.float32), np.arange(10) / 25
    found = hear(tmp_path / "net.onnx", samples, times, every=4)["embedding"]
    for k, middle in enumerate([1, 1, 1, 1, 5, 5, 5, 5, 8, 8]):
        np.testing.assert_allclose(found[k], stretch(samples, times[middle], 800) @ weights, atol=0.003)


def test_normalised_stretches(tmp_path):
    weights = one_vector(tmp_path / "net.onnx")
    samples, times = (np.random.default_rng(3).normal(2, 3, size=RATE)).astype(np.float32), [0.3, 0.6]
    found = hear(tmp_path / "net.onnx", samples, times, normalise=True)["embedding"]
    for row, t in zip(found, times, strict=True):
        part = stretch(samples, t, 800)
        np.testing.assert_allclose(row, ((part - part.mean()) / part.std()) @ weights, atol=0.003)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize(("stride", "kernel"), [(320, 400), (160, 160), (1024, 512), (100, 1111)])
def test_vectors_of_a_sequence_are_placed_at_their_own_times(tmp_path, engine, stride, kernel):
    """The mean of a ramp is the time of its middle."""
    sequence(tmp_path / "net.onnx", stride, kernel)
    ramp = np.arange(-2 * RATE, 6 * RATE, dtype=np.float64) / RATE
    times = np.arange(0, 4, 1 / 29.97)
    found = hear(tmp_path / "net.onnx", (ramp / 10).astype(np.float32), times, engine, start=-2 * RATE, window=1.0)
    np.testing.assert_allclose(found["embedding"][:, 0] * 10, times, atol=0.0025)


def test_a_sequence_of_fixed_length_is_spread_evenly(tmp_path):
    nodes = [helper.make_node("Reshape", ["sound", "shape"], ["out"])]
    save(tmp_path / "net.onnx", nodes, [1, 4000], [1, 40, 100], {"shape": np.array([1, 40, 100])})
    ramp = np.arange(-RATE, 5 * RATE, dtype=np.float64) / RATE
    times = np.arange(0, 4, 0.04)
    found = hear(tmp_path / "net.onnx", (ramp / 10).astype(np.float32), times, start=-RATE)["embedding"]
    np.testing.assert_allclose(found.mean(1) * 10, times, atol=0.0025)


@pytest.mark.parametrize("flipped", [False, True])
def test_log_mels_are_vggishs(tmp_path, flipped):
    """Against the formulas of VGGish's mel_features.py, in loops; bands before time, or time before bands."""
    width, frames, bands = 3, 20, 64
    weights = np.random.default_rng(4).normal(size=(frames * bands, width)).astype(np.float32) / 40
    nodes = [helper.make_node("Flatten", ["sound"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["out"])]
    shape = [1, 1, bands, frames] if flipped else [1, 1, frames, bands]
    save(tmp_path / "net.onnx", nodes, shape, [1, width], {"w": weights})
    samples, times = np.random.default_rng(5).normal(scale=0.1, size=RATE).astype(np.float32), [0.4, 0.55]
    found = hear(tmp_path / "net.onnx", samples, times, takes="logmel")["embedding"]

    def mel(hertz):
        return 1127.0 * np.log(1.0 + hertz / 700.0)

    edges = np.linspace(mel(125.0), mel(7500.0), bands + 2)
    for row, t in zip(found, times, strict=True):
        part = stretch(samples, t, 19 * 160 + 400)
        expected = np.zeros((frames, bands))
        for i in range(frames):
            hann = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
            spectrum = np.abs(np.fft.rfft(part[i * 160 : i * 160 + 400] * hann, 512))
            for b in range(bands):
                low, centre, high = edges[b : b + 3]
                at = mel(np.linspace(0.0, 8000, 257))
                weight = np.maximum(0, np.minimum((at - low) / (centre - low), (high - at) / (high - centre)))
                expected[i, b] = np.log(spectrum @ weight + 0.01)
        np.testing.assert_allclose(row, (expected.T if flipped else expected).ravel() @ weights, atol=0.01)


def test_log_mel_options():
    samples = np.random.default_rng(6).normal(size=8000).astype(np.float32)
    own = AudioSettings(path="x", takes="logmel", bands=20, low=0, high=4000, rate=8000, power=2, offset=1e-6)
    assert log_mels(samples, own, 80, 200).shape == (98, 20)


def test_between_is_linear_and_stops_at_the_ends():
    vectors = np.array([[0.0, 0], [1, 10], [3, 0]], np.float32)
    found = interpolate(vectors, np.array([-1, 0, 0.25, 1, 1.5, 2, 9]))
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [0.25, 2.5], [1, 10], [2, 5], [3, 0], [3, 0]])
    np.testing.assert_array_equal(interpolate(vectors[:1], np.array([0.0, 5])), [[0, 0], [0, 0]])


def test_the_whole_way_from_a_config_to_the_store(tmp_path):
    """Logits with class names, and zeros for a silent video."""
    one_vector(tmp_path / "net.onnx", width=3)
    (tmp_path / "videos").mkdir()
    write_sound(tmp_path / "videos" / "a.wav", tone(200, 1, rate=RATE), rate=RATE)
    write_sound(tmp_path / "videos" / "quiet.wav", np.zeros(RATE, np.float32), rate=RATE)
    (tmp_path / "c.toml").write_text(
        '[corpus]\nname = "c"\nvideos = "videos"\nfps = 10\n[features]\nnetworks = ["hears"]\nengine = "openvino"\n'
        '[audio.hears]\npath = "net.onnx"\nlogits = "out"\nclasses = ["x", "y", "z"]\n'
    )
    from extract import run

    run.main(config.load(Config, tmp_path / "c.toml"), tmp_path / "work")
    path = store.path(tmp_path / "work", "hears", "a")
    found = store.read(path)
    assert found.logits.shape == (10, 3) and found.embedding is None and found.logits.any()
    about = store.read_about(path)
    assert json.loads(about["outputs"])[-1] == ["x", "y", "z"] and "openvino" in about["engine"]
    assert not store.read(store.path(tmp_path / "work", "hears", "quiet")).logits.any()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"embedding": None}, r"audio\.mine: name at least one output"),
        ({"embedding": "none"}, r"net\.onnx: no output 'none' \(audio\.mine\.embedding\); its outputs are out"),
        ({"path": "gone.onnx"}, r"gone\.onnx: no such file: correct audio\.mine\.path"),
        ({"sha256": "00"}, r"net\.onnx: SHA-256 hash is .*expected 00"),
        ({"window": 2.0}, r"its input is \[1, 800\], expected that of a waveform of 2 s"),
        ({"takes": "logmel"}, r"its input is \[1, 800\], expected that of a logmel"),
        ({"takes": "logmel", "high": 9000.0}, r"low = 125 and high = 9000"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(tmp_path, changes, said):
    one_vector(tmp_path / "net.onnx")
    own = {"path": tmp_path / "net.onnx", "embedding": "out"} | changes
    with pytest.raises(InputError, match=said) as error:
        AudioNetwork("mine", AudioSettings(**own), Features(networks=["mine"], engine="openvino"))
    assert "\n" not in str(error.value)


def test_networks_of_another_make(tmp_path):
    sequence(tmp_path / "any.onnx")
    add = [helper.make_node("Add", ["sound", "mask"], ["out"])]
    save(tmp_path / "two.onnx", add, [1, 100], [1, 100], inputs=("sound", "mask"))
    twice = [helper.make_node("Unsqueeze", ["sound", "axes"], ["out"])]
    save(tmp_path / "deep.onnx", twice, [1, 100], [1, 1, 1, 100], {"axes": np.array([1, 2])})
    (tmp_path / "text.onnx").write_text("no network")
    for name, said in (
        ("any", r"takes any length of sound: say with audio\.mine\.window"),
        ("two", r"takes 2 inputs \(sound, mask\), expected the sound alone"),
        ("deep", r"output 'out' has the shape \[1, 1, 1, 100\]; expected \[1, D\]"),
        ("text", r"text\.onnx: not an ONNX network"),
    ):
        with pytest.raises(InputError, match=said):
            AudioNetwork(
                "mine",
                AudioSettings(path=tmp_path / f"{name}.onnx", embedding="out"),
                Features(networks=["mine"], engine="openvino"),
            )


def test_a_name_that_is_taken(tmp_path):
    taken = Config.model_validate(
        {"corpus": {"name": "c"}, "features": {"networks": ["demo_enet"]}, "audio": {"demo_enet": {"path": "x.onnx"}}}
    )
    with pytest.raises(InputError, match=r"audio\.demo_enet: there is another network of that name"):
        audio_step.create_listener("demo_enet", taken)
