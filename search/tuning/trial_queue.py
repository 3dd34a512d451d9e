"""What is tried next: the draft's points, the sampler's, and at last repeats of the best."""

import logging
from collections import deque
from collections.abc import Iterable

from search.planning import Draft
from search.ranking import pending_repeats
from search.record import Repeat, trial_name
from search.tuning.budget import Budget
from search.tuning.study import StudyJournal
from spaces import TrialParams
from trainables.models import ModelCost

_log = logging.getLogger("finesweep")


class Agenda:
    """The trials of a sweep, in the order in which they are begun.

    Goes on where the journal says that the sweep is.
    """

    def __init__(self, journal: StudyJournal, draft: Draft, budget: Budget) -> None:
        self._journal, self._draft, self._budget = journal, draft, budget
        self.params = {record.number: record.params for record in journal.records}
        """Of every trial that has begun."""
        self.repeats = {r.number: r.repeat for r in journal.records if r.repeat}
        """Those of them that are no part of the search."""
        self._model_costs = self._measured()
        """By what they depend on, if they are an objective."""
        self._points = deque(draft.points[self._begun :])
        self._confirming: deque[Repeat] | None = None
        """What is still to be repeated; not known while trials of the search run."""

    @property
    def is_searched(self) -> bool:
        """Whether every trial of the search has begun."""
        return self._begun >= self._draft.config.trials

    def of_search(self, numbers: Iterable[int]) -> list[int]:
        """Those of some trials that are no repeats."""
        return [number for number in numbers if number not in self.repeats]

    def has_more(self, running: Iterable[int]) -> bool:
        """Whether there is a trial to begin beside the ``running`` ones."""
        return self._goes_on or bool(self._to_confirm(running))

    def begin(self, running: Iterable[int]) -> int | None:
        """Begin the next trial; its number. None if there is no more just now."""
        space, repeat = self._draft.space, None
        distributions = space.distributions()
        if not self._goes_on:
            waiting = self._to_confirm(running)
            if not waiting:
                return None
            repeat = waiting.popleft()
            params = self.params[repeat.of]
            number = self._journal.ask_at(self._drawn(params), distributions)
            self.repeats[number] = repeat
        elif self._points:
            params = self._points.popleft()
            number = self._journal.ask_at(self._drawn(params), distributions)
        else:
            number, values = self._journal.ask(distributions)
            params = space.params(values, native_image_size=self._draft.native_image_size)
        self._journal.begin(number, params, repeat, self._model_costs.get(_kind(params)))
        self.params[number] = params
        return number

    def _drawn(self, params: TrialParams) -> dict[str, object]:
        sizes = self._draft.native_image_size
        return self._draft.space.drawn(params, native_image_size=sizes)

    @property
    def _begun(self) -> int:
        """Trials of the search."""
        return len(self.params) - len(self.repeats)

    def _measured(self) -> dict[tuple[str, int], ModelCost]:
        """Model costs, before trials take the processor; those that an earlier run found stay."""
        draft, records = self._draft, self._journal.records
        if not draft.config.objectives:
            return {}
        known = {_kind(r.params): r.model_cost for r in records if r.model_cost}
        kinds = [_kind(point) for point in draft.points]
        kinds += draft.space.inputs(draft.native_image_size)
        return known | {
            (name, size): ModelCost.measure(TrialParams(backbone=name, image_size=size))
            for name, size in dict.fromkeys(kinds)
            if (name, size) not in known
        }

    @property
    def _goes_on(self) -> bool:
        """Whether the search begins more trials."""
        return not self.is_searched and self._budget.spent is None

    def _to_confirm(self, running: Iterable[int]) -> deque[Repeat]:
        if self._confirming is None and not self.of_search(running):
            found = pending_repeats(self._journal.trials(), self._draft.config)
            if found:
                best = dict.fromkeys(trial_name(repeat.of) for repeat in found)
                _log.info("trials %s are run again with other seeds", ", ".join(best))
            self._confirming = deque(found)
        return self._confirming or deque()


def _kind(params: TrialParams) -> tuple[str, int]:
    """What a model_cost depends on."""
    return params.backbone, params.image_size
