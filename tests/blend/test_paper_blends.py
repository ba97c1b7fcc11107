"""The published blends as configs: each loads, names heads that there will be, and one of each kind runs."""

import json
import re

import numpy as np
import pytest

from blend import run
from blend.config import Config
from blend.decision import combine
from blend.decision.params import Params
from extract import config as configs
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads.abaw.tasks import TASKS

FOLDER = configs.CONFIGS / "paper" / "blends"
FILES = sorted(FOLDER.glob("*.toml"))
KINDS = {
    "fixed weights and k, cut at 0.5": "au_emoti_mlp_lama_smooth",
    "fixed weights and k, tuned thresholds": "au_mt_mlp_lama_smooth",
    "a weight from the grid, tuned thresholds": "au_emoti_mt",
    "a weight and k from the grid": "expr_emoti_mlp_logits_smooth",
    "fixed weights and k": "va_emoti_mt_smooth",
    "a fine-tuned network among them": "expr_emoti_mlp_finetuned_smooth",
    "a fine-tuned network, and an mlp that says Other": "expr_emoti_mlp_finetuned_logits",
    "everything": "au_emoti_mt_smooth",
}


def load(path, *overrides):
    return configs.load(Config, path, list(overrides))


def heads_of(config, task):
    """Names of the heads that the config trains, those with a weight first."""
    found = heads_config.list_possible_heads(config, task)
    given = getattr(config.blend, task).weights or found
    return sorted(found, key=lambda name: name not in given)


def test_every_row_of_the_readme_is_a_config_that_loads():
    text = (configs.CONFIGS.parent / "blend" / "README.md").read_text()
    pattern = r"^\| (au|expr|va) \| ((?:Table [135]|Public notebook), [^|]*) \| ([^|]*) \| `(\w+)\.toml` \|$"
    listed = re.findall(pattern, text, re.MULTILINE)
    assert [name for *_, name in listed] == sorted({name for *_, name in listed}, key=[n for *_, n in listed].index)
    assert {name for *_, name in listed} == {path.stem for path in FILES} and len(listed) == 21
    for task, row, published, name in listed:
        path = FOLDER / f"{name}.toml"
        assert path.read_text().startswith(f"# python -m blend.run --task {task} --config configs/paper/blends/{name}")
        assert f"# {row}: {published.partition(' (')[0]}" in path.read_text()
        config = load(path)
        settings, heads = getattr(config.blend, task), heads_of(config, task)
        assert config.corpus.task(task) == load(configs.CONFIGS / "affwild2.toml").corpus.task(task)
        assert settings.select == "tuned"
        assert (settings.weights is None) == (settings.sampler == "grid")
        assert set(settings.weights or heads) <= set(heads), name
        if settings.weights is not None:
            assert sum(settings.weights.values()) == pytest.approx(1) and settings.k is not None
        assert ("smooth" in name) == (settings.k is None or settings.k > 0)
        assert task != "au" or settings.thresholds != "auto"


@pytest.mark.parametrize("name", KINDS.values(), ids=KINDS)
def test_one_of_each_kind_runs(make_corpus, name):
    task = name.partition("_")[0]
    names = heads_of(load(FOLDER / f"{name}.toml"), task)
    corpus = make_corpus(task, heads=len(names))
    corpus.heads = dict(zip(names, corpus.heads.values(), strict=True))
    paths = f"{{train={str(corpus.val)!r},val={str(corpus.val)!r},test={str(corpus.test)!r}}}"
    few = f"blend.{task}.draws=100", f"blend.{task}.folds=2", f"blend.{task}.select_folds=2"
    config = load(FOLDER / f"{name}.toml", 'corpus.frames="none"', f"corpus.{task}={paths}", *few)
    settings = getattr(config.blend, task)
    report = run.main(config, task, corpus.work)
    made = json.loads((corpus.work / "blend" / task / "params.json").read_text())
    assert report["select"] == "tuned" and report["submitted"] == report["searched"]
    if settings.weights is not None:
        assert made["weights"] == {head: 0.0 for head in names} | settings.weights and made["k"] == settings.k
        assert report["trials"] == 1
    else:
        assert all(round(10 * w, 9) == round(10 * w) for w in made["weights"].values())
        assert sum(made["weights"].values()) == pytest.approx(1)
        ks = [settings.k] if settings.k is not None else settings.grid_k
        assert report["trials"] == 11 * len(ks) and made["k"] in ks
    if task == "au":
        assert (made["thresholds"] == [0.5] * 12) == (settings.thresholds == "fixed")
        if isinstance(settings.thresholds, list):
            assert made["thresholds"] == settings.thresholds
    if settings.weights is not None and (settings.filter == "off" or settings.thresholds not in ("auto", "exact")):
        assert report["expected"] == pytest.approx(report["submitted"], abs=1e-12), "nothing was chosen"


def test_published_thresholds_can_be_written(make_pool):
    from blend.search import search

    config = load(FOLDER / "au_emoti_mt_smooth.toml")
    pool, settings = make_pool("au", heads=2), config.blend.au
    names = dict(zip(pool.heads, heads_of(config, "au"), strict=True))
    weights = {head: settings.weights[name] for head, name in names.items()}
    found = search.search(pool, settings.model_copy(update={"weights": weights}), 9, 0)
    scores = combine.scores(pool, (0.6, 0.4), "box", 5)
    decided = scores >= np.array([0.7, 0.8, 0.7, 0.5, 0.5, 0.5, 0.6, 0.8, 0.7, 0.8, 0.3, 0.6])
    np.testing.assert_array_equal(combine.combine(pool, found.params), decided)
    assert isinstance(found.params, Params) and found.score == TASKS["au"].score(
        pool.known_truth.values, decided[pool.known_truth.rows]
    )


def test_a_config_extends_another(tmp_path):
    base, mine = tmp_path / "base" / "base.toml", tmp_path / "mine.toml"
    base.parent.mkdir()
    base.write_text('[corpus]\nname = "a"\nfps = 25.0\n[corpus.va]\nval = "val"\n[blend.va]\ntrials = 7\nk = 3\n')
    mine.write_text('extends = "base/base.toml"\n[corpus]\nname = "b"\n[blend.va]\nk = 5\n')
    config = load(mine)
    assert (config.corpus.name, config.corpus.fps) == ("b", 25.0), "what it has itself counts"
    assert (config.blend.va.trials, config.blend.va.k) == (7, 5), "tables are joined key by key"
    assert config.corpus.va.val == base.parent / "val", "paths are relative to the file that holds them"
    assert load(mine, "blend.va.k=9").blend.va.k == 9
    for text, said in (('extends = "mine.toml"', "extends this file"), ("extends = 3", "expected the path of one"),
                       ('extends = "gone.toml"', "gone.toml: no such config file")):  # fmt: skip
        mine.write_text(text + '\n[corpus]\nname = "b"\n')
        with pytest.raises(InputError, match=said):
            load(mine)
