"""The makers of small corpora and networks that stand in conftest files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

TESTS = Path(__file__).parents[1]


def conftest_of(package: str) -> ModuleType:
    """The module of a folder's fixtures, loaded once."""
    name = f"conftest_of_{package}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / package / "conftest.py")
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
