"""How one network of the mlp family learns: many compiled steps a call, the best epoch chosen on dev rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from heads.abaw.tasks import Task
from heads.base.head import OnProgress
from heads.base.selection import best_epoch, label_weights, selection_score
from heads.data.table import LabelledRows, Rows, read_ahead
from heads.families.mlp import network as mlp_network

if TYPE_CHECKING:
    from heads.families.mlp.settings import MlpSettings


WORTH_SHARING = 2**24
"""Multiplications per batch and layer from which a batch is cut in two halves that may run side by side."""


def predict_rows(model: Any, rows: Rows) -> NDArray[np.float32]:
    """A model's scores of all rows, in chunks of one size so that equal rows get equal bits."""
    return rows.map(lambda chunk: model(chunk, training=False).numpy(), model.output_shape[1])


class Training:
    """One network on its way: `model`, and what it takes to go on by an epoch. The same seed gives the same weights."""

    def __init__(
        self,
        task: Task,
        settings: MlpSettings,
        train: LabelledRows,
        epochs: int,
        seed: int,
        moments: Any = None,
        embedding: NDArray[np.bool_] | None = None,
        times: NDArray[np.float32] | None = None,
    ) -> None:
        self.task, self.settings, self.train = task, settings, train
        self.batch = min(settings.batch, len(train))
        self.steps = len(train) // self.batch
        self._kind = settings, moments, embedding, times
        self.model = self._build(seed)
        self.rng = np.random.default_rng(seed)
        self._optimizer = self._create_optimizer(epochs * self.steps)
        self._begun = [variable.numpy() for variable in self._optimizer.variables]
        self._learn = self._compiled()

    def _build(self, seed: int) -> Any:
        settings, *columns = self._kind
        return mlp_network.build(self.task, self.train.rows.width, settings, seed, *columns)

    def restart(self, seed: int) -> Any:
        """Begin anew with another seed, as a new `Training` would, but compiled already; returns what was learnt, a
        model of its own.
        """
        learnt = self._build(seed)
        first = [variable.numpy() for variable in learnt.variables]
        learnt.set_weights(self.model.get_weights())
        variables = [*self.model.variables, *self._optimizer.variables]
        for variable, value in zip(variables, [*first, *self._begun], strict=True):
            variable.assign(value)
        self.rng = np.random.default_rng(seed)
        return learnt

    def epoch(self) -> None:
        """Learn from every row once, in a new order; rows that fill no batch sit this epoch out."""
        import tensorflow as tf

        order = self.rng.permutation(len(self.train))
        for parts, truth in batches(self.train, order, self.batch):
            self._learn([tf.convert_to_tensor(part) for part in parts], tf.convert_to_tensor(truth))

    def run(self, dev: LabelledRows, epochs: int, on_progress: OnProgress) -> tuple[int, float | None]:
        """Learn for `epochs` and go back to the best one by dev's `selection_score`; returns (best epoch, its score).

        Without dev rows the last epoch is the best, and its score None.
        """

        def score() -> float:
            return selection_score(self.task, dev.truth, self.score_rows(dev.rows))

        best, reached, weights = best_epoch(
            epochs, self.epoch, score if len(dev) else None, self.model.get_weights, on_progress
        )
        if weights is not None:
            self.model.set_weights(weights)
        return best, reached

    def score_rows(self, rows: Rows) -> NDArray[np.float32]:
        """`predict_rows` of the model as it is now, to the bit: layer by layer, without what Keras does around each,
        which takes longer. (Compiled, fused steps round in another way.)
        """
        import tensorflow as tf

        def forward(chunk: NDArray[np.float32]) -> NDArray[np.generic]:
            values = tf.convert_to_tensor(chunk)
            for layer in self.model.layers:
                values = layer.call(values)
            return values.numpy()  # type: ignore[no-any-return]

        return rows.map(forward, len(self.task.outputs))

    def _compiled(self) -> Any:
        """The compiled steps: (features per block [k, batch, D], truth [k, batch, ...]) -> None, k steps."""
        import tensorflow as tf

        task, model, batch, rows = self.task, self.model, self.batch, self.train.rows
        optimizer = self._optimizer
        by_label = label_weights(self.train.truth, task, self.settings.balance)
        large = batch * rows.width * max(self.settings.hidden, len(task.outputs)) >= WORTH_SHARING
        halves = [batch // 2, batch - batch // 2] if large else [batch]

        def scores(parts: tuple[Any, ...]) -> Any:
            wide = [tf.cast(part, tf.float32) for part in parts]
            return model(wide[0] if len(wide) == 1 else tf.concat(wide, 1), training=True)

        def step(i: Any, parts: Any, truth: Any) -> None:
            shares = zip(*(tf.split(part[i], halves) for part in parts), strict=True)
            with tf.GradientTape() as tape:
                out = tf.concat([scores(share) for share in shares], 0)
                loss = mlp_network.create_loss(
                    task, mlp_network.targets(task, truth[i]), out, mlp_network.weigh(task, truth[i], by_label)
                )
                if model.losses:
                    loss += tf.add_n(model.losses)
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)

        @tf.function(
            input_signature=[
                [tf.TensorSpec([None, batch, b.values.shape[1]], b.values.dtype) for b in rows.blocks],
                tf.TensorSpec([None, batch, *self.train.truth.shape[1:]], self.train.truth.dtype),
            ],
            autograph=False,  # to rewrite Keras's Python takes as long as to trace it
        )
        def learn(parts: Any, truth: Any) -> None:
            def body(i: Any) -> tuple[Any]:
                step(i, parts, truth)
                return (i + 1,)

            tf.while_loop(lambda i: i < tf.shape(truth)[0], body, [tf.constant(0)])

        return learn.get_concrete_function()

    def _create_optimizer(self, total: int) -> Any:
        """AdamW over `total` steps; biases do not decay."""
        import keras

        s = self.settings
        rate = keras.optimizers.schedules.CosineDecay(s.learning_rate, total) if s.cosine else s.learning_rate
        rate = coslog4(s.learning_rate, total) if s.schedule == "coslog4" else rate
        optimizer = keras.optimizers.AdamW(rate, weight_decay=s.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        optimizer.build(self.model.trainable_variables)
        return optimizer


def coslog4(highest: float, total: int) -> Any:
    """The rate of each of `total` steps as RealMLP has it (arXiv 2407.04491), a Keras schedule: at the part t of them
    highest / 2 (1 - cos(2 pi log2(1 + 15 t))), which begins and ends at 0 and returns there at 1/15, 3/15 and 7/15.
    """
    import keras

    class Coslog4(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        """Four periods of a cosine of the logarithm."""

        def __call__(self, step: Any) -> Any:
            part = keras.ops.cast(step, "float32") / total
            return highest / 2 * (1 - keras.ops.cos(2 * np.pi * keras.ops.log2(1 + 15 * part)))

    return Coslog4()


BYTES = 2**25
"""Of features that are gathered at a time."""
MAX_BATCHES = 64
"""Batches that are gathered at a time."""

Parts = tuple[NDArray[np.generic], ...]
"""Per block of columns: the features of some batches, [batches, batch, D], in the block's own type."""


def batches_per_read(rows: Rows, batch: int) -> int:
    """How many batches of these rows are gathered at a time."""
    size = sum(block.values.shape[1] * block.values.itemsize for block in rows.blocks)
    return min(MAX_BATCHES, max(1, BYTES // max(1, size * batch)))


def batches(
    labelled: LabelledRows, order: NDArray[np.int64], batch: int
) -> Iterator[tuple[Parts, NDArray[np.generic]]]:
    """The rows in `order` as (features, truth [batches, batch, ...]), `batches_per_read` at a time, the next ones read
    ahead. Rows at the end that fill no batch are left out.
    """
    rows = labelled.rows
    step = batches_per_read(rows, batch) * batch
    end = len(order) // batch * batch

    def gather(start: int) -> tuple[Parts, NDArray[np.generic]]:
        items = order[start : min(start + step, end)]
        at = rows.pick[items]
        features = tuple(block.values[at].reshape(-1, batch, block.values.shape[1]) for block in rows.blocks)
        return features, labelled.truth[items].reshape(-1, batch, *labelled.truth.shape[1:])

    return read_ahead(gather, range(0, end, step))
