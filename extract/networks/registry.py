"""NETWORKS: one row of facts per frozen network. Adding a network is adding a row.

Sources: file names, sizes, class orders and hashes from sb-ai-lab/EmotiEffLib at the commit below; the hashes are git
blob hashes (SHA-1 of `blob <size>\\0<content>`), public in that repository's tree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from extract.config import Config
from extract.runtime.errors import InputError, did_you_mean

OUTPUTS = ("embedding", "logits", "va")
"""What a network may give of a picture."""
Colour = Literal["rgb", "bgr", "grey"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
AFFECTNET8 = ("Anger", "Contempt", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
AFFECTNET7 = ("Anger", "Disgust", "Fear", "Happiness", "Neutral", "Sadness", "Surprise")
EMOTIEFFLIB = (
    "https://raw.githubusercontent.com/sb-ai-lab/EmotiEffLib/f1df0e8548c666d268826e50b7de107fd5553e9d/"
    "models/affectnet_emotions/onnx/"
)
B0, B2 = "tf_efficientnet_b0", "tf_efficientnet_b2"
SHIPPED_FOLDER = Path(__file__).parents[1] / "demo" / "networks"


@dataclass(frozen=True)
class Network:
    """Facts about one network file. Pixels enter as (pixel / 255 - mean) / std in the order of `colour`.

    `classifier` networks have one output, made by a final Gemm: its first input is the embedding, its output the logits
    (and, where `has_va`, valence and arousal as the last two columns). Other networks name their outputs.
    """

    name: str
    size: int
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    colour: Colour = "rgb"
    classes: tuple[str, ...] | None = None
    dim: int | None = None
    has_va: bool = False
    file: str = ""
    blob: str | None = None
    """Git blob hash (SHA-1) of the file."""
    sha256: str | None = None
    url: str | None = None
    arch: str | None = None
    """timm's name of the architecture, for checkpoints (.pt)."""
    checkpoint_blob: str | None = None
    """Git blob hash of the published checkpoint `<name>.pt`: a pickled module that may be read."""
    trust_pickle: bool = False
    path: Path | None = None
    """A file given by the user or shipped with the project; else it is looked for in the cache and downloaded."""
    classifier: bool = True
    embedding: str | None = None
    logits: str | None = None
    va: str | None = None
    picture: str | None = None
    """The output that is the picture, enlarged (extract.enlarge)."""
    section: str = "networks"
    """Of the config: where the user has said all this."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of features it gives."""
        if self.classifier:
            return ("embedding", "logits", "va") if self.has_va else ("embedding", "logits")
        return tuple(kind for kind in OUTPUTS if getattr(self, kind))


def _published(name: str, size: int, dim: int, **facts: Any) -> Network:
    facts = {"classes": AFFECTNET8, "url": f"{EMOTIEFFLIB}{name}.onnx"} | facts
    return Network(name, size, dim=dim, file=f"{name}.onnx", **facts)


def _shipped(name: str, dim: int, **facts: Any) -> Network:
    file = f"{name}.onnx"
    return Network(name, 112, classes=AFFECTNET8, dim=dim, file=file, path=SHIPPED_FOLDER / file, **facts)


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        _published("enet_b0_8_best_vgaf", 224, 1280, blob="49772db4e87ee6df57087fba131832a959e5c64d",
                   arch=B0, checkpoint_blob="7219cfb037209b253ea8b81cf969e60a00e9181c"),
        _published("enet_b0_8_best_afew", 224, 1280, blob="d87faf71e8756d68c701ffd88b4cde4be460f57d",
                   arch=B0, checkpoint_blob="9540c8beff661f1c2fca16de63b530cce24bb17d"),
        _published("enet_b0_8_va_mtl", 224, 1280, blob="7ce9d6dd5b82b260bc19bfe7822a6ffa1abb6011", has_va=True,
                   arch=B0, checkpoint_blob="b7223bd1ab092a1b5a42bc04a5f4fbfe4d9f8b9b"),
        _published("enet_b2_8", 260, 1408, blob="a7cb612cbab1ce3d50dd52e57285fb2c7ea6d0d9", arch=B2),
        _published("enet_b2_7", 260, 1408, blob="cdd6a6070b72ed2e59e15e810ae0ecdbcb0f7626", arch=B2,
                   classes=AFFECTNET7),
        _published("mobilevit_va_mtl", 224, 768, blob="bed5781a1af9924536638ac3786603e124ee900e", has_va=True),
        _published("mbf_va_mtl", 112, 512, blob="194db927ec135679e5cd0a267c5605e2e9d68e7e", has_va=True,
                   mean=HALF, std=HALF),
        _shipped("demo_enet", 128, sha256="883b7c63346813c0b87544d284f8f83442e0a1899bd76fb05105c798f420323e"),
        _shipped("demo_mt_enet", 160, sha256="26cdd1f8648ce839ae1edb2a092945777533f209819f4848d2ae8d849ba416d3",
                 has_va=True),
    )
}  # fmt: skip

DEMO = frozenset(name for name, network in NETWORKS.items() if network.path is not None)
"""The networks that the project ships: they know the demo's drawn faces only."""


def find(name: str, config: Config) -> Network:
    """The network called `name`: the config's own [networks.<name>], else a row of NETWORKS.

    Raises InputError where there is no such network (the known ones are listed) or its facts contradict each other.
    """
    if name not in config.networks:
        if name in NETWORKS:
            row, given = NETWORKS[name], config.features.weights
            return replace(row, path=given / row.file) if given and (given / row.file).is_file() else row
        raise InputError(
            f"{config.place('features.networks')}: features.networks: no network {name!r}; known: "
            f"{', '.join([*NETWORKS, *config.networks])}; a network of your own needs a section [networks.{name}], or "
            f"[audio.{name}] if it hears; log-mels of the sound are called audio"
            f"{did_you_mean(name, [*NETWORKS, *config.networks, *config.audio, 'audio'])}"
        )
    own = config.networks[name]
    if name in NETWORKS:
        raise InputError(f"networks.{name}: the project has a network of that name; choose another")
    channels = 1 if own.colour == "grey" else 3
    for key, values in (("mean", own.mean), ("std", own.std)):
        if len(values) != channels or (key == "std" and min(values) <= 0):
            raise InputError(
                f"networks.{name}.{key}: found {values}, expected {channels} "
                f"{'positive ' if key == 'std' else ''}numbers for colour {own.colour!r}"
            )
    outputs = {kind: getattr(own, kind) for kind in OUTPUTS}
    checkpoint = own.path.suffix.lower() in (".pt", ".pth")
    if checkpoint and not (own.arch and (own.classes or not own.has_va)):
        raise InputError(
            f"networks.{name}: a PyTorch checkpoint also needs arch (timm's name) and classes (in order; none: its "
            f"embedding alone)"
        )
    if checkpoint and any(outputs.values()):
        raise InputError(
            f"networks.{name}: output names are for ONNX files; a checkpoint's follow from classes and has_va"
        )
    if not checkpoint and not any(outputs.values()):
        raise InputError(f"networks.{name}: name at least one output: embedding, logits or va")
    if headless := checkpoint and not own.classes:
        outputs["embedding"] = "embedding"
    facts = own.model_dump(include={"size", "colour", "sha256", "arch", "trust_pickle", "path"}) | outputs
    facts |= {"mean": tuple(own.mean), "std": tuple(own.std), "classes": tuple(own.classes) if own.classes else None}
    has_va = own.has_va if checkpoint else own.va is not None
    return Network(name, file=own.path.name, has_va=has_va, classifier=checkpoint and not headless, **facts)
