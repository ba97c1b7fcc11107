from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from extract import config as extract_config
from extract.features import store
from extract.runtime.errors import InputError
from heads import config
from heads.abaw.tasks import TASKS
from heads.config import Config
from heads.data.table import Source

Corpus = Any  # tests/heads/conftest.py


def load(
    corpus: Corpus, extra: str = "", overrides: list[str] | None = None, networks: str = '["one", "two"]'
) -> Config:
    return extract_config.load(Config, corpus.toml(extra, networks), overrides)


@pytest.mark.parametrize("task", TASKS)
def test_the_standard_heads_are_four_or_more_from_both_networks(corpus: Corpus, task: str) -> None:
    specs = config.plan(load(corpus), task, corpus.work)
    assert len(specs) >= 4 and len({spec.name for spec in specs}) == len(specs)
    assert {spec.settings.family for spec in specs} == {"mlp", "lightgbm", "lama"}
    single = {spec.sources[0].network for spec in specs if len(spec.sources) == 1}
    assert single == {"one", "two"}


@pytest.mark.parametrize("task", TASKS)
def test_every_standard_file_is_valid_and_carries_its_command(task: str) -> None:
    folder = extract_config.CONFIGS / "heads" / task
    assert [path.stem for path in sorted(folder.glob("*.toml"))] == config.standard(task)
    for name in config.standard(task):
        config.read_head(name, task, {})
        assert (
            f"python -m heads.run --task {task} --head {name}" in (folder / f"{name}.toml").read_text().split("\n")[0]
        )


def test_heads_are_named_after_their_networks_and_see_what_these_have(corpus: Corpus) -> None:
    specs = {spec.name: spec for spec in config.plan(load(corpus), "va", corpus.work)}
    assert specs["mlp-one"].sources == (Source("one", ("logits",)),)
    assert specs["mlp-two"].sources == (Source("two", ("logits", "va")),)
    assert specs["lama"].sources == (Source("one", ("logits",)), Source("two", ("logits", "va")))


def test_use_and_overrides(corpus: Corpus) -> None:
    extra = '[heads.au]\nuse = ["lama", "mlp"]\n[heads.au.mlp]\nepochs = 3\nnetworks = ["two", "one"]\n'
    specs = config.plan(load(corpus, extra, ["heads.au.mlp.hidden=7"]), "au", corpus.work)
    assert [spec.name for spec in specs] == ["lama", "mlp"]
    assert [source.network for source in specs[1].sources] == ["two", "one"]
    assert specs[1].settings.model_dump()["epochs"] == 3 and specs[1].settings.model_dump()["hidden"] == 7


def test_heads_on_request_run_where_they_are_named(corpus: Corpus) -> None:
    def names(extra: str = "", asked: tuple[str, ...] = ()) -> set[str]:
        return {spec.name for spec in config.plan(load(corpus, extra), "va", corpus.work, asked)}

    usual = names()
    assert not usual & {"sequence", "encoders", "fusion"} and usual == names(asked=("mlp-one", "nobody"))
    assert names(asked=("fusion",)) == usual | {"fusion"}
    assert names('[heads.va]\nuse = ["sequence"]\n') == {"sequence"}
    assert names("[heads.va.encoders]\non_request = false\n") == usual | {"encoders"}
    assert names("[heads.va.mlp]\non_request = true\n") == {name for name in usual if not name.startswith("mlp")}
    each = '[heads.va.sequence]\nnetworks = "each"\n'
    assert names(each, ("sequence-two",)) == usual | {"sequence-one", "sequence-two"}


def test_networks_that_videos_may_lack(corpus: Corpus) -> None:
    fusion = '[heads.va]\nuse = ["fusion"]\n[heads.va.fusion]\noptional = '
    (spec,) = config.plan(load(corpus, f'{fusion}["two", "elsewhere"]'), "va", corpus.work)
    one, two = spec.sources
    assert (one.network, one.optional, two.network, two.optional) == ("one", False, "two", True)
    with pytest.raises(InputError, match="head 'fusion': all of its networks are optional; one must not be"):
        config.plan(load(corpus, f'{fusion}["two", "one"]'), "va", corpus.work)
    for wrong, said in (
        ('["one"]\nnetworks = ["two"]', "optional names 'one', which is none of networks"),
        ('["two"]\nnetworks = ["two"]', "one of networks must not be optional"),
        ('[]\nnetworks = "each"', "networks"),
    ):
        with pytest.raises(InputError, match=said):
            config.plan(load(corpus, fusion + wrong), "va", corpus.work)


def test_a_head_file_of_ones_own(corpus: Corpus) -> None:
    own = corpus.folder / "mine.toml"
    own.write_text('family = "lightgbm"\ninputs = ["va"]\ntrees = 9\n')
    extra = f'[heads.expr]\nuse = ["{own}"]\n[heads.expr.mine]\nnum_leaves = 5\n'
    (spec,) = config.plan(load(corpus, extra), "expr", corpus.work)
    assert spec.name == "mine-two" and spec.sources == (Source("two", ("va",)),), "one has no va: skipped"
    assert spec.settings.model_dump()["trees"] == 9 and spec.settings.model_dump()["num_leaves"] == 5


def test_what_temporal_columns_are_of_is_needed_as_inputs_are(corpus: Corpus) -> None:
    def sources(of: str, networks: str) -> list[tuple[Source, ...]]:
        own = corpus.folder / "mine.toml"
        own.write_text(
            f'family = "lightgbm"\ninputs = ["logits"]\nnetworks = "{networks}"\n[[temporal]]\nof = "{of}"\n'
        )
        return [spec.sources for spec in config.plan(load(corpus, f'[heads.au]\nuse = ["{own}"]\n'), "au", corpus.work)]

    two = Source("two", ("logits",), ("va",))
    assert sources("va", "each") == [(two,)] and sources("va", "all") == [(two,)], "one has no va: left out"
    assert sources("va?", "each") == [(Source("one", ("logits",)),), (two,)]
    assert sources("logits", "all") == [(Source("one", ("logits",)), Source("two", ("logits",)))]
    assert sources("embedding", "all")[0][0] == Source("one", ("logits",), ("embedding",))
    extra = '[heads.au.mlp]\nnetworks = ["one"]\ninputs = ["logits"]\n[[heads.au.mlp.temporal]]\nof = "va"\n'
    with pytest.raises(InputError, match="'one' has embedding, logits, but inputs asks for logits, temporal for va"):
        config.plan(load(corpus, extra), "au", corpus.work)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (
            '[heads.au]\nuse = ["forest"]',
            "no standard head of task 'au' is called 'forest'; the standard ones are bigru, encoders",
        ),
        ('[heads.au]\nuse = ["gone.toml"]', r"gone\.toml: no such head file"),
        ("[heads.au]\nuse = []", "name at least one head"),
        ('[heads.au]\nuse = ["mlp", "mlp"]', "two heads of heads.au.use are called 'mlp-one'"),
        ("[heads.au.mlp]\nspeed = 3", "corpus.toml: heads.au.mlp: unknown key 'speed'; known keys there: .*dropout"),
        ("[heads.au.mlp]\nepochs = 0", "key 'epochs': Input should be greater than or equal to 1"),
        ("[heads.au.forest]\nepochs = 3", "unknown key 'heads.au.forest'; known there: use, bigru, encoders"),
        ("[heads.au]\nmlp = 3", "key 'heads.au.mlp': found 3, expected a table of settings"),
        ("[heads.au.mlp]\nfamily = 'svm'", "no family of heads is called 'svm'"),
        ("[heads.pain]\nuse = ['mlp']", "unknown key 'heads.pain'; known keys there: au, expr, lsd, va"),
        ("[heads.au.mlp]\nnetworks = ['three']", "network 'three' is not in features.networks: one, two"),
        (
            "[heads.au.mlp]\nnetworks = ['one']\ninputs = ['va']",
            "network 'one' has embedding, logits, but inputs asks for va",
        ),
    ],
)
def test_mistakes_are_named(corpus: Corpus, extra: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        config.plan(load(corpus, extra + "\n"), "au", corpus.work)


def test_no_head_left(corpus: Corpus) -> None:
    extra = '[heads.au]\nuse = ["lightgbm"]\n[heads.au.lightgbm]\ninputs = ["va"]\n'
    with pytest.raises(InputError, match=r"no head can be trained: .*\(one: embedding, logits\)"):
        config.plan(load(corpus, extra, networks='["one"]'), "au", corpus.work)


def test_a_head_file_that_is_no_toml_or_has_no_family(corpus: Corpus) -> None:
    own = corpus.folder / "mine.toml"
    for text, said in (("family =", "not valid TOML"), ("trees = 3", "key 'family' is missing")):
        own.write_text(text)
        with pytest.raises(InputError, match=said):
            config.read_head(str(own), "au", {})


def test_networks_without_features_are_named(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no features of network 'three'"):
        config.plan(load(corpus, networks='["three"]'), "au", corpus.work)
    target = store.path(tmp_path, "net", "v")
    store.write(target, store.VideoFeatures(store.read(store.path(corpus.work, "one", "t0")).frame), {})
    with pytest.raises(InputError, match="no features in its files"):
        config.kinds(tmp_path, "net")


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("mlp", "mlp"),
        ("my_heads/wide.toml", "wide"),
        ("runs/demo/tune/au/lightgbm-demo_enet/best.toml", "lightgbm-demo_enet-best"),
        ("runs/demo/../own/./best.toml", "own-best"),
        ("~/own/best.toml", "own-best"),
        ("best", "best"),
    ],
)
def test_heads_are_called_as_their_file_and_the_best_of_searches_as_the_search(entry: str, name: str) -> None:
    assert config.name_head(entry) == name


def test_a_best_config_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlp_all").mkdir()
    monkeypatch.chdir(tmp_path / "mlp_all")
    assert config.name_head("best.toml") == "mlp_all-best"


def test_other_inputs_of_a_standard_head_do_not_ask_for_what_its_temporal_columns_were_of() -> None:
    has = {"table": ("embedding",), "both": ("embedding", "logits")}
    settings = config.read_head("lightgbm", "expr", {"inputs": ["embedding"]})
    specs = {spec.name: spec.sources[0] for spec in config.plan_specs("lightgbm", settings, has)}
    assert specs["lightgbm-table"] == Source("table", ("embedding",))
    assert specs["lightgbm-both"] == Source("both", ("embedding",), ("logits",))
    asked = config.read_head("lightgbm", "expr", {"inputs": ["embedding"], "temporal": [{"of": "logits"}]})
    assert [spec.name for spec in config.plan_specs("lightgbm", asked, has)] == ["lightgbm-both"]  # as it says


def test_what_the_config_or_an_option_says_of_a_head_is_blamed_on_it(corpus):
    for overrides, said in (
        (
            ["heads.au.mlp.hiden=3"],
            r"^--set 'heads\.au\.mlp\.hiden=3': unknown key 'hiden'; .*did you mean 'hidden'\?$",
        ),
        (["heads.au.mpl.hidden=3"], r"with --set 'heads\.au\.mpl\.hidden=3': unknown key.*did you mean 'mlp'\?$"),
        (['heads.au.use=["lightgmb"]'], r"no standard head of task 'au' is called 'lightgmb'.*mean 'lightgbm'\?$"),
    ):
        with pytest.raises(InputError, match=said):
            config.list_heads(load(corpus, overrides=overrides), "au")
    os.mkfifo(corpus.folder / "pipe.toml")
    with pytest.raises(InputError, match="a named pipe, expected a head file"):
        config.list_heads(load(corpus, overrides=[f'heads.au.use=["{corpus.folder / "pipe.toml"}"]']), "au")
