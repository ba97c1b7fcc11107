"""The README's pictures, made anew from the finished demo: python .readme/make.py [work folder, default runs/demo]

Needs Chromium and `pip install -e '.[test]'`. First: python -m blend.run --task au (expr, va), and
python -m blend.predict runs/demo/corpus/cropped_aligned/demo-23 --blend runs/demo/blend/au ...expr ...va
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from blend.report import schema
from blend.report.html import page

HERE = Path(__file__).parent
WIDTH = 900


def report(source: Path) -> None:
    """The head of a report: what to expect, what to worry about."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as play:
        path = Path(name) / "report.html"
        path.write_text(page.render(schema.read(schema.Report, source)), encoding="utf-8")
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
        tab.goto(path.as_uri())
        low = tab.evaluate("document.querySelector('header').getBoundingClientRect().bottom")
        tab.screenshot(path=HERE / "report.png", clip={"x": 0, "y": 0, "width": WIDTH, "height": low}, full_page=True)
        browser.close()
    with Image.open(HERE / "report.png") as picture:
        few = picture.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    few.save(HERE / "report.png", optimize=True)


if __name__ == "__main__":
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
    report(work / "blend" / "au" / "report.json")
    if (drawn := Path("predicted/demo-23/annotated.png")).exists():
        shutil.copy(drawn, HERE / "annotated.png")
