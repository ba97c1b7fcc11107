"""What `python -m extract.run --list-networks` prints: every fact of every network that the config may name."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.table import Table

from extract.audio import logmel
from extract.config import Config
from extract.networks import registry
from extract.networks.registry import Network
from extract.runtime.console import WIDTH, console


def print_networks(config: Config) -> None:
    """Print the project's networks and the config's own: a table, in WIDTH columns at least, then each file's source.
    Raises InputError for a section [networks.*] that contradicts itself.
    """
    rows = [*registry.NETWORKS.values(), *(registry.find(name, config) for name in config.networks)]
    table = Table("name", "size", "colour", "mean", "std", "outputs", "classes, in order")
    for column in table.columns[:-2]:
        column.no_wrap = True
    for network in rows:
        table.add_row(*facts(network))
    wide = console()
    wide.width = max(wide.width, WIDTH)
    wide.print(table)
    for network in rows:
        print("\n  ".join((network.name, *source(network))))
    print(f"audio\n  log-mels of the sound, embedding {logmel.WIDTH}; needs corpus.videos and no file")
    for name, own in config.audio.items():
        outputs = ", ".join(kind for kind in ("embedding", "logits", "va") if getattr(own, kind))
        print(f"{name}\n  {own.path}\n  hears {own.takes}: {outputs}")


def print_json(config: Config) -> None:
    """Print the same as JSON: a list of networks, each with its facts."""
    rows = [*registry.NETWORKS.values(), *(registry.find(name, config) for name in config.networks)]
    print(json.dumps([asdict(row) | {"outputs": row.kinds} for row in rows], indent=2, default=str))


def facts(network: Network) -> tuple[str, ...]:
    """Name, size in pixels, colour, mean, std, outputs with their dimensions, classes in order."""
    dims = {"embedding": network.dim, "logits": len(network.classes) if network.classes else None, "va": 2}
    outputs = ", ".join(f"{kind} {dims[kind] or ''}".strip() for kind in network.kinds)
    mean, std = (" ".join(map(str, values)) for values in (network.mean, network.std))
    return network.name, str(network.size), network.colour, mean, std, outputs, " ".join(network.classes or ())


def source(network: Network) -> tuple[str, ...]:
    """Lines: the file's path or address, and what its content must hash to."""
    hashes = {
        "git blob hash": network.blob,
        "SHA-256": network.sha256,
        f"git blob hash of {network.name}.pt": network.checkpoint_blob,
    }
    where = str(network.path or network.url or network.file)
    return where, *(f"{kind} {value}" for kind, value in hashes.items() if value)
