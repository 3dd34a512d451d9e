"""Connects to a Ray cluster, or starts one on this machine; lists its nodes.

This module imports few others, because every launch imports it first.
"""

import importlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from search.cluster.address import check_address
from search.cluster.ray_internals import (
    import_in_new_workers,
    keep_idle_workers,
    keep_working_directory_here,
)
from search.cluster.temporary_folder import temporary_folder
from spaces import ConfigError
from spaces.errors import first_line
from trainables.process_limits import available_cpus, available_memory_bytes

TRAINABLE_MODULE = "search.trial.trainable"
"""Module that workers of a local cluster import when they start; importing it takes seconds."""
_PRELOADED = ("finesweep", TRAINABLE_MODULE)
"""``finesweep`` first, which finds our packages also where PYTHONPATH has others of their names."""
_IDLE_SECONDS = 60
"""Seconds that a worker of a local cluster waits for work, even if no CPU is free.

Reading the images takes less unless they are many, and then new workers delay the trials little."""
_OUR_FOLDER = Path(__file__).parents[2]
"""Folder that holds our packages."""


def connect_to_ray(address: str) -> None:
    """Connect to the cluster at ``address``, or start one here if ``address`` is "local".

    Does nothing if this process is connected already. Call this function in the main thread:
    Ray's processes end together with the thread that calls it. The first workers of a local cluster
    import `TRAINABLE_MODULE` while the driver reads the images; `search.tuning` makes Tune reuse
    these workers.

    Raises `ConfigError` if no cluster answers at ``address``, or if Ray can't start here.
    """
    if ray.is_initialized():
        return
    keep_working_directory_here()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address != "local":
        check_address(address)
        try:
            # Ray puts the working directory first on the path of the workers, which import our
            # packages: a user's search.py must not be there.
            with chdir(_OUR_FOLDER):
                ray.init(address, **options)
        except (OSError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"The Ray cluster at {address!r} can't be used ({reason}); if the "
                "versions differ, install the same on every machine."
            ) from None
        return
    import_in_new_workers(*_PRELOADED)
    keep_idle_workers(_IDLE_SECONDS)
    folder = temporary_folder()
    try:
        with _interrupts_held_back():
            ray.init(
                "local",
                num_cpus=available_cpus(),
                _memory=available_memory_bytes(),
                include_dashboard=False,
                _temp_dir=str(folder),
                **options,
            )
    except Exception as error:  # Ray raises bare ones, too
        raise ConfigError(
            f"Ray can't start on this machine ({first_line(error)}); its logs are in {folder}."
        ) from None


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Raise the `KeyboardInterrupt` of a Ctrl-C at the end of the block; a second one at once.

    Ray can't end the processes of a start that was interrupted, and in a notebook they would stay
    until the kernel ends. Only the main thread gets interrupts.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)
    interrupts: list[int] = []

    def hold_back(number: int, frame: object) -> None:
        interrupts.append(number)
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, hold_back)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if interrupts:
        raise KeyboardInterrupt


def connect_to_ray_while_importing(module: str, address: str) -> None:
    """Call `connect_to_ray` while a second thread imports ``module``."""
    with ThreadPoolExecutor(1) as pool:
        imported = pool.submit(importlib.import_module, module)
        connect_to_ray(address)
        imported.result()


@dataclass(frozen=True)
class Node:
    """A live node of the cluster, as Ray reports it."""

    id: str
    ip: str
    host: str
    cpus: float
    gpus: float
    gpu_names: tuple[str, ...] = ()
    """Models of the node's GPUs (Ray's accelerator types). Empty if Ray detected no GPU, even if
    ``ray start --num-gpus`` declared some."""


def live_nodes() -> list[Node]:
    """List the live nodes of the cluster that this process is connected to."""
    return [
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            node["NodeManagerHostname"],
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            tuple(
                name.partition(":")[2]
                for name in node["Resources"]
                if name.startswith("accelerator_type:")
            ),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


def selector_excluding(node_ids: Sequence[str]) -> dict[str, str]:
    """Ray label selector that matches every node but ``node_ids``; empty if no ids are given."""
    return {"ray.io/node-id": f"!in({','.join(node_ids)})"} if node_ids else {}


PendingCheck = Callable[[], str | None]
"""Function that polls the check of a node.

It returns None while the check runs. After the check, it returns "" if trials can run on the node,
or the reason why they can't.
"""
