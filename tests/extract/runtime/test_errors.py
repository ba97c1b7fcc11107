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
