"""The published rows of learning from synthetic data as configs, and the standard heads of the task."""

import pytest

from blend.config import Config
from extract import config as configs
from extract.learning.recipe import Recipe
from heads import config as heads_config
from heads.abaw.tasks import find

FILES = {"finetuned": {"ft": 1.0}, "blend_3": {"pre": 0.3, "ft": 0.7}, "blend_5": {"pre": 0.5, "ft": 0.5}}
PUBLISHED = {
    "finetuned": "alone: macro F1 .673 (accuracy .747).",
    "blend_3": "the best on validation: macro F1 .682 (accuracy .757).",
    "blend_5": "as submitted: macro F1 .677 (accuracy .751).",
}
DIFFERENT = "RealESRGAN_x4plus", "--face_enhance", "ColorJitter", "Adam without SAM", "SGD within SAM", "slice of train"
NAMES = {"pre": "pretrained-enet_b0_8_va_mtl", "ft": "pretrained-ft_lsd"}
FOLDER = configs.CONFIGS / "paper" / "lsd"


def test_all_rows_are_there():
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_row_loads_and_says_what_was_published(name):
    path = FOLDER / f"{name}.toml"
    assert path.read_text().startswith(f"# python -m blend.run --task lsd --config configs/paper/lsd/{name}.toml\n")
    config = configs.load(Config, path)
    settings = config.blend.lsd
    assert settings.weights == {NAMES[head]: weight for head, weight in FILES[name].items()}
    assert set(settings.weights) <= set(heads_config.list_possible_heads(config, "lsd"))
    assert (settings.select, settings.bias, settings.filter) == ("tuned", "off", "off")
    assert tuple(config.networks["ft_lsd"].classes) == find("lsd").outputs
    recipe, usual = config.finetune["ft_lsd"], Recipe()
    assert (recipe.head_epochs, recipe.head_rate, recipe.epochs, recipe.rate) == (3, 1e-3, 6, 1e-4)
    assert (recipe.smoothing, recipe.sam, recipe.batch, recipe.start) == (usual.smoothing, 0.05, 64, "random")
    assert not recipe.frozen_norm
    assert PUBLISHED[name] in path.read_text()
    assert config.corpus.task("lsd") == configs.load(Config, configs.CONFIGS / "lsd.toml").corpus.task("lsd")


def test_what_was_published_and_is_not_so_here_is_said():
    said = (FOLDER / "finetuned.toml").read_text().partition("Published, and not so here")[2].partition("extends")[0]
    assert [word for word in DIFFERENT if word not in said] == []
    assert all("finetuned.toml, which says how it differs" in (FOLDER / f"{name}.toml").read_text()
               for name in ("blend_3", "blend_5"))  # fmt: skip


@pytest.mark.parametrize("name", heads_config.standard("lsd"))
def test_standard_heads_look_at_single_pictures(name):
    settings = heads_config.read_head(name, "lsd", {})
    text = (configs.CONFIGS / "heads" / "lsd" / f"{name}.toml").read_text()
    assert not settings.temporal and text.startswith(f"# python -m heads.run --task lsd --head {name}")


def test_encoders_over_time_are_refused():
    with pytest.raises(configs.InputError, match="family 'sequence': pictures of task 'lsd' are of no video"):
        heads_config.read_head(str(configs.CONFIGS / "heads" / "expr" / "sequence.toml"), "lsd", {"temporal": []})
