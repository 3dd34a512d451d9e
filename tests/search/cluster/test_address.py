import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import ray

from search.cluster.address import check_address
from spaces import ConfigError


@contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that accepts connections and says nothing."""
    with socket.create_server(("", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def web_server() -> Iterator[int]:
    """The port of a server that speaks HTTP/1.1."""
    with HTTPServer(("", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        yield server.server_port


def fault_of(address: str) -> str:
    """What is told about an address; empty if nothing is wrong with it."""
    try:
        check_address(address)
    except ConfigError as error:
        return str(error)
    return ""


def refused_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_ray_answers_at_the_address_of_a_cluster(ray_cluster: None) -> None:
    assert fault_of(ray.get_runtime_context().gcs_address) == ""
    assert fault_of("local") == ""


def test_a_refused_port_is_told_at_once() -> None:
    port, began = refused_port(), time.monotonic()
    with pytest.raises(ConfigError, match=rf"No Ray cluster answers .*:{port}: .*refused"):
        check_address(f"127.0.0.1:{port}")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("server", [silent_server, web_server])
def test_a_server_that_is_not_ray_is_told(
    server: "contextmanager[int]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.cluster.address._TIMEOUT_SECONDS", 1.0)
    with server() as port, pytest.raises(ConfigError, match=f":{port} is not Ray"):  # type: ignore[operator]
        check_address(f"127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://127.0.0.1:10001"])
def test_an_address_for_jobs_or_clients_names_the_command_for_them(address: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"takes local, auto .* not '{address}'.*finesweep submit"
    ):
        check_address(address)


def test_a_host_or_port_that_makes_no_sense_is_told() -> None:
    with pytest.raises(ConfigError, match="Invalid address format: nonsense"):
        check_address("nonsense")
    with pytest.raises(ConfigError, match=r"No Ray cluster answers at 'nobody\.invalid:6379'"):
        check_address("nobody.invalid:6379")


def test_a_cluster_that_has_gone_is_told_by_the_address_that_it_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)  # those of other tests
    with pytest.raises(ConfigError, match=r"'auto' \(Could not find any running Ray instance"):
        check_address("auto")
    port = refused_port()
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{port}")
    with pytest.raises(ConfigError, match=rf"'auto' .*:{port}: .*refused"):
        check_address("auto")
