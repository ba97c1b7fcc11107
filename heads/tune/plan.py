"""What `python -m heads.tune` is asked for, made out and checked before anything runs: head, space, network, start."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from extract import config as extract_config
from extract.runtime import inputs
from extract.runtime.errors import InputError, did_you_mean
from heads import config as heads_config
from heads import search_space
from heads.base.head import family
from heads.config import Config
from heads.tune.worker import list_sources

FIXED_KEYS = ("family", "networks", "folds", "bags", "refit_val")
"""Keys that make another head, or other files of it, not another setting."""


@dataclass(frozen=True)
class SearchPlan:
    """One search: the head's name and its TOML with leaves; `source` is the file to blame for the leaves."""

    name: str
    raw: dict[str, Any]
    base: dict[str, Any]
    """The same without the search space laid over it."""
    space: tuple[search_space.Leaf, ...]
    source: str
    network: str | None


def make(config: Config, task: str, head: str | None, space: Path | None, network: str | None) -> SearchPlan:
    """Lay the space over the head, and what the config says of the head over both: what is fixed there stays fixed.

    Raises InputError for a head, file or key that does not exist, a wrong leaf, and where nothing is searched.
    """
    if head is None and space is None:
        raise InputError(f"name a head (--head, one of {', '.join(heads_config.standard(task))}) or a file (--space)")
    entry, of_name = _entry(config, task, head or str(space))
    if network and of_name and network != of_name:
        raise InputError(f"--head {head} is of network {of_name!r}, --network says {network!r}")
    base, path = heads_config.read_raw(entry, task)
    name = heads_config.name_head(entry)
    own = getattr(config.heads, task).overrides.get(name, {})
    if not isinstance(own, dict):
        raise InputError(f"config: heads.{task}.{name}: expected a table of settings, found {own!r}")
    if space is None and search_space.first_leaf(base) is None:
        space = find_shipped_space(task, str(base["family"]))
    where = space or path
    raw = search_space.merge_settings(
        base, inputs.read_toml(space, "search space", "give one with --space FILE") if space is not None else {}
    )
    if raw["family"] != base["family"]:
        raise InputError(f"{where}: it searches family {raw['family']!r}, but the head {name!r} is {base['family']!r}")
    raw = search_space.merge_settings(raw, own)
    leaves = search_space.leaves(raw, where)
    if not leaves:
        raise InputError(f'{where}: nothing to search: no setting is ["tune", kind, low, high]')
    for leaf in leaves:
        if leaf.key.split(".")[0] in FIXED_KEYS:
            raise InputError(f"{where}: key {leaf.key!r} cannot be searched; make one search for each")
    return SearchPlan(name, raw, search_space.merge_settings(base, own), leaves, str(where), network or of_name)


def _entry(config: Config, task: str, head: str) -> tuple[str, str | None]:
    """A head's entry as `use` has it, and the network that its full name ends in (lightgbm-demo_enet)."""
    if head.endswith(".toml"):
        return head, None
    use = [*heads_config.standard(task), *(getattr(config.heads, task).use or [])]
    known = {heads_config.name_head(entry): entry for entry in use}
    if head in known:
        return known[head], None
    for network in config.features.networks:
        if head.endswith(f"-{network}") and (name := head.removesuffix(f"-{network}")) in known:
            return known[name], network
    raise InputError(f"--head {head}: no such head; there are {', '.join(known)}{did_you_mean(head, known)}")


def find_shipped_space(task: str, kind: str) -> Path:
    """The search space of a family that comes with the project. Raises InputError where there is none."""
    folder = extract_config.CONFIGS / "tune"
    for path in (folder / task / f"{kind}.toml", folder / f"{kind}.toml"):
        if path.exists():
            return path
    raise InputError(f"no search space comes with the project for family {kind!r}; give one with --space FILE")


def on_networks(plan: SearchPlan, has: dict[str, tuple[str, ...]]) -> tuple[str, dict[str, Any], dict[str, list[str]]]:
    """The full name of the head, its TOML on the networks that it is for, and the kinds that those have.

    Raises InputError where "each" leaves several to choose from, where the network asked for lacks an input, and for
    an edge of the space that no head of the family allows.
    """
    name, raw = plan.name, dict(plan.raw)
    kinds = {network: list(there) for network, there in has.items()}
    if raw.get("networks", "each") == "each":
        usable = [network for network in has if _fits(plan, network, has)]
        chosen = plan.network or (usable[0] if len(usable) == 1 else None)
        if chosen is None:
            raise InputError(
                f"head {name!r} is one for each network, and a search is for one of them: say which with --network, of "
                f"{', '.join(usable) or 'none: no network has its inputs'}"
            )
        if chosen not in has:
            raise InputError(f"--network {chosen}: not in features.networks: {', '.join(has)}")
        name, raw["networks"], kinds = f"{name}-{chosen}", [chosen], {chosen: kinds[chosen]}
    elif plan.network:
        raise InputError(f"--network {plan.network}: head {name!r} takes networks = {json.dumps(raw['networks'])}")
    _check_edges(plan, name, raw, kinds)
    return name, raw, kinds


def _fits(plan: SearchPlan, network: str, has: dict[str, tuple[str, ...]]) -> bool:
    """Whether a network has what the head needs, at the first edge of the space."""
    first = {leaf.key: leaf.param(leaf.edges[0]) for leaf in plan.space}
    raw = search_space.fill(plan.raw, plan.space, first) | {"networks": "each"}
    settings = extract_config.check(family(str(raw["family"])).Settings, raw, plan.source)
    return bool(heads_config.plan_specs(plan.name, settings, {network: has[network]}))


def _check_edges(plan: SearchPlan, name: str, raw: dict[str, Any], kinds: dict[str, list[str]]) -> None:
    """Try each edge of the space once: a search must not find out after hours that a bound is not allowed."""
    first = {leaf.key: leaf.param(leaf.edges[0]) for leaf in plan.space}
    for leaf in plan.space:
        for edge in leaf.edges:
            config = search_space.fill(raw, plan.space, first | {leaf.key: leaf.param(edge)})
            where = f"{plan.source}: with {leaf.key} = {json.dumps(edge, default=str)}"
            settings = extract_config.check(family(str(config["family"])).Settings, config, where)
            list_sources(name, settings, kinds)


def start(plan: SearchPlan) -> dict[str, Any] | None:
    """The head as it stands, as parameters of the first trial; None where a setting of its is outside the space."""
    plain = {key: value for key, value in plan.base.items() if search_space.first_leaf({key: value}) is None}
    try:
        settings: Any = family(str(plain["family"])).Settings.model_validate(plain).model_dump(mode="json")
    except ValidationError:
        return None  # a key without a default is searched
    params = {}
    for leaf in plan.space:
        value = settings
        for part in leaf.key.split("."):
            try:
                value = value[int(part)] if isinstance(value, list) else value[part]
            except (IndexError, KeyError, TypeError, ValueError):
                return None
        params[leaf.key] = leaf.param(value)
    return None if any(param is None for param in params.values()) else params
