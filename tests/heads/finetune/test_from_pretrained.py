"""Fine-tuning that begins with a pre-trained encoder."""

import json
import shutil

import numpy as np
import pytest
import torch
from support import made_pictures

from extract import config as configs
from extract.learning import encoder, export, linear_start, names, start, train
from extract.learning.encoder import Encoder
from extract.learning.network import FineTunedNetwork
from extract.learning.optimiser import create_optimiser
from extract.networks import facts as network_facts
from extract.networks import registry
from extract.runtime import run_folder
from extract.runtime.errors import InputError
from heads.config import Config
from heads.finetune import __main__ as program

TINY = Encoder(size=32, patch=8, width=32, depth=2, heads=2)
QUICK = ["epochs=1", "batch=32", "sam=0", "layer_decay=0.65", "device='cpu'"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A corpus, and beside it what pre-training leaves."""
    folder = tmp_path_factory.mktemp("made")
    config = made_pictures.write_corpus(folder, train=4, frames=16)
    torch.manual_seed(3)
    model = encoder.create(TINY).eval()
    encoder.save(folder / "mae.safetensors", TINY, model)
    export.export_module(
        model, 32, ("embedding",), {"drawn": True} | encoder.describe(folder / "mae.safetensors"), folder / "mae.onnx"
    )
    facts = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "embedding": "embedding"}
    config.write_text(
        f'{config.read_text()}\n[networks.mae]\npath = "mae.onnx"\n'
        + "".join(f"{key} = {json.dumps(value)}\n" for key, value in facts.items())
    )
    return config


def load(path, *more):
    return configs.load(Config, path, [*(f"finetune.ft.{text}" for text in QUICK), *more])


def test_the_body_is_the_encoder_and_rates_fall_over_its_blocks(made):
    body, width = start.build(start.find("mae", load(made)))
    assert width == 32
    x = torch.randn(2, 3, 32, 32)
    torch.manual_seed(3)
    with torch.inference_mode():
        assert torch.equal(body(x), encoder.create(TINY).eval()(x))
    network = FineTunedNetwork(body, width, 8)
    groups = create_optimiser(network, 1e-3, 0.05, 0.65, False).param_groups
    rate = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    found = {name: rate[id(p)] for name, p in network.named_parameters()}
    for name, power, decay in (
        ("body.pos_embed", 3, 0), ("body.cls_token", 3, 0), ("body.patch_embed.proj.weight", 3, 0.05),
        ("body.blocks.0.attn.qkv.weight", 2, 0.05), ("body.blocks.1.mlp.fc2.bias", 1, 0), ("body.norm.weight", 0, 0),
        ("head.weight", 0, 0.05),
    ):  # fmt: skip
        assert found[name] == pytest.approx((1e-3 * 0.65**power, decay)), name


def test_before_the_first_step_its_logits_are_those_of_the_linear_start(made, monkeypatch, tmp_path):
    given, runs = [], []
    plain = linear_start.set_head
    monkeypatch.setattr(linear_start, "set_head", lambda network, *fit: (given.append(fit), plain(network, *fit)))
    learn = train.fine_tune
    monkeypatch.setattr(train, "fine_tune", lambda run: (runs.append(run), learn(run))[1])
    folder = program.main(load(made), "expr", "mae", "ft", tmp_path)
    (coefficients, intercepts), run = given[-1], runs[0]
    learner = train._Learner(run)
    monkeypatch.setattr(train, "_Learner", lambda _: learner)
    learner.begin()
    rows = np.arange(len(run.train))
    embedded = learner._predict(run.train, rows, embed=True)[0]
    np.testing.assert_allclose(learner._predict(run.train, rows)[0], embedded @ coefficients.T + intercepts, atol=1e-4)
    found = network_facts.read(folder / "ft.onnx")
    assert found["drawn"] and "encoder" not in found and len(found["scores"]) == 2
    used = registry.find(
        "ft",
        configs.load(
            Config, made, [f"networks.ft.{key}={json.dumps(value)}" for key, value in read_section(folder).items()]
        ),
    )
    assert used.kinds == ("embedding", "logits")


def read_section(folder):
    import tomllib

    section = tomllib.loads((folder / "ft.toml").read_text())["networks"]["ft"]
    return section | {"path": str(folder / section["path"])}


def test_what_has_learnt_in_the_same_work_folder_is_known_by_its_name(made, tmp_path):
    plain, work = tmp_path / "plain.toml", tmp_path / "w"
    plain.write_text('[corpus]\nname = "c"\n')
    folder = work / "networks" / "learnt"
    folder.mkdir(parents=True)
    section = {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3, "embedding": "embedding"}
    export.write_section(folder / "learnt.toml", {"networks": {"learnt": {"path": "learnt.onnx", **section}}})
    config = configs.load(Config, plain)
    assert names.add_learnt_networks(config, work, ["learnt"]).networks["learnt"].path == folder / "learnt.onnx"
    assert names.add_learnt_networks(config, work, ["other"]) == config
    own = load(
        made, "networks.learnt.path='x.onnx'", *(f"networks.learnt.{k}={json.dumps(v)}" for k, v in section.items())
    )
    assert names.add_learnt_networks(own, work, ["learnt"]).networks["learnt"].path.name == "x.onnx"


def test_weights_that_are_gone_or_other_ones_are_one_line(made, tmp_path):
    for name in ("mae.onnx", "mae.safetensors"):
        shutil.copy(made.parent / name, tmp_path)
    begin = start.find("mae", load(made, f"networks.mae.path={tmp_path / 'mae.onnx'}"))
    weights = tmp_path / "mae.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(InputError, match=r"mae\.safetensors: SHA-256 hash is .*, expected .*mae\.onnx was made with"):
        start.build(begin)
    weights.unlink()
    with pytest.raises(InputError, match=r"mae\.safetensors: .*mae\.onnx needs it to learn on: they move together"):
        start.build(begin)
    for content in (whole[:-4], whole[:40], b"\x80\x04."):
        weights.write_bytes(content)
        assert run_folder.file_hash(weights)
        with pytest.raises(InputError, match="not the weights of an encoder"):
            encoder._load(weights)
