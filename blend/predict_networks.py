"""The networks a blend's heads read, for new videos: the same files and settings as when the heads learnt.

blend.run leaves `networks.json`, those sections of its config, beside params.json, so nobody has to name the config
again. Features of a new video must carry the mark of those that the heads learnt from.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from blend.predict_blends import FILE, GIVEN, Trained, again
from extract import config as configs
from extract import inputs, store, tabular
from extract.config import Config
from extract.errors import InputError
from extract.networks import NETWORKS
from extract.rundir import fingerprint, read_json, write_json

SECTIONS = ("features", "networks", "audio")
AUDIO = "audio"
CHECKSUM = "checksum"
"""Of the record itself: it is no result of the folder, since the same blend may be asked for by another config."""


def keep(folder: Path, config: Config) -> None:
    """Leave a config's networks in a blend's folder, unless the same are there."""
    found = {name: config.model_dump(mode="json", include={name}).get(name) for name in SECTIONS}
    _distrust(found)
    found = _absolute({name: section for name, section in found.items() if section is not None})
    found |= {GIVEN: list(config._given)}
    found |= {CHECKSUM: fingerprint(found)}
    with contextlib.suppress(OSError, ValueError):
        if inputs.parse_json((folder / FILE).read_text(encoding="utf-8")) == found:
            return
    write_json(folder / FILE, found)


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


def settings(trained: list[Trained], given: Path | None) -> dict[str, Any]:
    """The sections of a config that know every network of these blends: of the file `given`, else of what the blends
    have on record, else the project's own networks.

    Raises InputError for a network that is not known, and for an imported table, which no video can be run through.
    """
    sections: dict[str, Any] = {"features": {}, "networks": {}}
    if given is not None:
        config = configs.load(Config, given)
        sections = {name: config.model_dump(mode="json", include={name}).get(name) or {} for name in SECTIONS}
    else:
        for one in trained:
            for name, section in _on_record(one).items():
                sections[name] = {**sections.get(name, {}), **section}
    wanted = sorted({network for one in trained for network in one.networks})
    known = {*NETWORKS, *sections["networks"], *(sections.get(AUDIO) or {}), AUDIO}
    for one in trained:
        for network in one.networks:
            if network in known:
                continue
            if tabular.is_imported(one.work, network):
                raise InputError(
                    f"{one.folder}: its heads read the imported table {network!r}, which cannot be made of a video; "
                    f"blend heads of networks instead (features.networks)"
                )
            raise InputError(
                f"{one.folder}: its heads read the network {network!r}, which is not known here; give --config with "
                f"the run's TOML file, where [networks.{network}] stands"
            )
    sections["features"] = {**(sections["features"] or {}), "networks": wanted}
    return {name: section for name, section in sections.items() if section}


def _on_record(trained: Trained) -> dict[str, Any]:
    """What blend.run left of its config; nothing where an older one left nothing."""
    path = trained.folder / FILE
    if not path.exists():
        return {}
    found = read_json(path, f"run {again(trained)} again")
    if (said := found.pop(CHECKSUM, None)) is not None and said != fingerprint(found):
        raise InputError(f"{path}: not what blend.run left there; run {again(trained)} again, which makes it anew")
    _distrust(found)
    return {name: section for name, section in found.items() if name in SECTIONS and isinstance(section, dict)}


def check(trained: list[Trained], work: Path, video: str) -> None:
    """Raise InputError where a new video's features were made otherwise than those that the heads learnt from.

    Where the run's features are gone, nothing can be compared, and nothing is said.
    """
    for one in trained:
        for network in one.networks:
            new = store.about(store.path(work, network, video)) or {}
            there = (path for path in (one.work / "features" / network).glob("*.safetensors") if path.name[0] != ".")
            old = next((about for path in there if (about := store.about(path)) is not None), None)
            if old is None or old.get("mark") == new.get("mark"):
                continue
            differs = [key for key in old if key in new and key not in _OF_A_VIDEO and old[key] != new[key]]
            raise InputError(
                f"{one.folder}: its heads learnt from features of {network!r} that were made with other "
                f"{', '.join(differs) or 'settings'}; run {again(one)} again, or give --config with its TOML file"
            )


_OF_A_VIDEO = ("mark", "content", "arrays", "checksum", "video", "pictures", "unreadable", "engine", "versions")
