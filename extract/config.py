"""The run's TOML file: strict, with overrides, paths resolved.

Each package adds its own sections by subclassing: `extract.config.Config` knows [corpus], [features], [networks] and
the like; `heads.config.Config` adds [heads.<task>]; `blend.config.Config` adds [blend.<task>]. The package that reads a
file checks the sections it knows and ignores only the ones further right.
"""

from __future__ import annotations

import copy
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from extract import config_file
from extract.runtime import limits
from extract.runtime.errors import InputError, did_you_mean

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
DEFAULT = CONFIGS / "demo.toml"
SECTIONS_FURTHER_RIGHT = ("finetune", "heads", "blend")
TEMPLATE = Path("/data/ABAW")
"""Where the paths of configs/affwild2.toml lead before they are edited."""


class Strict(BaseModel):
    """A section that refuses keys it does not know, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_switch_for_number(cls, value: Any, info: ValidationInfo) -> Any:
        """`true` is a number to Python."""
        if _holds_switch(value) and not _takes_switch(cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("true and false are no values of this key")
        return value


def _holds_switch(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return isinstance(value, bool) or any(map(_holds_switch, inner))


def _takes_switch(annotation: Any) -> bool:
    """Whether a bool, a section, which checks its own keys, or anything at all may stand somewhere in it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | bool):
        return True
    return annotation is Any or isinstance(annotation, bool) or any(map(_takes_switch, typing.get_args(annotation)))


class TaskPaths(Strict):
    """Where one task's official annotations lie: folders of `<video>.txt`, and the official test list."""

    train: Path | None = None
    """Only what learns needs it: our heads, not a blend of other people's predictions."""
    val: Path
    test: Path | None = None


class PicturePaths(TaskPaths):
    """The same of a task on single pictures: train and val are folders of a folder of pictures for each class."""

    pictures: Path | None = None
    """The folder of the test list's pictures; None: the list's own."""


CORPUS_NAME = r"^[A-Za-z0-9_][A-Za-z0-9._-]*$"
"""It becomes a folder, and a part of commands."""


class Corpus(Strict):
    """[corpus]: `frames` holds `<video>/00001.jpg`; a list of folders is one corpus spread over several places."""

    name: str = Field(pattern=CORPUS_NAME, max_length=limits.NAME_BYTES)
    demo: bool | Literal["pictures"] = False
    """Render the embedded corpus into the work folder instead of reading one; "pictures": that of single pictures."""
    frames: list[Path] = []
    videos: list[Path] = []
    """Folders of `<video>.mp4` or `<video>.wav` and the like, for features of the sound."""
    fps: float = Field(default=30.0, gt=0)
    """Frames per second where a sound file brings no pictures that would tell."""
    au: TaskPaths | None = None
    expr: TaskPaths | None = None
    va: TaskPaths | None = None
    mtl: TaskPaths | None = None
    """The multi-task challenge: one annotation file for train and one for val, not folders."""
    lsd: PicturePaths | None = None
    """Learning from synthetic data: a folder of synthetic pictures for train, one of real ones for val."""
    people: Path | None = None
    """A table `video,person` (CSV or Parquet): folds and slices keep all videos of a person together (data.people)."""
    people_pattern: str | None = None
    """Instead of it: a regular expression that finds the person in a video's name, as its group 1 or whole match."""
    missing_tail: float = Field(default=0.25, ge=0, le=1)
    """The largest part of an annotation that may lie behind the video's last face; more is a mix-up of files."""
    missing_videos: float = Field(default=0.05, ge=0, le=1)
    """The largest part of the annotated or listed videos that may have no folder of frames, having no face."""

    @field_validator("frames", "videos", mode="before", json_schema_input_type=Path | list[Path])
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Path) else value

    @property
    def stills(self) -> tuple[PicturePaths, ...]:
        """The paths of each task on single pictures."""
        given = (getattr(self, name) for name in CHALLENGES)
        return tuple(paths for paths in given if isinstance(paths, PicturePaths))

    @property
    def has_pictures(self) -> bool:
        """Whether it names any."""
        return bool(self.frames or self.stills)

    def task(self, name: str) -> TaskPaths:
        """The paths of a task, or of a part of the multi-task challenge ("mtl/va").

        Raises InputError where there are none.
        """
        name = name.partition("/")[0]
        paths: TaskPaths | None = getattr(self, name)
        if paths is None and self.demo:
            raise InputError(
                f"corpus {self.name!r} is embedded and has no task {name!r}; --config configs/demo.toml has au, expr, "
                f"va and mtl, configs/demo_lsd.toml has lsd"
            )
        if paths is None:
            raise InputError(
                f"corpus {self.name!r} has no task {name!r}: add a section [corpus.{name}] with "
                f"val, train (unless nothing of ours is trained) and (optional) test to the config"
            )
        return paths


class Features(Strict):
    """[features]: the networks (or imported tables) whose features the heads use; a blend of others' needs none."""

    networks: list[str] = Field(default=[], min_length=1)
    engine: Literal["auto", "openvino", "onnxruntime", "torch"] = "auto"
    """auto: ONNX Runtime where it can use an NVIDIA GPU, else OpenVINO on the CPU; fp32 features of both may be mixed:
    equal to 1e-4. "torch" is the former name of the engine for GPUs, and means onnxruntime."""
    precision: Literal["fp32", "bf16"] = "fp32"
    weights: Path | None = None
    """A folder that is looked into for the known networks' files before the cache and the download."""


class NetworkSettings(Strict):
    """[networks.<name>]: an ONNX network of the user's own. Give the outputs that it has, by their ONNX names."""

    path: Path
    size: int = Field(gt=0, le=limits.SIDE)
    colour: Literal["rgb", "bgr", "grey"] = "rgb"
    mean: list[float]
    std: list[float]
    embedding: str | None = None
    logits: str | None = None
    va: str | None = None
    classes: list[str] | None = None
    arch: str | None = None
    """For a PyTorch checkpoint (.pt, .pth): timm's name of its architecture; it gives `classes`, or its embedding."""
    has_va: bool = False
    """For a checkpoint: the last two outputs are valence and arousal."""
    trust_pickle: bool = False
    """Read a pickled module of unknown hash: its code is not run, its layers are taken on trust."""
    sha256: str | None = None
    """Refuse the file unless its SHA-256 is this."""
    trust_train: bool = False
    """Let heads learn from features of the videos that a network was fine-tuned on: they say too much."""


class AudioSettings(Strict):
    """[audio.<name>]: an ONNX network of the user's own that hears. Give the outputs that it has, by their ONNX names.

    An output of one vector is of the stretch that is heard, and a stretch is centred on each frame's time. An output of
    many vectors [1, T, D] is spread evenly over it.
    """

    path: Path
    takes: Literal["waveform", "logmel"] = "waveform"
    """"waveform": samples in [-1, 1]; "logmel": ln(mel + offset) of 25 ms windows every 10 ms, as VGGish's."""
    window: float | None = Field(default=None, gt=0, le=limits.SECONDS)
    """Seconds heard at a time; None: what the network's input says."""
    rate: int = Field(default=16_000, ge=1000, le=limits.RATE)
    normalise: bool = False
    """Give each stretch mean 0 and variance 1, as wav2vec2 and HuBERT want it. Of waveforms."""
    bands: int = Field(default=64, ge=2, le=limits.BANDS)
    low: float = Field(default=125.0, ge=0)
    high: float = Field(default=7500.0, gt=0)
    offset: float = Field(default=0.01, gt=0)
    power: Literal[1, 2] = 1
    """Of log-mels: bands, their range in Hz, what is added before the logarithm, magnitude (1) or power (2)."""
    every: int = Field(default=1, ge=1)
    """With one vector a stretch: so many frames share one, that of the middle frame."""
    embedding: str | None = None
    logits: str | None = None
    va: str | None = None
    classes: list[str] | None = None
    sha256: str | None = None
    """Refuse the file unless its SHA-256 is this."""


class PretrainSettings(Strict):
    """[pretrain.<name>]: a masked autoencoder and how it learns.

    Defaults are a ViT-Ti of 8-pixel patches at 112 pixels, and MAE's recipe (He et al., CVPR 2022), but for fewer
    epochs, smaller batches and plain pixels, as the winner of ABAW-5.
    """

    size: int = Field(default=112, gt=0, le=limits.SIDE)
    """Edge of the pictures in pixels, a multiple of `patch`."""
    patch: int = Field(default=8, gt=0)
    width: int = Field(default=192, gt=0)
    """Of the encoder's tokens, and so of the embedding: a multiple of 4 and of `heads`."""
    depth: int = Field(default=12, gt=0)
    """Blocks of the encoder."""
    heads: int = Field(default=3, gt=0)
    decoder_width: int = Field(default=128, gt=0)
    decoder_depth: int = Field(default=4, gt=0)
    decoder_heads: int = Field(default=4, gt=0)
    mask: float = Field(default=0.75, gt=0, lt=1)
    """Share of the patches that the encoder does not see."""
    normalise: bool = False
    """Reconstruct each patch less its mean, over its standard deviation, in place of plain pixels."""
    epochs: int = Field(default=100, ge=1)
    warm_up: float = Field(default=5.0, ge=0)
    """Epochs in which the rate rises from 0, before half a cosine brings it back there."""
    batch: int = Field(default=256, ge=1)
    rate: float = Field(default=1.5e-4, gt=0)
    """Learning rate of batches of 256: the real one is rate * batch / 256."""
    decay: float = Field(default=0.05, ge=0)
    """Weight decay (AdamW's) of matrices."""
    crop: float = Field(default=0.2, gt=0, le=1)
    """The smallest part of a picture's area that a random crop shows; 1: no crops."""
    flip: bool = True
    """Mirror half of the pictures."""
    stride: int = Field(default=1, ge=1)
    """Learn from every stride-th picture of a folder: neighbours in a video are nearly equal."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the folders whose pictures are only reconstructed, never learnt from."""
    held_out_by: Literal["folder", "picture"] = "folder"
    """"picture": for folders of photographs, each of somebody else."""
    held_out_pictures: int = Field(default=2000, ge=1)
    """At most so many of them, evenly spaced, after each epoch."""
    save_every: int = Field(default=200, ge=1)
    """Steps between checkpoints: what a killed process loses at most."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: autocast, on CUDA alone."""


class ClusterSettings(Strict):
    """[cluster]: what `--cluster slurm` asks of the batch system, and a job's threads. Decides no result."""

    queue: str | None = None
    account: str | None = None
    nodes: int = Field(default=1, ge=1)
    """Batch jobs, each with the cores and the memory below."""
    cores: int = Field(default=1, ge=1)
    memory: str = "8GB"
    walltime: str = "04:00:00"
    gpus: int = Field(default=0, ge=0)
    """GPUs of each batch job."""
    interface: str | None = None
    """The network interface that the nodes reach this machine by, as "ib0"."""
    job_script_prologue: list[str] = []
    """Lines of shell before a worker starts, as "source /shared/venv/bin/activate"."""
    threads: int = Field(default=1, ge=1)
    """Threads of a head or a search process, where the workers say that they have THREADS."""


class Config(BaseModel):
    """What extract reads of a config file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    passes: ClassVar[tuple[str, ...]] = SECTIONS_FURTHER_RIGHT
    """Sections that belong to packages further right: let through unread."""

    corpus: Corpus
    features: Features = Features()
    networks: dict[str, NetworkSettings] = {}
    audio: dict[str, AudioSettings] = {}
    cluster: ClusterSettings = ClusterSettings()
    pretrain: dict[str, PretrainSettings] = {}
    """[pretrain.<name>]: how the masked autoencoder of that name is made (extract.pretrain)."""
    _given: tuple[str, ...] = PrivateAttr(default=())  # arguments of a command that give this config
    _path: str = PrivateAttr(default="config")  # where it was read from
    _overrides: tuple[str, ...] = PrivateAttr(default=())

    def place(self, key: str) -> str:
        """Where a key such as "heads.au.use" was set, to begin a message: its --set option, or the file."""
        return describe_place(tuple(key.split(".")), self._path, self._overrides)

    def refuse_template(self, task: str = "") -> None:
        """Raise InputError where the frames, or a task's annotations, are still those of the template to be edited."""
        paths: TaskPaths | None = getattr(self.corpus, task) if task else None
        given = [("corpus.frames", path) for path in self.corpus.frames]
        given += [(f"corpus.{task}.{part}", path) for part, path in paths or () if path is not None]
        for key, path in given:
            if path.is_relative_to(TEMPLATE) and not TEMPLATE.exists():
                raise InputError(
                    f"{self.place(key)}: {key} is still the template's {str(path)!r}, and there is no {TEMPLATE}: "
                    f"write where yours are (corpus.frames, and train, val and test of each task)"
                )


CHALLENGES = ("au", "expr", "va", "mtl", "lsd")
"""The keys of Corpus that hold a task's paths."""
C = TypeVar("C", bound=Config)


def load(kind: type[C], path: Path, overrides: list[str] | None = None) -> C:
    """Read a TOML config as `kind`, with `key.path=value` overrides (TOML values; bare words are strings).

    Relative paths are relative to the file; of `extends = "other.toml"` come the keys that it does not have.

    Raises InputError that names file and key: for no TOML, unknown keys (the known ones are listed), missing or wrong
    values.
    """
    config = _overridden(kind, config_file.read(path), str(path), overrides or [])
    where = [] if path == DEFAULT else ["--config", str(path.absolute())]
    config._given = (*where, *config._given)
    return config


def from_tables(kind: type[C], tables: Mapping[str, Any], overrides: list[str] | None = None) -> C:
    """The same of tables as a TOML file has them. Relative paths are relative to the current folder."""
    raw = copy.deepcopy(dict(tables))
    config_file.resolve(raw, Path.cwd())
    config = _overridden(kind, raw, "config", overrides or [])
    config._given = ("--config", "CONFIG.toml", *config._given)  # in the advice to run again: theirs is on no disk
    return config


def _overridden(kind: type[C], raw: dict[str, Any], path: str, overrides: list[str]) -> C:
    for override in overrides:
        config_file.override(raw, override)
    known = {key: table for key, table in raw.items() if key not in kind.passes}
    config = check(kind, known, lambda loc: describe_place(loc, path, overrides))
    config._path, config._overrides = path, tuple(overrides)
    config._given = tuple(part for override in overrides for part in ("--set", override))
    return config


S = TypeVar("S")


def describe_place(loc: tuple[str, ...], source: Path | str, overrides: Sequence[str]) -> str:
    """What set the key at `loc`: the last `--set` of it, or of a part of it, else `source`."""
    for override in reversed(overrides):
        keys = tuple(override.partition("=")[0].strip().split("."))
        said = f"--set {override!r}"
        if loc[: len(keys)] == keys:
            return said
        if keys[: len(loc)] == loc:
            return f"{source} with {said}"
    return str(source)


def check(
    kind: type[S],
    raw: dict[str, Any],
    source: Path | str | Callable[[tuple[str, ...]], str],
    strict: bool | None = None,
) -> S:
    """Validate a table as `kind`, a model or a TypedDict.

    Raises InputError with the first problem, behind `source`, which may hang on the key. `strict`: no text stands for a
    number (None: as the model says).
    """
    try:
        return TypeAdapter(kind).validate_python(raw, strict=strict)
    except ValidationError as error:
        first = error.errors()[0]
        loc = tuple(str(part) for part in first["loc"])
        key, source = ".".join(loc), source(loc) if callable(source) else str(source)
        if first["type"] == "extra_forbidden":
            model = _model_at(kind, first["loc"][:-1])
            known = sorted({*model.model_fields, *getattr(model, "passes", ())})
            hint = did_you_mean(loc[-1], known)
            raise InputError(f"{source}: unknown key {key!r}; known keys there: {', '.join(known)}{hint}") from None
        if first["type"] == "missing":
            raise InputError(f"{source}: key {key!r} is missing") from None
        result, hint = repr(first["input"]), ""
        if first["type"] == "list_type" and isinstance(first["input"], str):
            each = [part.strip() for part in first["input"].strip("[]").split(",")]
            hint = f"; expected a list, as in {key}={json.dumps(each, ensure_ascii=False)}"
            hint += " (in single quotes on a command line)" if source.startswith("--set") else ""
        raise InputError(f"{source}: key {key!r}: {first['msg']}; found {result}{hint}") from None


def _model_at(kind: Any, loc: tuple[int | str, ...]) -> Any:
    """The model class that holds the key at `loc`, found by walking annotations."""
    for part in loc:
        if isinstance(part, str) and part in kind.model_fields:
            result = _models(kind.model_fields[part].annotation)
            kind = result[0] if result else kind
    return kind


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models(inner)]
