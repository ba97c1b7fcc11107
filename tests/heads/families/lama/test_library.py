from __future__ import annotations

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
