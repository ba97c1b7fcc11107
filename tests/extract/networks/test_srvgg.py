"""SRVGGNetCompact from its checkpoint's keys against the same arithmetic in numpy, and what is no such checkpoint."""

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from extract.networks import srvgg
from extract.runtime.errors import InputError

WIDTH, LAYERS, TIMES = 8, 2, 4


def make_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """The published structure, with fewer and narrower layers."""
    rng = torch.Generator().manual_seed(seed)
    widths = [3, *[WIDTH] * (LAYERS + 1), 3 * TIMES**2]
    state = {}
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        state[f"body.{2 * i}.weight"] = torch.randn(after, before, 3, 3, generator=rng) * 0.1
        state[f"body.{2 * i}.bias"] = torch.randn(after, generator=rng) * 0.1
        if i <= LAYERS:
            state[f"body.{2 * i + 1}.weight"] = torch.rand(after, generator=rng) * 0.3
    return state


def save(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def by_hand(state: dict[str, torch.Tensor], picture: np.ndarray) -> np.ndarray:
    """[3, H, W] -> [3, 4 H, 4 W], loop by loop."""
    x = picture
    for i in range(LAYERS + 2):
        weight, bias = (state[f"body.{2 * i}.{part}"].numpy() for part in ("weight", "bias"))
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        out = np.zeros((len(weight), *x.shape[1:]))
        for dy in range(3):
            for dx in range(3):
                part = padded[:, dy : dy + x.shape[1], dx : dx + x.shape[2]]
                out += np.einsum("oc,chw->ohw", weight[:, :, dy, dx], part)
        x = out + bias[:, None, None]
        if i <= LAYERS:
            slope = state[f"body.{2 * i + 1}.weight"].numpy()[:, None, None]
            x = np.where(x > 0, x, slope * x)
    large = np.zeros((3, TIMES * picture.shape[1], TIMES * picture.shape[2]))
    for c in range(3):
        for dy in range(TIMES):
            for dx in range(TIMES):
                large[c, dy::TIMES, dx::TIMES] = x[c * TIMES**2 + dy * TIMES + dx] + picture[c]
    return large


@pytest.mark.parametrize("wrap", ["params", "params_ema", ""])
def test_it_computes_what_the_architecture_does(tmp_path, wrap):
    state = make_state()
    other = {"params": make_state(1)} if wrap == "params_ema" else {}  # the averaged weights come first
    path = save(tmp_path / "sr.pth", other | {wrap: state} if wrap else state)
    module = srvgg.build(path)
    picture = np.random.default_rng(0).random((3, 6, 5))
    with torch.inference_mode():
        found = module(torch.from_numpy(picture[None].astype(np.float32)))[0].numpy()
    np.testing.assert_allclose(found, by_hand(state, picture), atol=1e-5)


def test_the_onnx_file_is_made_once_and_gives_the_same(tmp_path):
    import onnxruntime

    path = save(tmp_path / "sr.pth", {"params": make_state()})
    made = srvgg.to_onnx(path, tmp_path / "cache", 6)
    before = made.stat().st_mtime_ns
    assert srvgg.to_onnx(path, tmp_path / "cache", 6) == made and made.stat().st_mtime_ns == before
    [output] = onnx.load(made).graph.output
    assert output.name == srvgg.OUTPUT
    picture = np.random.default_rng(1).random((1, 3, 6, 6), np.float32)
    session = onnxruntime.InferenceSession(str(made), providers=["CPUExecutionProvider"])
    [found] = session.run(None, {"input": picture})
    np.testing.assert_allclose(found[0], by_hand(make_state(), picture[0]), atol=1e-5)


def lacking(state):
    return {name: value for name, value in state.items() if name != "body.2.bias"}


def of_another(state):
    return {"conv_first.weight": torch.zeros(4, 3, 3, 3)} | state


def odd_times(state):
    return state | {"body.6.weight": torch.zeros(50, WIDTH, 3, 3), "body.6.bias": torch.zeros(50)}


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lacking, r"Missing key.*body\.2\.bias"),
        (of_another, r"found conv_first\.weight \[4, 3, 3, 3\], expected the weights of SRVGGNetCompact"),
        (odd_times, "found 7 layers, the last of 50 outputs"),
        (lambda state: {"a": 3}, "no weights in it"),
    ],
)
def test_other_checkpoints_are_refused_in_one_line(tmp_path, spoil, said):
    path = save(tmp_path / "other.pth", spoil(make_state()))
    with pytest.raises(InputError, match=said) as refused:
        srvgg.build(path)
    assert str(path) in str(refused.value) and "\n" not in str(refused.value)


class Bomb:
    def __reduce__(self):
        return open, ("exploded", "w")


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    srvgg.build(save(tmp_path / "sr.pth", {"params": make_state(), "beside": Bomb()}))
    assert not Path("exploded").exists()
