"""Steps of the optimiser: sharpness-aware minimisation around Adam, and rates that fall towards the input.

SAM: Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-aware minimization for efficiently improving generalization", ICLR
2021, in the form of EmotiEffLib's training: not adaptive, one norm over all parameters. Layer-wise decay: Clark et al.,
"ELECTRA", ICLR 2020, in the form of MAE's fine-tuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from extract.runtime.errors import InputError

if TYPE_CHECKING:
    import torch

    from extract.learning.network import FineTunedNetwork

TINY = 1e-12
"""Added to the gradient's norm."""


class NotFinite(Exception):
    """A loss or a gradient is not finite; the text says which. No parameter was changed."""


def take_step(add_gradients: Callable[[], float], optimiser: torch.optim.Optimizer, radius: float) -> float:
    """One step on one batch; returns its loss, which `add_gradients` gives (`add_gradient`, or `add_in_parts`).
    `radius` 0 is the optimiser alone.

    SAM: the gradient is taken at p + e, where e = gradient * radius / norm, and the step is made from p (exactly: a
    copy is kept). Raises NotFinite before anything is changed.
    """
    import torch

    optimiser.zero_grad()
    loss = add_gradients()
    learning = [p for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
    norm = _compute_norm(learning)
    if radius:
        before = [p.detach().clone() for p in learning]
        with torch.no_grad():
            for parameter in learning:
                parameter.add_(parameter.grad * (radius / (norm + TINY)))
        try:
            optimiser.zero_grad()
            add_gradients()
            _compute_norm(learning)
        finally:
            with torch.no_grad():
                for parameter, value in zip(learning, before, strict=True):
                    parameter.copy_(value)
    optimiser.step()
    return loss


def add_gradient(loss: torch.Tensor) -> float:
    """Add a loss's gradient to that of its parameters; returns its value. Raises NotFinite."""
    if not math.isfinite(value := float(loss.detach())):
        raise NotFinite(f"the loss is {value}")
    loss.backward()
    return value


def add_in_parts(
    predict: Callable[[torch.Tensor], torch.Tensor],
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    pictures: torch.Tensor,
    truth: torch.Tensor,
    size: int,
    is_mean: bool,
) -> float:
    """The same for the loss of what `predict` gives for pictures [N, ...], with memory for `size` of them.

    Where the loss is a mean over pictures, the parts' are added. Otherwise (CCC) all outputs come first, without a
    gradient: that of the loss in the outputs then goes through each part, at the cost of a second forward pass that
    drops what the first did (Gao et al., "Scaling deep contrastive learning batch size", RepL4NLP 2021). The network
    must treat each picture by itself: no BatchNorm that follows the batch.
    """
    import torch

    parts = list(zip(pictures.split(size), truth.split(size), strict=True))
    if len(parts) == 1:
        return add_gradient(loss(predict(pictures), truth))
    if is_mean:
        return sum(add_gradient(loss(predict(x), true) * (len(x) / len(pictures))) for x, true in parts)
    states, first = [], []
    with torch.no_grad():
        for x, _ in parts:
            states.append(_draws())
            first.append(predict(x))
    outputs = torch.cat(first).requires_grad_()
    value = add_gradient(loss(outputs, truth))
    assert outputs.grad is not None
    for (x, _), gradient, state in zip(parts, outputs.grad.split(size), states, strict=True):
        _draw_again(state)
        predict(x).backward(gradient)
    return value


def _draws() -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The states of torch's random generators: dropout and stochastic depth draw from them."""
    import torch

    return torch.get_rng_state(), torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []


def _draw_again(state: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    import torch

    torch.set_rng_state(state[0])
    if state[1]:
        torch.cuda.set_rng_state_all(state[1])


def _compute_norm(parameters: list[torch.nn.Parameter]) -> torch.Tensor:
    """The length of the whole gradient."""
    import torch

    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(p.grad) for p in parameters]))
    if not torch.isfinite(norm):
        raise NotFinite(f"the gradient's norm is {float(norm)}")
    return norm


def choose_device(asked: str, section: str) -> str:
    """The device to learn on, "cuda" or "cpu". Raises InputError where CUDA is asked for and there is none."""
    import torch

    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise InputError(f'{section}.device = "cuda": torch finds no CUDA device here; expected "auto" or "cpu"')
    return "cuda" if there and asked != "cpu" else "cpu"


def explain_no_room(work: Callable[[], None], explain: Callable[[], InputError]) -> None:
    """Do some work; where a GPU has no room for it, raise the error that `explain` makes by trying what would fit. By
    then nothing holds the batch that did not: within `except`, the traceback's frames would.
    """
    import torch

    with suppress(torch.cuda.OutOfMemoryError):
        work()
        return
    raise explain()


def find_batch(try_step: Callable[[int], object], optimiser: torch.optim.Optimizer, batch: int, least: int = 1) -> int:
    """Half of a batch that a GPU had no room for, a quarter, ..., at least `least`: the first that fits; 0 where none
    does. `try_step` makes a whole step of so many pictures, which may spoil the network.
    """
    import torch

    while (batch := batch // 2) >= least:
        optimiser.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        with suppress(torch.cuda.OutOfMemoryError):
            for _ in range(2):  # from the second on, the optimiser's state is there from the beginning
                with suppress(NotFinite):
                    try_step(batch)
            return batch
    return 0


def no_room_error(
    key: str, try_step: Callable[[int], object], optimiser: torch.optim.Optimizer, at_once: int, least: int = 1
) -> InputError:
    """What to raise where a GPU has no room for so many pictures at once: says which value of a config's `key` fits,
    by trying (`find_batch`).
    """
    fits = find_batch(try_step, optimiser, at_once, least)
    advice = f"{key} = {fits} fits" if fits else f"not even {least} would fit"
    return InputError(f"{key.rpartition('.')[0]}: the GPU has no room for {at_once} pictures at once; {advice}")


def create_optimiser(
    network: FineTunedNetwork, rate: float, decay: float, layer_decay: float, head_alone: bool
) -> torch.optim.Optimizer:
    """Adam (with `decay` AdamW) over what learns: the output layer alone, or all with rates that fall by depth: rate *
    layer_decay ** (largest depth - depth); see `FineTunedNetwork.compute_depths`.
    """
    import torch

    depths = network.compute_depths()
    deepest = max(depths.values())
    groups: dict[tuple[int, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        learns = not head_alone or name.startswith("head.")
        parameter.requires_grad_(learns)
        if learns:
            decays = parameter.ndim > 1 and not network.is_token(name)
            groups.setdefault((depths[name], decays), []).append(parameter)
    settings = [
        {"params": members, "lr": rate * layer_decay ** (deepest - depth), "weight_decay": decay * decays}
        for (depth, decays), members in sorted(groups.items(), key=lambda item: item[0])
    ]
    return (torch.optim.AdamW if decay else torch.optim.Adam)(settings, lr=rate)
