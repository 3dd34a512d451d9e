"""Check that a Ray cluster answers at an address, before Ray tries to connect to it.

Ray itself tries for 14 minutes, and cannot be interrupted meanwhile. On a machine that does not
belong to the cluster, it waits for a minute, or ends the process.
"""

import os
import socket

from ray.exceptions import RayError

from search.cluster.ray_internals import (
    HEALTH_CHECK,
    authentication_headers,
    network_address,
    socket_of_local_node,
)
from spaces import ConfigError
from spaces.errors import first_line

_TIMEOUT_SECONDS = 5


def check_address(address: str) -> None:
    """Raise `ConfigError` unless a Ray cluster that this machine belongs to answers at ``address``.

    The address is "local", "auto" or HOST:PORT. The error comes after `_TIMEOUT_SECONDS` for each
    network address of the host at most, and twice that if this machine does not belong to it.
    """
    if address == "local":
        return
    if "://" in address:
        raise ConfigError(
            f"--address takes local, auto or the HOST:PORT of a Ray cluster that this machine "
            f"belongs to, not {address!r}. To send the command to a cluster from elsewhere:  "
            "finesweep submit --address http://HEAD:8265 launch ..."
        )
    try:
        found = network_address(address)
    except (OSError, ValueError) as error:
        raise no_cluster(address, first_line(error)) from None
    assert found is not None, "only local has none"
    host, _, port = found.rpartition(":")
    try:
        place = (host.strip("[]"), int(port))
        socket.create_connection(place, _TIMEOUT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise no_cluster(address, f"{found}: {error}") from None
    if "RAY_USE_TLS" not in os.environ:
        _check_answer(address, found)
    _check_membership(address, found)


def no_cluster(address: str, reason: str) -> ConfigError:
    """The error for an ``address`` that can't be connected to, for a ``reason``."""
    return ConfigError(
        f"No Ray cluster answers at {address!r} ({reason}); start one with "
        "'ray start --head' or use --address local."
    )


def _check_answer(address: str, found: str) -> None:
    """Raise `ConfigError` unless what listens at ``found``, a HOST:PORT, is Ray and lets us in."""
    import grpc  # a local cluster does not need it

    try:
        headers = authentication_headers()
    except RayError:
        raise _token_needed("RAY_AUTH_MODE is token, but no token was found") from None
    with grpc.insecure_channel(found, options=[("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary(HEALTH_CHECK)
        try:
            ask(b"", timeout=_TIMEOUT_SECONDS, metadata=tuple(headers.items()))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                fault = "refuses this machine's token" if headers else "requires a token"
                raise _token_needed(f"The Ray cluster at {address!r} {fault}") from None
            if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise no_cluster(address, f"what listens at {found} is not Ray") from None


def _check_membership(address: str, found: str) -> None:
    """Raise `ConfigError` unless a node of the cluster at ``found`` runs on this machine."""
    try:
        is_here = socket_of_local_node(found, _TIMEOUT_SECONDS).exists()
    except RuntimeError:
        is_here = False
    if not is_here:
        raise ConfigError(
            f"The Ray cluster at {address!r} answers, but this machine does not belong to it; run "
            f"'ray start --address={found}' here, or the command on a machine of the cluster."
        )


def _token_needed(fault: str) -> ConfigError:
    return ConfigError(
        f"{fault}; with RAY_AUTH_MODE=token, set RAY_AUTH_TOKEN to what 'ray get-auth-token' "
        "prints on the cluster, or RAY_AUTH_TOKEN_PATH to a file that holds it."
    )
