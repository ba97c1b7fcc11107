"""Templates of HTML, and style sheets and scripts to write into a page.

A page is one file that loads nothing. `base.html` is every page's frame, `timeline.js` the timeline that pages share.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent
JSON: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False, "separators": (",", ":")}


@cache
def environment(folder: Path) -> Environment:
    """Templates of a folder, and those of this one. Values are escaped, names that are not there are errors.

    `asset("report.css")` gives a file of either folder as it is; `tojson` is safe within a script.
    """
    loader = FileSystemLoader([folder, FOLDER])
    result = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    result.policies["json.dumps_kwargs"] = JSON
    result.globals["asset"] = lambda name: Markup(loader.get_source(result, name)[0])
    return result
