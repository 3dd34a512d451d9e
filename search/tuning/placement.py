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
"""A machine is excluded after this many failures with no finished round in between."""


@dataclass(eq=False)
class _History:
    """Successes and failures of trials on one machine."""

    well: bool = False
    """Whether a round was finished on the machine after the last failure."""
    causes: dict[int, str] = field(default_factory=dict)
    """Cause of each trial's last failure on the machine, until the trial finishes a round."""
    failures_in_a_row: int = 0
    """Number of failures on the machine since a round was finished on it. A trial's failure counts
    only if the trial began after the previous counted failure, so that one incident counts once."""
    last_failure_seconds: float = -math.inf
    """Monotonic time of the last counted failure."""


class Placement:
    """Decides which machines trials may run on.

    A machine that joins must pass a check before it is used. A machine on which trials keep failing
    is excluded. A failed trial that is retried goes to another machine, if there is one.

    Args:
        resources: CPUs and GPU share of each trial.
        most: Largest number of trials at a time; None for as many as fit.
        look: Lists the machines of the cluster.
        look_seconds: Seconds after which the machines are listed again.
        examine: Starts the check of a machine; returns a function that polls the check.
        examined: Ids of machines that have passed the check; None for all in the cluster now.
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
        """Number of trials that may run at a time, on the machines that are not excluded now."""
        fits = self._fit(self._excluded())
        if (fits == 0) is not self._is_empty:
            self._is_empty = fits == 0
            _log.warning(
                "no usable machine can hold a trial; the sweep waits for one"
                if self._is_empty
                else "a usable machine is there again; the sweep goes on"
            )
        return fits if self._most is None else min(fits, self._most)

    @property
    def excluded_nodes(self) -> tuple[str, ...]:
        """Ray's ids of the machines that nothing should run on."""
        return self._ids(self._excluded())

    def hand_out(self, number: int) -> tuple[str, ...]:
        """Note that a trial is handed out; returns Ray's ids of the machines that it must avoid."""
        self._began_at[number] = time.monotonic()
        excluded = self._excluded()
        avoided = excluded | self._failed_on(number)
        return self._ids(avoided if self._fit(avoided) else excluded)

    def is_stranded(self, avoided: Collection[str]) -> bool:
        """Whether no machine can hold a trial that avoids these ids, but some can hold others."""
        return bool(avoided) and self._fit(avoided) == 0 and self._fit(self._excluded()) > 0

    def went_well(self, ip: str, number: int) -> None:
        """Note a finished round: the failures of the trial and of the machine no longer count."""
        for history in self._histories.values():
            history.causes.pop(number, None)
        for node in self._alive():
            if node.ip == ip:
                causes = self._histories[node.id].causes
                self._histories[node.id] = _History(well=True, causes=causes)

    def failed(self, ip: str, number: int, cause: str) -> bool:
        """Note a failure on a machine; returns whether the trial rather than a machine is at fault.

        The trial is at fault if it has failed for the same cause on another machine too, and trials
        finish rounds on one of these machines. The trial is also at fault if no other machine is
        left to try. A machine that has left the cluster is never at fault.
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
        """Ids of the machines on which a trial has failed since its last finished round."""
        return {node for node, known in self._histories.items() if number in known.causes}

    def _excluded(self) -> set[str]:
        """Ids of machines that failed the check, are still being checked, or keep failing trials.

        Machines that keep failing trials are used all the same if no other can hold a trial.
        """
        unfit = {node.id for node in self._alive() if self._examinations[node.id]() != ""}
        failing = {
            node
            for node, history in self._histories.items()
            if history.failures_in_a_row >= FAILURES_IN_A_ROW
        }
        return unfit | failing if self._fit(unfit | failing) else unfit

    def _fit(self, without: Collection[str]) -> int:
        """Number of trials that fit on the cluster without the machines of these ids."""
        return self._resources.capacity([node for node in self._alive() if node.id not in without])

    def _ids(self, nodes: Collection[str]) -> tuple[str, ...]:
        """The ids among ``nodes`` whose machines are alive, sorted."""
        return tuple(sorted(node.id for node in self._alive() if node.id in nodes))

    def _alive(self, *, refresh: bool = False) -> Sequence[Node]:
        """Machines of the cluster, listed again after ``look_seconds``. Has new ones checked."""
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
