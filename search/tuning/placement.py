"""`Placement`: how many trials fit on the cluster now, and which machines are excluded."""

import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from search.cluster import Node, PendingCheck, live_nodes
from search.tuning.gpu_allocation import Resources

_log = logging.getLogger("finesweep")

FAILURES_IN_A_ROW = 3
"""Trials that fail on a machine in a row, with no epoch finished there, before it is excluded."""


@dataclass(eq=False)
class _History:
    """Successes and failures of trials on one machine."""

    well: bool = False
    """Whether an epoch was finished there since a trial last failed."""
    causes: dict[int, str] = field(default_factory=dict)
    """Causes of the failures there, by the number of the trial."""
    failures_in_a_row: int = 0
    """Failures since an epoch was finished there. A trial counts only if it began after the failure
    before its own, so that one incident counts once."""
    last_failure_seconds: float = -math.inf
    """Monotonic time of the last failure."""


class Placement:
    """Decides which machines trials may run on.

    A machine that joins is used once it was examined; one that keeps failing is excluded. A trial
    that failed is tried on another machine, if there is one.

    Args:
        resources: What a trial holds.
        most: Most trials at a time; None for as many as fit.
        look: Lists the machines of the cluster.
        look_seconds: Time for which such a list is used.
        examine: Begins the examination of a machine.
        examined: Ids of machines known to be sound; None for all that are there now.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        most: int | None = None,
        look: Callable[[], list[Node]] = live_nodes,
        look_seconds: float = 1.0,
        examine: Callable[[Node], PendingCheck] = lambda node: lambda: "",
        examined: Collection[str] | None = None,
    ) -> None:
        self._resources, self._most = resources, most
        self._look, self._look_seconds = look, look_seconds
        self._examine = examine
        self._nodes: Sequence[Node] = look()
        self._looked_at = -math.inf
        sound = [node.id for node in self._nodes] if examined is None else examined
        self._examinations: dict[str, PendingCheck] = {node: lambda: "" for node in sound}
        self._announced: set[str] = set()
        """Ids of machines whose exclusion was logged."""
        self._histories: defaultdict[str, _History] = defaultdict(_History)
        self._began_at: dict[int, float] = {}
        self._is_empty = False

    def room(self) -> int:
        """Number of trials that fit now on the machines that are not excluded."""
        fits = self._fit(self._excluded())
        if (fits == 0) is not self._is_empty:
            self._is_empty = fits == 0
            _log.warning(
                "no machine is left that a trial fits on; the sweep waits for one"
                if self._is_empty
                else "there is a machine again, and the sweep goes on"
            )
        return fits if self._most is None else min(fits, self._most)

    @property
    def excluded_nodes(self) -> tuple[str, ...]:
        """Ray's ids of the machines that nothing should run on."""
        return self._ids(self._excluded())

    def hand_out(self, number: int) -> tuple[str, ...]:
        """Note that a trial begins; returns Ray's ids of the machines that it must not run on."""
        self._began_at[number] = time.monotonic()
        excluded = self._excluded()
        avoided = excluded | self._failed_on(number)
        return self._ids(avoided if self._fit(avoided) else excluded)

    def is_stranded(self, avoided: Collection[str]) -> bool:
        """Whether a trial that must not run on the ``avoided`` machines fits on no other now."""
        return bool(avoided) and self._fit(avoided) == 0 and self._fit(self._excluded()) > 0

    def went_well(self, ip: str, number: int) -> None:
        """Note an epoch that a trial finished on a machine: its earlier failures are settled."""
        for history in self._histories.values():
            history.causes.pop(number, None)
        for node in self._alive():
            if node.ip == ip:
                causes = self._histories[node.id].causes
                self._histories[node.id] = _History(well=True, causes=causes)

    def failed(self, ip: str, number: int, cause: str) -> bool:
        """Note a failure on a machine; returns whether another like it is the trial's own fault.

        It is if the trial failed by this cause on two machines of which one is sound, or if there
        is no other machine to try. A machine that has left is not to blame.
        """
        there = [node for node in self._alive(refresh=True) if node.ip == ip]
        alike = [h for h in self._histories.values() if h.causes.get(number) == cause]
        here = [self._histories[node.id] for node in there]
        elsewhere = [history for history in alike if history not in here]
        if elsewhere and any(history.well for history in here + elsewhere):
            for history in elsewhere:
                del history.causes[number]
                history.failures_in_a_row = max(0, history.failures_in_a_row - 1)
            return True
        for node, history in zip(there, here, strict=True):
            self._count_failure(node, history, number, cause)
        return self._fit(self._failed_on(number) | self._excluded()) == 0

    def _count_failure(self, node: Node, history: _History, number: int, cause: str) -> None:
        history.well, history.causes[number] = False, cause
        if self._began_at.get(number, math.inf) > history.last_failure_seconds:
            history.failures_in_a_row += 1
            history.last_failure_seconds = time.monotonic()
        if node.id in self._excluded() and node.id not in self._announced:
            self._announce(
                node, f"the last {FAILURES_IN_A_ROW} trials there failed, the last one by: {cause}"
            )

    def _failed_on(self, number: int) -> set[str]:
        """Ids of the machines that a trial has failed on since its last epoch."""
        return {node for node, known in self._histories.items() if number in known.causes}

    def _excluded(self) -> set[str]:
        """Ids of machines that differ from the driver's, are not examined yet, or keep failing.

        A machine that keeps failing is used all the same if there is no other.
        """
        unfit = {node.id for node in self._alive() if self._examinations[node.id]() != ""}
        failing = {
            node
            for node, history in self._histories.items()
            if history.failures_in_a_row >= FAILURES_IN_A_ROW
        }
        return unfit | failing if self._fit(unfit | failing) else unfit

    def _fit(self, without: Collection[str]) -> int:
        """Number of trials that fit on the machines that are not among the ids ``without``."""
        return self._resources.capacity([node for node in self._alive() if node.id not in without])

    def _ids(self, nodes: Collection[str]) -> tuple[str, ...]:
        """Those of the ids ``nodes`` that are alive, in order."""
        return tuple(sorted(node.id for node in self._alive() if node.id in nodes))

    def _alive(self, *, refresh: bool = False) -> Sequence[Node]:
        """Machines of the cluster, listed anew at most every ``look_seconds``."""
        if refresh or time.monotonic() - self._looked_at >= self._look_seconds:
            self._nodes, self._looked_at = self._look(), time.monotonic()
            for node in self._nodes:
                if node.id not in self._examinations:
                    _log.info("machine %s (%s) joined", node.host, node.ip)
                    self._examinations[node.id] = self._examine(node)
                problem = self._examinations[node.id]()
                if problem and node.id not in self._announced:
                    self._announce(node, problem)
        return self._nodes

    def _announce(self, node: Node, reason: str) -> None:
        self._announced.add(node.id)
        _log.warning("machine %s (%s) is left out: %s", node.host, node.ip, reason)
