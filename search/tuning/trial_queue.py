"""`TrialQueue`: the order in which the trials of a sweep begin.

The planned initial points come first, then points that the sampler proposes, and finally repeats of
the best trials with other seeds and images. Initial points that differ only in backbone and image
size are tried in the order of their linear probes.
"""

import logging
import math
from collections import deque
from collections.abc import Iterable

from search.config import Validation
from search.planning import PreparedPlan
from search.ranking import pending_repeats
from search.record import Repeat, TrialRecord, trial_name
from search.tuning.budget import Budget
from search.tuning.study import StudyJournal
from spaces import TrialParams
from trainables.models import ModelCost
from trainables.training import merit

_log = logging.getLogger("finesweep")

_NEED_ALL_VALUES = ("gp", "cmaes")
"""Samplers of Optuna that search only the parameters that every completed trial has."""


class TrialQueue:
    """Begins the trials that the journal does not have yet."""

    def __init__(
        self,
        journal: StudyJournal,
        prepared: PreparedPlan,
        budget: Budget,
        validation: Validation,
    ) -> None:
        self._journal, self._prepared, self._budget = journal, prepared, budget
        self._validation = validation
        self.params = {record.number: record.params for record in journal.records}
        """Parameters of every trial that has begun."""
        self.repeats = {r.number: r.repeat for r in journal.records if r.repeat}
        """Repeats among the trials that have begun, by trial number."""
        self._costs = self._model_costs()
        """Model costs by backbone and image size; empty unless a cost is an objective."""
        self._points = self._initial_points_left()
        self._pending_repeats: deque[Repeat] | None = None
        """Repeats to begin; None until the search has ended and the best trials are known."""

    @property
    def has_planned_points(self) -> bool:
        """Whether an initial point is left, and may begin."""
        return self.search_goes_on and bool(self._points)

    @property
    def search_goes_on(self) -> bool:
        """Whether the search may begin more trials."""
        return not self.is_search_begun and self._budget.closed is None

    @property
    def is_search_begun(self) -> bool:
        """Whether every trial of the search has begun."""
        return self._searched >= self._prepared.config.trials

    def without_repeats(self, numbers: Iterable[int]) -> list[int]:
        """The trial ``numbers`` that belong to the search, without repeats."""
        return [number for number in numbers if number not in self.repeats]

    def has_more(self, unfinished: Iterable[int]) -> bool:
        """Whether a trial can begin now, while the ``unfinished`` ones run."""
        return self.search_goes_on or bool(self._repeats_to_begin(unfinished))

    def begin(self, unfinished: Iterable[int]) -> int | None:
        """Begin the next trial; returns its number, or None if no trial can begin now."""
        space, repeat = self._prepared.space, None
        if not self.search_goes_on:
            pending = self._repeats_to_begin(unfinished)
            if not pending:
                return None
            repeat = pending.popleft()
            params = self.params[repeat.of]
            number = self._begin_at(params)
            self.repeats[number] = repeat
        elif self._points:
            params = self._take_initial_point()
            number = self._begin_at(params)
        else:
            number, values = self._journal.ask()
            params = space.params(values, native_image_size=self._prepared.native_image_size)
        self._journal.begin(number, params, repeat, self._costs.get(_cost_key(params)))
        self.params[number] = params
        return number

    def _initial_points_left(self) -> list[TrialParams]:
        """Initial points that have not begun, in the order of the plan."""
        left = list(self._prepared.points)
        for number, params in self.params.items():
            if number not in self.repeats and params in left:
                left.remove(params)
        return left

    def _take_initial_point(self) -> TrialParams:
        """Take the next initial point.

        Of those that differ from the first in line only in backbone and image size, it is the one
        that `_probe_merit` ranks highest; of equals, the first.
        """
        first = self._points[0]
        alike = [p for p in self._points if _recipe(p) == _recipe(first)]
        if first.head == "solved" or len(alike) == 1:
            return self._points.pop(0)
        searched = [t for t in self._journal.trials() if t.repeat is None]
        probes = [t for t in searched if t.params.head == "solved"]
        point = max(alike, key=lambda each: self._probe_merit(each, probes))
        self._points.remove(point)
        return point

    def _probe_merit(self, point: TrialParams, probes: Iterable[TrialRecord]) -> tuple[float, ...]:
        """Merit of the linear probe of a point's backbone at its image size.

        Without one at that size, it is the best at another; without any, the least possible.
        """
        metric = self._prepared.config.metric
        merits: dict[bool, tuple[float, ...]] = {}
        for probe in probes:
            best, is_same_size = probe.best(metric), probe.params.image_size == point.image_size
            if probe.params.backbone == point.backbone and best:
                merits[is_same_size] = max(merit(best, metric), merits.get(is_same_size, ()))
        return merits.get(True) or merits.get(False) or (-math.inf,)

    @property
    def _searched(self) -> int:
        """Number of trials of the search that have begun."""
        return len(self.params) - len(self.repeats)

    def _begin_at(self, params: TrialParams) -> int:
        """Begin a trial at a point; returns its number.

        Optuna gets the values of the open parameters that it could have drawn. Of a linear probe,
        and for `_NEED_ALL_VALUES`, it gets the nearest point of the space, and the defaults of
        parameters that mean nothing there.
        """
        space, sizes = self._prepared.space, self._prepared.native_image_size
        is_probe = params.head == "solved"
        needs_all = is_probe or self._prepared.config.sampler in _NEED_ALL_VALUES
        nearest = space.nearest(params, native_image_size=sizes) if needs_all else None
        values = space.sampler_values(nearest or params, native_image_size=sizes)
        if nearest:
            default = space.params({"backbone": params.backbone}, native_image_size=sizes)
            values = space.sampler_values(default, native_image_size=sizes) | values
        return self._journal.ask_at(values, is_probe=is_probe)

    def _model_costs(self) -> dict[tuple[str, int], ModelCost]:
        """Costs of all models that trials may use, measured before trials load the CPU.

        Costs that an earlier run of the sweep measured are kept.
        """
        prepared, records = self._prepared, self._journal.records
        if not prepared.config.objectives:
            return {}
        known = {_cost_key(r.params): r.model_cost for r in records if r.model_cost}
        keys = [_cost_key(point) for point in prepared.points]
        keys += prepared.space.backbone_sizes(prepared.native_image_size)
        return known | {
            (name, size): ModelCost.measure(TrialParams(backbone=name, image_size=size))
            for name, size in dict.fromkeys(keys)
            if (name, size) not in known
        }

    def _repeats_to_begin(self, unfinished: Iterable[int]) -> deque[Repeat]:
        """Repeats that have not begun; none while a trial of the search is unfinished.

        Once they are known, the search has ended, whatever time a later estimate leaves.
        """
        if self._pending_repeats is None and not self.without_repeats(unfinished):
            if not self.is_search_begun:
                reason = self._budget.closed
                if reason is None:  # an estimate has just left more time
                    return deque()
                self._journal.ended_by = self._budget.ended_by = reason
            repeats = pending_repeats(
                self._journal.trials(), self._prepared.config, self._validation
            )
            if repeats:
                best = dict.fromkeys(trial_name(repeat.of) for repeat in repeats)
                seeds = "other seeds and images" if self._validation.parts else "other seeds"
                _log.info("trials %s are run again with %s", ", ".join(best), seeds)
            self._pending_repeats = deque(repeats)
        return self._pending_repeats or deque()


def _recipe(params: TrialParams) -> TrialParams:
    """A point without its backbone and image size, which may be the backbone's own."""
    return params.model_copy(update={"backbone": "", "image_size": 0})


def _cost_key(params: TrialParams) -> tuple[str, int]:
    """Backbone and image size, which determine a model's cost."""
    return params.backbone, params.image_size
