"""Names that become files, through everything that takes one."""

import json
from pathlib import Path

import pytest

from blend.decision.params import Params
from blend.pool import external
from extract import config, run
from extract.features import store
from extract.runtime import file_names
from extract.runtime.errors import InputError
from heads import config as heads_config
from heads.abaw.tasks import TASKS

BAD = ["", "..", ".", "../x", "a/b", "/tmp/x", "a\\b", "..\\x", "a\nb", "a\tb", "a\x00b", "\x1b[2J", "a\u2028b",
       "\ud800", ".hidden", "x" * 201, "é" * 101, "../../../etc/passwd",
       " first", "last ", "\u00a0"]  # fmt: skip
GOOD = ["a", "demo-01", "two words", "it's", 'a "quoted" one', "日本", "e\u0301", "👨‍👩‍👧", "2024-01-01T10:30:00",
        "a..b", "x" * 200, "100%", "~me", "$HOME", "a;b", "con", "left_right"]  # fmt: skip


def test_the_rule(tmp_path):
    for name in BAD:
        assert file_names.problem("head", name) and file_names.problem(file_names.VIDEO, name), name
    for name in GOOD:
        assert file_names.problem("head", name) == file_names.problem(file_names.VIDEO, name) == ""
        (tmp_path / f".{name}_right.safetensors.0123456789abcdef.part").touch()  # the longest name made of it
    assert file_names.problem("head", "-rf") and not file_names.problem(file_names.VIDEO, "-aB3")
    with pytest.raises(InputError, match=r"^list\.txt: the video name '\.\.' begins with '\.'; choose another name$"):
        file_names.check(file_names.VIDEO, "..", "list.txt")


def test_no_name_of_a_video_or_network_leaves_the_store():
    for name in BAD:
        for network, video in ((name, "v"), ("n", name)):
            with pytest.raises(InputError, match=r"name .* choose another name"):
                store.path(Path("work"), network, video)
        with pytest.raises(InputError, match=r"name .* choose another name"):
            store.videos(Path("work"), name)
    for name in GOOD:
        assert store.path(Path("work"), name, name).parent.parent == Path("work/features")


def test_names_in_a_config_are_refused_before_anything_is_made(tmp_path):
    work = tmp_path / "work"
    for name in [*BAD, "-x"]:
        if name == "\ud800":  # no TOML file can hold it
            continue
        table = {"corpus": {"name": "c"}, "features": {"networks": [name]}}
        with pytest.raises(InputError, match=r"features\.networks: the network name .*; choose another name"):
            run.main(config.Config.model_validate(table), work)
        if name:
            with pytest.raises(InputError, match=r"corpus\.name"):
                config.check(config.Config, {"corpus": {"name": name}}, "c.toml")
        raw = heads_config.Config.model_validate({"corpus": {"name": "c"}, "heads": {"au": {"use": [name]}}})
        with pytest.raises(InputError, match=r"heads\.au\.use: the head name"):
            heads_config.list_heads(raw, "au")
    for name in ("-x.toml", ".x.toml", "x" * 201 + ".toml"):
        raw = heads_config.Config.model_validate({"corpus": {"name": "c"}, "heads": {"au": {"use": [name]}}})
        with pytest.raises(InputError, match=r"heads\.au\.use: the head name"):
            heads_config.list_heads(raw, "au")
    assert not work.exists()


def test_names_in_params_json_and_of_other_peoples_predictions(tmp_path):
    va = TASKS["va"]
    table = Params("va", va.outputs, ("a",), (1.0,)).as_json()
    for name in [*BAD, "-x"]:
        with pytest.raises(InputError, match=r"^p\.json: the head name"):
            Params.from_json(json.loads(json.dumps(table | {"heads": [name], "weights": {name: 1.0}})), "p.json")
        if name.isprintable() and "=" not in name and name == name.strip():
            with pytest.raises(InputError, match="--predictions"):
                external.parse([f"{name}={tmp_path}"])
