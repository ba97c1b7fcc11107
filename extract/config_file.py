"""A config's TOML text: read, joined with what it extends, overridden, its paths made absolute. Checks no key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from extract.runtime import inputs, limits
from extract.runtime.errors import InputError


def read(path: Path, extended_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The tables of a file and of those that it extends (`extended_by`: those that extend it), with absolute paths.
    Raises InputError as `inputs.read_toml`, and for files that extend each other.
    """
    raw = inputs.read_toml(
        path, "config file", "leave out --config for the demo; affect-heads init writes one for your data"
    )
    resolve(raw, path.resolve().parent)
    if (extends := raw.pop("extends", None)) is None:
        return raw
    if not isinstance(extends, str):
        raise InputError(f"{path}: key 'extends': {extends!r}; expected the path of one config file")
    base = path.resolve().parent / at_home(extends)
    if base.resolve() in (seen := (*extended_by, path.resolve())):
        raise InputError(f"{path}: key 'extends': {extends!r} extends this file; one of the two has to stand alone")
    return _over(read(base, seen), raw)


def _over(base: dict[str, Any], raw: dict[str, Any]) -> dict[str, Any]:
    """`raw`, with what only `base` has; tables are joined key by key."""
    both = {key: _over(base[key], raw[key]) for key in base.keys() & raw.keys()
            if isinstance(base[key], dict) and isinstance(raw[key], dict)}  # fmt: skip
    return base | raw | both


PATH_KEYS = {("audio", "path"), ("networks", "path"), ("features", "weights")}
PATH_KEYS |= {("corpus", key) for key in ("frames", "videos", "people", "train", "val", "test", "pictures")}
HEAD_FILES = ("heads", "use")
"""Names of standard heads, or paths of head files."""


def at_home(path: str) -> Path:
    """A path with `~` and `~user` for the home folder. Raises InputError where there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: there is no user {path.split('/')[0][1:]!r} here; write the whole path") from None


def resolve(raw: dict[str, Any], folder: Path) -> None:
    """Make the paths of a config absolute, in place: relative ones are relative to `folder`."""

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(inner) for inner in value]
        return str(folder / at_home(value)) if isinstance(value, str) else value

    def walk(table: Any, section: str) -> None:
        for key, value in table.items() if isinstance(table, dict) else ():
            if (section, key) in PATH_KEYS:
                table[key] = absolute(value)
            elif (section, key) == HEAD_FILES and isinstance(value, list):
                table[key] = [absolute(entry) if str(entry).endswith(".toml") else entry for entry in value]
            else:
                walk(value, section)

    for section, table in raw.items():
        walk(table, section)


def override(raw: dict[str, Any], text: str) -> None:
    """Apply one `key.path=value`; paths given here are relative to the current folder."""
    key, equals, value_text = text.partition("=")
    if not equals or not key.strip():
        raise InputError(f"--set {text!r}: expected key.path=value, as in blend.au.trials=50")
    try:
        value = inputs.parse_toml(f"value = {value_text}", "--set")["value"]
    except InputError:
        value = value_text.strip()
    *parents, last = key.strip().split(".")
    if len(parents) > limits.NESTING:
        raise InputError(f"--set {text!r}: a key of {len(parents) + 1} parts; expected key.path=value")
    table = raw
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise InputError(f"--set {text!r}: {parent!r} is not a section")
    alone: dict[str, Any] = {last: value}
    for parent in reversed(parents):
        alone = {parent: alone}
    resolve(alone, Path())  # for ~
    for parent in parents:
        alone = alone[parent]
    table[last] = alone[last]
