from __future__ import annotations

import importlib.util
import sys
import warnings

import numpy as np
import pytest

from heads.families.lama import library as lama_library


def test_names_of_algorithms() -> None:
    assert lama_library.long_name("lgb") == "LightGBM" and lama_library.long_name("cb_tuned") == "Tuned_CatBoost"
    assert lama_library.short_name("Lvl_0_Pipe_1_Mod_0_Tuned_LightGBM") == "Tuned_LightGBM"


def test_numpy_and_warnings_are_as_they_were_also_after_a_failure() -> None:
    before = np.geterr(), list(warnings.filters)
    with pytest.raises(OSError, match="boom"), lama_library.lightautoml():
        np.seterr(all="ignore")
        warnings.warn("nobody hears this", stacklevel=1)
        raise OSError("boom")
    assert (np.geterr(), list(warnings.filters)) == before


def test_columns_are_numbered() -> None:
    frame = lama_library.as_frame(np.arange(6, dtype=np.float32).reshape(2, 3))
    assert list(frame.columns) == ["f0", "f1", "f2"] and frame["f2"].tolist() == [2, 5]


@pytest.mark.parametrize("name", lama_library.UNUSED_MODULES)
def test_what_is_left_out_of_imports_is_there(name: str) -> None:
    assert importlib.util.find_spec(name) is not None, "another version has it elsewhere: nothing is spared any more"


def test_what_a_process_does_without_leaves_functions_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    for name in lama_library.UNUSED_MODULES:
        sys.modules.pop(name, None)
    lama_library.spare_imports()
    left = [sys.modules[name] for name in lama_library.UNUSED_MODULES]
    assert all(module.disable(len, True, wrapping=False) is len for module in left)
    assert isinstance(left[0].TorchModel, type)
