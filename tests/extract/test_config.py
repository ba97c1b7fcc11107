import os
import re
from pathlib import Path

import pytest

from extract import config
from extract.runtime.errors import InputError

GOOD = """
[corpus]
name = "mine"
frames = "crops"
[corpus.au]
train = "train"
val = "/abs/val"
[features]
networks = ["net"]
[networks.net]
path = "net.onnx"
size = 64
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
logits = "out"
[heads.au]
use = ["mlp"]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(GOOD)
    return path


def test_paths_are_relative_to_the_file(file, tmp_path):
    read = config.load(config.Config, file)
    assert read.corpus.frames == [tmp_path / "crops"]
    assert read.corpus.task("au") == config.TaskPaths(train=tmp_path / "train", val=Path("/abs/val"))
    assert read.networks["net"].path == tmp_path / "net.onnx"


def test_several_frames_folders_are_one_corpus(file, tmp_path):
    read = config.load(config.Config, file, ['corpus.frames=["/x", "/y"]'])
    assert read.corpus.frames == [Path("/x"), Path("/y")]


def test_overrides_are_toml_values_and_bare_words_are_strings(file):
    read = config.load(config.Config, file, ["corpus.name=other", "corpus.missing_tail=1.0"])
    assert (read.corpus.name, read.corpus.missing_tail) == ("other", 1.0)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "corpus.nmae=x",
            r"^--set 'corpus\.nmae=x': unknown key 'corpus\.nmae'; known keys there: .*name.*; did you mean 'name'\?$",
        ),
        ("features.netwroks=3", r"unknown key 'features\.netwroks'; known keys there: engine, networks, precision"),
        ("networks.net.szie=3", r"unknown key 'networks\.net\.szie'; known keys there: .*size"),
        ("corpus.au.val2=x", r"unknown key 'corpus\.au\.val2'; known keys there: test, train, val"),
        ("whatever.x=1", r"unknown key 'whatever'"),
        ("corpus.va.train=x", r"key 'corpus\.va\.val' is missing"),
        ("networks.net.size=0", r"key 'networks\.net\.size': .*greater than 0; found 0"),
        ("features.networks=[]", r"key 'features\.networks'"),
        (
            "features.engine=tensorrt",
            r"key 'features\.engine': .*'auto', 'openvino', 'onnxruntime' or 'torch'; found 'tensorrt'",
        ),
        ("corpus.name=a/b", r"key 'corpus\.name'"),
        ("nonsense", r"--set 'nonsense': expected key\.path=value"),
        ("corpus.name.x=1", r"'name' is not a section"),
    ],
)
def test_a_wrong_key_or_value_is_named(file, override, said):
    with pytest.raises(InputError, match=said):
        config.load(config.Config, file, [override])


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: no such config file"):
        config.load(config.Config, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("[corpus\n")
    with pytest.raises(InputError, match=r"bad\.toml: not valid TOML.*line 1"):
        config.load(config.Config, tmp_path / "bad.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"bytes\.toml: cannot be read as text"):
        config.load(config.Config, tmp_path / "bytes.toml")


def test_a_task_that_the_corpus_lacks_is_named(file):
    with pytest.raises(InputError, match=r"no task 'va'.*\[corpus\.va\]"):
        config.load(config.Config, file).corpus.task("va")


def test_every_shipped_config_reads():
    for path in config.CONFIGS.glob("*.toml"):
        assert config.load(config.Config, path).features.networks


def test_head_files_are_relative_to_the_config_and_standard_names_stay(file, tmp_path):
    file.write_text(GOOD.replace('use = ["mlp"]', 'use = ["mlp", "own/wide.toml"]'))
    raw = config.load(Everything, file)
    assert raw.heads == {"au": {"use": ["mlp", str(tmp_path / "own" / "wide.toml")]}}


class Everything(config.Config):
    """As a package further right sees the file."""

    passes = ()
    heads: dict[str, object] = {}  # noqa: RUF012


def test_a_byte_order_mark_is_no_error_and_a_windows_path_gets_a_hint(tmp_path):
    path = tmp_path / "run.toml"
    path.write_bytes(b"\xef\xbb\xbf" + '[corpus]\nname = "größe"'.replace("größe", "m").encode())
    assert config.load(config.Config, path).corpus.name == "m"
    for folder in (r"D:\data\frames", r"C:\Users\me", r"E:\xfiles"):
        path.write_text(f'[corpus]\nname = "m"\nframes = "{folder}"\n')
        with pytest.raises(InputError, match=r"run\.toml: not valid TOML: .*line 3.*write paths with / or in single"):
            config.load(config.Config, path)
        path.write_text(f"[corpus]\nname = 'm'\nframes = '{folder}'\n")
        assert str(config.load(config.Config, path).corpus.frames[0]).endswith(folder)


def test_the_option_that_brought_a_wrong_value_is_to_blame_and_the_right_form_is_shown(file):
    with pytest.raises(InputError) as raised:
        config.load(config.Config, file, ["features.precision=bf16", "features.networks=net, other"])
    assert str(raised.value).startswith("--set 'features.networks=net, other': key 'features.networks'")
    assert 'features.networks=["net", "other"]' in str(raised.value) and "run.toml" not in str(raised.value)
    file.write_text(GOOD.replace('networks = ["net"]', 'networks = "net"'))
    with pytest.raises(InputError, match=r'run\.toml: key .*features\.networks=\["net"\]$'):
        config.load(config.Config, file, ["features.precision=bf16"])


def test_what_lies_too_deep_or_has_too_many_digits_is_refused_in_one_line_that_has_an_end(file):
    for override in (
        "x." * 3000 + "y=1",
        f"corpus.fps={'8' * 4400}",
        f"corpus.name={'[' * 4000}",
        f"x={'{a=' * 3000}1",
    ):
        with pytest.raises(InputError) as raised:
            config.load(config.Config, file, [override])
        assert len(str(raised.value)) < 2100, override[:20]
    for text in ("x." * 3000 + "y = 1", f"x = {'[' * 3000}{']' * 3000}", f"x = {'7' * 4400}", "x = [" + "{a = " * 200):
        file.write_text(text)
        with pytest.raises(InputError, match=r"run\.toml: ") as raised:
            config.load(config.Config, file)
        assert len(str(raised.value)) < 2100, text[:20]


def test_home_folders_are_found_and_those_of_nobody_are_refused(file, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.load(config.Config, file, ["corpus.frames=~/f"]).corpus.frames == [tmp_path / "f"]
    for key in ("corpus.frames", "features.weights", "corpus.people", "networks.net.path", "corpus.au.val"):
        with pytest.raises(InputError, match=r"~nobody-at-all/x: there is no user 'nobody-at-all' here"):
            config.load(config.Config, file, [f"{key}=~nobody-at-all/x"])
    file.write_text('extends = "~nobody-at-all/x.toml"')
    with pytest.raises(InputError, match="no user 'nobody-at-all'"):
        config.load(config.Config, file)


def test_a_named_pipe_is_no_config(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(InputError, match=r"pipe\.toml: a named pipe, expected a config file"):
        config.load(config.Config, tmp_path / "pipe.toml")


def test_the_template_that_nobody_edited_is_recognised(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "TEMPLATE", config.TEMPLATE if not config.TEMPLATE.exists() else tmp_path / "none")
    loaded = config.load(config.Config, config.CONFIGS / "affwild2.toml")
    if tmp_path / "none" == config.TEMPLATE:
        pytest.skip("the template's folder is there")
    with pytest.raises(InputError, match=r"affwild2\.toml: corpus\.frames is still the template's '/data/ABAW/"):
        loaded.refuse_template()
    own = [f"corpus.frames={tmp_path}", "corpus.au.train=x", "corpus.au.val=x", "corpus.au.test=x"]
    loaded = config.load(config.Config, config.CONFIGS / "affwild2.toml", own)
    loaded.refuse_template("au")
    with pytest.raises(InputError, match=r"corpus\.va\.train is still the template's"):
        loaded.refuse_template("va")


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("blend.au.trials=true", "blend.au.trials"),
        ("blend.au.grid_k=[1, true]", "blend.au.grid_k"),
        ("blend.au.weights={mlp = true}", "blend.au.weights"),
        ("blend.au.k=false", "blend.au.k"),
        ("cluster.nodes=true", "cluster.nodes"),
        ("heads.au.mlp.epochs=true", "heads.au.mlp.epochs"),
    ],
)
def test_true_is_no_number(override, key):
    from blend.config import Config
    from heads.config import list_heads

    with pytest.raises(InputError, match=re.escape(key.split(".")[-1]) + ".*true and false are no values of this key"):
        list_heads(config.load(Config, config.DEFAULT, [override]), "au")


def test_true_stays_where_a_switch_is_meant():
    from blend.config import Config

    said = ["blend.va.scale=true", "blend.au.per_output_k=false", "blend.au.thumbnails=false"]
    loaded = config.load(Config, config.DEFAULT, said)
    assert loaded.blend.va.scale is True and loaded.blend.au.per_output_k is False
