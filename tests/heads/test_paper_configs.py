"""The published architectures: configs load, have the published sizes and weights, and learn."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.sweeps import sweep

from extract.config import CONFIGS
from extract.features import store
from extract.networks.registry import AFFECTNET8, NETWORKS
from heads import config as heads_config
from heads.abaw import read as labels
from heads.abaw.tasks import AU, TASKS
from heads.base import selection
from heads.base.head import class_weights, unit_weights
from heads.families.mlp import network as mlp_network
from heads.families.mlp.settings import MlpSettings
from heads.train import fit

PAPER = CONFIGS / "paper"
FILES = sorted(PAPER.glob("*.toml"))
SHAPES = [(4, 4), (4, 8), (6, 4)]
OVER_TIME = ("encoders", "fusion")
each = pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
VGAF, MTL = "enet_b0_8_best_vgaf", "enet_b0_8_va_mtl"
EXPR_COUNTS = [177198, 16573, 10771, 9080, 95463, 78751, 31615, 165866]
EXPR_WEIGHTS = [1.0, 10.691968865, 16.451397270, 19.515198238, 1.856195594, 2.250104761, 5.604871105, 1.068320210]
AU_ROWS = 1_356_861
AU_W0 = [0.56699737, 0.52623698, 0.59099307, 0.68134051, 0.82949071, 0.7628283]
AU_W0 += [0.66223812, 0.51446878, 0.51624061, 0.51314264, 1.3391547, 0.54019984]
AU_W1 = [4.23148962, 10.02853659, 3.24746184, 1.87862194, 1.25874673, 1.45119134]
AU_W1 += [2.04094492, 17.77857704, 15.8935131, 19.52205628, 0.79791885, 6.71892981]


def task_of(file: Path) -> str:
    return file.stem.split("_")[0]


def test_all_published_heads_are_there():
    expected = ["au_lama", "au_mlp", "expr_logits", "expr_mlp", "va_lama", "va_mlp", "va_only"]
    encoders = [f"{task}_{what}" for task in TASKS for what in (*(f"encoder_{n}_{h}" for n, h in SHAPES), *OVER_TIME)]
    assert [file.stem for file in FILES] == sorted(expected + encoders)


@each
def test_the_first_line_is_the_command_and_no_standard_head_has_the_name(file: Path):
    task, first = task_of(file), file.read_text().splitlines()[0]
    use = f"--set 'heads.{task}.use=[\"configs/paper/{file.name}\"]'"
    assert first == f"# python -m heads.run --task {task} --config configs/affwild2.toml {use}"
    assert file.stem not in heads_config.standard(task)


@each
def test_nothing_that_was_not_published_is_on(file: Path):
    settings = heads_config.read_head(str(file), task_of(file), {})
    assert settings.stride == 1 and not settings.temporal
    inner = getattr(settings, "mlp", settings)
    if isinstance(inner, MlpSettings) and file.stem != "va_only":
        assert (inner.dropout, inner.input_dropout, inner.weight_decay, inner.min_steps) == (0, 0, 0, 0)
        assert (inner.cosine, inner.standardise, inner.members) == (False, False, 1)
        assert (inner.learning_rate, inner.balance, inner.embedding_power, inner.logits_times) == (1e-3, 1, 1, 1)


@pytest.mark.parametrize("task", TASKS)
def test_encoders_are_the_published_ones(task: str):
    def read(name: str) -> Any:
        return heads_config.read_head(str(PAPER / f"{task}_{name}.toml"), task, {})

    singles = [read(f"encoder_{layers}_{heads}") for layers, heads in SHAPES]
    assert [single.shapes for single in singles] == [[shape] for shape in SHAPES]
    together, fusion = read("encoders"), read("fusion")
    assert together.shapes == SHAPES and together.members == 1
    assert {str(one.model_copy(update={"shapes": []})) for one in (*singles, together)} == {
        str(together.model_copy(update={"shapes": []}))
    }, "they differ in their shapes alone"
    augmented = together.noise > 0 and together.masked > 0 and together.dropped > 0
    assert augmented == (task == "expr"), "only EXPR was trained with augmentation"
    published = {"clip": 100, "dropout": 0.3, "batch": 32, "learning_rate": 1e-4, "epochs": 20, "shapes": [(4, 4)]}
    assert {name: getattr(fusion, name) for name in published} == published and fusion.optional == ["audio"]


@pytest.mark.parametrize(
    ("task", "width", "parameters", "batch", "epochs", "l2"),
    [
        ("expr", 1280, 165_000, 256, 10, 0),
        ("au", 1280, 165_516, 512, 5, 0),
        ("va", 8, 18, 1024, 20, 1 / 1024),
        ("va", 10, 22, 1024, 20, 1 / 1024),
    ],
)
def test_mlps_have_the_published_sizes(task: str, width: int, parameters: int, batch: int, epochs: int, l2: float):
    settings = heads_config.read_head(str(PAPER / f"{task}_mlp.toml"), task, {})
    assert isinstance(settings, MlpSettings)
    assert (settings.batch, settings.epochs, settings.l2) == (batch, epochs, l2)
    assert mlp_network.build(TASKS[task], width, settings, 0).count_params() == parameters
    assert NETWORKS[VGAF].dim == NETWORKS[MTL].dim == 1280
    if task == "expr":
        logits = heads_config.read_head(str(PAPER / "expr_logits.toml"), "expr", {})
        inner = {name: getattr(logits.mlp, name) for name in MlpSettings.model_fields if name != "inputs"}
        assert inner == {name: getattr(settings, name) for name in inner} and settings.inputs == ["embedding"]


def test_class_weights_from_the_published_counts():
    np.testing.assert_allclose(class_weights(np.array(EXPR_COUNTS)), EXPR_WEIGHTS, rtol=1e-9)
    truth = np.repeat(np.arange(8, dtype=np.int8), EXPR_COUNTS)
    learnt = selection.label_weights(truth, TASKS["expr"], 1.0)  # up to their mean, which Adam does not see
    np.testing.assert_allclose(learnt / learnt[0], EXPR_WEIGHTS, rtol=1e-6)


def test_unit_weights_from_the_published_counts():
    positives = np.round(AU_ROWS / (2 * np.array(AU_W1))).astype(np.int64)
    w0, w1 = unit_weights(positives, AU_ROWS)
    np.testing.assert_allclose(w0, AU_W0, rtol=1e-6)
    np.testing.assert_allclose(w1, AU_W1, rtol=1e-6)
    # AU1 of the multi-task edition, whose counts are published too
    np.testing.assert_allclose(
        np.concatenate(unit_weights(np.array([18713]), 18713 + 84603)), [0.610593, 2.7605408], rtol=1e-6
    )


@pytest.fixture(scope="module")
def store_of_both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random features of the two published networks, in the shapes they have, and annotations of all tasks."""
    work = tmp_path_factory.mktemp("paper")
    rng = np.random.default_rng(0)
    about = {"mark": "x", "outputs": json.dumps([True, None, None, None, AFFECTNET8])}
    for video in "abcdef":
        frame = np.arange(1, 61, dtype=np.int32)
        for network, va in ((VGAF, False), (MTL, True)):
            features = store.VideoFeatures(
                frame,
                rng.normal(size=(60, 1280)).astype(np.float16),
                rng.normal(size=(60, 8)).astype(np.float32),
                np.tanh(rng.normal(size=(60, 2))).astype(np.float32) if va else None,
            )
            store.write(store.path(work, network, video), features, about)
        lines = {
            "au": [",".join(map(str, row)) for row in rng.integers(0, 2, (60, len(AU)))],
            "expr": [str(i % 8) for i in range(60)],
            "va": [f"{v:.3f},{a:.3f}" for v, a in np.tanh(rng.normal(size=(60, 2)))],
        }
        for task, rows in lines.items():
            path = work / task / f"{video}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join([TASKS[task].header, *rows]) + "\n")
    return work


def weights(layers: int, streams: int, outputs: int) -> int:
    """How many weights an encoder over embeddings of 1280 has whose streams are 256 wide each."""
    d, wide = 256 * streams, 1024
    attention, feedforward, norm = 4 * (d * d + d), 2 * d * wide + wide + d, 2 * d
    return streams * (1280 + 1) * 256 + layers * (attention + feedforward + 2 * norm) + norm + (d + 1) * outputs


@pytest.mark.parametrize(
    "file",
    sweep(
        [file for file in FILES if "_encoder_" not in file.stem],
        [PAPER / f"{name}.toml" for name in ("au_mlp", "expr_logits", "va_lama", "va_fusion")],
    ),
    ids=lambda path: path.stem,
)
def test_they_learn_from_features_of_the_published_shapes(file: Path, store_of_both: Path):
    task = task_of(file)
    raw = tomllib.loads(file.read_text())
    quick = {"sequence": {"epochs": 1}, "fusion": {"epochs": 1}}.get(raw["family"], {})
    section = {task: {"use": [str(file)], file.stem: quick}}
    config = heads_config.Config.model_validate(
        {"corpus": {"name": "x"}, "features": {"networks": [VGAF, MTL]}, "heads": section}
    )
    specs = heads_config.plan(config, task, store_of_both)
    assert [spec.name for spec in specs] == (
        [f"{file.stem}-{n}" for n in (VGAF, MTL) if raw["inputs"] != ["va"] or n == MTL]
        if raw["networks"] == "each"
        else [file.stem]
    )
    annotations = labels.read_folder(store_of_both / task, TASKS[task])
    spec = specs[-1]
    prepared = fit.prepare_train(store_of_both, spec.sources, spec.settings, annotations, TASKS[task])
    model, facts, _ = fit.fit(prepared, prepared.part, 0)
    wide = {"au_mlp": 165_516, "expr_mlp": 165_000, "va_mlp": 22}
    if raw["family"] in ("sequence", "fusion"):
        streams = len(facts.get("streams", ["one"]))
        assert facts["parameters"] == [weights(n, streams, len(TASKS[task].outputs)) for n, _ in raw["shapes"]]
    else:
        assert facts.get("parameters") == wide.get(file.stem)
    if file.stem == "expr_logits":
        assert facts["mlp"]["parameters"] == 165_000 and facts["classes_without_a_logit"] == []
    if raw["family"] == "lama":
        assert all("RF" in name for found in facts["algorithms"].values() for name in found), facts["algorithms"]
    scores = model.predict(model.rows(store_of_both, "ab"))
    assert scores.shape == (120, len(TASKS[task].outputs)) and np.isfinite(scores).all()
