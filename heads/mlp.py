"""The mlp family: Keras on TensorFlow, with the published losses and better habits around them.

EXPR: Dense 128 relu -> 8 softmax, sparse cross-entropy with class weights. AU: Dense 128 relu -> 12 sigmoid, binary
cross-entropy weighted per unit. VA: one linear layer + tanh, loss 1 - (CCC_V + CCC_A) / 2 per batch.
Added to the published way: inputs standardised by train's moments, dropout, decoupled weight decay, a cosine learning
rate, and the best epoch chosen on by-video dev rows by what the task is graded on (`selection_score`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from extract.rundir import write_json, writing
from heads.base import Head, HeadSettings, OnProgress, _quiet, row_weights
from heads.table import CHUNK, Labelled, Rows
from heads.tasks import Task

ACTIVATIONS = {"au": "sigmoid", "expr": "softmax", "va": "tanh"}
SELECTION = {"au": "dev mean average precision", "expr": "dev macro F1", "va": "dev mean CCC"}
LOOKS = 50
"""On small corpora epochs are short: dev is looked at this often, not every epoch."""
TINY = 1e-7


class MlpSettings(HeadSettings):
    """Settings of an mlp; the published ones are hidden 128 (VA: 0), everything below `balance` at 0, no cosine."""

    family: Literal["mlp"] = "mlp"
    hidden: int = Field(default=128, ge=0)
    """Units of the hidden layer; 0: none, a linear model."""
    epochs: int = Field(default=10, ge=1)
    min_steps: int = Field(default=0, ge=0)
    """Small corpora get more epochs, until this many batches were learnt from."""
    batch: int = Field(default=256, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    cosine: bool = True
    """Let the learning rate fall to 0 along half a cosine."""
    balance: float = Field(default=1.0, ge=0, le=1)
    """Power of the class or unit weights: 1 is the published formula, 0 no weights."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Of the inputs to the last layer."""
    input_dropout: float = Field(default=0.0, ge=0, lt=1)
    l2: float = Field(default=0.0, ge=0)
    """Penalty on the kernels in the loss (the published VA head: 1/1024)."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled, as in AdamW."""
    standardise: bool = True
    members: int = Field(default=1, ge=1)
    """Networks of different seeds whose scores are averaged."""


def moments(rows: Rows) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each column, in one pass with float64 sums; a constant column has deviation 1."""
    total, squares = np.zeros(rows.width), np.zeros(rows.width)
    shift: NDArray[np.float64] | None = None
    for chunk in rows.chunks():
        values = chunk.astype(np.float64)
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


def tensorflow() -> Any:
    """TensorFlow, quiet, deterministic and on one CPU thread."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # two heads at once must not fight for one GPU's memory
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # already running in this process; op determinism holds all the same
    tf.config.experimental.enable_op_determinism()
    return tf


def build(task: Task, width: int, settings: MlpSettings, seed: int, moments: tuple[Any, Any] | None = None) -> Any:
    """The Keras model: float32 [n, width] -> scores [n, outputs]. Standardisation has no weights of its own."""
    tensorflow()
    import keras

    def dense(units: int, activation: str, number: int) -> Any:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed * 10 + number),
            kernel_regularizer=keras.regularizers.L2(settings.l2) if settings.l2 else None,
        )

    layers = [keras.Input((width,), dtype="float32")]
    if moments is not None:
        layers.append(keras.layers.Normalization(mean=moments[0], variance=np.square(moments[1], dtype=np.float32)))
    if settings.input_dropout:
        layers.append(keras.layers.Dropout(settings.input_dropout, seed=seed * 10 + 2))
    if settings.hidden:
        layers.append(dense(settings.hidden, "relu", 0))
    if settings.dropout:
        layers.append(keras.layers.Dropout(settings.dropout, seed=seed * 10 + 3))
    layers.append(dense(len(task.outputs), ACTIVATIONS[task.name], 1))
    return keras.Sequential(layers)


def loss_of(task: Task, truth: Any, scores: Any, weights: Any) -> Any:
    """The task's loss of one batch, as TensorFlow ops.

    truth: expr one-hot [n, 8], au [n, 12], va [n, 2]; weights: expr [n], au [n, 12], va unused.
    """
    import tensorflow as tf

    if task.name == "va":
        mean_t, mean_p = tf.reduce_mean(truth, 0), tf.reduce_mean(scores, 0)
        t, p = truth - mean_t, scores - mean_p
        below = tf.reduce_mean(t * t, 0) + tf.reduce_mean(p * p, 0) + tf.square(mean_t - mean_p) + TINY
        return 1.0 - tf.reduce_mean(2.0 * tf.reduce_mean(t * p, 0) / below)
    clipped = tf.clip_by_value(scores, TINY, 1.0 - TINY)
    if task.name == "expr":
        return -tf.reduce_mean(weights * tf.reduce_sum(truth * tf.math.log(clipped), 1))
    each = truth * tf.math.log(clipped) + (1.0 - truth) * tf.math.log(1.0 - clipped)
    return -tf.reduce_mean(weights * each)


def targets(task: Task, truth: NDArray[np.generic]) -> NDArray[np.float32]:
    """Truth as the loss wants it: float32, expr one-hot."""
    return np.eye(len(task.outputs), dtype=np.float32)[truth] if task.name == "expr" else truth.astype(np.float32)


class Mlp(Head):
    """One or several Keras networks of one shape; their scores are averaged."""

    Settings = MlpSettings
    settings: MlpSettings

    def fit(self, train: Labelled, dev: Labelled, seed: int, on_progress: OnProgress = _quiet) -> dict[str, Any]:
        """See Head.fit. Without dev rows the last epoch is kept."""
        self.epochs = max(
            self.settings.epochs, -(-self.settings.min_steps // max(1, len(train) // self.settings.batch))
        )
        self.best_epochs = [self.epochs] * self.settings.members
        bests = self._fit(train, dev, seed, on_progress)
        self.best_epochs = [epoch for epoch, _ in bests]
        return {
            "best_epoch": self.best_epochs,
            "epochs": self.epochs,
            "selection": SELECTION[self.task.name],
            "selection_score": [score for _, score in bests],
            "parameters": int(self.models[0].count_params()),
        }

    def refit(self, rows: Labelled, seed: int, on_progress: OnProgress = _quiet) -> None:
        """See Head.refit: from the start again, each member up to its best epoch."""
        self._fit(rows, rows.take(np.empty(0, np.int64)), seed, on_progress)

    def _fit(self, train: Labelled, dev: Labelled, seed: int, on_progress: OnProgress) -> list[tuple[int, Any]]:
        """Train all members up to `best_epochs`; returns each one's (best epoch, its selection score)."""
        self.width = train.rows.width
        self.moments = moments(train.rows) if self.settings.standardise else None
        self.models, bests = [], []
        for member, epochs in enumerate(self.best_epochs):

            def share(done: float, note: str, member: int = member) -> None:
                on_progress((member + done) / self.settings.members, note)

            model, best = self._train(train, dev, seed * 1000 + member, epochs, share)
            self.models.append(model)
            bests.append(best)
        return bests

    def _train(
        self, train: Labelled, dev: Labelled, seed: int, epochs: int, on_progress: OnProgress
    ) -> tuple[Any, tuple[int, float | None]]:
        """Train one network for `epochs` of the schedule; returns it with its best epoch's weights, and that epoch."""
        s = self.settings
        batch = min(s.batch, len(train))
        steps = len(train) // batch
        model = build(self.task, self.width, s, seed, self.moments)
        step = self._stepper(model, self.epochs * steps)
        weights = row_weights(train.truth, self.task, s.balance).astype(np.float32)
        rng = np.random.default_rng(seed)
        best: tuple[float, int, Any] = (-np.inf, epochs, None)
        every = max(1, epochs // LOOKS)
        for epoch in range(1, epochs + 1):
            order = rng.permutation(len(train))
            for start in range(0, steps * batch, batch):
                rows = order[start : start + batch]
                step(train.rows.batch(rows), targets(self.task, train.truth[rows]), weights[rows])
            if len(dev) and (epoch % every == 0 or epoch == epochs):
                score = selection_score(self.task, dev.truth, _scores(model, dev.rows))
                if score > best[0]:
                    best = (score, epoch, model.get_weights())
            on_progress(epoch / epochs, f"epoch {epoch} of {epochs}")
        if best[2] is not None:
            model.set_weights(best[2])
        return model, (best[1], float(best[0]) if len(dev) else None)

    def _stepper(self, model: Any, total: int) -> Any:
        """A compiled training step: (features, targets, weights) -> None."""
        import keras
        import tensorflow as tf

        s = self.settings
        rate = keras.optimizers.schedules.CosineDecay(s.learning_rate, total) if s.cosine else s.learning_rate
        optimizer = keras.optimizers.AdamW(rate, weight_decay=s.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(model.trainable_variables)

        @tf.function(reduce_retracing=True)
        def step(x: Any, y: Any, w: Any) -> None:
            with tf.GradientTape() as tape:
                loss = loss_of(self.task, y, model(x, training=True), w)
                if model.losses:
                    loss += tf.add_n(model.losses)
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)

        return step

    def predict(self, rows: Rows) -> NDArray[np.float32]:
        """See Head.predict: the members' mean."""
        scores = np.mean([_scores(model, rows) for model in self.models], axis=0, dtype=np.float64)
        return scores.astype(np.float32)

    def save(self, folder: Path) -> None:
        """Weights, moments and width as one npz file, and a note of the seedless rest."""
        arrays = {f"{m}.{i}": w for m, model in enumerate(self.models) for i, w in enumerate(model.get_weights())}
        if self.moments is not None:
            arrays |= {"mean": self.moments[0], "deviation": self.moments[1]}
        with writing(folder / "weights.npz") as temporary, open(temporary, "wb") as handle:
            np.savez(handle, **arrays)
        write_json(folder / "mlp.json", {"width": self.width, "members": len(self.models)})

    def load(self, folder: Path) -> None:
        """See Head.load."""
        about = json.loads((folder / "mlp.json").read_text())
        self.width = about["width"]
        with np.load(folder / "weights.npz") as arrays:
            self.moments = (arrays["mean"], arrays["deviation"]) if "mean" in arrays else None
            self.models = []
            for member in range(about["members"]):
                model = build(self.task, self.width, self.settings, 0, self.moments)
                model.set_weights([arrays[f"{member}.{i}"] for i in range(len(model.get_weights()))])
                self.models.append(model)


def _scores(model: Any, rows: Rows) -> NDArray[np.float32]:
    """A model's scores of all rows, in chunks of one size so that equal rows get equal bits."""
    out = np.empty((len(rows), model.output_shape[1]), np.float32)
    for start in range(0, len(rows), CHUNK):
        out[start : start + CHUNK] = model(rows.batch(slice(start, start + CHUNK)), training=False).numpy()
    return out
