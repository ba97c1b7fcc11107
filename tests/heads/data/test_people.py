"""The table of people: every way in which it may be wrong is one line that says where, what, and what to do."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from extract import config
from extract.config import Corpus
from extract.runtime.errors import InputError
from heads import corpus_checks
from heads.abaw.tasks import TASKS
from heads.config import Config
from heads.data import people

GOOD = {"a": "Ann", "b_left": "Ben", "b_right": "Ann"}


def corpus(**given: Any) -> Corpus:
    return Corpus.model_validate({"name": "c"} | given)


def test_csv_and_parquet_are_read_alike(tmp_path: Path) -> None:
    rows = "a,x,Ann\n\nb_left,y,Ben\r\nb_right , z , Ann\na,x,Ann\n"
    for name, text in {
        "plain.csv": "video,note,person\n" + rows,
        "marked.CSV": "\ufeffvideo,note,person\n" + rows,
        "quoted.csv": '"video","note","person"\n' + rows.replace("Ben", '"Ben"'),
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert people.read_table(tmp_path / name) == GOOD, name
    table = pd.DataFrame({"person": ["Ann", "Ben", "Ann"], "more": [1, 2, 3], "video": [*GOOD]})
    table.to_parquet(tmp_path / "people.parquet")
    assert people.read_table(tmp_path / "people.parquet") == GOOD
    pd.DataFrame({"video": [12, 13], "person": [7, 7]}).to_parquet(tmp_path / "numbers.parquet")
    assert people.read_table(tmp_path / "numbers.parquet") == {"12": "7", "13": "7"}


WRONG = [
    (b"video,who\na,Ann\n", r"line 1 is 'video,who', no column 'person'; expected a header with video,person: name"),
    (b"video;person\na;Ann\n", r"line 1 is 'video;person', no column 'video'.*divided by ';', save it with commas"),
    (b"video,person,person\na,Ann,Ann\n", r"line 1 .*2 columns 'person'; expected"),
    (b"video,person\na,Ann\nb,\n", r"line 3: the person is empty; fill it in, or remove the line"),
    (b"video,person\n ,Ann\n", r"line 2: the video is empty"),
    (b"video,person\na,Ann\nb,Ben\na,Ben\n", r"line 4: video 'a' has person 'Ben', but 'Ann' in line 2; .*remove one"),
    (b"video,person\na,Ann\nb\n", r"line 3 has 1 values, expected 2 as the header has"),
    (b"video,person\na,Ann\nb,Jos\xe9\n", r"line 3: .*expected UTF-8: save it so"),
    ("video,person\na,Ann\n".encode("utf-16"), r"UTF-16, expected UTF-8: save it so"),
    (b"", r"line 1 is '', no column 'video'"),
    (b"video,person\n", r"holds no video; expected a row for each, with its person"),
    (b'video,person\n"a,Ann\n', r"line 2 has 1 values|unexpected end|line 2"),
]


def test_each_fault_of_a_csv_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    for data, said in WRONG:
        path.write_bytes(data)
        with pytest.raises(InputError, match=said) as error:
            people.read_table(path)
        assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_each_fault_of_a_parquet_file_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    for columns, said in (
        ({"video": ["a", "b"], "person": ["Ann", None]}, r"row 2: the person is empty; fill it in, or remove the row"),
        ({"video": ["a", "a"], "person": ["Ann", "Ben"]}, r"row 2: video 'a' has person 'Ben', but 'Ann' in row 1"),
        ({"clip": ["a"], "person": ["Ann"]}, r"no column 'video'; it has clip, person; name its columns so"),
    ):
        pd.DataFrame(columns).to_parquet(path)
        with pytest.raises(InputError, match=said):
            people.read_table(path)
    path.write_bytes(b"no Parquet")
    with pytest.raises(InputError, match=r"people\.parquet: no table that can be read"):
        people.read_table(path)


def test_what_is_no_table_says_what_to_correct(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("video,person\na,Ann\n")
    for name, said in (("none.csv", "no such table"), (".", "a folder"), ("people.txt", r"ends in '\.txt'")):
        with pytest.raises(InputError, match=said + r".*correct corpus\.people in the config"):
            people.read_table(tmp_path / name)


def test_people_are_those_of_the_videos_asked_for(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("video,person\na,Ann\nb,Ben\nelsewhere,Cyd\n")
    told = corpus(people=tmp_path / "people.csv")
    assert people.read(told, ["a", "c"]) == {"a": "Ann"}
    assert people.read(told, ["c"]) == {} and people.read(corpus(), ["a"]) is None


def test_a_pattern_finds_group_1_or_the_whole_match() -> None:
    videos = ["12-30-1920x1080", "12-24_left", "7", "clip"]
    for pattern, found in {
        r"^(\d+)": ["12", "12", "7"],
        r"^\d+": ["12", "12", "7"],
        r"(?:^|-)(\d\d)(?:_|-)": ["12", "12"],
        r"^(\d*)": ["12", "12", "7"],  # an empty name is nobody's
    }.items():
        known = people.read(corpus(people_pattern=pattern), videos)
        assert known == dict(zip([v for v in videos if v in (known or {})], found, strict=True)), pattern
        assert "clip" not in (known or {})
    with pytest.raises(InputError, match=r"people_pattern = '\(' is no regular expression: missing \).*as '\^"):
        people.read(corpus(people_pattern="("), videos)


def test_people_are_told_once(tmp_path: Path) -> None:
    both = corpus(people=tmp_path / "people.csv", people_pattern="x")
    with pytest.raises(InputError, match=r"corpus\.people and corpus\.people_pattern are both given; .*leave one out"):
        people.read(both, ["a"])


def test_videos_without_a_person_are_one_line_and_a_table_of_other_videos_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = corpus(people=tmp_path / "people.csv")
    people.check(told, {"a": "Ann"}, ["a"])
    people.check(corpus(), None, ["a"])
    people.check(corpus(people_pattern="a"), {"a": "a"}, ["a", "b"])
    assert not capsys.readouterr().err
    people.check(told, {"a": "Ann"}, ["c", "b", "a"])
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"warning: .*people\.csv: no person for the video 'b' \(2 of 3 annotated .* recording alone", line
    )
    for given in (told, corpus(people_pattern="z")):
        with pytest.raises(InputError, match=r"fits none of the corpus's 2 videos \(first: 'b'\); expected"):
            people.check(given, {}, ["b", "c"])


def test_the_path_is_relative_to_the_config(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('[corpus]\nname = "c"\npeople = "who.csv"\n[features]\nnetworks = ["n"]\n')
    assert config.load(config.Config, path).corpus.people == tmp_path / "who.csv"


def test_the_example_of_affwild2_is_a_config_when_its_comments_are_taken_away() -> None:
    text = (config.CONFIGS / "affwild2.toml").read_text(encoding="utf-8")
    lines = [re.sub(r"^# (?=people)", "", line) for line in text.splitlines()]
    assert any(line.startswith("people") for line in lines)
    told = Corpus.model_validate(tomllib.loads("\n".join(lines))["corpus"])
    assert told.people is not None and told.people_pattern is None


def test_a_person_in_two_parts_is_one_line_for_every_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = TASKS["expr"]
    for part, videos in (("train", "ab"), ("val", "cd")):
        (tmp_path / part).mkdir()
        for video in videos:
            (tmp_path / part / f"{video}.txt").write_text(f"{task.header}\n4\n4\n")
    (tmp_path / "list.txt").write_text(f"image_location,{task.header}\ne/00001.jpg,\n")
    paths = {"train": tmp_path / "train", "val": tmp_path / "val", "test": tmp_path / "list.txt"}
    raw = {"corpus": {"name": "c", "expr": paths, "people": tmp_path / "who.csv"}, "features": {"networks": ["n"]}}

    def said(table: str) -> list[str]:
        (tmp_path / "who.csv").write_text("video,person\n" + table)
        corpus_checks.read(Config.model_validate(raw), task)
        return capsys.readouterr().err.splitlines()

    assert said("a,1\nb,1\nc,2\nd,3\ne,4\n") == []
    (line,) = said("a,1\nb,2\nc,2\nd,3\n")
    assert re.search(
        r"val: the person '2' of 'c' is also in 'b' of .*train \(1 such people\): scores in val say too", line
    )
    lines = said("a,1\nb,2\nc,2\nd,1\ne,1\n")
    assert [re.search(r"scores in (\w+)", one)[1] for one in lines] == ["val", "test", "test"]  # type: ignore[index]
    assert "(2 such people)" in lines[0]
