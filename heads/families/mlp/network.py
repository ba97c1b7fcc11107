"""The networks of the mlp family and their losses, as Keras layers and TensorFlow ops.

EXPR: Dense 128 relu -> 8 softmax, cross-entropy with class weights. AU: Dense 128 relu -> 12 sigmoid, binary
cross-entropy weighted per unit. VA: one linear layer + tanh, loss 1 - (CCC_V + CCC_A) / 2 per batch.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heads.abaw.tasks import Task
from heads.base import scaling
from heads.base.spare import hide
from heads.base.threads import threads

if TYPE_CHECKING:
    from heads.families.mlp.settings import MlpSettings

ACTIVATIONS = {"multilabel": "sigmoid", "multiclass": "softmax", "regression": "tanh"}
TINY = 1e-7


UNUSED_MODULES = ("h5py", "matplotlib", "pandas", "scipy", "sklearn")
"""Keras imports them where they are installed, for what no head does: more than half as long again."""


def load() -> None:
    """Import TensorFlow and Keras, the latter as if UNUSED_MODULES were not installed: for processes that do nothing
    but train, as nothing else in them can miss these.
    """
    if "keras" in sys.modules:
        return
    _set_environment()
    with hide(UNUSED_MODULES):
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


def _set_environment() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # two heads at once must not fight for one GPU's memory


def tensorflow() -> Any:
    """TensorFlow, quiet and deterministic. Each op runs on one thread; ops that do not wait for each other may run on
    several (heads.base.threads), so their number does not change a bit of the result.
    """
    _set_environment()
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads())
    except RuntimeError:
        pass  # already running in this process; op determinism holds all the same
    tf.config.experimental.enable_op_determinism()
    return tf


def build(
    task: Task,
    width: int,
    settings: MlpSettings,
    seed: int,
    moments: tuple[Any, Any] | None = None,
    embedding: NDArray[np.bool_] | None = None,
    times: NDArray[np.float32] | None = None,
) -> Any:
    """The Keras model: float32 [n, width] -> scores [n, outputs]. Power and standardisation have no weights.

    `embedding` [width] says which columns `embedding_power` is for. With `times` [width] columns are bent once they are
    standardised (scaling.bend_layer).
    """
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
    if embedding is not None and settings.embedding_power != 1:
        layers.append(scaling.power_layer(embedding, settings.embedding_power))
    if moments is not None:
        layers.append(keras.layers.Normalization(mean=moments[0], variance=np.square(moments[1], dtype=np.float32)))
    if times is not None:
        layers.append(scaling.bend_layer(times))
    if settings.input_dropout:
        layers.append(keras.layers.Dropout(settings.input_dropout, seed=seed * 10 + 2))
    if settings.hidden:
        layers.append(dense(settings.hidden, "relu", 0))
    if settings.dropout:
        layers.append(keras.layers.Dropout(settings.dropout, seed=seed * 10 + 3))
    layers.append(dense(len(task.outputs), ACTIVATIONS[task.labels], 1))
    return keras.Sequential(layers)


def targets(task: Task, truth: Any) -> Any:
    """A batch's truth as the loss wants it: float32 [n, outputs], expr one-hot."""
    import tensorflow as tf

    if task.is_multiclass:
        return tf.one_hot(tf.cast(truth, tf.int32), len(task.outputs))
    return tf.cast(truth, tf.float32)


def weigh(task: Task, truth: Any, by_label: NDArray[np.float32]) -> Any:
    """The weights of a batch: expr [n] by class (by_label [8]), au [n, 12] by side (by_label [2, 12]), va 1."""
    import tensorflow as tf

    if task.is_multiclass:
        return tf.gather(by_label, tf.cast(truth, tf.int32))
    return tf.where(truth > 0, by_label[1], by_label[0]) if task.is_multilabel else tf.constant(1.0)


def create_loss(task: Task, truth: Any, scores: Any, weights: Any) -> Any:
    """The task's loss of one batch, as TensorFlow ops.

    truth: what `targets` gives; weights: expr [n], au [n, 12], va unused. The mean is over the batch, not over weights.
    """
    import tensorflow as tf

    if task.is_regression:
        mean_t, mean_p = tf.reduce_mean(truth, 0), tf.reduce_mean(scores, 0)
        t, p = truth - mean_t, scores - mean_p
        below = tf.reduce_mean(t * t, 0) + tf.reduce_mean(p * p, 0) + tf.square(mean_t - mean_p) + TINY
        return 1.0 - tf.reduce_mean(2.0 * tf.reduce_mean(t * p, 0) / below)
    clipped = tf.clip_by_value(scores, TINY, 1.0 - TINY)
    if task.is_multiclass:
        return -tf.reduce_mean(weights * tf.reduce_sum(truth * tf.math.log(clipped), 1))
    each = truth * tf.math.log(clipped) + (1.0 - truth) * tf.math.log(1.0 - clipped)
    return -tf.reduce_mean(weights * each)
