"""A report is what the types say, in memory and on disk, and a file that is not is refused in one line."""

import re

import pytest

from blend.report import schema
from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_json


@pytest.mark.parametrize("name", ["au", "expr", "va"])
def test_reports_have_the_keys_of_their_types_and_are_read_as_they_are(make_report, name, tmp_path):
    for videos in (1, 6):
        table = make_report(name, videos=videos)[2]
        write_json(tmp_path / "report.json", table)
        read = schema.read(schema.Report, tmp_path / "report.json")
        assert read == table and list(read) == list(table)
        assert schema.Report.__required_keys__ <= set(table) <= set(schema.Report.__annotations__)


def test_a_file_that_is_no_report_is_refused_with_its_first_wrong_key(make_report, tmp_path):
    table = make_report("va")[2]
    for change, said in (
        ({"seed": "one"}, "key 'seed': Input should be a valid integer; found 'one'"),
        ({"seed": True}, "key 'seed': Input should be a valid integer; found True"),
        ({"frames": table["frames"] | {"people": None}}, "key 'frames.people': Input should be a valid integer; found"),
        ({"videos": [{"video": "a"}]}, "key 'videos.0.frames' is missing"),
        ({"interval": [0.5]}, "key 'interval': List should have at least 2 items"),
    ):
        write_json(tmp_path / "report.json", table | change)
        with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'report.json'}: {said}")):
            schema.read(schema.Report, tmp_path / "report.json")
