import logging
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from search import Sweep, SweepConfig
from search.record import MlflowTracker, mlflow_of, mlflow_tracker
from search.record.mlflow_runs import MlflowRuns
from spaces import TrialParams
from tests.support.mlflow_store import curve, runs_at, sweep_of
from tests.support.round_reports import report
from tests.support.search_history import BEGAN, trial_of

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning")  # of MLflow

PARAMS = TrialParams(backbone="a", unfreeze=0.5)


def test_without_the_setting_nothing_is_tracked(tmp_path: Path) -> None:
    with mlflow_of(*sweep_of(tmp_path, "")) as tracker:
        assert tracker is None


def test_events_become_runs(tmp_path: Path, mlflow: str) -> None:
    with MlflowTracker(*sweep_of(tmp_path, mlflow)) as tracker:
        tracker.begin(0, PARAMS)
        tracker.report(0, report(1, 0.5))
        tracker.pause(0)
        tracker.begin(1, PARAMS)
        tracker.report(0, report(2, 0.7))
        tracker.end(0, "completed")
        tracker.report(1, report(1, 0.4))
        tracker.end(1, "stopped")
        tracker.complete(None)
    parent, children = runs_at(mlflow)
    assert parent.info.status == "FINISHED"
    assert {name: run.info.status for name, run in children.items()} == {
        "0000": "FINISHED",
        "0001": "FINISHED",
    }
    assert curve(mlflow, children["0000"], "val_accuracy") == [(1, 0.5), (2, 0.7)]


def test_a_run_is_seen_while_its_trial_runs(
    tmp_path: Path, mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlflow_tracker, "SEND_INTERVAL_SECONDS", 0.05)
    with MlflowTracker(*sweep_of(tmp_path, mlflow)) as tracker:
        tracker.begin(0, PARAMS)
        tracker.report(0, report(1, 0.5))
        wait_until(lambda: runs_at(mlflow)[1]["0000"].data.metrics["val_accuracy"] == 0.5)
        assert runs_at(mlflow)[1]["0000"].info.status == "RUNNING"


def test_a_resume_continues_the_runs_of_an_interrupted_sweep(tmp_path: Path, mlflow: str) -> None:
    sweep = sweep_of(tmp_path, mlflow)
    with MlflowTracker(*sweep) as tracker:
        tracker.begin(0, PARAMS)
        tracker.report(0, report(1, 0.5))
    parent, children = runs_at(mlflow)
    assert (parent.info.status, children["0000"].info.status) == ("KILLED", "KILLED")
    with MlflowTracker(*sweep) as tracker:
        tracker.begin(0, PARAMS)
        tracker.report(0, report(1, 0.5))
        tracker.report(0, report(2, 0.6))
        tracker.end(0, "completed")
        tracker.complete(None)
    again, children = runs_at(mlflow)
    assert (again.info.run_id, again.info.status) == (parent.info.run_id, "FINISHED")
    assert curve(mlflow, children["0000"], "val_accuracy") == [(1, 0.5), (2, 0.6)]


def test_what_a_killed_driver_had_not_sent_is_sent(tmp_path: Path, mlflow: str) -> None:
    config, paths = sweep_of(tmp_path, mlflow)
    killed = MlflowRuns.find(mlflow, paths, metric=config.metric)
    killed.send(trial_of(0, 0.5, status="running"), BEGAN, status="RUNNING")
    with MlflowTracker(config, paths) as tracker:
        for number in (0, 1):
            tracker.begin(number, PARAMS)
            tracker.report(number, report(1, 0.5))
            tracker.report(number, report(2, 0.6))
            tracker.end(number, "completed")
    for run in runs_at(mlflow)[1].values():
        assert run.info.status == "FINISHED"
        assert curve(mlflow, run, "val_accuracy") == [(1, 0.5), (2, 0.6)]


def test_an_error_makes_the_sweep_a_failed_one(tmp_path: Path, mlflow: str) -> None:
    with pytest.raises(ZeroDivisionError), MlflowTracker(*sweep_of(tmp_path, mlflow)):
        raise ZeroDivisionError
    assert runs_at(mlflow)[0].info.status == "FAILED"


def test_an_outage_costs_one_warning_and_no_round(
    tmp_path: Path, mlflow: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow_tracker, "SEND_INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(mlflow_tracker, "RETRY_SECONDS", 0.05)
    tries = []

    def refuse(*given: Any, **also: Any) -> None:
        tries.append(given)
        raise MlflowException("out of order")

    caplog.set_level(logging.INFO, "finesweep")
    with MlflowTracker(*sweep_of(tmp_path, mlflow)) as tracker:
        tracker.begin(0, PARAMS)
        tracker.report(0, report(1, 0.5))
        wait_until(lambda: "0000" in runs_at(mlflow)[1])
        with monkeypatch.context() as outage:
            outage.setattr(MlflowClient, "log_batch", refuse)
            tracker.report(0, report(2, 0.6))
            wait_until(lambda: len(tries) > 2)
        tracker.end(0, "completed")
        tracker.complete(None)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "lacks a part of the sweep (out of order)" in told[0]
    assert "answers again" in told[1]
    assert curve(mlflow, runs_at(mlflow)[1]["0000"], "val_loss") == [(1, 0.5), (2, 0.4)]


def test_a_server_that_never_answers_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(mlflow_tracker, "LAST_SECONDS", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = MlflowTracker(*sweep_of(tmp_path, uri))
        began = time.perf_counter()
        with tracker:
            for number in range(100):
                tracker.begin(number, PARAMS)
                tracker.end(number, "completed")
        assert time.perf_counter() - began < 1
        tracker._thread.join()
    assert "it has not answered for 0 s" in caplog.records[0].getMessage()


@pytest.mark.slow
def test_a_sweep_and_its_resume_are_one_run(
    settings: dict[str, Any], tmp_path: Path, mlflow: str, ray_cluster: None
) -> None:
    small = {**settings, "trials": 1, "max_epochs": 1, "mlflow": mlflow, "name": "tracked"}
    small |= {"results_dir": tmp_path, "confirm": 0, "export": {"formats": ["timm"]}}
    first = Sweep(SweepConfig.parse(small)).run()
    parent, children = runs_at(mlflow)
    assert set(children) == {"0000"}
    assert parent.info.status == "FINISHED"
    assert first.final is not None
    assert parent.data.metrics["test/accuracy"] == first.final.test.accuracy
    second = Sweep.existing(first.paths, {"trials": 2}).resume()
    again, children = runs_at(mlflow)
    assert again.info.run_id == parent.info.run_id
    for _, trial in second.trials.iterrows():
        has = children[trial["trial_id"]].data.metrics["best/val_accuracy"]
        assert has == trial["val_accuracy"]


def wait_until(happens: Any) -> None:
    """Wait up to ten seconds for a condition; a run that isn't there yet is not an error."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if happens():
                return
        except (AttributeError, KeyError, ValueError):
            pass
        time.sleep(0.02)
    raise TimeoutError
