"""The model, its target, and its encoder as timm's vision transformer.

He, Chen, Xie, Li, Dollar, Girshick, "Masked autoencoders are scalable vision learners", CVPR 2022, by transformers.
"""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any

from extract.config import PretrainSettings
from extract.learning import encoder
from extract.learning.encoder import Encoder
from extract.networks import checkpoints
from extract.runtime.errors import InputError

if TYPE_CHECKING:
    import torch

INSTALL = "pip install 'affect-heads[mae]'"
PARAMETER_NAMES = (
    (r"^vit\.layers\.(\d+)\.layernorm_before\.", r"blocks.\1.norm1."),
    (r"^vit\.layers\.(\d+)\.layernorm_after\.", r"blocks.\1.norm2."),
    (r"^vit\.layers\.(\d+)\.attention\.o_proj\.", r"blocks.\1.attn.proj."),
    (r"^vit\.layers\.(\d+)\.mlp\.", r"blocks.\1.mlp."),
    (r"^vit\.layernorm\.", "norm."),
    (r"^vit\.embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^vit\.embeddings\.position_embeddings$", "pos_embed"),
    (r"^vit\.embeddings\.cls_token$", "cls_token"),
)
"""Names of transformers' parameters -> timm's; queries, keys and values are one matrix there."""
QUERY = re.compile(r"^vit\.layers\.(\d+)\.attention\.q_proj\.(weight|bias)$")


def describe(settings: PretrainSettings, place: str) -> Encoder:
    """The encoder's size. Raises InputError, which begins with `place`, for sizes that do not divide."""
    s = settings
    for key, value, other, parts in (
        ("size", s.size, "patch", s.patch),
        ("width", s.width, "heads", s.heads),
        ("decoder_width", s.decoder_width, "decoder_heads", s.decoder_heads),
        ("width", s.width, "the 4 that positions need", 4),
        ("decoder_width", s.decoder_width, "the 4 that positions need", 4),
    ):
        if value % parts:
            what = other if other.startswith("the") else f"{other} = {parts}"
            raise InputError(f"{place}: {key} = {value} is no multiple of {what}; correct one of them")
    result = Encoder(s.size, s.patch, s.width, s.depth, s.heads)
    if not 0 < int(result.patches * (1 - s.mask)) < result.patches:
        raise InputError(
            f"{place}: mask = {s.mask:g} of {result.patches} patches leaves {int(result.patches * (1 - s.mask))} to "
            f"see, expected some, and some to reconstruct; change mask, or make patch smaller"
        )
    return result


def require_transformers() -> None:
    """Raise InputError where transformers is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise InputError(f"a masked autoencoder needs transformers: {INSTALL}")


def create(settings: PretrainSettings) -> Any:
    """transformers' ViTMAEForPreTraining, drawn as in MAE; by itself, transformers 5.24 leaves positions zero."""
    checkpoints.import_timm()  # transformers, too, needs what this mends
    import torch
    from timm.layers import build_sincos2d_pos_embed
    from torch import nn
    from transformers import ViTMAEConfig, ViTMAEForPreTraining

    s = settings
    model = ViTMAEForPreTraining(
        ViTMAEConfig(
            image_size=s.size, patch_size=s.patch, hidden_size=s.width, num_hidden_layers=s.depth,
            num_attention_heads=s.heads, intermediate_size=4 * s.width, decoder_hidden_size=s.decoder_width,
            decoder_num_hidden_layers=s.decoder_depth, decoder_num_attention_heads=s.decoder_heads,
            decoder_intermediate_size=4 * s.decoder_width, mask_ratio=s.mask, norm_pix_loss=s.normalise,
            layer_norm_eps=1e-6,
        )
    )  # fmt: skip
    embeddings, decoder, side = model.vit.embeddings, model.decoder, s.size // s.patch
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        projection = embeddings.patch_embeddings.projection
        nn.init.xavier_uniform_(projection.weight.view(s.width, -1))
        nn.init.normal_(embeddings.cls_token, std=0.02)
        nn.init.normal_(decoder.mask_token, std=0.02)
        for positions in (embeddings.position_embeddings, decoder.decoder_pos_embed):
            positions.zero_()  # that of the class token stays so
            positions[0, 1:] = build_sincos2d_pos_embed([side, side], dim=positions.shape[2])
    return model


def to_encoder(state: dict[str, torch.Tensor], facts: Encoder) -> torch.nn.Module:
    """The encoder of a model of `create`, given its state dict, as timm's VisionTransformer in evaluation mode."""
    import torch

    result: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if match := QUERY.match(name):
            parts = [state[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            result[f"blocks.{match[1]}.attn.qkv.{match[2]}"] = torch.cat(parts)
        for pattern, new in PARAMETER_NAMES:
            if re.search(pattern, name):
                result[re.sub(pattern, new, name)] = value
    model = encoder.create(facts)
    model.load_state_dict(result)
    return model.eval()


def compute_target(model: Any, pictures: torch.Tensor) -> torch.Tensor:
    """The decoder's target [N, patches, values] of pictures [N, 3, side, side]: patches, normalised as the model's."""
    target: torch.Tensor = model.patchify(pictures)
    if model.config.norm_pix_loss:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    return target
