"""The shipped networks: structure, size, and what they know about people they never saw."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.stats import pearsonr

from extract.demo import train_networks
from extract.demo.stills import HELD_OUT, make_stills
from extract.demo.train_networks import FOLDER, RECIPES, ccc, measure, normalise, run

WIDTH = {"demo_enet": (128, 8), "demo_mt_enet": (160, 10)}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_shipped_file_has_the_published_structure(recipe):
    path = FOLDER / f"{recipe.name}.onnx"
    assert path.stat().st_size <= 2_000_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    graph = model.graph
    (entry,), (result,) = graph.input, graph.output
    assert entry.name == "input" and result.name == "output"
    sides = entry.type.tensor_type.shape.dim
    assert [d.dim_value for d in sides[1:]] == [3, 112, 112] and not sides[0].dim_value
    last = graph.node[-1]
    assert last.op_type == "Gemm" and last.output[0] == "output"
    weights = {w.name: tuple(w.dims) for w in graph.initializer}
    embedding, outputs = WIDTH[recipe.name]
    assert weights[last.input[1]] == (outputs, embedding)
    assert model.opset_import[0].version >= 11


@pytest.fixture(scope="module")
def strangers():
    """People beyond those the card was measured on."""
    return make_stills(HELD_OUT + 10_000, people=50, per_person=6, roughness=1.2)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.name)
def test_shipped_networks_know_people_they_never_saw(recipe, strangers):
    scores = measure(FOLDER / f"{recipe.name}.onnx", strangers)
    assert scores["accuracy"] > 0.6
    if recipe.va:
        assert scores["ccc_valence"] > 0.6 and scores["ccc_arousal"] > 0.5
    else:
        assert set(scores) == {"accuracy"}


def test_the_two_networks_err_differently(strangers):
    outs = [run(FOLDER / f"{r.name}.onnx", strangers.images)[:, :8] for r in RECIPES]
    wrong = [out.argmax(axis=1) != strangers.classes for out in outs]
    assert pearsonr(*np.array(wrong, dtype=float))[0] < 0.9


def test_the_card_names_both_files_and_their_measured_accuracy():
    text = (FOLDER / "CARD.md").read_text()
    for recipe in RECIPES:
        row = next(line for line in text.splitlines() if line.startswith(f"| `{recipe.name}.onnx`"))
        assert f"| {recipe.embedding} |" in row and f"({recipe.people})" in row
        assert 0.6 < float(row.split("|")[6]) < 1


def test_normalised_is_imagenets_rgb():
    image = np.zeros((1, 112, 112, 3), np.uint8)
    image[..., 0], image[..., 2] = 255, 51  # blue, red
    red, green, blue = normalise(image)[0, :, 0, 0]
    np.testing.assert_allclose(
        [red, green, blue], [(0.2 - 0.485) / 0.229, -0.456 / 0.224, (1 - 0.406) / 0.225], rtol=1e-5
    )


def test_ccc_against_its_definition_by_correlation():
    rng = np.random.default_rng(0)
    truth, guess = rng.normal(size=200), rng.normal(0.3, 2, size=200)
    guess += truth
    r = pearsonr(truth, guess)[0]
    expected = 2 * r * truth.std() * guess.std() / (truth.var() + guess.var() + (truth.mean() - guess.mean()) ** 2)
    assert ccc(truth, guess) == pytest.approx(expected, rel=1e-12)
    assert ccc(truth, truth) == pytest.approx(1)


@pytest.mark.slow
def test_training_learns_and_the_export_computes_what_torch_computes(tmp_path: Path):
    import torch

    recipe = train_networks.Recipe("tiny", 3, (8, 12, 16, 24, 32), 16, True, 0, 0, 1.0, epochs=30)
    stills = make_stills(HELD_OUT + 20_000, people=16, per_person=8, roughness=1.0)
    model = train_networks.fit(recipe, stills)
    path = tmp_path / "tiny.onnx"
    train_networks.save(model, path)
    with torch.no_grad():
        expected = model(torch.from_numpy(normalise(stills.images))).numpy()
    np.testing.assert_allclose(run(path, stills.images), expected, atol=1e-4)
    assert (expected[:, :8].argmax(axis=1) == stills.classes).mean() > 0.25  # one in eight by chance
    assert ((expected[:, 8:] - stills.affect) ** 2).mean() < 0.5 * stills.affect.var(axis=0).mean()


def test_training_is_reproducible():
    import torch

    recipe = train_networks.Recipe("tiny", 3, (4, 4, 8, 8, 8), 16, True, 0, 0, 1.0, epochs=1)
    stills = make_stills(HELD_OUT + 20_000, people=16, per_person=8, roughness=1.0)
    first, again = (train_networks.fit(recipe, stills) for _ in range(2))
    with torch.no_grad():
        outs = [model(torch.from_numpy(normalise(stills.images[:8]))).numpy() for model in (first, again)]
    np.testing.assert_allclose(outs[0], outs[1], atol=1e-4)


def test_an_unknown_network_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="demo_mt_enet"):
        train_networks.main(["resnet"])
