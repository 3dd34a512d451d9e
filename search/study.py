"""The study journal: the one record of a sweep, and what can be read back from it.

An append-only Optuna journal file. Each trial carries its whole `TrialParams`, every epoch's
`EpochReport`, and its end; tables and pages can be made again from it alone.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from spaces import TrialParams
from trainables.report import METRICS, EpochReport, best_of

STUDY = "finesweep"
_PARAMS, _ERROR, _EPOCH = "params", "error", "epoch_"

Status = Literal["running", "completed", "stopped", "failed"]
_STATUS: Mapping[TrialState, Status] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "completed",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}


def trial_name(number: int) -> str:
    """The name of a trial everywhere: its number in the study."""
    return f"{number:04d}"


@dataclass(frozen=True)
class TrialRecord:
    """What the journal knows of one trial."""

    number: int
    params: TrialParams
    status: Status
    reports: tuple[EpochReport, ...]
    """One per epoch, in order."""
    error: str
    """Why it failed, else empty."""

    @property
    def trial_id(self) -> str:
        """Its name."""
        return trial_name(self.number)

    @property
    def seconds(self) -> float:
        """Wall time of its epochs."""
        return sum(report.seconds for report in self.reports)

    def best(self, metric: str) -> EpochReport | None:
        """Its best epoch by ``metric``; None if it has no finite one."""
        return best_of(self.reports, metric)


class StudyJournal:
    """Writes a sweep's journal. One process at a time may hold one."""

    def __init__(self, file: Path, *, metric: str, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._metric = metric
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))),
            study_name=STUDY,
            load_if_exists=True,
            direction="maximize" if METRICS[metric] == "max" else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed),
        )
        self._open: dict[int, optuna.Trial] = {}
        self._best: dict[int, EpochReport | None] = {}
        self._reported: dict[int, int] = {}

    def ask(
        self, distributions: Mapping[str, optuna.distributions.BaseDistribution]
    ) -> tuple[int, dict[str, object]]:
        """Begin a trial at a point that the sampler proposes: its number, its open values."""
        trial = self._study.ask(dict(distributions))
        self._open[trial.number] = trial
        return trial.number, dict(trial.params)

    def ask_at(
        self,
        params: TrialParams,
        distributions: Mapping[str, optuna.distributions.BaseDistribution],
    ) -> int:
        """Begin a trial at a given point. Fields outside their distribution stay ours alone."""
        values = {
            field: value
            for field, value in params.model_dump().items()
            if field in distributions and _contains(distributions[field], value)
        }
        self._study.enqueue_trial(values)
        trial = self._study.ask({field: distributions[field] for field in values})
        self._open[trial.number] = trial
        return trial.number

    def begin(self, number: int, params: TrialParams) -> None:
        """Record what a trial that was asked for is to run."""
        self._open[number].set_user_attr(_PARAMS, params.model_dump())

    def report(self, number: int, report: EpochReport) -> None:
        """Record an epoch; one that is recorded already is passed over."""
        if report.epoch <= self._reported.get(number, 0):
            return
        trial = self._open[number]
        trial.set_user_attr(f"{_EPOCH}{report.epoch:04d}", report.to_dict())
        self._reported[number] = report.epoch
        if not report.diverged:
            trial.report(getattr(report, self._metric), step=report.epoch)
        self._best[number] = best_of((self._best.get(number), report), self._metric)

    def end(self, number: int, status: Status, *, error: str = "") -> None:
        """Record a trial's end. A completed one counts with its best epoch."""
        trial = self._open.pop(number)
        if error:
            trial.set_user_attr(_ERROR, error)
        state = next(state for state, name in _STATUS.items() if name == status)
        best = self._best.get(number) if state is TrialState.COMPLETE else None
        self._study.tell(trial, getattr(best, self._metric) if best else None, state=state)


def read_trials(file: Path) -> list[TrialRecord]:
    """Every trial of a journal that has its parameters, by number; none if there is no journal."""
    if not file.exists():
        return []
    logging.getLogger("optuna").setLevel(logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(file)))
    study = optuna.load_study(study_name=STUDY, storage=storage)
    return [_record(t) for t in study.get_trials(deepcopy=False) if _PARAMS in t.user_attrs]


def _record(trial: FrozenTrial) -> TrialRecord:
    attrs = trial.user_attrs
    epochs = sorted(key for key in attrs if key.startswith(_EPOCH))
    return TrialRecord(
        number=trial.number,
        params=TrialParams.parse(attrs[_PARAMS]),
        status=_STATUS[trial.state],
        reports=tuple(EpochReport.from_dict(attrs[key]) for key in epochs),
        error=attrs.get(_ERROR, ""),
    )


def _contains(distribution: optuna.distributions.BaseDistribution, value: object) -> bool:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return value in distribution.choices
    return isinstance(value, int | float) and distribution._contains(float(value))
