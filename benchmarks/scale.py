"""What more workers would give: bytes that a training step sends against its work, for each preset.

    python benchmarks/scale.py [--gigabits=10] [--latency=0.0001]

Measures the processor time of a step of each preset on random batches of its size, on this machine. The rest is
arithmetic: every worker has such a batch and `--cores` cores, and the gradients go around a ring of n workers, so that
each sends 2 (n - 1) / n of their bytes, in 2 (n - 1) messages; nothing overlaps.
"""

import time
from typing import Any

import numpy as np
import tensorflow as tf
from absl import app
from absl import flags as absl_flags
from steps import training_steps

from unroll.common import flags, options
from unroll.models.text import END, START
from unroll.tasks.applications import config_class, presets, task_of
from unroll.tasks.captioning.data import CaptioningSizes
from unroll.tasks.language_modeling.data import LanguageModelSizes
from unroll.tasks.sentiment.data import SentimentSizes
from unroll.tasks.translation.data import TranslationSizes

_GIGABITS = absl_flags.DEFINE_float("gigabits", 10, "speed of the network, in 10**9 bits a second")
_LATENCY = absl_flags.DEFINE_float("latency", 1e-4, "seconds that a message takes at least")
_CORES = absl_flags.DEFINE_integer("cores", 2, "cores of a worker")
_STEPS = absl_flags.DEFINE_integer("steps", 3, "steps to measure")
_WORKERS = (8, 64, 512)
# Files that the presets need, which nobody reads.
_FILES = {"train_data": "x", "images": "x", "captions": "x"}


def sentiment(rng: np.random.Generator, config: Any) -> tuple[Any, dict[str, np.ndarray]]:
    time = 230
    rows = config.batch_tokens // time
    ids = rng.integers(4, config.vocabulary_size, (rows, time))
    return SentimentSizes(config.vocabulary_size, 2), {"ids": ids, "label": rng.integers(0, 2, rows)}


def translation(rng: np.random.Generator, config: Any) -> tuple[Any, dict[str, np.ndarray]]:
    time, tokens = 16, config.vocabulary_size
    rows = config.batch_tokens // time
    source, target = rng.integers(4, tokens, (2, rows, time))
    target[:, 0], target[:, -1] = START, END
    return TranslationSizes(tokens, tokens), {"source": source, "target": target}


def captioning(rng: np.random.Generator, config: Any) -> tuple[Any, dict[str, np.ndarray]]:
    tokens, several, time, shape = 2500, 5, 14, (49, 1280)
    rows = config.batch_tokens // (several * time)
    captions = rng.integers(4, tokens, (rows, several, time))
    captions[..., 0], captions[..., -1] = START, END
    images = rng.gamma(1, size=[rows, *shape]).astype("float16")
    return CaptioningSizes(tokens, shape[1]), {"captions": captions, "images": images}


def language_modeling(rng: np.random.Generator, config: Any) -> tuple[Any, dict[str, np.ndarray]]:
    lanes, steps = config.batch, config.truncation
    batch = {
        "ids": rng.integers(4, 68, (lanes, steps + 1)),
        "length": np.full(lanes, steps),
        "reset": np.zeros(lanes, bool),
    }
    return LanguageModelSizes(68, lanes), batch


PRESETS = {
    "imdb": sentiment,
    "multi30k": translation,
    "flickr8k": captioning,
    "tinyshakespeare": language_modeling,
}


def preset_config(task: str, preset: str) -> Any:
    fields, values = options.of(config_class(task)), absl_flags.FlagValues()
    flags.define(fields, values)
    values([task, f"--flagfile={presets(task)[preset]}"])
    given = flags.given(fields, values)
    files = {field.name for field, _ in fields} & _FILES.keys() if given["dataset"] == "files" else ()
    return config_class(task)(**{name: _FILES[name] for name in files} | given)


def main(_):
    print("preset           parameters   sent    processor   share of the time spent computing at")
    print(f"                              MB      s a step    {'  '.join(map(str, _WORKERS))} workers")
    for preset, make in PRESETS.items():
        task = task_of(make.__name__)
        config = preset_config(make.__name__, preset)
        sizes, batch = make(np.random.default_rng(0), config)
        batch = {n: v.astype("int32") if v.dtype == "int64" else v for n, v in batch.items()}
        spec = {name: tf.TensorSpec([None] * value.ndim, value.dtype) for name, value in batch.items()}
        if "images" in spec:
            spec["images"] = tf.TensorSpec([None, *batch["images"].shape[1:]], batch["images"].dtype)
        variables = task.build_model(config, sizes).trainable_variables
        parameters = sum(int(np.prod(variable.shape)) for variable in variables)
        step = training_steps(task, config, sizes, [batch], spec, precision=config.precision)
        step()
        begun = time.process_time()
        for _ in range(_STEPS.value):
            step()
        processor = (time.process_time() - begun) / _STEPS.value
        compute, shares = processor / _CORES.value, []
        for workers in _WORKERS:
            sent = 2 * (workers - 1) / workers * 4 * parameters
            network = sent * 8 / (_GIGABITS.value * 1e9) + 2 * (workers - 1) * _LATENCY.value
            shares.append(compute / (compute + network))
        print(
            f"{preset:16} {parameters:10,}   {8 * parameters / 1e6:4.0f}   {processor:8.2f}    "
            f"  {'   '.join(f'{share:.0%}' for share in shares)}",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
