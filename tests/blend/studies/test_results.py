"""Results that a killed study keeps."""

import json

import pytest

from blend.studies import results
from extract.runtime.errors import InputError

JOBS = [{"number": number} for number in range(5)]


def double(job):
    return {"twice": 2 * job["number"], "none": float("nan")}


def test_a_killed_study_goes_on(tmp_path):
    """Killed in the middle, and in the middle of a line: nothing is made twice, and nothing is missing."""
    path, made = tmp_path / "deep" / "out.jsonl", []

    def work(job):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(job["number"])
        return double(job)

    with pytest.raises(KeyboardInterrupt):
        list(results.complete(path, JOBS, work, "code", 1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])  # the third line lacks its end
    made.clear()
    found = sorted(results.complete(path, JOBS[::-1], work, "code", 1), key=lambda one: one[0]["number"])
    assert sorted(made) == [2, 3, 4]
    assert found == [(job, {"twice": 2 * job["number"], "none": None}) for job in JOBS]
    assert [json.loads(line)["job"]["number"] for line in path.read_text().splitlines()] == [0, 1, 4, 3, 2]
    assert list(results.complete(path, JOBS, work, "code", 1)) == found and sorted(made) == [2, 3, 4]


def test_lines_of_other_code_are_kept_and_not_counted(tmp_path, capsys):
    path = tmp_path / "out.jsonl"
    list(results.complete(path, JOBS[:3], double, "old", 1))
    list(results.complete(path, JOBS[:2], double, "new", 1))
    assert len(path.read_text().splitlines()) == 5
    assert len(results.read(path)) == 2 and len(results.read(path, "old")) == 3 and results.read(path, "none") == []
    assert "3 of 5 results are of other code: not counted" in capsys.readouterr().err
    assert results.read(tmp_path / "none.jsonl") == []


def test_what_is_no_result_is_one_line(tmp_path):
    path = tmp_path / "out.jsonl"
    results.append(path, JOBS[0], "code", 1.5)
    for text in ('{"job": 1}\n', "nonsense\n", "[]\n"):
        path.write_text(path.read_text().splitlines()[0] + "\n" + text)
        with pytest.raises(InputError, match=r"out\.jsonl: line 2 is .* expected a result"):
            results.read(path)


def test_the_code_that_counts_is_what_a_study_imports(tmp_path, monkeypatch):
    files = {
        "blend/a.py": "from blend import b",
        "blend/b.py": "def f():\n    import heads.c",
        "heads/c.py": "import heads.d",
        "heads/d.py": "",
        "blend/e.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(results, "ROOT", tmp_path)
    before = results.code_of("blend.a")
    for name, changes in (("blend/e.py", False), ("heads/d.py", False), ("heads/c.py", True), ("blend/b.py", True)):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text + "\n# changed")
        assert (results.code_of("blend.a") != before) is changes, name
        (tmp_path / name).write_text(text)


def test_what_is_not_defined_is_null_in_json():
    found = results.as_json_value({"va": [{"mean": float("nan"), "draws": 2}, (float("inf"), 0.5, "x", True)]})
    assert found == {"va": [{"mean": None, "draws": 2}, [None, 0.5, "x", True]]}
