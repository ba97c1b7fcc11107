"""What fine-tuning leaves: an ordinary ONNX network that says what it has learnt from, and its section of a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.learning.losses import Target
from extract.networks import checkpoints
from extract.networks.registry import Network
from extract.runtime import inputs
from extract.runtime.run_folder import write_text, write_whole

if TYPE_CHECKING:
    from extract.learning.network import FineTunedNetwork

KEY = "affect-heads"
"""Of the ONNX file's metadata: JSON of what the network has learnt from."""
OPSET = 17


def name_output(target: Target) -> str:
    """What the outputs are among a network's: "va", or "logits"."""
    return "va" if target.labels == "regression" else "logits"


def export(network: FineTunedNetwork, size: int, target: Target, facts: dict[str, Any], path: Path) -> None:
    """Write the network as ONNX: input [N, 3, size, size], outputs `embedding` and `logits` or `va`; `facts` go into
    the file, where `read_facts` finds them.
    """
    import onnx

    with write_whole(path) as temporary:
        checkpoints.export(network.eval(), temporary, size, ("embedding", name_output(target)), OPSET)
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, {KEY: json.dumps(facts, sort_keys=True)})
        onnx.save(model, temporary)


def read_facts(path: Path) -> dict[str, Any] | None:
    """What a network of ours has learnt from; None for any other file, and where there is none."""
    import onnx

    if inputs.problem(path, "network"):
        return None
    try:
        model = onnx.load(path, load_external_data=False)
        facts = next((prop.value for prop in model.metadata_props if prop.key == KEY), None)
        result = inputs.parse_json(facts) if facts is not None else None
    except Exception:  # protobuf raises its own kinds for foreign bytes; whoever runs the network says what is wrong
        return None
    if not isinstance(result, dict):
        return None
    videos = result.get("videos", [])
    return result if isinstance(videos, list) and all(isinstance(name, str) for name in videos) else None


def describe_section(name: str, network: Network, target: Target, path: str, sha256: str) -> dict[str, Any]:
    """The section [networks.<name>] of a config, as tables."""
    section: dict[str, Any] = {
        "path": path,
        "size": network.size,
        "colour": network.colour,
        "mean": list(network.mean),
        "std": list(network.std),
        "embedding": "embedding",
        name_output(target): name_output(target),
    }
    if target.labels != "regression":
        section["classes"] = list(target.outputs)
    return {"networks": {name: section | {"sha256": sha256}}}


def write_section(path: Path, section: dict[str, Any]) -> None:
    """Write the section as TOML: a config that `extends` the file has the network."""
    import tomli_w

    write_text(path, tomli_w.dumps(section))
