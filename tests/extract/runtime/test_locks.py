import pytest

from extract.runtime.errors import InputError
from extract.runtime.locks import Claims, replace_folder


def listed(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".replacing")


def test_the_new_folder_takes_the_place_of_the_old_one_and_nothing_else_is_left(tmp_path):
    for content in ("old", "new"):
        with replace_folder(tmp_path / "a") as folder:
            (folder / content).touch()
            assert listed(tmp_path) == ([".a.part"] if content == "old" else [".a.part", "a"])
        assert listed(tmp_path) == ["a"] and listed(tmp_path / "a") == [content]


def test_what_was_there_stays_where_the_block_ends_badly(tmp_path):
    with replace_folder(tmp_path / "a") as folder:
        (folder / "old").touch()
    for error, raised in ((KeyboardInterrupt, KeyboardInterrupt), (OSError(28, "No space left"), InputError)):
        with pytest.raises(raised), replace_folder(tmp_path / "a") as folder:
            (folder / "new").touch()
            raise error
        assert listed(tmp_path) == ["a"] and listed(tmp_path / "a") == ["old"]


def test_what_a_killed_process_left_goes_and_a_running_one_is_not_disturbed(tmp_path):
    (tmp_path / ".a.part").mkdir()
    (tmp_path / ".a.part" / "half").touch()
    (tmp_path / ".a.b.part").mkdir()
    with replace_folder(tmp_path / "a") as folder:
        assert listed(folder) == []
        with pytest.raises(InputError, match="a: another process makes it"), replace_folder(tmp_path / "a"):
            pass
        assert folder.is_dir()
    assert listed(tmp_path) == [".a.b.part", "a"]
    assert Claims(tmp_path / ".replacing").take("a"), "it is free again"


def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"), replace_folder(tmp_path / "file" / "a"):
        pass


def test_what_was_there_is_put_back_after_a_kill_between_the_renamings(tmp_path):
    (tmp_path / ".a.old").mkdir()
    (tmp_path / ".a.old" / "good").touch()
    (tmp_path / ".a.part").mkdir()
    with pytest.raises(ValueError), replace_folder(tmp_path / "a"):
        raise ValueError("a bad table")
    assert listed(tmp_path) == ["a"] and listed(tmp_path / "a") == ["good"]
