"""The cluster while a sweep runs: how many trials fit, and which machines are kept out of it."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from search.cluster import Examination, Node, alive
from search.tuning.gpu_allocation import Resources

_log = logging.getLogger("finesweep")

IN_A_ROW = 3
"""Trials that fail on a machine one after another, with no epoch finished there in between, before
it is left out."""


@dataclass
class _Standing:
    """What a machine's trials say of it."""

    well: bool = False
    """Whether an epoch was finished there since a trial last failed."""
    causes: dict[int, str] = field(default_factory=dict)
    """What trials failed by there, by number."""
    in_a_row: int = 0
    """Trials that failed there since an epoch was finished, each begun after the one before had
    failed: an incident counts once."""
    last_failure: float = -math.inf


class Machines:
    """Where trials go: to machines that join too, once examined, and to none that keeps failing.

    A trial that failed is tried on another machine, if there is one. Machines of the ids
    ``examined`` are known to be sound; all that are there now, if it isn't given.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        most: int | None = None,
        look: Callable[[], list[Node]] = alive,
        look_seconds: float = 1.0,
        examine: Callable[[Node], Examination] = lambda node: lambda: "",
        examined: Collection[str] | None = None,
    ) -> None:
        self._resources, self._most = resources, most
        self._look, self._look_seconds = look, look_seconds
        self._examine = examine
        self._nodes: Sequence[Node] = look()
        self._looked = -math.inf
        sound = [node.id for node in self._nodes] if examined is None else examined
        self._examined: dict[str, Examination] = {node: lambda: "" for node in sound}
        self._told: set[str] = set()
        """Ids of machines of which it was said that no trial runs there."""
        self._standing: defaultdict[str, _Standing] = defaultdict(_Standing)
        self._began: dict[int, float] = {}
        self._empty = False

    def room(self) -> int:
        """How many trials fit now, on all machines that are not kept out."""
        fits = self._fit(self._kept_out())
        if (fits == 0) is not self._empty:
            self._empty = fits == 0
            _log.warning(
                "no machine is left that a trial fits on; the sweep waits for one"
                if self._empty
                else "there is a machine again, and the sweep goes on"
            )
        return fits if self._most is None else min(fits, self._most)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Ray's ids of the machines that nothing should run on."""
        return self._ids(self._kept_out())

    def hand_out(self, number: int) -> tuple[str, ...]:
        """Ray's ids of the machines that a trial which begins now must not run on."""
        self._began[number] = time.monotonic()
        kept_out = self._kept_out()
        failed_on = {node for node, known in self._standing.items() if number in known.causes}
        avoided = kept_out | failed_on
        return self._ids(avoided if self._fit(avoided) else kept_out)

    def is_stranded(self, avoided: Collection[str]) -> bool:
        """Whether a trial that must not run on those machines fits on none that is there now."""
        return bool(avoided) and self._fit(avoided) == 0 and self._fit(self._kept_out()) > 0

    def went_well(self, ip: str, number: int) -> None:
        """A trial finished an epoch on a machine: what it failed by before is over."""
        for standing in self._standing.values():
            standing.causes.pop(number, None)
        for node in self._alive():
            if node.ip == ip:
                causes = self._standing[node.id].causes
                self._standing[node.id] = _Standing(well=True, causes=causes)

    def failed(self, ip: str, number: int, cause: str) -> bool:
        """A trial failed on a machine; whether a second failure in that way is its own fault.

        It is if it has failed alike on two machines of which one is sound, or if there is no other
        machine to try. A machine that is gone is not to blame.
        """
        there = [node for node in self._alive(anew=True) if node.ip == ip]
        before = [s for s in self._standing.values() if s.causes.get(number) == cause]
        now = [self._standing[node.id] for node in there]
        elsewhere = [standing for standing in before if standing not in now]
        if elsewhere and any(standing.well for standing in now + elsewhere):
            for standing in elsewhere:
                del standing.causes[number]
                standing.in_a_row = max(0, standing.in_a_row - 1)
            return True
        for node, standing in zip(there, now, strict=True):
            standing.well, standing.causes[number] = False, cause
            if self._began.get(number, math.inf) > standing.last_failure:
                standing.in_a_row += 1
                standing.last_failure = time.monotonic()
            if node.id in self._kept_out() and node.id not in self._told:
                self._keep_out(
                    node, f"the last {IN_A_ROW} trials there failed, the last one by: {cause}"
                )
        tried = {node for node, known in self._standing.items() if number in known.causes}
        return self._fit(tried | self._kept_out()) == 0

    def _kept_out(self) -> set[str]:
        """Machines that no trial should run on: unlike the first, unknown yet, or failing.

        A failing one is let in if there is no other.
        """
        unfit = {node.id for node in self._alive() if self._examined[node.id]() != ""}
        failing = {node for node, known in self._standing.items() if known.in_a_row >= IN_A_ROW}
        return unfit | failing if self._fit(unfit | failing) else unfit

    def _fit(self, without: Collection[str]) -> int:
        return self._resources.fit([node for node in self._alive() if node.id not in without])

    def _ids(self, nodes: Collection[str]) -> tuple[str, ...]:
        return tuple(sorted(node.id for node in self._alive() if node.id in nodes))

    def _alive(self, *, anew: bool = False) -> Sequence[Node]:
        if anew or time.monotonic() - self._looked >= self._look_seconds:
            self._nodes, self._looked = self._look(), time.monotonic()
            for node in self._nodes:
                if node.id not in self._examined:
                    _log.info("machine %s (%s) joined", node.host, node.ip)
                    self._examined[node.id] = self._examine(node)
                trouble = self._examined[node.id]()
                if trouble and node.id not in self._told:
                    self._keep_out(node, trouble)
        return self._nodes

    def _keep_out(self, node: Node, reason: str) -> None:
        self._told.add(node.id)
        _log.warning("machine %s (%s) is left out: %s", node.host, node.ip, reason)
