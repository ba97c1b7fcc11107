from __future__ import annotations

import numpy as np
import pytest

from heads.data import float16

HALVES = np.arange(65536, dtype=np.uint16).view(np.float16)


@pytest.mark.parametrize("worth", [0, float16.WORTH_A_KERNEL])
def test_every_half_is_widened_exactly(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float16, "WORTH_A_KERNEL", worth)
    monkeypatch.setattr(float16, "_values_so_far", 0)
    out = np.empty((1, 65536), np.float32)
    float16.widen(HALVES[None], np.array([0]), out)
    np.testing.assert_array_equal(out[0], HALVES.astype(np.float32))


@pytest.mark.parametrize("worth", [0, float16.WORTH_A_KERNEL])
def test_rows_in_any_order_between_other_columns(worth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float16, "WORTH_A_KERNEL", worth)
    monkeypatch.setattr(float16, "_values_so_far", 0)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 7)).astype(np.float16)
    rows = rng.integers(0, 50, 20)
    out = np.full((20, 12), 9, np.float32)
    float16.widen(values, rows, out, 3)
    np.testing.assert_array_equal(out[:, 3:10], values[rows].astype(np.float32))
    assert (out[:, :3] == 9).all() and (out[:, 10:] == 9).all()
    float16.widen(values, np.empty(0, np.int64), np.empty((0, 7), np.float32))


def test_a_process_that_has_widened_much_uses_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small its batches are."""
    calls: list[int] = []
    monkeypatch.setattr(float16, "_kernel", lambda: lambda *given: calls.append(1))
    monkeypatch.setattr(float16, "_values_so_far", 0)
    monkeypatch.setattr(float16, "WORTH_A_KERNEL", 100)
    for _ in range(8):
        float16.widen(np.zeros((9, 5), np.float16), np.array([1, 2, 3, 4]), np.empty((4, 5), np.float32))
    assert len(calls) == 4


@pytest.mark.parametrize("row", [-1, 50])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(IndexError, match="of 50"):
        float16.widen(np.zeros((50, 2), np.float16), np.array([3, row]), np.empty((2, 2), np.float32))


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("piece", [1000, float16.PIECE])
def test_what_is_not_finite_is_seen_wherever_it_is(value: float, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.tile(HALVES[np.isfinite(HALVES)], (3, 1))
    monkeypatch.setattr(float16, "PIECE", piece)
    assert float16.is_finite(values) and float16.is_finite(values[:, ::2]) and float16.is_finite(values[:0])
    for row, column in ((0, 0), (2, values.shape[1] - 1), (1, 77)):
        damaged = values.copy()
        damaged[row, column] = value
        assert not float16.is_finite(damaged)
