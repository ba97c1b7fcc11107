import errno
import fcntl
import json
import os
import select
import subprocess
import sys
from types import SimpleNamespace

import pytest

from extract.runtime import locks, run_folder
from extract.runtime.errors import InputError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    run_folder.write_text(target, "old")
    with pytest.raises(RuntimeError), run_folder.write_whole(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "no such file"), ("{", "not readable as JSON"), (b"\xff", "cannot be read as text"), ("[1]", "holds list")],
)
def test_a_file_that_holds_no_json_object_is_named_with_what_to_do(tmp_path, text, said):
    path = tmp_path / "a.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=rf"a\.json: {said}.*; give another$"):
        run_folder.read_json(path, "give another")
    run_folder.write_json(path, {"ä": [1, None]})
    assert run_folder.read_json(path, "") == {"ä": [1, None]}


def test_a_full_disk_is_the_users_to_mend_and_names_the_file(tmp_path):
    with (
        pytest.raises(InputError, match=r"x\.bin.*No space left.*free some space"),
        run_folder.write_whole(tmp_path / "x.bin"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_read_only_even_for_removing_is_one_clear_line(tmp_path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(run_folder.Path, "unlink", read_only)
    expected = pytest.raises(InputError, match=r"x\.bin: cannot be written \(Read-only file system\)")
    with expected, run_folder.write_whole(tmp_path / "x.bin"):
        read_only()


def test_a_work_folder_below_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        run_folder.begin(tmp_path / "file" / "work")


def test_leftovers_of_killed_processes_are_swept(tmp_path):
    for name in (
        ".a[1].json.77.part",
        ".a[1].json.9.part",
        ".a[1].json.8.part-journal",
        ".b.json.77.part",
        "a[1].json",
    ):
        (tmp_path / name).touch()
    run_folder.sweep(tmp_path / "a[1].json")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.json.77.part", "a[1].json"]


def test_a_lost_connection_is_no_disk_error(tmp_path):
    with pytest.raises(ConnectionError), run_folder.write_whole(tmp_path / "x.bin"):
        raise ConnectionResetError("peer")


def test_json_refuses_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        run_folder.write_json(tmp_path / "a.json", {"score": float("nan")})
    run_folder.write_json(tmp_path / "a.json", {"score": 0.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"score": 0.5}


def test_fingerprints_ignore_key_order_and_see_values():
    assert run_folder.fingerprint({"a": 1, "b": [2]}) == run_folder.fingerprint({"b": [2], "a": 1})
    assert run_folder.fingerprint({"a": 1}) != run_folder.fingerprint({"a": 2})


def test_done_is_written_last_and_counts_for_one_fingerprint(tmp_path):
    run_folder.begin(tmp_path)
    assert not run_folder.is_done(tmp_path, "m")
    run_folder.write_text(tmp_path / "result.txt", "42")
    run_folder.finish(tmp_path, "m", {"seed": 0}, ["result.txt"])
    assert run_folder.is_done(tmp_path, "m") and not run_folder.is_done(tmp_path, "other")
    assert (tmp_path / "DONE").stat().st_mtime_ns >= (tmp_path / "provenance.json").stat().st_mtime_ns
    run_folder.begin(tmp_path)
    assert not run_folder.is_done(tmp_path, "m")


@pytest.mark.parametrize("change", ["gone", "another"])
def test_a_folder_whose_result_is_gone_or_another_one_is_not_done(tmp_path, change):
    run_folder.begin(tmp_path)
    run_folder.write_text(tmp_path / "result.txt", "42")
    run_folder.finish(tmp_path, "m", {}, ["result.txt"])
    assert run_folder.is_done(tmp_path, "m")
    if change == "gone":
        (tmp_path / "result.txt").unlink()
    else:
        (tmp_path / "result.txt").write_text("43")
    assert not run_folder.is_done(tmp_path, "m")


def test_opening_a_folder_sweeps_what_killed_processes_left(tmp_path):
    for name in (".val.parquet.77.part", "kept.txt"):
        (tmp_path / name).touch()
    run_folder.begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


HOLD = """
import sys
from pathlib import Path
from extract.runtime import run_folder
with run_folder.hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_second_process_waits_for_a_held_folder_and_says_so(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "work")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first, subprocess.Popen(command, **pipes) as second:
        holder = select.select([first.stdout, second.stdout], [], [], 30)[0][0]
        held, waits = (first, second) if holder is first.stdout else (second, first)
        assert held.stdout.readline() == "held\n"
        assert "waiting for it" in waits.stderr.readline()
        held.communicate("go on\n")
        assert waits.stdout.readline() == "held\n"
        waits.communicate("go on\n")
    assert (first.returncode, second.returncode) == (0, 0)


def test_without_locks_of_the_kernels_a_folder_is_refused(tmp_path, monkeypatch):
    """A marker file in their place would hold for ever what was killed on another host."""

    def missing(*_):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", missing)
    refused = pytest.raises(InputError, match=r"cannot be written \(Function not implemented\); choose another folder")
    with refused, run_folder.hold_folder(tmp_path):
        pytest.fail("it was held")
    with refused:
        locks.Claims(tmp_path).take("a")


def test_a_log_is_not_written_through_a_link(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / "log.txt").symlink_to(tmp_path / "precious")
    for keep in (False, True):
        (tmp_path / "log.txt").unlink()
        (tmp_path / "log.txt").symlink_to(tmp_path / "precious")
        with run_folder.log_file(tmp_path / "log.txt", keep) as log:
            log.write(b"said")
        assert (tmp_path / "precious").read_bytes() == b"precious"
        assert not (tmp_path / "log.txt").is_symlink() and (tmp_path / "log.txt").read_bytes() == b"said"
    with run_folder.log_file(tmp_path / "log.txt", keep=True) as log:
        log.write(b" more")
    assert (tmp_path / "log.txt").read_bytes() == b"said more"
    (tmp_path / "log.txt").unlink()
    os.link(tmp_path / "other", tmp_path / "log.txt")
    with run_folder.log_file(tmp_path / "log.txt") as log:
        log.write(b"said")
    assert (tmp_path / "other").read_bytes() == b"precious"


def test_a_folder_may_be_held_again_by_who_holds_it_and_by_nobody_else(tmp_path):
    import threading

    moments = []

    def other():
        with run_folder.hold_folder(tmp_path):
            moments.append("other")

    with run_folder.hold_folder(tmp_path):
        thread = threading.Thread(target=other)
        with run_folder.hold_folder(tmp_path):
            thread.start()
            thread.join(0.3)
        moments.append("still held")
        thread.join(0.3)
        moments.append("let go")
    thread.join()
    assert moments == ["still held", "let go", "other"]


def test_damage_to_any_result_and_to_done_itself_is_found(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("a/one", "a/two", "beside"):
        (tmp_path / name).write_text(name * 9)
    run_folder.finish(tmp_path / "a", "mark", {"x": 1}, ["one", "two", "../beside"])
    assert run_folder.is_done(tmp_path / "a", "mark") and run_folder.damage(tmp_path / "a") is None
    for name in ("a/one", "a/two", "beside", "a/provenance.json", "a/DONE"):
        whole = (tmp_path / name).read_bytes()
        for bent in (b"", whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], None):
            (tmp_path / name).unlink() if bent is None else (tmp_path / name).write_bytes(bent)
            assert not run_folder.is_done(tmp_path / "a", "mark")
            assert run_folder.damage(tmp_path / "a").resolve() == tmp_path / name
            assert (run_folder.damage(tmp_path / "a", beside=False) is None) == (name == "beside")
            (tmp_path / name).write_bytes(whole)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (run_folder.file_hash, lambda path: run_folder.read_json(path, "give one")):
        with pytest.raises(InputError, match=r"pipe: a named pipe, expected a file"):
            read(tmp_path / "pipe")
    run_folder.write_text(tmp_path / "run" / "result.txt", "42")
    run_folder.finish(tmp_path / "run", "m", {}, ["result.txt"])
    for name in ("result.txt", run_folder.DONE_FILE):
        (tmp_path / "run" / name).unlink()
        os.mkfifo(tmp_path / "run" / name)
        assert not run_folder.is_done(tmp_path / "run", "m")
        assert run_folder.damage(tmp_path / "run") == tmp_path / "run" / name


def test_json_too_deep_in_itself_is_refused(tmp_path):
    for text in ("[" * 100_000, '{"a":' * 100_000):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=r"x\.json: not readable as JSON \(more than 50 tables and lists within"):
            run_folder.read_json(tmp_path / "x.json", "give one")


def test_a_folder_that_may_not_be_written_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder.os, "access", lambda path, mode: False)
    with run_folder.hold_folder(tmp_path), run_folder.hold_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_by_its_room_and_its_count_of_files(tmp_path, monkeypatch):
    run_folder.refuse_if_full(tmp_path)
    there = os.statvfs(tmp_path)
    facts = {name: getattr(there, name) for name in ("f_bavail", "f_frsize", "f_files", "f_favail")}
    for change in ({"f_bavail": 3}, {"f_files": 100, "f_favail": 0}):
        monkeypatch.setattr(run_folder.os, "statvfs", lambda _, change=change: SimpleNamespace(**facts | change))
        with pytest.raises(InputError, match="cannot be written"):
            run_folder.refuse_if_full(tmp_path)
