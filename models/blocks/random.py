"""Random numbers that differ between replicas."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("unroll")
class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """A seed generator whose replicas draw different numbers.

    Under a `tf.distribute` strategy every replica holds the same state, so Keras' own generator would drop the same
    units on each.
    """

    def next(self, ordered: bool = True) -> tf.Tensor:
        seed = tf.convert_to_tensor(super().next(ordered=ordered))
        context = tf.distribute.get_replica_context()
        if context is None or context.num_replicas_in_sync == 1:
            return seed
        replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
        # The 32-bit golden ratio keeps the seeds of neighbouring replicas far apart; the first replica keeps its seed.
        return seed + tf.stack([replica * tf.constant(0x9E3779B9, seed.dtype), tf.zeros([], seed.dtype)])
