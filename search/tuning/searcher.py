"""`StudySearcher`: a thin adapter that makes `SearchLifecycle` a searcher of Ray Tune.

Ray's own OptunaSearch tells Optuna that a trial is complete even if ASHA stopped it. Here the
lifecycle records the true status of each trial.
"""

from typing import Any

from ray.tune.result import NODE_IP
from ray.tune.search import Searcher

from search.tuning.lifecycle import SearchLifecycle
from trainables.training import METRICS, RoundReport


class StudySearcher(Searcher):
    """Passes trials from the lifecycle to Ray Tune, and their results back."""

    def __init__(self, lifecycle: SearchLifecycle, metric: str) -> None:
        super().__init__(metric=metric, mode=METRICS[metric].direction)
        self._lifecycle = lifecycle
        self._numbers: dict[str, int] = {}
        """Number of each running trial, by Ray's id."""

    def suggest(  # type: ignore[override]  # Ray's own FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Configuration of the next trial; ``trial_id`` is the id that Ray gives it.

        Returns None to be asked again later, or FINISHED if there are no more trials.
        """
        if self._lifecycle.is_over:
            return Searcher.FINISHED
        request = self._lifecycle.next_request()
        if request is None:
            return None
        self._numbers[trial_id] = request.number
        return request.to_ray()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record a round after which the trial goes on."""
        number, report = self._numbers[trial_id], RoundReport.from_dict(result)
        self._lifecycle.report(number, report, node_ip=result[NODE_IP])

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record the last round of a trial. `TuneCallback` records failures."""
        number = self._numbers.pop(trial_id, None)  # called twice if the first call raised
        if number is None or error or result is None or "round" not in result:
            return
        report = RoundReport.from_dict(result)
        self._lifecycle.complete(number, report, node_ip=result[NODE_IP])

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the journal is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing: the journal is the record."""
