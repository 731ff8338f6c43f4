"""Metrics for Prometheus, with TensorFlow Serving's names."""

import re
import time
from collections.abc import Generator
from contextlib import contextmanager

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .errors import RequestError

# Where TensorFlow Serving puts them unless its monitoring configuration says otherwise.
DEFAULT_PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Microseconds: 10, and 32 times 1.8 times as many.
_BUCKETS = [10 * 1.8**power for power in range(33)]


class Metrics:
    """Counts requests and times them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._count = Counter(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for requests.",
            ["model_name", "API", "entrypoint", "status"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._rows = Histogram(
            ":tensorflow:serving:request_example_counts",
            "The number of rows of a request.",
            ["model"],
            buckets=[2**power for power in range(15)],
            registry=self._registry,
        )
        self._in_flight = Gauge(
            ":unroll:serve:requests_in_flight", "Requests that are being answered.", registry=self._registry
        )

    @contextmanager
    def observed(self, model: str, api: str, entrypoint: str) -> Generator[None]:
        """Counts and times a request.

        Args:
            model: Name of the model; it must exist, or clients could make up any number of time series.
            api: Predict, GetModelMetadata ...
            entrypoint: REST or GRPC.
        """
        started, status = time.perf_counter(), "OK"
        try:
            with self._in_flight.track_inprogress():
                yield
        except RequestError as error:
            status = error.code.name
            raise
        except BaseException:
            status = "INTERNAL"
            raise
        finally:
            microseconds = (time.perf_counter() - started) * 1e6
            self._count.labels(model, status).inc()
            self._latency.labels(model, api, entrypoint, status).observe(microseconds)

    def count_rows(self, model: str, rows: int) -> None:
        """Counts the rows of a request."""
        self._rows.labels(model).observe(rows)

    def page(self) -> bytes:
        """Returns the metrics in Prometheus' text format."""
        text = prometheus_client.generate_latest(self._registry).decode()
        # The library appends _total to the names of counters, which TensorFlow Serving does not, and adds times.
        text = re.sub(r"(:request_count)_total\b", r"\1", text)
        return re.sub(r"^(# \w+ )?:\S+_created.*\n", "", text, flags=re.MULTILINE).encode()
