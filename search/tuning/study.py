"""`StudyJournal`: writes the study journal of a sweep, and asks its sampler."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.config import Objective, SamplerName
from search.record import (
    COST_KEY,
    ENDED_BY_KEY,
    EPOCH_KEY,
    ERROR_KEY,
    PARAMS_KEY,
    REPEAT_KEY,
    STATUS_OF_STATE,
    STUDY,
    JournalFile,
    Repeat,
    Status,
    TrialRecord,
    read_trials,
    records_of,
)
from search.samplers import NEVER_BEGAN, MultiFidelitySampler, make_sampler
from spaces import TrialParams
from trainables.models import Footprint
from trainables.training import METRICS, EpochReport, best_of


class StudyJournal:
    """Writes a sweep's study, and asks its sampler. On disk one process at a time may hold one."""

    def __init__(
        self,
        storage: BaseStorage,
        *,
        metric: str,
        sampler: SamplerName,
        seed: int,
        max_epochs: int,
        objectives: Sequence[Objective] = (),
        records: Sequence[TrialRecord] = (),
        sync: Callable[[], None] = lambda: None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.records = records
        """What the storage held when it was opened."""
        self._metric, self._objectives = metric, objectives
        self._storage, self._sync = storage, sync
        self._study = optuna.create_study(
            storage=storage,
            study_name=STUDY,
            load_if_exists=True,
            directions=[
                StudyDirection.MAXIMIZE if METRICS[metric] == "max" else StudyDirection.MINIMIZE,
                *[StudyDirection.MINIMIZE] * len(objectives),
            ],
        )
        begun = self._study.get_trials(deepcopy=False)
        self._study.sampler = make_sampler(sampler, seed=seed + len(begun), max_epochs=max_epochs)
        self._study_id = storage.get_study_id_from_name(STUDY)
        known = {record.number: record for record in records}
        self._best = {n: record.best(metric) for n, record in known.items()}
        self._reported = {n: len(record.reports) for n, record in known.items()}
        self._footprints = {n: record.footprint for n, record in known.items()}
        for trial in begun:
            if trial.state is TrialState.RUNNING:
                self._mend(trial, known.get(trial.number))

    @classmethod
    def open(
        cls,
        file: Path,
        *,
        metric: str,
        sampler: SamplerName,
        seed: int,
        max_epochs: int,
        objectives: Sequence[Objective] = (),
    ) -> Self:
        """A journal on disk, begun or to be gone on with.

        One that another process was killed over is mended.
        """
        journal = JournalFile(file)
        journal.mend()
        records = read_trials(file)
        return cls(
            JournalStorage(journal),
            metric=metric,
            sampler=sampler,
            seed=seed,
            max_epochs=max_epochs,
            objectives=objectives,
            records=records,
            sync=journal.sync,
        )

    def ask(
        self, distributions: Mapping[str, optuna.distributions.BaseDistribution]
    ) -> tuple[int, dict[str, object]]:
        """Begin a trial at a point that the sampler proposes: its number, its open values."""
        trial = self._study.ask(dict(distributions))
        return trial.number, dict(trial.params)

    def ask_at(
        self,
        values: Mapping[str, object],
        distributions: Mapping[str, optuna.distributions.BaseDistribution],
    ) -> int:
        """Begin a trial at given open values; of those that are left out Optuna knows nothing."""
        point = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(values),
            distributions={field: distributions[field] for field in values},
        )
        trial_id = self._storage.create_new_trial(self._study_id, point)
        return self._storage.get_trial_number_from_id(trial_id)

    def may_lead(self, number: int, report: EpochReport) -> bool:
        """Whether a trial may yet come to the best of all, after an epoch that may not be recorded.

        By the sampler; one that foresees nothing says no.
        """
        sampler, value = self._study.sampler, getattr(report, self._metric)
        if not isinstance(sampler, MultiFidelitySampler):
            return False
        return sampler.may_lead(self._study, number, report.epoch, value)

    def trials(self) -> list[TrialRecord]:
        """What the storage holds by now."""
        return records_of(self._study)

    @property
    def ended_by(self) -> str | None:
        """What ended the search for good before its trials did."""
        return self._study.user_attrs.get(ENDED_BY_KEY)

    @ended_by.setter
    def ended_by(self, reason: str | None) -> None:
        if reason != self.ended_by:
            self._study.set_user_attr(ENDED_BY_KEY, reason)
            self._sync()

    def begin(
        self,
        number: int,
        params: TrialParams,
        repeat: Repeat | None = None,
        footprint: Footprint | None = None,
    ) -> None:
        """Record what a trial that was asked for is to run."""
        if repeat is not None:
            self._storage.set_trial_user_attr(self._id(number), REPEAT_KEY, asdict(repeat))
        if footprint is not None:
            self._storage.set_trial_user_attr(self._id(number), COST_KEY, asdict(footprint))
        self._footprints[number] = footprint
        self._storage.set_trial_user_attr(self._id(number), PARAMS_KEY, params.model_dump())
        self._sync()

    def report(self, number: int, report: EpochReport) -> bool:
        """Record an epoch, and say whether it is new: one that is recorded is passed over."""
        if report.epoch <= self._reported.get(number, 0):
            return False
        trial_id = self._id(number)
        attr = f"{EPOCH_KEY}{report.epoch:04d}"
        self._storage.set_trial_user_attr(trial_id, attr, report.to_dict())
        self._reported[number] = report.epoch
        self._report_value(trial_id, report)
        self._best[number] = best_of((self._best.get(number), report), self._metric)
        self._sync()
        return True

    def end(self, number: int, status: Status, *, error: str = "") -> None:
        """Record a trial's end. A completed one counts with its best epoch."""
        if error:
            self._storage.set_trial_user_attr(self._id(number), ERROR_KEY, error)
        state = next(state for state, name in STATUS_OF_STATE.items() if name == status)
        best = self._best.get(number) if state is TrialState.COMPLETE else None
        values = None
        if best is not None:
            small = [getattr(self._footprints[number], name) for name in self._objectives]
            values = [getattr(best, self._metric), *small]
        self._study.tell(number, values, state=state)
        self._sync()

    def _report_value(self, trial_id: int, report: EpochReport) -> None:
        """What Optuna compares trials by that were stopped: it can't with several objectives."""
        if not (report.diverged or self._objectives):
            value = getattr(report, self._metric)
            self._storage.set_trial_intermediate_value(trial_id, report.epoch, value)

    def _mend(self, trial: FrozenTrial, record: TrialRecord | None) -> None:
        """Add what was still to be written of a trial when the driver was killed."""
        if record is None:  # it never had its parameters
            self._storage.set_trial_user_attr(trial._trial_id, NEVER_BEGAN, True)
            self._study.tell(trial.number, state=TrialState.FAIL)
            return
        for report in record.reports:
            if report.epoch not in trial.intermediate_values:
                self._report_value(trial._trial_id, report)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
