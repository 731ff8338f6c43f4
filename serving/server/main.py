"""Runs the server until it is told to stop."""

import logging
import os
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn

from ...common.errors import FailedError, UserError
from .batching import BatchingParameters
from .config import metrics_path, model_configs
from .grpc_service import grpc_server
from .limits import Limits
from .models import Models
from .options import ServerOptions
from .page_routes import page_routes
from .protocol import LimitedProtocol
from .rest import application
from .service import Service

_NOTE = (
    "unroll serve is for development, tests and demonstrations; production belongs to TensorFlow Serving, which takes "
    "the same files and flags."
)
# Seconds that requests in flight may take after the server was told to stop.
_GRACE = 30
# Seconds without a request after which a connection is closed.
_IDLE = 60

_log = logging.getLogger("unroll.serve")


def serve(options: ServerOptions) -> None:
    """Serves models until SIGTERM or SIGINT; requests in flight are answered first.

    Raises:
        UserError: If a flag, a file or an address is wrong.
        FailedError: If no model can be loaded.
    """
    _start_log()
    _log.info(_NOTE)
    server = Server(options)

    def stop(number: int, frame: object) -> None:
        server.stop()

    # Uvicorn has handlers of its own, but raises the signal again for these once it has stopped.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run()


class Server:
    """A server with its models; `run` answers requests.

    Args:
        options: Its flags.
        limits: Limits of requests; None: the usual ones.

    Attributes:
        rest_port, grpc_port: Its ports.

    Raises:
        UserError: If a flag, a file or an address is wrong.
        FailedError: If no model can be loaded.
    """

    def __init__(self, options: ServerOptions, limits: Limits | None = None) -> None:
        if options.port and options.port == options.rest_api_port:
            raise UserError(
                f"--port={options.port} and --rest_api_port={options.rest_api_port} are the same; give each its own."
            )
        configs, batching = model_configs(options), _batching(options)
        shown_at = metrics_path(options)
        limits = limits or Limits(seconds=options.rest_api_timeout_in_ms / 1000)
        self._models = Models(configs, batching, options.enable_model_warmup)
        service = Service(self._models, limits)
        threads = options.rest_api_num_threads or _threads(batching)
        # Before the models, which take longer.
        self._socket = _listening(options.host, options.rest_api_port)
        self.rest_port: int = self._socket.getsockname()[1]
        host = f"[{options.host}]" if ":" in options.host else options.host
        self._grpc, self.grpc_port = grpc_server(service, f"{host}:{options.port}", threads)
        if not self.grpc_port:
            raise _unusable(options.host, "port", options.port, "it is in use, or not of this machine")
        self._models.start(options.file_system_poll_wait_seconds)
        if not any(map(self._models.answers, self._models.names)):
            raise FailedError("No model can be loaded; the lines above say why.")
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="rest")
        self._grpc.start()
        _log.info("gRPC: %s:%d", host, self.grpc_port)
        _log.info("REST, and a page to try the models: http://%s:%d", host, self.rest_port)
        self._http = uvicorn.Server(
            uvicorn.Config(
                application(service, self._executor, shown_at, page_routes(self._models)),
                http=LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_IDLE,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    def run(self) -> None:
        """Answers requests until `stop` or, in the main thread, a signal."""
        try:
            self._http.run(sockets=[self._socket])
        finally:
            _log.info("Stopping.")
            self._grpc.stop(_GRACE).wait()
            self._executor.shutdown()
            self._models.stop()

    def stop(self) -> None:
        """Ends `run`, once requests in flight are answered."""
        self._http.should_exit = True


def _start_log() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    for name in ("unroll.serve", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "unroll.serve" else logging.WARNING)


def _batching(options: ServerOptions) -> BatchingParameters | None:
    if options.batching_parameters_file and not options.enable_batching:
        raise UserError("--batching_parameters_file has an effect only with --enable_batching; add it.")
    if not options.enable_batching:
        return None
    path = options.batching_parameters_file
    return BatchingParameters.read(Path(path)) if path else BatchingParameters()


def _threads(batching: BatchingParameters | None) -> int:
    """Returns how many requests run at the same time: enough to fill a batch while another one runs."""
    processors = 4 * (os.cpu_count() or 1)
    return processors if batching is None else max(processors, min(2 * batching.max_batch_size, 256))


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        return listening
    except OSError as error:
        raise _unusable(host, "rest_api_port", port, str(error.strerror or error)) from error


def _unusable(host: str, flag: str, port: int, reason: str) -> UserError:
    return UserError(f"--host={host} --{flag}={port} cannot be used: {reason}. Give another address or port.")
