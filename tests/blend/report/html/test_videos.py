"""The worst videos come first, by name and in the timeline's list."""

import json
import re

from blend.report.html import timeline as page_timeline
from blend.report.html import videos as page_videos
from blend.report.html.thumbnails import Faces


def test_videos_are_listed_from_the_one_that_pulls_most(make_report):
    pool, outcome, table = make_report("expr", videos=8)
    influence = {row["video"]: row["influence"] for row in table["videos"]}
    ranked = sorted(influence, key=lambda name: (influence[name], name))
    html = page_videos.timeline(table, page_timeline.make(pool, outcome), None)
    options = re.findall(r'<option value="(\d+)">(video\d+)</option>', html)
    assert [name for _, name in options] == ranked
    assert all(pool.videos[int(v)] == name for v, name in options)
    listed = page_videos.videos(table, True)
    links = re.findall(r'<a href="#timeline" data-video="(\d+)">(video\d+)</a>', listed)
    assert all(pool.videos[int(v)] == name for v, name in links)
    assert [name for _, name in links][-8:] == ranked
    assert "data-video" not in page_videos.videos(table, False)


def test_what_the_script_reads_cannot_end_the_script(make_report):
    pool, outcome, table = make_report("va")
    made = page_timeline.make(pool, outcome)
    made.about["names"][0] = "</script><b>"
    faces = Faces(((1, 2), *((),) * 5), ("QUJD", *("",) * 5))
    html = page_videos.timeline(table, made, faces)
    about = re.search(r'id="timeline-about">(.*?)</script>', html)[1]
    assert json.loads(about)["names"][0] == "</script><b>" and "<b>" not in html
    assert json.loads(about)["faces"][0] == [1, 2] and html.count('id="faces-') == 1
    assert page_videos.timeline(table, None, None) == ""
