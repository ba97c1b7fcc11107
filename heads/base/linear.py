"""Linear maps from columns to outputs, and least squares on rows that are read once, some thousands at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heads.data.table import LabelledRows

RIDGE = 1e-3
"""Penalty on the coefficients of standardised columns, as a part of their variance: columns that are one share it."""


@dataclass(frozen=True)
class Linear:
    """y = x @ coefficients + intercept."""

    coefficients: NDArray[np.float64]
    """[columns, outputs]."""
    intercept: NDArray[np.float64]
    """[outputs]."""

    def of(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """The regression's values [n, outputs] for features [n, columns]."""
        return x.astype(np.float64) @ self.coefficients + self.intercept

    @staticmethod
    def read(arrays: Mapping[str, NDArray[np.float64]], outputs: int) -> Linear:
        """A map from a file's arrays. Raises ValueError for one of other outputs."""
        one = Linear(arrays["coefficients"], arrays["intercept"])
        shapes = one.coefficients.shape, one.intercept.shape
        if len(shapes[0]) != 2 or shapes[0][1] != outputs or shapes[1] != (outputs,):
            raise ValueError(f"a linear map of the shapes {shapes[0]} and {shapes[1]}, expected {outputs} outputs")
        return one


def softmax(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row's exponentials [n, outputs], as parts of their sum. SciPy has it too, and takes a while to import."""
    powers = np.exp(linear - linear.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def fit_linear(data: LabelledRows) -> Linear:
    """Least squares (with a little ridge) of float truth [N, outputs] on the rows' columns; constant columns get 0."""
    width, n = data.rows.width, max(len(data), 1)
    y = data.truth.astype(np.float64)
    total, products, cross = np.zeros(width), np.zeros((width, width)), np.zeros((width, y.shape[1]))
    shift = data.rows.batch(slice(0, 1))[0].astype(np.float64) if len(data) else np.zeros(width)
    middle, at = y.mean(0), 0
    for chunk in data.rows.chunks():
        values = chunk - shift  # near the mean, so that the difference of the sums loses no digits
        total += values.sum(0)
        products += values.T @ values
        cross += values.T @ (y[at : at + len(values)] - middle)
        at += len(values)
    mean = total / n
    covariance = products / n - np.outer(mean, mean)
    deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    varies = deviation > 1e-6 * (1 + np.abs(mean + shift))
    scale = np.where(varies, deviation, 1.0)
    penalised = covariance / np.outer(scale, scale) + RIDGE * np.eye(width)
    coefficients = np.linalg.solve(penalised, cross / n / scale[:, None]) / scale[:, None]
    coefficients[~varies] = 0.0
    return Linear(coefficients, middle - (mean + shift) @ coefficients)
