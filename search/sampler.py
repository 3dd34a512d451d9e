"""Optuna as Ray Tune's searcher, told the truth about stopped, failed and diverged trials.

Ray's own OptunaSearch tells trials that ASHA stopped as complete with their last value.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from search.paths import SweepPaths
from search.study import StudyJournal, trial_name
from search.trial import NUMBER, PARAMS
from spaces import SearchSpace, TrialParams
from trainables.report import METRICS, EpochReport


class StudySearcher(Searcher):
    """Hands out ``points`` first, then what the study's sampler proposes in ``space``.

    Ray may pickle it, but its state is the journal, which it opens when first asked.
    """

    def __init__(
        self,
        paths: SweepPaths,
        space: SearchSpace,
        *,
        points: Sequence[TrialParams],
        native_image_size: Mapping[str, int],
        metric: str,
        seed: int,
    ) -> None:
        super().__init__(metric=metric, mode=METRICS[metric])
        self._paths = paths
        self._space = space
        self._points = deque(points)
        self._native = dict(native_image_size)
        self._seed = seed
        self._numbers: dict[str, int] = {}
        self._journal: StudyJournal | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_journal": None}

    @property
    def journal(self) -> StudyJournal:
        """The open journal."""
        if self._journal is None:
            self._journal = StudyJournal(self._paths.journal, metric=self.metric, seed=self._seed)
        return self._journal

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The next trial's number and parameters. ``trial_id`` is Ray's."""
        distributions = self._space.distributions()
        if self._points:
            params = self._points.popleft()
            number = self.journal.ask_at(params, distributions)
        else:
            number, values = self.journal.ask(distributions)
            params = self._space.params(values, native_image_size=self._native)
        self.journal.begin(number, params)
        self._numbers[trial_id] = number
        return {NUMBER: number, PARAMS: params}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record an epoch after which the trial goes on."""
        self.journal.report(self._numbers[trial_id], EpochReport.from_dict(result))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record a trial's last epoch, and whether it finished, was stopped, or failed."""
        number = self._numbers[trial_id]
        report = None
        if result is not None and "epoch" in result:
            report = EpochReport.from_dict(result)
            self.journal.report(number, report)
        if error or report is None:
            reason = f"its traceback is in {self._paths.traceback(trial_name(number))}"
            self.journal.end(number, "failed", error=reason)
        elif report.diverged:
            reason = f"the loss was no longer finite in epoch {report.epoch}"
            self.journal.end(number, "failed", error=reason)
        else:
            self.journal.end(number, "completed" if report.is_last else "stopped")

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save beside the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore beside the journal."""
