"""Inline SVG: the size asked for, text as text, colours by name, names of its own, the same bytes."""

import re
import xml.etree.ElementTree as ET

import pytest

from blend.report.html import charts, sections

MARGINS = {"left": 34, "bottom": 32, "top": 20}


def line(axes):
    axes.plot([0, 1], [0.125, 0.987654], color=charts.SERIES[0], marker="s")
    axes.set_title("0.123456 <of> it")
    axes.annotate("0.987654", (0.5, 0.5))
    return []


def test_a_chart_is_well_formed_and_repeats_its_bytes():
    svg = charts.chart("one", 'says "this" & that', (300, 200), line, **MARGINS)
    root = ET.fromstring(svg)
    assert (root.get("width"), root.get("height")) == ("300", "200") and root.get("aria-label") == 'says "this" & that'
    texts = ["".join(node.itertext()) for node in root.iter("text")]
    assert "0.123456 <of> it" in texts and "0.987654" in texts, "text keeps all of its digits"
    assert not re.search(r"\d\.\d{3}", re.sub(r">[^<]*<", "><", svg)), "places have two"
    assert "font-family" not in svg and "font-size" in svg, "letters are the page's"
    assert "var(--s0)" in svg and charts.SERIES[0] not in svg
    assert svg == charts.chart("one", 'says "this" & that', (300, 200), line, **MARGINS)


def test_two_charts_share_no_name():
    svgs = [charts.chart(name, "", (200, 100), line, **MARGINS) for name in ("one", "two")]
    ids = [re.findall(r' id="([^"]*)"', svg) for svg in svgs]
    assert ids[0] and not set(ids[0]) & set(ids[1])
    svg = charts.chart("one", "", (200, 100), line, **MARGINS)
    assert set(re.findall(r'(?:href="|url\()#([^")]*)', svg)) == set(ids[0])


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, ".25"), (-0.5, "-.5"), (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-1.0, "-1"), (10.5, "10.5")]
)
def test_ticks_are_short(value, text):
    assert charts.short(value) == text


def test_signs_differ_in_shape_and_dash_not_in_colour_alone():
    macros = sections.ENVIRONMENT.get_template("macros.html").module
    signs = [re.sub(r"var\(--s\d\)", "", macros.key(i)) for i in range(len(charts.SERIES))]
    assert len(set(signs)) == len(charts.SERIES) == len(charts.MARKERS) == len(charts.DASHES)
    html = macros.keys([{"name": "<a>", "series": 0}])
    assert html.startswith('<ul class="legend"><li><svg') and "&lt;a&gt;" in html
