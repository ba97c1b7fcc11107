"""The published rows that begin with a network of one's own: fine-tuned, or pre-trained without labels before that."""

import json

import pytest
import torch
from support import made_pictures
from support.sweeps import sweep

from blend import run
from blend.config import Config
from extract import config as configs
from extract.learning import encoder, export
from extract.learning.encoder import Encoder
from heads import config as heads_config
from heads.abaw.tasks import TASKS
from heads.finetune import __main__ as finetune

PAPER = configs.CONFIGS / "paper"
FINETUNED, MLP, LOGITS = "pretrained-ft_expr", "expr_mlp", "expr_logits"
EXPR = {
    "expr_emoti_finetuned": ({FINETUNED: 1.0}, 0, "F1 .380 (accuracy .484; test .2862)"),
    "expr_emoti_mlp_finetuned": ({MLP: 0.8, FINETUNED: 0.2}, 0, "F1 .405 (accuracy .524)"),
    "expr_emoti_mlp_finetuned_smooth": ({MLP: 0.8, FINETUNED: 0.2}, 50, "F1 .433 (accuracy .557; test .3286)"),
    "expr_emoti_mlp_finetuned_logits": ({MLP: 0.6, FINETUNED: 0.3, LOGITS: 0.1}, 0, "F1 .416 (accuracy .532)"),
}
MAE = {
    "au": (5, "F1 .5601", (".5586", ".5527", ".5549")),
    "expr": (25, "F1 .4916", (".4893", ".4773", ".4679", ".4121")),
    "va": (25, "CCC .5640", (".5525", ".5483", ".6372")),
}
TINY = Encoder(size=32, patch=8, width=32, depth=2, heads=2)


def load(file, *overrides):
    return configs.load(Config, PAPER / f"{file}.toml", list(overrides))


@pytest.mark.parametrize("name", EXPR)
def test_expressions_are_weighted_as_published(name):
    config, text = load(f"blends/{name}"), (PAPER / "blends" / f"{name}.toml").read_text()
    weights, k, score = EXPR[name]
    settings, recipe = config.blend.expr, config.finetune["ft_expr"]
    assert score in text and (settings.weights, settings.k) == (weights, k)
    assert (settings.select, settings.bias, settings.filter, settings.kernels) == ("tuned", "off", "off", ["box"])
    assert (recipe.epochs, recipe.rate, recipe.head_epochs, recipe.batch, recipe.sam) == (5, 1e-4, 0, 64, 0.05)
    assert (recipe.smoothing, recipe.balance, recipe.flip, recipe.start) == (0.1, 1, True, "linear")
    assert (recipe.decay, recipe.layer_decay, recipe.stride, recipe.dev_stride) == (0, 1, 1, 5)
    assert not recipe.frozen_norm, "BatchNorm followed the batches"
    assert tuple(config.networks["ft_expr"].classes) == TASKS["expr"].outputs
    assert not config.networks["ft_expr"].trust_train, "no head learns from it"
    read = {head: settings.networks for head, settings in heads_config.list_heads(config, "expr")}
    assert read == {head: ["enet_b0_8_best_vgaf"] for head in weights if head != FINETUNED} | {"pretrained": "each"}


def test_the_autoencoder_is_the_winners():
    settings = load("mae/pretrain").pretrain["mae_b16"]
    assert (settings.size, settings.patch, settings.width, settings.depth, settings.heads) == (224, 16, 768, 12, 12)
    assert (settings.decoder_width, settings.decoder_depth, settings.decoder_heads) == (512, 8, 16)
    assert (settings.mask, settings.normalise, settings.epochs, settings.warm_up) == (0.75, False, 800, 40)
    assert settings.batch == 4096 and settings.rate * settings.batch / 256 == pytest.approx(0.0024)
    assert (settings.decay, settings.crop, settings.flip) == (0.05, 0.2, True)


@pytest.mark.parametrize("task", MAE)
def test_the_winners_chain_is_there_for_each_task(task):
    path, config = PAPER / "mae" / f"{task}.toml", load(f"mae/{task}")
    text, name = path.read_text(), f"ft_mae_{task}"
    sigma, score, others = MAE[task]
    assert text.startswith(f"# python -m blend.run --task {task} --config configs/paper/mae/{task}.toml\n")
    assert f"heads.finetune --task {task} --network mae_b16 --name {name}\n" in text
    assert score in text and [other for other in others if other not in text] == []
    assert score.split()[1] in (configs.CONFIGS.parent / "blend" / "README.md").read_text()
    settings, network = getattr(config.blend, task), config.networks[name]
    assert (settings.select, settings.kernels, settings.k) == ("tuned", ["gaussian"], sigma)
    assert settings.weights == {f"{task}_fusion": 1}
    assert set(heads_config.list_possible_heads(config, task)) == {f"{task}_fusion"}
    assert config.features.networks == [name] and network.trust_train and network.size == 224
    assert (network.va, network.logits) == (("va", None) if task == "va" else (None, "logits"))
    assert task == "va" or tuple(network.classes) == TASKS[task].outputs
    recipe = config.finetune[name]
    assert (recipe.batch, recipe.rate, recipe.sam, recipe.balance) == (512, 1e-4, 0, 1)
    assert (recipe.decay, recipe.layer_decay) == (0.05, 0.65) and (task != "expr" or recipe.smoothing == 0)
    assert config.pretrain == load("mae/pretrain").pretrain


def make(folder, task, name, network, *more):
    """What a published config takes in place of Aff-Wild2 and its networks: made pictures, and `network`."""
    made_pictures.write_corpus(folder, train=4, val=3, frames=16)
    paths = {part: str(folder / task / part) for part in ("train", "val")}
    tables = {
        "corpus.frames": str(folder / "frames"), "corpus.name": "made", f"networks.{name}.size": 32,
        f"networks.{name}.path": str(folder / "work" / "networks" / name / f"{name}.onnx"),
        f"finetune.{name}.epochs": 1, f"finetune.{name}.device": "cpu",
        f"blend.{task}.draws": 100, f"blend.{task}.folds": 2, f"blend.{task}.select_folds": 2,
        **{f"networks.own.{key}": value for key, value in network.items()}, **dict(more),
    }  # fmt: skip
    made = [f"{key}={json.dumps(value)}" for key, value in tables.items()]
    return [*made, f"corpus.{task}={{train={paths['train']!r}, val={paths['val']!r}}}"]


@pytest.mark.parametrize(
    "name", sweep(["expr_emoti_mlp_finetuned", "expr_emoti_mlp_finetuned_logits"], ["expr_emoti_mlp_finetuned"])
)
def test_an_expression_row_runs_from_fine_tuning_to_the_blend(tmp_path, name):
    made_pictures.write_tiny_network(tmp_path / "own.pt")
    classes = ["Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise"]
    network = {"path": str(tmp_path / "own.pt"), "arch": "test_efficientnet", "size": 32, "classes": classes}
    network |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    read = [(f"heads.expr.{head}.networks", ["own"]) for head in (MLP, LOGITS) if head in EXPR[name][0]]
    overrides = make(tmp_path, "expr", "ft_expr", network, ("features.networks", ["own", "ft_expr"]), *read)
    config = load(f"blends/{name}", *overrides)
    finetune.main(config, "expr", "own", "ft_expr", tmp_path / "work")
    run.main(config, "expr", tmp_path / "work")
    params = json.loads((tmp_path / "work" / "blend" / "expr" / "params.json").read_text())
    assert params["weights"] == EXPR[name][0] | {"pretrained-own": 0}


@pytest.mark.slow
def test_a_pretrained_encoder_runs_from_fine_tuning_to_the_blend(tmp_path):
    torch.manual_seed(3)
    model = encoder.create(TINY).eval()
    encoder.save(tmp_path / "own.safetensors", TINY, model)
    facts = {"drawn": True} | encoder.describe(tmp_path / "own.safetensors")
    export.export_module(model, 32, ("embedding",), facts, tmp_path / "own.onnx")
    network = {"path": str(tmp_path / "own.onnx"), "size": 32, "embedding": "embedding"}
    network |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    small = [(f"heads.au.au_fusion.{key}", value) for key, value in (("epochs", 1), ("width", 16), ("feedforward", 16))]
    config = load("mae/au", *make(tmp_path, "au", "ft_mae_au", network, *small))
    finetune.main(config, "au", "own", "ft_mae_au", tmp_path / "work")
    run.main(config, "au", tmp_path / "work")
    params = json.loads((tmp_path / "work" / "blend" / "au" / "params.json").read_text())
    assert params["weights"] == {"au_fusion": 1} and (params["kernel"], params["k"]) == ("gaussian", 5)
