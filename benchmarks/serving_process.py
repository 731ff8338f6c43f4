"""A process of `unroll serve`, for the benchmarks of the server."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2


class Running(NamedTuple):
    """A running server: its URLs, its process, and the file of its log."""

    rest: str
    grpc: str
    process: subprocess.Popen
    log: Path


@contextmanager
def running_server(directory: Path, log: Path, *flags: str) -> Generator[Running]:
    """Runs the server, and ends it with SIGTERM.

    Args:
        directory: Its working directory, with the models.
        log: File for its log.
        flags: Its flags.
    """
    rest, remote = free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "unroll.tasks.cli",
        "serve",
        f"--rest_api_port={rest}",
        f"--port={remote}",
    ]
    with (
        log.open("w") as output,
        subprocess.Popen([*command, *flags], cwd=directory, stderr=output) as process,
    ):
        try:
            _wait(process, rest, log)
            yield Running(f"http://127.0.0.1:{rest}", f"grpc://127.0.0.1:{remote}", process, log)
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0, log.read_text()


def _wait(process: subprocess.Popen, port: int, log: Path) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(log.read_text())


def free_port() -> int:
    """Returns a port that is not in use."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def states(server: Running, model: str) -> dict[int, str]:
    """Returns the states of a model's versions."""
    answer = httpx2.get(f"{server.rest}/v1/models/{model}").json()
    return {int(one["version"]): one["state"] for one in answer["model_version_status"]}
