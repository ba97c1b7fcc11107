from extract import progress as module


def test_off_a_terminal_lines_are_sparse_and_say_what_is_left(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with module.progress("extract", total=100, unit="frames") as bar:
        for _ in range(40):
            now[0] += 1
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "extract: 16 of 100 frames, 1.0 frames/s, 84 s left",
        "extract: 32 of 100 frames, 1.0 frames/s, 68 s left",
    ]


def test_short_work_off_a_terminal_is_silent(capsys):
    with module.progress("extract", total=1) as bar:
        bar.advance()
    assert capsys.readouterr().err == ""
    assert bar.done == 1


def test_on_a_terminal_there_is_a_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with module.progress("extract", total=2) as bar:
        bar.advance(2, note="video a")
    assert "2 of 2" in capsys.readouterr().err


def test_units_may_be_counted_in_parts(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with module.progress("heads", total=400, unit="heads", parts=100) as bar:
        now[0] += 20
        bar.advance(50, note="mlp: epoch 2 of 4")
    assert capsys.readouterr().err == "heads: 0.5 of 4 heads, 0.0 heads/s, 140 s left, mlp: epoch 2 of 4\n"


def test_a_total_that_is_known_late_reaches_the_bar(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with module.progress("render", total=0, unit="frames") as bar:
        bar.total = 50
        bar.advance(10)
    assert "10 of 50" in capsys.readouterr().err
    assert bar._bar.tasks[0].total == 50
