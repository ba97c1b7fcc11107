"""Features + labels -> predictions: tasks, official formats and scores, and one head per family."""

import sys
from importlib.util import find_spec
from pathlib import Path

for _name in ("extract",):
    _found = getattr(find_spec(_name), "origin", None)
    if _found is not None and Path(_found).resolve().parents[1] != Path(__file__).resolve().parents[1]:
        print(
            f"error: {_found}: hides the package {_name!r} of the same name; rename it, or start the command "
            f"in another folder",
            file=sys.stderr,
        )
        raise SystemExit(2)
