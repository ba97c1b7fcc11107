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
        "extract: 16 of 100 frames, 1 frames/s, 84 s left",
        "extract: 32 of 100 frames, 1 frames/s, 68 s left",
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
    assert "2/2" in capsys.readouterr().err
