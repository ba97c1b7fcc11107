"""Tables as they stand: names with brackets whole, and not folded in a log."""

import pytest

from extract.runtime.console import WIDTH, console, number_table


@pytest.mark.parametrize(("columns", "width"), [(None, WIDTH), ("60", 60)])
def test_off_a_terminal_it_is_wide_unless_columns_says_otherwise(monkeypatch, capsys, columns, width):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    console().print("x " * 100)
    assert max(map(len, capsys.readouterr().out.splitlines())) in (width, width - 1)


def test_names_are_printed_as_they_stand(capsys):
    from rich.table import Table

    table = Table("run")
    table.add_row("runs/[red]a[/]/:smile:/blend")
    console().print(table)
    assert "runs/[red]a[/]/:smile:/blend" in capsys.readouterr().out


def test_numbers_end_in_one_column_and_the_leader_is_marked(capsys):
    console().print(number_table(("blend", "score"), [("a", "0.5"), ("longer", "10.25")], 1))
    above, below = (line for line in capsys.readouterr().out.splitlines() if "0.5" in line or "10.25" in line)
    assert above.index("0.5") + len("0.5") == below.index("10.25") + len("10.25")
    assert "longer  ◂ leads" in below and "leads" not in above
