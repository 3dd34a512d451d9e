"""The rule that ends weak trials early."""

from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from search.config import SweepConfig
from search.study import TrialRecord, trial_name
from search.trial import NUMBER
from trainables.report import METRICS


class Asha(ASHAScheduler):
    """Ray's ASHA, whose rungs know a trial by its number in the study.

    Ray gives a trial that is taken up again a new identity; its rungs must not count it twice.
    """

    def remember(self, record: TrialRecord) -> bool:
        """Fill the rungs from the journal. Returns whether the trial would be stopped by now."""
        trial: Any = SimpleNamespace(trial_id=record.trial_id)
        nobody: Any = None
        super().on_trial_add(nobody, trial)
        decision = self.CONTINUE
        for report in record.reports:
            if not report.diverged:
                decision = super().on_trial_result(nobody, trial, report.to_dict())
        if record.status != "running" and record.reports:
            super().on_trial_complete(nobody, trial, record.reports[-1].to_dict())
        return bool(decision == self.STOP)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """As in Ray."""
        super().on_trial_add(tune_controller, _numbered(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """As in Ray."""
        decision: str = super().on_trial_result(tune_controller, _numbered(trial), result)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """As in Ray."""
        super().on_trial_complete(tune_controller, _numbered(trial), result)

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """As in Ray."""
        super().on_trial_remove(tune_controller, _numbered(trial))


class Never(FIFOScheduler):
    """Stops no trial."""

    def remember(self, record: TrialRecord) -> bool:
        """Nothing to remember."""
        return False


def stopping_rule(config: SweepConfig) -> Asha | Never:
    """What ``stopping`` asks for."""
    if config.stopping == "none":
        return Never()  # type: ignore[no-untyped-call]
    return Asha(
        time_attr="epoch",
        metric=config.metric,
        mode=METRICS[config.metric],
        max_t=config.max_epochs,
        grace_period=config.asha.grace_epochs,
        reduction_factor=config.asha.reduction_factor,
    )


def _numbered(trial: Any) -> Any:
    return SimpleNamespace(trial_id=trial_name(trial.config[NUMBER]))
