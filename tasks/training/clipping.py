"""Gradient clipping, after the gradients of all replicas were summed."""

from typing import NamedTuple

import tensorflow as tf


class Clipping(NamedTuple):
    """Up to three limits, applied in this order; None means no limit.

    Attributes:
        clipvalue: Each element g becomes min(max(g, -clipvalue), clipvalue).
        clipnorm: Each variable's gradient g becomes g * min(1, clipnorm / |g|).
        global_clipnorm: All gradients become g * min(1, global_clipnorm / n), with n the norm of all together (Pascanu
            et al., 2013, https://arxiv.org/abs/1211.5063).
    """

    clipvalue: float | None = None
    clipnorm: float | None = None
    global_clipnorm: float | None = None

    def __call__(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the clipped gradients, in the same shapes and dtypes."""
        if self.clipvalue is not None:
            gradients = [tf.clip_by_value(g, -self.clipvalue, self.clipvalue) for g in gradients]
        if self.clipnorm is not None:
            gradients = [tf.clip_by_norm(g, self.clipnorm) for g in gradients]
        if self.global_clipnorm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self.global_clipnorm)
        return gradients


UNCLIPPED = Clipping()
