"""What the machine can do: the limits beside which other figures stand."""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

_SIZE = 2048


def measured() -> dict[str, Any]:
    """Measures the processor: its name, cores, GFLOP/s of a matrix product in float32, and GB/s of a sum, which
    reads its numbers from memory."""
    matrix = tf.random.normal([_SIZE, _SIZE])
    # Far larger than any cache.
    numbers = tf.ones([2**25])
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    total = tf.function(lambda: tf.reduce_sum(numbers))
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "gflops": 2e-9 * _SIZE**3 / _seconds(product),
        "gigabytes": 1e-9 * 4 * 2**25 / _seconds(total),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    extensions = [
        name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in facts["flags"].split()
    ]
    return f"{facts['model name']} ({', '.join(extensions)})"


def _seconds(call: Callable[[], tf.Tensor]) -> float:
    found = []
    for _ in range(7):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return statistics.median(found[2:])
