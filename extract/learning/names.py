"""What a network that learns may be called, the section with its recipe, and where those that have learnt are."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from extract import config as extract_config
from extract import config_file
from extract.config import Config, NetworkSettings
from extract.networks.registry import NETWORKS
from extract.runtime import file_names
from extract.runtime.errors import InputError, did_you_mean

S = TypeVar("S")
C = TypeVar("C", bound=Config)


def check(name: str, config: Config, work: Path, *taken: str) -> None:
    """Raise InputError for a name that a file or a new network cannot have; it is to be `<work>/networks/<name>`."""
    file_names.check("network", name, "--name")
    if name in NETWORKS or name in config.audio or name in ("audio", *taken):
        raise InputError(f"--name {name}: there is a network of that name; choose another for what is learnt")
    own = config.networks.get(name)
    if own is not None and own.path.resolve() != (work / "networks" / name / f"{name}.onnx").resolve():
        raise InputError(f"--name {name}: [networks.{name}] of the config is {own.path}; choose another name")


def find_section(config: Config, kind: str, sections: Mapping[str, S], name: str, default: S) -> S:
    """[<kind>.<name>], or the default. Raises InputError where only a section of nearly this name is there."""
    if name in sections or not sections:
        return sections.get(name, default)
    if hint := did_you_mean(name, sections):
        first = next(iter(sections))
        raise InputError(
            f"{config.place(f'{kind}.{first}')}: found {', '.join(f'[{kind}.{other}]' for other in sections)}, "
            f"expected [{kind}.{name}] for --name {name} (empty: the defaults){hint}"
        )
    print(f"no section [{kind}.{name}]: {name} learns with the defaults", file=sys.stderr)
    return default


def add_learnt_networks(config: C, work: Path, networks: Iterable[str] | None = None) -> C:
    """The config with those of `networks` (None: of features.networks) that it does not know and that have learnt in
    the same work folder. Raises InputError for a damaged section.
    """
    found = {}
    for name in config.features.networks if networks is None else networks:
        path = work / "networks" / name / f"{name}.toml"
        known = name in config.networks or name in NETWORKS or Path(name).name != name  # a path is none of ours
        if not known and path.is_file():
            section = config_file.read(path).get("networks")
            if not isinstance(section, dict) or not isinstance(section.get(name), dict):
                raise InputError(f"{path}: found no table [networks.{name}], which learning left there; learn it anew")
            found[name] = extract_config.check(NetworkSettings, section[name], path)
    return config.model_copy(update={"networks": {**config.networks, **found}}) if found else config
