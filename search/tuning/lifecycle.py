"""`SearchLifecycle`: the state of a running search, without Ray.

A trial is begun by the queue, handed out as a `TrialRequest`, reports epochs, and ends; a trial
whose worker was lost goes back to be handed out again, from its checkpoint. The journal is written
first, then the checkpoint, then observers are told. One run of Ray Tune ends when no trial is left,
or early for one of the reasons in `Termination`.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

import numpy as np

from search.record import (
    Status,
    SweepPaths,
    TrialObserver,
    TrialRecord,
    ValidationLogitsStore,
    trial_name,
)
from search.trial import CheckpointWriter, TrialRequest
from search.tuning.budget import Budget
from search.tuning.placement import Placement
from search.tuning.retries import Failure, Retries
from search.tuning.study import StudyJournal
from search.tuning.trial_queue import TrialQueue
from trainables.training import METRICS, EpochReport

_log = logging.getLogger("finesweep")


class Termination(Enum):
    """Why a run of Ray Tune ends before its trials do."""

    INTERRUPTED = auto()
    """Ctrl-C or SIGTERM. Running trials stay "running" in the journal, for a resume."""
    BUDGET_SPENT = auto()
    """The budget ended the search while trials of it were running."""
    STRANDED = auto()
    """A trial waits for machines that have left the cluster; Tune would wait for ever."""


class SearchLifecycle:
    """Hands out the trials of a search, records what they report, and says when to end.

    Args:
        journal: Record of the study; it also proposes points.
        checkpoints: Writer of the states that trials go on from.
        logits: Store of the best trials' validation logits.
        placement: Which machines trials may run on, and how many trials fit.
        queue: Trials that have not begun.
        paths: Files of the sweep.
        budget: Limits of the search; the first of the observers.
        observers: Are told of each trial, the recorded ones first.
    """

    def __init__(
        self,
        journal: StudyJournal,
        checkpoints: CheckpointWriter,
        logits: ValidationLogitsStore,
        placement: Placement,
        queue: TrialQueue,
        paths: SweepPaths,
        budget: Budget,
        *,
        observers: Sequence[TrialObserver] = (),
    ) -> None:
        self._journal = journal
        self._checkpoints = checkpoints
        self._logits = logits
        self._placement = placement
        self._queue = queue
        self._paths = paths
        self._budget = budget
        self._observers = (budget, *observers)
        self._retries = Retries()
        self._running: list[int] = []
        """Numbers of the trials that Ray was asked to run, in that order."""
        self._interrupted_trials: deque[int] = deque()
        """Numbers of the trials to be handed out again."""
        self._silent: dict[int, tuple[str, ...]] = {}
        """Machines avoided by running trials that have not reported since they were handed out."""
        self._interrupted = self._stranded = False
        self.disk_error: OSError | None = None
        """Error of a write to the sweep's folder. Tune reports it as another one."""
        for record in journal.records:
            self._replay(record)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Ray pickles the callbacks that hold this, and what it pickles is never read."""
        return {}

    # Whether the search goes on

    @property
    def termination(self) -> Termination | None:
        """Reason to end Tune's run now, though trials are running; None to let it go on."""
        if self._interrupted:
            return Termination.INTERRUPTED
        if self._budget.spent is not None and self._searching():
            return Termination.BUDGET_SPENT
        self._stranded = self._stranded or any(
            map(self._placement.is_stranded, self._silent.values())
        )
        return Termination.STRANDED if self._stranded else None

    @property
    def is_over(self) -> bool:
        """Whether nothing runs and nothing will be handed out."""
        return self._interrupted or not (self._running or self._has_more())

    @property
    def systematic_failure(self) -> str | None:
        """Cause by which trials fail one after another while none works; None otherwise."""
        return self._retries.systematic_failure

    @property
    def ended_by(self) -> str | None:
        """Reason why the search ended for good before all of its trials; None if it did not."""
        searching = bool(self._searching())
        if (self._queue.is_search_begun and not searching) or (self._interrupted and searching):
            return None
        return self._budget.spent

    def interrupt(self) -> None:
        """End the search now. Running trials stay as they are recorded, for a resume."""
        self._interrupted = True

    def stop_search_trials(self) -> None:
        """Record the running trials of the search as stopped: nobody waits for them any more."""
        for number in self._searching():
            self.end(number, "stopped")

    # Handing out trials

    def restore(self, record: TrialRecord, *, stopped: bool) -> None:
        """Take up a trial that the journal has as running.

        ``stopped`` says that early stopping would have ended it by now. Then, or if its last epoch
        is recorded, only its end was missing.
        """
        if record.reports and (stopped or record.reports[-1].is_last):
            status, error = outcome_of(record.reports[-1])
            self.end(record.number, status, error=error)
        else:
            self._interrupted_trials.append(record.number)

    def next_request(self) -> TrialRequest | None:
        """The next trial to run; None while there is none, or no room for one."""
        if not self._has_more() or len(self._running) >= self._placement.room():
            return None
        from_checkpoint = bool(self._interrupted_trials)
        number = self._interrupted_trials.popleft() if from_checkpoint else self._begin()
        if number is None:
            return None
        avoided = self._placement.hand_out(number)
        self._running.append(number)
        self._silent[number] = avoided
        return TrialRequest(
            number,
            self._queue.params[number],
            self._queue.repeats.get(number),
            from_checkpoint,
            avoided,
        )

    # What becomes of them

    def report(self, number: int, report: EpochReport, *, node_ip: str) -> None:
        """Record an epoch, unless the journal has it, and tell the observers."""
        self._silent.pop(number, None)
        self._placement.went_well(node_ip, number)
        with self._keeping_disk_error():
            if not self._journal.report(number, report):
                return
            self._retries.went_well(number)
            _log.info(
                "trial %s epoch %d: %s %.4f",
                trial_name(number),
                report.epoch,
                self._journal.metric,
                METRICS[self._journal.metric].of(report),
            )
            for observer in self._observers:
                observer.report(number, report)

    def complete(self, number: int, report: EpochReport, *, node_ip: str) -> None:
        """Record the last epoch of a trial, and whether it finished, was stopped, or diverged."""
        with self._keeping_disk_error():
            self._running.remove(number)
            self.report(number, report, node_ip=node_ip)
            status, error = outcome_of(report)
            self.end(number, status, error=error)

    def fail(self, number: int, failure: Failure) -> None:
        """Keep the traceback of a failure, and try the trial again where that may help."""
        if self.disk_error is not None:
            return  # the trial is not what failed
        self._running.remove(number)
        self._silent.pop(number, None)
        name, file = trial_name(number), self._paths.traceback(trial_name(number))
        file.parent.mkdir(exist_ok=True)
        with file.open("a", encoding="utf-8") as log:
            log.write(failure.text.rstrip() + "\n\n")
        own_fault = not failure.ip or self._placement.failed(failure.ip, number, failure.cause)
        if self._retries.retry(number, failure, own_fault=own_fault):
            _log.warning("trial %s is taken up again: %s", name, failure.cause)
            self._interrupted_trials.append(number)
        else:
            self.end(number, "failed", error=f"{failure.cause}; see {file}")

    def keep_state(self, number: int, state: np.ndarray) -> None:
        """Keep the packed state of a trial that goes on, once its epoch is recorded."""
        with self._keeping_disk_error():
            self._checkpoints.keep(number, state)

    def keep_logits(self, number: int, report: EpochReport, logits: np.ndarray) -> None:
        """Keep the validation logits, ``(n, classes)``, of a trial's best epoch so far."""
        with self._keeping_disk_error():
            self._logits.keep(number, report, logits)

    def end(self, number: int, status: Status, *, error: str = "") -> None:
        """Record the end of a trial, and tell the observers."""
        self._journal.end(number, status, error=error)
        self._checkpoints.forget(number)
        _log.info("trial %s %s", trial_name(number), f"{status}: {error}" if error else status)
        for observer in self._observers:
            observer.end(number, status)

    def _has_more(self) -> bool:
        """Whether a trial could be handed out, now or once others have ended."""
        if self.systematic_failure:
            return False
        return bool(self._interrupted_trials) or self._queue.has_more(self._unfinished())

    def _begin(self) -> int | None:
        """Begin the next trial of the queue, and tell the observers; its number."""
        number = self._queue.begin(self._unfinished())
        if number is not None:
            params, repeat = self._queue.params[number], self._queue.repeats.get(number)
            for observer in self._observers:
                observer.begin(number, params, repeat)
        return number

    def _unfinished(self) -> list[int]:
        """Trials that run, or are to be handed out again."""
        return [*self._running, *self._interrupted_trials]

    def _searching(self) -> list[int]:
        """Unfinished trials that are no repeats."""
        return self._queue.without_repeats(self._unfinished())

    def _replay(self, record: TrialRecord) -> None:
        """Tell the observers of a trial that the journal already has."""
        for observer in self._observers:
            observer.begin(record.number, record.params, record.repeat)
            for report in record.reports:
                observer.report(record.number, report)
            if record.status != "running":
                observer.end(record.number, record.status)

    @contextmanager
    def _keeping_disk_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.disk_error = error
            raise


def outcome_of(last: EpochReport) -> tuple[Status, str]:
    """Status of a trial that ended with this epoch, and the reason if it failed."""
    if last.diverged:
        return "failed", f"the loss was no longer finite in epoch {last.epoch}"
    return "completed" if last.is_last else "stopped", ""
