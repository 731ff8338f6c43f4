"""Settings of the whole suite, and fixtures that several test files share."""

import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from captioned_images import as_flags, tiny_model_flags, write_captioned_images
from filelock import FileLock
from tiny_training import tiny_text_options, tiny_translation_options, write_pairs, write_texts

from unroll.export import verify
from unroll.export.demonstration import Demonstration, demonstrate
from unroll.export.examples import replay
from unroll.serving.c_api import SavedModelSession
from unroll.serving.python_api import PythonSession
from unroll.serving.saved_model import SavedModel, Session
from unroll.serving.warmup import read_warmup_requests
from unroll.tasks import cli

# Files that take long, the longest first: pytest-xdist hands them out in this order, so that no process works on one
# long after the others are done. Neighbours share no run, for which one process would wait for the other.
LONG = (
    "test_captioning",
    "test_recurrent_layers",
    "test_workers",
    "test_translation",
    "test_pairs_in_training",
    "test_trainer",
    "test_inspect",
    "test_language_modeling",
    "test_translation_model",
    "test_resume",
    "test_recurrent_applications",
    "test_language_model_export",
    "test_sentiment_model",
    "test_captioning_model",
    "test_quiet_start",
    "test_language_model",
    "test_full_disk",
    "test_translation_export",
    "test_decoder",
    "test_server_load",
    "test_beam_search",
    "test_server_batching",
    "test_cli",
    "test_mean",
    "test_server_versions",
    "test_mean_writers",
    "test_portable",
    "test_environment",
    "test_keras_suite",
    "test_gradient_registry",
    "test_hello",
    "test_fuzz_signatures",
    "test_initialization",
    "test_copying",
    "test_export",
    "test_gradient_flow",
    "test_recurrent_stack",
    "test_packaging",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--target",
        help="URLs of a server, http://... and grpc://..., comma-separated: the tests of the server run against it",
    )
    parser.addoption(
        "--target_models", help="directory of the models that it serves: sentiment and translation"
    )
    parser.addoption("--load_seconds", type=float, default=6, help="duration of the server's test under load")


def pytest_configure() -> None:
    # Shells start a suite in the background with Ctrl-C ignored; trainings would ignore it, too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: position for position, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(LONG)))


def pytest_collection_finish() -> None:
    # Modules and tests stay to the end: the garbage collector need not look at them again and again.
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


WORDS = {
    "positive": ["wonderful", "lovely", "brilliant"],
    "negative": ["awful", "dull", "boring"],
    "neutral": ["usual", "average", "ordinary"],
}


@pytest.fixture(scope="session")
def reviews_table(tmp_path_factory):
    """A TSV file with the columns `text` and `label`, where most labels follow from a word, and some from nothing."""
    rows = [
        f"The {kind} {word} of number {number} was {word}, said Amélie.\t{label}"
        for number in range(20)
        for label, words in WORDS.items()
        for word in words
        for kind in ("film", "kettle")
    ]
    rows += [
        f"Of number {number} there is nothing to say.\t{label}" for number in range(10) for label in WORDS
    ]
    path = tmp_path_factory.mktemp("table") / "reviews.tsv"
    path.write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory, reviews_table):
    """The directory of a small sentiment run of one epoch, for all processes of the suite; not to be changed."""

    flags = [
        "--dataset=files",
        f"--train_data={reviews_table}",
        "--validation_fraction=0.1",
        "--test_fraction=0.2",
        "--epochs=1",
        "--batch_tokens=60",
        "--max_length=400",
        "--segment=50",
        "--ngrams=2",
        "--ngram_buckets=20011",
        "--learning_rate=0.003",
        "--units=6",
        "--embedding_size=8",
        "--dropout=0",
    ]

    def make(path):
        assert cli.main(["train", "sentiment", f"--workdir={path}", *flags]) == 0

    return _made_once(tmp_path_factory, "trained_run", make)


@pytest.fixture(scope="session")
def exported_model(tmp_path_factory, trained_run):
    """A model's directory with version 1, of `trained_run`, for all processes of the suite; not to be changed."""

    def make(path):
        assert cli.main(["export", f"--workdir={trained_run}", f"--output={path}"]) == 0

    return _made_once(tmp_path_factory, "exports/sentiment", make)


@pytest.fixture(scope="session")
def translation_run(tmp_path_factory):
    """The directory of a small translation run that knows its language, for all processes of the suite; not to be
    changed."""

    def make(path):
        options = tiny_translation_options(path.with_name("translation_data")) | {
            "test_data": write_pairs(path.with_name("translation_data") / "test", rows=15, seed=2),
            "units": 32,
            "epochs": 12,
            "monitor": "bleu",
            "beam_width": 3,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        assert cli.main(["train", "translation", f"--workdir={path}", *flags]) == 0

    return _made_once(tmp_path_factory, "translation_run", make)


@pytest.fixture(scope="session")
def exported_translation(tmp_path_factory, translation_run):
    """A model's directory with version 1, of `translation_run`, for all processes of the suite; not to be changed."""

    def make(path):
        with replaying_here(PythonSession, SavedModelSession):
            assert cli.main(["export", f"--workdir={translation_run}", f"--output={path}"]) == 0

    return _made_once(tmp_path_factory, "exports/translation", make)


@pytest.fixture(scope="session")
def captioning_run(tmp_path_factory):
    """The directory of a small captioning run that has learnt its images, for all processes of the suite; not to be
    changed."""

    def make(path):
        data = write_captioned_images(path.with_name("captioning_data"), zipped=True)
        flags = as_flags(data | tiny_model_flags() | {"epochs": 16, "learning_rate": 0.03})
        assert cli.main(["train", "captioning", f"--workdir={path}", *flags]) == 0

    return _made_once(tmp_path_factory, "captioning_run", make)


@pytest.fixture(scope="session")
def exported_captioning(tmp_path_factory, captioning_run):
    """A model's directory with version 1, of `captioning_run`, for all processes of the suite; not to be changed."""

    def make(path):
        with replaying_here(PythonSession, SavedModelSession):
            assert cli.main(["export", f"--workdir={captioning_run}", f"--output={path}"]) == 0

    return _made_once(tmp_path_factory, "exports/captioning", make)


@pytest.fixture(scope="session")
def language_model_run(tmp_path_factory):
    """The directory of a small run of two layers on short texts, so that they end, for all processes of the suite; not
    to be changed. The texts are beside it."""

    def make(path):
        options = tiny_text_options(write_texts(path.with_name("language_model_texts"), range(20, 60))) | {
            "layers": 2,
            "units": 12,
            "embedding_size": 6,
            "truncation": 32,
            "epochs": 12,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        assert cli.main(["train", "language_modeling", f"--workdir={path}", *flags]) == 0

    return _made_once(tmp_path_factory, "language_model_run", make)


@pytest.fixture(scope="session")
def exported_language_model(tmp_path_factory, language_model_run):
    """A model's directory with version 1, of `language_model_run`, for all processes of the suite; not to be
    changed."""

    def make(path):
        with replaying_here(PythonSession, SavedModelSession):
            assert cli.main(["export", f"--workdir={language_model_run}", f"--output={path}"]) == 0

    return _made_once(tmp_path_factory, "exports/language_modeling", make)


@pytest.fixture(scope="session")
def served(request, tmp_path_factory):
    """A server with two models, `sentiment` and `translation`: `unroll serve`, or the one of --target."""
    # Late, since it imports the server, which few tests need.
    from served import serving, targeted

    target, models = (request.config.getoption(f"--target{which}") for which in ("", "_models"))
    if target:
        yield targeted(target, models)
        return
    models = {
        "sentiment": request.getfixturevalue("exported_model"),
        "translation": request.getfixturevalue("exported_translation"),
    }
    with serving(models, tmp_path_factory.mktemp("served")) as found:
        yield found


@contextmanager
def replaying_here(*loaders: type[Session]) -> Iterator[None]:
    """Verifies exports by some loaders in this process, in a fraction of the time of fresh ones."""

    def replay_here(directory: Path) -> Demonstration:
        for loader in loaders:
            loaded = SavedModel(directory, loader)
            replay(directory, loaded.call)
        for signature, inputs in read_warmup_requests(directory / "assets.extra"):
            loaded.call(signature, inputs)
        return demonstrate(directory, loaded)

    with pytest.MonkeyPatch.context() as patch:
        check = partial(partial, replay_here)
        patch.setattr(verify, "fresh_processes", lambda: nullcontext(check))
        yield


@pytest.fixture
def replayed_here() -> Iterator[None]:
    """Exports are verified in this process by the loader of servers alone."""
    with replaying_here(SavedModelSession):
        yield


def _made_once(tmp_path_factory, name, make):
    """A path below the directory that the processes of pytest-xdist share, made by the first that asks for it."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    path = shared / name
    path.parent.mkdir(exist_ok=True)
    made = path.with_name(f"{path.name}.made")
    with FileLock(path.with_name(f"{path.name}.lock")):
        if not made.exists():
            make(path)
            made.touch()
    return path
