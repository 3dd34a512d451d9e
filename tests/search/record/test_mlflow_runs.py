import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from search.config import SweepConfig
from search.record import FinalModel, Repeat, RetrainedTrial, check_mlflow, require_mlflow
from search.record.mlflow_runs import MlflowRuns, reason_of
from spaces import ConfigError, TrialParams
from tests.support.mlflow_store import curve, runs_at, sweep_of
from tests.support.search_history import BEGAN, trial_of
from trainables.evaluation import TestMetrics

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload``:DeprecationWarning")  # of MLflow


def found(folder: Path, uri: str) -> MlflowRuns:
    """Runs of a new sweep."""
    config, paths = sweep_of(folder, uri)
    return MlflowRuns.find(uri, paths, metric=config.metric)


def test_a_trial_is_a_child_of_its_sweep(tmp_path: Path, mlflow: str) -> None:
    trial = replace(trial_of(7, 0.5, 0.8, 0.7), unused=frozenset({"momentum"}))
    found(tmp_path, mlflow).send(trial, BEGAN, status="FINISHED")
    parent, children = runs_at(mlflow)
    assert (parent.info.run_name, parent.info.status) == ("cells", "RUNNING")
    run = children["0007"]
    assert run.info.status == "FINISHED"
    assert set(run.data.params) == set(TrialParams.model_fields) - {"momentum"}
    assert run.data.params["unfreeze"] == "0.35"
    assert curve(mlflow, run, "val_accuracy") == [(1, 0.5), (2, 0.8), (3, 0.7)]
    assert curve(mlflow, run, "best/val_accuracy") == [(1, 0.5), (2, 0.8), (3, 0.8)]
    assert curve(mlflow, run, "epoch") == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_runs_that_are_found_again_get_what_they_lack(tmp_path: Path, mlflow: str) -> None:
    config, paths = sweep_of(tmp_path, mlflow)
    for accuracies in ([], [0.5], [0.5], [0.5, 0.8]):
        runs = MlflowRuns.find(mlflow, paths, metric=config.metric)
        runs.send(trial_of(0, *accuracies, status="running"), BEGAN, status="RUNNING")
    _, children = runs_at(mlflow)
    assert curve(mlflow, children["0000"], "val_accuracy") == [(1, 0.5), (2, 0.8)]


def test_a_killed_trial_runs_again(tmp_path: Path, mlflow: str) -> None:
    runs = found(tmp_path, mlflow)
    runs.send(trial_of(0, 0.5, status="running"), BEGAN, status="KILLED")
    assert runs_at(mlflow)[1]["0000"].info.status == "KILLED"
    runs.send(trial_of(0, 0.5, status="running"), BEGAN, status="RUNNING")
    assert runs_at(mlflow)[1]["0000"].info.status == "RUNNING"


def test_how_a_trial_ended_and_what_it_repeats_are_tags(tmp_path: Path, mlflow: str) -> None:
    runs = found(tmp_path, mlflow)
    runs.send(trial_of(0, 0.5, status="stopped"), BEGAN, status="FINISHED")
    repeat = replace(trial_of(1, float("nan"), status="failed"), repeat=Repeat(0, 1, 2))
    runs.send(repeat, BEGAN, status="FAILED")
    _, children = runs_at(mlflow)
    first, second = children["0000"], children["0001"]
    assert first.data.tags["finesweep.status"] == "stopped"
    assert first.info.end_time - first.info.start_time == 60_000  # milliseconds
    assert second.data.tags["finesweep.status"] == "failed"
    assert second.data.tags["finesweep.repeats"] == "0000"
    assert second.info.status == "FAILED"


def test_a_trial_may_have_more_rounds_than_one_request(tmp_path: Path, mlflow: str) -> None:
    found(tmp_path, mlflow).send(trial_of(0, *[0.5] * 120), BEGAN, status="FINISHED")
    assert len(curve(mlflow, runs_at(mlflow)[1]["0000"], "val_loss")) == 120


def test_the_parent_has_the_final_models_test_and_files(tmp_path: Path, mlflow: str) -> None:
    config, paths = sweep_of(tmp_path, mlflow)
    test = TestMetrics(0.9, (0.8, 0.95), 0.88, 0.87, None, [[9, 1], [0, 5]], ["a", "b"], {})
    member = RetrainedTrial("0007", 3, 0.91, trial_of(7).params)
    for file in (paths.report, paths.metrics, paths.model_card):
        file.parent.mkdir(exist_ok=True)
        file.write_text(file.name)
    for _ in range(2):  # a resume sends nothing twice
        runs = MlflowRuns.find(mlflow, paths, metric=config.metric)
        runs.send_final_model(FinalModel(test, 0.6, (member,)), paths)
        runs.end("FINISHED")
    parent, _ = runs_at(mlflow)
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["finesweep.final_model"] == "trial 0007"
    assert curve(mlflow, parent, "test/accuracy") == [(0, 0.9)]
    assert "test/roc_auc" not in parent.data.metrics
    client = MlflowClient(mlflow)
    for name in ("report.html", "retrained/metrics.json", "export/README.md"):
        copy = client.download_artifacts(parent.info.run_id, name, str(tmp_path))
        assert Path(copy).read_text() == Path(name).name


def test_a_sweep_keeps_its_experiment(
    tmp_path: Path, mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, paths = sweep_of(tmp_path, mlflow)
    MlflowRuns.find(mlflow, paths, metric=config.metric)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    MlflowRuns.find(mlflow, paths, metric=config.metric).end("FINISHED")
    assert runs_at(mlflow)[0].info.status == "FINISHED"
    assert MlflowClient(mlflow).get_experiment_by_name("another") is None


def test_an_address_without_a_server_is_told() -> None:
    config = SweepConfig.parse({"data": "d", "mlflow": "http://127.0.0.1:1"})
    with pytest.raises(ConfigError, match=r"mlflow http://127.* \(.*Connection refused\); check "):
        check_mlflow(config)


def test_a_deleted_experiment_is_told(mlflow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = MlflowClient(mlflow)
    client.delete_experiment(client.create_experiment("deleted"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "deleted")
    with pytest.raises(ConfigError, match="experiment 'deleted' is deleted; restore it"):
        check_mlflow(SweepConfig.parse({"data": "d", "mlflow": mlflow}))


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install 'finesweep\[mlflow\]'"):
        check_mlflow(SweepConfig.parse({"data": "d", "mlflow": "auto"}))


def test_auto_is_the_address_in_the_environment(
    tmp_path: Path, mlflow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow)
    _, paths = sweep_of(tmp_path, "auto")
    MlflowRuns.find("auto", paths, metric="val_accuracy")
    assert runs_at(mlflow)[0].info.run_name == "cells"


def test_mlflow_sends_no_usage_data_to_its_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.telemetry import utils

    monkeypatch.setattr(utils, "_IS_IN_CI_ENV_OR_TESTING", False)
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    assert not utils.is_telemetry_disabled()
    require_mlflow()
    assert utils.is_telemetry_disabled()


def test_a_reason_is_the_error_of_the_network_without_a_password() -> None:
    told = ValueError("a long story\nwith a link")
    assert reason_of(told) == "a long story"
    told.__cause__ = ConnectionError("http://me:secret@host refused")
    assert reason_of(told) == "http://host refused"
