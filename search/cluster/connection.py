"""Ray: found, or started on this machine; and its machines. Light: a launch begins with it."""

import importlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import ray

from spaces import ConfigError

TRIALS = "search.trial.trainable"
"""The module that workers import before they are asked for a trial: it takes them seconds."""


def start_ray(address: str) -> None:
    """Connect to a cluster, or start one on this machine, unless this process has one already.

    Call it from the main thread: what Ray starts ends with the thread that started it. A local
    cluster's first workers import what trials need while the images are read; `search.tuning` sees
    to it that Tune takes them over. Raises `ConfigError` if there is no cluster at ``address``.
    """
    if ray.is_initialized():
        return
    if address == "local":
        os.environ.setdefault("RAY_preload_python_modules", TRIALS)
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


def start_ray_beside_importing(module: str, address: str) -> None:
    """`start_ray`, while a thread imports ``module``."""
    with ThreadPoolExecutor(1) as pool:
        imported = pool.submit(importlib.import_module, module)
        start_ray(address)
        imported.result()


@dataclass(frozen=True)
class Node:
    """A machine that Ray says is alive."""

    id: str
    ip: str
    host: str
    cpus: float
    gpus: float
    gpu_names: tuple[str, ...] = ()
    """As Ray names them; empty for logical ones."""


def alive() -> list[Node]:
    """The machines of the cluster that this process is connected to."""
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


def none_of(avoid: Sequence[str]) -> dict[str, str]:
    """Ray's selector of machines that have none of the ids ``avoid``."""
    return {"ray.io/node-id": f"!in({','.join(avoid)})"} if avoid else {}


Examination = Callable[[], str | None]
"""Says why no trial may run on a machine; "" if one may, None while that isn't known."""
