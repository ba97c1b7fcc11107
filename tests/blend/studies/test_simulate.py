"""The simulation's command line."""

import json
import subprocess
import sys

import pytest

from blend.studies import simulate
from blend.studies.simulation.population import CHECKING_SEED


def run(*arguments):
    command = [sys.executable, "-m", "blend.studies.simulate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_the_command_prints_writes_and_goes_on(tmp_path):
    """Two processes give what one gives, whatever was there before."""
    out = tmp_path / "out.jsonl"
    some = ["--task", "va", "--size", "fewest", "--kind", "people", "--trials", 12]
    done = run(*some, "--draws", 6, "--workers", 2, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"va"} and set(found["va"]) == {"fewest"} and set(found["va"]["fewest"]) == {"people"}
    assert found["va"]["fewest"]["people"]["draws"] == 6
    alone = tmp_path / "alone.jsonl"
    arguments = (["va"], ["fewest"], ["people"])
    simulate.main(*arguments, 2, CHECKING_SEED, 1, 12, alone)
    assert simulate.main(*arguments, 6, CHECKING_SEED, 1, 12, alone) == found
    assert sorted(alone.read_text().splitlines()) == sorted(out.read_text().splitlines())
    assert len(out.read_text().splitlines()) == 3
    assert simulate.read_finished_table(out) == found, "the table of the file alone"


def test_the_table_is_of_one_seed(tmp_path, capsys):
    out = tmp_path / "out.jsonl"
    arguments = (["va"], ["fewest"], ["people"])
    found = [simulate.main(*arguments, 2, seed, 1, 12, out) for seed in (0, 1)]
    assert simulate.read_finished_table(out) == found[1] != found[0]
    simulate.command(show=out, as_markdown=True)
    shown = capsys.readouterr().out
    assert shown.count("| va, 6 to 15 | people |") == 2 and "95 % held test" in shown


def test_bad_options_are_one_line(tmp_path, capsys):
    for option, value, known in (("task", "age", "au, expr, va"), ("size", "huge", "fewest"), ("kind", "odd", "heavy")):
        with pytest.raises(SystemExit) as ended:
            simulate.command(**{option: value}, out=tmp_path / "out.jsonl")
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: --{option} {value}: no such {option}; there are ") and known in error
    with pytest.raises(SystemExit):
        simulate.command(show=tmp_path / "none.jsonl")
    assert "none.jsonl: holds no results" in capsys.readouterr().err
