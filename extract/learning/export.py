"""What fine-tuning leaves: an ordinary ONNX network that says what it has learnt from, and its section of a config."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.learning.losses import JointTarget, Target
from extract.networks import checkpoints
from extract.networks import facts as network_facts
from extract.networks.registry import DEMO, Network
from extract.runtime.run_folder import write_text, write_whole

if TYPE_CHECKING:
    import torch

    from extract.learning.checkpoint import Position
    from extract.learning.train import Run

OPSET = 17


def name_outputs(target: Target | JointTarget) -> tuple[str, ...]:
    """Of a network that has learnt: its embedding, and "va" or "logits", or both."""
    kinds = ["va" if part.labels == "regression" else "logits" for part in target.parts]
    return "embedding", *dict.fromkeys(kinds)


def export_module(
    module: torch.nn.Module, size: int, outputs: tuple[str, ...], facts: dict[str, Any], path: Path
) -> None:
    """Write [N, 3, size, size] -> `outputs` as ONNX, with `facts` in the file for `networks.facts.read`."""
    import onnx

    with write_whole(path) as temporary:
        checkpoints.export(module.eval(), temporary, size, outputs, OPSET)
        model = onnx.load(temporary)
        network_facts.write(model, facts)
        onnx.save(model, temporary)


def describe(
    run: Run, position: Position, task: str, network: str, videos: Iterable[str], dev_videos: Iterable[str], demo: bool
) -> dict[str, Any]:
    """What the network, and the one that it began as, have learnt from: `videos` of a task, `dev_videos` of which have
    chosen the epoch; `demo`: drawn pictures.
    """
    before = network_facts.read(run.start.path) or {}
    return {
        "task": task,
        "network": network,
        "weights": run.start.sha256,
        "videos": sorted({*videos, *before.get("videos", ())}),
        "drawn": demo or run.start.network.name in DEMO or bool(before.get("drawn")),
        "dev_videos": list(dev_videos),
        "pictures": len(run.train),
        "metric": f"dev {run.metric}",
        "scores": position.scores,
        "losses": position.losses,
        "epoch": position.best,
        "unreadable": len(position.unreadable),
        "seed": run.seed,
        "mark": run.mark,
    }


def describe_section(
    name: str, network: Network, target: Target | JointTarget, path: str, sha256: str
) -> dict[str, Any]:
    """The section [networks.<name>] of a config, as tables."""
    outputs = {key: key for key in name_outputs(target)}
    classes = [output for part in target.parts if part.labels != "regression" for output in part.outputs]
    return describe_network(name, network, outputs | ({"classes": classes} if classes else {}), path, sha256)


def describe_network(name: str, network: Network, outputs: dict[str, Any], path: str, sha256: str) -> dict[str, Any]:
    """The same of any network: `outputs` are its keys that name them, and their classes."""
    section: dict[str, Any] = {"path": path, "size": network.size, "colour": network.colour}
    section |= {"mean": list(network.mean), "std": list(network.std)}
    return {"networks": {name: section | outputs | {"sha256": sha256}}}


def write_section(path: Path, section: dict[str, Any]) -> None:
    """Write the section as TOML: a config that `extends` the file has the network."""
    import tomli_w

    write_text(path, tomli_w.dumps(section))
