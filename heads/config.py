"""The [heads.<task>] sections of a run's config, and the head files of configs/heads/<task>/."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from extract import config as extract_config
from extract.config_file import at_home
from extract.features import store
from extract.learning.recipe import Recipe
from extract.runtime import file_names, inputs
from extract.runtime.errors import InputError, did_you_mean
from heads.abaw.tasks import SINGLE_TASKS
from heads.base.head import HeadSettings, family
from heads.data import feature_file
from heads.data.feature_file import TABLE
from heads.data.table import Source
from heads.search_space import first_leaf


class TaskHeads(BaseModel):
    """[heads.<task>]: which heads (`use`; None: the standard ones not `on_request`), and tables of settings by head."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: list[str] | None = None
    """Names of configs/heads/<task>/*.toml, or paths of head files of one's own (they end in .toml)."""

    @field_validator("use")
    @classmethod
    def _check_use(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not value:
            raise ValueError("name at least one head, or leave `use` out for all standard ones")
        return value

    @property
    def overrides(self) -> dict[str, Any]:
        """Head name -> settings that replace those of its file."""
        return dict(self.model_extra or {})


class HeadsSection(extract_config.Strict):
    """[heads]: a table per task."""

    au: TaskHeads = TaskHeads()
    expr: TaskHeads = TaskHeads()
    va: TaskHeads = TaskHeads()
    lsd: TaskHeads = TaskHeads()


class Config(extract_config.Config):
    """What heads reads of a config file."""

    passes: ClassVar[tuple[str, ...]] = ("blend",)

    heads: HeadsSection = HeadsSection()
    finetune: dict[str, Recipe] = Field(default={})
    """[finetune.<name>]: how the network of that name is fine-tuned (heads.finetune)."""


@dataclass(frozen=True)
class Spec:
    """One head to train: its name, settings, and the features it sees."""

    name: str
    settings: HeadSettings
    sources: tuple[Source, ...]


def standard(task: str) -> list[str]:
    """Names of the standard heads of a task, sorted."""
    return sorted(path.stem for path in (extract_config.CONFIGS / "heads" / task).glob("*.toml"))


BEST = "best.toml"
"""What heads.tune leaves of a search, in the search's folder."""


def name_head(entry: str) -> str:
    """The name of a head in `use`: itself, its file's name, or of a search's best config "<the search>-best"."""
    path = Path(entry)
    if path.name == BEST:  # every search's file is called so: its folder tells them apart
        return f"{Path(os.path.abspath(at_home(entry))).parent.name}-{path.stem}"
    return path.stem if entry.endswith(".toml") else entry


RESERVED_NAMES = ("equal", "greedy", "searched", "submitted")
"""Rows of the report that are no heads."""


def list_heads(config: Config, task: str, asked: Collection[str] = ()) -> list[tuple[str, HeadSettings]]:
    """Name and settings of each head that the config asks for, in its order; looks at no features.

    Where the config names none: all standard ones, of those `on_request` only what is `asked` for by name. Raises
    InputError for an unknown head, file or setting.
    """
    section: TaskHeads = getattr(config.heads, task)
    use = section.use if section.use is not None else _by_default(section, task, asked)
    names = [name_head(entry) for entry in use]
    for name in names:
        file_names.check("head", name, f"config: heads.{task}.use")
    known = {*names, *standard(task)}
    for name, override in section.overrides.items():
        where = config.place(f"heads.{task}.{name}")
        if name not in known:
            hint = did_you_mean(name, ("use", *known))
            raise InputError(
                f"{where}: unknown key 'heads.{task}.{name}'; known there: use, {', '.join(sorted(known))}{hint}"
            )
        if not isinstance(override, dict):
            raise InputError(
                f"{where}: key 'heads.{task}.{name}': found {override!r}, expected a table of settings, as "
                f"heads.{task}.{name}.networks"
            )
    return [(name, _read_head(config, entry, task, name)) for name, entry in zip(names, use, strict=True)]


def _read_head(config: Config, entry: str, task: str, name: str) -> HeadSettings:
    """Settings of a head that the config asks for; the config, or its `--set`, is to blame for what it says wrong."""
    section = f"heads.{task}.{name}"

    def place(loc: tuple[str, ...]) -> str:
        where = config.place(f"{section}.{'.'.join(loc)}")
        return where if where.startswith("--set") else f"{where}: {section}"

    return read_head(entry, task, getattr(config.heads, task).overrides.get(name, {}), place)


def list_possible_heads(config: Config, task: str, asked: Collection[str] = ()) -> dict[str, str]:
    """Names of the heads that the config asks for, if features allow -> their names without a network's."""
    results: dict[str, str] = {}
    for name, settings in list_heads(config, task, asked):
        full = [f"{name}-{network}" for network in config.features.networks] if settings.networks == "each" else [name]
        results |= dict.fromkeys(full, name)
    return results


def refuse_unknown(names: dict[str, str], task: str, asked: Collection[str] | None, option: str) -> None:
    """Raise InputError for a head that `option` asks for and that is none of `names` (as of `possible`)."""
    for name in asked or ():
        if name in names:
            continue
        near = difflib.get_close_matches(name, [*names, *names.values(), *standard(task)], 1)
        meant = near if set(near) & names.keys() else [item for item in names if names[item] in near] or near
        hint = f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""
        raise InputError(f"{option} {name}: no such head; there are {', '.join(names)}{hint}")


def plan(config: Config, task: str, work: Path, asked: Collection[str] = ()) -> list[Spec]:
    """The heads that the config asks for (see `list_heads`) and the extracted features allow, in order of the config.

    "each" skips a network that lacks an input, "all" leaves it out. Raises InputError as `list_heads`, for networks
    named that lack an input, and where no head is left.
    """
    heads = list_heads(config, task, asked)
    has = {network: kinds(work, network) for network in dict.fromkeys(config.features.networks)}
    specs: list[Spec] = []
    for name, settings in heads:
        usable = has
        if settings.family == "pretrained" and not isinstance(settings.networks, list):
            from heads.families import pretrained_head

            usable = pretrained_head.find_usable(has, task, work)
        for spec in plan_specs(name, settings, usable):
            file_names.check("head", spec.name, f"config: heads.{task}.use")
            if spec.name in RESERVED_NAMES:
                raise InputError(f"config: heads.{task}.use: no head may be called {spec.name!r}; rename its file")
            if all(source.optional for source in spec.sources):
                raise InputError(f"config: head {spec.name!r}: all of its networks are optional; one must not be")
            if spec.name in {other.name for other in specs}:
                raise InputError(f"config: two heads of heads.{task}.use are called {spec.name!r}; rename one file")
            specs.append(spec)
    if not specs:
        result = "; ".join(f"{network}: {', '.join(there)}" for network, there in has.items())
        raise InputError(
            f"heads.{task}: no head can be trained: none of {', '.join(name for name, _ in heads)} finds the inputs it "
            f"needs in the networks' features ({result})"
        )
    return specs


def _by_default(section: TaskHeads, task: str, asked: Collection[str]) -> list[str]:
    """The standard heads that run where the config names none; a name asked for may end in its network."""
    results = []
    for name in standard(task):
        override = section.overrides.get(name)
        raw = read_raw(name, task)[0] | (override if isinstance(override, dict) else {})
        if not raw.get("on_request", False) or any(item == name or item.startswith(f"{name}-") for item in asked):
            results.append(name)
    return results


def read_head(
    entry: str, task: str, override: dict[str, Any], place: Callable[[tuple[str, ...]], str] | None = None
) -> HeadSettings:
    """Settings of a head: its TOML file (a standard name, or a path ending in .toml) with `override` over it, of which
    `place` says where a key comes from.

    Raises InputError for a file that is missing or no TOML, for a family or key that does not exist, and for a search
    space, which only heads.tune takes.
    """
    raw, path = read_raw(entry, task)
    if "inputs" in override and "temporal" not in override:  # a network may lack what it was told not to use
        tables = raw.get("temporal", [])
        if isinstance(tables, list) and all(isinstance(table, dict) and "of" in table for table in tables):
            raw["temporal"] = [table | {"of": f"{str(table['of']).removesuffix('?')}?"} for table in tables]
    raw |= override
    if (key := first_leaf(raw)) is not None:
        raise InputError(
            f"{path}: key {key!r} is a search space; python -m heads.tune --task {task} --space {path} searches it, "
            f"and the best.toml it leaves can be used here"
        )
    settings = extract_config.check(
        family(str(raw["family"])).Settings,
        raw,
        lambda loc: place(loc) if place is not None and loc[:1] and loc[0] in override else str(path),
    )
    if SINGLE_TASKS[task].stills and (settings.temporal or family(settings.family).in_time):
        what = "temporal columns" if settings.temporal else f"family {settings.family!r}"
        raise InputError(
            f"{path}: {what}: pictures of task {task!r} are of no video and have no neighbours; leave it out"
        )
    return settings


def read_raw(entry: str, task: str) -> tuple[dict[str, Any], Path]:
    """A head's TOML as it stands, unchecked but for `family`, and its path. Raises InputError where there is none."""
    own = entry.endswith(".toml")
    path = at_home(entry) if own else extract_config.CONFIGS / "heads" / task / f"{entry}.toml"
    hint = "" if own else f"no standard head of task {task!r} is called {entry!r}; "
    there = standard(task)
    advice = f"{hint}the standard ones are {', '.join(there)}{did_you_mean(path.stem, there)}"
    raw = inputs.read_toml(path, "head file", advice)
    if "family" not in raw:
        raise InputError(f"{path}: key 'family' is missing")
    return raw, path


def plan_specs(name: str, settings: HeadSettings, has: dict[str, tuple[str, ...]]) -> list[Spec]:
    """The heads that one file makes, given the kinds of features that each network has."""
    usable = {network: source for network, there in has.items() if (source := _source(network, settings, there))}
    if settings.networks == "each":
        return [Spec(f"{name}-{network}", settings, (source,)) for network, source in usable.items()]
    if settings.networks == "all":
        return [Spec(name, settings, tuple(usable.values()))] if usable else []
    for network in settings.networks:
        if network not in has:
            raise InputError(f"head {name!r}: network {network!r} is not in features.networks: {', '.join(has)}")
        if network not in usable:
            raise InputError(
                f"head {name!r}: network {network!r} has {', '.join(has[network])}, but inputs asks for "
                f"{', '.join(settings.inputs)}" + "".join(f", temporal for {table.of}" for table in settings.temporal)
            )
    return [Spec(name, settings, tuple(usable[network] for network in settings.networks))]


def _source(network: str, settings: HeadSettings, there: tuple[str, ...]) -> Source | None:
    """A network's part of a head's columns, or None where it lacks a kind that is needed (or has no input).

    What temporal columns are of is needed as inputs are: a `?` behind it is for networks that may lack it.
    """
    asked = [*settings.inputs, *(table.of for table in settings.temporal)]
    kinds = tuple(kind.removesuffix("?") for kind in settings.inputs if kind.removesuffix("?") in there)
    if not kinds or not {kind for kind in asked if not kind.endswith("?")} <= set(there):
        return None
    if TABLE in kinds:
        kinds = tuple(kind for kind in kinds if kind != "embedding")
    beside = dict.fromkeys(table.kind for table in settings.temporal if table.kind in there)
    extra = tuple(kind for kind in beside if kind not in kinds)
    return Source(network, kinds, extra, network in settings.may_lack)


def kinds(work: Path, network: str) -> tuple[str, ...]:
    """The kinds of features that a network has in the store, TABLE among them where its embedding can be taken for
    one. Raises InputError where it has none.
    """
    for video in store.videos(work, network):
        path = store.path(work, network, video)
        if widths := feature_file.index(path)[1]:
            return (*widths, *([TABLE] if feature_file.is_table(path) else []))
    raise InputError(f"{work / 'features' / network}: no features in its files; run python -m extract.run again")
