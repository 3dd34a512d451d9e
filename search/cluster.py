"""Ray: found, or started on this machine. Light: this is all that a launch needs to begin with."""

import logging
import os

import ray

from spaces import ConfigError


def start_ray(address: str) -> None:
    """Connect to a cluster, or start one on this machine, unless this process has one already.

    Call it from the main thread: what Ray starts ends with the thread that started it. Raises
    `ConfigError` if there is no cluster at ``address``.
    """
    if ray.is_initialized():
        return
    if address == "local":  # its first workers import what trials need while images are read
        os.environ.setdefault("RAY_preload_python_modules", "search.trial")
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
            "'ray start --head' or use --address local."
        ) from None
