from pathlib import Path

import pytest

from extract import config
from extract.errors import InputError

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
        ("features.engine=tensorrt", r"key 'features\.engine': .*'auto', 'openvino' or 'torch'; found 'tensorrt'"),
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
    with pytest.raises(InputError, match=r"bytes\.toml: cannot be read as UTF-8"):
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
