"""report.html in real headless Chromium: nothing fails, nothing is fetched, every chart is drawn, keys work, texts fit.

Skipped where there is no Chromium (Debian: apt-get install chromium) or no Playwright (pip install '.[test]').
"""

from __future__ import annotations

import json
import random
import re
import time

import numpy as np
import pytest
from PIL import Image
from support.sweeps import sweep

from blend.report import pointers
from blend.report.html import page, thumbnails
from blend.report.html import timeline as page_timeline
from extract.config import Corpus

TASKS = ["au", "expr", "va"]
SMALLEST = 9.5
"""Pixels of a letter's height that can be read."""

DRAWN = """() => [...document.querySelectorAll('svg.chart')].filter(svg => svg.checkVisibility()).map(svg => {
  const box = svg.getBoundingClientRect(), shapes = svg.querySelectorAll('path, use, text').length;
  return [box.width, box.height, shapes];
})"""
PIXELS = """() => {
  const canvas = document.getElementById('timeline-canvas'), copy = document.createElement('canvas');
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext('2d', { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  const data = context.getImageData(0, 0, copy.width, copy.height).data;
  const seen = new Set();
  let painted = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 0) painted++;
    if (data[i + 3] === 255) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
  }
  return { painted, colours: [...seen] };
}"""
TEXTS = """() => [...document.querySelectorAll('svg.chart')].filter(svg => svg.checkVisibility()).map(svg => ({
  name: svg.getAttribute('aria-label').slice(0, 40),
  box: svg.getBoundingClientRect().toJSON(),
  scale: svg.getBoundingClientRect().width / Number(svg.getAttribute('width')),
  texts: [...svg.querySelectorAll('text')].map(t => [t.textContent,
    t.getBoundingClientRect().toJSON(), parseFloat(getComputedStyle(t).fontSize) / 0.72]),
}))"""
FACE = """() => {
  const face = document.getElementById('timeline-face'), { width, height } = face;
  return face.getContext('2d').getImageData(0, 0, width, height).data.filter((x, i) => i % 4 === 3 && x).length;
}"""
READY = "document.getElementById('timeline-read').textContent.includes('frames')"
STICKING_OUT = """() => [...document.querySelectorAll('body *')].filter(e =>
  !e.closest('.wide, nav, #timeline-scroll, svg') && e.getBoundingClientRect().right > innerWidth + 0.5)
  .map(e => e.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the pages of the tasks are kept."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(params=sweep(TASKS, ["au"]))
def report(request, folder, make_report):
    """A report's file, with gaps and faces."""
    path = folder / f"{request.param}.html"
    if not path.exists():
        pool, outcome, table = make_report(request.param, videos=8, length=(120, 200))
        pool.present[pool.offsets[1] + 10 : pool.offsets[1] + 30] = False
        for video in pool.videos:
            (folder / "frames" / video).mkdir(parents=True, exist_ok=True)
            for frame in (1, 40, 80):
                picture = np.random.default_rng(frame).integers(0, 255, (16, 16, 3), np.uint8)
                Image.fromarray(picture).save(folder / "frames" / video / f"{frame:05d}.jpg")
        faces = thumbnails.make(pool, Corpus(name="some", frames=[folder / "frames"]))
        assert faces is not None
        path.write_text(page.render(table, page_timeline.make(pool, outcome), faces))
        path.with_suffix(".json").write_text(json.dumps(table))
    return path


@pytest.fixture
def opened(browser, report):
    """opened(width=, dark=) -> the page; what it complained of and asked for is checked at the end."""
    tabs, complaints, asked = [], [], []

    def open_(width=1400, dark=False):
        tab = browser.new_page(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(report.as_uri())
        until(tab, READY)
        tabs.append(tab)
        return tab

    yield open_
    for tab in tabs:
        tab.close()
    assert complaints == []
    assert asked == [report.as_uri()] * len(tabs), "nothing but the page itself is fetched"


def until(tab, condition, seconds=30.0):
    """Wait for it. (Playwright's own waiting evaluates text in the page, which the page forbids.)"""
    wait_for(lambda: tab.evaluate(condition), condition, seconds)


def wait_for(seen, what, seconds=30.0):
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def shown(tab):
    """(video, first frame, last frame, frames) of the timeline, as a screen reader hears it."""
    label = tab.get_attribute("#timeline-scroll", "aria-label")
    found = re.fullmatch(r"Timeline of (\S+), frames (\d+) to (\d+) of (\d+)", label)
    assert found, label
    return found[1], *map(int, found.groups()[1:])


def test_every_chart_is_drawn(opened, report):
    tab = opened()
    drawn = tab.evaluate(DRAWN)
    assert len(drawn) >= {"au": 30, "expr": 14, "va": 13}[report.stem]
    assert all(width > 100 and height > 30 and shapes > 3 for width, height, shapes in drawn)
    pixels = tab.evaluate(PIXELS)
    assert pixels["painted"] > 2000 and len(pixels["colours"]) > 20
    assert tab.locator("main > section").count() == 12


def test_the_timeline_is_scrolled_and_zoomed_by_keyboard(opened):
    tab = opened()
    video, first, last, frames = shown(tab)
    assert (first, last) == (1, frames)
    for _ in range(200):  # whoever has no mouse gets there
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.id") == "timeline-scroll":
            break
    assert tab.evaluate("document.activeElement.id") == "timeline-scroll"
    tab.keyboard.press("+")
    tab.keyboard.press("+")
    video, first, last, _ = shown(tab)
    assert last - first < frames / 2
    before = tab.evaluate(PIXELS)
    tab.keyboard.press("End")
    until(tab, f"document.getElementById('timeline-scroll').ariaLabel.includes(' to {frames} of')")
    wait_for(lambda: tab.evaluate(PIXELS) != before, "the timeline is drawn at its end")
    assert shown(tab)[1] > first
    at_end = shown(tab)[1]
    tab.keyboard.press("ArrowLeft")
    until(tab, f"!document.getElementById('timeline-scroll').ariaLabel.includes(' to {frames} of')")
    assert shown(tab)[1] < at_end
    tab.keyboard.press(".")
    told = tab.text_content("#timeline-read")
    assert f"{video}, frame" in told and "truth" in told
    assert re.search(r"decided \(score\): (none|\w+ \d\.\d\d)|blend -?\d\.\d\d", told)
    assert tab.evaluate(FACE) > 0, "the nearest face, larger"
    above, below = (tab.locator(name).bounding_box() for name in ("#timeline-read", "#timeline-canvas"))
    assert above["y"] + above["height"] <= below["y"] + 1 or above["y"] < 200, (
        "above, and in view while it is looked at"
    )
    tab.keyboard.press("0")
    assert shown(tab)[1:3] == (1, frames)


def test_another_video_and_another_head_are_chosen_by_keyboard(opened):
    tab = opened()
    video, *_ = shown(tab)
    tab.focus("#timeline-video")
    tab.keyboard.press("ArrowDown")
    until(tab, f"!document.getElementById('timeline-scroll').ariaLabel.includes('{video}')")
    second, *_ = shown(tab)
    tab.focus("#timeline-scroll")
    tab.keyboard.press("[")
    until(tab, f"document.getElementById('timeline-scroll').ariaLabel.includes('{video}')")
    without = tab.evaluate(PIXELS)
    tab.focus("#timeline-head")
    tab.keyboard.press("ArrowDown")
    wait_for(lambda: tab.evaluate(PIXELS)["painted"] > without["painted"], "what was left out is drawn again")
    tab.locator("#videos a").last.evaluate("link => link.closest('details').open = true")
    tab.locator("#videos a").last.focus()
    tab.keyboard.press("Enter")
    until(tab, f"!document.getElementById('timeline-scroll').ariaLabel.includes('{video}')")
    assert second != video and tab.evaluate("location.hash") == "#timeline"


COLUMN = """column => [...document.querySelector('#scores table').tBodies[0].rows]
  .map(row => row.cells[column].textContent.trim())"""


def test_tables_are_sorted_by_keyboard(opened):
    tab = opened()
    names = [text.strip() for text in tab.locator("#scores table").first.locator("thead th").all_text_contents()]
    column = names.index("tuned")
    button = tab.locator("#scores table").first.locator("thead th button").nth(column)
    before = tab.evaluate(COLUMN, column)
    for turn, order in ((1, "descending"), (2, "ascending")):
        button.focus()
        tab.keyboard.press("Enter")
        after = tab.evaluate(COLUMN, column)
        known = [float(text) for text in after if text and text != "undefined"]
        assert sorted(after) == sorted(before) and known == sorted(known, reverse=turn == 1)
        assert all(after[: len(known)]), "what has no number comes last"
        assert tab.locator("#scores table").first.locator("th[aria-sort]").get_attribute("aria-sort") == order
    tab.locator("#scores table").first.locator("thead th button").first.press("Enter")
    rows = tab.evaluate(COLUMN, 0)
    assert rows == sorted(rows, key=str.lower) and tab.locator("th[aria-sort]").count() == 1


TIPS = """() => [...document.querySelectorAll('svg.chart:has(> script)')].map((svg, chart) => [chart, svg])
  .filter(([, svg]) => svg.checkVisibility())
  .map(([chart, svg]) => [chart, JSON.parse(svg.querySelector('script').textContent)])"""
PLACED = """([chart, x, y]) => {
  const svg = document.querySelectorAll('svg.chart:has(> script)')[chart];
  svg.scrollIntoView({ block: 'center', behavior: 'instant' });
  const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
  return [box.left + x * scale, box.top + y * scale];
}"""


@pytest.mark.parametrize("width", [1200, 400])
def test_a_chart_says_the_number_under_the_mouse_and_it_is_the_reports(opened, report, page_reader, width):
    """Ten numbers, each of another chart where there are so many, in the words and the place that they have."""
    tab, table = opened(width), json.loads(report.with_suffix(".json").read_text())
    charts = [(chart, tips) for chart, tips in tab.evaluate(TIPS) if any(tip[4] for tip in tips)]
    assert len(charts) >= 8
    chance, seen = random.Random(0), set()
    for turn in range(10):
        chart, tips = charts[turn % len(charts)]
        tip = chance.choice([tip for tip in tips if tip[4] and tip[4] not in seen])
        tab.mouse.move(*tab.evaluate(PLACED, [chart, *tip[:2]]))
        box = tab.locator("#tip")
        key, number = box.get_attribute("data-place"), box.locator("b").inner_text()
        near = [other for other in tips if np.hypot(other[0] - tip[0], other[1] - tip[1]) < 1]
        assert key in {other[4] for other in near}, "what is under the mouse, or lies on it"
        assert page_reader.agrees(number, pointers.value(table, key))
        where = box.bounding_box()
        assert where["x"] >= 0 and where["x"] + where["width"] <= width
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        seen.add(key)
    assert len(seen) == 10
    tab.mouse.move(1, 1)
    assert not tab.locator("#tip").is_visible()


def test_a_chart_says_its_numbers_by_keyboard(opened, report, page_reader):
    tab, table = opened(), json.loads(report.with_suffix(".json").read_text())
    for _ in range(30):
        tab.keyboard.press("Tab")
        if tab.evaluate("document.activeElement.matches('svg.chart')"):
            break
    heard = []
    for key in ("ArrowRight", "ArrowRight", "End", "ArrowLeft", "Home"):
        tab.keyboard.press(key)
        box = tab.locator("#tip")
        heard.append(box.inner_text())
        assert box.get_attribute("role") == "status" and box.is_visible()
        number = pointers.value(table, box.get_attribute("data-place"))
        assert page_reader.agrees(box.locator("b").inner_text(), number)
    assert len(set(heard)) == 4 and heard[0] == heard[4], "the first is where Home leads"
    tab.keyboard.press("Escape")
    assert not tab.locator("#tip").is_visible()


def overlap(a, b):
    """How many pixels two boxes share across and up."""
    return min(
        min(a["right"], b["right"]) - max(a["left"], b["left"]), min(a["bottom"], b["bottom"]) - max(a["top"], b["top"])
    )


@pytest.mark.parametrize("width", [1400, 400])
def test_texts_are_whole_and_apart_at_every_width(opened, width):
    tab = opened(width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate(STICKING_OUT) == []
    for chart in tab.evaluate(TEXTS):
        for i, (text, box, size) in enumerate(chart["texts"]):
            assert size * chart["scale"] >= SMALLEST, (chart["name"], text, size)
            inside = chart["box"]
            assert box["left"] >= inside["left"] - 2 and box["right"] <= inside["right"] + 2, (chart["name"], text)
            assert box["top"] >= inside["top"] - 3 and box["bottom"] <= inside["bottom"] + 3, (chart["name"], text)
            for other, theirs, _ in chart["texts"][:i]:
                assert overlap(box, theirs) < 3, (chart["name"], text, other)


def test_it_follows_light_and_dark(opened):
    light, dark = opened(), opened(dark=True)
    paper = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('svg.chart text')).fill"
    assert light.evaluate(paper) != dark.evaluate(paper) and light.evaluate(ink) != dark.evaluate(ink)
    before = light.evaluate(PIXELS)
    assert before["colours"] != dark.evaluate(PIXELS)["colours"]
    light.emulate_media(color_scheme="dark")
    until(light, f"{paper} !== 'rgb(255, 255, 255)'")
    wait_for(lambda: light.evaluate(PIXELS)["colours"] != before["colours"], "the timeline is drawn again")
