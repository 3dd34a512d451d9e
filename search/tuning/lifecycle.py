"""`SearchLifecycle`: the state of a running search, independent of Ray.

The queue begins a trial, and the lifecycle hands the trial to Ray as a `TrialRequest`. Then it
records the trial's rounds and its end. A trial whose worker was lost is handed out again and goes
on from its checkpoint. The journal records each event before checkpoints and observers get it. One
run of Ray Tune ends when no trial is left, or early for a reason in `Termination`.
"""

import logging
import math
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
from search.tuning.paused_trials import PausedTrials
from search.tuning.placement import Placement
from search.tuning.retries import Failure, Retries
from search.tuning.study import StudyJournal
from search.tuning.trial_queue import TrialQueue
from trainables.training import METRICS, RoundReport

_log = logging.getLogger("finesweep")


class Termination(Enum):
    """Reason why a run of Ray Tune ends while trials are left."""

    INTERRUPTED = auto()
    """Ctrl-C or SIGTERM arrived. Running trials stay "running" in the journal, for a resume."""
    BUDGET_SPENT = auto()
    """The budget ended the search while some of its trials were running."""
    STRANDED = auto()
    """All machines that a trial may run on have left the cluster; Tune would wait forever."""


class SearchLifecycle:
    """Hands out the trials of a search, records their reports, and decides when the search ends.

    Args:
        journal: The study journal, which also proposes points.
        checkpoints: Writes the states that trials resume from.
        logits: Store of the best trials' validation logits.
        placement: Decides which machines trials may run on, and how many trials fit.
        queue: Decides which trial begins next.
        paused: Decides which of the trials that were stopped go on.
        paths: Files of the sweep.
        budget: Limits of the search; also the first observer.
        observers: Further observers. Recorded trials are replayed to all of these first.
        informed: Observers that know the recorded trials already.
    """

    def __init__(
        self,
        journal: StudyJournal,
        checkpoints: CheckpointWriter,
        logits: ValidationLogitsStore,
        placement: Placement,
        queue: TrialQueue,
        paused: PausedTrials,
        paths: SweepPaths,
        budget: Budget,
        *,
        observers: Sequence[TrialObserver] = (),
        informed: Sequence[TrialObserver] = (),
    ) -> None:
        self._journal = journal
        self._checkpoints = checkpoints
        self._logits = logits
        self._placement = placement
        self._queue = queue
        self._paused = paused
        self._paths = paths
        self._budget = budget
        self._observers: tuple[TrialObserver, ...] = (budget, *observers)
        self._retries = Retries()
        self._running: list[int] = []
        """Numbers of the trials that Ray was asked to run and that have not ended, in order."""
        self._interrupted_trials: deque[int] = deque()
        """Numbers of the trials to be handed out again."""
        self._may_resume = True
        """Whether a round was recorded since no paused trial was found worth going on with."""
        self._silent: dict[int, tuple[str, ...]] = {}
        """For each trial without a report since it was handed out: ids of machines to avoid."""
        self._cut_short: set[int] = set()
        """Numbers of the trials that ended because another round would not have ended in time."""
        self._interrupted = self._stranded = False
        self.disk_error: OSError | None = None
        """Error of a failed write to the sweep's folder. Tune would hide it in a `TuneError`."""
        for record in journal.records:
            self._replay(record)
        self._observers += tuple(informed)

    def __getstate__(self) -> dict[str, Any]:
        """An empty state: Ray pickles this object with callbacks, but never reads the pickle."""
        return {}

    # Whether the search goes on

    @property
    def termination(self) -> Termination | None:
        """Reason to end Tune's run now, while trials are left; None to let it go on."""
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
        """Whether the search was interrupted, or no trial runs and none will be handed out."""
        return self._interrupted or not (self._running or self._has_more())

    @property
    def systematic_failure(self) -> str | None:
        """Common cause of failed trials; None once a trial has finished a round in this run."""
        return self._retries.systematic_failure

    @property
    def ended_by(self) -> str | None:
        """Reason why the budget ended the search while trials were left; None if it did not."""
        searching = bool(self._searching())
        if (self._queue.is_search_begun and not searching) or (self._interrupted and searching):
            return None
        return self._budget.closed

    def cut_short(self, number: int, last: RoundReport) -> bool:
        """End a trial for good if another round would not end in time; returns whether it ends.

        So no round runs in vain, and the worker is free for a repeat when the search ends. Another
        round is expected to take as long as the last, also if that was the first, which may have
        computed features that later rounds read.
        """
        if number in self._queue.repeats or last.is_last or self._budget.has_time_for(last.seconds):
            return False
        self._cut_short.add(number)
        _log.info("trial %s ends: another round would end too late", trial_name(number))
        return True

    def interrupt(self) -> None:
        """End the search now. Running trials stay "running" in the journal, for a resume."""
        self._interrupted = True

    def stop_search_trials(self) -> None:
        """Record the running trials of the search as stopped, because the search has ended."""
        for number in self._searching():
            self.end(number, "stopped")

    # Handing out trials

    def restore(self, record: TrialRecord, *, stopped: bool) -> None:
        """Continue a trial that the journal records as running.

        If its last round is recorded, only its end is missing, and is recorded now. If early
        stopping has perhaps ``stopped`` it, it is paused. Otherwise it is handed out again.
        """
        if record.reports and (stopped or record.reports[-1].is_last):
            self._conclude(record.number, record.reports[-1])
        else:
            self._interrupted_trials.append(record.number)

    def next_request(self) -> TrialRequest | None:
        """The next trial to run; None if there is none now, or if no machine has room for it."""
        if not self._has_more() or len(self._running) >= self._placement.room():
            return None
        begun_before = self._begun_before()
        number = self._begin() if begun_before is None else begun_before
        if number is None:
            return None
        avoided = self._placement.hand_out(number)
        self._running.append(number)
        self._silent[number] = avoided
        return TrialRequest(
            number,
            self._queue.params[number],
            self._queue.repeats.get(number),
            begun_before is not None,
            avoided,
        )

    # Recording trials

    def report(self, number: int, report: RoundReport, *, node_ip: str) -> None:
        """Record a round and pass it to the observers. Does neither if the journal has it."""
        self._silent.pop(number, None)
        self._placement.went_well(node_ip, number)
        with self._keeping_disk_error():
            if not self._journal.report(number, report):
                return
            self._retries.went_well(number)
            self._may_resume = True
            _log.info(
                "trial %s epoch %.4g: %s %.4f",
                trial_name(number),
                report.epoch,
                self._journal.metric,
                METRICS[self._journal.metric].of(report),
            )
            for observer in self._observers:
                observer.report(number, report)

    def complete(self, number: int, report: RoundReport, *, node_ip: str) -> None:
        """Record the last round that a trial runs for now, and end or pause it (`outcome_of`)."""
        with self._keeping_disk_error():
            self._running.remove(number)
            self.report(number, report, node_ip=node_ip)
            self._conclude(number, report)

    def fail(self, number: int, failure: Failure) -> None:
        """Store the traceback of a failure, and retry the trial if that may help."""
        if self.disk_error is not None:
            return  # the disk failed, not the trial
        self._running.remove(number)
        self._silent.pop(number, None)
        name, file = trial_name(number), self._paths.traceback(trial_name(number))
        with self._keeping_disk_error():
            file.parent.mkdir(exist_ok=True)
            with file.open("a", encoding="utf-8") as log:
                log.write(failure.text.rstrip() + "\n\n")
            own_fault = not failure.ip or self._placement.failed(failure.ip, number, failure.cause)
            if self._retries.retry(number, failure, own_fault=own_fault):
                _log.warning("trial %s is retried: %s", name, failure.cause)
                self._interrupted_trials.append(number)
            else:
                self.end(number, "failed", error=f"{failure.cause}; see {file}")

    def keep_state(self, number: int, state: np.ndarray) -> None:
        """Store the packed state of a running trial. The state's round must already be recorded."""
        with self._keeping_disk_error():
            self._checkpoints.keep(number, state)

    def keep_logits(self, number: int, report: RoundReport, logits: np.ndarray) -> None:
        """Store the validation logits, ``(n, classes)``, of a trial's best round so far."""
        with self._keeping_disk_error():
            self._logits.keep(number, report, logits)

    def end(self, number: int, status: Status, *, error: str = "") -> None:
        """Record the end of a trial, and pass it to the observers."""
        self._paused.discard(number)
        self._journal.end(number, status, error=error)
        self._checkpoints.forget(number)
        _log.info("trial %s %s", trial_name(number), f"{status}: {error}" if error else status)
        for observer in self._observers:
            observer.end(number, status)

    @property
    def pauses(self) -> bool:
        """Whether a stopped trial may be taken up again, from its checkpoint."""
        return self._paused.is_used

    def _conclude(self, number: int, last: RoundReport) -> None:
        """End a trial with the status of its last round; pause it instead if it was stopped."""
        status, error = outcome_of(last)
        if status != "stopped" or not self.pauses or number in self._cut_short:
            self.end(number, status, error=error)
            return
        _log.info("trial %s waits after epoch %.4g", trial_name(number), last.epoch)
        for observer in self._observers:
            observer.pause(number)
        for given_up in self._paused.add(number):
            self.end(given_up, "stopped")

    def _begun_before(self) -> int | None:
        """The interrupted or paused trial to go on with now, if any.

        If no paused trial is worth it, no other may begin and none runs, all paused trials end.
        """
        if self._interrupted_trials:
            return self._interrupted_trials.popleft()
        may_resume = self._may_resume and self._budget.closed is None
        number = self._paused.choose() if may_resume else None
        if number is not None:
            self._paused.discard(number)
            self._checkpoints.wait()
            _log.info("trial %s goes on", trial_name(number))
        elif not self._queue.search_goes_on:
            self._may_resume = False
            if not self._running:
                for left in [*self._paused.numbers]:
                    self.end(left, "stopped")
        return number

    def _has_more(self) -> bool:
        """Whether a trial is left to hand out, even if no machine has room for it now."""
        if self.systematic_failure:
            return False
        waiting = self._interrupted_trials or self._paused.numbers
        return bool(waiting) or self._queue.has_more(self._unfinished())

    def _begin(self) -> int | None:
        """Begin the next trial of the queue, and inform the observers; returns its number."""
        number = self._queue.begin(self._unfinished())
        if number is not None:
            params, repeat = self._queue.params[number], self._queue.repeats.get(number)
            for observer in self._observers:
                observer.begin(number, params, repeat)
        return number

    def _unfinished(self) -> list[int]:
        """Numbers of the trials that run, are paused or will be handed out again."""
        return [*self._running, *self._interrupted_trials, *self._paused.numbers]

    def _searching(self) -> list[int]:
        """Numbers of the unfinished trials of the search, without repeats."""
        return self._queue.without_repeats(self._unfinished())

    def _replay(self, record: TrialRecord) -> None:
        """Replay a recorded trial to the observers."""
        for observer in self._observers:
            observer.begin(record.number, record.params, record.repeat)
            for report in record.reports:
                observer.report(record.number, report)
            if record.status != "running":
                observer.end(record.number, record.status)

    @contextmanager
    def _keeping_disk_error(self) -> Iterator[None]:
        """Store an `OSError` of the block in `disk_error`, and raise it again."""
        try:
            yield
        except OSError as error:
            self.disk_error = error
            raise


def outcome_of(last: RoundReport) -> tuple[Status, str]:
    """Status of a trial that ended with this round, and the reason if it diverged, else ""."""
    if last.diverged:
        return "failed", f"the loss was no longer finite in epoch {math.ceil(last.epoch)}"
    return "completed" if last.is_last else "stopped", ""
