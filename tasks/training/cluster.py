"""The place of this process among the workers of a training, which TF_CONFIG names."""

import json
import os
from typing import Any, NamedTuple

from ...common.errors import UserError

_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}, with another index '
    "for each worker"
)


class Place(NamedTuple):
    """The place of a worker.

    Attributes:
        index: Its number, from 0, the chief's.
        addresses: HOST:PORT of each worker; none for a training in one process.
    """

    index: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def is_chief(self) -> bool:
        """Whether this worker prepares the data and writes the files."""
        return self.index == 0


def place_of(distribution: str) -> Place:
    """Returns the place of this process in a training with that `--distribution`.

    Raises:
        UserError: If TF_CONFIG is needed and does not say it.
    """
    if distribution != "multi_worker":
        return Place()
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise UserError(
            "--distribution=multi_worker needs the environment variable TF_CONFIG, which launchers of clusters set: "
            f"{_EXAMPLE}."
        )
    try:
        content = json.loads(text)
        cluster, task = content["cluster"], content["task"]
        kind, index = task["type"], int(task["index"])
        jobs = {name: _addresses(cluster[name]) for name in ("chief", "worker") if name in cluster}
        number = index + (len(jobs.get("chief", ())) if kind == "worker" else 0)
        own = jobs[kind][index]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(f"TF_CONFIG={text} cannot be used; it must be like {_EXAMPLE}.") from error
    addresses = tuple(address for job in jobs.values() for address in job)
    if len(jobs.get("chief", ())) > 1 or addresses.count(own) > 1 or addresses[number] != own:
        raise UserError(
            f"TF_CONFIG={text} cannot be used: it needs one chief at most, and each address once."
        )
    return Place(number, addresses)


def _addresses(listed: Any) -> list[str]:
    addresses = [str(address) for address in listed]
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(address)
    return addresses
