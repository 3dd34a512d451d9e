"""The cluster while a sweep runs: how many trials fit, and which machine is left out."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import ray

_log = logging.getLogger("finesweep")

IN_A_ROW = 3
"""Trials that fail on a machine, with no epoch finished there in between, before it is left out."""


@dataclass(frozen=True)
class Node:
    """A machine that Ray says is alive."""

    id: str
    ip: str
    host: str
    cpus: float
    gpus: float


class Fits(Protocol):
    """What trials hold, as `search.resources.Resources` says it."""

    def fit(self, nodes: Sequence[Node]) -> int:
        """How many trials run at a time on machines like these."""
        ...


def alive() -> list[Node]:
    """The machines of the cluster that this process is connected to."""
    return [
        Node(
            node["NodeID"],
            node["NodeManagerAddress"],
            node["NodeManagerHostname"],
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
        )
        for node in ray.nodes()  # type: ignore[no-untyped-call]
        if node["Alive"]
    ]


class Machines:
    """Where trials go: to machines that join too, and to none that keeps failing.

    A trial that failed is tried on another machine, if there is one: a trial that fails there in
    the same way is to blame itself.
    """

    def __init__(
        self,
        resources: Fits,
        *,
        most: int | None = None,
        look: Callable[[], list[Node]] = alive,
        look_seconds: float = 1.0,
    ) -> None:
        self._resources, self._most = resources, most
        self._look, self._look_seconds = look, look_seconds
        self._nodes: list[Node] = []
        self._looked = -math.inf
        self._blamed: defaultdict[str, dict[int, str]] = defaultdict(dict)
        """Causes of the last failures by the machine's address and the trial's number."""
        self._told: set[str] = set()
        self._empty = False

    def room(self) -> int:
        """How many trials fit now, on all machines that are not left out."""
        left_out = self.to_avoid()
        fits = self._resources.fit([node for node in self._alive() if node.id not in left_out])
        if (fits == 0) is not self._empty:
            self._empty = fits == 0
            _log.warning(
                "no machine is left that a trial fits on; the sweep waits for one"
                if self._empty
                else "there is a machine again, and the sweep goes on"
            )
        return fits if self._most is None else min(fits, self._most)

    def went_well(self, ip: str) -> None:
        """A trial finished an epoch on a machine."""
        self._blamed.pop(ip, None)

    def failed(self, ip: str, number: int, cause: str) -> None:
        """A trial failed on a machine, unless that is gone: then it was no fault of its own."""
        there = [node for node in self._alive(anew=True) if node.ip == ip]
        if not there:
            return
        elsewhere = [at for at, trials in self._blamed.items() if trials.get(number) == cause]
        self._blamed[ip][number] = cause
        if elsewhere not in ([], [ip]):  # it is the trial
            for trials in self._blamed.values():
                trials.pop(number, None)
        if len(self._blamed[ip]) >= IN_A_ROW and ip not in self._told and self.to_avoid():
            self._told.add(ip)
            _log.warning(
                "machine %s (%s) is left out: the last %d trials there failed, lastly by: %s",
                there[0].host,
                ip,
                IN_A_ROW,
                cause,
            )

    def to_avoid(self, number: int | None = None) -> tuple[str, ...]:
        """Ray's ids of the machines that no trial, or that one, should run on.

        None if it could run on no other.
        """
        nodes = self._alive()
        left_out = {ip for ip, trials in self._blamed.items() if len(trials) >= IN_A_ROW}
        failed_on = {ip for ip, trials in self._blamed.items() if number in trials}
        for shunned in (left_out | failed_on, left_out):
            if self._resources.fit([node for node in nodes if node.ip not in shunned]):
                return _ids(nodes, shunned)
        return ()

    def _alive(self, *, anew: bool = False) -> list[Node]:
        if anew or time.monotonic() - self._looked >= self._look_seconds:
            self._nodes, self._looked = self._look(), time.monotonic()
        return self._nodes


def _ids(nodes: Sequence[Node], ips: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(node.id for node in nodes if node.ip in ips))
