"""How one network of the mlp family learns: many compiled steps a call, the best epoch chosen on dev rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heads import mlp_network, scaling
from heads.base import OnProgress, class_weights, unit_weights
from heads.mlp_batches import batches
from heads.table import CHUNK, Labelled, Rows
from heads.tasks import Task

if TYPE_CHECKING:
    from heads.mlp import MlpSettings

SELECTION = {"au": "dev mean average precision", "expr": "dev macro F1", "va": "dev mean CCC"}
LOOKS = 50
"""On small corpora epochs are short: dev is looked at this often, not every epoch."""
MOST_FOR_MOMENTS = 200_000
"""Means and deviations are those of every n-th row, so that at most this many are read for them."""
WORTH_SHARING = 2**24
"""Multiplications per batch and layer from which a batch is cut in two halves that may run side by side."""


def moments(rows: Rows, power: float = 1.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column, in one pass with float64 sums; a constant column has deviation 1.

    An embedding's columns are taken to the signed `power` first (see heads.scaling).
    """
    rows = rows.take(np.arange(0, len(rows), max(1, -(-len(rows) // MOST_FOR_MOMENTS))))
    embedding = scaling.of_embedding(rows)
    total, squares = np.zeros(rows.width), np.zeros(rows.width)
    shift: NDArray[np.float64] | None = None
    for chunk in rows.chunks():
        values = scaling.powered(chunk, embedding, power).astype(np.float64)
        shift = values[0].copy() if shift is None else shift
        values -= shift  # near the mean, so that the difference of the sums loses no digits
        total += values.sum(0)
        squares += np.einsum("ij,ij->j", values, values)
    mean = total / max(len(rows), 1)
    deviation = np.sqrt(np.maximum(squares / max(len(rows), 1) - mean**2, 0.0))
    if shift is not None:
        mean = mean + shift
    deviation[deviation <= 1e-6 * (1 + np.abs(mean))] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


def label_weights(truth: NDArray[np.generic], task: Task, balance: float) -> NDArray[np.float32]:
    """What each label weighs: expr [8], mean 1 over the rows; au [2, 12], of frames without and with the unit; va [0].

    The published formulas at balance 1 (see heads.base), all 1 at 0.
    """
    if task.name == "expr":
        counts = np.bincount(truth, minlength=len(task.outputs))
        weights = class_weights(counts, balance)
        return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)
    if task.name == "au":
        return np.stack(unit_weights(truth.sum(0, dtype=np.int64), len(truth), balance)).astype(np.float32)
    return np.empty(0, np.float32)


def selection_score(task: Task, truth: NDArray[np.generic], scores: NDArray[np.float32]) -> float:
    """What the best epoch has most of, over all dev rows pooled; larger is better.

    expr: the official macro F1 of the argmax; va: the official mean CCC; au: mean average precision over the units that
    occur, because AU thresholds are chosen later and F1 at 0.5 would prefer epochs that happen to fit 0.5.
    """
    if task.name == "expr":
        return task.score(truth, scores.argmax(1))
    if task.name == "va":
        score = task.score(truth, scores)
        return score if np.isfinite(score) else -1.0
    from sklearn.metrics import average_precision_score

    occur = np.flatnonzero(truth.any(0))
    return float(np.mean([average_precision_score(truth[:, i], scores[:, i]) for i in occur])) if len(occur) else 0.0


def predicted(model: Any, rows: Rows) -> NDArray[np.float32]:
    """A model's scores of all rows, in chunks of one size so that equal rows get equal bits."""
    out = np.empty((len(rows), model.output_shape[1]), np.float32)
    for start in range(0, len(rows), CHUNK):
        out[start : start + CHUNK] = model(rows.batch(slice(start, start + CHUNK)), training=False).numpy()
    return out


class Training:
    """One network on its way: `model`, and what it takes to go on by an epoch.

    Raises nothing of its own; the same rows, settings and seed give the same weights to the bit.
    """

    def __init__(
        self,
        task: Task,
        settings: MlpSettings,
        train: Labelled,
        epochs: int,
        seed: int,
        moments: Any = None,
        embedding: NDArray[np.bool_] | None = None,
    ) -> None:
        self.task, self.settings, self.train = task, settings, train
        self.batch = min(settings.batch, len(train))
        self.steps = len(train) // self.batch
        self.model = mlp_network.build(task, train.rows.width, settings, seed, moments, embedding)
        self.rng = np.random.default_rng(seed)
        self._learn = self._compiled(epochs * self.steps)

    def epoch(self) -> None:
        """Learn from every row once, in a new order; rows that fill no batch sit this epoch out."""
        import tensorflow as tf

        order = self.rng.permutation(len(self.train))
        for parts, truth in batches(self.train, order, self.batch):
            self._learn([tf.convert_to_tensor(part) for part in parts], tf.convert_to_tensor(truth))

    def run(self, dev: Labelled, epochs: int, on_progress: OnProgress) -> tuple[int, float | None]:
        """Learn for `epochs` and go back to the best one by dev's `selection_score`; returns (best epoch, its score).

        Without dev rows the last epoch is the best, and its score None.
        """
        best: tuple[float, int, Any] = (-np.inf, epochs, None)
        every = max(1, epochs // LOOKS)
        for epoch in range(1, epochs + 1):
            on_progress((epoch - 1) / epochs, f"epoch {epoch} of {epochs}")
            self.epoch()
            if len(dev) and (epoch % every == 0 or epoch == epochs):
                on_progress((epoch - 0.5) / epochs, f"epoch {epoch} of {epochs}, dev")
                score = selection_score(self.task, dev.truth, predicted(self.model, dev.rows))
                if score > best[0]:
                    best = (score, epoch, self.model.get_weights())
            on_progress(epoch / epochs, f"epoch {epoch} of {epochs}")
        if best[2] is not None:
            self.model.set_weights(best[2])
        return best[1], float(best[0]) if len(dev) else None

    def _compiled(self, total: int) -> Any:
        """The compiled steps: (features per block [k, batch, D], truth [k, batch, ...]) -> None, k steps."""
        import tensorflow as tf

        task, model, batch, rows = self.task, self.model, self.batch, self.train.rows
        optimizer = self._optimizer(total)
        by_label = label_weights(self.train.truth, task, self.settings.balance)
        large = batch * rows.width * max(self.settings.hidden, len(task.outputs)) >= WORTH_SHARING
        halves = [batch // 2, batch - batch // 2] if large else [batch]

        def scores(parts: tuple[Any, ...]) -> Any:
            wide = [tf.cast(part, tf.float32) for part in parts]
            return model(wide[0] if len(wide) == 1 else tf.concat(wide, 1), training=True)

        @tf.function(
            input_signature=[
                [tf.TensorSpec([None, batch, b.values.shape[1]], b.values.dtype) for b in rows.blocks],
                tf.TensorSpec([None, batch, *self.train.truth.shape[1:]], self.train.truth.dtype),
            ]
        )
        def learn(parts: Any, truth: Any) -> None:
            for i in tf.range(tf.shape(truth)[0]):
                shares = zip(*(tf.split(part[i], halves) for part in parts), strict=True)
                with tf.GradientTape() as tape:
                    out = tf.concat([scores(share) for share in shares], 0)
                    loss = mlp_network.loss_of(
                        task, mlp_network.targets(task, truth[i]), out, mlp_network.weigh(task, truth[i], by_label)
                    )
                    if model.losses:
                        loss += tf.add_n(model.losses)
                variables = model.trainable_variables
                optimizer.apply(tape.gradient(loss, variables), variables)

        return learn.get_concrete_function()

    def _optimizer(self, total: int) -> Any:
        """AdamW over `total` steps; biases do not decay."""
        import keras

        s = self.settings
        rate = keras.optimizers.schedules.CosineDecay(s.learning_rate, total) if s.cosine else s.learning_rate
        optimizer = keras.optimizers.AdamW(rate, weight_decay=s.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(self.model.trainable_variables)
        return optimizer
