"""Which code a head's results hang on: a change of any of it makes heads learn again."""

from __future__ import annotations

from pathlib import Path

from extract import rundir

APART = ("bench", "tune")
"""Files whose names begin so measure and search: they use heads, heads do not use them (but for the mark of a search
space, heads.tune_space.first_leaf, by which a config is refused).
"""


def code_mark() -> str:
    """Fingerprint of the files of this package that can change a head's result."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return rundir.fingerprint([rundir.file_hash(path) for path in files if not path.name.startswith(APART)])
