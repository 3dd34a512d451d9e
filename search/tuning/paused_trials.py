"""`PausedTrials`: trials that early stopping has ended for now, and which of them go on.

This is freeze-thaw Bayesian optimization (Swersky et al. 2014): a trial that is stopped keeps its
checkpoint, and is taken up again if it then promises more than a new point.
"""

from search.tuning.study import StudyJournal
from search.tuning.trial_queue import TrialQueue
from trainables.training import RoundReport


class PausedTrials:
    """The paused trials of a search; the journal's sampler chooses among them.

    Args:
        journal: The study journal.
        queue: Knows whether new points may begin.
        most: Largest number of paused trials, because each keeps a checkpoint; 0 pauses none.
        rounds: Rounds after which no paused trial goes on, once all points have begun.
    """

    def __init__(
        self, journal: StudyJournal, queue: TrialQueue, *, most: int, rounds: float
    ) -> None:
        self._journal, self._queue = journal, queue
        self._most, self._rounds = most, rounds
        self.numbers: list[int] = []
        """Numbers of the paused trials, in the order in which they were paused."""

    @property
    def is_used(self) -> bool:
        """Whether a trial may be paused at all."""
        return self._most > 0

    def should_go_on(self, number: int, report: RoundReport) -> bool | None:
        """Whether a running trial goes on after its latest round; None if it can't be told.

        It goes on if it promises more than every paused trial and the best new point. If no point
        may begin and rounds are left, it only has to promise more than every paused trial.
        """
        or_begin = self._queue.search_goes_on or not self._has_rounds_left
        return self._journal.should_go_on(number, report, self.numbers, or_begin=or_begin)

    def add(self, number: int) -> list[int]:
        """Pause a trial; returns the trials that are given up for it, the one itself perhaps.

        If there are too many, it is the one whose best score is lowest.
        """
        self.numbers.append(number)
        if len(self.numbers) <= self._most:
            return []
        return [min(self.numbers, key=self._journal.merit_of)]

    def discard(self, number: int) -> None:
        """Forget a trial that has ended or goes on."""
        if number in self.numbers:
            self.numbers.remove(number)

    def choose(self) -> int | None:
        """The paused trial that a free worker should go on with; None if there is none.

        Planned points begin first. When all points have begun, the best paused trial goes on until
        the rounds are spent.
        """
        or_begin = self._queue.search_goes_on
        if not self.numbers or self._queue.has_planned_points:
            return None
        if not (or_begin or self._has_rounds_left):
            return None
        return self._journal.trial_to_resume(self.numbers, or_begin=or_begin)

    @property
    def _has_rounds_left(self) -> bool:
        return self._journal.rounds_done < self._rounds
