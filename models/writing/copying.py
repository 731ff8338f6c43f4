"""Unknown words copied from the source (Luong et al., 2015, Addressing the rare word problem in neural machine
translation, https://arxiv.org/abs/1410.8206; here the attention points to them, as in Jean et al., 2015)."""

import tensorflow as tf

from ..decoding import Hypotheses


def attended_tokens(found: Hypotheses, source_tokens: tf.Tensor) -> tf.Tensor:
    """Returns the token of the source that each token of the hypotheses attended to most.

    Args:
        found: Hypotheses whose alignments have the positions of `source_tokens`.
        source_tokens: string [batch, positions], known to the model or not.

    Returns:
        string [batch, beams, time].
    """
    return tf.gather(source_tokens, tf.argmax(found.alignments, axis=3), batch_dims=1)
