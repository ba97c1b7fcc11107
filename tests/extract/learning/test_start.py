import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from support import made_pictures

from extract.config import Config, NetworkSettings
from extract.engines.openvino_engine import OpenVinoEngine
from extract.learning import start
from extract.networks.registry import NETWORKS
from extract.runtime.errors import InputError

FACTS = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "arch": "test_efficientnet", "classes": [*"abcdefgh"]}


def config_with(**networks):
    return Config(corpus={"name": "c"}, networks={name: NetworkSettings(**it) for name, it in networks.items()})


def test_the_demo_networks_chain_gives_the_embedding_of_its_file():
    begin = start.find("demo_enet", config_with())
    body, width = start.build(begin)
    picture = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    found = OpenVinoEngine(begin.path, begin.network, threads=1).run(picture)["embedding"]
    pixels = ((picture / 255 - begin.network.mean) / begin.network.std).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        mine = body(torch.tensor(pixels, dtype=torch.float32))[0].numpy()
    assert width == 128 and len([*body.parameters()]) == 12
    np.testing.assert_allclose(mine, found, atol=1e-4 * np.abs(found).max())


def test_a_checkpoints_embedding_is_timms_own(tmp_path):
    made_pictures.write_tiny_network(tmp_path / "tiny.pt")
    body, width = start.build(start.find("tiny", config_with(tiny={"path": tmp_path / "tiny.pt"} | FACTS)))
    from extract.networks import checkpoints

    whole = checkpoints.build(tmp_path / "tiny.pt", arch="test_efficientnet", outputs=8, trusted=False)
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        expected = whole.forward_head(whole.forward_features(x), pre_logits=True)
        torch.testing.assert_close(body(x), expected)
    assert width == expected.shape[1]


def test_a_known_networks_checkpoint_is_found_by_its_file_in_the_cache_or_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AFFECT_HEADS_CACHE", str(tmp_path))
    name = "enet_b0_8_best_vgaf"
    with pytest.raises(InputError, match=re.escape(f"expected it at {tmp_path / name}.pt")):
        start.find(name, config_with())
    (tmp_path / f"{name}.pt").write_bytes(b"any")
    for said in (name, str(tmp_path / f"{name}.pt")):
        found = start.find(said, config_with())
        assert found.path == tmp_path / f"{name}.pt" and not found.network.trust_pickle, "another hash"
    given = tmp_path / "weights"
    given.mkdir()
    config = Config(corpus={"name": "c"}, features={"weights": given})
    assert start.find(name, config).path == tmp_path / f"{name}.pt"
    (given / f"{name}.pt").write_bytes(b"mine")
    assert start.find(name, config).path == given / f"{name}.pt", "with no ONNX file beside it"
    monkeypatch.setenv("AFFECT_HEADS_CACHE", str(tmp_path / "none"))
    (given / f"{name}.pt").unlink()
    both = f"expected it at {given / name}.pt or {tmp_path / 'none' / name}.pt"
    with pytest.raises(InputError, match=re.escape(both)):
        start.find(name, config)


def test_what_cannot_learn_is_refused_in_one_line(tmp_path):
    import onnx
    from onnx import helper

    made_pictures.write_tiny_network(tmp_path / "tiny.pt")
    made_pictures.write_tiny_network(tmp_path / "vit.pt", "vit_tiny_patch16_224")
    tiny = {"path": tmp_path / "tiny.pt"} | FACTS
    branched = onnx.load(NETWORKS["demo_enet"].path)
    branched.graph.node[1].op_type = "Sigmoid"
    onnx.save(branched, tmp_path / "branched.onnx")
    own = {"path": tmp_path / "branched.onnx", "size": 112, "mean": [0.5] * 3, "std": [0.5] * 3, "embedding": "e"}
    empty = helper.make_model(helper.make_graph([], "g", [], []))
    onnx.save(empty, tmp_path / "empty.onnx")
    (tmp_path / "text.onnx").write_text("no network")
    odd = onnx.load(NETWORKS["demo_enet"].path)
    del odd.graph.node[0].input[:]
    onnx.save(odd, tmp_path / "odd.onnx")
    cases = {
        "mine.pt": (config_with(), "nothing says what this checkpoint is"),
        "mbf_va_mtl": (config_with(), "choose another network"),
        "tiny": (config_with(tiny=tiny | {"classes": ["a", "b"]}), "weights do not fit test_efficientnet with 2"),
        "vit": (
            config_with(vit=tiny | {"path": tmp_path / "vit.pt", "arch": "vit_tiny_patch16_224"}),
            "vit_tiny_patch16_224 takes no pictures of 32 pixels",
        ),
        "onnx": (config_with(onnx=own), "Sigmoid in it: only plain chains"),
        "empty": (config_with(empty=own | {"path": tmp_path / "empty.onnx"}), "expected a classifier's Gemm"),
        "text": (config_with(text=own | {"path": tmp_path / "text.onnx"}), "not an ONNX network"),
        "odd": (config_with(odd=own | {"path": tmp_path / "odd.onnx"}), "Conv in it: only plain chains"),
        "gone": (config_with(gone=tiny | {"path": tmp_path / "gone.pt"}), "no such file"),
        "grey": (config_with(grey=tiny | {"colour": "grey", "mean": [0.5], "std": [0.5]}), "takes grey pictures"),
    }
    for name, (config, text) in cases.items():
        with pytest.raises(InputError, match=re.escape(text)):
            start.build(start.find(name, config))


def test_a_start_keeps_the_users_hash(tmp_path):
    made_pictures.write_tiny_network(tmp_path / "tiny.pt")
    with pytest.raises(InputError, match="SHA-256"):
        start.find("tiny", config_with(tiny={"path": tmp_path / "tiny.pt", "sha256": "0" * 64} | FACTS))
    assert replace(NETWORKS["demo_enet"]).path.is_file()
