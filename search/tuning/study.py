"""`StudyJournal`: writes the study journal of a sweep, and asks its sampler for points."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
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
    ERROR_KEY,
    PARAMS_KEY,
    REPEAT_KEY,
    ROUND_KEY,
    STATUS_OF_STATE,
    STUDY,
    UNUSED_KEY,
    JournalFile,
    Repeat,
    Status,
    TrialRecord,
    read_trials,
    trial_records,
)
from search.samplers import (
    BASELINE,
    NEVER_BEGAN,
    FreezeThawSampler,
    MultiFidelitySampler,
    make_sampler,
)
from spaces import SearchSpace, TrialParams, Value
from trainables.models import ModelCost
from trainables.training import METRICS, RoundReport, best_of, merit


class StudyJournal:
    """The Optuna study of a sweep: asks its sampler for points, and records every trial.

    Only one process at a time may open the journal of a sweep.

    Args:
        storage: Optuna's storage of the study.
        space: The space that the sampler proposes points of.
        metric: Name of the metric that trials are ranked by, one of `METRICS`.
        sampler: Name of the sampler.
        seed: Seed of the sampler. The number of begun trials is added, so that a resume draws new
            points.
        max_rounds: Rounds of a trial that runs to its end.
        freeze_thaw: Whether the sampler is to choose which trials go on.
        objectives: Costs that are minimized beside the metric.
        records: Trials that the storage already holds.
        sync: Blocks until everything written is on the disk.
    """

    def __init__(
        self,
        storage: BaseStorage,
        space: SearchSpace,
        *,
        metric: str,
        sampler: SamplerName,
        seed: int,
        max_rounds: int,
        freeze_thaw: bool = False,
        objectives: Sequence[Objective] = (),
        records: Sequence[TrialRecord] = (),
        sync: Callable[[], None] = lambda: None,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.records = records
        """Trials that the storage held when it was opened."""
        self.metric, self._objectives, self._space = metric, objectives, space
        self._storage, self._sync = storage, sync
        self._study = optuna.create_study(
            storage=storage,
            study_name=STUDY,
            load_if_exists=True,
            directions=[
                StudyDirection.MAXIMIZE
                if METRICS[metric].direction == "max"
                else StudyDirection.MINIMIZE,
                *[StudyDirection.MINIMIZE] * len(objectives),
            ],
        )
        begun = self._study.get_trials(deepcopy=False)
        self._study.sampler = make_sampler(
            sampler,
            space,
            seed=seed + len(begun),
            max_rounds=max_rounds,
            freeze_thaw=freeze_thaw,
        )
        self._study_id = storage.get_study_id_from_name(STUDY)
        known = {record.number: record for record in records}
        self._best = {n: record.best(metric) for n, record in known.items()}
        self._reported = {n: len(record.reports) for n, record in known.items()}
        self._model_costs = {n: record.model_cost for n, record in known.items()}
        for trial in begun:
            if trial.state is TrialState.RUNNING:
                self._repair(trial, known.get(trial.number))

    @classmethod
    def open(
        cls,
        file: Path,
        space: SearchSpace,
        *,
        metric: str,
        sampler: SamplerName,
        seed: int,
        max_rounds: int,
        freeze_thaw: bool = False,
        objectives: Sequence[Objective] = (),
    ) -> Self:
        """Open or create the journal of a sweep. Completes records that a killed process left."""
        journal = JournalFile(file)
        journal.truncate_partial_line()
        records = read_trials(file)
        return cls(
            JournalStorage(journal),
            space,
            metric=metric,
            sampler=sampler,
            seed=seed,
            max_rounds=max_rounds,
            freeze_thaw=freeze_thaw,
            objectives=objectives,
            records=records,
            sync=journal.sync,
        )

    def ask(self) -> tuple[int, dict[str, Value]]:
        """Begin a trial at a point that the sampler proposes.

        Returns the trial's number, and its values of the open fields that it uses.
        """
        trial = self._study.ask()
        return trial.number, self._space.draw(lambda case, dim: dim.suggest(trial, case.name))

    def ask_at(self, values: Mapping[str, object], *, is_probe: bool = False) -> int:
        """Begin a trial at given values; returns its number. Optuna sees no other parameters.

        ``values`` are those of `SearchSpace.sampler_values`. The multi-fidelity sampler does not
        learn from a linear probe.
        """
        distributions = self._space.distributions()
        point = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=dict(values),
            distributions={name: distributions[name] for name in values},
            user_attrs={BASELINE: True} if is_probe else {},
        )
        trial_id = self._storage.create_new_trial(self._study_id, point)
        return self._storage.get_trial_number_from_id(trial_id)

    def could_win(self, number: int, report: RoundReport) -> bool:
        """Whether a trial could still become the best of all, given its latest round.

        The round may not be recorded yet. Only `MultiFidelitySampler` predicts this; with any other
        sampler the answer is False.
        """
        sampler, value = self._study.sampler, METRICS[self.metric].of(report)
        if not isinstance(sampler, MultiFidelitySampler):
            return False
        return sampler.could_win(self._study, number, report.round, value)

    def should_go_on(
        self, number: int, report: RoundReport, paused: Collection[int], *, or_begin: bool
    ) -> bool | None:
        """Whether a running trial is a better use of its worker than ``paused`` ones or, if the
        worker may ``or_begin`` one, a new point.

        Its latest round may not be recorded yet. None if the sampler can't tell: only
        `FreezeThawSampler` can.
        """
        sampler = self._study.sampler
        if not isinstance(sampler, FreezeThawSampler):
            return None
        return sampler.should_go_on(
            self._study,
            number,
            rounds=report.round,
            value=METRICS[self.metric].of(report),
            paused=paused,
            or_begin=or_begin,
        )

    def trial_to_resume(self, paused: Collection[int], *, or_begin: bool) -> int | None:
        """The paused trial that a free worker should go on with; None if a new point is better.

        A worker that may not ``or_begin`` a point gets the best paused trial, if that can be told.
        """
        sampler = self._study.sampler
        if not isinstance(sampler, FreezeThawSampler):
            return None
        return sampler.trial_to_resume(self._study, paused, or_begin=or_begin)

    @property
    def rounds_done(self) -> int:
        """Number of rounds that are recorded, of all trials together."""
        return sum(self._reported.values())

    def merit_of(self, number: int) -> tuple[float, ...]:
        """Merit of a trial's best round, higher is better; the least possible if it has none."""
        best = self._best.get(number)
        return merit(best, self.metric) if best else (-math.inf,)

    def trials(self) -> list[TrialRecord]:
        """Every trial that the storage holds now."""
        return trial_records(self._study)

    @property
    def ended_by(self) -> str | None:
        """Reason why the budget ended the search while trials were left; None if it did not."""
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
        model_cost: ModelCost | None = None,
    ) -> None:
        """Record the parameters of a trial that `ask` or `ask_at` has begun."""
        if repeat is not None:
            self._storage.set_trial_user_attr(self._id(number), REPEAT_KEY, asdict(repeat))
        if model_cost is not None:
            self._storage.set_trial_user_attr(self._id(number), COST_KEY, asdict(model_cost))
        self._model_costs[number] = model_cost
        if unused := sorted(self._space.unused_fields(params)):
            self._storage.set_trial_user_attr(self._id(number), UNUSED_KEY, unused)
        self._storage.set_trial_user_attr(self._id(number), PARAMS_KEY, params.model_dump())
        self._sync()

    def report(self, number: int, report: RoundReport) -> bool:
        """Record a round, unless it is recorded already; returns whether it is new."""
        if report.round <= self._reported.get(number, 0):
            return False
        trial_id = self._id(number)
        attr = f"{ROUND_KEY}{report.round:04d}"
        self._storage.set_trial_user_attr(trial_id, attr, report.to_dict())
        self._reported[number] = report.round
        self._report_value(trial_id, report)
        self._best[number] = best_of((self._best.get(number), report), self.metric)
        self._sync()
        return True

    def end(self, number: int, status: Status, *, error: str = "") -> None:
        """Record the end of a trial. A completed trial gets the value of its best round."""
        if error:
            self._storage.set_trial_user_attr(self._id(number), ERROR_KEY, error)
        state = next(state for state, name in STATUS_OF_STATE.items() if name == status)
        best = self._best.get(number) if state is TrialState.COMPLETE else None
        values = None
        if best is not None:
            costs = [getattr(self._model_costs[number], name) for name in self._objectives]
            values = [METRICS[self.metric].of(best), *costs]
        self._study.tell(number, values, state=state)
        self._sync()

    def _report_value(self, trial_id: int, report: RoundReport) -> None:
        """Record a round's finite value in Optuna, which allows that only with one objective."""
        if not (report.diverged or self._objectives):
            value = METRICS[self.metric].of(report)
            self._storage.set_trial_intermediate_value(trial_id, report.round, value)

    def _repair(self, trial: FrozenTrial, record: TrialRecord | None) -> None:
        """Complete the record of a running trial after its driver was killed."""
        if record is None:  # its parameters were never written
            self._storage.set_trial_user_attr(self._id(trial.number), NEVER_BEGAN, True)
            self._study.tell(trial.number, state=TrialState.FAIL)
            return
        for report in record.reports:
            if report.round not in trial.intermediate_values:
                self._report_value(self._id(trial.number), report)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
