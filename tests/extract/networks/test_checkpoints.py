import argparse
import contextlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import warnings
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.sweeps import sweep

from extract.config import Config
from extract.engines import graph
from extract.engines.openvino_engine import OpenVinoEngine
from extract.learning import start
from extract.networks import checkpoints, registry, weights
from extract.networks.registry import NETWORKS
from extract.runtime.errors import InputError

ARCH = "tf_efficientnet_b0"


@pytest.fixture(scope="module")
def timm():
    return checkpoints.import_timm()


@pytest.fixture(scope="module", params=sweep(["enet_b0_8_best_vgaf", "enet_b0_8_va_mtl"], ["enet_b0_8_va_mtl"]))
def stand_in(request, timm, tmp_path_factory):
    """A network of exactly EmotiEffNet's structure with random weights: (facts, module, state dict file)."""
    network = NETWORKS[request.param]
    torch.manual_seed(1)
    module = timm.create_model(ARCH, num_classes=10 if network.has_va else 8).eval()
    for layer in module.modules():  # fresh batch norms are the identity and would hide mistakes
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.running_mean, 0, 0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    path = tmp_path_factory.mktemp("pt") / f"{network.name}.pt"
    torch.save(module.state_dict(), path)
    return network, module, path


def outputs_of(network):
    return 10 if network.has_va else 8


def test_embedding_logits_and_va_equal_timms_own_forward_pass(stand_in, tmp_path):
    network, module, path = stand_in
    file = checkpoints.to_onnx(path, tmp_path, arch=ARCH, outputs=outputs_of(network), size=224, trusted=False)
    engine = OpenVinoEngine(file, network, threads=2)
    for picture in np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3), np.uint8):
        pixels = ((picture / 255 - network.mean) / network.std).transpose(2, 0, 1)[None]
        with torch.inference_mode():
            maps = module.forward_features(torch.tensor(pixels, dtype=torch.float32))
            embedding = module.forward_head(maps, pre_logits=True)[0].numpy()
            scores = module.forward_head(maps)[0].numpy()
        found = engine.run(picture)
        assert np.linalg.norm(found["embedding"] - embedding) <= 1e-4 * np.linalg.norm(embedding)
        np.testing.assert_allclose(found["logits"], scores[:8], atol=1e-4 * np.abs(scores).max())
        if network.has_va:
            np.testing.assert_allclose(found["va"], scores[8:], atol=1e-4 * np.abs(scores).max())


def test_the_exported_structure_is_that_of_the_published_files(stand_in, tmp_path):
    import onnx

    network, _, path = stand_in
    file = checkpoints.to_onnx(path, tmp_path, arch=ARCH, outputs=outputs_of(network), size=224, trusted=False)
    model = onnx.load(file)
    assert model.opset_import[0].version == 11
    assert [value.name for value in model.graph.input] == ["input"]
    assert [value.name for value in model.graph.output] == ["output"]
    assert model.graph.node[-1].op_type == "Gemm"
    made = file.stat().st_mtime_ns
    assert checkpoints.to_onnx(path, tmp_path, arch=ARCH, outputs=outputs_of(network), size=224, trusted=False) == file
    assert file.stat().st_mtime_ns == made, "made once"


def test_a_file_with_one_flipped_byte_is_refused(stand_in, tmp_path):
    network, _, path = stand_in
    file = checkpoints.to_onnx(path, tmp_path, arch=ARCH, outputs=outputs_of(network), size=224, trusted=False)
    row = replace(network, path=file, blob=weights.blob_hash(file))
    assert weights.find(row) == file
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(InputError, match="git blob hash"):
        weights.find(row)


def test_a_pickled_module_needs_trust_and_then_gives_the_same_weights(timm, tmp_path):
    torch.manual_seed(0)
    module = timm.create_model("resnet10t", num_classes=8)
    module.fc = torch.nn.Sequential(module.fc)
    torch.save(module, tmp_path / "whole.pt")
    with pytest.raises(InputError, match=r"whole\.pt: not a plain state dict.*trust_pickle = true"):
        checkpoints.read_state(tmp_path / "whole.pt", trusted=False)
    state = checkpoints.read_state(tmp_path / "whole.pt", trusted=True)
    assert state.keys() == module.state_dict().keys()
    for name, value in module.state_dict().items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=0)


class Bomb:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (self.path,))


def legacy(*parts):
    """A checkpoint of the format before zip: pickles one after the other, a number first that tells it."""
    return b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, *parts))


def tar(members):
    """A checkpoint of the first format."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, content in members.items():
                facts = tarfile.TarInfo(name)
                facts.size = len(content)
                archive.addfile(facts, io.BytesIO(content))
        return file.getvalue()


def bombs(folder, bomb):
    """Checkpoints of every format that torch reads, each with a bomb in one of its places."""
    torch.save({"a": torch.zeros(2)}, folder / "whole.zip")
    one = pickle.dumps(bomb, 2)
    for where in ("data.pkl", ".data/serialization_id", "byteorder"):
        with zipfile.ZipFile(folder / "whole.zip") as whole, io.BytesIO() as file:
            with zipfile.ZipFile(file, "w") as out:
                for name in whole.namelist():
                    out.writestr(name, one if name.endswith(where) else whole.read(name))
            yield file.getvalue()
    yield from (one, legacy(bomb), legacy(1001, bomb), legacy(1001, {}, bomb), legacy(1001, {}, {"a": bomb}, [bomb]))
    yield pickle.dumps({"state_dict": {"w": bomb}}, pickle.HIGHEST_PROTOCOL)
    empty = {"storages": pickle.dumps(0, 2) + pickle.dumps([], 2), "tensors": pickle.dumps(0, 2), "pickle": one}
    yield tar(empty)
    for name in ("storages", "tensors"):
        yield tar(empty | {name: one})
        yield tar(empty | {name: pickle.dumps(1, 2) + one, "pickle": pickle.dumps({}, 2)})


def test_no_format_of_checkpoints_runs_code(tmp_path):
    mark = tmp_path / "exploded"
    for number, content in enumerate(bombs(tmp_path, Bomb(str(mark)))):
        (tmp_path / "bomb.pt").write_bytes(content)
        for trusted in (False, True):
            with contextlib.suppress(InputError):
                checkpoints.read_state(tmp_path / "bomb.pt", trusted=trusted)
            assert not mark.exists(), (number, trusted)
        (tmp_path / "bomb.ckpt").write_bytes(content)  # whatever is no .pt is read as ONNX
        with pytest.raises(InputError, match=r"bomb\.ckpt: not an ONNX network"):
            graph.expose(tmp_path / "bomb.ckpt", NETWORKS["demo_enet"])
        assert not mark.exists(), number
    os.mkdir(mark)  # what a bomb does is seen
    assert mark.exists()


def test_what_lies_beside_the_weights_needs_no_trust(tmp_path):
    """timm's own checkpoints hold the arguments of the run (a Namespace); they are neither read nor run."""
    beside = {"args": argparse.Namespace(lr=0.1), "bomb": Bomb(str(tmp_path / "exploded"))}
    torch.save({"state_dict": {"fc.weight": torch.ones(2)}, **beside}, tmp_path / "timm.pt")
    torch.save({"state_dict": {"fc.weight": torch.ones(2)}, **beside}, tmp_path / "old.pt",
               _use_new_zipfile_serialization=False)  # fmt: skip
    for name in ("timm.pt", "old.pt"):
        state = checkpoints.read_state(tmp_path / name, trusted=False)
        torch.testing.assert_close(state, {"fc.weight": torch.ones(2)})
    assert not (tmp_path / "exploded").exists()


def test_old_modules_are_read_in_their_format_too(tmp_path):
    module = torch.nn.Linear(3, 2)
    torch.save(module, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="trust_pickle = true"):
        checkpoints.read_state(tmp_path / "old.pt", trusted=False)
    state = checkpoints.read_state(tmp_path / "old.pt", trusted=True)
    torch.testing.assert_close(state, dict(module.state_dict()), rtol=0, atol=0)


def test_a_torchscript_archive_is_refused_with_what_to_do(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    for trusted in (False, True):
        with pytest.raises(InputError, match=r"script\.pt: a TorchScript archive.*torch\.save\(module\.state_dict"):
            checkpoints.read_state(tmp_path / "script.pt", trusted=trusted)


def test_prefixes_of_wrappers_and_averaged_weights(timm, tmp_path):
    module = timm.create_model("resnet10t", num_classes=8)
    averaged = {f"module.{name}": value + 1 for name, value in module.state_dict().items()}
    for prefix in ("module.", "model.", "_orig_mod.", "module._orig_mod."):
        torch.save({prefix + name: value for name, value in module.state_dict().items()}, tmp_path / "a.pt")
        built = checkpoints.build(tmp_path / "a.pt", arch="resnet10t", outputs=8, trusted=False)
        torch.testing.assert_close(built.state_dict(), module.state_dict(), rtol=0, atol=0)
    torch.save({"state_dict": module.state_dict(), "state_dict_ema": averaged}, tmp_path / "a.pt")
    built = checkpoints.build(tmp_path / "a.pt", arch="resnet10t", outputs=8, trusted=False)
    torch.testing.assert_close(built.state_dict()["fc.bias"], module.state_dict()["fc.bias"] + 1, rtol=0, atol=0)


def test_wrapped_state_dicts_are_found(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"fc.weight": torch.ones(2)}}, tmp_path / "a.pt")
    assert list(checkpoints.read_state(tmp_path / "a.pt", trusted=False)) == ["fc.weight"]


def test_weights_of_another_architecture_are_refused_by_name(timm, tmp_path):
    torch.save(timm.create_model("resnet10t", num_classes=8).state_dict(), tmp_path / "resnet.pt")
    with pytest.raises(InputError, match=r"resnet\.pt: weights do not fit tf_efficientnet_b0 with 8 outputs: .*bn1"):
        checkpoints.build(tmp_path / "resnet.pt", arch=ARCH, outputs=8, trusted=False)
    torch.save({"layer.weight": torch.ones(2)}, tmp_path / "other.pt")
    with pytest.raises(
        InputError, match=r"other\.pt: weights are not those of resnet10t .*\d+ missing .*1 unknown \(layer\.weight"
    ):
        checkpoints.build(tmp_path / "other.pt", arch="resnet10t", outputs=8, trusted=False)
    with pytest.raises(InputError, match=r"resnet\.pt: weights do not fit resnet10t with 5 outputs"):
        checkpoints.build(tmp_path / "resnet.pt", arch="resnet10t", outputs=5, trusted=False)
    with pytest.raises(InputError, match=r"timm has no architecture 'nonet'"):
        checkpoints.build(tmp_path / "resnet.pt", arch="nonet", outputs=8, trusted=False)


def save_autoencoder(timm, path, *, prefix="", wrapper="model", without=(), more=None, **pool):
    """A checkpoint as masked autoencoders' are, with a decoder, and its encoder as a module."""
    module = timm.create_model("test_vit", num_classes=0, **pool or {"global_pool": "avg", "fc_norm": False})
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    decoder = {"decoder_embed.weight": torch.ones(3, 2), "decoder_blocks.0.norm1.bias": torch.ones(2)}
    state = {prefix + name: value for name, value in module.state_dict().items() if not name.startswith(without)}
    state |= {"mask_token": torch.ones(1, 1, 2), **decoder, **(more or {})}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    return module.eval()


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"wrapper": ""},
        {"wrapper": "state_dict", "prefix": "encoder."},
        {"prefix": "base_encoder."},
        {"more": {"head.weight": torch.ones(8, 64), "head.bias": torch.ones(8)}, "global_pool": "token"},
        {"more": {"head.weight": torch.ones(8, 64)}, "global_pool": "avg"},
    ],
    ids=["mae", "bare", "encoder", "base_encoder", "class token and head", "fc_norm and head"],
)
def test_a_masked_autoencoders_weights_become_its_encoder(timm, tmp_path, layout):
    torch.manual_seed(0)
    module = save_autoencoder(timm, tmp_path / "mae.pth", **layout)
    built = checkpoints.build(tmp_path / "mae.pth", arch="test_vit", outputs=0, trusted=False)
    x = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        torch.testing.assert_close(built(x), module(x))


def test_wrapped_weights_of_a_masked_autoencoder_are_a_network_without_classes(timm, tmp_path, monkeypatch):
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    torch.manual_seed(0)
    module = save_autoencoder(timm, tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth")["model"]
    torch.save({"model": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "mae.pth")
    section = {"path": str(tmp_path / "mae.pth"), "size": 160, "mean": [0.5] * 3, "std": [0.5] * 3, "arch": "test_vit"}
    config = Config.model_validate({"corpus": {"name": "c"}, "networks": {"mae": section}})
    used = registry.find("mae", config)
    assert used.kinds == ("embedding",)
    picture = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    x = torch.tensor((picture / 255 - 0.5) / 0.5, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.inference_mode():
        expected = module(x)[0].numpy()
    np.testing.assert_allclose(OpenVinoEngine(weights.find(used), used).run(picture)["embedding"], expected, atol=1e-4)
    body, width = start.build(start.find("mae", config))
    with torch.inference_mode():
        np.testing.assert_allclose(body(x)[0].numpy(), expected, atol=1e-5)
    assert width == 64


def test_a_masked_autoencoder_that_lacks_more_than_its_head_is_refused_in_one_line(timm, tmp_path):
    for keys, said in (
        ({"without": ("blocks.5.",)}, r"12 missing \(blocks\.5\.norm1\.weight, .*, 0 unknown"),
        ({"without": ("norm.",)}, r"2 missing \(norm\.weight"),
        ({"without": ("pos_embed",)}, r"1 missing \(pos_embed\)"),
        ({"more": {"blocks.6.norm1.bias": torch.ones(64)}}, r"0 missing \(\), 1 unknown \(blocks\.6\.norm1\.bias"),
        ({"more": {"pos_embed": torch.ones(1, 50, 64)}}, r"weights do not fit test_vit with 0 outputs: .*pos_embed"),
    ):
        save_autoencoder(timm, tmp_path / "mae.pth", **keys)
        with pytest.raises(InputError, match=said) as error:
            checkpoints.build(tmp_path / "mae.pth", arch="test_vit", outputs=0, trusted=False)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"\x80\x02."])
def test_files_that_are_no_checkpoints_are_named(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.pt: "):
        checkpoints.read_state(tmp_path / "a.pt", trusted=True)


def test_timm_imports_beside_a_torchvision_that_does_not():
    code = "from extract.networks.checkpoints import import_timm; print(import_timm().__name__, import_timm().__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "timm timm\n", done.stderr


def test_a_checkpoint_in_the_config_runs_like_any_network(stand_in, tmp_path, monkeypatch):
    network, _, path = stand_in
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path / "cache"))
    section = {"path": str(path), "size": 224, "mean": network.mean, "std": network.std, "arch": ARCH,
               "classes": network.classes, "has_va": network.has_va}  # fmt: skip
    config = Config.model_validate(
        {"corpus": {"name": "c"}, "features": {"networks": ["own"]}, "networks": {"own": section}}
    )
    own = registry.find("own", config)
    assert own.kinds == network.kinds
    assert OpenVinoEngine(weights.find(own), own).widths["embedding"] == 1280


def test_the_published_checkpoint_in_the_cache_stands_in_only_by_its_hash(stand_in, tmp_path, monkeypatch):
    network, module, _ = stand_in
    monkeypatch.setenv(weights.CACHE_VARIABLE, str(tmp_path))
    whole = tmp_path / f"{network.name}.pt"
    torch.save(module, whole)
    with pytest.raises(InputError, match="its hash is not a known one"):
        weights.find(network)
    known = replace(network, checkpoint_blob=weights.blob_hash(whole))
    assert weights.find(known).suffix == ".onnx"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arch": None}, "also needs arch"),
        ({"classes": None, "has_va": True}, "classes"),
        ({"logits": "output"}, "output names are for ONNX"),
    ],
)
def test_a_checkpoint_section_that_lacks_facts_is_refused(changes, said):
    section = {
        "path": "x.pt",
        "size": 224,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "arch": ARCH,
        "classes": ["a", "b"],
    } | changes
    config = Config.model_validate(
        {"corpus": {"name": "c"}, "features": {"networks": ["own"]}, "networks": {"own": section}}
    )
    with pytest.raises(InputError, match=said):
        registry.find("own", config)
