"""Private or undocumented parts of Ray that connecting to a cluster needs, in one place.

Ray may change any of them without notice. ``tests/search/cluster/test_ray_internals.py`` names the
version that they were tested with.
"""

import os
from pathlib import Path

from ray._private import ray_constants, services
from ray._raylet import GcsClient  # type: ignore[attr-defined]

HEALTH_CHECK = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""A gRPC method that every Ray cluster answers at its address."""


def network_address(address: str) -> str | None:
    """The HOST:PORT that "auto" or a HOST:PORT stands for; None for "local".

    Raises `ValueError` for an address that makes no sense, and `OSError` if "auto" finds nothing.
    """
    found: str | None = services.canonicalize_bootstrap_address(address)
    return found


def socket_of_local_node(address: str, seconds: int) -> Path:
    """Socket of the node of the cluster at HOST:PORT that runs on this machine.

    Raises `RuntimeError` if none does, after so many ``seconds``: it may be about to start.
    """
    node = services.get_node_to_connect_for_driver(
        GcsClient(address=address), timeout_seconds=seconds
    )
    return Path(node.raylet_socket_name)


def authentication_headers() -> dict[str, str]:
    """Headers with this machine's token. Raises `RayError` if Ray should send one and has none."""
    if "RAY_AUTH_MODE" not in os.environ:
        return {}
    from ray._private.authentication import http_token_authentication

    return http_token_authentication.get_auth_headers_if_auth_enabled({})


def keep_working_directory_here() -> None:
    """Keep Ray from uploading the working directory, images included, under ``uv run``.

    RAY_ENABLE_UV_RUN_RUNTIME_ENV in the environment decides, if it is set.
    """
    if "RAY_ENABLE_UV_RUN_RUNTIME_ENV" not in os.environ:
        ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False


def import_in_new_workers(*modules: str) -> None:
    """Let the workers of a cluster that is yet to start import modules before they get work.

    The user's own choice, if there is one, is kept.
    """
    os.environ.setdefault("RAY_preload_python_modules", ",".join(modules))


def keep_idle_workers(seconds: int) -> None:
    """Let a cluster that is yet to start keep workers that have been without work for so long.

    By default Ray ends a worker after 1 s without work if no CPU is free. Tune reserves the CPUs of
    its trials before it starts their actors, so Ray often ended the workers that had just imported
    torch, and started others. The user's own choice, if there is one, is kept.
    """
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", str(1000 * seconds))
