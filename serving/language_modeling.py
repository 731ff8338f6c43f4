"""Language models in Python."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import UserError
from . import arguments
from .model import StreamingModel, encoded

# Maximum number of characters from one call of `generate`: no request may keep a server busy for minutes.
LONGEST_GENERATION = 10_000
# Between the stop strings of a row.
STOP_SEPARATOR = "\0"


class Score(NamedTuple):
    """The probability of a text.

    Attributes:
        text: The text as given.
        log_probability: The log probability of the whole text, in nats.
        bits_per_character: The same per character, in bits; 0 for an empty text.
        characters: The number of characters.
    """

    text: str
    log_probability: float
    bits_per_character: float
    characters: int


class Generation(NamedTuple):
    """A text that a model wrote.

    Attributes:
        prompt: The prompt as given.
        text: The continuation of the prompt.
        score: The log probability of `text` given the prompt, in nats.
        truncated: Whether `max_length` ended the text.
    """

    prompt: str
    text: str
    score: float
    truncated: bool


class TextGenerator(StreamingModel):
    """A language model of characters, bytes, subwords or words: a token is one of them."""

    application = "language_modeling"
    known_by = ("generate", "text")
    first_method = "generate"
    first_signature = "generate"

    def score(self, texts: Iterable[str], batch_size: int = 64) -> list[Score]:
        """Returns the log probability of each text from its start; characters unseen in training count as unknown.

        Args:
            texts: Strings of any length, empty ones included.
            batch_size: Texts in a call of the graph.
        """
        texts = arguments.texts(texts, "texts")
        rows = self.rows("serving_default", {"text": encoded(texts)}, batch_size)
        return [
            Score(text, *(row[name].item() for name in Score._fields[1:]))
            for text, row in zip(texts, rows, strict=True)
        ]

    def generate(
        self,
        prompts: Iterable[str],
        *,
        max_length: int = 200,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int | Sequence[int] = 0,
        stop: str | Iterable[str] = "",
        batch_size: int = 64,
    ) -> list[Generation]:
        """Continues each prompt until the model ends the text, writes a stop string, or reaches the length limit.

        Args:
            prompts: Strings of any length; an empty one begins a text. Characters unseen in training are read as
                unknown.
            max_length: Maximum number of tokens to write, from 1 to 10,000; `stream` has no limit. A model of bytes
                ends before a character that does not fit.
            temperature: Divisor of the logits; 0 (less than 0.0001) takes the most probable token.
            top_k: Number of most probable tokens to draw from; 0 draws from all.
            top_p: Draws only from the most probable tokens that together have this probability; in (0, 1].
            seed: The seed of the draws, one for all prompts or one for each; a prompt and its seed give the same text
                in any batch.
            stop: The text ends after the first occurrence of this string, or of one of these.
            batch_size: Prompts in a call of the graph.
        """
        prompts = arguments.texts(prompts, "prompts")
        rows = len(prompts)
        inputs = _sampling(temperature, top_k, top_p, _seeds(seed, rows))
        max_length = _checked_length(max_length)
        if max_length > LONGEST_GENERATION:
            raise UserError(
                f"max_length is {max_length}, but an answer has at most {LONGEST_GENERATION:,} characters; longer "
                "texts are streamed, by `stream` in Python or by `unroll predict` on a terminal."
            )
        inputs |= {"prompt": encoded(prompts), "max_length": [max_length] * rows}
        stops = _stops(stop)
        if stops:
            inputs["stop"] = encoded([STOP_SEPARATOR.join(stops)]) * rows
        outputs = self.rows("generate_until" if stops else "generate", inputs, batch_size)
        return [
            Generation(prompt, row["text"].decode(), float(row["score"]), bool(row["truncated"]))
            for prompt, row in zip(prompts, outputs, strict=True)
        ]

    def stream(
        self,
        prompt: str = "",
        *,
        max_length: int = 1_000_000,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: str | Iterable[str] = "",
    ) -> Iterator[str]:
        """Yields the characters that `generate` would write, one by one; in a model of words or subwords tokens, with
        the space before each. Arguments as for `generate`."""
        sampling = _sampling(temperature, top_k, top_p, [_checked_seed(seed)])
        stops, max_length = tuple(_stops(stop)), _checked_length(max_length)
        (content,) = encoded([arguments.text(prompt, "prompt")])
        longest, recent = max(map(len, stops), default=0), ""
        state = self.call("start", {"prompt": [content]} | sampling)
        while state["character"][0] and state["position"][0] <= max_length:
            token = state["character"][0].decode()
            end = _end_of_stop(recent, token, stops)
            yield token[:end]
            recent = (recent + token)[-longest:] if stops else ""
            if state["position"][0] == max_length or end is not None:
                break
            state = self.call("step", _continued(state) | sampling)

    def next_characters(self, text: str = "") -> dict[str, float]:
        """Returns the probability of each character to come next, most probable first; in a model of words or subwords
        that of each token, with the space before it.

        The key "" is the end of the text. In a model of bytes, an escape stands for a byte that is not a character. A
        vocabulary of more than 1,000 tokens is told up to the 1,000 most probable ones.
        """
        inputs = {"prompt": encoded([arguments.text(text, "text")])} | _sampling(0.0, 0, 1.0, [0])
        state = self.call("start", inputs)
        names = [name.decode() for name in state["characters"][0]]
        pairs = zip(names, state["probabilities"][0].tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def answer(self, inputs: Sequence[str], **options: Any) -> list[Generation]:
        return self.generate(inputs, **options)


def _end_of_stop(recent: str, token: str, stops: Iterable[str]) -> int | None:
    """Returns the number of characters of a token up to the end of the first stop string that ends in it; None without
    one."""
    text, new = recent + token, len(recent)
    found = ((text.find(stop, max(0, new - len(stop) + 1)), len(stop)) for stop in stops)
    ends = [begin + length - new for begin, length in found if begin >= 0]
    return min(ends, default=None)


def _continued(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the inputs of the next `step` among the outputs of `start` or `step`."""
    return {
        name: value
        for name, value in outputs.items()
        if name in ("character", "position") or name.startswith("state_")
    }


def _sampling(temperature: float, top_k: int, top_p: float, seeds: list[int]) -> dict[str, list[Any]]:
    """Returns the sampling inputs, with a row for each seed.

    Raises:
        UserError: If an argument is out of range.
    """
    values = {
        "temperature": arguments.number(
            temperature,
            "temperature",
            "0 to take the most probable character each time, or more for variety",
            lambda number: 0 <= number < math.inf,
        ),
        "top_k": arguments.integer(
            top_k, "top_k", "the number of characters to draw from, or 0 for all", 0, 2**31 - 1
        ),
        "top_p": arguments.number(
            top_p,
            "top_p",
            "a probability above 0, up to 1 for all characters",
            lambda number: 0 < number <= 1,
        ),
    }
    return {name: [value] * len(seeds) for name, value in values.items()} | {"seed": seeds}


def _stops(stop: str | Iterable[str]) -> list[str]:
    """Returns the stop strings, without empty ones.

    Raises:
        UserError: If there is something else, or a string contains the separator.
    """
    several = (
        [stop] if isinstance(stop, str) else arguments.listed(stop, "stop", str, "strings, or one string")
    )
    for text in several:
        if STOP_SEPARATOR in text:
            raise UserError(f"stop contains the NUL character ({text!r}); give strings without it.")
    return [text for text in several if text]


def _checked_length(max_length: int) -> int:
    return arguments.integer(max_length, "max_length", "the number of characters to write, at least 1", 1)


def _checked_seed(seed: Any, argument: str = "seed") -> int:
    return arguments.integer(seed, argument, "a number from 0 to 2**63 - 1", 0, 2**63 - 1)


def _seeds(seed: int | Iterable[int], rows: int) -> list[int]:
    """Returns a seed for each row.

    Raises:
        UserError: If the number of seeds is wrong, or a seed is out of range.
    """
    if not isinstance(seed, Iterable) or isinstance(seed, str | bytes) or getattr(seed, "ndim", 1) == 0:
        return [_checked_seed(seed)] * rows
    seeds = [_checked_seed(number, f"seed[{position}]") for position, number in enumerate(seed)]
    if len(seeds) != rows:
        raise UserError(
            f"There are {rows} prompts, but {len(seeds)} seeds; give one seed for all or one for each."
        )
    return seeds
