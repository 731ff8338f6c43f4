"""Times `unroll serve` in one run: what it adds to a call in the process, and what batches gain with many clients.

    python benchmarks/serving_speed.py --model=exports/NAME [--clients=32]

Latency: the same call of one row in this process, over REST and over gRPC, in turns. Throughput: requests of one row
from many clients, with and without --enable_batching, in turns, each for some seconds.
"""

import http.client
import json
import logging
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from absl import app, flags
from serving_process import running_server

import unroll.serving

_MODEL = flags.DEFINE_string(
    "model", None, "directory of an exported sentiment or translation model", required=True
)
_TEXT = flags.DEFINE_string(
    "text", "Last week the tired sister did not throw away the old newspapers.", "the input of each request"
)
_CLIENTS = flags.DEFINE_integer("clients", 32, "clients")
_CALLS = flags.DEFINE_integer("calls", 200, "calls that are timed for the latency")
_SECONDS = flags.DEFINE_float("seconds", 5, "seconds of a round of the throughput")
_ROUNDS = flags.DEFINE_integer("rounds", 3, "rounds of the throughput")
# Calls in a row.
_BLOCK = 20
_BATCHING = """
max_batch_size { value: 64 } batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 } num_batch_threads { value: 2 }
"""


def latencies(calls: dict[str, Callable[[], object]], times: int) -> dict[str, float]:
    """Returns the median of each call, in milliseconds."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    # In blocks: the threads of TensorFlow in one process keep the processors busy for a moment after a call.
    for _ in range(max(times // _BLOCK, 1)):
        for name, call in calls.items():
            for number in range(_BLOCK + 2):
                started = time.perf_counter()
                call()
                if number >= 2:
                    found[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in found.items()}


def throughput(url: str, name: str, text: str, clients: int, seconds: float) -> float:
    """Returns the requests a second that a server answers to several clients."""
    body, path = json.dumps({"inputs": [text]}), f"/v1/models/{name}:predict"
    end, answered = time.monotonic() + seconds, [0] * clients

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection(url.removeprefix("http://"))
        while time.monotonic() < end:
            connection.request("POST", path, body)
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
            answered[number] += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(answered) / seconds


def main(_: list[str]) -> None:
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    model, text = Path(_MODEL.value).absolute(), _TEXT.value
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "batching.config").write_text(_BATCHING)
        flags = [f"--model_base_path={model}", "--model_name=model"]
        batched = [*flags, "--enable_batching", f"--batching_parameters_file={folder / 'batching.config'}"]
        alone = stack.enter_context(running_server(folder, folder / "alone.log", *flags))
        together = stack.enter_context(running_server(folder, folder / "batched.log", *batched))
        here = {"in the process": unroll.serving.load(model)}
        there = {
            name: unroll.serving.connect(url, "model")
            for name, url in (("REST", alone.rest), ("gRPC", alone.grpc))
        }
        calls = {name: lambda found=found: found.answer([text]) for name, found in (here | there).items()}
        medians = latencies(calls, _CALLS.value)
        for name, milliseconds in medians.items():
            added = milliseconds - medians["in the process"]
            print(f"{name:15} {milliseconds:7.2f} ms   {added:+6.2f} ms", flush=True)
        servers = {"alone": alone.rest, "batched": together.rest}
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(_ROUNDS.value + 1):
            for name, url in servers.items():
                rate = throughput(url, "model", text, _CLIENTS.value, _SECONDS.value if number else 1)
                if number:
                    rates[name].append(rate)
    best = {name: statistics.median(values) for name, values in rates.items()}
    for name, rate in best.items():
        print(f"{name:15} {rate:7.1f} requests a second, {_CLIENTS.value} clients")
    print(f"with batches {best['batched'] / best['alone']:.2f} times as many")


if __name__ == "__main__":
    app.run(main)
