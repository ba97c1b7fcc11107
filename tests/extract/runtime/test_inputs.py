import os
import stat

import pytest

from extract.runtime import inputs
from extract.runtime.errors import InputError


def test_what_is_no_file_is_said_and_never_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "list.txt").write_bytes(b"a" * 9)
    said = {name: inputs.problem(tmp_path / name, "test list") for name in ("pipe", "link", "zero", "none", "x" * 300)}
    assert said == {
        "pipe": "a named pipe, expected a test list",
        "link": "a link to nothing",
        "zero": "a device, expected a test list",
        "none": "no such test list",
        "x" * 300: "cannot be read (File name too long)",
    }
    assert inputs.problem(tmp_path) == "a folder, expected a file"
    assert "null byte" in inputs.problem(tmp_path / "a\0b")
    assert inputs.problem(tmp_path / "list.txt", largest=9) == ""
    assert inputs.problem(tmp_path / "list.txt", largest=8) == "has 9 bytes, expected at most 8"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_need_ends_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"x: no such file; make it$"):
        inputs.require_file(tmp_path / "x", advice="make it")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_lines_end_alike_whatever_wrote_them(tmp_path, end):
    path = tmp_path / "x"
    path.write_bytes(f"\ufeffvidéo,1{end}b,2{end}".encode())
    assert inputs.read_text(path) == "vidéo,1\nb,2\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("é".encode("utf-16"), "cannot be read as text: UTF-16, expected UTF-8"),
        (b"a\nb\xe9\n", r"cannot be read as text: line 2: byte b'\\xe9', expected UTF-8: save it so; then again$"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a git-lfs pointer in place of the file"),
    ],
)
def test_other_text_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(InputError, match=said):
        inputs.read_text(tmp_path / "x", advice="then again")


def test_json_and_toml_that_python_gives_up_on():
    for text in ("[" * 10**5, "[" * 60 + "]" * 60, "9" * 5000, "{"):
        with pytest.raises(ValueError, match=r"within each other|4300 digits|Expecting"):
            inputs.parse_json(text)
        with pytest.raises(InputError, match=r"^here: not valid TOML"):
            inputs.parse_toml(f"x = {text}", "here")
    with pytest.raises(InputError, match="write paths with / or in single quotes"):
        inputs.parse_toml('x = "C:\\Users"', "here")
    assert inputs.parse_json('{"a": [1]}') == inputs.parse_toml("a = [1]", "") == {"a": [1]}
