import errno
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from extract.runtime import errors

ROOT = Path(__file__).parents[3]


def test_an_input_error_is_one_line_and_exit_code_2(capsys):
    with pytest.raises(SystemExit) as caught, errors.exits():
        raise errors.InputError("a.txt, line 3: found 'x',\n expected a number")
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: a.txt, line 3: found 'x', expected a number\n"


def test_ctrl_c_says_that_nothing_is_lost(capsys):
    with pytest.raises(SystemExit) as caught, errors.exits():
        raise KeyboardInterrupt
    assert caught.value.code == 130
    assert "goes on from there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://u:p@h:1/a?b", "rtsp://***@h:1/a?b"),
        ("rtsp://me:se/cr@et/@host/x", "rtsp://***@host/x"),
        ("rtsp://me:se?cret@host/x", "rtsp://***"),
        ("rtsp://me:se#cr=et@[::1/x", "rtsp://***@[::1/x"),
        ("https://host/a.mp4?token=secret&user=me", "https://host/a.mp4?token=***&user=***"),
        ("https://host/a?token=sec@ret", "https://***"),
        ("--storage=postgresql://me:secret@host/study", "--storage=postgresql://***@host/study"),
        ("http://host:8080/a/b.mp4", "http://host:8080/a/b.mp4"),
        ("clips/me@home?a=b.mp4", "clips/me@home?a=b.mp4"),
    ],
)
def test_addresses_are_told_without_what_is_secret(url, told):
    assert errors.hide_password(url) == told


def test_ctrl_c_tells_the_command_without_passwords(capsys, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "blend.predict", "rtsp://me:secret@host/x?token=secret"])
    with pytest.raises(SystemExit), errors.exits():
        raise KeyboardInterrupt
    said = capsys.readouterr().err
    assert "secret" not in said and "python -m blend.predict 'rtsp://***@host/x?token=***'" in said


def test_other_errors_are_bugs_and_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), errors.exits():
        _ = 1 / 0


def test_a_failure_that_is_nobodys_input_is_one_line_and_exit_code_1(capsys):
    with pytest.raises(SystemExit) as caught, errors.exits():
        raise errors.WorkError("too little memory")
    assert caught.value.code == 1
    assert capsys.readouterr().err == "failed: too little memory\n"


def test_too_little_memory_is_one_line_and_exit_code_1(capsys):
    with pytest.raises(SystemExit) as caught, errors.exits():
        raise MemoryError
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("failed: out of memory")


def test_an_input_error_has_no_line_ends_and_no_long_middle():
    assert str(errors.InputError("a\nb\r\nc\u2028d")) == "a b c d"
    text = str(errors.InputError("begin " + "x" * 10**6 + " end"))
    assert len(text) < 2100 and text.startswith("begin ") and text.endswith(" end") and " ... " in text


def test_a_path_that_no_system_takes_is_bad_input_whoever_asks_first(capsys, tmp_path):
    with pytest.raises(SystemExit) as caught, errors.exits():
        (tmp_path / ("x" * 300)).is_dir()
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {tmp_path / ('x' * 300)}: File name too long\n"
    with pytest.raises(OSError, match="elsewhere"), errors.exits():
        raise OSError("elsewhere")


def test_the_nearest_known_name_is_meant_and_none_where_none_is_near():
    assert errors.did_you_mean("mpl", ["lightgbm", "mlp"]) == "; did you mean 'mlp'?"
    assert errors.did_you_mean("zzz", ["lightgbm", "mlp"]) == ""


def test_a_disk_that_takes_no_more_is_one_line(capsys):
    for code in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        with pytest.raises(SystemExit) as caught, errors.exits():
            raise OSError(code, "the disk says so", "a/b.txt")
        assert caught.value.code == 2
        said = capsys.readouterr().err
        assert (
            said == "error: a/b.txt: cannot be written (the disk says so); free some space or choose another folder\n"
        )
    with pytest.raises(OSError, match="another"), errors.exits():
        raise OSError(errno.EPERM, "another")


PROGRAM = """
import sys
from extract.runtime.errors import exits
with exits():
    with open(sys.argv[1], "w") as file:
        print("to stdout " * 2000)
        print("to stderr", file=sys.stderr)
        file.write(f"{file.fileno() > 2}")
"""


def test_closed_output_goes_nowhere_and_no_file_takes_its_place(tmp_path):
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        file = tmp_path / "written.txt"
        command = f"{shlex.join([sys.executable, '-c', PROGRAM, str(file)])} {closed}"
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0 and "Traceback" not in done.stderr, (closed, done.stderr)
        assert file.read_text() == "True", closed


def test_where_nobody_reads_any_more_it_ends_without_a_word(tmp_path):
    command = shlex.join([sys.executable, "-c", PROGRAM, str(tmp_path / "w.txt")])
    done = subprocess.run(["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"], capture_output=True, cwd=ROOT)
    assert (done.returncode, done.stderr) in ((1, b""), (1, b"to stderr\n"))
    done = subprocess.run(["bash", "-c", f"{command} > /dev/full"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "error: cannot write (No space left on device)" in done.stderr
