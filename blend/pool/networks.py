"""networks.json of a blend: the networks that its heads read, for videos that come later."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from extract.config import Config
from extract.runtime import inputs
from extract.runtime.run_folder import fingerprint, write_json

FILE = "networks.json"
ARGUMENTS = "given"
"""What blend.run leaves of its config (blend.predict.features), and therein the arguments that gave it."""

CHECKSUM = "checksum"
"""Of the record itself: it is no result of the folder, since the same blend may be asked for by another config."""
SECTIONS = ("features", "networks", "audio")


def keep_networks(folder: Path, config: Config) -> None:
    """Leave a config's networks in a blend's folder, unless the same are there."""
    results = {name: config.model_dump(mode="json", include={name}).get(name) for name in SECTIONS}
    _distrust(results)
    results = _absolute({name: section for name, section in results.items() if section is not None})
    results |= {ARGUMENTS: list(config._given)}
    results |= {CHECKSUM: fingerprint(results)}
    with contextlib.suppress(OSError, ValueError):
        if inputs.parse_json((folder / FILE).read_text(encoding="utf-8")) == results:
            return
    write_json(folder / FILE, results)


def _absolute(value: Any) -> Any:
    """Paths of files that exist, wherever the next command is started."""
    if isinstance(value, dict):
        paths = ("path", "weights")
        return {
            key: str(Path(inner).absolute()) if key in paths and isinstance(inner, str) else _absolute(inner)
            for key, inner in value.items()
        }
    return value


def _distrust(sections: dict[str, Any]) -> None:
    """Leave out, in place, whether files of a network are trusted: a record may be anybody's, a config is one's own.

    What was trusted once lies in the cache as ONNX, and is found there.
    """
    networks = sections.get("networks")
    for section in networks.values() if isinstance(networks, dict) else ():
        if isinstance(section, dict):
            section.pop("trust_pickle", None)
