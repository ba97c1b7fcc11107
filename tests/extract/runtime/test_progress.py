import threading

import pytest

from extract.runtime import progress as module


@pytest.fixture
def now(monkeypatch):
    """The time in seconds, now[0], which passes only as a test lets it."""
    time = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


def test_off_a_terminal_lines_are_sparse_and_say_what_is_left(capsys, now):
    with module.progress("extract", total=100, unit="frames") as bar:
        for _ in range(40):
            now[0] += 1
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "extract: 16 of 100 frames, 1.0 frames/s, took 16 s, 84 s left",
        "extract: 32 of 100 frames, 1.0 frames/s, took 32 s, 68 s left",
    ]


def test_long_work_off_a_terminal_ends_with_what_it_took(capsys, now):
    with module.progress("render", total=2, unit="frames") as bar:
        now[0] += 10
        bar.advance()
        now[0] += 10
        bar.advance()
    with pytest.raises(ZeroDivisionError), module.progress("fails", total=2, unit="frames") as bar:
        now[0] += 10
        bar.advance()
        _ = 1 / 0
    assert capsys.readouterr().err.splitlines()[-1] == "render: 2 of 2 frames, took 20 s"


def test_what_comes_before_the_first_piece_is_no_part_of_the_estimate(capsys, now):
    """Kernels compile for half a minute before the first of 200 trials of an eighth of a second."""
    with module.progress("search", total=200, unit="trials") as bar:
        now[0] += 32
        bar.advance()
        for _ in range(160):
            now[0] += 0.125
            bar.advance()
    assert capsys.readouterr().err.splitlines() == [
        "search: 1 of 200 trials, took 32 s",
        "search: 122 of 200 trials, 8.0 trials/s, took 47 s, 10 s left",
    ]


def test_a_begin_that_is_told_is_no_piece(capsys, now):
    """A head says at once that it reads features, and then learns for a minute before its first percent."""
    with module.progress("heads", total=200, unit="heads", parts=100) as bar:
        bar.advance(0, "reads features")
        now[0] += 60
        bar.advance(1)
        for _ in range(40):
            now[0] += 0.5
            bar.advance(1)
    assert capsys.readouterr().err.splitlines()[-1] == "heads: 0 of 2 heads, 50 s a head, took 76 s, 84 s left"


def test_what_has_no_known_total_has_no_end(capsys, now):
    with module.progress("download", total=0, unit="bytes") as bar:
        for _ in range(20):
            now[0] += 1
            bar.advance(1000)
    assert capsys.readouterr().err == "download: 16,000 bytes, 1,000.0 bytes/s, took 16 s\n"


def test_a_pace_remembers_few_times_however_long_work_is(now):
    pace = module.Pace()
    for number in range(200_000):
        now[0] += 1 / 120
        pace.mark(number + 1)
    assert len(pace._marks) <= 2 * module.KEPT_MARKS
    assert pace.per_second() == pytest.approx(120, rel=0.01)


def test_the_estimate_follows_a_change_of_pace(capsys, now):
    with module.progress("extract", total=1000, unit="frames") as bar:
        for seconds in [0.1] * 300 + [1.0] * 60:
            now[0] += seconds
            bar.advance()
    last = capsys.readouterr().err.splitlines()[-1]
    left = int(last.split(", ")[-1].removesuffix(" min left"))
    assert left == 11, "644 frames at one a second"


def test_short_work_off_a_terminal_is_silent(capsys):
    with module.progress("extract", total=1) as bar:
        bar.advance()
    assert capsys.readouterr().err == ""
    assert bar.count == 1


def test_on_a_terminal_there_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with module.progress("extract", total=2) as bar:
        bar.advance(2, note="video a")
    said = capsys.readouterr().err
    assert "2 of 2" in said and "took 0 s" in said


def test_units_may_be_counted_in_parts(capsys, now):
    with module.progress("heads", total=400, unit="heads", parts=100) as bar:
        bar.advance(1)
        now[0] += 60
        bar.advance(150, note="mlp: epoch 2 of 4")
    assert capsys.readouterr().err == "heads: 1 of 4 heads, 40 s a head, took 60 s, 100 s left, mlp: epoch 2 of 4\n"


@pytest.mark.parametrize(
    ("per_second", "said"),
    [
        (0, "0.0 heads/s"),
        (1234.56, "1,234.6 heads/s"),
        (0.8, "1.2 s a head"),
        (1 / 95, "95 s a head"),
        (1 / 7200, "2.0 h a head"),
    ],
)
def test_slow_work_is_told_by_what_one_takes(per_second, said):
    assert module.speed(per_second, "heads") == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "0 s"), (119.4, "119 s"), (120, "2 min"), (11520, "3.2 h")])
def test_times_are_told_in_a_unit_that_people_read(seconds, said):
    assert module.duration(seconds) == said


def test_a_total_that_is_known_late_reaches_the_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with module.progress("render", total=0, unit="frames") as bar:
        bar.total = 50
        bar.advance(10)
    assert "10 of 50" in capsys.readouterr().err
    assert bar._bar.tasks[0].total == 50


def test_a_run_of_several_steps_says_which_one_it_is_at(capsys, now):
    with module.steps("blend au", ("extract", "heads", "blend")):
        for name, what in (("extract", "render"), ("unknown", "heads au"), ("blend", "cross-fit")):
            module.step(name)
            with module.progress(what, total=4, unit="parts") as bar:
                now[0] += 16
                bar.advance(2)
    module.step("heads")  # nobody has announced it: nothing happens
    with module.progress("alone", total=4, unit="parts") as bar:
        now[0] += 16
        bar.advance(2)
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "1/3 render",
        "2/3 heads au",
        "3/3 cross-fit",
        "alone",
    ]


def test_a_run_on_a_terminal_is_one_display_also_where_runs_are_nested_or_fail(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    with module.steps("all", ("one", "two")):
        module.step("two")
        with module.steps("part", ("a", "b", "c")):
            module.step("c")
            with module.progress("work [of] part", total=2) as bar:
                bar.advance(2)
        with pytest.raises(ZeroDivisionError), module.progress("bad", total=2):
            _ = 1 / 0
        for number in range(12):
            with module.progress(f"piece {number}", total=1) as last:
                last.advance()
        assert len(last._bar.tasks) <= module.MAX_FINISHED_BARS + 1, "finished bars do not fill the screen"
    said = capsys.readouterr().err
    assert "3/3 work [of] part" in said and "2/2 piece 11" in said


def test_while_it_pauses_no_thread_shows_it_and_nothing_is_drawn_twice(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")  # what a terminal is told, cursor and all
    with module.steps("blend", ["only"]):
        before = threading.active_count()
        with module.pause():
            assert threading.active_count() == before - 1
        assert threading.active_count() == before
        lines, said = 0, capsys.readouterr().err
        for part in said.replace("\r", "").split("\n"):
            lines += 1 - part.count("\x1b[1A")
        assert said.count("blend") >= 2 and lines <= 2, "drawn again in its place"
    with module.pause():
        assert module._open is None, "where no display is open it changes nothing"
