"""PyTorch checkpoints (`.pt`) -> ONNX, once: weights into timm's architecture of today, whatever timm wrote the file.

No checkpoint's code is run, of whatever format (zip, legacy, tar): classes other than tensors become empty shells, and
only tensors found in them are used. A pickled module is still refused unless its hash is known or the user says
otherwise, because nothing shows that an unknown module's layers compute what timm's architecture of that name computes.
"""

from __future__ import annotations

import os
import pickle
import re
import types
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from extract.runtime import inputs, limits
from extract.runtime.errors import InputError, did_you_mean
from extract.runtime.run_folder import file_hash, write_whole

if TYPE_CHECKING:
    import torch

OPSET = 11
"""Of the published ONNX files."""
WRAPPERS = ("state_dict_ema", "params_ema", "state_dict", "model", "model_state_dict", "net", "params")
"""Keys under which training scripts store the state; the averaged weights come first, as in timm."""
PREFIXES = ("module.", "model.", "_orig_mod.")
"""What wrappers (DataParallel, Lightning, torch.compile) put before every name."""
ENCODER_PREFIXES = ("encoder.", "base_encoder.")
"""What masked autoencoders put before their encoder's names, beside those of a decoder."""
EMBEDDING_OPSET = 17
"""Of networks without a classifier: attention needs more than OPSET."""


def to_onnx(checkpoint: Path, cache: Path, *, arch: str, outputs: int, size: int, trusted: bool) -> Path:
    """An ONNX file of EmotiEffNet's structure made from a checkpoint; made once, kept in `cache` under the file's hash.

    `arch` is timm's name, `outputs` the classifier's width (0: it gives its `embedding`), `size` the picture's edge in
    pixels. Raises InputError for a file that is no checkpoint, a pickled module that is not `trusted`, other weights.
    """
    target = cache / f"{checkpoint.stem}-{arch}-{outputs}-{size}-{file_hash(checkpoint)[:16]}.onnx"
    if not target.exists():
        model = build(checkpoint, arch=arch, outputs=outputs, trusted=trusted)
        named: dict[str, Any] = {} if outputs else {"outputs": ("embedding",), "opset": EMBEDDING_OPSET}
        with write_whole(target) as temporary:
            export(model, temporary, size, **named)
    return target


def build(checkpoint: Path, *, arch: str, outputs: int, trusted: bool) -> torch.nn.Module:
    """timm's module with a checkpoint's weights, in evaluation mode; 0 outputs: no head. Raises as `to_onnx` does."""
    state = read_state(checkpoint, trusted=trusted)
    # the published vgaf module wraps its classifier in a Sequential
    state = {name.replace("classifier.0.", "classifier."): value for name, value in _bare(state).items()}
    pool = {} if outputs or "vit" not in arch.split("_") else _choose_pool(state)
    try:
        model = import_timm().create_model(arch, num_classes=outputs, exportable=True, **pool)
    except RuntimeError as error:
        hint = did_you_mean(arch, import_timm().list_models())
        raise InputError(f"{checkpoint}: timm has no architecture {arch!r} ({error}){hint}") from None
    if not outputs:
        state = _take_encoder(state, {name.partition(".")[0] for name in model.state_dict()})
    try:
        lacks, extra = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise InputError(f"{checkpoint}: weights do not fit {arch} with {outputs} outputs: {why}") from None
    lacks = [name for name in lacks if not name.endswith("num_batches_tracked")]
    if lacks or extra:
        raise InputError(
            f"{checkpoint}: weights are not those of {arch} with {outputs} outputs: {len(lacks)} missing "
            f"({', '.join(lacks[:3])}), {len(extra)} unknown ({', '.join(extra[:3])})"
        )
    return model.eval()


def _choose_pool(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """How a vision transformer's tokens become an embedding: as its head had it; without one, the patches' mean."""
    if any("fc_norm." in name for name in state):
        return {"global_pool": "avg"}
    return {} if "head.weight" in state else {"global_pool": "avg", "fc_norm": False}


def _take_encoder(state: dict[str, torch.Tensor], modules: set[str]) -> dict[str, torch.Tensor]:
    """What belongs to an architecture's modules, without a masked autoencoder's prefix."""
    for prefix in ENCODER_PREFIXES:
        inside = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if inside and prefix[:-1] not in modules:
            state = inside
    return {name: value for name, value in state.items() if name.partition(".")[0] in modules}


def _bare(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state without what wrappers put before all of its names."""
    while prefix := next((item for item in PREFIXES if all(name.startswith(item) for name in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def read_state(checkpoint: Path, *, trusted: bool) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name. State dicts always, whatever else lies beside; modules only where `trusted`."""
    import torch

    result = _read(checkpoint)
    for key in WRAPPERS:
        if isinstance(result, dict) and isinstance(result.get(key), dict | Shell):
            result = result[key]
    if isinstance(result, Shell) and not trusted:
        raise InputError(
            f"{checkpoint}: not a plain state dict but a whole module, and its hash is not a known one; if it is from "
            f"somebody you trust, set trust_pickle = true in its [networks.<name>] section: none of its code is run, "
            f"but nothing then shows that its layers are the stated ones"
        )
    items = result.items() if isinstance(result, dict) else _walk(result)
    state = {str(name): value for name, value in items if isinstance(value, torch.Tensor)}
    if not state:
        raise InputError(f"{checkpoint}: no weights in it; expected a state dict or a module saved by torch.save")
    return state


def _read(checkpoint: Path) -> Any:
    """What a checkpoint of any of torch's formats holds: tensors and plain values as they are, all else as shells."""
    import torch

    inputs.require_file(checkpoint, "checkpoint")
    try:
        records = torch._C.PyTorchFileReader(str(checkpoint)).get_all_records()
    except (RuntimeError, UnicodeDecodeError):  # no zip file, or a damaged one
        records = []
    if "constants.pkl" in records:
        raise InputError(
            f"{checkpoint}: a TorchScript archive, which is a program; save the weights instead: "
            f"torch.save(module.state_dict(), FILE)"
        )
    _check_unpacked(checkpoint)
    shells = types.SimpleNamespace(Unpickler=_ShellUnpickler, load=_load, __name__="shells")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the source of a module's classes is not here
            return torch.load(checkpoint, map_location="cpu", weights_only=False, pickle_module=shells)
    except Exception as error:  # any damage a file can have
        why = explain_unreadable(checkpoint, error)
        raise InputError(f"{checkpoint}: cannot be read as a PyTorch checkpoint ({why})") from None


def _check_unpacked(checkpoint: Path) -> None:
    """Raise InputError for an archive that unpacks to much more than its size."""
    with suppress(zipfile.BadZipFile, ValueError, NotImplementedError), zipfile.ZipFile(checkpoint) as archive:
        size, most = (
            sum(item.file_size for item in archive.infolist()),
            limits.UNPACK_FACTOR * checkpoint.stat().st_size,
        )
        if size > most:
            raise InputError(f"{checkpoint}: unpacks to {size:,} bytes, expected {most:,} at most: no such checkpoint")


def _load(handle: IO[bytes], **settings: Any) -> Any:
    """`pickle.load` that runs nothing: what torch calls for the parts of its older formats."""
    return _ShellUnpickler(handle, **settings).load()


class Shell:
    """Stands for an object of any foreign class: holds its state, runs none of its code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})

    def __call__(self, *args: Any, **kwargs: Any) -> Shell:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Of a list's kin: nothing is kept."""

    extend = add = append


ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"): OrderedDict, ("builtins", "set"): set, ("__builtin__", "set"): set,
    ("torch", "Size"): None, ("torch._utils", "_rebuild_tensor"): None, ("torch._utils", "_rebuild_tensor_v2"): None,
    ("torch._utils", "_rebuild_parameter"): None,
}  # fmt: skip
"""What a checkpoint may really call; None: the thing of that name itself."""


class _ShellUnpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Written in Python: the one in C makes room for whatever a pickle numbers its objects by, 30 GB for five bytes.
    torch's `persistent_load` makes room for as many numbers as the pickle says before it reads one.
    """

    def __init__(self, handle: IO[bytes], **settings: Any) -> None:
        super().__init__(handle, **settings)
        try:
            self._bytes = os.fstat(handle.fileno()).st_size
        except OSError:  # of a part of an archive, whose storages are records with sizes of their own
            self._bytes = 2**62

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__("_given" if name == "persistent_load" else name, value)

    def persistent_load(self, saved: Any) -> Any:
        """Any storage that the file can hold."""
        if any(isinstance(part, int) and part > self._bytes for part in saved):
            raise ValueError(f"it says that {saved[-2]} numbers are in a file of {self._bytes} bytes")
        return self._given(saved)

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED_GLOBALS:
            return ALLOWED_GLOBALS[module, name] or super().find_class(module, name)
        if module == "torch" and re.fullmatch(r"[A-Za-z0-9]+Storage", name):
            return super().find_class(module, name)
        return type(name, (Shell,), {})


def _walk(module: Any, prefix: str = "") -> Any:
    """(name, tensor) of every parameter and buffer, named as in a state dict."""
    inside = getattr(module, "__dict__", {})
    for kind in ("_parameters", "_buffers"):
        for name, value in (inside.get(kind) or {}).items():
            if value is not None and name not in (inside.get("_non_persistent_buffers_set") or ()):
                yield f"{prefix}{name}", getattr(value, "data", value)
    for name, child in (inside.get("_modules") or {}).items():
        yield from _walk(child, f"{prefix}{name}.")


def import_timm() -> Any:
    """timm, also beside a torchvision built for another torch (PyPI's, with a CPU-only torch): that fails at import
    because its compiled operators are absent. Two only need to be declared; nothing here calls them.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import_timm.library = library  # type: ignore[attr-defined]  # the declarations live as long as this object
    import timm

    return timm


def export(
    model: torch.nn.Module, path: Path, size: int, outputs: Sequence[str] = ("output",), opset: int = OPSET
) -> None:
    """Write a module as ONNX: `input` [N, 3, size, size], and its outputs by these names; N is free."""
    import torch

    axes = {name: {0: "batch"} for name in ("input", *outputs)}
    with warnings.catch_warnings(), torch.inference_mode():
        # torch >= 2.9: the exporter that keeps the final Gemm is called legacy; the new one needs another package
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # sizes become constants: they are
        torch.onnx.export(
            model, (torch.zeros(1, 3, size, size),), str(path), input_names=["input"], output_names=list(outputs),
            opset_version=opset, dynamic_axes=axes, dynamo=False,
        )  # fmt: skip


def explain_unreadable(path: Path, error: Exception) -> str:
    """Why a file could not be loaded as ONNX, in the words of its user."""
    try:
        with open(path, "rb") as handle:
            if handle.read(len(inputs.LFS)) == inputs.LFS:
                return "a git-lfs pointer in place of the file: `git lfs pull` fetches it"
    except OSError as problem:
        return str(problem.strerror)
    said = " ".join(str(error).split())[:300]
    lacks = "it keeps its weights in a file beside it: put that there, too; " if "should be stored in" in said else ""
    return f"{lacks}{type(error).__name__}: {said}"
