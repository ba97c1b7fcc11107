import pytest

from extract.runtime import errors


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


def test_other_errors_are_bugs_and_keep_their_traceback():
    with pytest.raises(ZeroDivisionError), errors.exits():
        _ = 1 / 0


def test_a_failure_that_is_nobodys_input_is_one_line_and_exit_code_1(capsys):
    with pytest.raises(SystemExit) as caught, errors.exits():
        raise errors.Failed("too little memory")
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
