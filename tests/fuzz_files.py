"""Reads thousands of random files to train on, and checks what comes of each.

    python tests/fuzz_files.py [--inputs=10000] [--seed=0] [--prepare_every=100]

Each input is a training file of an application, written in a random form:

    disguised   another encoding, compression, delimiter, quoting, normal form: must give the same examples
    spoilt      cut short, no text, no UTF-8, a missing column, an open quote: must be refused in a sentence
    noisy       a few random bytes changed: must be refused, or give all examples but a few
    large       a megabyte that would take a careless reader hours: must end in 5 seconds of processor time

Every `prepare_every`-th disguised file is also prepared for training. Prints each fault with the number of its input;
`--first=NUMBER --inputs=1` repeats one.
"""

import argparse
import csv
import gzip
import io
import json
import random
import signal
import sys
import tempfile
import traceback
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from unroll.common import normalization
from unroll.common.errors import UserError
from unroll.tasks.captioning.config import CaptioningConfig
from unroll.tasks.captioning.data import read_splits as captions_of
from unroll.tasks.incoming import read_input
from unroll.tasks.language_modeling.config import LanguageModelingConfig
from unroll.tasks.language_modeling.data import LanguageModelingData
from unroll.tasks.language_modeling.data import read_splits as documents_of
from unroll.tasks.sentiment.config import SentimentConfig
from unroll.tasks.sentiment.data import SentimentData
from unroll.tasks.sentiment.data import read_splits as reviews_of
from unroll.tasks.training.run_directory import RunDirectory
from unroll.tasks.translation.config import TranslationConfig
from unroll.tasks.translation.data import TranslationData
from unroll.tasks.translation.data import read_splits as pairs_of

# Processor time of an input.
_SECONDS = 5
# Rows that a noisy byte may cost: those that an open quote may swallow unnoticed.
_LOST = 13

_WORDS = [
    *[
        "film",
        "dog",
        "a",
        "the",
        "great",
        "isn't",
        "T-shirt",
        "3.5",
        "<br />",
        "#1",
        "café",
        "naïve",
        "Ärger",
        "x\u0301",
    ],
    *[
        "क़िला",
        "कुत्ता",
        "கொடு",
        "كِتَابٌ",
        "می\u200cخواهم",
        "猫",
        "コーヒー",
        "กิน",
        "한국어",
        "👍🏽",
        "👩\u200d🔬",
    ],
    *["\u2028", "\u00a0y"],
]
_LABELS = ["positive", "negative", "New\u00a0York", "می\u200cخواهم", "1", "1.0", "👩\u200d🔬"]


class Input(NamedTuple):
    """Files to train on.

    Attributes:
        application: Name of the application.
        files: Contents by name; the first is given as the training data.
        expected: The examples; None: the files must be refused.
        lost: Number of examples that may be missing.
        refusable: Whether the files may be refused.
    """

    application: str
    files: dict[str, bytes]
    expected: list[Any] | None
    lost: int = 0
    refusable: bool = False


def text_of(chance: random.Random, signs: str = "") -> str:
    words = [chance.choice(_WORDS) for _ in range(chance.randint(1, 6))]
    if signs and chance.random() < 0.5:
        words.insert(chance.randint(1, len(words)), chance.choice(signs))
    # Some letter that other encodings write otherwise.
    return " ".join(["é", *words, "é"])


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


# The examples of each application, and forms to write them in.


def table(chance: random.Random, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> tuple[str, str]:
    """A table in a random form: the end of its name and its text."""
    forms = ["csv", "tsv", "quoted", "json"]
    # Quotes and line breaks are no part of a plain TSV file.
    has_signs = any(not set('"\n\t').isdisjoint(value) for row in rows for value in row)
    form = chance.choice([form for form in forms if form != "tsv" or not has_signs])
    order = list(range(len(columns)))
    chance.shuffle(order)
    if form == "json":
        ascii_only = chance.random() < 0.5
        lines = [json.dumps({columns[n]: row[n] for n in order}, ensure_ascii=ascii_only) for row in rows]
        return chance.choice([".jsonl", ".json", ".csv"]), chance.choice(["\n", "\r\n", "\n\n"]).join(lines)
    header = [chance.choice(["{}", " {}", "{} "]).format(columns[n]) for n in order]
    body = [[row[n] for n in order] for row in rows]
    if chance.random() < 0.3:
        header, body = ["", *header], [[str(number), *row] for number, row in enumerate(body)]
    if form == "tsv":
        return chance.choice([".tsv", ".txt", ""]), "\n".join("\t".join(row) for row in [header, *body])
    delimiter = "\t" if form == "quoted" else chance.choice(",;|\t")
    written = io.StringIO()
    # All fields, where a field with a quote would not tell.
    quoting = chance.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    writer = csv.writer(
        written, delimiter=delimiter, quoting=quoting, lineterminator=chance.choice(["\n", "\r\n"])
    )
    writer.writerows([header, *body])
    return chance.choice([".csv", ".CSV", ".tsv", ".txt"]), written.getvalue()


def reviews(chance: random.Random) -> tuple[dict[str, str], list[Any]]:
    rows = [(text_of(chance, ',;|"\n'), chance.choice(_LABELS)) for _ in range(chance.randint(2, 30))]
    spaced = [(text, chance.choice(["{}", " {}", "{} "]).format(label)) for text, label in rows]
    end, content = table(chance, ("text", "label"), spaced)
    return {f"reviews{end}": content}, [(nfc(text), nfc(label)) for text, label in rows]


def pairs(chance: random.Random) -> tuple[dict[str, str], list[Any]]:
    rows = [(text_of(chance, ",;|"), text_of(chance, ",;|")) for _ in range(chance.randint(2, 30))]
    expected = [(nfc(source), nfc(target)) for source, target in rows]
    form = chance.choice(["two", "tabs", "table"])
    if form == "two":
        given = chance.choice(["pairs", "pairs.en", "pairs.de"])
        sides = {f"pairs.{side}": "\n".join(row[n] for row in rows) for n, side in enumerate(("en", "de"))}
        return ({given: ""} if given == "pairs" else {given: sides[given]}) | sides, expected
    if form == "tabs":
        return {"pairs.txt": "\n".join("\t".join(row) for row in rows)}, expected
    end, text = table(chance, ("en", "de"), rows)
    return {f"pairs{end}": text}, expected


def captions(chance: random.Random) -> tuple[dict[str, str], list[Any]]:
    names = [f"Bild é {number}.JPG" for number in range(chance.randint(1, 9))]
    rows = [(name, text_of(chance, ",;|")) for name in names for _ in range(chance.randint(1, 3))]
    expected = sorted((name, nfc(text)) for name, text in rows)
    odd: list[Callable[[str], str]] = [str, str.lower, lambda name: f".\\{name}"]
    named = [(chance.choice(odd)(name), text) for name, text in rows]
    if chance.random() < 0.5:
        end, text = table(chance, ("image", "caption"), named)
        return {f"captions{end}": text}, expected
    lines = [f"{name}#{number}\t{text}" for number, (name, text) in enumerate(named)]
    return {"captions.txt": "\n".join(lines)}, expected


def documents(chance: random.Random) -> tuple[dict[str, str], list[Any]]:
    text = "\n".join(text_of(chance, ',;|"\t') for _ in range(chance.randint(1, 30)))
    return {"text.txt": text}, [nfc(text)]


def inputs_of_predict(chance: random.Random) -> tuple[dict[str, str], list[Any]]:
    texts = [text_of(chance, ',;|"') for _ in range(chance.randint(1, 30))]
    if chance.random() < 0.5:
        end, content = table(chance, ("text", "id"), [(text, "1") for text in texts])
        return {f"table{end}": content}, [nfc(text) for text in texts]
    return {"lines.txt": "\n".join(texts)}, [nfc(text) for text in texts]


FORMS = {
    "predict": inputs_of_predict,
    "sentiment": reviews,
    "translation": pairs,
    "captioning": captions,
    "language_modeling": documents,
}


def read(application: str, path: Path) -> list[Any]:
    """The examples of a training file, as the application reads them."""
    if application == "predict":
        column = "text" if path.name.startswith("table") else None
        return [normalization.nfc(text) for batch in read_input(str(path), column) for text in batch]
    options: dict[str, Any] = {"dataset": "files", "validation_fraction": 0.0, "test_fraction": 0.0}
    if application == "sentiment":
        return [tuple(e) for e in reviews_of(SentimentConfig(**options, train_data=str(path))).read("train")]
    if application == "translation":
        return [tuple(e) for e in pairs_of(TranslationConfig(**options, train_data=str(path))).read("train")]
    if application == "captioning":
        images = path.parent / "images"
        parts = captions_of(CaptioningConfig(**options, images=str(images), captions=str(path)))
        found = [(images_name(e.image.name), text) for e in parts.read("train") for text in e.captions]
        return sorted(found)
    splits = documents_of(LanguageModelingConfig(**options, train_data=str(path)))
    return [
        "".join(map(chr, (n for piece in d.pieces() for n in piece.tolist()))) for d in splits.read("train")
    ]


def images_name(name: str) -> str:
    """The name of the file that a name in another form stands for."""
    return nfc(name).removeprefix(".\\").lower().replace("bild", "Bild").replace("jpg", "JPG")


def prepare(application: str, path: Path, folder: Path) -> int:
    """The number of examples that are ready to be trained on."""
    options: dict[str, Any] = {"dataset": "files", "validation_fraction": 0.0, "train_data": str(path)}
    if application == "language_modeling":
        config = LanguageModelingConfig(**options, test_fraction=0.0, truncation=0)
        data: Any = LanguageModelingData(config, RunDirectory(folder))
    elif application == "sentiment":
        data = SentimentData(SentimentConfig(**options, min_count=1), RunDirectory(folder))
    else:
        data = TranslationData(TranslationConfig(**options, min_count=1), RunDirectory(folder))
    data.prepare()
    return data.train_examples


# What becomes of the files.


def disguised(chance: random.Random, text: str) -> bytes:
    """Another form of the same text."""
    if chance.random() < 0.3:
        text = unicodedata.normalize("NFD", text)
    if chance.random() < 0.2:
        text = text.rstrip("\r\n")
    encoding = chance.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32"])
    content = text.encode(encoding)
    return gzip.compress(content) if chance.random() < 0.3 else content


def spoilt(chance: random.Random, text: str) -> bytes:
    """What holds no text any more."""
    # JSON can escape what other encodings write otherwise.
    text = text.replace("\\u00e9", "é")
    content = text.encode()
    compressed = gzip.compress(content)
    position = chance.randrange(len(text))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("text.txt", content)
    number = chance.randrange(-8, 0)
    return chance.choice([
        text.encode("latin-1", "replace"),
        text.encode("cp1252", "replace"),
        (text.rstrip() + "é").encode()[:-1],
        (text[:position] + "\0" + text[position:]).encode(),
        text[:position].encode() + b"\xed\xa0\x80" + text[position:].encode(),
        text.encode("utf-16-le"),
        text.encode("utf-16-be"),
        text.encode("utf-16")[:-1],
        compressed[: -chance.randint(1, 20)],
        compressed[:number] + bytes([compressed[number] ^ 16]) + compressed[len(compressed) + number + 1 :],
        gzip.compress(compressed),
        archive.getvalue(),
        b"%PDF-1.7\n" + content,
        b"\x89PNG\r\n\x1a\n" + content,
        b"\xff" + chance.randbytes(100),
        b"",
    ])  # fmt: skip


def noisy(chance: random.Random, content: bytes, changes: int) -> bytes:
    """The same with some bytes changed, left out or added; among those added are the ones that delimit."""
    changed = bytearray(content)
    for _ in range(changes):
        position = chance.randrange(len(changed))
        byte = chance.choice([chance.randrange(256), *b'",\t\n\r;{}\\#\xef'])
        changed[position : position + chance.randint(0, 1)] = bytes([byte]) * chance.randint(0, 1)
    return bytes(changed)


def large(chance: random.Random) -> bytes:
    """A megabyte of one thing."""
    head = chance.choice(
        ["", "text,label\n", "text\tlabel\n", '{"text": ', '"', "en\tde\n", "image,caption\n"]
    )
    unit = chance.choice(
        ['"', '""', "\u0301\u0323", ",", "\t", "\n", "\r", "[", '{"a":', '"a",b\n', '"\n', "é", "\ufeff"]
    )
    return (head + unit * (1_000_000 // len(unit.encode()))).encode()


def inputs(chance: random.Random) -> Input:
    application = chance.choice(list(FORMS))
    texts, expected = FORMS[application](chance)
    files = {name: text.encode() for name, text in texts.items()}
    # The file that is given may be the prefix of others.
    victim = chance.choice([name for name in files if files[name]])
    kind = chance.choices(["disguised", "spoilt", "noisy", "large"], [5, 4, 4, 0.2])[0]
    if kind == "disguised":
        changed = {name: disguised(chance, text) if text else b"" for name, text in texts.items()}
        return Input(application, changed, expected)
    if kind == "spoilt":
        return Input(application, files | {victim: spoilt(chance, texts[victim])}, None)
    if kind == "noisy":
        changes = chance.randint(1, 3)
        lost = len(expected) if application == "language_modeling" else _LOST * changes
        return Input(
            application, files | {victim: noisy(chance, files[victim], changes)}, expected, lost, True
        )
    return Input(application, files | {victim: large(chance)}, [], 0, True)


def fault(given: Input, folder: Path, prepared: bool) -> str:
    """What is wrong with the answer to an input; "" if nothing is."""
    (folder / "images").mkdir()
    for number in range(9):
        (folder / "images" / f"Bild é {number}.JPG").touch()
    for name, content in given.files.items():
        if content or name != "pairs":
            (folder / name).write_bytes(content)
    path = folder / next(iter(given.files))
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        with silence():
            found = read(given.application, path)
        if prepared and given.expected and given.application not in ("captioning", "predict"):
            # Preparation builds graphs, which takes its time.
            signal.setitimer(signal.ITIMER_VIRTUAL, 60)
            with silence():
                count = prepare(given.application, path, folder / "run")
            if count != len(given.expected):
                return f"{count} examples are prepared out of {len(given.expected)}"
    except UserError as error:
        message = str(error)
        if given.expected is None or given.refusable:
            names_it = str(folder) in message or "the text is empty" in message
            return "" if names_it and "\n" not in message else f"says {message!r}"
        if prepared and ("only the label" in message or "All" in message):
            return ""
        return f"refused: {message}"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    if given.expected is None and (found or given.application != "predict"):
        return f"not refused, but read as {str(found)[:200]}"
    given = given._replace(expected=given.expected or [])
    missing = sum((Counter(given.expected) - Counter(found)).values())
    added = (
        0 if given.lost or not given.expected else sum((Counter(found) - Counter(given.expected)).values())
    )
    if missing > given.lost or added:
        return f"{missing} of {len(given.expected)} examples are missing: {given.expected[:2]} -> {found[:2]}"
    return ""


class silence:  # noqa: N801
    """Prints nothing."""

    def __enter__(self) -> None:
        self._stdout, sys.stdout = sys.stdout, io.StringIO()

    def __exit__(self, *_: object) -> None:
        sys.stdout = self._stdout


def too_long(*_: object) -> None:
    raise TimeoutError(f"more than {_SECONDS} seconds of processor time")


def faults(first: int, count: int, seed: int, prepare_every: int) -> Iterator[tuple[int, str]]:
    """The faults of some inputs, by their numbers."""
    signal.signal(signal.SIGVTALRM, too_long)
    for number in range(first, first + count):
        given = inputs(random.Random(f"{seed} {number}"))
        with tempfile.TemporaryDirectory() as folder:
            if found := fault(given, Path(folder), prepare_every > 0 and number % prepare_every == 0):
                yield number, f"{given.application} {[*given.files]}: {found}"


def main() -> int:
    parser = argparse.ArgumentParser()
    for name, value in (("first", 0), ("inputs", 10_000), ("seed", 0), ("prepare_every", 100)):
        parser.add_argument(f"--{name}", type=int, default=value)
    given = parser.parse_args()
    count = 0
    for number, found in faults(given.first, given.inputs, given.seed, given.prepare_every):
        count += 1
        print(f"input {number}: {found}", flush=True)
    print(f"{given.inputs} inputs, {count} faults")
    return count > 0


if __name__ == "__main__":
    sys.exit(main())
