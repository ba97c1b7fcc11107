"""timeline.html: what it carries equals the table; in real headless Chromium it draws, moves and fetches nothing."""

import base64
import json
import re
from fractions import Fraction
from html import unescape

import numpy as np
import pandas as pd
import pytest

from blend.decision.params import Params
from blend.predict import table as prediction_table
from blend.predict import timeline as prediction_timeline
from blend.predict import video_writer
from blend.predict.source import Timing
from blend.predict.table import score_name
from heads.abaw.tasks import AU, EXPR, VA

FRAMES = 300


@pytest.fixture(scope="module", params=[("single",), ("left", "right")], ids=["one face", "two faces"])
def table(request):
    """Made-up predictions with a gap; a right face is never there."""
    rng = np.random.default_rng(0)
    parts = []
    for face in request.param:
        seen = (np.arange(FRAMES) // 50 != 2) & (face != "right")
        numbers = {"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}
        some = pd.DataFrame({"frame": np.arange(1, FRAMES + 1), "time": np.arange(FRAMES) / 25, "face": face} | numbers)
        some["expression"] = pd.array(np.array(EXPR, object)[rng.integers(0, 8, FRAMES)], dtype="string")
        for name in EXPR:
            some[name] = rng.random(FRAMES)
        for name in AU:
            some[name] = pd.array(rng.integers(0, 2, FRAMES), dtype="Int8")
            some[score_name(name)] = rng.random(FRAMES)
        for name in VA:
            some[name] = rng.uniform(-1, 1, FRAMES)
        some.loc[~seen, some.columns[3:]] = None
        parts.append(some)
    return pd.concat(parts, ignore_index=True).sort_values("frame", kind="stable", ignore_index=True)


def said(table, name="a <clip> & more"):
    facts = {"video": name, "frames": FRAMES, "rate": 25.0, "seconds": FRAMES / 25, "broken": "", "files": {}}
    return facts | {"faces": prediction_table.summary(table)}


def params():
    cut = tuple(np.linspace(0.2, 0.8, 12))
    return [Params("au", AU, ("a",), (1.0,), thresholds=cut), Params("va", VA, ("a",), (1.0,))]


def carried(page):
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    return data, lambda text: np.frombuffer(base64.b64decode(text), np.uint8)


def test_the_page_carries_the_table_to_a_step_of_255(table):
    page = prediction_timeline.render(table, said(table), params())
    data, of = carried(page)
    assert data["rate"] == 25 and data["times"] is None and data["thresholds"][3] == pytest.approx(0.2 + 0.6 * 3 / 11)
    for face, (name, some) in zip(data["faces"], table.groupby("face", sort=False), strict=True):
        there = some["x"].notna().to_numpy()
        spans = np.zeros(FRAMES, bool)
        for a, b in face["seen"]:
            spans[a:b] = True
        assert (spans == there).all() and face["name"] == name
        known = some[there]
        units = of(face["units"]).reshape(-1, 12)[there] / 255
        np.testing.assert_allclose(units, known[[score_name(unit) for unit in AU]], atol=0.5 / 255 + 1e-9)
        bits = np.unpackbits(of(face["active"]).reshape(-1, 2), axis=1, bitorder="little")[there, :12]
        assert (bits == known[list(AU)].to_numpy(int)).all()
        affect = of(face["affect"]).view("<i2").reshape(-1, 2)[there] / prediction_timeline.FINE
        np.testing.assert_allclose(affect, known[list(VA)], atol=0.5 / prediction_timeline.FINE + 1e-9)
        expressions = of(face["expression"])
        assert [EXPR[i] for i in expressions[there]] == known["expression"].tolist()
        assert (expressions[~there] == prediction_timeline.NO_FACE).all()
    assert "a &lt;clip&gt; &amp; more" in page and "http" not in page


def test_whatever_a_video_is_called_is_text(table):
    name = "\" onload='x'></script><b>{{ 7 * 7 }}"
    facts = said(table, name) | {"broken": name, "files": {"video": name}}
    table = table[table["face"] == table["face"][0]].assign(face=name)
    html = prediction_timeline.render(table, facts | {"faces": prediction_table.summary(table)}, params())
    assert "<b>" not in html and "onload='" not in html and html.count("</script>") == html.count("<script") == 2
    assert json.loads(re.search(r'id="data">(.*?)</script>', html)[1])["faces"][0]["name"] == name
    assert unescape(re.search(r'<video src="([^"]*)"', html)[1]) == name
    assert unescape(re.search(r'aria-label="timeline of the ([^"]*) face:', html)[1]) == name
    assert unescape(re.search(r"<h1>(.*?)</h1>", html)[1]) == name


def test_units_are_explained_where_there_are_any(table):
    only = table.drop(columns=[*AU, *map(score_name, AU), "expression", *EXPR])
    assert "Of a unit" in prediction_timeline.render(table, said(table), params())
    assert "Of a unit" not in prediction_timeline.render(only, said(only), params())


def test_the_table_has_what_is_seen_and_leaves_out_what_never_is(table):
    some = table.copy()
    some["expression"] = some["expression"].replace("Fear", "Anger")
    some["AU4"] = some["AU4"] * 0
    facts = said(some)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>', prediction_timeline.render(some, facts, params()))
    assert rows == ["frames with a face", *(name for name in (*EXPR, *AU) if name not in ("Fear", "AU4")), *VA]


def test_uneven_times_are_carried_one_by_one(table):
    uneven = table.assign(time=table["time"] ** 1.1)
    data, of = carried(prediction_timeline.render(uneven, said(table), params()))
    times = of(data["times"]).view("<f4")
    np.testing.assert_allclose(times, uneven["time"].unique(), rtol=1e-5)


def test_a_long_video_stays_small(table):
    long = pd.concat([table[table["face"] != "right"]] * 100, ignore_index=True)
    long["time"] = np.arange(len(long)) / 25
    page = prediction_timeline.render(long, said(table) | {"frames": len(long)}, params())
    assert len(page) < 40 * len(long)


COLOURS = """canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
  for (let i = 0; i < data.length; i += 4)
    if (data[i + 3] === 255) seen.add(`${data[i]},${data[i + 1]},${data[i + 2]}`);
  return seen.size;
}"""


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_in_chromium_it_is_drawn_and_moved_by_keyboard_without_an_error_or_a_request(
    browser, table, tmp_path, width, scheme
):
    path = tmp_path / "timeline.html"
    path.write_text(prediction_timeline.render(table, said(table), params()), encoding="utf-8")
    tab = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    problems, asked = [], []
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.as_uri())
    output = tab.locator("output").first
    tab.wait_for_function("document.querySelector('output').textContent.includes('frame 1 of 300')")
    first = table[table["face"] == table["face"][0]].reset_index()
    assert first["expression"][0] in output.text_content()
    for canvas in tab.locator("canvas").all():
        assert canvas.evaluate(COLOURS) > 5
    tab.locator("canvas").first.focus()
    for keys, row in ((("ArrowRight",), 1), (("Shift+ArrowRight",), 26), (("End",), 299), (("+", "+", "PageUp"), 224)):
        for key in keys:
            tab.keyboard.press(key)
        tab.wait_for_function(f"document.querySelector('output').textContent.includes('frame {row + 1} of')")
        line = first.iloc[row]
        active = " ".join(unit for unit in AU if line[unit] == 1)
        assert line["expression"] in output.text_content() and active in output.text_content()
        affect = ", ".join(f"{name} {line[name]:+.2f}".replace("-", "\u2212") for name in VA)
        assert affect in output.text_content()
    tab.keyboard.press("0")
    tab.locator("#at").fill("120")
    tab.wait_for_function("document.querySelector('output').textContent.includes('no face')")
    overflow = tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    tab.close()
    assert problems == [] and overflow <= 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == [] and len(asked) <= 2


def film(path):
    """A clip of 60 frames, 30 a second."""
    pictures = (np.full((48, 64, 3), 4 * k, np.uint8) for k in range(60))
    video_writer.write(path, pictures, (64, 48), Timing(Fraction(30), np.arange(60) / 30))


def test_in_chromium_the_timeline_follows_the_video_and_the_video_the_timeline(browser, table, tmp_path):
    """Sought while it stands still, played to its last frame, and moved from the timeline."""
    some = table[table["frame"] <= 60].assign(time=lambda rows: (rows["frame"] - 1) / 30)
    facts = said(table) | {"frames": 60, "rate": 30.0, "seconds": 2.0, "files": {"video": "film.mp4"}}
    (tmp_path / "timeline.html").write_text(prediction_timeline.render(some, facts, params()), encoding="utf-8")
    film(tmp_path / "film.mp4")
    tab = browser.new_page()
    tab.goto((tmp_path / "timeline.html").as_uri())
    tab.wait_for_function("!document.querySelector('video') || document.querySelector('video').readyState > 1")
    if not tab.locator("video").count():
        tab.close()
        pytest.skip("this Chromium plays no H.264")
    for row in (17, 59, 0, 31):
        tab.evaluate("time => { document.querySelector('video').currentTime = time; }", row / 30 + 0.001)
        tab.wait_for_function(f"document.getElementById('at').value === '{row}'")
        assert f"frame {row + 1} of 60" in tab.locator("output").first.text_content()
    tab.locator("canvas").first.focus()
    for key, row in (("End", 59), ("Home", 0)):
        tab.keyboard.press(key)
        there = f"Math.floor(document.querySelector('video').currentTime * 30) === {row}"
        tab.wait_for_function(f"!document.querySelector('video').seeking && {there}")
        assert tab.locator("#at").input_value() == str(row)
    tab.keyboard.press(" ")
    tab.wait_for_function("document.querySelector('video').ended")
    tab.wait_for_function("document.getElementById('at').value === '59'")
    tab.close()
