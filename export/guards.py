"""Guards around a signature, in its graph: wrong shapes are refused in a sentence, and zero rows give zero rows."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from .bundle import Signature


def guarded(signature: Signature) -> Callable[..., dict[str, tf.Tensor]]:
    """Returns the function of a signature with guards.

    It refuses inputs of another rank, of other sizes after the first, or with unequal numbers of rows. Servers pass
    them on, and the bare function would fail somewhere, or answer another question.
    """
    # Whatever has no batch dimension is refused by the verification.
    batched = all(spec.shape.rank for spec in signature.inputs.values())

    def function(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        if not batched:
            return dict(signature.function(**inputs))
        with tf.control_dependencies([_refuse_wrong_shapes(inputs, signature.inputs)]):
            inputs = {name: tf.identity(value) for name, value in inputs.items()}
        rows = tf.shape(next(iter(inputs.values())))[0]
        outputs = signature.function(**_with_a_row(inputs, rows))
        return {name: value[:rows] if value.shape.rank else value for name, value in outputs.items()}

    return function


def _refuse_wrong_shapes(inputs: Mapping[str, tf.Tensor], specs: Mapping[str, tf.TensorSpec]) -> tf.Operation:
    """Returns the assertion that inputs have the shapes of their specifications, and equal numbers of rows."""
    # As strings, which no optimiser folds to the ranks that the graph declares.
    shapes = {
        name: tf.strings.reduce_join(tf.strings.as_string(tf.shape(value)), separator=",")
        for name, value in inputs.items()
    }
    sizes = {name: [str(size) for size in specs[name].shape[1:]] for name in inputs}
    fits = [
        tf.strings.regex_full_match(shape, ",".join([r"\d+", *sizes[name]])) for name, shape in shapes.items()
    ]
    rows = tf.strings.regex_replace(tf.stack([*shapes.values()]), ",.*", "")
    found = [tf.strings.join([name, " [", shape, "]"]) for name, shape in shapes.items()]
    return tf.debugging.Assert(
        tf.reduce_all(fits) & tf.reduce_all(tf.equal(rows, rows[0])),
        [
            tf.strings.join(
                [
                    "The inputs have the shapes ",
                    tf.strings.reduce_join(found, separator=", "),
                    "; give ",
                    ", ".join(f"{name} [{','.join(['rows', *sizes[name]])}]" for name in inputs),
                    ", with equal numbers of rows." if len(inputs) > 1 else ".",
                ]
            )
        ],
    )


def _with_a_row(inputs: Mapping[str, tf.Tensor], rows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns a row of zeros or of empty strings in place of no rows, which not every operation takes."""
    return tf.cond(
        tf.equal(rows, 0),
        lambda: {name: tf.zeros([1, *value.shape[1:]], value.dtype) for name, value in inputs.items()},
        lambda: dict(inputs),
    )
