"""`MlflowTracker`: an observer that keeps the runs of a sweep in MLflow up to date."""

import logging
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from typing import Self

from search.config import SweepConfig
from search.record.final_model import FinalModel
from search.record.invocation import sweep_command
from search.record.mlflow_runs import MlflowRuns, RunStatus, reason_of
from search.record.paths import SweepPaths
from search.record.trials import Repeat, Status, TrialRecord
from spaces import SearchSpace, TrialParams
from trainables.training import RoundReport

_log = logging.getLogger("finesweep")

SEND_INTERVAL_SECONDS = 2.0
"""Time between two looks for events that MLflow lacks."""
RETRY_SECONDS = 30.0
"""Time until a failed request is repeated."""
LAST_SECONDS = 60.0
"""Longest time that the end of a sweep waits for MLflow."""

_RUN_STATUS: dict[Status, RunStatus] = {
    "running": "RUNNING",
    "completed": "FINISHED",
    "stopped": "FINISHED",
    "failed": "FAILED",
}


def mlflow_of(
    config: SweepConfig, paths: SweepPaths, *, command: Sequence[str] = ("resume",)
) -> "AbstractContextManager[MlflowTracker | None]":
    """The `MlflowTracker` of a sweep; if ``mlflow`` is unset, a context that does nothing."""
    return MlflowTracker(config, paths, command=command) if config.mlflow else nullcontext()


class MlflowTracker:
    """A `TrialObserver` that sends trials to MLflow. A context manager.

    Within the block, a thread sends all requests, so that the driver never waits for MLflow. A
    failed request does not stop the sweep: it is logged once, and what MLflow lacks is sent later.
    The end of the block waits for MLflow for `LAST_SECONDS` at most. It ends the parent run:
    FINISHED after `complete`, FAILED after an error, else KILLED. The runs of trials that have not
    ended are then KILLED too; a resume continues all of them.

    Args:
        config: Settings of the sweep; ``mlflow`` must be set.
        paths: Files of the sweep. Its search space must be written.
        command: Command, with its arguments, that sends what MLflow still lacks after the end of
            the block.
    """

    def __init__(
        self, config: SweepConfig, paths: SweepPaths, *, command: Sequence[str] = ("resume",)
    ) -> None:
        self._uri, self._metric = config.mlflow, config.metric
        self._paths, self._space = paths, SearchSpace.load(str(paths.space))
        self._command = command
        self._trials: dict[int, TrialRecord] = {}
        self._begun: dict[int, datetime] = {}
        self._changed: set[int] = set()
        """Numbers of the trials of which MLflow may lack something."""
        self._lock = threading.Lock()
        """Guards the trials and their changes, which the driver and the thread share."""
        self._end_status: RunStatus = "KILLED"
        self._final: FinalModel | None = None
        self._runs: MlflowRuns | None = None
        """The runs in MLflow; None before the first request and after a failed one."""
        self._has_failed = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send_until_ended, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, Exception):
            self._end_status = "FAILED"
        self._ended.set()
        self._thread.join(LAST_SECONDS)
        if self._thread.is_alive():
            self._warn(f"it has not answered for {LAST_SECONDS:.0f} s")

    # Events, recorded by the driver

    def begin(self, number: int, params: TrialParams, repeat: Repeat | None = None) -> None:
        """Record a trial and the parameters that it uses."""
        self._begun[number] = datetime.now()
        unused = frozenset(self._space.unused_fields(params))
        self._record(TrialRecord(number, params, "running", (), "", repeat, unused=unused))

    def report(self, number: int, report: RoundReport) -> None:
        """Record a round."""
        trial = self._trials[number]
        self._record(replace(trial, reports=(*trial.reports, report)))

    def pause(self, number: int) -> None:
        """Record nothing: a paused trial has not ended."""

    def end(self, number: int, status: Status) -> None:
        """Record the end of a trial."""
        self._record(replace(self._trials[number], status=status, ended=datetime.now()))

    def complete(self, final: FinalModel | None) -> None:
        """Record that the sweep is complete, and its ``final`` model, if it has one.

        At the end of the block, the parent run gets the test metrics and the files of the result.
        """
        self._end_status, self._final = "FINISHED", final

    def _record(self, trial: TrialRecord) -> None:
        with self._lock:
            self._trials[trial.number] = trial
            self._changed.add(trial.number)

    # Requests, sent by the thread

    def _send_until_ended(self) -> None:
        is_last = False
        while not is_last:
            is_last = self._ended.is_set()
            self._try_send(is_last=is_last)
            self._ended.wait(RETRY_SECONDS if self._has_failed else SEND_INTERVAL_SECONDS)

    def _try_send(self, *, is_last: bool) -> None:
        """Send what MLflow lacks. A failure is logged, unless the previous attempt failed too."""
        try:
            self._send(is_last=is_last)
        except Exception as error:  # of the network, a database, or a plug-in of MLflow
            self._runs = None
            if not self._has_failed:
                self._warn(reason_of(error))
            self._has_failed = True
        else:
            if self._has_failed:
                _log.info("MLflow answers again, and lacks nothing")
            self._has_failed = False

    def _send(self, *, is_last: bool) -> None:
        is_first = self._runs is None
        runs = self._runs = self._runs or MlflowRuns.find(
            self._uri, self._paths, metric=self._metric
        )
        with self._lock:
            changed = set(self._trials) if is_first or is_last else self._changed
            self._changed = set()
            trials = [self._trials[number] for number in sorted(changed)]
        for trial in trials:
            status = _RUN_STATUS[trial.status]
            if is_last and status == "RUNNING":
                status = "KILLED"
            runs.send(trial, self._begun[trial.number], status=status)
        if is_last:
            runs.end(self._end_status)
            if self._end_status == "FINISHED":
                runs.send_final_model(self._final, self._paths)

    def _warn(self, reason: str) -> None:
        _log.warning(
            "MLflow lacks a part of the sweep (%s). The sweep goes on, and sends this part when "
            "MLflow answers; if it has ended by then, this sends it:  %s",
            reason,
            sweep_command(self._command[0], self._paths, *self._command[1:]),
        )
