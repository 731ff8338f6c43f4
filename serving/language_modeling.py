"""Character language models in Python."""

import codecs
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..common.errors import UserError
from . import sampling
from .model import Model, encoded
from .results import Generation, Score

# Of the distributions of `step`: the end of the text, and the character that is not known.
_END = 0
_UNKNOWN = 1
# Characters that one call of `generate` writes at most: a server is not to be busy for minutes with one request.
LONGEST_GENERATION = 10_000


class LanguageModel(Model):
    """A character language model."""

    application = "language_modeling"
    streams = True

    def score(self, texts: Sequence[str], batch_size: int = 64) -> list[Score]:
        """The log probability of each text from its start; a character that the model never saw counts as unknown.

        Args:
            texts: of any length, empty ones too.
            batch_size: texts in a call of the graph.
        """
        results = []
        for outputs in self.run("serving_default", {"text": encoded(texts, "score")}, batch_size):
            for total, bits, count in zip(
                *(outputs[name].tolist() for name in Score._fields[1:]), strict=True
            ):
                results.append(Score(texts[len(results)], total, bits, count))
        return results

    def generate(
        self,
        prompts: Sequence[str],
        *,
        max_length: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | Sequence[int] = 0,
        stop: str = "",
        batch_size: int = 64,
    ) -> list[Generation]:
        """Continues each prompt until the model ends the text, the stop string is written, or it is long enough.

        Args:
            prompts: of any length; an empty one begins a text. Characters that the model never saw are read as unknown.
            max_length: characters to write at most, from 1 to 10,000; `stream` has no limit.
            temperature: what the logits are divided by; 0 (less than 0.0001) takes the most probable character.
            top_k: draw only from the so many most probable characters; 0: from all.
            top_p: draw only from the most probable characters that together have this probability; in (0, 1].
            seed: of the draws, one for all prompts or one for each; a prompt and its seed give the same text in any
                company.
            stop: the text ends with it as soon as it occurs.
            batch_size: prompts in a call of the graph.
        """
        contents, rows = encoded(prompts, "generate"), len(prompts)
        seeds = [int(number) for number in np.ravel(seed).tolist()]
        if np.ndim(seed) == 0:
            seeds *= rows
        if len(seeds) != rows:
            raise UserError(
                f"There are {rows} prompts, but {len(seeds)} seeds; give one seed for all or one for each."
            )
        _check(max_length, temperature, top_k, top_p, seeds)
        if max_length > LONGEST_GENERATION:
            raise UserError(
                f"max_length is {max_length}, but a call writes at most {LONGEST_GENERATION:,} characters; "
                "`stream` has no limit."
            )
        inputs = {
            "prompt": contents,
            "max_length": np.full(rows, max_length),
            "temperature": np.full(rows, temperature),
            "top_k": np.full(rows, top_k),
            "top_p": np.full(rows, top_p),
            "seed": seeds,
        }
        if stop:
            inputs["stop"] = [stop.encode("utf-8", "replace")] * rows
        results = []
        for outputs in self.run("generate_until" if stop else "generate", inputs, batch_size):
            for text, score in zip(outputs["text"], outputs["score"].tolist(), strict=True):
                results.append(Generation(prompts[len(results)], text.decode("utf-8", "replace"), score))
        return results

    def stream(
        self,
        prompt: str = "",
        *,
        max_length: int = 1_000_000,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: str = "",
    ) -> Iterator[str]:
        """Yields the characters that `generate` would write, as they come; with a model of bytes, as soon as one is
        complete. Arguments are those of `generate`."""
        _check(max_length, temperature, top_k, top_p, [seed])
        wanted, written = stop.encode("utf-8", "replace"), b""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        state = self._read(prompt)
        for position in range(max_length):
            allowed = state["probabilities"][0].copy()
            allowed[_UNKNOWN] = 0
            drawn = sampling.uniform(seed, position)
            choice = sampling.choose(allowed, drawn, temperature, top_k, top_p)
            if choice == _END:
                break
            character = state["characters"][0][choice]
            yield from decoder.decode(character)
            written = (written + character)[-len(wanted) :] if wanted else b""
            if wanted and written == wanted:
                break
            state = self._step(character, state)
        yield from decoder.decode(b"", final=True)

    def next_characters(self, text: str = "") -> dict[str, float]:
        """The probability of each character to come next, the most probable first; "" is the end of the text. A
        byte that is no character by itself is shown as an escape."""
        state = self._read(text)
        names = [name.decode("utf-8", "backslashreplace") for name in state["characters"][0]]
        pairs = zip(names, state["probabilities"][0].tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def zeros(self) -> dict[str, np.ndarray]:
        """The states with which a text begins, as `step` takes them for one row."""
        specification = self._loaded.signatures["step"].structured_input_signature[1]
        states = {name: spec for name, spec in specification.items() if name.startswith("state_")}
        return {name: np.zeros([1, spec.shape[1]], np.float32) for name, spec in states.items()}

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Generation]:
        return self.generate(inputs, **options)

    def _read(self, prompt: str) -> dict[str, np.ndarray]:
        """What `step` returns after a prompt, from the start of a text."""
        (content,) = encoded([prompt], "stream")
        start = self._step(b"", self.zeros())
        return self._step(content, start) if content else start

    def _step(self, character: bytes, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        states = {name: value for name, value in state.items() if name.startswith("state_")}
        return self.call("step", {"character": [character]} | states)


def _check(max_length: int, temperature: float, top_k: int, top_p: float, seeds: list[int]) -> None:
    """Raises UserError for what no text can be generated with."""
    if max_length < 1:
        raise UserError(f"max_length is {max_length}; give the number of characters to write, at least 1.")
    if not 0 <= temperature < math.inf:
        raise UserError(
            f"temperature is {temperature}; give 0 for the most probable text, or more for a varied one."
        )
    if not 0 <= top_k < 2**31:
        raise UserError(f"top_k is {top_k}; give the number of characters to draw from, or 0 for all.")
    if not 0 < top_p <= 1:
        raise UserError(f"top_p is {top_p}; give a probability above 0, up to 1 for all characters.")
    for seed in seeds:
        if not 0 <= seed < 2**63:
            raise UserError(f"seed is {seed}; give a number from 0 to 2**63 - 1.")
