"""LightAutoML as a guest: what it calls things, the table that it takes, and a process as it was when it has gone."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = {"linear_l2": "LinearL2", "lgb": "LightGBM", "rf": "RFSklearn", "cb": "CatBoost", "xgb": "XGBoost"}
"""What a finished algorithm is called inside LightAutoML."""

UNUSED_MODULES = (
    "lightautoml.automl.presets.utils",
    "lightautoml.ml_algo.dl_model",
    "lightautoml.ml_algo.icl",
    "torch._dynamo",
    "torch._meta_registrations",
    "torch.export",
)
"""LightAutoML's plots and neural networks, torch's compiler: their imports take half as long as all fits of the demo.
"""


class _Unused(ModuleType):
    """Stands for a module that no algorithm of ours uses. Classes are taken from it, and never called; torch asks its
    compiler to leave functions as they are.
    """

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})

    @staticmethod
    def disable(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """The function."""
        return function


def spare_imports() -> None:
    """Let a process that does nothing but fit do without the imports of UNUSED_MODULES."""
    sys.modules.update({name: _Unused(name) for name in UNUSED_MODULES if name not in sys.modules})


@contextmanager
def lightautoml() -> Iterator[None]:
    """A block in which LightAutoML may run: numpy's error state and warnings are as before afterwards.

    Importing it sets numpy's division errors to "ignore" for the whole process, it uses pandas calls that are going
    away, and it warns of optional packages for text; none of that is about the user's data.
    """
    state = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            np.seterr(**state)


def as_frame(x: NDArray[np.float32]) -> Any:
    """Columns f0, f1, ... as pandas."""
    import pandas

    return pandas.DataFrame(x, columns=[f"f{i}" for i in range(x.shape[1])])


def long_name(algorithm: str) -> str:
    """LightAutoML's name of an algorithm of use_algos, e.g. lgb_tuned -> Tuned_LightGBM."""
    base = algorithm.removesuffix("_tuned")
    return NAMES[base] if base == algorithm else f"Tuned_{NAMES[base]}"


def short_name(name: str) -> str:
    """An algorithm's name without its place: Lvl_0_Pipe_1_Mod_0_LightGBM -> LightGBM."""
    return name.split("_Mod_")[-1].partition("_")[2] if "_Mod_" in name else name
