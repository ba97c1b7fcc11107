"""Checkpoints of a run of fine-tuning: one safetensors file, whole or not at all, with where the run was as JSON in it.

Tensors: the network's, the optimiser's, torch's random state. Nothing is pickled. A run that goes on from one gives
the bytes of a run that was never disturbed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extract.runtime.errors import InputError
from extract.runtime.run_folder import write_whole

if TYPE_CHECKING:
    import torch

KEY = "position"
"""The only entry of the file's metadata: with more, their order, and so the bytes, would be chance."""
NETWORK, OPTIMISER, RANDOM = "network.", "optimiser.", "random."


@dataclass
class Position:
    """Where a run is, and what it has found so far."""

    mark: str
    """Fingerprint of all that decides the run: a checkpoint of another one is not gone on from."""
    epoch: int = 0
    step: int = 0
    """Finished steps of this epoch."""
    learnt: int = 0
    """Those of them that had pictures to learn from."""
    seen: int = 0
    """Pictures of all epochs so far."""
    scores: list[float] = field(default_factory=list)
    """Of the dev slice: before the first step, then after each finished epoch."""
    losses: list[float] = field(default_factory=list)
    """Mean loss of each finished epoch."""
    loss_sum: float = 0.0
    """Of this epoch's steps."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Pictures that could not be read, and why."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of their files when they were read."""

    @property
    def best(self) -> int:
        """After how many epochs the score was best, the first of equal ones: 0 is the start itself."""
        return max(range(len(self.scores)), key=lambda i: (self.scores[i], -i))


def not_finite_error(
    error: Exception, key: str, rate: float, position: Position, steps: int, path: Path, held: str
) -> InputError:
    """What to raise for a loss that is not finite: names the step of `steps` an epoch, the rate to lower and its `key`,
    as "finetune.mine.rate", and the file that another rate's run writes over, which holds `held`.
    """
    return InputError(
        f"{key.rpartition('.')[0]}: {error} at step {position.step} of {steps} in epoch {position.epoch + 1}, expected "
        f"a finite number: lower {key} ({rate:g}); with another rate the run begins anew and writes over {held}: copy "
        f"{path} to keep them"
    )


def save(
    path: Path, network: torch.nn.Module, position: Position, optimiser: torch.optim.Optimizer | None = None
) -> None:
    """Write a checkpoint; without an optimiser the network alone."""
    import torch
    from safetensors.torch import save as as_bytes

    tensors = {f"{NETWORK}{name}": value for name, value in network.state_dict().items()}
    if optimiser is not None:
        for number, state in optimiser.state_dict()["state"].items():
            tensors |= {f"{OPTIMISER}{number}.{key}": value for key, value in state.items()}
        tensors[f"{RANDOM}cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors[f"{RANDOM}cuda"] = torch.cuda.get_rng_state()
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    data = as_bytes(tensors, {KEY: json.dumps(asdict(position), sort_keys=True)})
    with write_whole(path) as temporary:
        temporary.write_bytes(data)


def read_position(path: Path, mark: str) -> Position | None:
    """Where the run of this fingerprint was; None where there is no checkpoint, a damaged one, or another run's."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            position = Position(**json.loads((file.metadata() or {})[KEY]))
            names = set(file.keys())
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return position if position.mark == mark and names else None


def load(path: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer | None = None) -> None:
    """Make a network, an optimiser and torch's random state what they were. The file has been looked at before."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(path)
    network.load_state_dict(_under(tensors, NETWORK))
    if optimiser is not None:
        states: dict[int, dict[str, Any]] = {}
        for name, value in _under(tensors, OPTIMISER).items():
            number, _, key = name.partition(".")
            states.setdefault(int(number), {})[key] = value
        optimiser.load_state_dict({"state": states, "param_groups": optimiser.state_dict()["param_groups"]})
    if f"{RANDOM}cpu" in tensors:
        torch.set_rng_state(tensors[f"{RANDOM}cpu"])
    if torch.cuda.is_available() and f"{RANDOM}cuda" in tensors:
        torch.cuda.set_rng_state(tensors[f"{RANDOM}cuda"])


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names begin so, without the beginning."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
