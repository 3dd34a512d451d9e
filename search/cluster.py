"""Ray: found, or started on this machine. Light: this is all that a launch needs to begin with."""

import logging

import ray

from spaces import ConfigError


def start_ray(address: str) -> None:
    """Connect to a cluster, or start one on this machine, unless this process has one already.

    Call it from the main thread: what Ray starts ends with the thread that started it. Nothing is
    preloaded into its workers: Tune's actors get new processes all the same, and those that
    preloaded only stand in their way (measured: first result 3 s later). Raises `ConfigError` if
    there is no cluster at ``address``.
    """
    if ray.is_initialized():
        return
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
