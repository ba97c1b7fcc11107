"""Network files: found, downloaded, always verified, never half-written.

Looked for in this order: the path given in the config (or shipped), the cache folder, the network's URL.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from extract.networks.registry import NETWORKS, Network
from extract.runtime.errors import InputError
from extract.runtime.progress import progress
from extract.runtime.run_folder import file_hash, write_whole

CACHE_VARIABLE = "AFFECT_HEADS_CACHE"
CHUNK = 1 << 20
TIMEOUT = 30.0
"""Seconds without an answer before a download is given up."""


def cache() -> Path:
    """The folder for downloaded networks: $AFFECT_HEADS_CACHE, else ~/.cache/affect-heads."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "affect-heads")


def blob_hash(path: Path) -> str:
    """Git's hash of a file: SHA-1 (hex) of `blob <size>\\0<content>`, what `git hash-object` prints."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: digest).hexdigest()


def verify(path: Path, network: Network) -> None:
    """Raise InputError unless the file has the hash that the network's row (or the config) states."""
    for kind, expected, result in (("git blob", network.blob, blob_hash), ("SHA-256", network.sha256, file_hash)):
        if expected and (actual := result(path)) != expected:
            raise InputError(
                f"{path}: {kind} hash is {actual}, expected {expected} for network {network.name!r}; the file is "
                f"damaged or another one: replace it, or delete it to have it fetched again"
            )


def verify_named_file(path: Path, network: Network) -> None:
    """As `verify`, of the file that a config names; also where there is none."""
    if not path.is_file():
        raise InputError(
            f"{path}: no such file, but network {network.name!r} needs it: correct networks.{network.name}.path in the "
            f"config"
        )
    verify(path, network)


def fetch_missing(networks: Iterable[Network], given: Path | None) -> None:
    """Fetch what is not at hand. Raises InputError with where to put each missing file; `given` is features.weights."""
    lacking = [network for network in networks if not is_at_hand(network)]
    for network in lacking:
        try:
            find(network)
        except InputError as error:
            rest = [other.path or cache() / other.file for other in lacking if other != network]
            remaining = ", ".join(str(path) for path in rest if not path.exists())
            lacks = f"; {given} (features.weights) has no {network.file}" if given is not None else ""
            raise InputError(f"{error}{f'; missing, too: {remaining}' if remaining else ''}{lacks}") from None


def is_at_hand(network: Network) -> bool:
    """Whether a file of the network's weights lies here already, as it is or as a checkpoint."""
    path = network.path or cache() / network.file
    return path.exists() or (network.checkpoint_blob is not None and path.with_suffix(".pt").exists())


def find(network: Network) -> Path:
    """A verified file of the network's weights. Raises InputError that says where to put which file."""
    if network.path is not None:
        verify_named_file(network.path, network)
        return _converted(network.path, network, network.trust_pickle)
    path = cache() / network.file
    checkpoint = path.with_suffix(".pt")
    if not path.exists() and network.checkpoint_blob and checkpoint.exists():
        return _converted(checkpoint, network, trusted=blob_hash(checkpoint) == network.checkpoint_blob)
    if not path.exists():
        _download(network, path)
    verify(path, network)
    return path


def _converted(path: Path, network: Network, trusted: bool) -> Path:
    """A PyTorch checkpoint as ONNX; an ONNX file as it is."""
    if network.arch is None or path.suffix.lower() not in (".pt", ".pth"):
        return path
    from extract.networks.checkpoints import to_onnx

    outputs = len(network.classes or ()) + 2 * network.has_va
    return to_onnx(path, cache(), arch=network.arch, outputs=outputs, size=network.size, trusted=trusted)


def _download(network: Network, path: Path) -> None:
    """Fetch to a temporary name, verify there, rename: an interrupted or damaged download never looks cached."""
    if network.url is None:
        raise InputError(
            f"{path}: no such file, and network {network.name!r} has no address to fetch it from; put the file there"
        )
    try:
        with urllib.request.urlopen(network.url, timeout=TIMEOUT) as answer, write_whole(path) as temporary:
            total = int(answer.headers.get("Content-Length") or 0)
            with open(temporary, "wb") as handle, progress(f"download {network.file}", total, "bytes") as bar:
                while chunk := answer.read(CHUNK):
                    handle.write(chunk)
                    bar.advance(len(chunk))
            verify(temporary, network)
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        folder = "name the folder that has it in the config (features.weights), or " if network.name in NETWORKS else ""
        raise InputError(
            f"{path}: not there, and {network.url} cannot be fetched ({reason}); fetch it on a machine with network "
            f"and put it at that path, or {folder}point {CACHE_VARIABLE} at the folder that has it"
        ) from None
