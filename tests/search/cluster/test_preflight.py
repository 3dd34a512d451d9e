import time
from dataclasses import replace
from pathlib import Path

import pytest
import ray

from search.cluster import (
    Machine,
    NodeChecker,
    PendingCheck,
    check_machines,
    live_nodes,
    machine_warnings,
)
from search.cluster.preflight import version_differences
from spaces import ConfigError
from tests.support.command_line import finesweep

MACHINE = Machine(
    id="a1",
    host="a",
    cpus=8,
    gpus=2,
    gpu_names=("H100",),
    versions={"python": "3.11.7", "torch": "2.11.0", "finesweep": "c0de"},
    free_memory_gib=100,
    free_cache_gib=100,
    cuda=True,
)


def test_every_machine_of_the_cluster_is_checked(ray_cluster: None, tmp_path: Path) -> None:
    machines = check_machines(tmp_path / "cache")
    assert [(m.cpus, m.gpus) for m in machines] == [(2, 0), (1, 1)]
    assert machines[0].versions == machines[1].versions
    assert machines[0].versions["ray"] == ray.__version__
    assert all(m.free_memory_gib > 0 and m.free_cache_gib > 0 for m in machines)
    assert "1 GPUs (logical)" in str(machines[1])


def test_a_cache_that_cannot_be_written_is_an_error_that_names_the_machine(
    ray_cluster: None, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cache_dir .*file/cache can't be written") as raised:
        check_machines(tmp_path / "file" / "cache")
    assert len(str(raised.value).splitlines()) == 2, "one for each machine"


def test_a_machine_that_leaves_during_the_check_is_left_out(
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nodes = live_nodes()
    gone = replace(nodes[1], id="e" * 56, host="gone")
    monkeypatch.setattr("search.cluster.preflight._nodes_local_first", lambda: [*nodes, gone])
    assert len(check_machines(tmp_path)) == 2
    assert "machine gone left the cluster while it was checked" in caplog.text


def test_machines_must_have_the_same_versions() -> None:
    other = replace(MACHINE, host="b", versions={**MACHINE.versions, "torch": "2.9.0"})
    assert version_differences([MACHINE, MACHINE, other]) == [
        "b has torch 2.9.0 instead of 2.11.0; install the same versions on b as on a."
    ]


def test_a_problem_that_a_sweep_can_run_with_is_a_warning() -> None:
    assert machine_warnings([MACHINE], 50) == []
    poor = replace(MACHINE, cuda=False, free_cache_gib=0.5)
    no_cuda, little = machine_warnings([MACHINE, poor], 50)
    assert "a has GPUs, but its torch is built without CUDA" in no_cuda
    assert "a has 0.5 GiB left for cache_dir" in little


def test_the_command_prints_a_line_for_each_machine(
    ray_cluster: None, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert finesweep("preflight", "--cache-dir", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("torch" in line and "GiB of memory" in line for line in lines)


def test_a_machine_that_joins_is_checked_without_waiting_for_it(
    ray_cluster: None, cache: Path
) -> None:
    checker = NodeChecker(cache)
    other = next(node for node in live_nodes() if node.gpus)
    assert verdict(checker(other)) == ""
    versions = {**checker._local.versions, "torch": "1.0"}
    checker._local = replace(checker._local, versions=versions)
    assert "instead of 1.0; install the same versions on" in verdict(checker(other))


def verdict(check: PendingCheck) -> str:
    """Result of a check, once it is there."""
    until = time.monotonic() + 60
    while (result := check()) is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    return result
