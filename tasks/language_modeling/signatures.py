"""The signatures of an exported language model: scoring, generation, and one step for streaming."""

import math
from collections.abc import Iterable, Mapping

import keras
import numpy as np
import tensorflow as tf

from ...export.bundle import Bundle, Signature
from ...models.decoding import Sampling, sample
from ...models.language_model import Reading
from ...models.recurrent import States
from ...models.text import BOUNDARY, UNKNOWN, CharacterCodec
from ...serving.language_modeling import LONGEST_GENERATION

_TEXTS = (["To be, or not to be"], ["def f(x):\n    return x", "", "abc " * 300])
# Prompt, max_length, temperature, top_k, top_p, seed, stop of each row. Low temperatures, so that the last bits of the
# logits, which differ from machine to machine, decide nothing.
_GENERATIONS = (
    [("The ", 20, 0.0, 0, 1.0, 0, "")],
    [
        ("", 10, 0.5, 0, 1.0, 1, "\n"),
        ("for i in ", 12, 0.3, 5, 1.0, 2, "e"),
        ("é" * 40, 4, 0.3, 0, 0.5, 3, ""),
    ],
)


def bundle(model: keras.Model, encoder: CharacterCodec) -> Bundle:
    """Four signatures; [batch] stands for the shape of all that is not told otherwise.

    `serving_default`: text, string -> log_probability, float32, in nats; bits_per_character, float32; characters,
    int32.

    `generate`: prompt, string; max_length, int32, cut to 10,000; temperature, float32, below 0.0001 for the most
    probable text; top_k, int32, 0 or less for all; top_p, float32, 1 or more for all; seed, int64 -> text, string, what
    follows the prompt; score, float32, its log probability given the prompt.

    `generate_until`: the same with stop, string: the text ends with it as soon as it occurs; an empty one never does.

    `step`: character, string, and the state of every layer, float32 [batch, units] each -> probabilities of what comes
    next, float32 [batch, ids], characters, string [batch, ids], and the new states under the names of the old. A text
    begins with states of zeros and the character "". More than one character, a prompt say, is read at once. The first
    of `characters` is "", the end of the text, and the second U+FFFD, any character that is not known.
    """
    strings = tf.TensorSpec([None], tf.string)
    floats, integers = tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int32)
    names = _state_names(model)

    def begin(texts: tf.Tensor) -> tuple[Reading, tf.Tensor]:
        """Reads texts from their start; what is known then, and their lengths."""
        ids = encoder.encode(texts)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        padded = tf.pad(ids.to_tensor(BOUNDARY), [[0, 0], [1, 0]], constant_values=BOUNDARY)
        return model.read(padded, lengths + 1), lengths

    def score(text: tf.Tensor) -> dict[str, tf.Tensor]:
        reading, lengths = begin(text)
        nats = tf.abs(reading.log_probability) / tf.cast(tf.maximum(lengths, 1), tf.float32)
        return {
            "log_probability": reading.log_probability,
            "bits_per_character": nats / math.log(2),
            "characters": lengths,
        }

    def generate(
        prompt: tf.Tensor,
        max_length: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        seed: tf.Tensor,
        stop: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        reading, _ = begin(prompt)
        ids, score = sample(
            model.stepper(),
            reading.logits,
            reading.states,
            Sampling(temperature, top_k, top_p, seed),
            tf.minimum(max_length, LONGEST_GENERATION),
            end=BOUNDARY,
            forbidden=[UNKNOWN],
            stop=None if stop is None else encoder.encode(stop),
        )
        return {"text": encoder.decode(ids), "score": score}

    def step(character: tf.Tensor, **states: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = encoder.encode(character)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        padded = tf.pad(ids.to_tensor(BOUNDARY), [[0, 0], [0, tf.cast(tf.reduce_max(lengths) < 1, tf.int32)]])
        reading = model.read(padded, tf.maximum(lengths, 1), _nested(names, states))
        known = tf.constant(encoder.tokens)
        return {
            "probabilities": tf.nn.softmax(reading.logits),
            # A row for each text, since a server that batches requests splits every output by rows.
            "characters": tf.tile(known[None], [tf.shape(character)[0], 1]),
        } | _flat(names, reading.states)

    inputs = {
        "prompt": strings,
        "max_length": integers,
        "temperature": floats,
        "top_k": integers,
        "top_p": floats,
        "seed": tf.TensorSpec([None], tf.int64),
    }
    until = inputs | {"stop": strings}
    states = {
        name: tf.TensorSpec([None, model.options.units], tf.float32) for layer in names for name in layer
    }
    steps = [_step_request(["", "a"], states), _step_request(["The end", "\n", "x"], states)]
    return Bundle(
        "language_modeling",
        model,
        [encoder],
        {
            "serving_default": Signature(score, {"text": strings}, [{"text": _strings(t)} for t in _TEXTS]),
            "generate": Signature(generate, inputs, [_request(rows, inputs) for rows in _GENERATIONS]),
            "generate_until": Signature(generate, until, [_request(rows, until) for rows in _GENERATIONS]),
            "step": Signature(step, {"character": strings} | states, steps),
        },
    )


def _state_names(model: keras.Model) -> list[list[str]]:
    """The names of each layer's states in the `step` signature."""
    return [
        [f"state_{number}_{name}" for name in layer.cell.state_names]
        for number, layer in enumerate(model.recurrent.layers)
    ]


def _nested(names: list[list[str]], tensors: Mapping[str, tf.Tensor]) -> States:
    return tuple(tuple(tensors[name] for name in layer) for layer in names)


def _flat(names: list[list[str]], states: States) -> dict[str, tf.Tensor]:
    pairs = zip(names, states, strict=True)
    return {name: tensor for layer, state in pairs for name, tensor in zip(layer, state, strict=True)}


def _strings(texts: Iterable[str]) -> np.ndarray:
    return np.array([text.encode() for text in texts], object)


def _request(rows: list[tuple], inputs: Mapping[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    columns = dict(zip(inputs, zip(*rows, strict=True), strict=False))
    return {
        name: _strings(values)
        if inputs[name].dtype == tf.string
        else np.array(values, inputs[name].dtype.as_numpy_dtype)
        for name, values in columns.items()
    }


def _step_request(characters: list[str], states: Mapping[str, tf.TensorSpec]) -> dict[str, np.ndarray]:
    """With states as they may be after some steps."""
    chance = np.random.default_rng(0)
    return {"character": _strings(characters)} | {
        name: chance.uniform(-0.5, 0.5, [len(characters), spec.shape[1]]).astype(np.float32)
        for name, spec in states.items()
    }
