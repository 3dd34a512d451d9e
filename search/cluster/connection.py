"""Connects to a Ray cluster, or starts one on this machine; lists its nodes.

Imports little: a launch begins with it.
"""

import importlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import ray

from spaces import ConfigError

TRAINABLE_MODULE = "search.trial.trainable"
"""Module that the workers of a local cluster import at their start, which takes seconds."""


def connect_to_ray(address: str) -> None:
    """Connect to the cluster at ``address``, or start one on this machine if that is "local".

    Does nothing if this process is connected already. Call it in the main thread: what Ray starts
    ends with the thread that started it. The first workers of a local cluster import what trials
    need while the images are read; `search.tuning` makes Tune reuse them.

    Raises `ConfigError` if no cluster answers at ``address``.
    """
    if ray.is_initialized():
        return
    if address == "local":
        os.environ.setdefault("RAY_preload_python_modules", TRAINABLE_MODULE)
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, ValueError) as error:
        raise ConfigError(
            f"No Ray cluster answers at {address!r} ({str(error).splitlines()[0]}); start one with "
            "'ray start --head' or use --address local; if it is up it may ask for its token: set "
            "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what 'ray get-auth-token' says there."
        ) from None


def connect_to_ray_while_importing(module: str, address: str) -> None:
    """`connect_to_ray`, while a thread imports ``module``."""
    with ThreadPoolExecutor(1) as pool:
        imported = pool.submit(importlib.import_module, module)
        connect_to_ray(address)
        imported.result()


@dataclass(frozen=True)
class Node:
    """A live node of the cluster, by what Ray says of it."""

    id: str
    ip: str
    host: str
    cpus: float
    gpus: float
    gpu_names: tuple[str, ...] = ()
    """Ray's names of its GPUs' types; empty if its GPUs were only declared."""


def live_nodes() -> list[Node]:
    """The live nodes of the cluster that this process is connected to."""
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
    """Ray label selector that matches every node but these; empty if there are none."""
    return {"ray.io/node-id": f"!in({','.join(node_ids)})"} if node_ids else {}


PendingCheck = Callable[[], str | None]
"""Polls the check of a node: None while it runs, then "" if trials can run there, or why not."""
