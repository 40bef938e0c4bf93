"""Runs a command on several hosts, which are processes here; for POLYCAST_LAUNCH.

python -m tests.hosting 2 polycast train CONTRACT SHARDS
"""

import os
import subprocess
import sys

from flows.server import free_port

HOST = "127.0.0.1"
OFTEN = [sys.executable, "-c", "from tests.hosting import often; often()"]
"""The command `polycast`, which writes a checkpoint after every epoch."""
ALONE = [sys.executable, "-c", "from tests.hosting import alone; alone()"]
"""The command that trains on one host, into the place `candidates/small/alone`."""


def begin(count: int, command: list[str], **environment: str) -> "list[subprocess.Popen[str]]":
    """Begin a command on so many hosts."""
    addresses = ",".join(f"{HOST}:{free_port()}" for _ in range(count))
    joint = environment | {
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
    }
    return [
        subprocess.Popen(
            command,
            env=os.environ | joint | {"KERAS_DISTRIBUTION_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def alone() -> None:
    """Train in this process, by the contract and on the shards at two places."""
    from tasks.contracts import read_contract
    from tasks.preprocess import STAGE
    from tests.publishing import trained

    shards = STAGE.read(sys.argv[2])
    assert shards is not None
    trained(read_contract(sys.argv[1]), shards, "alone")


def often() -> None:
    """Run the command line, with a checkpoint after every epoch."""
    from flows.cli import main
    from tasks import checkpoints

    checkpoints.SECONDS = checkpoints.PATIENCE = 0.0
    main()


if __name__ == "__main__":
    hosts = begin(int(sys.argv[1]), sys.argv[2:])
    for host in hosts:
        print(*host.communicate())
    sys.exit(max(host.returncode for host in hosts))
