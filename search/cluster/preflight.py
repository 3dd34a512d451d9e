"""What each machine of a cluster is like, and whether a sweep can run there, before one does."""

import hashlib
import importlib.metadata
import logging
import platform
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
import torch
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from search.cluster.connection import Examination, Node, alive
from spaces import ConfigError

_log = logging.getLogger("finesweep")

PACKAGES = ("torch", "ray", "timm", "numpy")
"""Must be the same everywhere, or trials could not be compared, nor handed on."""
GONE_SECONDS = 10.0
"""In which Ray notices that a machine is gone."""
_ROOT = Path(__file__).parents[2]
_GIB = 2**30


@dataclass(frozen=True)
class Machine:
    """What there is, and what is wrong with it."""

    id: str
    """Ray's, of the node."""
    host: str
    cpus: float
    gpus: float
    gpu_names: tuple[str, ...]
    """As Ray names them; empty for logical ones."""
    versions: Mapping[str, str]
    """Of Python, of `PACKAGES`, and of our own code, by its hash."""
    free_memory_gib: float
    free_cache_gib: float
    cuda: bool
    """Whether its torch was built for GPUs."""
    trouble: str = ""
    """Why no trial can run there, else empty."""

    def __str__(self) -> str:
        names = ", ".join(self.gpu_names) or "logical"
        gpus = f", {self.gpus:g} GPUs ({names})" if self.gpus else ""
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"{self.host}: {self.cpus:g} CPUs{gpus}, {self.free_memory_gib:.1f} GiB of memory and "
            f"{self.free_cache_gib:.1f} GiB of cache_dir free; {versions}"
        )


def examine_machines(cache: Path) -> list[Machine]:
    """Look at every machine that Ray is connected to, this one first. Raises `ConfigError`."""
    first, *others = _from_here()
    machines = [_examine(cache, first)]
    asked = [(node, _ask(cache, node)) for node in others]
    for node, answer in asked:
        try:
            machines.append(ray.get(answer))
        except RayError as error:
            if not _has_left(node, error):
                raise ConfigError(_cannot_run(node, error)) from None
            _log.warning("machine %s left while it was looked at", node.host)
    problems = differences(machines) + [f"{m.host}: {m.trouble}." for m in machines if m.trouble]
    if problems:
        raise ConfigError.of(problems)
    return machines


class Newcomers:
    """Examines machines that join a sweep which runs, without waiting for their answers."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._first = _examine(cache, _from_here()[0])

    def __call__(self, node: Node) -> Examination:
        """Ask a machine; the answer says what is wrong with it, once that is known."""
        answer = _ask(self._cache, node)
        known: list[str] = []

        def trouble() -> str | None:
            if not known and ray.wait([answer], timeout=0)[0]:
                known.append(self._verdict(node, answer))
            return known[0] if known else None

        return trouble

    def _verdict(self, node: Node, answer: Any) -> str:
        try:
            machine: Machine = ray.get(answer)
        except RayError as error:
            return _cannot_run(node, error)
        return " ".join([*differences([self._first, machine]), machine.trouble]).strip()


def differences(machines: Sequence[Machine]) -> list[str]:
    """A sentence for each machine whose versions are not those of the first."""
    first, sentences = machines[0], []
    for machine in machines[1:]:
        apart = [
            f"{name} {machine.versions[name]} instead of {version}"
            for name, version in first.versions.items()
            if machine.versions[name] != version
        ]
        if apart:
            sentences.append(
                f"{machine.host} has {', '.join(apart)} as on {first.host}; make them the same."
            )
    return sentences


def machine_warnings(machines: Sequence[Machine], cache_gib: float) -> list[str]:
    """A sentence for what a sweep can live with, but its owner may not want."""
    sentences = []
    for machine in machines:
        if machine.gpu_names and not machine.cuda:
            sentences.append(
                f"{machine.host} has GPUs but its torch is built without CUDA: trials there train "
                "on CPUs."
            )
        if machine.free_cache_gib < min(cache_gib, 2):
            sentences.append(
                f"{machine.host} has {machine.free_cache_gib:.1f} GiB left for cache_dir: decoded "
                "images and features may not fit."
            )
    return sentences


def _from_here() -> list[Node]:
    """All machines, this one first."""
    here = ray.get_runtime_context().get_node_id()
    return sorted(alive(), key=lambda node: node.id != here)


def _ask(cache: Path, node: Node) -> Any:
    """`_examine` another machine, on it."""
    away: Any = ray.remote(num_cpus=0, max_retries=0)(_examine)
    there = NodeAffinitySchedulingStrategy(node.id, soft=False)
    return away.options(scheduling_strategy=there).remote(cache, node)


def _has_left(node: Node, error: RayError) -> bool:
    """Whether a machine gave no answer because it is gone, which Ray takes some time to know."""
    until = time.monotonic() + (0 if isinstance(error, RayTaskError) else GONE_SECONDS)
    while node.id in [there.id for there in alive()]:
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _cannot_run(node: Node, error: RayError) -> str:
    reason = str(error).strip().splitlines()[-1]
    return (
        f"{node.host} can't run our code ({reason}); install there what is installed here, at the "
        "same versions."
    )


def _examine(cache: Path, node: Node) -> Machine:
    """Look at the machine that this runs on."""
    trouble = ""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
        free = shutil.disk_usage(cache).free / _GIB
    except OSError as error:
        free, trouble = 0.0, f"cache_dir {cache} can't be written there ({error.strerror})"
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    return Machine(
        id=node.id,
        host=node.host,
        cpus=node.cpus,
        gpus=node.gpus,
        gpu_names=node.gpu_names,
        versions={**versions, "finesweep": _code()},
        free_memory_gib=psutil.virtual_memory().available / _GIB,
        free_cache_gib=free,
        cuda=torch.version.cuda is not None,
        trouble=trouble,
    )


def _code() -> str:
    """A short hash of our three packages as they lie on this machine."""
    digest = hashlib.blake2b(digest_size=4)
    for package in ("search", "spaces", "trainables"):
        for file in sorted((_ROOT / package).rglob("*.py")):
            digest.update(str(file.relative_to(_ROOT)).encode() + file.read_bytes())
    return digest.hexdigest()
