"""Optuna as Ray Tune's searcher, told the truth about stopped, failed and diverged trials.

Ray's own OptunaSearch tells trials that ASHA stopped as complete with their last value. This one
also says when a sweep is over, and hands out again what was broken off, from its checkpoint: a
killed driver's trials and those of a lost worker are one case.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from ray.tune.result import NODE_IP
from ray.tune.search import Searcher

from search.planning import Draft
from search.record import Observer, Status, SweepPaths, TrialRecord, ValidationAnswers, trial_name
from search.trial import AGAIN, AVOID, NUMBER, PARAMS, REPEAT, CheckpointWriter
from search.tuning.budget import Budget
from search.tuning.placement import Machines
from search.tuning.retries import Attempts, Failure
from search.tuning.study import StudyJournal
from search.tuning.trial_queue import Agenda
from trainables.training import METRICS, EpochReport

_log = logging.getLogger("finesweep")


class StudySearcher(Searcher):
    """Hands out trials that were broken off, then those of the agenda.

    As many at a time as there is room for. Ray may pickle it, without what it writes to: it is
    never read back from Ray's files.
    """

    def __init__(
        self,
        journal: StudyJournal,
        checkpoints: CheckpointWriter,
        answers: ValidationAnswers,
        machines: Machines,
        paths: SweepPaths,
        draft: Draft,
        budget: Budget,
        *,
        observers: Sequence[Observer] = (),
    ) -> None:
        super().__init__(metric=draft.config.metric, mode=METRICS[draft.config.metric])
        self._journal = journal
        self._checkpoints = checkpoints
        self._answers = answers
        self._machines = machines
        self._paths = paths
        self._budget = budget
        self._observers = (budget, *observers)
        self._agenda = Agenda(journal, draft, budget)
        self._again: deque[int] = deque()
        self._numbers: dict[str, int] = {}
        """Of Ray's trials that are running."""
        self._waiting: dict[int, tuple[str, ...]] = {}
        """Machines that a trial must not run on which was handed out and not heard of since."""
        self._stopped = self._stranded = False
        self._attempts = Attempts()
        self.cut_short = False
        """Whether the budget ended Tune's run, so that what is to be repeated needs another one."""
        self.disk_error: OSError | None = None
        """What a write to the sweep's folder raised; Tune tells it as another error."""
        for record in journal.records:
            self._tell_history(record)

    def __getstate__(self) -> dict[str, Any]:
        alone: dict[str, Any] = dict.fromkeys(
            ("_journal", "_checkpoints", "_answers", "_machines", "_agenda", "_budget")
        )
        return {**self.__dict__, **alone, "_observers": ()}

    @property
    def hopeless(self) -> str | None:
        """Why no trial of the sweep can be expected to work; None while one can."""
        return self._attempts.hopeless

    def stop(self) -> None:
        """End the search now: what runs stays as it is recorded, for a resume."""
        self._stopped = True

    @property
    def ends_early(self) -> bool:
        """Whether the search has to end before its trials do."""
        return self._stopped or self._in_vain or self.is_stranded()

    @property
    def _in_vain(self) -> bool:
        """Whether trials of the search run that its budget has ended."""
        return self._budget.spent is not None and bool(self._searching())

    @property
    def spent(self) -> str | None:
        """What ended the search for good before its trials did; None if nothing has."""
        searching = bool(self._searching())
        if (self._agenda.is_searched and not searching) or (self._stopped and searching):
            return None
        return self._budget.spent

    def stop_searching(self) -> None:
        """Record the search's trials that run as stopped: nobody waits for them any more."""
        for number in self._searching():
            self.settle(number, "stopped")
            self.cut_short = True

    def is_stranded(self) -> bool:
        """Whether a trial waits for machines that are gone: Tune would let it wait for ever.

        The search has to begin anew then, also if they come back.
        """
        self._stranded = self._stranded or any(
            self._machines.is_stranded(avoid) for avoid in self._waiting.values()
        )
        return self._stranded and not (self._stopped or self._in_vain)

    def settle(self, number: int, status: Status, *, error: str = "") -> None:
        """Record a trial's end."""
        self._journal.end(number, status, error=error)
        self._checkpoints.forget(number)
        _log.info("trial %s %s", trial_name(number), f"{status}: {error}" if error else status)
        for observer in self._observers:
            observer.end(number, status)

    def take_up(self, number: int) -> None:
        """Hand a trial out again that was broken off."""
        self._again.append(number)

    def suggest(  # type: ignore[override]  # Ray's own FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """The next trial's number and parameters. ``trial_id`` is Ray's."""
        again = bool(self._again)
        if self._stopped:
            return Searcher.FINISHED
        if self.hopeless or not (again or self._agenda.has_more(self._running())):
            return None if self._numbers else Searcher.FINISHED
        if len(self._numbers) >= self._machines.room():
            return None
        number = self._again.popleft() if again else self._begin()
        if number is None:
            return None
        self._numbers[trial_id] = number
        avoid = self._machines.hand_out(number)
        self._waiting[number] = avoid
        return {
            NUMBER: number,
            PARAMS: self._agenda.params[number],
            REPEAT: self._agenda.repeats.get(number),
            AGAIN: again,
            AVOID: avoid,
        }

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Record an epoch after which the trial goes on."""
        with self._disk_errors_kept():
            self._record(self._numbers[trial_id], result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Record a trial's last epoch, and whether it finished, was stopped, or diverged."""
        if error or result is None or "epoch" not in result:
            return  # `TuneEvents` says why
        with self._disk_errors_kept():
            number = self._numbers.pop(trial_id)
            status, reason = outcome(self._record(number, result))
            self.settle(number, status, error=reason)

    def on_trial_failure(self, trial_id: str, failure: Failure) -> None:
        """Keep what is known of a failure, and try the trial again where that may help."""
        if self.disk_error is not None:
            return  # the trial is not what failed
        number = self._numbers.pop(trial_id)
        name, file = trial_name(number), self._paths.traceback(trial_name(number))
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8") as log:
            log.write(failure.text.rstrip() + "\n\n")
        self._waiting.pop(number, None)
        its_own = not failure.ip or self._machines.failed(failure.ip, number, failure.cause)
        if self._attempts.again(number, failure, its_own=its_own):
            _log.warning("trial %s is taken up again: %s", name, failure.cause)
            self.take_up(number)
        else:
            self.settle(number, "failed", error=f"{failure.cause}; see {file}")

    def keep(self, trial_id: str, state: np.ndarray) -> None:
        """Keep the state of a trial that goes on, after its epoch was recorded."""
        with self._disk_errors_kept():
            self._checkpoints.keep(self._numbers[trial_id], state)

    def keep_logits(self, number: int, result: dict[str, Any], logits: np.ndarray) -> None:
        """Keep a trial's answers to the validation images in its best epoch so far."""
        with self._disk_errors_kept():
            self._answers.keep(number, EpochReport.from_dict(result), logits)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save beside the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore beside the journal."""

    def _running(self) -> list[int]:
        """Trials that run, or wait to be taken up."""
        return [*self._numbers.values(), *self._again]

    def _searching(self) -> list[int]:
        """Those of them that are no repeats."""
        return self._agenda.of_search(self._running())

    def _begin(self) -> int | None:
        number = self._agenda.begin(self._running())
        if number is not None:
            params, repeat = self._agenda.params[number], self._agenda.repeats.get(number)
            for observer in self._observers:
                observer.begin(number, params, repeat)
        return number

    def _record(self, number: int, result: dict[str, Any]) -> EpochReport:
        self._waiting.pop(number, None)
        self._machines.went_well(result[NODE_IP], number)
        report = EpochReport.from_dict(result)
        if self._journal.report(number, report):
            self._attempts.went_well(number)
            name, value = trial_name(number), getattr(report, self.metric)
            _log.info("trial %s epoch %d: %s %.4f", name, report.epoch, self.metric, value)
            for observer in self._observers:
                observer.report(number, report)
        return report

    @contextmanager
    def _disk_errors_kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.disk_error = error
            raise

    def _tell_history(self, record: TrialRecord) -> None:
        for observer in self._observers:
            observer.begin(record.number, record.params, record.repeat)
            for report in record.reports:
                observer.report(record.number, report)
            if record.status != "running":
                observer.end(record.number, record.status)


def outcome(last: EpochReport) -> tuple[Status, str]:
    """How a trial ended whose last epoch this is, and why if it failed."""
    if last.diverged:
        return "failed", f"the loss was no longer finite in epoch {last.epoch}"
    return "completed" if last.is_last else "stopped", ""
