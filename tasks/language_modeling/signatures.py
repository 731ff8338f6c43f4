"""The signatures of an exported language model: scoring, generation, and one step for streaming."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from ...export.bundle import Bundle, Signature, strings
from ...models.decoding import Sampling, draw, draw_character, sample
from ...models.next_token import NextTokenModel, Reading
from ...models.recurrent import States
from ...models.recurrent.tracing import traced_once
from ...models.text import BOUNDARY, UNKNOWN, CharacterCodec, RunningTextCodec
from ...serving.language_modeling import LONGEST_GENERATION, STOP_SEPARATOR

_TEXTS = (["To be, or not to be"], ["def f(x):\n    return x", "", "abc " * 300])
# Most of the tokens that may come next, told by `start` and `step`: the answers of large vocabularies stay small.
_TOLD = 1000
_COLUMNS = ("prompt", "max_length", "temperature", "top_k", "top_p", "seed", "stop", "character", "position")
# Low temperatures, so that the last bits of the logits, which differ between machines, change nothing.
_EXAMPLES = (
    [("The ", 20, 0.0, 0, 1.0, 0, "", "a", 1)],
    [
        ("", 10, 0.5, 0, 1.0, 1, "\n", "", 0),
        ("for i in ", 12, 0.3, 5, 1.0, 2, "e\0th", "The end", 3),
        ("é" * 40, 4, 0.3, 0, 0.5, 3, "", "\n", 2**31 - 1),
    ],
)


def bundle(model: NextTokenModel, encoder: CharacterCodec | RunningTextCodec) -> Bundle:
    """Returns the model with five signatures; inputs and outputs have shape [batch] unless stated.

    `serving_default`: text, string -> log_probability, float32, in nats; bits_per_character, float32; characters,
    int32.

    `generate`: prompt, string; max_length, int32, cut to 10,000; temperature, float32, below 0.0001 for the most
    probable text; top_k, int32, 0 or less for all; top_p, float32, 1 or more for all; seed, int64 -> text, string, the
    continuation of the prompt; score, float32, its log probability given the prompt; truncated, bool, whether
    max_length ended it.

    `generate_until`: the same with stop, string: the text ends after the first occurrence of one of the strings in it,
    which NUL characters separate; an empty one never occurs.

    `start`: prompt, temperature, top_k, top_p, seed -> character, string, drawn as the first that `generate` writes,
    "" for the end of the text; position, int32, its length; the states of the layers, float32 [batch, units] each;
    probabilities, float32 [batch, ids], of all that may come next, and characters, string [batch, ids], their names.
    The first of `characters` is "", the end of the text, and the second U+FFFD, any unknown character. With more than
    1,000 ids, these are the 1,000 most probable ones instead, in the order of their probability.

    `step`: character, string, the states and position, int32, as `start` or `step` returned them; temperature, top_k,
    top_p, seed -> the same as `start`, with the position after the new character. Several characters are read at once.
    States of zeros, the character "" and the position 0 begin a text.

    All strings are UTF-8: a model of bytes writes whole characters. Its lengths and positions count bytes, and so do
    the probabilities of `start` and `step`, where an escape names a byte that is not a character. In a model of words
    or subwords a token takes the place of a character, except in `bits_per_character` and `characters` of
    `serving_default`; max_length and positions count tokens.
    """
    string, number, integer = (tf.TensorSpec([None], kind) for kind in (tf.string, tf.float32, tf.int32))
    names = _state_names(model)

    @traced_once
    def begin(texts: tf.Tensor) -> tuple[Reading, tf.Tensor]:
        """Reads texts from their start; returns the reading and their lengths."""
        ids = encoder.encode(texts)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        padded = tf.pad(ids.to_tensor(BOUNDARY), [[0, 0], [1, 0]], constant_values=BOUNDARY)
        return model.read(padded, lengths + 1), lengths

    def score(text: tf.Tensor) -> dict[str, tf.Tensor]:
        reading, lengths = begin(text)
        if encoder.spelling is not None:
            lengths = tf.strings.length(text, "UTF8_CHAR")
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
        found = sample(
            model.stepper(),
            reading.logits,
            reading.states,
            Sampling(temperature, top_k, top_p, seed),
            tf.minimum(max_length, LONGEST_GENERATION),
            end=BOUNDARY,
            forbidden=[UNKNOWN],
            stop=None if stop is None else _sequences(stop, encoder),
            grammar=encoder.grammar,
            spelling=encoder.spelling,
        )
        text = encoder.decode(found.ids)
        if stop is not None and encoder.spelling is not None:
            kept = tf.strings.length(text, "UTF8_CHAR") - found.surplus
            text = tf.strings.substr(text, tf.zeros_like(kept), kept, unit="UTF8_CHAR")
        return {"text": text, "score": found.scores, "truncated": found.truncated}

    def drawn(reading: Reading, position: tf.Tensor | int, sampling: Sampling) -> dict[str, tf.Tensor]:
        """Draws the next character."""
        if encoder.grammar is None:
            ids = draw(reading.logits, sampling, position, forbidden=[UNKNOWN])[:, None]
        else:
            ids = draw_character(
                model.stepper(),
                reading.logits,
                reading.states,
                sampling,
                position,
                [UNKNOWN],
                encoder.grammar,
            )
        probabilities, named = tf.nn.softmax(reading.logits), tf.constant(encoder.names)
        if len(encoder) > _TOLD:
            probabilities, best = tf.math.top_k(probabilities, _TOLD)
            characters = tf.gather(named, best)
        else:
            # A row for each text, since a server that batches requests splits every output by rows.
            characters = tf.tile(named[None], [tf.shape(probabilities)[0], 1])
        return {
            "character": encoder.decode(ids),
            "position": position + tf.reduce_sum(tf.cast(ids != BOUNDARY, tf.int32), axis=1),
            "probabilities": probabilities,
            "characters": characters,
        } | _flat(names, reading.states)

    def start(
        prompt: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        reading, _ = begin(prompt)
        return drawn(reading, 0, Sampling(temperature, top_k, top_p, seed))

    def step(
        character: tf.Tensor,
        position: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        seed: tf.Tensor,
        **states: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        ids = encoder.encode(character)
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        padded = tf.pad(ids.to_tensor(BOUNDARY), [[0, 0], [0, tf.cast(tf.reduce_max(lengths) < 1, tf.int32)]])
        reading = model.read(padded, tf.maximum(lengths, 1), _nested(names, states))
        return drawn(reading, position, Sampling(temperature, top_k, top_p, seed))

    sampling = {
        "temperature": number,
        "top_k": integer,
        "top_p": number,
        "seed": tf.TensorSpec([None], tf.int64),
    }
    started = {"prompt": string} | sampling
    generated = started | {"max_length": integer}
    until = generated | {"stop": string}
    states = {
        name: tf.TensorSpec([None, layer.units], tf.float32)
        for layer, of_layer in zip(model.state_layers, names, strict=True)
        for name in of_layer
    }
    stepped = {"character": string, "position": integer} | sampling | states
    return Bundle(
        "language_modeling",
        model,
        [encoder],
        {
            "serving_default": Signature(
                score, {"text": string}, [{"text": strings(texts)} for texts in _TEXTS]
            ),
            "generate": Signature(generate, generated, _requests(generated)),
            "generate_until": Signature(generate, until, _requests(until)),
            "start": Signature(start, started, _requests(started)),
            "step": Signature(step, stepped, _requests(stepped)),
        },
    )


def _sequences(stop: tf.Tensor, encoder: CharacterCodec | RunningTextCodec) -> tf.RaggedTensor:
    """Returns the stop sequences that each string holds, int32 [batch, (sequences), (units)]: ids, or code points if
    tokens have several characters."""
    strings = tf.strings.split(stop, STOP_SEPARATOR)
    if encoder.spelling is None:
        return strings.with_flat_values(encoder.encode(strings.flat_values))
    return strings.with_flat_values(tf.strings.unicode_decode(strings.flat_values, "UTF-8"))


def _state_names(model: NextTokenModel) -> list[list[str]]:
    """Returns the names of each layer's states in the `step` signature."""
    return [
        [f"state_{number}_{name}" for name in layer.cell.state_names]
        for number, layer in enumerate(model.state_layers)
    ]


def _nested(names: list[list[str]], tensors: Mapping[str, tf.Tensor]) -> States:
    return tuple(tuple(tensors[name] for name in layer) for layer in names)


def _flat(names: list[list[str]], states: States) -> dict[str, tf.Tensor]:
    pairs = zip(names, states, strict=True)
    return {name: tensor for layer, state in pairs for name, tensor in zip(layer, state, strict=True)}


def _requests(inputs: Mapping[str, tf.TensorSpec]) -> list[dict[str, np.ndarray]]:
    """Returns example requests for some inputs, with plausible states."""
    chance = np.random.default_rng(0)
    requests = []
    for rows in _EXAMPLES:
        columns: dict[str, Any] = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))
        requests.append(
            {
                name: strings(columns[name])
                if spec.dtype == tf.string
                else np.array(columns[name], spec.dtype.as_numpy_dtype)
                if name in columns
                else chance.uniform(-0.5, 0.5, [len(rows), spec.shape[1]]).astype(np.float32)
                for name, spec in inputs.items()
            }
        )
    return requests
