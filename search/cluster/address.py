"""Check that a Ray cluster answers at an address, before Ray tries to connect to it.

Ray itself tries for 14 minutes, and cannot be interrupted meanwhile.
"""

import os
import socket

from ray.exceptions import RayError

from search.cluster.ray_internals import HEALTH_CHECK, authentication_headers, network_address
from spaces import ConfigError
from spaces.errors import first_line

_TIMEOUT_SECONDS = 5.0


def check_address(address: str) -> None:
    """Raise `ConfigError` unless a Ray cluster seems to answer at ``address``.

    The address is "local", "auto" or HOST:PORT. The error comes after `_TIMEOUT_SECONDS` for each
    network address of the host at most.
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


def _token_needed(fault: str) -> ConfigError:
    return ConfigError(
        f"{fault}; with RAY_AUTH_MODE=token, set RAY_AUTH_TOKEN to what 'ray get-auth-token' "
        "prints on the cluster, or RAY_AUTH_TOKEN_PATH to a file that holds it."
    )
