"""Checks whether machines can run trials, before a sweep and when a machine joins during it."""

import hashlib
import importlib.metadata
import logging
import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.cluster.connection import Node, PendingCheck, live_nodes
from spaces import ConfigError
from trainables.files import check_writable
from trainables.process_limits import available_memory_bytes

_log = logging.getLogger("finesweep")

PACKAGES = ("torch", "ray", "timm", "numpy")
"""Packages whose versions must be the same on all machines.

Otherwise trials could not be compared, and could not move between machines.
"""
NODE_LOSS_SECONDS = 10.0
"""Time within which Ray notices that a machine is gone."""
LOW_CACHE_GIB = 2.0
"""A machine gets a warning if its free space for the cache is below this or below ``cache_gib``,
whichever is smaller."""
_ROOT = Path(__file__).parents[2]
_GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """Result of the check of one machine."""

    id: str
    """Ray's id of the node."""
    host: str
    cpus: float
    gpus: float
    gpu_names: tuple[str, ...]
    """Ray's accelerator types of the node's GPUs; empty if Ray was told of the GPUs, but detected
    none."""
    versions: Mapping[str, str]
    """Versions of Python and of `PACKAGES`; for "finesweep" a hash of its source code."""
    free_memory_gib: float
    free_cache_gib: float
    """Free space of the disk that the cache folder is on."""
    cuda: bool
    """Whether torch is built with CUDA on this machine."""
    trouble: str = ""
    """Reason why no trial can run on this machine; empty if trials can run."""

    def __str__(self) -> str:
        names = ", ".join(self.gpu_names) or "logical"
        gpus = f", {self.gpus:g} GPUs ({names})" if self.gpus else ""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.host}: {self.cpus:g} CPUs{gpus}, {self.free_memory_gib:.1f} GiB of memory and "
            f"{self.free_cache_gib:.1f} GiB of cache_dir free; {versions}"
        )


def check_machines(cache: Path) -> list[Machine]:
    """Check every machine of the connected cluster; this machine comes first.

    Leaves out machines that leave the cluster during their check. Raises `ConfigError`, with a
    sentence for each problem, if a machine can't write the cache folder or if versions differ.
    """
    local, *others = _nodes_local_first()
    machines = [_examine(cache, local)]
    pending = [(node, _examine_remotely(cache, node)) for node in others]
    for node, reference in pending:
        try:
            machines.append(ray.get(reference))
        except RayError as error:
            if not _has_left(node, error):
                raise ConfigError(_cannot_run(node, error)) from None
            _log.warning("machine %s left the cluster while it was checked", node.host)
    problems = version_differences(machines)
    problems += [f"{m.host}: {m.trouble}." for m in machines if m.trouble]
    if problems:
        raise ConfigError.of(problems)
    return machines


class NodeChecker:
    """Checks nodes that join while a sweep runs, without waiting for the results.

    A node must have the versions of the driver's machine, and be able to write the cache folder.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._local = _examine(cache, _nodes_local_first()[0])

    def __call__(self, node: Node) -> PendingCheck:
        """Start the check of a node, and return a function that polls it."""
        reference = _examine_remotely(self._cache, node)
        verdicts: list[str] = []

        def poll() -> str | None:
            if not verdicts and ray.wait([reference], timeout=0)[0]:
                verdicts.append(self._verdict(node, reference))
            return verdicts[0] if verdicts else None

        return poll

    def _verdict(self, node: Node, reference: Any) -> str:
        try:
            machine: Machine = ray.get(reference)
        except RayError as error:
            return _cannot_run(node, error)
        differences = version_differences([self._local, machine])
        return " ".join([*differences, machine.trouble]).strip()


def version_differences(machines: Sequence[Machine]) -> list[str]:
    """List a sentence for each machine whose versions differ from those of the first machine."""
    first, sentences = machines[0], []
    for machine in machines[1:]:
        differences = [
            f"{name} {machine.versions[name]} instead of {version}"
            for name, version in first.versions.items()
            if machine.versions[name] != version
        ]
        if differences:
            sentences.append(
                f"{machine.host} has {', '.join(differences)}; install the same versions on "
                f"{machine.host} as on {first.host}."
            )
    return sentences


def machine_warnings(machines: Sequence[Machine], cache_gib: float) -> list[str]:
    """List a sentence for each problem that does not prevent a sweep.

    ``cache_gib`` is the largest size of the cache.
    """
    sentences = []
    for machine in machines:
        if machine.gpu_names and not machine.cuda:
            sentences.append(
                f"{machine.host} has GPUs, but its torch is built without CUDA: trials on this "
                "machine train on CPUs."
            )
        if machine.free_cache_gib < min(cache_gib, LOW_CACHE_GIB):
            sentences.append(
                f"{machine.host} has {machine.free_cache_gib:.1f} GiB left for cache_dir: decoded "
                "images and features may not fit."
            )
    return sentences


def _nodes_local_first() -> list[Node]:
    """All live nodes, the node of this process first."""
    local_id = ray.get_runtime_context().get_node_id()
    return sorted(live_nodes(), key=lambda node: node.id != local_id)


def _examine_remotely(cache: Path, node: Node) -> Any:
    """Start `_examine` on a node, and return Ray's reference to its result."""
    task: Any = ray.remote(num_cpus=0, max_retries=0)(_examine)
    on_node = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return task.options(scheduling_strategy=on_node).remote(cache, node)


def _has_left(node: Node, error: RayError) -> bool:
    """Whether a check failed because its node left the cluster.

    Ray may need up to `NODE_LOSS_SECONDS` to notice a lost node. This function therefore waits for
    that time, unless the check itself raised the error (`RayTaskError`).
    """
    until = time.monotonic() + (0 if isinstance(error, RayTaskError) else NODE_LOSS_SECONDS)
    while node.id in [live.id for live in live_nodes()]:
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _cannot_run(node: Node, error: RayError) -> str:
    reason = str(error).strip().splitlines()[-1]
    return (
        f"{node.host} can't run Finesweep's code ({reason}); install the same packages and "
        f"versions on {node.host} as on this machine."
    )


def _examine(cache: Path, node: Node) -> Machine:
    """Check the machine that this function runs on. ``node`` is Ray's description of it."""
    trouble = ""
    try:
        check_writable(cache)
        free_cache_gib = shutil.disk_usage(cache).free / _GIB
    except OSError as error:
        free_cache_gib = 0.0
        trouble = f"cache_dir {cache} can't be written ({error.strerror})"
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return Machine(
        id=node.id,
        host=node.host,
        cpus=node.cpus,
        gpus=node.gpus,
        gpu_names=node.gpu_names,
        versions={**versions, "finesweep": _source_hash()},
        free_memory_gib=available_memory_bytes() / _GIB,
        free_cache_gib=free_cache_gib,
        cuda=torch.version.cuda is not None,
        trouble=trouble,
    )


def _source_hash() -> str:
    """Short hash of Finesweep's source code on this machine."""
    digest = hashlib.blake2b(digest_size=4)
    for package in ("search", "spaces", "trainables"):
        # The stubs (.pyi) count, because lazy_loader reads them at run time.
        sources = [f for f in (_ROOT / package).rglob("*.py*") if f.suffix in (".py", ".pyi")]
        for file in sorted(sources):
            digest.update(str(file.relative_to(_ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()
