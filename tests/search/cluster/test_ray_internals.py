"""Guards: the private parts of Ray that connecting to a cluster needs are still there."""

import os
from inspect import signature
from pathlib import Path

import pytest
import ray
from ray._private import ray_constants, services
from ray._private.authentication import http_token_authentication
from ray._private.workers import default_worker

from search.cluster.ray_internals import (
    authentication_headers,
    import_in_new_workers,
    keep_idle_workers,
    keep_working_directory_here,
    network_address,
)

TRIED = "2.60.0"
MOVED = (
    f"a private part of Ray that Finesweep uses (tried with {TRIED}) has moved in {ray.__version__}"
)
SWITCH, PRELOAD = "RAY_ENABLE_UV_RUN_RUNTIME_ENV", "RAY_preload_python_modules"
IDLE = "RAY_idle_worker_killing_time_threshold_ms"


def test_ray_says_which_network_address_is_meant() -> None:
    assert network_address("198.51.100.7:6379") == "198.51.100.7:6379", MOVED
    assert network_address("local") is None, MOVED


def test_ray_looks_for_the_node_of_this_machine_as_long_as_it_is_told() -> None:
    look = services.get_node_to_connect_for_driver
    assert {"gcs_client", "timeout_seconds"} <= set(signature(look).parameters), MOVED


def test_no_token_is_sent_unless_ray_is_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    assert authentication_headers() == {}
    ask = http_token_authentication.get_auth_headers_if_auth_enabled
    assert list(signature(ask).parameters) == ["user_headers"], MOVED


@pytest.mark.parametrize("given", [None, "1"])
def test_the_working_directory_stays_here_unless_the_user_decides(
    monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    assert isinstance(ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV, bool), MOVED
    monkeypatch.setattr(ray_constants, SWITCH, True)
    if given is None:
        monkeypatch.delenv(SWITCH, raising=False)
    else:
        monkeypatch.setenv(SWITCH, given)
    keep_working_directory_here()
    assert (given is not None) == ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV


def test_workers_import_what_they_are_told_unless_the_user_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "--worker-preload-modules" in Path(default_worker.__file__).read_text(), MOVED
    monkeypatch.setitem(os.environ, PRELOAD, "mine")
    import_in_new_workers("json", "csv")
    assert os.environ[PRELOAD] == "mine"
    monkeypatch.delenv(PRELOAD)
    import_in_new_workers("json", "csv")
    assert os.environ.pop(PRELOAD) == "json,csv"


def test_idle_workers_are_kept_as_long_as_told_unless_the_user_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert IDLE.encode() in Path(ray._raylet.__file__).read_bytes(), MOVED
    monkeypatch.setitem(os.environ, IDLE, "5")
    keep_idle_workers(60)
    assert os.environ[IDLE] == "5"
    monkeypatch.delenv(IDLE)
    keep_idle_workers(60)
    assert os.environ.pop(IDLE) == "60000"
