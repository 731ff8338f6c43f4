"""Calls the signatures of exported models thousands of times with random inputs, and checks the answers.

    python tests/fuzz_signatures.py [MODEL ...] [--inputs=10000] [--seed=0]

MODEL is a directory of an exported model; without any, small models of all applications are made, untrained.

Each input is a call of a random signature:

    valid       any texts, images and numbers in the right shapes: must be answered, with as many rows, in UTF-8,
                without NaN, within a minute, and a row alone must have the same answer
    malformed   a wrong rank or size, unequal rows, a wrong type, a missing or an additional input: must be refused
                in a sentence

Prints each fault with the number of its input; `--first=NUMBER --inputs=1` repeats one.
"""

import argparse
import math
import random
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from untrained_models import BUNDLES

import unroll.serving
from unroll.common.errors import UserError
from unroll.export import saved_model, verify
from unroll.export.demonstration import Demonstration
from unroll.serving.model import Model, SignatureSpec, TensorSpec

# The first call of a signature also makes its graph, which takes seconds on a slow machine.
_SECONDS = 60
_WORDS = (
    *("a", "the", "dog", "man", "film", "good", "bad", "is", "not", "don't", ",", ".", "!", "12", "\n", "\0"),
    *("\u2581", "caf\u00e9", "cafe\u0301", "\u6f22\u5b57", "<br/>", "<s>"),
)
_STRANGE = (
    b"",
    b" \t\n",
    b"\0",
    b"\xff\xfe\xc3",
    b"\xed\xa0\x80",
    b"\xf0\x9f\x98\x80",
    "\u200d\u200b\ufeff".encode(),
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd".encode(),
    "\u0939\u093f\u0928\u094d\u0926\u0940".encode(),
    "\ufffd\U0010ffff\ue000".encode(),
)
_RUNS = ("a", "Zm9v", "\u6f22", "e\u0301", "\u0915\u094d", "1", "!", "\U0001f600", "a ", "</s>")
_NUMBERS = {
    "f": (0.0, -0.0, 1.0, 0.7, -1.0, 1e-30, 1e30, math.inf, -math.inf, math.nan),
    "i": (0, 1, 2, 5, -1, 40, 2**31 - 1, -(2**31)),
}


# Inputs.


def text(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.6:
        return " ".join(chance.choices(_WORDS, k=chance.randint(1, 12))).encode()
    if kind < 0.85:
        return chance.choice(_STRANGE) * chance.choice((1, 1, 1, 20))
    if kind < 0.98:
        return chance.randbytes(chance.randint(1, 60))
    return (chance.choice(_RUNS) * 20_000)[: chance.randint(1_000, 20_000)].encode()


def image(chance: random.Random) -> bytes:
    height, width = chance.randint(1, 40), chance.randint(1, 40)
    rows = b"".join(b"\0" + chance.randbytes(3 * width) for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )
    kind = chance.random()
    if kind < 0.5:
        return content
    if kind < 0.7:
        return content[: chance.randrange(len(content))]
    if kind < 0.9:
        place = chance.randrange(len(content))
        return content[:place] + chance.randbytes(1) + content[place + 1 :]
    return chance.choice([b"\xff\xd8\xff", b""]) + text(chance)


def values(chance: random.Random, name: str, spec: TensorSpec, rows: int) -> np.ndarray:
    """A random input of any meaning and the right shape."""
    shape = [rows, *(size or 0 for size in spec.shape[1:])]
    count = math.prod(shape)
    if spec.dtype == object:
        make = image if name == "image" else text
        return np.array([*(make(chance) for _ in range(count)), None], object)[:-1].reshape(shape)
    if name == "max_length":
        # A longer text would take longer.
        return np.array([chance.choice((-1, 0, 1, 3, 20)) for _ in range(count)], spec.dtype).reshape(shape)
    numbers = _NUMBERS[spec.dtype.kind]
    if len(shape) > 1:
        return np.array([chance.gauss(0, 1) for _ in range(count)], spec.dtype).reshape(shape)
    return np.array([chance.choice(numbers) for _ in range(count)], spec.dtype).reshape(shape)


def malformed(chance: random.Random, inputs: dict[str, Any], specs: Mapping[str, TensorSpec]) -> str:
    """Spoils an input, and returns what was done."""
    name = chance.choice([*inputs])
    value, kind = inputs[name], chance.choice(("rank", "flat", "rows", "type", "missing", "more", "size"))
    if kind == "rows" and len(inputs) > 1:
        inputs[name] = (
            np.concatenate([value, value, value[:1]]) if len(value) else values(chance, name, specs[name], 2)
        )
    elif kind == "type":
        inputs[name] = np.zeros(value.shape, np.float64 if specs[name].dtype.kind != "f" else object)
        if not value.size:
            inputs[name] = np.array([["a"], ["b", "c"]], object)
    elif kind == "missing":
        del inputs[name]
    elif kind == "more":
        inputs["unknown"] = value
    elif kind == "size" and value.ndim > 1:
        inputs[name] = value[:, 1:]
    elif kind == "flat" and value.ndim == 1 and len(value):
        inputs[name] = value[0]
    else:
        kind, inputs[name] = "rank", value[..., None] if chance.random() < 0.5 else value[None]
    return f"{kind} of {name}"


# Answers.


def fault(chance: random.Random, model: Model, name: str, signature: SignatureSpec) -> str:
    """What is wrong with the answer to a random input; "" if nothing is."""
    rows = chance.choice((0, 1, 1, 2, 3, 5))
    # A signature's inputs have no order.
    inputs = {key: values(chance, key, spec, rows) for key, spec in sorted(signature.inputs.items())}
    spoilt = malformed(chance, inputs, signature.inputs) if chance.random() < 0.3 else ""
    begun = time.monotonic()
    try:
        outputs = model.call(name, inputs)
    except UserError as error:
        message = str(error)
        if spoilt and "\n" not in message and message.endswith("."):
            return ""
        return f"{spoilt or 'valid'}: refused with {message!r}"
    if spoilt:
        return f"{spoilt}: answered"
    if time.monotonic() - begun > _SECONDS:
        return f"{time.monotonic() - begun:.1f} seconds"
    if found := wrong(outputs, signature.outputs, rows, inputs):
        return found
    if rows < 2:
        return ""
    row = chance.randrange(rows)
    alone = model.call(name, {key: value[row : row + 1] for key, value in inputs.items()})
    return different(alone, {key: value[row : row + 1] for key, value in outputs.items()})


def wrong(
    outputs: Mapping[str, np.ndarray],
    specs: Mapping[str, TensorSpec],
    rows: int,
    inputs: Mapping[str, np.ndarray],
) -> str:
    """What is wrong with outputs; "" if nothing is."""
    finite = all(np.isfinite(value).all() for value in inputs.values() if value.dtype.kind == "f")
    if outputs.keys() != specs.keys():
        return f"the outputs are {[*outputs]}"
    for key, value in outputs.items():
        if len(value) != rows:
            return f"{key} has {len(value)} rows, not {rows}"
        if value.dtype == object:
            for item in value.ravel():
                try:
                    item.decode()
                except UnicodeDecodeError:
                    return f"{key} is not UTF-8: {item!r}"
        elif value.dtype.kind == "f" and finite and np.isnan(value).any():
            return f"{key} has NaN"
    return ""


def different(alone: Mapping[str, np.ndarray], among: Mapping[str, np.ndarray]) -> str:
    """The first difference between a row's answers alone and in its batch; "" if there is none."""
    for key, value in alone.items():
        other = among[key]
        # Alone there may be less padding.
        padding = [(0, wide - narrow) for wide, narrow in zip(other.shape, value.shape, strict=True)]
        if any(more < 0 for _, more in padding):
            return f"{key} has the shape {value.shape} alone, and {other.shape} among others"
        padded = np.pad(value, padding, constant_values=b"" if value.dtype == object else 0)
        if value.dtype.kind == "f":
            same = np.allclose(padded, other, rtol=1e-3, atol=1e-3, equal_nan=True)
        else:
            same = padded.tolist() == other.tolist()
        if not same:
            return f"{key} is {value.tolist()} alone, and {other.tolist()} among others"
    return ""


def faults(models: Sequence[Any], first: int, count: int, seed: int) -> Iterator[tuple[int, str]]:
    """The faults of some inputs, by their numbers."""
    signatures = [
        (model, name, signature)
        for model in models
        for name, signature in sorted(model.backend.signatures.items())
    ]
    for number in range(first, first + count):
        chance = random.Random(f"{seed} {number}")
        model, name, signature = chance.choice(signatures)
        try:
            found = fault(chance, model, name, signature)
        except Exception:
            found = traceback.format_exc()
        if found:
            yield number, f"{model.application} {name}: {found}"


# Models.


def untrained(folder: Path, *names: str) -> list[Model]:
    """Small models of applications, exported without calls in fresh processes."""
    for name in names or BUNDLES:
        keras.utils.set_random_seed(0)
        replay = nullcontext(lambda directory: Demonstration)
        with mock.patch.object(verify, "fresh_processes", return_value=replay):
            saved_model.export(BUNDLES[name](), folder / name)
    return [unroll.serving.load(folder / name) for name in names or BUNDLES]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*")
    for name, value in (("first", 0), ("inputs", 10_000), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given, count = parser.parse_args(), 0
    with tempfile.TemporaryDirectory() as folder:
        models = [unroll.serving.load(path) for path in given.models] or untrained(Path(folder))
        for number, found in faults(models, given.first, given.inputs, given.seed):
            count += 1
            print(f"input {number}: {found[:2000]}", flush=True)
    print(f"{given.inputs} inputs, {count} faults")
    return count > 0


if __name__ == "__main__":
    sys.exit(main())
