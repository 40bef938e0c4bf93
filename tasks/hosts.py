"""The hosts that train one network together, of which the first one leads: it alone writes.

In: Keras' own variables, KERAS_DISTRIBUTION_JOB_ADDRESSES (HOST:PORT of the first host),
KERAS_DISTRIBUTION_NUM_PROCESSES and KERAS_DISTRIBUTION_PROCESS_ID (from 0). Each host takes every
step, and the same decisions by the same numbers. Without `joined`, a process leads by itself.
Raises WrongRequest where a variable is missing or says otherwise than the contract, and HostGone.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tasks.backends import Hosts, backend_hosts, chosen
from tasks.errors import WrongRequest

ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
COUNT = "KERAS_DISTRIBUTION_NUM_PROCESSES"
NUMBER = "KERAS_DISTRIBUTION_PROCESS_ID"


_here = {"number": 0, "count": 1}


class HostGone(Exception):
    """Another host is gone, so that this one cannot go on."""


class Unlike(Exception):
    """Something that differs between hosts and must not."""


def leads() -> bool:
    """Say whether this process is the one that writes."""
    return _here["number"] == 0


@contextmanager
def joined(hosts: int, device: str) -> Iterator[None]:
    """Be one of so many hosts while the block runs, on `device`, as `training.device` says.

    To be entered before Keras is imported. A clean end waits for all hosts. After an error the
    process must end by `os._exit`, since the others no longer come.
    """
    addresses, number = _asked(hosts)
    machine = backend_hosts()
    try:
        machine.join(addresses, hosts, number, device)
        _here.update(number=number, count=hosts)
        yield
        _leave(machine)
    except Exception as fault:
        if not machine.gone(fault):
            raise
        said = str(fault).strip().splitlines()[0]
        raise HostGone(
            f"host {number} of {hosts} cannot go on, since another one is gone or does not come. "
            "Look at what the others say, then start all of them again: training goes on from its "
            f"last checkpoint ({said})"
        ) from fault
    finally:
        _here.update(number=0, count=1)


def _leave(machine: Hosts) -> None:
    """Wait for the other hosts. The one that leads has nothing to lose when they do not come."""
    try:
        machine.leave()
    except Exception as fault:
        if not (leads() and machine.gone(fault)):
            raise


def _asked(hosts: int) -> tuple[list[str], int]:
    """Return the hosts' addresses and this one's number."""
    missing = [name for name in (ADDRESSES, COUNT, NUMBER) if not os.environ.get(name)]
    if missing:
        raise WrongRequest(
            f"training.hosts is {hosts}: expected {' and '.join(missing)} to be set "
            f"({ADDRESSES}: HOST:PORT of every host, in their order, {COUNT}: {hosts}, {NUMBER}: "
            "from 0)"
        )
    addresses = os.environ[ADDRESSES].split(",")
    count, number = (_whole(name) for name in (COUNT, NUMBER))
    for address in addresses:
        if not address.rpartition(":")[2].isdecimal():
            raise WrongRequest(f"{ADDRESSES}: expected HOST:PORT, came {address}")
    if len(addresses) != hosts and (len(addresses) > 1 or chosen() == "tensorflow"):
        raise WrongRequest(
            f"{ADDRESSES}: expected {hosts} addresses with commas between them, came "
            f"{len(addresses)}; with KERAS_BACKEND=jax the first host's is enough"
        )
    if count != hosts:
        raise WrongRequest(f"{COUNT}: expected {hosts}, as training.hosts says, came {count}")
    if number >= hosts:
        raise WrongRequest(f"{NUMBER}: expected 0 to {hosts - 1}, came {number}")
    return addresses, number


def _whole(name: str) -> int:
    value = os.environ[name]
    if not value.isdecimal():
        raise WrongRequest(f"{name}: expected a whole number, came {value}")
    return int(value)


def agreed(value: Any) -> Any:
    """Return what the first host came with, a JSON value, on every host. All of them must ask."""
    if _here["count"] == 1:
        return value
    machine, content = backend_hosts(), json.dumps(value).encode()
    size = int(machine.first(np.array([len(content)], np.int32))[0])
    mine = np.frombuffer(content.ljust(size)[:size], np.uint8).astype(np.int32)
    return json.loads(machine.first(mine).astype(np.uint8).tobytes())


def same(value: Any, what: str) -> None:
    """Raise Unlike where a value differs from the first host's. All of them must ask."""
    first = agreed(value)
    if first != value:
        raise Unlike(
            f"{what} differs between the first host and host {_here['number']}: expected {first}, "
            f"came {value}. All hosts must see one storage root, and have the same versions of "
            "all packages"
        )
