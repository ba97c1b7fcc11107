from pathlib import Path

import numpy as np
import pytest

from extract.bench import fixtures, measure
from extract.runtime.errors import InputError


def test_bf16_is_another_engine_or_refused_where_the_cpu_has_none(tmp_path):
    _, file = fixtures.random_network(tmp_path, 0)
    job = fixtures.make_crops(tmp_path / "crops" / "video", 2, 0)
    try:
        engine = measure.create_engine(file, "cpu", "bf16")
    except InputError as error:
        assert str(error).startswith("--precision bf16: this CPU has no bf16")
        return
    difference = measure.compare_engines(measure.create_engine(file, "cpu"), engine, job)
    assert engine.runs.endswith("bf16") and 1e-4 < difference < 0.3


@pytest.mark.slow
def test_every_way_is_measured_on_the_same_pictures():
    pytest.importorskip("onnxruntime", reason="way (b) needs the extra [bench]")
    found = measure.main(pictures=3, repeats=1)
    assert set(found) - {"e", "c/e"} == {"a", "b", "c", "d", "c/a", "c/b", "c/d", "checking", "peak"}
    assert all(rate > 0 for rate in found.values())
    assert found["checking"] < 0.02
    assert found["c/a"] == pytest.approx(found["c"] / found["a"])


def test_the_generated_crops_are_the_same_every_time(tmp_path):
    for name in ("one", "two"):
        fixtures.make_crops(tmp_path / name, 2, seed=3)
    assert (tmp_path / "one" / "00002.jpg").read_bytes() == (tmp_path / "two" / "00002.jpg").read_bytes()


def test_the_random_network_s_features_are_no_numbers_that_float16_is_slow_with(tmp_path):
    _, file = fixtures.random_network(tmp_path, 0)
    crop = np.asarray(fixtures.draw_crop(np.random.default_rng(5)).resize((fixtures.NETWORK.size,) * 2))
    embedding = np.abs(measure.create_engine(file, "cpu").run(crop)["embedding"])
    assert np.mean(embedding < np.finfo(np.float16).smallest_normal) < 0.01 and embedding.max() < 100


def test_a_device_that_is_none_or_not_here_is_one_line(monkeypatch):
    monkeypatch.setattr(measure.onnx_session, "find_device", lambda: "cpu")
    for device, said in (("tpu", "no such device"), ("cuda", "ONNX Runtime finds no GPU that it can use")):
        with pytest.raises(InputError, match=f"^--device {device}: {said}; expected cpu, or cuda where there is one$"):
            measure.create_engine(Path("none"), device)


@pytest.mark.slow
def test_two_engines_agree_or_the_difference_is_told(tmp_path, monkeypatch):
    """The GPU's engine on ONNX Runtime's CPU provider: a GPU is not needed to compare."""
    pytest.importorskip("onnxruntime", reason="the extra [gpu]")
    monkeypatch.setattr(measure.onnx_session, "find_device", lambda: "cuda")
    monkeypatch.setitem(measure.onnx_session.PROVIDERS, "cuda", "CPUExecutionProvider")
    monkeypatch.setattr(measure.OnnxRuntimeEngine, "__init__", on_cpu(measure.OnnxRuntimeEngine.__init__))
    job = fixtures.make_crops(tmp_path / "video", 3, seed=3)
    _, file = fixtures.random_network(tmp_path, 0)
    one, other = (measure.create_engine(file, device) for device in ("cpu", "cuda"))
    assert 0 < measure.compare_engines(one, other, job) < 1e-4
    assert measure.compare_engines(one, measure.create_engine(file, "cpu"), job) == 0
    changed = replaced_head(tmp_path, 1)
    assert measure.compare_engines(one, measure.create_engine(changed, "cpu"), job) > 1e-2


def on_cpu(init):
    return lambda self, path, network, precision, device: init(self, path, network, precision, "cpu")


def replaced_head(folder: Path, seed: int) -> Path:
    """The network of another seed."""
    (folder / "other").mkdir()
    return fixtures.random_network(folder / "other", seed)[1]
