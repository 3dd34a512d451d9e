"""Check that a Ray cluster answers at an address, before Ray tries to connect to it.

Ray itself tries for 14 minutes, and cannot be interrupted meanwhile.
"""

import os
import socket

from ray._private import services

from spaces import ConfigError
from spaces.errors import first_line

_TIMEOUT_SECONDS = 5.0

_HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_EMPTY_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
"""A frame of HTTP/2 (RFC 9113, sections 4.1 and 6.5): its length, type, flags and stream."""
_TYPE_OF_SETTINGS = 4


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
        found = services.canonicalize_bootstrap_address(address)
    except (OSError, ValueError) as error:
        raise no_cluster(address, first_line(error)) from None
    assert found is not None, "only local has none"
    host, _, port = found.rpartition(":")
    try:
        place = (host.strip("[]"), int(port))
        with socket.create_connection(place, _TIMEOUT_SECONDS) as connection:
            speaks = "RAY_USE_TLS" in os.environ or _speaks_http2(connection)
    except (OSError, ValueError) as error:
        raise no_cluster(address, f"{found}: {error}") from None
    if not speaks:
        raise no_cluster(address, f"what listens at {found} is not Ray")


def no_cluster(address: str, reason: str) -> ConfigError:
    """The error for an ``address`` that can't be connected to, for a ``reason``."""
    return ConfigError(
        f"No Ray cluster answers at {address!r} ({reason}); start one with "
        "'ray start --head' or use --address local. A running cluster may require a token: "
        "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN to what 'ray get-auth-token' prints "
        "on the cluster."
    )


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether the server greets as one of gRPC does, which Ray is."""
    connection.sendall(_HTTP2_PREFACE + _EMPTY_SETTINGS)
    try:
        greeting = connection.recv(len(_EMPTY_SETTINGS))
    except TimeoutError:
        return False
    return len(greeting) > 3 and greeting[3] == _TYPE_OF_SETTINGS
